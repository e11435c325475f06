"""`fsm replay [FILE|-]`: a stream of events in, a stream of answers out, one JSON line each.

In:   {"event": "logoff_orderly", "session": "a"}          (session "default" when left out; other keys are ignored)
      {"event": "pay", "data": {"amount": 5}}              (of an event with data, which the answer has after "event")
Out:  {"session", "seq", "event", "accepted", "from", "state", <each variable>, "flags", "flag_names", "reason"}

A refused event is an answer, not an error; `--strict` stops at the first one with exit status 1.  A line that is no
such object, or names an unknown event, is an error with the line's number and exit status 2; earlier answers stay.
A journal is such a stream: its header is checked against the chart's fingerprint, a start record puts its session into
the configuration of the snapshot, and neither is answered; a last line torn by a crash is reported on standard error.
For a store's database the command reads its journal.
Every session is kept, so memory grows with their number.  Answers are written whenever the input pauses, so the command
works in a pipe, line by line.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from functools import lru_cache
from json.encoder import encode_basestring_ascii as quoted
from select import select
from typing import BinaryIO, Final, cast

from fsm.callables import reads_more
from fsm.chart import Chart, Configuration
from fsm.commands import DEFAULT_CHART, CommandError
from fsm.commands.chart_files import CHART, find_chart
from fsm.commands.journals import is_database, open_database
from fsm.errors import SnapshotError
from fsm.journal.reader import JournalError, TornLine, check_header, data_of, is_torn
from fsm.session import Session
from fsm.snapshot import jsonable
from fsm.verdict import Refused

__all__ = ["add_arguments", "run"]

SOURCE: Final = "JSON Lines, a store's database (a file, or a postgresql URL), or - for standard input (default)"
WORDS: Final = {"session", "seq", "event", "accepted", "from", "state", "flags", "flag_names", "reason"}
"""The keys of an answer beside the variables."""
MARK: Final = b"\xef\xbb\xbf"
"""The byte order mark that some editors put before UTF-8."""
LONGEST: Final = 1 << 20
"""The most bytes of a line, so that a stream without line ends cannot fill the memory."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("file", nargs="?", default="-", help=SOURCE)
    parser.add_argument("--strict", action="store_true", help="stop at the first refused event, exit status 1")
    parser.add_argument("--chart", default=DEFAULT_CHART, metavar="CHART", help=CHART)


def run(args: argparse.Namespace) -> int:
    """Answer the stream, and return the exit status."""
    chart = find_chart(args.chart)
    if args.file == "-":
        return _replay(sys.stdin.buffer, chart, args.strict)
    if is_database(args.file):
        with open_database(args.file) as journal:
            return _replay(journal, chart, args.strict)
    try:
        source = open(args.file, "rb")  # noqa: SIM115, PTH123 - an empty name must not become the present folder
    except (OSError, ValueError) as error:
        raise CommandError(f"cannot read {args.file!r}: {getattr(error, 'strerror', None) or error}") from error
    with source:
        return _replay(source, chart, args.strict)


def _replay(source: BinaryIO, chart: Chart, strict: bool) -> int:
    answer = _answerer(chart)
    number, journal = 0, False
    for lines, whole in _chunks(source):
        answers = []
        try:
            for line in lines:
                number += 1
                if journal and not whole and is_torn(line, number):
                    print(f"fsm replay: {TornLine(number)}", file=sys.stderr)
                    break
                text, accepted = answer(line, number)
                journal = journal or (number == 1 and not text)  # a header is not answered
                if text:
                    answers.append(text)
                if strict and not accepted:
                    return 1
        except CommandError as error:
            raise CommandError(f"line {number}: {error}") from error
        finally:  # earlier answers are written, whatever happens
            sys.stdout.write("".join(answers))
            sys.stdout.flush()
    return 0


def _chunks(source: BinaryIO) -> Iterator[tuple[list[bytes], bool]]:
    """Yield the complete lines whenever some have arrived, and whether the last of them has a line end.

    A pause of the input ends a chunk, but never a line.
    """
    rest = b""
    while chunk := _read(source):
        rest += chunk
        if len(rest) > LONGEST and b"\n" not in rest:
            yield [rest], True  # too long for a torn line
            return
        *lines, rest = rest.split(b"\n")
        if lines:
            yield lines, True
    if rest:
        yield [rest], False


def _read(source: BinaryIO) -> bytes:
    """Read what has arrived, and wait while there is nothing, even when the input is non-blocking."""
    # unbuffered: a buffered reader takes a non-blocking input that is empty now for one that has ended
    read: Callable[[int], bytes | None] = getattr(source, "raw", source).read
    while True:
        try:
            chunk = read(1 << 16)
        except OSError as error:
            raise CommandError(f"cannot read the input: {error.strerror}") from error
        if chunk is not None:
            return chunk
        select([source], [], [])


def _answerer(chart: Chart) -> Callable[[bytes, int], tuple[str, bool]]:
    """Make the function from a line to its answer, with everything that is the same for all lines."""
    with_data = {str(event): event for event in chart.events if event.data}
    if taken := sorted((WORDS | {"data"} if with_data else WORDS) & {*chart.names}):
        raise CommandError(f"{chart.name} has a variable {taken[0]!r}, which is a word of the answers themselves")
    new = Session.of(chart)
    sessions: dict[str, Session] = {}
    counts: dict[str, int] = {}
    events = {event: (quoted(event), trigger) for event, trigger in new.compiled().triggers.items()}
    heads = {
        (accepted, state): f'"accepted": {json.dumps(accepted)}, "from": {quoted(state)}, '
        for state in map(str, chart.states)
        for accepted in (True, False)
    }

    @lru_cache(maxsize=4096)
    def tail(configuration: Configuration) -> str:
        """Return the part of an answer that depends on the configuration alone, up to the value of `reason`."""
        flags = chart.flags(configuration)
        values = {name: jsonable(value) for name, value in chart.values(configuration).items()}
        part = {"state": configuration[0], **values, "flags": flags, "flag_names": chart.flag_names(flags)}
        try:
            return json.dumps(part)[1:-1] + ', "reason": '
        except ValueError as error:
            raise CommandError("a count has more digits than Python writes") from error

    def answer(line: bytes, number: int) -> tuple[str, bool]:
        entry = _parsed(line, number)
        try:
            event, name = cast("str", entry["event"]), entry.get("session", "default")
            known, trigger = events[event]
        except (KeyError, TypeError):
            if "event" not in entry and ("journal" in entry or "start" in entry):
                if "journal" in entry:
                    _check(chart, entry, number)
                else:
                    name = _name(entry)
                    sessions[name], counts[name] = _started(new, entry), 0
                return "", True
            raise CommandError(_wrong_event(chart, entry)) from None
        if type(name) is not str:
            name = _name(entry)
        session = sessions.get(name)
        if session is None:
            session = sessions[name] = new()
            counts[name] = 0
        counts[name] = seq = counts[name] + 1
        before = session.state
        reason = "null"
        try:
            if event in with_data:
                data = data_of(with_data[event], entry)
                known += f', "data": {json.dumps(data)}'
                trigger(session, **data)
            else:
                trigger(session)
        except Refused as refusal:
            reason = quoted(refusal.verdict.reason or "")
        except JournalError as error:
            raise CommandError(str(error)) from error
        except Exception as error:  # from a callable guard
            problem = f"{event} failed: {type(error).__name__}: {error}{reads_more(error)}"
            raise CommandError(problem) from error
        accepted = reason == "null"
        asked = f'{{"session": {quoted(name)}, "seq": {seq}, "event": {known}, '
        return f"{asked}{heads[accepted, before]}{tail(session.configuration)}{reason}}}\n", accepted

    return answer


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


def _name(entry: dict[str, object]) -> str:
    name = entry.get("session", "default")
    if not isinstance(name, str):
        raise CommandError(f'"session" must be a string, not {_short(name)}')
    return name


def _started(new: type[Session], entry: dict[str, object]) -> Session:
    try:
        return new.restore(entry["start"])
    except SnapshotError as error:
        raise CommandError(str(error)) from error


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
