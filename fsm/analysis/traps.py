"""Traps: configurations from which the machine cannot come to an end, for all counts.

Theory.  An end is a final state, or an absorbing one.  The *good* configurations, from which an end can be reached, are
found backwards: a state is good where some row is enabled that leads to good ones (its weakest precondition; data are
chosen freely).  A state is good as a whole if every configuration that keeps its invariant is good, or becomes good by
steps within the state that make a whole number, bounded from below, smaller each time.
When nothing new is good, what remains is a trap for all counts, if no step was left out.  Otherwise it may be one.
Whether it is ever entered is looked at: the table is searched within bounds that include its counts.
Rows with callable guards are left out, since the guard may always say no; then what remains only may be a trap.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from fsm.analysis.divergence import greatest_number
from fsm.chart import Chart, Row, State
from fsm.condition import ALWAYS, All, AnyOf, Compare, Condition, Value, is_opaque, negated
from fsm.solver import NotKnown, atoms, for_some, impossible, possible, sum_before, weakest_precondition
from fsm.variable import Counter, Sum

__all__ = ["Ends", "bounds_around", "ends"]

ROUNDS: Final = 3
MOST_PARTS: Final = 400


class Ends(NamedTuple):
    """Where an end can be reached.

    `good` is a condition for every state.  If `exact`, there is no end in reach where it does not hold; otherwise that
    is not known.  `doubtful` are counts where it does not hold, one of each state; if there are none, an end can be
    reached from every configuration.
    """

    good: dict[str, Condition]
    exact: bool
    doubtful: tuple[dict[str, Value], ...]


def ends(chart: Chart) -> Ends | None:
    """Return where an end can be reached, for all counts; None if that is too much work."""
    good: dict[str, Condition] = {s.name: ALWAYS if s.final or s.absorbing else AnyOf() for s in chart.states}
    steps: dict[str, list[Row]] = {state.name: [] for state in chart.states}
    left_out = False
    for row in chart.rows:
        if is_opaque(row.guard):
            left_out = True
        else:
            steps[row.source].append(row)
    exact = False
    for _ in range(ROUNDS + len(chart.states)):
        fresh, exact = dict(good), not left_out
        for state in chart.states:
            if good[state.name] != ALWAYS:
                fresh[state.name], all_data = _good(chart, state, steps[state.name], good)
                exact = exact and all_data
                if len(fresh[state.name].parts()) > MOST_PARTS:
                    return None
        if fresh == good:
            break
        good = fresh
    else:
        exact = False
    try:
        return Ends(good, exact, tuple(_doubtful(chart, good)))
    except NotKnown:
        return None


def _doubtful(chart: Chart, good: dict[str, Condition]) -> Iterator[dict[str, Value]]:
    for state in chart.states:
        if good[state.name] != ALWAYS:
            values = possible(All(state.invariant, negated(good[state.name])), chart)
            if values is not None:
                yield values


def bounds_around(chart: Chart, found: Iterable[Mapping[str, Value]]) -> tuple[Condition, ...]:
    """Return bounds that include these counts and all numbers that the chart compares with."""
    counts = [value for values in found for value in values.values() if isinstance(value, int)]
    most = max([greatest_number(chart), *counts]) + 1
    numbers = (Compare(((name, 1),), "<=", most) for name in chart.numbers)
    return (*(one <= most + one.initial for one in chart.variables if isinstance(one, Counter)), *numbers)


def _good(chart: Chart, state: State, rows: list[Row], good: dict[str, Condition]) -> tuple[Condition, bool]:
    """Where a state is good, given where the others are, and whether all data were considered.

    `ALWAYS` if it is good as a whole.
    """
    known, onward, exact = good[state.name], list[Condition](), True
    for row in rows:
        if good[row.target] != AnyOf():
            before = All(row.guard, weakest_precondition(good[row.target], row.effects))
            some, all_data = for_some(before, _numbers(chart, row))
            onward.append(some)
            exact = exact and all_data
    now = AnyOf(known, *onward)
    if impossible(All(state.invariant, negated(now)), chart) or _comes_down(chart, state, rows, now):
        return ALWAYS, exact
    for part in AnyOf(*onward).parts():
        if not impossible(All(state.invariant, part, negated(known)), chart):
            known = AnyOf(known, part)
    return known, exact


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
