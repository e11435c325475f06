"""A Hypothesis strategy for the events of any chart, with their data, and with time.

    @given(events(LOGOFF, max_size=30))
    def test_mine(trace):                     # ["submit", "outbound_begin", "logoff_orderly", ...]
        for event in trace: session.fire(event)

    @given(events(ALARM, waits=True))         # ["arm", Wait(30), "pay(amount=5)", Wait(12.5), ...]
    def test_mine(trace):
        for step in trace:
            if isinstance(step, Wait): clock.advance(step)
            else: session.fire(step.event, **step.data)

Theory.
1. Hypothesis draws a list of candidate events.  A walk through the chart takes those that are accepted where they come,
   and drops the others.  So a trace shrinks like a list, and the rest of it stays legal.
2. A candidate that leads into a final state is taken one time in sixteen; otherwise nearly every trace would end soon.
3. Where hardly any event is accepted, or the trace would become too short, a refused candidate is replaced by another
   event instead of dropped.  (If that were done everywhere, traces would not shrink to the shortest.)
4. With `legal=False` some candidates are taken literally: refused events are in the trace, and change nothing.
5. A candidate that is refused with its data, and would be accepted with others, gets such numbers from the solver.
6. With `waits=True` candidates may be waits.  The walk has timers in simulated time, which fire what is due; so that is
   not in the trace, which says how long to wait instead.  Waits are as long as the times of the chart, or any others.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from contextlib import suppress
from typing import Final, Literal, TypeAlias, overload

try:
    from hypothesis import strategies as st
except ModuleNotFoundError as missing:
    from fsm.install import install_command

    problem = f"events at random need Hypothesis: {install_command('testing')}"
    raise ModuleNotFoundError(problem, name=missing.name) from None

from fsm.analysis.divergence import greatest_number
from fsm.analysis.trace import Call, call
from fsm.chart import Chart, Event
from fsm.condition import All, Datum, Value
from fsm.data import DataDeclaration, Number
from fsm.runtime.timers import Timers
from fsm.session import Session
from fsm.solver import NotKnown, possible
from fsm.testing.clock import SimulatedClock
from fsm.verdict import Refused

__all__ = ["Wait", "events"]

LUCK: Final = 15
FEW: Final = 8
"""If fewer than one event in so many is accepted, rule 3 applies."""


class Wait(float):
    """Seconds that pass."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"Wait({float(self):g})"


Candidate: TypeAlias = "tuple[bool, int, Call | Wait]"  # taken literally?, luck (0 may end the trace), step


@overload
def events(
    chart: Chart,
    *,
    max_size: int = 20,
    min_size: int = 0,
    legal: bool = True,
    start: Mapping[str, Value] | None = None,
    waits: Literal[False] = False,
) -> st.SearchStrategy[list[Call]]: ...
@overload
def events(
    chart: Chart,
    *,
    max_size: int = 20,
    min_size: int = 0,
    legal: bool = True,
    start: Mapping[str, Value] | None = None,
    waits: bool,
) -> st.SearchStrategy[list[Call | Wait]]: ...
def events(
    chart: Chart,
    *,
    max_size: int = 20,
    min_size: int = 0,
    legal: bool = True,
    start: Mapping[str, Value] | None = None,
    waits: bool = False,
) -> st.SearchStrategy[list[Call]] | st.SearchStrategy[list[Call | Wait]]:
    """Return a strategy for traces of this chart: at most `max_size` events, each accepted where it comes.

    An event is a string; `event.event` is its name and `event.data` what it brings.  The simplest trace is empty.
    `legal=False` mixes in refused events, and `waits=True` instances of Wait.  `start` gives initial values to
    variables, as `Session` does (ValueError if they are not the chart's).  A trace has at least `min_size` events
    unless it ends before.
    """
    cls, values = Session.of(chart), dict(start or {})
    cls(**values)
    literal_or_not = st.just(False) if legal else st.booleans()
    if any(event.data for event in chart.events):
        steps: st.SearchStrategy[Call | Wait] = st.one_of(*(_calls(chart, event) for event in chart.events))
    else:
        steps = st.sampled_from([call(event) for event in chart.events])
    times = sorted({after for state in chart.states for after in state.after}) if waits else []
    if times:
        steps = st.one_of(steps, _waits(times))
    candidate = st.tuples(literal_or_not, st.integers(0, LUCK), steps)

    def walk(candidates: list[Candidate]) -> list[Call | Wait]:
        return _Walk(chart, cls(**values), min_size, max_size, bool(times)).through(candidates)

    return st.lists(candidate, min_size=min_size, max_size=4 * max_size).map(walk)


def _calls(chart: Chart, event: Event) -> st.SearchStrategy[Call]:
    """The event with any data; defaults are left as they are as often as not."""
    most = greatest_number(chart) + 2
    data = st.fixed_dictionaries({one.name: _datum(one, chart.bounds.get(one.name, most)) for one in event.data})
    return data.map(lambda found: call(event, found))


def _datum(one: DataDeclaration, most: int) -> st.SearchStrategy[Datum]:
    found: st.SearchStrategy[Datum]
    if isinstance(one, Number):
        found = st.integers(0, most)
    else:
        found = FIELDS[one.type]
        if one.nullable:
            found = st.none() | found
    return found if one.required else st.just(one.own(one.default)) | found


FIELDS: Final[dict[type, st.SearchStrategy[Datum]]] = {
    str: st.text(max_size=20), int: st.integers(), bool: st.booleans(),
    float: st.floats(allow_nan=False, allow_infinity=False),
}  # fmt: skip


def _waits(times: list[float]) -> st.SearchStrategy[Wait]:
    exact = st.sampled_from(times)
    return st.one_of(exact, st.floats(0, 1.5).flatmap(lambda part: exact.map(lambda time: time * part))).map(Wait)


class _Walk:
    """A walk through a chart that takes candidates where they come."""

    def __init__(self, chart: Chart, session: Session, least: int, most: int, timed: bool) -> None:
        self.chart, self.session, self.least, self.most = chart, session, least, most
        self.names = [str(event) for event in chart.events]
        self.final = frozenset(state.name for state in chart.states if state.final)
        self.trace: list[Call | Wait] = []
        self.clock = SimulatedClock() if timed else None
        if self.clock is not None:
            Timers(self.clock).attach(session)

    def through(self, candidates: list[Candidate]) -> list[Call | Wait]:
        """Return the trace."""
        for left, (literal, luck, step) in zip(range(len(candidates), 0, -1), candidates, strict=True):
            if len(self.trace) == self.most:
                break
            if isinstance(step, Wait):
                self._wait(step)
            elif self._takes(step, self.final if luck and not literal else ()):
                pass
            elif literal:
                self.trace.append(step)
            elif left <= self.least - len(self.trace) or self._few():
                self._instead(step)
        return self.trace

    def _wait(self, wait: Wait) -> None:
        assert self.clock is not None
        self.clock.advance(wait)
        self.trace.append(wait)

    def _takes(self, step: Call, avoid: Container[str] = ()) -> bool:
        """Take the step if it is legal and does not lead into a state to avoid; return True if it was taken."""
        if self.clock is not None and step.event in self.session.due.values():
            return False  # the timers fire it
        verdict = self.session.may(step.event, **step.data)
        if not verdict and step.data:
            step = self._fitting(step)
            verdict = self.session.may(step.event, **step.data)
        if not verdict or (verdict.target in avoid and self.session.state not in avoid):
            return False
        try:
            self.session.fire(step.event, **step.data)
        except Refused:  # a guard that is a function may answer otherwise the second time
            return False
        self.trace.append(step)
        return True

    def _fitting(self, step: Call) -> Call:
        """Return the event with numbers with which it is accepted, if the solver finds some (rule 5)."""
        event = self.chart.event(step.event)
        here = self.session.configuration
        present = [self.chart.variable(name) == value for name, value in self.chart.values(here).items()]
        for row in self.chart.rows_for(str(here[0]), event) if event.numbers else ():
            with suppress(NotKnown):
                found = possible(All(row.guard, *present), self.chart) or {}
                numbers = {one.name: found[one.name] for one in event.numbers if one.name in found}
                other = call(event, {**step.data, **numbers})  # type: ignore[dict-item]  # they are whole numbers
                if self.session.may(event, **other.data):
                    return other
        return step

    def _few(self) -> bool:
        return FEW * sum(map(bool, self.session.verdicts().values())) < len(self.names)

    def _instead(self, step: Call) -> None:
        """Take the next event that goes on, or else any; none at a dead end."""
        first = self.names.index(step.event)
        others = [step, *(_simplest(self.chart.event(name)) for name in (self.names[first + 1 :] + self.names[:first]))]
        for avoid in (self.final, ()):
            if any(self._takes(other, avoid) for other in others):
                return


def _simplest(event: Event) -> Call:
    """The event with its defaults, and 0 and the like for what has none."""
    data = {one.name: _least(one) if one.required else one.own(one.default) for one in event.data}
    return call(event, data)


def _least(one: DataDeclaration) -> Datum:
    return 0 if isinstance(one, Number) else None if one.nullable else one.own(one.type())
