"""Traps: configurations from which the machine cannot come to an end, for all counts.

Theory.  An end is a final state, or an absorbing one.  The *good* configurations, from which an end can be reached, are
found backwards: a state is good where some row is enabled that leads to good ones (its weakest precondition; data are
chosen freely).  A state is good as a whole if every configuration that keeps its invariant is good, or becomes good by
steps within the state that make a whole number, bounded from below, smaller each time.
What remains may be a trap.  Whether it is one, and is ever entered, is looked at: the graph is searched within bounds
that include its counts.  A trap that is found there is one, with a trace; that none is found proves nothing.
Rows with callable guards are left out: the guard may always say no.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from fsm.analysis.divergence import greatest_number
from fsm.chart import Chart, Row, State
from fsm.condition import ALWAYS, All, AnyOf, Compare, Condition, Value, is_opaque, negated
from fsm.solver import NotKnown, atoms, for_some, impossible, possible, sum_before, weakest_precondition
from fsm.variable import Counter, Sum

__all__ = ["Suspect", "bounds_around", "suspects"]

ROUNDS: Final = 3
MOST_PARTS: Final = 400


class Suspect(NamedTuple):
    """Configurations that may be traps: a state, and values of its variables where no end is known to be in reach."""

    state: str
    values: dict[str, Value]


def suspects(chart: Chart) -> tuple[Suspect, ...] | None:
    """Return where no end is known to be in reach; empty if it is proved that one always is.  None if not known."""
    good: dict[str, Condition] = {s.name: ALWAYS if s.final or s.absorbing else AnyOf() for s in chart.states}
    steps: dict[str, list[Row]] = {state.name: [] for state in chart.states}
    for row in chart.rows:
        if not is_opaque(row.guard):
            steps[row.source].append(row)
    for _ in range(ROUNDS + len(chart.states)):
        fresh = dict(good)
        for state in chart.states:
            if good[state.name] != ALWAYS:
                fresh[state.name] = _good(chart, state, steps[state.name], good)
                if len(fresh[state.name].parts()) > MOST_PARTS:
                    return None
        if fresh == good:
            break
        good = fresh
    try:
        return tuple(_suspects(chart, good))
    except NotKnown:
        return None


def _suspects(chart: Chart, good: dict[str, Condition]) -> Iterator[Suspect]:
    for state in chart.states:
        if good[state.name] != ALWAYS:
            values = possible(All(state.invariant, negated(good[state.name])), chart)
            if values is not None:
                yield Suspect(state.name, values)


def bounds_around(chart: Chart, found: tuple[Suspect, ...]) -> tuple[Condition, ...]:
    """Return bounds that include these counts and all numbers that the chart compares with."""
    counts = [value for one in found for value in one.values.values() if isinstance(value, int)]
    most = max([greatest_number(chart), *counts]) + 1
    numbers = (Compare(((name, 1),), "<=", most) for name in chart.numbers)
    return (*(one <= most + one.initial for one in chart.variables if isinstance(one, Counter)), *numbers)


def _good(chart: Chart, state: State, rows: list[Row], good: dict[str, Condition]) -> Condition:
    """Where a state is good, given where the others are: `ALWAYS` if it is so as a whole."""
    onward = [
        for_some(All(row.guard, weakest_precondition(good[row.target], row.effects)), _numbers(chart, row))[0]
        for row in rows
        if good[row.target] != AnyOf()
    ]
    now = AnyOf(good[state.name], *onward)
    if impossible(All(state.invariant, negated(now)), chart) or _comes_down(chart, state, rows, now):
        return ALWAYS
    return AnyOf(*(part for part in dict.fromkeys(now.parts()) if not impossible(All(state.invariant, part), chart)))


def _comes_down(chart: Chart, state: State, rows: list[Row], goal: Condition) -> bool:
    """Prove that outside the goal some number can be made smaller by a step within the state, again and again."""
    own = [row for row in rows if not row.moves]
    for measure in _measures(chart, state, own) if own else ():
        lower = [for_some(row.guard, _numbers(chart, row))[0] for row in own if _lowers(chart, state, row, measure)]
        if lower and impossible(All(state.invariant, negated(AnyOf(goal, *lower))), chart):
            return True
    return False


def _measures(chart: Chart, state: State, rows: list[Row]) -> Iterator[Sum]:
    """Sums that might come down: each counter, all of them, what the guards compare, and the room below its limit."""
    counters = [one.name for one in chart.variables if isinstance(one, Counter)]
    spoken = [a.terms for g in (state.invariant, *(r.guard for r in rows)) for a in atoms(g) if isinstance(a, Compare)]
    single = [((name, 1),) for name in counters]
    forms = dict.fromkeys([*single, tuple((name, 1) for name in counters), *spoken])
    for terms in forms:
        if terms and all(name in counters for name, _ in terms):
            yield Sum(terms, 0)
            yield Sum(tuple((name, -factor) for name, factor in terms), 0)


def _lowers(chart: Chart, state: State, row: Row, measure: Sum) -> bool:
    """Prove that a row makes the measure smaller, and that it is bounded from below where the row is taken."""
    after = sum_before(measure.terms, {effect.name: effect for effect in row.effects})
    taken = All(state.invariant, row.guard)
    bounded = all(factor > 0 for _, factor in measure.terms)
    if not bounded:
        least = -greatest_number(chart) - 1
        bounded = impossible(All(taken, measure < least), chart)
    return bounded and impossible(All(taken, after - measure >= 0), chart)


def _numbers(chart: Chart, row: Row) -> list[str]:
    return [one.name for one in chart.event(row.event).numbers]
