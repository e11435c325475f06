"""Traces: events in order, written `submit,outbound_begin,logoff_orderly`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

from fsm.chart import Chart
from fsm.errors import UnknownEvent

__all__ = ["TraceError", "found_by", "parse_trace"]

T = TypeVar("T")


class TraceError(ValueError):
    """A trace or a walk cannot be read, or not be followed to its end.

    `place` is the event where it stops, counted from 1; None when no single event is wrong.
    """

    def __init__(self, problem: str, place: int | None = None) -> None:
        self.place = place
        super().__init__(problem if place is None else f"event {place} of the trace: {problem}")


def parse_trace(chart: Chart, trace: str | Iterable[str]) -> tuple[str, ...]:
    """Return the events of a trace, or of events given one by one; none when it is blank.

    TraceError for an event that the chart does not have.
    """
    if isinstance(trace, str):
        trace = trace.split(",") if trace.strip() else ()
    events = tuple(event.strip() for event in trace)
    for place, event in enumerate(events, 1):
        if event not in chart.events:
            unknown = str(UnknownEvent(chart.name, event, chart.events))
            raise TraceError(unknown if event else "there is nothing between two commas", place)
    return events


def found_by(came: Mapping[T, tuple[T, str] | None], here: T) -> tuple[str, ...]:
    """Return the events that lead here, from a search that noted for each place the one before it and the event."""
    events = []
    while (step := came[here]) is not None:
        here, event = step
        events.append(event)
    return tuple(reversed(events))
