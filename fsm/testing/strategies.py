"""Sequences of events for any chart, as a Hypothesis strategy.

    @given(events(LOGOFF, max_size=30))
    def test_mine(trace):                     # ["submit", "outbound_begin", "logoff_orderly", ...]
        for event in trace: session.fire(event)

Theory.
1. What is drawn is a list of wishes, each for an event; walking through the chart grants those that are accepted where
   they come and drops the others.  So a trace shrinks as a list does, and what is left of it keeps its meaning.
2. A wish that would lead into a final state is granted one time in sixteen, for otherwise nearly every trace would be
   over before it had begun.
3. Where hardly any event is accepted, or the trace would become too short, a wish that is refused is not dropped:
   another event is taken instead.  (If that were done everywhere, traces would not shrink to the shortest.)
4. With `legal=False` a part of the wishes is taken at its word: refused events are in the trace, and change nothing.

This file does not know what is tested.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Final, TypeAlias

try:
    from hypothesis import strategies as st
except ModuleNotFoundError as missing:
    told = "events at random need Hypothesis: pip install 'fsm-logoff[testing]'"
    raise ModuleNotFoundError(told, name=missing.name) from None

from fsm.chart import Chart
from fsm.condition import Value
from fsm.session import Session
from fsm.verdict import Refused

__all__ = ["events"]

LUCK: Final = 15
FEW: Final = 8
"""Less than one event in so many is hardly any."""

Wish: TypeAlias = "tuple[bool, int, str]"  # whether it is taken at its word, its luck (0 may end), and the event


def events(
    chart: Chart,
    *,
    max_size: int = 20,
    min_size: int = 0,
    legal: bool = True,
    start: Mapping[str, Value] | None = None,
) -> st.SearchStrategy[list[str]]:
    """Traces of this chart, of at most `max_size` events, each accepted where it comes; the simplest is empty.

    `legal=False` mixes refused events in.  `start` gives variables other values than the usual ones (as `Session` does;
    ValueError when they are not the chart's).  At least `min_size` events, unless a trace comes to an end before.
    """
    cls, values = Session.of(chart), dict(start or {})
    cls(**values)
    names = [str(event) for event in chart.events]
    word = st.just(False) if legal else st.booleans()
    wish = st.tuples(word, st.integers(0, LUCK), st.sampled_from(names))
    final = frozenset(state.name for state in chart.states if state.final)

    def walked(wished: list[Wish]) -> list[str]:
        session, trace = cls(**values), list[str]()
        for left, (literal, luck, event) in zip(range(len(wished), 0, -1), wished, strict=True):
            if len(trace) == max_size:
                break
            if _accepts(session, event, final if luck and not literal else ()) or literal:
                trace.append(event)
            elif left <= min_size - len(trace) or FEW * sum(map(bool, session.verdicts().values())) < len(names):
                trace += _instead(session, names, event, final)
        return trace

    return st.lists(wish, min_size=min_size, max_size=4 * max_size).map(walked)


def _accepts(session: Session, event: str, avoid: Container[str] = ()) -> bool:
    """Whether the session took the step; it does not when that leads from elsewhere into a state to avoid."""
    verdict = session.may(event)
    if not verdict or (verdict.target in avoid and session.state not in avoid):
        return False
    try:
        return session.fire(event)
    except Refused:  # a guard that is a function may answer otherwise the second time
        return False


def _instead(session: Session, names: list[str], event: str, final: Container[str]) -> list[str]:
    """The step taken instead of a refused event: the next one that goes on, or else the next; none at a dead end."""
    first = names.index(event)
    others = names[first:] + names[:first]
    return next(([name] for avoid in (final, ()) for name in others if _accepts(session, name, avoid)), [])
