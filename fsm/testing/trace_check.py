"""Check a trace against a chart and its properties, step by step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from fsm.analysis.properties import Always, Changes, EachConfiguration, Falls, Property, Situation, StepView
from fsm.chart import Chart, Configuration
from fsm.session import Session
from fsm.verdict import judge

__all__ = ["trace_problems"]


def trace_problems(
    chart: Chart, properties: Iterable[Property], start: Configuration, trace: Sequence[tuple[str, Configuration]]
) -> Iterator[str]:
    """Yield what is wrong with a trace, a sentence each.  A trace is its events, each with where it claims to lead.

    The check ends at the first event that is not accepted, or leads elsewhere.
    """
    properties, session = tuple(properties), Session.of(chart).unchecked(start)
    before = _situation(session)
    yield from _complaints(properties, before)
    for event, claimed in trace:
        row = judge(chart, session.configuration, event, session).row
        if row is None:
            yield f"{event} is not legal in {chart.describe(session.configuration)}"
            return
        session.fire(event)
        if session.configuration != claimed:
            yield f"{event} leads to {chart.describe(session.configuration)}, not to {chart.describe(claimed)}"
            return
        if complaint := chart.complaint(session.configuration):
            yield complaint
        after = _situation(session)
        yield from _complaints(properties, after, StepView(before, event, row, after))
        before = after


def _situation(session: Session) -> Situation:
    legal = tuple(event for event, verdict in session.verdicts().items() if verdict)
    return Situation.of(session.chart, session.configuration, legal)


def _complaints(properties: tuple[Property, ...], here: Situation, step: StepView | None = None) -> Iterator[str]:
    for one in properties:
        if isinstance(one, (Always, EachConfiguration)):
            complaint = one.complaint(here)
        else:
            complaint = one.complaint(step) if step is not None else None
        if complaint:
            event = f"{step.event} " if step is not None and isinstance(one, (Falls, Changes)) else ""
            yield f"{one.sentence}: {event}{complaint}"
