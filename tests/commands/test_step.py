"""`fsm step`: the walk as text and JSON, where it begins, exit statuses, wrong input; and the full screen in tmux."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fsm.cli import main
from fsm.install import install_command
from fsm.journal import Recorder
from fsm.journal.reader import header
from fsm.logoff import LOGOFF
from fsm.stepper.walk import Stepper
from tests.support import run

FSM = f"{sys.exec_prefix}/bin/fsm"

WALK = """\
store-logoff, from open []
   1 submit: open, ready 1 [OUTBOUND_QUEUE]
   2 outbound_begin: open, outbound 1 [OUTBOUND]
   3 logoff_orderly: draining, request ORDERLY, outbound 1 [OUTBOUND]
   4 submit: refused, not legal in draining
now draining; request ORDERLY, inbound 0, outbound 1, ready 0, deferred 0, peers 0; output 0x40000 OUTBOUND
can happen now:
  logoff_quiet: nothing changes
  logoff_abort: request = ABORT
  logoff_orderly: request = ORDERLY
  logoff_no_wait: request = NO_WAIT
  logoff_purge: ready += deferred, deferred = 0, request = PURGE
  release: nothing changes
  outbound_sent: -> released, outbound -= 1
  outbound_failed: -> released, outbound -= 1
  outbound_deferred: -> released, outbound -= 1, deferred += 1
  peer_opened: peers += 1
cannot:
  submit: not legal in draining
  abort_submit: needs ready > 0; ready is 0
  abort_deferred: needs deferred > 0; deferred is 0
  deferred_due: not legal in draining
  outbound_begin: needs ready > 0 and request in (NO_WAIT, PURGE); request is ORDERLY, ready is 0
  inbound_begin: not legal in draining
  inbound_received: needs inbound > 0; inbound is 0
  inbound_failed: needs inbound > 0; inbound is 0
  peer_closed: needs peers > 0; peers is 0
shortest way to released: outbound_sent
"""

HOSTILE = """
from fsm.chart import Chart, Output, State, row
NAMES = Chart(
    "[red]x[/red]\\x1b[31m", states=["a\\x1b[2Jb", State("[bold]c", final=True)], events=["<go>\\x07", "\\u202eog"],
    rows=[row("r1", "a\\x1b[2Jb", "<go>\\x07", target="[bold]c"), row("r2", "a\\x1b[2Jb", "\\u202eog")],
    outputs=[Output("\\x1b]0;x", 1)],
)
MANY = Chart(
    "many", states=["on"], events=[f"event_{n:02}" for n in range(80)],
    rows=[row(f"r{n}", "on", f"event_{n:02}") for n in range(80)],
)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with charts of other people."""
    (tmp_path / "strange_charts.py").write_text(HOSTILE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def step(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    status = main(["step", *words])
    out, err = capsys.readouterr()
    return status, out, err


# ------------------------------------------------------------------------------------------------ the walk in words


def test_a_walk_is_printed_and_the_first_refusal_ends_it(capsys: pytest.CaptureFixture[str]) -> None:
    trace = "submit,outbound_begin,logoff_orderly,submit,release"
    assert step(capsys, "--trace", trace) == (1, WALK, "")


def test_without_a_terminal_and_a_trace_it_prints_where_one_would_begin(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = step(capsys)
    assert (status, err) == (0, "")
    assert out.startswith("store-logoff, from open []\nnow open; request none, ")
    assert out.endswith("\nshortest way to released: logoff_quiet\n")


def test_json_says_the_same_with_the_keys_of_fsm_replay(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = step(capsys, "--format", "json", "--trace", "submit,outbound_begin,logoff_orderly,submit,release")
    told = json.loads(out)
    stepper = Stepper(LOGOFF)
    stepper.walk(["submit", "outbound_begin", "logoff_orderly"])
    assert status == 1
    assert told["trace"] == stepper.trace
    assert told["start"] == Stepper(LOGOFF).snapshot_at(0)
    assert told["steps"] == list(stepper.entries())
    assert told["refused"] == {"event": "submit", "place": 4, "reason": "not legal in draining"}
    assert told["now"] == {**stepper.snapshot_at(3), "flags": 0x40000, "flag_names": ["OUTBOUND"]}
    assert {one["event"]: (one["accepted"], one["target"], one["reason"]) for one in told["events"]} == {
        event: (v.accepted, v.target, v.reason) for event, v in stepper.verdicts().items()
    }
    assert told["goal"] == {"goal": "released", "events": ["outbound_sent"], "looked": 5, "everywhere": False}
    assert json.loads(step(capsys, "--format", "json", "--trace", "submit")[1])["refused"] is None


@pytest.mark.parametrize(
    ("goal", "told"),
    [
        ("OUTBOUND", "shortest way to OUTBOUND: submit,outbound_begin"),
        ("open", "shortest way to open: already there"),
        ("draining", "shortest way to draining: submit,logoff_no_wait"),
    ],
)
def test_the_goal_may_be_chosen(goal: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert step(capsys, "--goal", goal)[1].endswith(f"\n{told}\n")


def test_it_begins_with_a_snapshot_or_a_journal_and_walks_on(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "s.json").write_text(json.dumps(run("inbound_begin", ready=2).snapshot()))
    status, out, _ = step(capsys, "--from", "s.json", "--trace", "logoff_orderly,inbound_received")
    assert status == 0
    assert out.splitlines()[:3] == [
        "store-logoff, from open, inbound 1, ready 2 [INBOUND OUTBOUND_QUEUE]",
        "   1 logoff_orderly: draining, request ORDERLY, inbound 1, ready 2 [INBOUND OUTBOUND_QUEUE]",
        "   2 inbound_received: released, request ORDERLY, ready 2 [COMPLETE OUTBOUND_QUEUE]",
    ]
    with Recorder(LOGOFF, "j.jsonl") as journal:
        one, two = run("", ready=1), run("")
        journal.attach(one, "a")
        journal.attach(two, "b")
        one.outbound_begin()
    status, out, _ = step(capsys, "--from", "j.jsonl", "--session", "a", "--trace", "outbound_sent")
    assert status == 0
    assert [line.split(":")[0] for line in out.splitlines()[1:3]] == ["   1 outbound_begin", "   2 outbound_sent"]


def test_a_torn_journal_is_told_and_walked(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "j.jsonl").write_text(json.dumps(header(LOGOFF)) + '\n{"event": "submit"}\n{"eve')
    status, out, err = step(capsys, "--from", "j.jsonl")
    assert (status, err) == (0, "fsm step: j.jsonl: line 3 was cut off in the middle of writing and is left out\n")
    assert out.splitlines()[1] == "   1 submit: open, ready 1 [OUTBOUND_QUEUE]"


WRONG = {
    "unknown event": (["--trace", "submit,subtmi"], "event 2 of the trace: store-logoff has no event 'subtmi'; did you mean"),
    "hostile event": (["--trace", "\x1b[2J"], "event 1 of the trace: store-logoff has no event '\\x1b[2J'"),
    "no file": (["--from", "nowhere"], "cannot read nowhere: No such file or directory"),
    "a folder": (["--from", "."], "cannot read .: Is a directory"),
    "another chart's snapshot": (["--from", "other.json"], "other.json: this is no snapshot of store-logoff: "),
    "a damaged snapshot": (["--from", "damaged.json"], "damaged.json: this is no snapshot of store-logoff: its values"),
    "a corrupt journal": (["--from", "corrupt.jsonl"], "corrupt.jsonl: line 2: this is no JSON"),
    "a journal that diverges": (["--from", "diverges.jsonl"], 'diverges.jsonl: line 2: submit of session'),
    "no journal": (["--from", "strange_charts.py"], "strange_charts.py: line 1: this is no JSON"),
    "binary": (["--from", "binary"], "binary: line 1: this is no JSON"),
    "empty": (["--from", "empty"], "empty: line 1: the file is empty"),
    "no such session": (["--from", "good.jsonl", "--session", "x"], "good.jsonl: no session 'x'; it has the sessions 'default'"),
    "a session of nothing": (["--session", "x"], "--session names a session of a journal; say which"),
    "no such goal": (["--goal", "x\x1b"], "store-logoff has no state or output 'x\\x1b' (it has released, COMPLETE, "),
    "no such chart": (["--chart", "nope:X"], "cannot import 'nope'"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_one_sentence(case: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    head = json.dumps(header(LOGOFF)) + "\n"
    files = {
        "other.json": json.dumps({**run("").snapshot(), "chart": "other", "fingerprint": "0" * 16}),
        "damaged.json": json.dumps({**run("").snapshot(), "values": {}}),
        "corrupt.jsonl": head + "{\n" + '{"event": "submit"}\n',
        "diverges.jsonl": head + '{"event": "submit", "ready": 2}\n',
        "good.jsonl": head + '{"event": "submit"}\n',
        "empty": "",
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    (folder / "binary").write_bytes(bytes(range(128, 256)) * 9)
    words, told = WRONG[case]
    status, out, err = step(capsys, *words)
    assert (status, out) == (2, "")
    assert err.startswith(f"fsm step: {told}")
    assert err.count("\n") == 1
    assert "\x1b" not in err


def test_hostile_names_are_printed_literally(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = step(capsys, "--chart", "strange_charts:NAMES", "--trace", "<go>\x07")
    assert (status, err) == (0, "")
    assert "[red]x[/red]\\x1b[31m, from a\\x1b[2Jb [\\x1b]0;x]\n   1 <go>\\x07: [bold]c [\\x1b]0;x]\n" in out
    assert "  \\u202eog: [bold]c is final\n" in out
    assert all(line.isprintable() for line in out.splitlines())


def test_what_the_output_cannot_hold_is_written_out(folder: Path) -> None:
    (folder / "wide.py").write_text(HOSTILE.replace("[bold]c", "日本"))
    done = subprocess.run(
        [FSM, "step", "--chart", "wide:NAMES", "--trace", "<go>\x07"],
        env={**os.environ, "PYTHONIOENCODING": "ascii"}, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "<go>\\x07: \\u65e5\\u672c [" in done.stdout


# ------------------------------------------------------------------------------------------------- the real terminal


def test_without_textual_the_full_screen_says_what_to_install_and_the_walk_is_printed_all_the_same() -> None:
    script = "import sys; sys.modules['textual'] = None; from fsm.cli import main; sys.exit(main(sys.argv[1:]))"
    words = [sys.executable, "-c", script, "step"]
    ours, theirs = pty.openpty()
    try:
        done = subprocess.run(words, stdin=theirs, stdout=theirs, stderr=theirs, env={**os.environ, "TERM": "xterm"})
        told = os.read(ours, 10_000).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == 2
    assert told == (
        f"fsm step: the full screen needs Textual: {install_command('step')}, or print the walk with --format text\r\n"
    )
    printed = subprocess.run([*words, "--trace", "submit"], capture_output=True, text=True)
    assert (printed.returncode, printed.stderr) == (0, "")


@pytest.mark.parametrize("environment", [{"TERM": "dumb"}, {"TERM": ""}])
def test_a_terminal_that_cannot_show_a_screen_gets_the_walk_in_words(environment: dict[str, str]) -> None:
    ours, theirs = pty.openpty()
    try:
        done = subprocess.run(
            [FSM, "step", "--trace", "release"], stdin=theirs, stdout=theirs, stderr=theirs, env={**os.environ, **environment}
        )
        told = os.read(ours, 100_000).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == 0
    assert told.startswith("store-logoff, from open []\r\n")


class Tmux:
    """A terminal of its own: a tmux server with a socket in the test's folder, and `fsm step` in its one window."""

    def __init__(self, program: str, folder: Path, size: tuple[int, int], **environment: str) -> None:
        self.program, self.socket, self.folder = program, str(folder / "tmux.socket"), folder
        given = [word for name, value in environment.items() for word in ("-e", f"{name}={value}")]
        self("new-session", "-d", "-x", str(size[0]), "-y", str(size[1]), *given, "-c", str(folder), f"{FSM} step; echo the end; cat")

    def __call__(self, *words: str) -> str:
        done = subprocess.run(
            [self.program, "-S", self.socket, "-f", "/dev/null", *words], capture_output=True, text=True, check=True
        )
        return done.stdout

    def until(self, *wanted: str, colours: bool = False) -> str:
        """The screen, as soon as it shows all of these."""
        ends = time.monotonic() + 120
        while True:
            screen = self("capture-pane", "-p", *(["-e"] if colours else []))
            if all(one in screen for one in wanted):
                return screen
            assert time.monotonic() < ends, f"{wanted} did not come; the screen is\n{screen}"


@pytest.fixture
def tmux(tmp_path: Path) -> Iterator[type]:
    """The means to start a Tmux; its server ends with the test."""
    program = shutil.which("tmux")
    if program is None:
        told = "tmux is not installed (apt install tmux), so the full screen was not tried on a real terminal"
        if os.environ.get("CI") == "true":
            pytest.fail(told)
        pytest.skip(told)
    started: list[Tmux] = []

    class Mine(Tmux):
        def __init__(self, size: tuple[int, int], **environment: str) -> None:
            started.append(self)
            super().__init__(program, tmp_path, size, **environment)

    yield Mine
    for one in started:
        one("kill-server")


def test_the_full_screen_on_a_real_terminal(tmux: type[Tmux], tmp_path: Path) -> None:
    """80x24: steps by their keys, a refusal, undo, saving, resizing down to nothing useful and up again, leaving."""
    screen = tmux((80, 24), COLUMNS="80", LINES="24")  # type: ignore[call-arg, arg-type]
    shown = screen.until("▶║ open     ║", "trail 0/0", "o \N{MULTIPLICATION SIGN} peer_closed")
    assert "shortest way to released:\nlogoff_quiet" in "\n".join(line[:30].rstrip() for line in shown.splitlines())
    screen("send-keys", "7", "b")
    screen.until("trail 2/2 submit,outbound_begin", "output 0x40000 OUTBOUND", "outbound 1,")
    screen("send-keys", "3")
    screen.until("▶║ draining ║", "request ORDERLY", "trail 3/3")
    screen("send-keys", "7")
    screen.until("cannot submit while draining: not legal in draining", "trail 3/3")
    screen("send-keys", "u")
    screen.until("▶║ open     ║", "trail 2/3 submit,outbound_begin (logoff_orderly)")
    screen("send-keys", "Right")
    screen.until("▶║ draining ║", "trail 3/3")
    screen("send-keys", "s")
    screen.until("file to save the walk in")
    screen("send-keys", "walk.jsonl", "Enter")
    screen.until("saved 3 steps in walk.jsonl")
    assert Stepper.load(LOGOFF, tmp_path / "walk.jsonl").trace == "submit,outbound_begin,logoff_orderly"
    screen("resize-window", "-x", "40", "-y", "10")
    screen.until("This terminal is 40x10; fsm step needs")
    screen("resize-window", "-x", "120", "-y", "40")
    screen.until("▶║ draining ║", "f   outbound_deferred -> released, outbound -= 1, deferred += 1")
    screen("send-keys", "q")
    screen.until("the end")


def test_no_color_means_none(tmux: type[Tmux]) -> None:
    """With NO_COLOR no colour is sent: not for the present state, not for the chosen event, which is underlined."""
    screen = tmux((80, 24), NO_COLOR="1")  # type: ignore[call-arg, arg-type]
    screen.until("trail 0/0", "7   submit")
    screen("send-keys", "Down", "Down", "7")
    shown = screen.until("trail 1/1", colours=True)
    codes = {code for part in shown.split("\x1b[")[1:] for code in part.partition("m")[0].split(";")}
    assert codes <= {"", "0", "1", "2", "4", "39", "49"}
    assert {"1", "2", "4"} <= codes
