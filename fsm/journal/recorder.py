"""The recorder: writes down what happens to sessions, in the journal file of `reader.py`, while it happens.

    with Recorder(LOGOFF, "session.jsonl") as journal:
        journal.attach(session, "a")
        journal.fire(session, "submit")         # or session.submit()

Theory.
1. Accepted steps are heard of by a listener, whoever fired them.  A refusal reaches no listener, so it is recorded by
   who asks: `journal.fire`.
2. A listener that raises after a step keeps those after it from being told.  A step that went unrecorded like this (or
   because the disk was full) is noticed at the next one, and a new start record says where the session stands.
3. A record is one write.  When it fails half way, its half is cut off again and the error reaches the caller.

This file does not know what the sessions are about, and never reads a journal but for its first and last line.
"""

from __future__ import annotations

import json
import os
import warnings
from contextlib import suppress
from pathlib import Path
from threading import RLock
from typing import Literal, Self
from weakref import WeakKeyDictionary

from fsm.chart import Chart, Configuration
from fsm.journal.reader import LONGEST, JournalError, TornLine, check_header, entry, header, parsed, start
from fsm.session import Session, Step
from fsm.verdict import Refused

__all__ = ["Recorder"]


class _Recording:
    """An attached session's place in the journal, and the listener that records its accepted steps.

    `last` is the configuration after the last record, and `seq` the number of that.
    """

    def __init__(self, journal: Recorder, name: str, configuration: Configuration) -> None:
        self.journal, self.name = journal, name
        self.begin(configuration)

    def begin(self, configuration: Configuration) -> None:
        self.journal._write(start(self.journal.chart, self.name, configuration))
        self.last, self.seq = configuration, 0

    def on_transition(self, step: Step) -> None:
        self.append(step.event, step.before, step.after, None)

    def append(self, event: str, before: Configuration, after: Configuration, reason: str | None) -> None:
        with self.journal._lock:
            if self.last != before:  # a step went unrecorded: another listener raised first, or the disk was full
                self.begin(before)
            self.journal._write(entry(self.journal.chart, self.name, self.seq + 1, event, before, after, reason))
            self.last, self.seq = after, self.seq + 1


class Recorder:
    """A journal file that sessions are attached to.  Use as a context manager, or `close()` it.

    Each record is one write, so it outlives the process as soon as the trigger has returned; with `sync` it has also
    reached the disk.  One process writes a journal at a time; sessions of several threads may share it.
    An existing journal is continued: its torn last line is cut off with a TornLine warning.  JournalError when it is
    no journal of this chart or is being written elsewhere; OSError as the system has it, and the file is as it was.
    """

    def __init__(self, chart: Chart, path: str | Path, *, sync: bool = False) -> None:
        header(chart)  # before there is a file: not every chart can have one
        self.chart, self.path, self.sync = chart, Path(path), sync
        self._lock = RLock()
        self._recordings: WeakKeyDictionary[Session, _Recording] = WeakKeyDictionary()
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            self._continue()
        except BaseException:
            self.close()
            raise

    def _continue(self) -> None:
        _claim(self._file)
        with Path(self.path).open("rb") as source:
            first = source.readline(LONGEST + 1)
            head = parsed(first, 1) if first else None
            if head is not None:
                try:
                    check_header(self.chart, head)
                except JournalError as error:
                    raise JournalError(str(error), 1) from None
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
                    os.write(self._file, b"\n")  # the line is whole, and only its end is missing
        if head is None:
            self._write(header(self.chart))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def attach(self, session: Session, name: str = "default") -> None:
        """Record where this session stands, and from now on each of its accepted steps.

        ValueError when the session is of another chart, or another attached one has this name.
        """
        if session.chart.fingerprint != self.chart.fingerprint:
            raise ValueError(f"this is a journal of {self.chart.name}, not of {session.chart.name}")
        with self._lock:
            if session in self._recordings or name in {one.name for one in self._recordings.values()}:
                raise ValueError(f"a session {name!r} is attached already; give this one another name")
            self._recordings[session] = session.listen(_Recording(self, name, session.configuration))

    def detach(self, session: Session) -> None:
        """Stop recording this session.  Nothing happens when it was not attached."""
        if (recording := self._recordings.pop(session, None)) is not None:
            session.forget(recording)

    def fire(self, session: Session, event: str) -> Literal[True]:
        """`session.fire(event)`, recording a refusal as well; it is raised all the same.

        A listener's error that cancels the step leaves nothing to record.  KeyError when the session is not attached.
        """
        recording = self._recordings[session]
        with session.lock:  # so that no other step falls between a refusal and its record
            before = session.configuration
            try:
                return session.fire(event)
            except Refused as refusal:
                verdict = refusal.verdict
                if verdict.event == event and verdict.configuration == before == session.configuration:
                    recording.append(event, before, before, verdict.reason or "")
                raise
            except Exception:
                if recording.last == before != session.configuration:  # a listener raised before this one was told
                    recording.append(event, before, session.configuration, None)
                raise

    def close(self) -> None:
        """Detach all sessions and close the file.  Closing again does nothing."""
        for session in tuple(self._recordings):
            self.detach(session)
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
                with suppress(OSError):  # half a line in the middle would spoil what follows
                    os.ftruncate(self._file, end)
                raise


def _claim(file: int) -> None:
    """Hold the file for this process alone, where the system can; the claim ends with the file or the process."""
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise JournalError("another process is writing this journal") from error
