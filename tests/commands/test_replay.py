"""`fsm replay`: one answer for each line, and one clear sentence for a line that is none."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fsm.cli import main
from fsm.journal import reader as journal
from fsm.logoff import LOGOFF, StoreSession
from tests.support import configurations

FSM = [sys.executable, "-m", "fsm.cli"]
KEYS = ["session", "seq", "event", "accepted", "from", "state", "request", "inbound", "outbound", "ready", "deferred",
        "peers", "flags", "flag_names", "reason"]  # fmt: skip


def replay(*words: str, given: bytes = b"") -> tuple[int, list[dict[str, Any]], str]:
    done = subprocess.run([*FSM, "replay", *words], input=given, capture_output=True)
    assert b"Traceback" not in done.stderr
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr.decode()


def lines(*entries: object) -> bytes:
    return b"".join(json.dumps(entry).encode() + b"\n" for entry in entries)


def test_the_answers_have_the_documented_keys_and_values() -> None:
    status, answers, errors = replay(given=lines(
        {"event": "submit"}, {"event": "outbound_begin", "session": "b"}, {"event": "logoff_no_wait"},
        {"event": "outbound_begin"}, {"event": "outbound_sent"}, {"event": "submit"}, {"event": "release"},
    ))  # fmt: skip
    assert (status, errors) == (0, "")
    assert all(list(answer) == KEYS for answer in answers)
    told = [(a["session"], a["seq"], a["accepted"], a["from"], a["state"], a["request"], a["flag_names"]) for a in answers]
    assert told == [
        ("default", 1, True, "open", "open", None, ["OUTBOUND_QUEUE"]),
        ("b", 1, False, "open", "open", None, []),
        ("default", 2, True, "open", "draining", "NO_WAIT", ["OUTBOUND_QUEUE"]),
        ("default", 3, True, "draining", "draining", "NO_WAIT", ["OUTBOUND"]),
        ("default", 4, True, "draining", "released", "NO_WAIT", ["COMPLETE"]),
        ("default", 5, False, "released", "released", "NO_WAIT", ["COMPLETE"]),
        ("default", 6, True, "released", "released", "NO_WAIT", ["COMPLETE"]),
    ]
    assert [a["reason"] for a in answers if not a["accepted"]] == ["needs ready > 0; ready is 0", "released is final"]


def test_it_answers_as_sessions_do_everywhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The way to every configuration, then every event: each answer is the session's."""
    entries, expected = [], []
    for number, here in enumerate(configurations(1, 1, 1)):
        for event in LOGOFF.events:
            name = f"{number}/{event}"
            session = StoreSession()
            for step in [*way(here), str(event)]:
                before = session.state
                verdict = session.may(step)
                if verdict:
                    session.fire(step)
                entries.append({"event": step, "session": name})
                expected.append((verdict.accepted, before, session.configuration, int(session.status), verdict.reason))
    file = tmp_path / "all.jsonl"
    file.write_bytes(lines(*entries))
    assert main(["replay", str(file)]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    for answer, (accepted, before, configuration, flags, reason) in zip(answers, expected, strict=True):
        request = configuration[1]
        told = [answer[key] for key in KEYS[3:13]]
        assert told == [accepted, before, configuration[0], request and request.name, *configuration[2:], flags]  # type: ignore[union-attr]
        assert answer["reason"] == reason


WAYS: dict[Any, list[str]] = {}


def way(goal: Any) -> list[str]:
    """A shortest trace to a configuration."""
    if not WAYS:
        WAYS[LOGOFF.start()] = []
        todo = [LOGOFF.start()]
        for here in todo:
            for event, verdict in StoreSession.unchecked(here).verdicts().items():
                if verdict:
                    session = StoreSession.unchecked(here)
                    session.fire(event)
                    if session.configuration not in WAYS and sum(session.configuration[2:]) <= 4:  # type: ignore[arg-type]
                        WAYS[session.configuration] = [*WAYS[here], event]
                        todo.append(session.configuration)
    return WAYS[goal]


def test_strict_stops_at_the_first_refusal() -> None:
    given = lines({"event": "submit"}, {"event": "peer_closed"}, {"event": "submit"})
    status, answers, _ = replay("--strict", given=given)
    assert (status, [a["accepted"] for a in answers]) == (1, [True, False])
    assert replay("--strict", given=lines({"event": "submit"}))[0] == 0


GOOD = lines({"event": "submit"})
BAD = {
    "not JSON": (b"submit\n", "not JSON: Expecting value at column 1"),
    "cut": (b'{"event": "sub', "not JSON: Expecting ',' delimiter"),
    "two on a line": (b'{"event": "submit"} {"event": "submit"}\n', "not JSON: Extra data"),
    "blank": (b"\n", "not JSON: Expecting value"),
    "a list": (b"[]\n", 'expected an object like {"event": "submit"}, not []'),
    "a string": (b'"submit"\n', 'not "submit"'),
    "null": (b"null\n", "not null"),
    "no event": (b'{"evnt": "submit"}\n', 'the object has no "event" (it has "evnt")'),
    "empty": (b"{}\n", 'the object has no "event" (it has nothing)'),
    "event null": (b'{"event": null}\n', '"event" must be a string, not null'),
    "event number": (b'{"event": 1}\n', '"event" must be a string, not 1'),
    "event list": (b'{"event": ["submit"]}\n', '"event" must be a string, not ["submit"]'),
    "event object": (b'{"event": {}}\n', '"event" must be a string, not {}'),
    "unknown event": (b'{"event": "sumbit"}\n', 'store-logoff has no event "sumbit" (it has logoff_quiet'),
    "method": (b'{"event": "__init__"}\n', 'has no event "__init__"'),
    "session number": (b'{"event": "submit", "session": 1}\n', '"session" must be a string, not 1'),
    "session null": (b'{"event": "submit", "session": null}\n', '"session" must be a string, not null'),
    "not UTF-8": (b'{"event": "submit", "session": "\xff"}\n', "not UTF-8 (byte 33 is 0xff)"),
    "UTF-16": ('{"event": "submit"}\n'.encode("utf-16"), "not UTF-8 (byte 1 is 0xff)"),
    "deep": (b"[" * 200_000 + b"\n", "nested too deeply"),
    "digits": (b'{"event": 1' + b"0" * 5000 + b"}\n", "a number with too many digits"),
    "long": (b'{"event": "submit", "session": "' + b"x" * (10 << 20) + b'"}\n', "longer than 1,048,576 bytes"),
    "long without an end": (b"x" * (10 << 20), "longer than 1,048,576 bytes"),
    "NUL": (b"\0\n", "not JSON"),
    "header in the middle": (lines(journal.header(LOGOFF)), "a journal's header must be its first line"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_line_is_named_and_what_was_answered_stays(case: str) -> None:
    bad, told = BAD[case]
    status, answers, errors = replay(given=GOOD * 2 + bad + GOOD)
    assert (status, len(answers)) == (2, 2)
    assert errors.startswith("fsm replay: line 3: ")
    assert told in errors
    assert errors.count("\n") == 1
    assert len(errors) < 600


def test_a_mark_of_utf_8_and_windows_line_ends_are_no_trouble() -> None:
    status, answers, _ = replay(given=b'\xef\xbb\xbf{"event": "submit"}\r\n{"event": "submit"}\r\n')
    assert (status, answers[-1]["ready"]) == (0, 2)


def test_a_journals_header_is_checked_and_not_answered() -> None:
    status, answers, _ = replay(given=lines(journal.header(LOGOFF), {"event": "submit"}))
    assert (status, len(answers)) == (0, 1)
    status, answers, errors = replay(given=lines({**journal.header(LOGOFF), "fingerprint": "0" * 16}, {"event": "submit"}))
    assert (status, answers) == (2, [])
    assert "line 1: it is a journal of 'store-logoff' with the fingerprint '0000000000000000'" in errors
    assert "its version is 9" in replay(given=lines({**journal.header(LOGOFF), "journal": 9}))[2]


@pytest.mark.parametrize(("words", "told"), [
    (["/nowhere/at/all"], "cannot read '/nowhere/at/all': No such file or directory"),
    (["/"], "cannot read '/': Is a directory"), ([""], "cannot read '': No such file or directory"),
    (["x" * 300], "File name too long"), (["/etc/passwd/x"], "Not a directory"), (["/proc/self/mem"], "cannot read the input"),
    (["--chart", ".:X"], "cannot import '.'"),
    (["--chart", "tests.leaving:X"], "cannot import 'tests.leaving': SystemExit: 3"),
    (["--chart", "tests.hostile:WORDS"], "words has a variable 'flags', which is a word of the answers themselves"),
    (["--chart", "nowhere"], "a chart is given as module:NAME"),
    (["--chart", "no.module:X"], "cannot import 'no.module'"),
    (["--chart", "fsm.logoff:NOPE"], "module 'fsm.logoff' has no 'NOPE'"),
    (["--chart", "fsm.logoff:Logoff"], "is EnumType, not a Chart"),
])  # fmt: skip
def test_what_cannot_be_read_is_named(words: list[str], told: str) -> None:
    status, answers, errors = replay(*words)
    assert (status, answers) == (2, [])
    assert told in errors


def test_another_chart_is_replayed_with_its_own_variables() -> None:
    status, answers, _ = replay("--chart", "tests.test_session:DOOR", given=lines({"event": "push"}, {"event": "pull"}))
    assert status == 0
    assert answers[0] == {"session": "default", "seq": 1, "event": "push", "accepted": True, "from": "open",
                          "state": "shut", "n": 1, "flags": 0, "flag_names": [], "reason": None}  # fmt: skip


@pytest.mark.parametrize("command", ["replay", "tour"])
def test_an_output_that_cannot_be_written_is_told(command: str) -> None:
    done = subprocess.run(["bash", "-c", f"{' '.join(FSM)} {command} > /dev/full"], input=GOOD, capture_output=True)
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.decode() == f"fsm {command}: cannot write the output: No space left on device\n"


@pytest.mark.parametrize("closed", ["<&-", ">&-"])
def test_a_closed_input_or_output_is_an_empty_one(closed: str) -> None:
    done = subprocess.run(["bash", "-c", f"{' '.join(FSM)} replay {closed}"], input=GOOD, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")


def test_an_input_that_does_not_wait_is_waited_for() -> None:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    with subprocess.Popen([*FSM, "replay"], stdin=reading, stdout=subprocess.PIPE) as process:
        os.close(reading)
        assert process.stdout is not None
        for number in (1, 2):
            os.write(writing, GOOD)
            assert json.loads(process.stdout.readline())["ready"] == number
        os.close(writing)
    assert process.returncode == 0


def test_a_guard_that_fails_is_told_by_line_and_name() -> None:
    status, _, errors = replay("--chart", "tests.hostile:FAILING", given=lines({"event": "go"}))
    assert (status, errors) == (2, "fsm replay: line 1: go failed: ZeroDivisionError: integer division or modulo by zero\n")


def test_an_event_may_be_called_like_something_of_sessions() -> None:
    _, answers, _ = replay("--chart", "tests.hostile:TAKEN", given=lines({"event": "state"}, {"event": "post"}))
    assert [a["accepted"] for a in answers] == [True, True]


def test_it_answers_each_line_as_it_comes() -> None:
    with subprocess.Popen([*FSM, "replay"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for number in range(1, 4):
            process.stdin.write(GOOD)
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["ready"] == number
        process.stdin.close()
    assert process.returncode == 0


def test_a_reader_that_goes_away_ends_it_quietly() -> None:
    command = f"yes '{GOOD.decode().strip()}' | {' '.join(FSM)} replay | head -2"
    done = subprocess.run(["bash", "-c", command + "; echo ${PIPESTATUS[1]}"], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "141"
    assert done.stderr == ""


def test_an_interrupt_ends_it_quietly_and_the_answers_stay() -> None:
    with subprocess.Popen(
        [*FSM, "replay"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(GOOD)
        process.stdin.flush()
        assert process.stdout.readline()
        os.kill(process.pid, signal.SIGINT)
        assert process.wait() == 130
        assert process.stderr.read() == b""
