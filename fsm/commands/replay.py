"""`fsm replay [FILE|-]`: a stream of events in, a stream of answers out, one JSON line each.

In:   {"event": "logoff_orderly", "session": "a"}          (session "default" when left out; other keys are ignored)
Out:  {"session", "seq", "event", "accepted", "from", "state", <each variable>, "flags", "flag_names", "reason"}

A refused event is an answer, not an error; `--strict` stops at the first one with exit status 1.  A line that is no
such object, or names an unknown event, is an error with the line's number and exit status 2; what was answered stays.
A journal's header is checked against the chart's fingerprint and not answered.
Answers are written whenever the input pauses, so the command can stand in a pipe and be asked line by line.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from json.encoder import encode_basestring_ascii as quoted
from pathlib import Path
from typing import BinaryIO, Final, cast

from fsm.chart import Chart, Configuration
from fsm.commands import DEFAULT_CHART, CommandError, find_chart
from fsm.journal import JournalError, check_header
from fsm.session import Session
from fsm.snapshot import jsonable
from fsm.verdict import Refused

__all__ = ["add_arguments", "run"]

MARK: Final = b"\xef\xbb\xbf"
"""What some editors put before the first line of UTF-8."""
LONGEST: Final = 1 << 20
"""Bytes of a line; a longer one is an error, so that a stream without line ends cannot fill the memory."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `fsm replay`."""
    parser.add_argument("file", nargs="?", default="-", help="JSON Lines, or - for standard input (default)")
    parser.add_argument("--strict", action="store_true", help="stop at the first refused event, exit status 1")
    parser.add_argument("--chart", default=DEFAULT_CHART, help="module:NAME (default %(default)s)")


def run(args: argparse.Namespace) -> int:
    """Answer the stream; the exit status."""
    chart = find_chart(args.chart)
    if args.file == "-":
        return _replay(sys.stdin.buffer, chart, args.strict)
    try:
        with Path(args.file).open("rb") as source:
            return _replay(source, chart, args.strict)
    except IsADirectoryError as error:
        raise CommandError(f"{args.file} is a folder, not a file of JSON lines") from error
    except (FileNotFoundError, PermissionError) as error:
        raise CommandError(f"cannot read {args.file}: {error.strerror}") from error


def _replay(source: BinaryIO, chart: Chart, strict: bool) -> int:
    answer = _answerer(chart)
    number = 0
    for lines in _chunks(source):
        answers = []
        try:
            for line in lines:
                number += 1
                text, accepted = answer(line, number)
                if text:
                    answers.append(text)
                if strict and not accepted:
                    return 1
        except CommandError as error:
            raise CommandError(f"line {number}: {error}") from error
        finally:  # what was answered stays, whatever comes next
            sys.stdout.write("".join(answers))
            sys.stdout.flush()
    return 0


def _chunks(source: BinaryIO) -> Iterator[list[bytes]]:
    """The lines that are there, as often as there are some; a pause of the input ends a chunk, not a line."""
    rest = b""
    read: Callable[[int], bytes] = getattr(source, "read1", source.read)
    while chunk := read(1 << 16):
        rest += chunk
        if len(rest) > LONGEST and b"\n" not in rest:
            yield [rest]
            return
        *lines, rest = rest.split(b"\n")
        if lines:
            yield lines
    if rest:
        yield [rest]


def _answerer(chart: Chart) -> Callable[[bytes, int], tuple[str, bool]]:
    """The function from a line to its answer.  Everything that does not change from line to line is made here."""
    new = Session.of(chart)
    sessions: dict[str, Session] = {}
    counts: dict[str, int] = {}
    events = {str(event): quoted(event) for event in chart.events}
    tails = _Tails(chart)
    heads = {
        (accepted, state): f'"accepted": {json.dumps(accepted)}, "from": {quoted(state)}, '
        for state in map(str, chart.states)
        for accepted in (True, False)
    }

    def answer(line: bytes, number: int) -> tuple[str, bool]:
        entry = _parsed(line, number)
        try:
            event, name = cast("str", entry["event"]), entry.get("session", "default")
            known = events[event]
        except (KeyError, TypeError):
            if "journal" in entry:
                _check(chart, entry, number)
                return "", True
            raise CommandError(_wrong_event(chart, entry)) from None
        if type(name) is not str:
            raise CommandError(f'"session" must be a string, not {_short(name)}')
        session = sessions.get(name)
        if session is None:
            session = sessions[name] = new()
            counts[name] = 0
        counts[name] = seq = counts[name] + 1
        before = session.state
        reason = "null"
        try:
            getattr(session, event)()
        except Refused as refusal:
            reason = quoted(refusal.verdict.reason or "")
        accepted = reason == "null"
        told = f'{{"session": {quoted(name)}, "seq": {seq}, "event": {known}, '
        return f"{told}{heads[accepted, before]}{tails.of(session.configuration)}{reason}}}\n", accepted

    return answer


class _Tails:
    """The part of an answer that depends on the configuration alone.  The same ones come again and again."""

    def __init__(self, chart: Chart) -> None:
        self.chart = chart
        self.known: dict[Configuration, str] = {}

    def of(self, configuration: Configuration) -> str:
        """`"state": …, each variable, "flags": …, "flag_names": …, "reason": `."""
        text = self.known.get(configuration)
        if text is None:
            if len(self.known) > 4096:
                self.known.clear()
            flags = self.chart.flags(configuration)
            values = {name: jsonable(value) for name, value in self.chart.values(configuration).items()}
            told = {"state": configuration[0], **values, "flags": flags, "flag_names": self.chart.flag_names(flags)}
            text = self.known[configuration] = json.dumps(told)[1:-1] + ', "reason": '
        return text


def _parsed(line: bytes, number: int) -> dict[str, object]:
    if len(line) > LONGEST:
        raise CommandError(f"longer than {LONGEST:,} bytes")
    try:
        entry = json.loads(line.removeprefix(MARK).decode() if number == 1 else line.decode())
    except UnicodeDecodeError as error:
        raise CommandError(f"not UTF-8 (byte {error.start + 1} is 0x{line[error.start]:02x})") from None
    except json.JSONDecodeError as error:
        raise CommandError(f"not JSON: {error.msg} at column {error.colno}") from None
    except (ValueError, RecursionError):
        raise CommandError("not JSON that can be read: nested too deeply, or a number with too many digits") from None
    if not isinstance(entry, dict):
        raise CommandError(f'expected an object like {{"event": "submit"}}, not {_short(entry)}')
    return entry


def _wrong_event(chart: Chart, entry: dict[str, object]) -> str:
    if "event" not in entry:
        return f'the object has no "event" (it has {", ".join(map(_short, entry)) or "nothing"})'
    event = entry["event"]
    if not isinstance(event, str):
        return f'"event" must be a string, not {_short(event)}'
    return f"{chart.name} has no event {_short(event)} (it has {', '.join(chart.events)})"


def _check(chart: Chart, entry: dict[str, object], number: int) -> None:
    if number > 1:
        raise CommandError("a journal's header must be its first line")
    try:
        check_header(chart, entry)
    except JournalError as error:
        raise CommandError(str(error)) from error


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
