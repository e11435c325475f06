"""Properties: sentences about a machine that can be true or false, as data.

    Always("draining has work", condition, states=("draining",))          of every configuration in these states
    Falls("a drain comes to an end", weights, states=…, events=…)         a weighted sum goes down with every such step
    Changes("no message vanishes", weights, by, …)                        … or changes by exactly so much
    EachConfiguration(…), EachStep(…)                                     anything else, as a predicate

A chart's module may bring its own as a tuple `PROPERTIES` (see `commands/beside.py`).  The first three are proved for
all counts where the rows alone prove them, otherwise they are looked at in every configuration within the bounds.
A predicate answers None, or says in words what is wrong.  This file does not know how properties are examined.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from fsm.condition import ALWAYS, Condition, Value, Values

if TYPE_CHECKING:
    from fsm.chart import Chart, Row

__all__ = [
    "Always", "Changes", "EachConfiguration", "EachStep", "Falls", "Passage", "Place", "Property", "PropertyError",
    "fits", "weighed",
]


@dataclass(frozen=True, slots=True)
class Place:
    """A configuration as a predicate sees it."""

    chart: Chart
    state: str
    values: Mapping[str, Value]
    flags: int
    """The output word."""
    legal: tuple[str, ...]
    """The events accepted here, in the chart's order, whether or not they lead out of the bounds."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A step as a predicate sees it."""

    before: Place
    event: str
    row: Row
    after: Place


@dataclass(frozen=True, slots=True)
class Always:
    """In these states (every one, when None), whenever `when` holds, `holds` holds too."""

    sentence: str
    holds: Condition
    states: tuple[str, ...] | None = None
    when: Condition = ALWAYS


@dataclass(frozen=True, slots=True)
class Falls:
    """A weighted sum of counters is less after every step from these states by these events.

    `states` and `events` are names; None means every one.  The weights are whole numbers, 0 or more.
    """

    sentence: str
    weights: Mapping[str, int]
    states: tuple[str, ...] | None = None
    events: tuple[str, ...] | None = None
    when: Condition = ALWAYS

    def change(self, event: str) -> int | None:
        """The change that is promised of an event; None: any that is less than 0."""
        return None


@dataclass(frozen=True, slots=True)
class Changes:
    """A weighted sum of counters changes with every event by what `by` says (0 for the events it does not name)."""

    sentence: str
    weights: Mapping[str, int]
    by: Mapping[str, int] = field(default_factory=dict)
    states: tuple[str, ...] | None = None
    events: tuple[str, ...] | None = None
    when: Condition = ALWAYS

    def change(self, event: str) -> int | None:
        """The change that is promised of an event."""
        return self.by.get(event, 0)


@dataclass(frozen=True, slots=True)
class EachConfiguration:
    """A predicate on every configuration: None when all is well, otherwise what is wrong."""

    sentence: str
    test: Callable[[Place], str | None]


@dataclass(frozen=True, slots=True)
class EachStep:
    """A predicate on every step: None when all is well, otherwise what is wrong."""

    sentence: str
    test: Callable[[Passage], str | None]


Property: TypeAlias = "Always | Falls | Changes | EachConfiguration | EachStep"


class PropertyError(ValueError):
    """A property speaks of a state, an event or a variable that the chart has not."""


def fits(chart: Chart, one: Property) -> None:
    """PropertyError unless the property speaks of this chart's states, events and variables only."""
    from fsm.variable import Counter

    if isinstance(one, (EachConfiguration, EachStep)):
        return
    counters = {v.name for v in chart.variables if isinstance(v, Counter)}
    spoken = one.when.names() | (one.holds.names() if isinstance(one, Always) else frozenset())
    found = [f"state {name!r}" for name in one.states or () if name not in chart.states]
    found += [f"variable {name!r}" for name in sorted(spoken - set(chart.names))]
    if not isinstance(one, Always):
        found += [f"counter {name!r}" for name in one.weights if name not in counters]
        told = (*(one.events or ()), *(one.by if isinstance(one, Changes) else ()))
        found += [f"event {name!r}" for name in told if name not in chart.events]
    if found:
        raise PropertyError(f"the property {one.sentence!r} does not fit {chart.name}, which has no {found[0]}")


def weighed(weights: Mapping[str, int], values: Values) -> int:
    """The weighted sum for these values."""
    total = 0
    for name, weight in weights.items():
        count = values[name]
        assert isinstance(count, int)
        total += weight * count
    return total
