"""Whether a trace is legal and keeps what must hold: a walk through a chart, examined step by step.

This file does not know where the trace is from.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from fsm.analysis.properties import Always, EachConfiguration, EachStep, Passage, Place, Property, weighed
from fsm.chart import Chart, Configuration
from fsm.session import Session
from fsm.verdict import judge

__all__ = ["wrong"]


def wrong(
    chart: Chart, properties: Iterable[Property], start: Configuration, trace: Sequence[tuple[str, Configuration]]
) -> Iterator[str]:
    """What is wrong with a trace, in words: its events, each with where it is said to have led.

    The first event that is not accepted, or leads elsewhere, ends the walk.
    """
    told, session = tuple(properties), Session.of(chart).at(start)
    before = _place(session)
    yield from _at(told, before)
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
        after = _place(session)
        yield from _at(told, after)
        yield from _between(told, Passage(before, event, row, after))
        before = after


def _place(session: Session) -> Place:
    chart, here = session.chart, session.configuration
    legal = tuple(event for event, verdict in session.verdicts().items() if verdict)
    return Place(chart, str(here[0]), chart.values(here), chart.flags(here), legal)


def _at(properties: tuple[Property, ...], place: Place) -> Iterator[str]:
    for one in properties:
        if isinstance(one, EachConfiguration):
            if complaint := one.test(place):
                yield f"{one.sentence}: {complaint}"
        elif isinstance(one, Always) and (one.states is None or place.state in one.states):
            yield from [one.sentence] * (one.when.holds(place.values) and not one.holds.holds(place.values))


def _between(properties: tuple[Property, ...], step: Passage) -> Iterator[str]:
    for one in properties:
        if isinstance(one, EachStep):
            if complaint := one.test(step):
                yield f"{one.sentence}: {complaint}"
        elif not isinstance(one, (Always, EachConfiguration)) and _speaks_of(one, step):
            old, new = weighed(one.weights, step.before.values), weighed(one.weights, step.after.values)
            by = one.change(step.event)
            if new >= old if by is None else new - old != by:
                yield f"{one.sentence}: {step.event} changes the sum from {old} to {new}"


def _speaks_of(one: Property, step: Passage) -> bool:
    assert not isinstance(one, (EachConfiguration, EachStep, Always))
    there = one.states is None or step.before.state in one.states
    return there and (one.events is None or step.event in one.events) and one.when.holds(step.before.values)
