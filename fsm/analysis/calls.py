"""Which steps there are to try: every event, with the data that the bounds allow.

Theory.
1. A number that a guard or an effect of the event's rows speaks of takes every value that the bounds allow, from 0 on.
   It needs a bound, as a counter that can grow for ever does.
2. Of any other datum no row says anything, and one value stands for all: its default or, without one, 0, an empty
   string, False or None.  A true/false datum that a callable guard takes has both values.
3. Where a row could be taken with data beyond the bounds (`solver.possible` decides it), that is a step that is cut.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import product

from fsm.analysis.trace import Call, call
from fsm.chart import Chart, Configuration, Event, Row
from fsm.condition import All, Among, AnyOf, Compare, Condition, Datum, Value, label, negated, opaque_parts
from fsm.data import DataDeclaration, Number
from fsm.solver import NotKnown, possible
from fsm.variable import Counter

__all__ = ["Calls", "can_be_taken"]


class Calls:
    """The steps to try in a chart; `unbounded` are the numbers that have no bound and need one."""

    def __init__(self, chart: Chart, bounds: Iterable[Condition]) -> None:
        self.chart = chart
        self.bounds = tuple(bound for bound in bounds if bound.names() & set(chart.numbers))
        """The bounds that limit data."""
        rows: dict[str, list[Row]] = {}
        for row in chart.rows:
            rows.setdefault(row.event, []).append(row)
        self._spoken = {event.name: _spoken(event, rows.get(event.name, ())) for event in chart.events}
        self.unbounded = tuple(
            name for name, number in chart.numbers.items()
            if any(name in spoken for spoken in self._spoken.values()) and self._greatest(number) is None
        )
        self._calls: dict[str, tuple[Call, ...]] = {}
        self._beyond: dict[tuple[object, ...], Mapping[str, Value] | None] = {}

    def of(self, event: Event) -> tuple[Call, ...]:
        """Return an event with all data within the bounds, the smallest numbers first."""
        known = self._calls.get(event.name)
        if known is None:
            options = [self._options(event, one) for one in event.data]
            data = (dict(zip((one.name for one in event.data), values, strict=True)) for values in product(*options))
            known = self._calls[event.name] = tuple(call(event, one) for one in data if self._allows(one))
        return known

    def beyond(self, row: Row, here: Configuration) -> Call | None:
        """Return an event beyond the bounds that takes this row here; None if there is none.

        A callable guard counts as true.
        """
        event = self.chart.event(row.event)
        limits = [bound for bound in self.bounds if bound.names() & self._spoken[event.name]]
        if not limits:
            return None
        values = self.chart.values(here)
        relevant = {name: values[name] for name in self.chart.names if name in row.guard.names().union(
            *(bound.names() for bound in limits))}  # fmt: skip
        key = row.id, *map(label, relevant.values())
        if key not in self._beyond:
            present = (_is(self.chart, name, value) for name, value in relevant.items())
            wanted = All(_without_callables(row.guard), negated(All(*limits)), *present)
            try:
                self._beyond[key] = possible(wanted, self.chart)
            except NotKnown:
                self._beyond[key] = {one.name: (self._greatest(one) or 0) + 1 for one in event.numbers}  # perhaps
        found = self._beyond[key]
        if found is None:
            return None
        return call(event, {one.name: _datum(one, found.get(one.name)) for one in event.data})

    def _options(self, event: Event, one: DataDeclaration) -> tuple[Datum, ...]:
        if one.name not in self._spoken[event.name]:
            return (_datum(one),)
        if isinstance(one, Number):
            return tuple(range((self._greatest(one) or 0) + 1))
        return (False, True) if one.annotation == "bool" else (_datum(one),)

    def _greatest(self, number: Number) -> int | None:
        """The greatest value that the bounds allow, if they allow no more than some value."""
        parts = [part for bound in self.bounds for part in (bound.parts() if isinstance(bound, All) else (bound,))]
        limits = [most for part in parts if (most := _most(part, number.name)) is not None]
        return min(limits, default=None)

    def _allows(self, data: Mapping[str, Datum]) -> bool:
        known = [bound for bound in self.bounds if bound.names() <= set(data)]
        return all(bound.holds(data) for bound in known)


def can_be_taken(chart: Chart, row: Row, here: Configuration, subject: object = None) -> bool:
    """Whether a row can be taken here, with some data where its event brings any.

    A callable guard is called with the subject or, where there are data that it may take, counts as true.
    """
    values = chart.values(here)
    if not chart.event(row.event).data:
        return row.guard.holds(values, subject)
    present = (_is(chart, name, values[name]) for name in chart.names if name in row.guard.names())
    try:
        return possible(All(_without_callables(row.guard), *present), chart) is not None
    except NotKnown:  # there may be some
        return True


def _spoken(event: Event, rows: Iterable[Row]) -> frozenset[str]:
    """The data of an event of which some row says anything."""
    found: set[str] = set()
    for row in rows:
        found |= row.guard.names().union(*(effect.names() for effect in row.effects))
        found |= {name for opaque in opaque_parts(row.guard) for name in opaque.takes}
    return frozenset(found & {one.name for one in event.data})


def _most(part: Condition, name: str) -> int | None:
    """The greatest value that a comparison leaves to a number; None if it sets no limit."""
    if not isinstance(part, Compare) or any(factor < 0 for _, factor in part.terms) or name not in part.names():
        return None
    most = {"<=": part.bound, "==": part.bound, "<": part.bound - 1}.get(part.op)
    return None if most is None else max(most // dict(part.terms)[name], 0)


def _datum(one: DataDeclaration, found: object = None) -> Datum:
    """The value that stands for all others of a datum, or the one that was found."""
    if isinstance(found, int):
        return found
    if not one.required:
        return one.own(one.default)
    if isinstance(one, Number):
        return 0
    return None if one.nullable else one.own(one.type())


def _is(chart: Chart, name: str, value: Value) -> Condition:
    variable = chart.variable(name)
    if isinstance(variable, Counter) and isinstance(value, int):
        return Compare(((name, 1),), "==", value)
    return Among(name, (value,))


def _without_callables(guard: Condition) -> Condition:
    """The guard with every callable true that it needs, so that `possible` need not try both answers."""
    if isinstance(guard, All):
        return All(*map(_without_callables, guard.parts()))
    if isinstance(guard, AnyOf):
        return AnyOf(*map(_without_callables, guard.parts()))
    return All() if any(part is guard for part in opaque_parts(guard)) else guard
