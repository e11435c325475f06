"""`fsm explore`: the page in a file, and every wrong word answered by one sentence; the server, its door, and its news."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from fsm.cli import main
from fsm.commands.explore_server import FollowedJournal, make_server, messages
from fsm.journal import Recorder
from fsm.journal.reader import header
from fsm.logoff import LOGOFF, StoreSession
from fsm.snapshot import encode
from tests import small_charts as small
from tests.browser.browsers import COMMITTED, logoff_bounds
from tests.support import program

WITHIN = [word for bound in logoff_bounds(2, 2, 1) for word in ("--bound", bound)]


def test_the_committed_page_is_what_the_command_writes(tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    assert main(["explore", *WITHIN, "--renderer", "embedded", "-o", str(file)]) == 0
    assert file.read_bytes() == COMMITTED.read_bytes()


def test_without_a_file_it_is_written_to_standard_output(capfdbinary: Any) -> None:
    assert main(["explore", "--chart", "tests.small_charts:PLAIN"]) == 0
    out, err = capfdbinary.readouterr()
    assert out.startswith(b"<!doctype html>")
    assert err == b""


def test_a_chart_without_an_end_has_a_page_with_its_rounds(capfdbinary: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    endless = small.chart("circle", [small.row("r", "a", "go", target="b"), small.row("s", "b", "go", target="a")], states=("a", "b"))  # type: ignore[arg-type]
    monkeypatch.setattr(small, "CIRCLE", endless, raising=False)
    assert main(["explore", "--chart", "tests.small_charts:CIRCLE"]) == 0
    assert b'"paths":[["p1",[[0,[0,0]]]]]' in capfdbinary.readouterr().out


@pytest.mark.parametrize("renderer", ["dot", "embedded"])
def test_a_very_dense_chart_has_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renderer: str) -> None:
    """Every state leads to every other: 380 arrows, and more paths than can be listed.  Graphviz used to take minutes."""
    states = [*(f"s{n}" for n in range(20)), small.DONE]
    moves = [(a, b) for a in range(20) for b in range(20) if a != b]
    rows = [small.row(f"{a}-{b}", f"s{a}", f"to{b}", target=f"s{b}") for a, b in moves]
    mesh = small.chart("mesh", [*rows, small.row("end", "s19", "end", target="done")], tuple(states))
    monkeypatch.setattr(small, "MESH", mesh, raising=False)
    file = tmp_path / "page.html"
    words = ["explore", "--chart", "tests.small_charts:MESH", "--renderer", renderer, "--timeout", "600", "-o", str(file)]
    assert main(words) == 0
    assert all(f'data-r="{n}"' in file.read_text() for n in range(len(moves)))
    assert '"more":true' in file.read_text()


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (["--chart", "nowhere"], 2, "a chart is given as module:NAME"),
        (["--chart", "tests.small_charts:ENDLESS"], 2, "endless has configurations without end: n can grow for ever"),
        (["--bound", "inbound <"], 2, "bound 'inbound <'"),
        (["--timeout", "0"], 2, "--timeout is a number of seconds above 0, not 0"),
        (["--limit", "-1"], 2, "--limit is a number of configurations above 0, not -1"),
        (["--limit", "2"], 2, "plain has more than 2 configurations"),
        (["--bound", "nonsense <= 1"], 2, "nonsense"),
        (["--renderer", "crayon"], 2, "there is no renderer 'crayon'; choose one of auto, dot, embedded"),
        (["--journal", "x"], 2, "--journal FILE goes with --serve"),
        (["--port", "80"], 2, "--port N goes with --serve"),
        (["--no-open"], 2, "--no-open goes with --serve"),
        (["--serve", "-o", "x.html"], 2, "--serve writes no file; give either --serve or -o FILE"),
        (["--serve", "--port", "70000"], 2, "--port is 0 to 65535, not 70000"),
        (["--serve", "--journal", "no/such/file"], 1, "cannot read no/such/file: No such file or directory"),
        (["-o", "no/such/folder/page.html"], 1, "cannot write no/such/folder/page.html: No such file or directory"),
        (["-o", "."], 1, "cannot write .: Is a directory"),
    ],
)  # fmt: skip
def test_wrong_words_are_answered_by_one_sentence(
    words: list[str], status: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if "--chart" not in words and "--bound" not in words:
        words = ["--chart", "tests.small_charts:PLAIN", *words]
    assert main(["explore", *words]) == status
    out, err = capsys.readouterr()
    assert told in err
    assert err.startswith("fsm explore: ")
    assert err.count("\n") == 1
    assert out == ""


def test_without_a_renderer_the_remedies_are_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PATH", "")
    assert main(["explore", "--chart", "tests.small_charts:DISTANT", "--bound", "n <= 5", "--renderer", "dot"]) == 1
    assert "install Graphviz" in capsys.readouterr().err


def test_sentences_that_are_no_mapping_are_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(small, "SENTENCES", "S1", raising=False)
    assert main(["explore", "--chart", "tests.small_charts:PLAIN"]) == 2
    assert "SENTENCES beside tests.small_charts:PLAIN is str, not a mapping" in capsys.readouterr().err


# ------------------------------------------------------------------------------------------------------------ the server


@contextmanager
def serving(page: str = "<!doctype html>the page", journal: Path | None = None) -> Iterator[Any]:
    made = make_server(page, LOGOFF, journal)
    thread = Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield made
    finally:
        made.stopped.set()
        made.shutdown()
        thread.join()
        made.server_close()


def asked(made: Any, path: str, **headers: str) -> tuple[int, str, dict[str, str]]:
    connection = HTTPConnection("127.0.0.1", made.server_port, timeout=120)
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    found = response.status, response.read().decode(), dict(response.getheaders())
    connection.close()
    return found


def test_the_page_is_served_on_this_machine_alone() -> None:
    with serving() as made:
        assert made.server_address[0] == "127.0.0.1"
        assert made.address == f"http://127.0.0.1:{made.server_port}/"
        status, text, headers = asked(made, "/")
        assert (status, text) == (200, "<!doctype html>the page")
        assert headers["Content-Type"] == "text/html; charset=utf-8"
        assert headers["Cache-Control"] == "no-store"
        assert asked(made, "/favicon.ico")[0] == 204


@pytest.mark.parametrize("host", ["example.org", "127.0.0.1", "127.0.0.1:1", ""])
def test_another_hosts_name_is_turned_away(host: str) -> None:
    with serving() as made:
        status, text, _ = asked(made, "/", Host=host)
        assert status == 403
        assert made.address in text


@pytest.mark.parametrize("path", ["/events", "/../setup.cfg", "/x", "/?"])
def test_there_is_nothing_else(path: str) -> None:
    with serving() as made:
        assert asked(made, path)[0] == 404


def test_other_methods_are_refused() -> None:
    with serving() as made, pytest.raises(urllib.error.HTTPError, match="501"):
        urllib.request.urlopen(urllib.request.Request(made.address, data=b"x"), timeout=120)


def test_the_command_serves_and_ends_with_an_interrupt(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "fsm.cli", "explore", "--chart", "tests.small_charts:PLAIN", "--serve", "--no-open"]
    with program(*command) as process:
        assert process.stdout is not None
        address = process.stdout.readline().split()[0]
        with urllib.request.urlopen(address, timeout=120) as response:
            assert response.read().startswith(b"<!doctype html>")
        taken = address.rstrip("/").rpartition(":")[2]
        done = subprocess.run([*command, "--port", taken], capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert done.stderr == f"fsm explore: cannot listen on port {taken}: it is taken; another, or none, would do\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 0
        assert process.stdout.read() == "stopped\n"
        assert process.stderr is not None
        assert process.stderr.read() == ""


# -------------------------------------------------------------------------------------------------------------- the news


def listened(path: Path) -> list[dict[str, Any]]:
    """What a listener is told of a journal that ends at once."""
    stop = Event()
    stop.set()
    journal = FollowedJournal(path, stop)
    found = list(messages(LOGOFF, journal))
    journal.close()
    return found


def test_a_journal_is_told_as_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    session = StoreSession(ready=1)
    with Recorder(LOGOFF, path) as journal, serving(journal=path) as made:
        journal.attach(session, "a")
        with urllib.request.urlopen(made.address + "events", timeout=120) as stream:
            assert stream.headers["Content-Type"] == "text/event-stream"

            def told() -> dict[str, Any]:
                while not (line := stream.readline()).startswith(b"data: "):
                    assert line
                found: dict[str, Any] = json.loads(line[6:])
                return found

            first = told()
            assert first["again"]
            assert first["records"] == [{"session": "a", "start": True, "at": session.snapshot()}]
            for event, accepted in (("outbound_begin", True), ("outbound_begin", False), ("logoff_orderly", True)):
                try:
                    journal.fire(session, event)
                except Exception as refusal:
                    assert not accepted, refusal
                (record,) = told()["records"]
                assert (record["session"], record["event"], record["accepted"]) == ("a", event, accepted)
                assert record["at"] == session.snapshot()
                assert (record["reason"] is None) is accepted
            made.stopped.set()
            assert told()["over"] == "the server was stopped"


def test_half_a_line_is_waited_for(tmp_path: Path) -> None:
    path, stop = tmp_path / "journal.jsonl", Event()
    line = json.dumps({"session": "a", "event": "submit", "accepted": True})
    path.write_text(json.dumps(header(LOGOFF)) + "\n" + line + "\n" + line[:20])
    reading = FollowedJournal(path, stop)
    found = messages(LOGOFF, reading)
    assert [record["event"] for record in next(found)["records"]] == ["submit"]  # type: ignore[attr-defined]
    with path.open("a") as file:
        file.write(line[20:] + "\n")
    (record,) = next(found)["records"]  # type: ignore[attr-defined]
    assert record["at"]["values"]["ready"] == 2
    stop.set()
    assert next(found)["over"] == "the server was stopped"
    reading.close()


def lines(*told: object) -> str:
    return "".join(json.dumps(one) + "\n" for one in told)


SUBMIT = {"session": "a", "event": "submit", "accepted": True}
CASES = {
    "another chart": (lines(header(small.PLAIN)), "line 1: it is a journal of 'plain'"),
    "corrupt": (lines(header(LOGOFF), SUBMIT) + "nonsense\n", "line 3: this is no JSON"),
    "diverges": (lines(header(LOGOFF), SUBMIT, {**SUBMIT, "ready": 7}), "line 3: submit of session 'a' comes out otherwise: ready is 2, not 7"),
    "unknown event": (lines(header(LOGOFF), {"event": "explode"}), "line 2: store-logoff has no event 'explode'"),
    "too long": (lines(header(LOGOFF)) + "x" * (1 << 20) + "xx\n", "line 2: longer than 1,048,576 bytes"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "told"), CASES.values(), ids=CASES)
def test_a_journal_that_goes_wrong_is_said_and_what_was_before_it_is_told(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text(text)
    found = listened(path)
    assert found[-1]["over"].startswith(told)
    told_of = [record["event"] for message in found for record in message["records"]]
    assert told_of == ["submit"] * (text.count('"submit"'))


def test_a_journal_that_is_cut_short_under_its_reader_is_said(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text(lines(header(LOGOFF), SUBMIT, SUBMIT))
    reading = FollowedJournal(path, Event())
    found = messages(LOGOFF, reading)
    next(found)
    path.write_text("")
    assert next(found)["over"] == "the journal was shortened or replaced"
    reading.close()


def test_a_journal_that_goes_away_is_said(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text(lines(header(LOGOFF), SUBMIT))
    reading = FollowedJournal(path, Event())
    found = messages(LOGOFF, reading)
    next(found)
    path.unlink()
    assert next(found)["over"] == "the journal has gone"
    reading.close()


def test_a_long_journal_comes_in_large_messages(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text(lines(header(LOGOFF), *([SUBMIT, {"session": "a", "event": "abort_submit"}] * 600)))
    found = listened(path)
    assert [len(message["records"]) for message in found] == [500, 500, 200, 0]
    assert [message["again"] for message in found] == [True, False, False, False]
    assert found[2]["records"][-1]["at"] == encode(LOGOFF, LOGOFF.start())


def test_a_listener_that_has_gone_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is called while nothing happens may raise, and that ends the reading."""
    import fsm.commands.explore_server as served

    monkeypatch.setattr(served, "QUIET", served.PATIENCE)
    path = tmp_path / "journal.jsonl"
    path.write_text(lines(header(LOGOFF)))

    def gone() -> None:
        raise BrokenPipeError(32, "Broken pipe")

    reading = FollowedJournal(path, Event(), gone)
    assert "Broken pipe" in str(next(messages(LOGOFF, reading))["over"])
    reading.close()
