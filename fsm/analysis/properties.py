"""Properties: sentences about a machine that can be true or false, as data.

    Always("draining has work", condition, states=("draining",))          of every configuration in these states
    Falls("a drain comes to an end", weights, states=…, events=…)         a weighted sum falls with every such step
    Changes("no message vanishes", weights, by, …)                        … or changes by exactly so much
    EachConfiguration(…), EachStep(…)                                     anything else, as a predicate

A chart's module may bring its own as a tuple `PROPERTIES` (see `fsm.commands.chart_options`).  The first three are
proved for all counts where the rows alone prove them, otherwise they are looked at in every configuration within the
bounds.  A predicate returns None, or says what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

from fsm.chart import Chart, Configuration, Row
from fsm.condition import ALWAYS, Condition, Value, add
from fsm.variable import Counter

__all__ = [
    "Always", "Changes", "EachConfiguration", "EachStep", "Falls", "Property", "PropertyError",
    "Situation", "StepView", "fits",
]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Situation:
    """A configuration as a predicate sees it."""

    chart: Chart
    state: str
    values: Mapping[str, Value]
    flags: int
    """The output word."""
    legal: tuple[str, ...]
    """The events accepted here, in the chart's order, whether or not they lead out of the bounds."""

    @classmethod
    def of(cls, chart: Chart, here: Configuration, legal: tuple[str, ...]) -> Situation:
        """Return the situation in this configuration, where these events are accepted."""
        return cls(chart, str(here[0]), chart.values(here), chart.flags(here), legal)


@dataclass(frozen=True, slots=True)
class StepView:
    """A step as a predicate sees it."""

    before: Situation
    event: str
    row: Row
    after: Situation


@dataclass(frozen=True, slots=True)
class Always:
    """In these states (every one, when None), whenever `when` holds, `holds` holds too."""

    sentence: str
    holds: Condition
    states: tuple[str, ...] | None = None
    when: Condition = ALWAYS

    def complaint(self, here: Situation) -> str | None:
        """Say what is wrong here; None when nothing is."""
        speaks = (self.states is None or here.state in self.states) and self.when.holds(here.values)
        return f"it does not hold that {self.holds}" if speaks and not self.holds.holds(here.values) else None


@dataclass(frozen=True, slots=True)
class Falls:
    """A weighted sum of counters is less after each step from these states by these events.

    `states` and `events` are names; None means every one.  The weights are whole numbers, 0 or more.
    """

    sentence: str
    weights: Mapping[str, int]
    states: tuple[str, ...] | None = None
    events: tuple[str, ...] | None = None
    when: Condition = ALWAYS

    def change(self, event: str) -> int | None:
        """The change that an event must make; None for any below 0."""
        return None

    def complaint(self, step: StepView) -> str | None:
        """Say what is wrong with this step; None when nothing is."""
        return _wrong_change(self, step)


@dataclass(frozen=True, slots=True)
class Changes:
    """A weighted sum of counters changes with each event by what `by` says (0 for the events it does not name)."""

    sentence: str
    weights: Mapping[str, int]
    by: Mapping[str, int] = field(default_factory=dict)
    states: tuple[str, ...] | None = None
    events: tuple[str, ...] | None = None
    when: Condition = ALWAYS

    def change(self, event: str) -> int | None:
        """The change that an event must make."""
        return self.by.get(event, 0)

    def complaint(self, step: StepView) -> str | None:
        """Say what is wrong with this step; None when nothing is."""
        return _wrong_change(self, step)


@dataclass(frozen=True, slots=True)
class EachConfiguration:
    """A predicate on every configuration: it returns None, or says what is wrong."""

    sentence: str
    test: Callable[[Situation], str | None]

    def complaint(self, here: Situation) -> str | None:
        """Ask the predicate; one that raises does not hold."""
        return _answer(self.test, here)


@dataclass(frozen=True, slots=True)
class EachStep:
    """A predicate on every step: it returns None, or says what is wrong."""

    sentence: str
    test: Callable[[StepView], str | None]

    def complaint(self, step: StepView) -> str | None:
        """Ask the predicate; one that raises does not hold."""
        return _answer(self.test, step)


Property: TypeAlias = Always | Falls | Changes | EachConfiguration | EachStep


class PropertyError(ValueError):
    """A property speaks of a state, event or variable that the chart does not have."""


def fits(chart: Chart, one: Property) -> None:
    """Raise PropertyError unless the property speaks only of this chart's states, events and variables."""
    if isinstance(one, (EachConfiguration, EachStep)):
        return
    counters = {v.name for v in chart.variables if isinstance(v, Counter)}
    spoken = one.when.names() | (one.holds.names() if isinstance(one, Always) else frozenset())
    found = [f"state {name!r}" for name in one.states or () if name not in chart.states]
    found += [f"variable {name!r}" for name in sorted(spoken - set(chart.names))]
    if not isinstance(one, Always):
        found += [f"counter {name!r}" for name in one.weights if name not in counters]
        events = (*(one.events or ()), *(one.by if isinstance(one, Changes) else ()))
        found += [f"event {name!r}" for name in events if name not in chart.events]
    if found:
        raise PropertyError(f"the property {one.sentence!r} does not fit {chart.name}, which has no {found[0]}")


def _wrong_change(one: Falls | Changes, step: StepView) -> str | None:
    """Say how a step changes the sum otherwise than promised; None when it does not, or does not concern it."""
    if one.states is not None and step.before.state not in one.states:
        return None
    if (one.events is not None and step.event not in one.events) or not one.when.holds(step.before.values):
        return None
    terms = tuple(one.weights.items())
    old, new, promised = add(terms, step.before.values), add(terms, step.after.values), one.change(step.event)
    kept = new < old if promised is None else new - old == promised
    return None if kept else f"changes the sum from {old} to {new}"


def _answer(test: Callable[[T], str | None], subject: T) -> str | None:
    try:
        return test(subject)
    except Exception as error:
        return f"the property raised {type(error).__name__}: {error}"
