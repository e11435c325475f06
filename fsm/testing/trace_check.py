"""Check a trace against a chart and its properties, step by step, and against the times of its states."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from fsm.analysis.properties import Always, Changes, EachConfiguration, Falls, Property, Situation, StepView
from fsm.analysis.trace import TraceError, parse_trace
from fsm.chart import Chart, Configuration
from fsm.session import Session

__all__ = ["time_problems", "trace_problems"]


def trace_problems(
    chart: Chart, properties: Iterable[Property], start: Configuration, trace: Sequence[tuple[str, Configuration]]
) -> Iterator[str]:
    """Yield what is wrong with a trace, a sentence each.  A trace is its events, each with where it claims to lead.

    An event with data is written `pay(amount=5)`.
    The check ends at the first event that is not accepted, or leads elsewhere.
    """
    properties, session = tuple(properties), Session.of(chart).unchecked(start)
    before = _situation(session)
    yield from _complaints(properties, before)
    for text, claimed in trace:
        try:
            (step,) = parse_trace(chart, [text])
        except TraceError as error:
            yield str(error).partition(": ")[2]
            return
        row = session.may(step.event, **step.data).row
        if row is None:
            yield f"{step} is not legal in {chart.describe(session.configuration)}"
            return
        session.fire(step.event, **step.data)
        if session.configuration != claimed:
            yield f"{step} leads to {chart.describe(session.configuration)}, not to {chart.describe(claimed)}"
            return
        if complaint := chart.complaint(session.configuration):
            yield complaint
        after = _situation(session)
        yield from _complaints(properties, after, StepView(before, step.event, row, after))
        before = after


def time_problems(
    chart: Chart, start: Configuration, trace: Iterable[tuple[float, str]], *, tolerance: float = 0.0
) -> Iterator[str]:
    """Yield where a trace does not keep the times of the states (`State.after`), a sentence each.

    A trace is its events, each with its moment in seconds since `start` was entered.  What a state sends itself must
    come when it is due, at most `tolerance` seconds before or after, unless the state is left before.
    A refused event is no step, so what was due and refused counts as come.  The check ends at a moment that is before
    the last one, and at an event that the chart does not have.
    """
    session, entered, last = Session.of(chart).unchecked(start), 0.0, 0.0
    waiting = dict(session.due)
    for moment, text in trace:
        if not moment >= last:
            yield f"{text} comes at {moment:g} s, before what was at {last:g} s"
            return
        try:
            (step,) = parse_trace(chart, [text])
        except TraceError as error:
            yield str(error).partition(": ")[2]
            return
        spent, state, last = moment - entered, session.state, moment
        for after, event in list(waiting.items()):
            if event == step.event:
                if abs(spent - after) > tolerance:
                    yield f"{event} comes {spent:g} s after entering {state}, and is due after {after:g} s"
                del waiting[after]
                break
            if after + tolerance < spent:
                late = f"has not come when {step} does after {spent:g} s"
                yield f"{event} was due {after:g} s after entering {state}, and {late}"
                del waiting[after]
        verdict = session.may(step.event, **step.data)
        if verdict.row is not None:
            session.fire(step.event, **step.data)
            if verdict.row.leaves:
                entered, waiting = moment, dict(session.due)


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
