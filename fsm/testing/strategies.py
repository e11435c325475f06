"""A Hypothesis strategy for the events of any chart.

    @given(events(LOGOFF, max_size=30))
    def test_mine(trace):                     # ["submit", "outbound_begin", "logoff_orderly", ...]
        for event in trace: session.fire(event)

Theory.
1. Hypothesis draws a list of candidate events.  A walk through the chart takes those that are accepted where they come,
   and drops the others.  So a trace shrinks like a list, and the rest of it stays legal.
2. A candidate that leads into a final state is taken one time in sixteen; otherwise nearly every trace would end soon.
3. Where hardly any event is accepted, or the trace would become too short, a refused candidate is replaced by another
   event instead of dropped.  (If that were done everywhere, traces would not shrink to the shortest.)
4. With `legal=False` some candidates are taken literally: refused events are in the trace, and change nothing.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Final, TypeAlias

try:
    from hypothesis import strategies as st
except ModuleNotFoundError as missing:
    problem = "events at random need Hypothesis: pip install 'fsm-logoff[testing]'"
    raise ModuleNotFoundError(problem, name=missing.name) from None

from fsm.chart import Chart
from fsm.condition import Value
from fsm.session import Session
from fsm.verdict import Refused

__all__ = ["events"]

LUCK: Final = 15
FEW: Final = 8
"""If fewer than one event in so many is accepted, rule 3 applies."""

Candidate: TypeAlias = "tuple[bool, int, str]"  # taken literally?, luck (0 may end the trace), event


def events(
    chart: Chart,
    *,
    max_size: int = 20,
    min_size: int = 0,
    legal: bool = True,
    start: Mapping[str, Value] | None = None,
) -> st.SearchStrategy[list[str]]:
    """Return a strategy for traces of this chart: at most `max_size` events, each accepted where it comes.

    The simplest trace is empty.  `legal=False` mixes in refused events.  `start` gives initial values to variables, as
    `Session` does (ValueError if they are not the chart's).  A trace has at least `min_size` events unless it ends
    before.
    """
    cls, values = Session.of(chart), dict(start or {})
    cls(**values)
    names = [str(event) for event in chart.events]
    literal_or_not = st.just(False) if legal else st.booleans()
    candidate = st.tuples(literal_or_not, st.integers(0, LUCK), st.sampled_from(names))
    final = frozenset(state.name for state in chart.states if state.final)

    def walk(candidates: list[Candidate]) -> list[str]:
        session, trace = cls(**values), list[str]()
        for left, (literal, luck, event) in zip(range(len(candidates), 0, -1), candidates, strict=True):
            if len(trace) == max_size:
                break
            if _accepts(session, event, final if luck and not literal else ()) or literal:
                trace.append(event)
            elif left <= min_size - len(trace) or FEW * sum(map(bool, session.verdicts().values())) < len(names):
                trace += _instead(session, names, event, final)
        return trace

    return st.lists(candidate, min_size=min_size, max_size=4 * max_size).map(walk)


def _accepts(session: Session, event: str, avoid: Container[str] = ()) -> bool:
    """Take the step if it is legal and does not lead into a state to avoid; return True if it was taken."""
    verdict = session.may(event)
    if not verdict or (verdict.target in avoid and session.state not in avoid):
        return False
    try:
        return session.fire(event)
    except Refused:  # a guard that is a function may answer otherwise the second time
        return False


def _instead(session: Session, names: list[str], event: str, final: Container[str]) -> list[str]:
    """Take the next event that goes on, or else any; return it in a list, which is empty at a dead end."""
    first = names.index(event)
    others = names[first:] + names[:first]
    return next(([name] for avoid in (final, ()) for name in others if _accepts(session, name, avoid)), [])
