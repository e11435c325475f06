"""Journals: the events of sessions, one JSON line each, after a header with the chart's fingerprint.

    {"journal": 1, "chart": "store-logoff", "fingerprint": "…"}
    {"session": "a", "start": {"snapshot": 1, …}}
    {"session": "a", "seq": 1, "event": "submit", "accepted": true, "from": "open", "state": "open", …, "reason": null}

Theory.
1. A journal is only appended to, one write for each line, so that a crash can only tear the last line.  A torn line has
   no line end and is no JSON: it is dropped with a TornLine warning.  Any other line that cannot be read is an error
   that gives its number.
2. A *start* record is a snapshot of a session when its recording begins, or begins again.  An *entry* is an event that
   was accepted or refused, with the same keys as the answers of `fsm replay`, and with the event's data (`"data":
   {"amount": 5}`); `seq` counts from the start record.
3. A journal goes on when the chart has changed, with a second header.  What an older chart has written is read where
   migrations (`fsm.migration`) lead from there to the present one: its snapshots are moved, and an entry counts as a
   start in the configuration after it, moved, since the event may mean something else today.
4. Replay runs the entries on new sessions and compares each entry with what happens now, up to the first divergence.
   Keys that an entry lacks are not compared, and neither is the wording of a reason.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import BinaryIO, Final, NamedTuple

from fsm.chart import Chart, Configuration, Event
from fsm.condition import Datum
from fsm.data import NO_DATA
from fsm.errors import DataError, SnapshotError
from fsm.session import Session
from fsm.snapshot import (
    REMEDY,
    VERSION as SNAPSHOT_VERSION,
    Migrates,
    decode,
    encode,
    jsonable,
    migrated,
    route,
)
from fsm.verdict import Refused

__all__ = [
    "HEAD", "LONGEST", "VERSION", "Divergence", "JournalError", "Record", "Replayed", "Sections", "TornLine",
    "check_header", "data_of", "entry", "header", "is_torn", "parsed", "records", "replay", "replayed", "start",
]

VERSION: Final = 1
LONGEST: Final = 1 << 20
"""The greatest length of a line in bytes, so that a file without line ends cannot fill the memory."""
WORDS: Final = frozenset(
    ("session", "seq", "event", "accepted", "from", "state", "flags", "flag_names", "reason", "start", "journal")
)
HEAD: Final = b'{"journal": '


class JournalError(ValueError):
    """A journal cannot be read or written.  Nothing has changed.  `line` is the number of the line, from 1, or None."""

    def __init__(self, problem: str, line: int | None = None) -> None:
        self.line = line
        super().__init__(problem if line is None else f"line {line}: {problem}")


class TornLine(UserWarning):
    """The last line of a journal is incomplete, as after a crash, and was left out.  The lines before it are complete.

    `line` is its number, from 1.
    """

    def __init__(self, line: int) -> None:
        self.line = line
        super().__init__(f"line {line} was cut off in the middle of writing and is left out")


# ------------------------------------------------------------------------------------------------------------ lines


def header(chart: Chart) -> dict[str, object]:
    """Return the first line of a journal.  JournalError if a variable of the chart has the name of a key."""
    words = WORDS | {"data"} if any(event.data for event in chart.events) else WORDS
    if strange := [name for name in chart.names if name in words]:
        raise JournalError(f"{chart.name} cannot have a journal: its variable {strange[0]!r} is a word of journals")
    return {"journal": VERSION, "chart": chart.name, "fingerprint": chart.fingerprint}


def check_header(chart: Chart, line: Mapping[str, object]) -> None:
    """Raise JournalError unless the header is of this chart, with its present behaviour."""
    if line.get("journal") != VERSION:
        raise JournalError(f"its version is {line.get('journal')!r}, this program reads {VERSION}")
    if line.get("fingerprint") != chart.fingerprint:
        raise JournalError(
            f"it is a journal of {line.get('chart')!r} with the fingerprint {line.get('fingerprint')!r}, "
            f"not of {chart.name!r} with {chart.fingerprint!r}{REMEDY if line.get('chart') == chart.name else ''}"
        )


def start(chart: Chart, session: str, configuration: Configuration) -> dict[str, object]:
    """Return a start record.  The entries of the session follow, and their `seq` counts from 1."""
    return {"session": session, "start": encode(chart, configuration)}


def entry(
    chart: Chart,
    session: str,
    seq: int,
    event: str,
    before: Configuration,
    after: Configuration,
    reason: str | None,
    data: Mapping[str, Datum] = NO_DATA,
) -> dict[str, object]:
    """Return the entry of an event, which is also the answer of `fsm replay`; `reason` is None if it was accepted.

    `data` are those of the event, and there is no such key if it has none.
    """
    flags = chart.flags(after)
    values = {name: jsonable(value) for name, value in chart.values(after).items()}
    head = {"session": session, "seq": seq, "event": str(event), **({"data": dict(data)} if data else {})}
    head |= {"accepted": reason is None, "from": str(before[0])}
    tail = {"flags": flags, "flag_names": list(chart.flag_names(flags)), "reason": reason}
    return {**head, "state": str(after[0]), **values, **tail}


def data_of(event: Event, line: Mapping[str, object]) -> Mapping[str, Datum]:
    """Return the data of an event in a line, defaults included.  JournalError if they are missing or wrong.

    Of an event without data the key is not looked at, as other keys that are not known.
    """
    if not event.data:
        return NO_DATA
    given = line.get("data", {})
    if not isinstance(given, Mapping):
        raise JournalError(f'"data" must be an object, not {json.dumps(given)[:60]}')
    try:
        return event.complete(given)
    except DataError as error:
        raise JournalError(str(error)) from None


class Sections:
    """The lines of a journal in terms of the present chart, line by line (theory, 3)."""

    def __init__(self, chart: Chart, migrations: Iterable[Migrates]) -> None:
        self.chart, self._migrations = chart, tuple(migrations)
        self._head: Mapping[str, object] = {}
        self._way: tuple[Migrates, ...] = ()

    @property
    def older(self) -> bool:
        """Whether an older chart has written what is read now."""
        return bool(self._way)

    def begins_with(self, line: Mapping[str, object]) -> bool:
        """Whether this line, which is not the first, is the header of a section that another chart has written."""
        is_header = "journal" in line and "event" not in line
        return is_header and (self.older or line.get("fingerprint") != self.chart.fingerprint)

    def begin(self, head: Mapping[str, object]) -> dict[str, object]:
        """Return the present header for one that is read.  JournalError if it is of another chart."""
        try:
            self._way = route(self.chart, head.get("fingerprint"), self._migrations)
        except SnapshotError as error:
            raise JournalError(error.problem) from None
        self._head = head
        check_header(self.chart, {**head, "fingerprint": self.chart.fingerprint} if self._way else head)
        return header(self.chart)

    def present(self, line: Mapping[str, object]) -> Mapping[str, object]:
        """Return the record for one that is read.  JournalError if it cannot be moved to the present chart."""
        if not self.older:
            return line
        session = line.get("session", "default")
        try:
            if "event" not in line:
                old = line.get("start")
                return {**line, "start": migrated(self.chart, old, self._way)} if isinstance(old, Mapping) else line
            if "state" not in line:
                raise JournalError("this entry of an older chart does not say where it led, so it cannot be moved")
            values = {name: one for name, one in line.items() if name not in WORDS and not isinstance(one, Mapping)}
            words = {"chart": self._head.get("chart"), "fingerprint": self._head.get("fingerprint")}
            old = {"snapshot": SNAPSHOT_VERSION, **words, "state": line["state"], "values": values}
            return {"session": session, "start": migrated(self.chart, old, self._way)}
        except SnapshotError as error:
            raise JournalError(error.problem) from None


# ---------------------------------------------------------------------------------------------------------- reading


class Record(NamedTuple):
    """A line after the header: a session begins in the configuration `start`, or `start` is None and `event` happened.

    `data` is the object as it was read.
    """

    line: int
    session: str
    start: Configuration | None
    event: str
    data: Mapping[str, object]


def records(chart: Chart, source: BinaryIO, migrations: Iterable[Migrates] = ()) -> Iterator[Record]:
    """Read the records of a journal.  A torn last line is dropped with a TornLine warning.

    What an older chart has written is moved by the migrations (theory, 3).
    JournalError, with the number of the line, if it is corrupt or of another chart; the records before it are valid.
    """
    number, sections = 0, Sections(chart, migrations)
    while line := source.readline(LONGEST + 1):
        number += 1
        data = parsed(line, number)
        if data is None:
            warnings.warn(TornLine(number), stacklevel=2)
            return
        try:
            if number == 1 and "journal" not in data:
                raise JournalError(f"a journal begins with a header like {json.dumps(header(chart))}")
            if number == 1 or sections.begins_with(data):
                sections.begin(data)
            else:
                yield _record(chart, sections.present(data), number)
        except JournalError as error:
            raise error if error.line else JournalError(str(error), number) from None
    if not number:
        raise JournalError(f"the file is empty; a journal begins with a header like {json.dumps(header(chart))}", 1)


def is_torn(line: bytes, number: int) -> bool:
    """Whether a line that is no JSON is the beginning of one, without a line end, as after a crash.

    It may end with zero bytes, which some file systems leave after a power failure.
    """
    if line.endswith(b"\n"):
        return False
    with suppress(ValueError, RecursionError):
        json.loads(line)
        return False
    rest = line.rstrip(b"\0")
    # more than a brace is required of the first line, so that a damaged file of another kind is not taken for a journal
    return HEAD.startswith(rest[: len(HEAD)]) if number == 1 else rest[:1] in (b"", b"{")


def parsed(line: bytes, number: int) -> Mapping[str, object] | None:
    """Return the object in a line of a journal; None if the line is torn.  JournalError if it is invalid."""
    if len(line) > LONGEST:
        raise JournalError(f"longer than {LONGEST:,} bytes", number)
    try:
        data = json.loads(line.decode())
    except (ValueError, RecursionError):
        if is_torn(line, number):
            return None
        raise JournalError("this is no JSON", number) from None
    if not isinstance(data, dict):
        raise JournalError(f"expected an object, not {type(data).__name__}", number)
    return data


def _record(chart: Chart, data: Mapping[str, object], number: int) -> Record:
    session, event = data.get("session", "default"), data.get("event")
    if not isinstance(session, str):
        raise JournalError('"session" must be a string')
    if "event" in data:
        if not isinstance(event, str) or event not in chart.events:
            raise JournalError(f"{chart.name} has no event {event!r}")
        data_of(chart.event(event), data)
        return Record(number, session, None, event, data)
    if "start" not in data:
        wrong = "a second header" if "journal" in data else 'neither an "event" nor a "start"'
        raise JournalError(f"{wrong}; entries follow the first line")
    try:
        return Record(number, session, decode(chart, data["start"]), "", data)
    except SnapshotError as error:
        raise JournalError(str(error)) from None


# ------------------------------------------------------------------------------------------------------------ replay


class Divergence(NamedTuple):
    """An entry that is not what happens now: `line`, the entry's values in `expected`, and the present ones in `found`.

    Both contain only the keys that differ.
    """

    line: int
    session: str
    event: str
    expected: dict[str, object]
    found: dict[str, object]

    def __str__(self) -> str:
        differ = [f"{k} is {json.dumps(self.found[k])}, not {json.dumps(self.expected[k])}" for k in self.expected]
        return f"line {self.line}: {self.event} of session {self.session!r} comes out otherwise: {', '.join(differ)}"


class Replayed(NamedTuple):
    """A record and its replay: the configuration after it, and the entry as it would be written now."""

    record: Record
    configuration: Configuration
    entry: dict[str, object]
    divergence: Divergence | None


def replayed(chart: Chart, source: BinaryIO, migrations: Iterable[Migrates] = ()) -> Iterator[Replayed]:
    """Replay a journal on new sessions, record by record, up to the first divergence.

    What an older chart has written is moved by the migrations, and not run.

    A session without a start record starts in the chart's initial configuration.  Errors and warnings as in `records`.
    """
    new = Session.of(chart)
    sessions: dict[str, tuple[Session, int]] = {}
    for record in records(chart, source, migrations):
        if record.start is not None:
            sessions[record.session] = new.unchecked(record.start), 0
            yield Replayed(record, record.start, {}, None)
            continue
        session, seq = sessions.get(record.session) or (new(), 0)
        sessions[record.session] = session, seq + 1
        before, reason = session.configuration, None
        data = data_of(chart.event(record.event), record.data)
        try:
            session.fire(record.event, **data)
        except Refused as refusal:
            reason = refusal.verdict.reason
        except AttributeError as error:
            problem = f"{record.event} cannot be replayed: its guard reads more than the variables ({error})"
            raise JournalError(problem, record.line) from error
        now = entry(chart, record.session, seq + 1, record.event, before, session.configuration, reason, data)
        told = [k for k in now if k in record.data and k not in ("reason", "data")]
        differ = [k for k in told if not _same(record.data[k], now[k])]
        expected, found = {k: record.data[k] for k in differ}, {k: now[k] for k in differ}
        divergence = Divergence(record.line, record.session, record.event, expected, found) if differ else None
        yield Replayed(record, session.configuration, now, divergence)
        if divergence:
            return


def replay(chart: Chart, source: BinaryIO, migrations: Iterable[Migrates] = ()) -> Divergence | None:
    """Replay a journal on new sessions and return the first divergence, or None.  Errors as in `records`."""
    return next((one.divergence for one in replayed(chart, source, migrations) if one.divergence), None)


def _same(then: object, now: object) -> bool:
    return type(then) is type(now) and then == now  # 1 and true are different in JSON
