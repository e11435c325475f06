"""The walk itself, without a screen: the present configuration, what can happen next, and the trail that led here.

Theory.
1. A *walk* is a start and a *trail* of moments; a moment is an event and the configuration after it.  `place` is how
   many of them have been walked.  Undo, redo and jump only move the place.
2. A real session in the present configuration decides a new event.  A refusal changes nothing.  After an undo, firing
   the undone event is a redo; any other event replaces the rest of the trail.
3. A *goal* is a state or an output; `shortest_path.py` finds a shortest path to it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from errno import EINVAL
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, NamedTuple

from fsm.analysis.trace import Call, TraceError, call, parse_trace
from fsm.callables import reads_more
from fsm.chart import Chart, Configuration
from fsm.errors import DataError, UnknownEvent
from fsm.journal.reader import data_of, entry, header, replayed, start
from fsm.session import Session
from fsm.snapshot import decode, encode
from fsm.stepper.shortest_path import LIMIT, ShortestPath, find_shortest_path
from fsm.verdict import Refused, Verdict

__all__ = ["Moment", "Stepper"]


class Moment(NamedTuple):
    """An event that was accepted, with its data, and the configuration after it."""

    event: Call
    configuration: Configuration


class Stepper:
    """A walk through a chart.  Not for use by several threads."""

    def __init__(self, chart: Chart, begin: Configuration | None = None) -> None:
        self.chart = chart
        self.begin: Configuration = chart.start() if begin is None else begin
        self.trail: list[Moment] = []
        self.place = 0
        self._paths: dict[tuple[Configuration, str, int], ShortestPath] = {}

    @cached_property
    def _session(self) -> type[Session]:
        return Session.of(self.chart)

    # ------------------------------------------------------------------------------------------ where it comes from

    @classmethod
    def from_snapshot(cls, chart: Chart, snapshot: object) -> Stepper:
        """Return a walk that starts where a `Session.snapshot()` was taken.  SnapshotError as in `Session.restore`."""
        return cls(chart, decode(chart, snapshot))

    @classmethod
    def from_journal(cls, chart: Chart, source: BinaryIO, session: str | None = None) -> Stepper:
        """Return the walk of a session in a journal, from its last start to its end, without the refused events.

        JournalError when the journal is corrupt; TraceError when its replay diverges, when it has several sessions and
        none is named, or when it does not have the one that is named.
        """
        walks: dict[str, Stepper] = {}
        for record, configuration, now, divergence in replayed(chart, source):
            if divergence is not None:
                raise TraceError(str(divergence))
            if record.start is not None or record.session not in walks:
                walks[record.session] = cls(chart, record.start)
            if now.get("accepted"):
                event = chart.event(record.event)
                step = call(event, data_of(event, record.data))
                walks[record.session].trail.append(Moment(step, configuration))
        if not walks and session is None:
            return cls(chart)
        named = session if session is not None else next(iter(walks))
        if named not in walks or (session is None and len(walks) > 1):
            several = f"it has the sessions {', '.join(map(repr, walks))}"
            unknown = f"no session {session!r}; {several}"
            raise TraceError(unknown if session is not None else f"{several}; name one (--session)")
        return walks[named].at_end()

    @classmethod
    def load(cls, chart: Chart, path: str | Path, session: str | None = None) -> Stepper:
        """Return the walk in a file: a snapshot (a JSON object) or a journal.  Errors as above, and OSError."""
        with Path(path).open("rb") as source:
            try:
                content = json.loads(source.read(1 << 20))
            except (ValueError, RecursionError):
                content = None
            if isinstance(content, dict) and "snapshot" in content:
                return cls.from_snapshot(chart, content)
            source.seek(0)
            return cls.from_journal(chart, source, session)

    def save(self, path: str | Path) -> None:
        """Write the walk up to the present place as a journal, for `load` and `fsm replay`.

        OSError when it cannot be written; an existing file is replaced only by a whole one.
        """
        whole, partial = Path(path).resolve(), Path(f"{path}.{os.getpid()}.new")
        if whole.exists() and not whole.is_file():
            raise OSError(EINVAL, "it exists and is not a regular file", str(path))
        lines = (header(self.chart), start(self.chart, "default", self.begin), *self.entries())
        try:
            with partial.open("x") as file:
                file.writelines(json.dumps(line) + "\n" for line in lines)
            partial.replace(whole)
        except OSError:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            raise

    # ----------------------------------------------------------------------------------------------- where it stands

    @property
    def configuration(self) -> Configuration:
        """The present configuration."""
        return self.trail[self.place - 1].configuration if self.place else self.begin

    @property
    def state(self) -> str:
        """The present state's name."""
        return str(self.configuration[0])

    @property
    def flags(self) -> int:
        """The output word now."""
        return self.chart.flags(self.configuration)

    @property
    def flag_names(self) -> tuple[str, ...]:
        """The names of the outputs that are set, in the order of their bits."""
        return self.chart.flag_names(self.flags)

    @property
    def trace(self) -> str:
        """The events up to here, written as a trace."""
        return ",".join(moment.event for moment in self.trail[: self.place])

    def snapshot_at(self, place: int) -> dict[str, object]:
        """Return the configuration at a place of the trail (0 is the start) in the form of `Session.snapshot()`."""
        return encode(self.chart, self.trail[place - 1].configuration if place else self.begin)

    def entries(self) -> Iterator[dict[str, object]]:
        """Yield the steps up to here, with the keys of `fsm replay`."""
        before = self.begin
        for seq, (event, after) in enumerate(self.trail[: self.place], 1):
            yield entry(self.chart, "default", seq, event.event, before, after, None, event.data)
            before = after

    def verdicts(self) -> dict[str, Verdict]:
        """Return what every event would do now, or why not, in the chart's order.  Changes nothing.

        Of an event with data it says what some data would do, or why none would do anything.  TraceError if a guard
        raises an error.
        """
        with self._asking():
            return self._session.unchecked(self.configuration).verdicts()

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """What a callable guard raises is a TraceError."""
        try:
            yield
        except (Refused, DataError, TraceError, UnknownEvent):
            raise
        except Exception as error:
            if not self.chart.opaque:
                raise
            problem = f"a guard raised {type(error).__name__}: {error}{reads_more(error)}"
            raise TraceError(f"from {self.chart.describe(self.configuration)}, {problem}") from error

    # -------------------------------------------------------------------------------------------------------- walking

    def fire(self, event: str, /, **data: object) -> Moment:
        """Take a step: an event with its data, or a step of a trace as text (`pay(amount=5)`).

        On Refused, UnknownEvent, DataError or TraceError nothing has changed.
        """
        session = self._session.unchecked(self.configuration)
        step = self._step(event, data)
        with self._asking():
            session.fire(step.event, **step.data)
        moment = Moment(step, session.configuration)
        if self.trail[self.place : self.place + 1] != [moment]:
            self.trail[self.place :] = [moment]
        self.place += 1
        return moment

    def _step(self, event: str, data: Mapping[str, object]) -> Call:
        if isinstance(event, Call):
            return event
        if self.chart.has_event(event):
            return call(self.chart.event(event), self.chart.event(event).complete(data))
        if event.endswith(")"):
            return parse_trace(self.chart, [event])[0]
        raise UnknownEvent(self.chart.name, event, self.chart.events)

    def walk(self, events: Iterable[str]) -> Refused | None:
        """Take steps up to the first refusal, which is returned, not raised; the steps before it stay."""
        for event in events:
            try:
                self.fire(event)
            except Refused as refusal:
                return refusal
        return None

    def jump(self, place: int) -> None:
        """Go to a place of the trail, where 0 is the start.  ValueError when the trail has no such place."""
        if not 0 <= place <= len(self.trail):
            raise ValueError(f"the trail has the places 0 to {len(self.trail)}, not {place}")
        self.place = place

    def undo(self) -> bool:
        """Go one step back; False at the start."""
        return self._move(-1)

    def redo(self) -> bool:
        """Go one step forward again; False when nothing was undone."""
        return self._move(1)

    def at_end(self) -> Stepper:
        """Go to the end of the trail, and return this walk."""
        self.place = len(self.trail)
        return self

    def _move(self, by: int) -> bool:
        if not 0 <= self.place + by <= len(self.trail):
            return False
        self.place += by
        return True

    # ---------------------------------------------------------------------------------------------------------- goals

    @property
    def goals(self) -> tuple[str, ...]:
        """The possible goals: the final states first, then the outputs, then the other states."""
        final = [str(state) for state in self.chart.states if state.final]
        other = [str(state) for state in self.chart.states if not state.final]
        return tuple(dict.fromkeys([*final, *(output.name for output in self.chart.outputs), *other]))

    def path_to(self, goal: str, limit: int = LIMIT) -> ShortestPath:
        """Return a shortest path to a state or an output.

        ValueError when the chart has neither of that name, TraceError if a guard raises an error.
        """
        if goal not in self.goals:
            raise ValueError(f"{self.chart.name} has no state or output {goal!r} (it has {', '.join(self.goals)})")
        known = self._paths.get(key := (self.configuration, goal, limit))
        if known is None:
            with self._asking():
                known = self._paths[key] = find_shortest_path(self._session, self.configuration, goal, limit)
        return known
