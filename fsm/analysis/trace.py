"""Traces: events in order, written `submit,outbound_begin,logoff_orderly`.

An event with data is written like a call, its data as in JSON: `pay(amount=5),note(text="late, again"),retire`.  Data
that have their default are left out.  A string may stand without quotes as long as it has no comma and no bracket.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Self, TypeVar

from fsm.chart import Chart, Event
from fsm.condition import Datum
from fsm.data import NO_DATA
from fsm.errors import DataError, UnknownEvent

__all__ = ["Call", "TraceError", "call", "found_by", "parse_trace", "trace_text"]

T = TypeVar("T")


class TraceError(ValueError):
    """A trace or a walk cannot be read, or not be followed to its end.

    `place` is the event where it stops, counted from 1; None when no single event is wrong.
    """

    def __init__(self, problem: str, place: int | None = None) -> None:
        self.place = place
        super().__init__(problem if place is None else f"event {place} of the trace: {problem}")


class Call(str):
    """A step of a trace as its text; `event` is the name of the event, `data` what it brings, defaults included."""

    __slots__ = ("data", "event")
    event: str
    data: Mapping[str, Datum]

    def __new__(cls, text: str, event: str, data: Mapping[str, Datum]) -> Self:
        """Create a step; `call` writes the text."""
        self = super().__new__(cls, text)
        self.event, self.data = event, data
        return self

    def __reduce__(self) -> tuple[type[Call], tuple[str, str, Mapping[str, Datum]]]:
        return Call, (str.__str__(self), self.event, dict(self.data))


def call(event: Event, data: Mapping[str, Datum] = NO_DATA) -> Call:
    """Return an event with its data, which are complete, as a step of a trace."""
    told = [
        f"{one.name}={_written(data[one.name])}" for one in event.data if not _is_default(one.default, data[one.name])
    ]
    return Call(f"{event}({','.join(told)})" if told else event.name, event.name, data)


def trace_text(trace: Iterable[str]) -> str:
    """Return steps as one text, which `parse_trace` reads."""
    return ",".join(trace)


def parse_trace(chart: Chart, trace: str | Iterable[str]) -> tuple[Call, ...]:
    """Return the steps of a trace, or of steps given one by one; none when it is blank.

    TraceError for an event that the chart does not have, or data that are missing, unknown or wrong.
    """
    texts = _split(chart, trace) if isinstance(trace, str) else trace
    return tuple(_step(chart, text.strip(), place) for place, text in enumerate(texts, 1))


def _step(chart: Chart, text: str, place: int) -> Call:
    name, given = _parted(chart, text, place)
    if not chart.has_event(name):
        unknown = str(UnknownEvent(chart.name, name, chart.events))
        raise TraceError(unknown if name else "there is nothing between two commas", place)
    event = chart.event(name)
    try:
        return call(event, event.complete(given))
    except DataError as error:
        raise TraceError(str(error), place) from None


def _split(chart: Chart, trace: str) -> Iterator[str]:
    """Split a trace at its commas, but for those inside the brackets of an event with data."""
    rest = trace if trace.strip() else None
    while rest is not None:
        end = _end_of_call(rest) if _has_data(chart, rest) else 0
        step, comma, more = rest[end:].partition(",")
        yield rest[:end] + step
        rest = more if comma else None


STRING: Final = r'"(?:[^"\\]|\\.)*"'
INSIDE: Final = re.compile(rf"\s*[^(,]*\((?:{STRING}|[^)\"])*\)")


def _end_of_call(text: str) -> int:
    found = INSIDE.match(text)
    return found.end() if found else 0


def _has_data(chart: Chart, text: str) -> bool:
    """Whether the text begins with an event with data and a bracket; the names of events may have brackets, too."""
    bare = text.lstrip()
    return any(bare.removeprefix(event).lstrip().startswith("(") for event in chart.events
               if event.data and bare.startswith(event))  # fmt: skip


def _parted(chart: Chart, text: str, place: int) -> tuple[str, dict[str, object]]:
    """Part a step into the name of its event and the data given."""
    if chart.has_event(text) or not text.endswith(")"):
        return text, {}
    name, _, inside = text[:-1].partition("(")
    if not chart.has_event(name := name.rstrip()):
        return name if "=" in inside else text, {}
    given: dict[str, object] = {}
    for part in re.findall(rf"(?:{STRING}|[^,\"]|\")+", inside):
        datum, equals, value = part.partition("=")
        if not equals:
            raise TraceError(f"{part.strip()!r} is no datum; write {name}(name=value)", place)
        if datum.strip() in given:
            raise TraceError(f"{name} has {datum.strip()} twice", place)
        given[datum.strip()] = _read(chart.event(name), datum.strip(), value.strip())
    return name, given


WORDS: Final = {"True": True, "False": False, "None": None}


def _read(event: Event, name: str, text: str) -> object:
    """Return a value that is written as in JSON or Python, or a string without quotes."""
    field = next((one for one in event.data if one.name == name), None)
    try:
        found: object = WORDS[text] if text in WORDS else json.loads(text)
    except (ValueError, RecursionError):
        return text
    is_text = field is not None and field.annotation.startswith("str")
    return text if is_text and not isinstance(found, str) and found is not None else found


def _written(value: Datum) -> str:
    return json.dumps(value, ensure_ascii=False)


def _is_default(default: object, value: Datum) -> bool:
    return type(default) is type(value) and default == value


def found_by(came: Mapping[T, tuple[T, str] | None], here: T) -> tuple[str, ...]:
    """Return the events that lead here, from a search that noted for each place the one before it and the event."""
    events = []
    while (step := came[here]) is not None:
        here, event = step
        events.append(event)
    return tuple(reversed(events))
