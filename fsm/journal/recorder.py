"""The recorder: writes the events of running sessions to a journal, in the format of `reader.py`.

    with Recorder(LOGOFF, "session.jsonl") as journal:
        journal.attach(session, "a")
        journal.fire(session, "submit")         # or session.submit()

Theory.
1. A listener records accepted steps.  Refusals reach no listener: they are recorded for events fired by `journal.fire`.
2. A listener that raises after a step keeps the listeners behind it from being called.  The next step shows that one is
   missing, as it does after a full disk, and a new start record is written.
3. A record is one write.  If it fails in the middle, the incomplete line is removed and the error reaches the caller.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from threading import RLock
from typing import BinaryIO, Literal, Self
from weakref import ref

from fsm.chart import Chart, Configuration
from fsm.condition import Datum
from fsm.data import NO_DATA
from fsm.journal.reader import HEAD, LONGEST, JournalError, Sections, TornLine, entry, header, parsed, start
from fsm.session import Session, Step
from fsm.snapshot import Migrates
from fsm.verdict import Refused

__all__ = ["Recorder"]


class _Recording:
    """An attached session in its journal, and the listener that records its accepted steps.

    `last` is the configuration after the last record, and `seq` the number of that record.
    """

    def __init__(self, journal: Recorder, name: str, configuration: Configuration) -> None:
        self.journal, self.name = journal, name
        self.begin(configuration)

    def begin(self, configuration: Configuration) -> None:
        self.journal._write(start(self.journal.chart, self.name, configuration))
        self.last, self.seq = configuration, 0

    def on_transition(self, step: Step) -> None:
        self.append(step.event, step.before, step.after, None, step.data)

    def append(
        self, event: str, before: Configuration, after: Configuration, reason: str | None, data: Mapping[str, Datum]
    ) -> None:
        with self.journal._lock:
            if self.last != before:  # a step is missing: another listener raised, or the disk was full
                self.begin(before)
            chart, seq = self.journal.chart, self.seq + 1
            self.journal._write(entry(chart, self.name, seq, event, before, after, reason, data))
            self.last, self.seq = after, seq


class Recorder:
    """A journal file to which sessions can be attached.  A context manager; or call `close()`.

    When a trigger has returned, its record is written and survives the process; with `sync` it has reached the disk.
    One process writes a journal at a time; sessions of several threads may share it.
    An existing journal is continued: a torn last line is removed with a TornLine warning.  JournalError if it is no
    journal of this chart or is being written by another process, and OSError if the system refuses; then the file is
    unchanged.  A journal of an older chart goes on behind a second header if `migrations` lead from there to this one.
    """

    def __init__(
        self, chart: Chart, path: str | Path, *, sync: bool = False, migrations: Iterable[Migrates] = ()
    ) -> None:
        header(chart)  # not every chart can have a journal: find out before the file is created
        self.chart, self.path, self.sync = chart, Path(path), sync
        self._lock = RLock()
        self._recordings: dict[int, tuple[ref[Session], _Recording]] = {}
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            self._continue(Sections(chart, migrations))
        except BaseException:
            self.close()
            raise

    def _continue(self, sections: Sections) -> None:
        _claim(self._file)
        with Path(self.path).open("rb") as source:
            first = source.readline(LONGEST + 1)
            head = parsed(first, 1) if first else None
            if head is not None:
                self._last_header(sections, head, source)
            size = source.seek(0, os.SEEK_END)
            source.seek(max(0, size - LONGEST - 1))
            tail = source.read().rpartition(b"\n")[2]
            if tail:
                source.seek(0)
                number = sum(1 for _ in source)
                if parsed(tail, number) is None:
                    warnings.warn(TornLine(number), stacklevel=4)
                    os.ftruncate(self._file, size - len(tail))
                else:
                    os.write(self._file, b"\n")  # the line is complete but for its end
        if head is None or sections.older:
            self._write(header(self.chart))

    def _last_header(self, sections: Sections, head: Mapping[str, object], source: BinaryIO) -> None:
        """Read on to the header that is valid at the end of the file."""
        number = 1
        try:
            sections.begin(head)
            while sections.older and (line := source.readline(LONGEST + 1)):
                number += 1
                if line.startswith(HEAD) and (head := parsed(line, number) or {}):
                    sections.begin(head)
        except JournalError as error:
            raise error if error.line else JournalError(str(error), number) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def attach(self, session: Session, name: str = "default") -> None:
        """Record the session's configuration, and its accepted steps from now on.

        ValueError if the session is of another chart, or if another attached one has this name.
        """
        if session.chart.fingerprint != self.chart.fingerprint:
            raise ValueError(f"this is a journal of {self.chart.name}, not of {session.chart.name}")
        with session.lock, self._lock:  # in the order in which a step takes them
            recordings = self._present()
            if (known := recordings.get(id(session))) is not None:
                raise ValueError(f"this session is attached already, as {known.name!r}")
            if name in {one.name for one in recordings.values()}:
                raise ValueError(f"a session {name!r} is attached already; give this one another name")
            recording = session.listen(_Recording(self, name, session.configuration))
            self._recordings[id(session)] = ref(session), recording

    def detach(self, session: Session) -> None:
        """Stop recording this session.  Do nothing if it is not attached."""
        with session.lock, self._lock:
            if (recording := self._present().get(id(session))) is not None:
                session.forget(recording)
                del self._recordings[id(session)]

    def fire(self, session: Session, event: str, /, **data: object) -> Literal[True]:
        """Call `session.fire(event, **data)`, and record and raise a refusal.

        If a listener's error cancels the step, there is nothing to record.  KeyError if the session is not attached.
        """
        recording = self._present()[id(session)]
        with session.lock:  # so that no other step comes between a refusal and its record
            before = session.configuration
            try:
                return session.fire(event, **data)
            except Refused as refusal:
                verdict = refusal.verdict
                if verdict.event == event and verdict.configuration == before == session.configuration:
                    recording.append(event, before, before, verdict.reason or "", verdict.data or NO_DATA)
                raise
            except Exception:
                if recording.last == before != session.configuration:  # a listener raised before this one was called
                    given = self.chart.event(event).complete(data)
                    recording.append(event, before, session.configuration, None, given)
                raise

    def _present(self) -> dict[int, _Recording]:
        """The recordings of sessions that still exist, by the identity of the session: two may be equal."""
        found = {key: recording for key, (session, recording) in self._recordings.items() if session() is not None}
        self._recordings = {key: self._recordings[key] for key in found}
        return found

    def close(self) -> None:
        """Detach all sessions and close the file.  It can be called again."""
        for session, _ in tuple(self._recordings.values()):
            if (one := session()) is not None:
                self.detach(one)
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _write(self, line: dict[str, object]) -> None:
        if self._file < 0:
            raise JournalError(f"the journal {self.path} is closed")
        left = json.dumps(line).encode() + b"\n"
        with self._lock:
            end = os.lseek(self._file, 0, os.SEEK_END)
            try:
                while left:
                    left = left[os.write(self._file, left) :]
                if self.sync:
                    os.fsync(self._file)
            except BaseException:
                with suppress(OSError):  # an incomplete line would corrupt the next one
                    os.ftruncate(self._file, end)
                raise


def _claim(file: int) -> None:
    """Lock the file for this process, where the system can.  The lock ends with the file or the process."""
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise JournalError("another process is writing this journal") from error
