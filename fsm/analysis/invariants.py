"""Proofs of properties for all counts, row by row.

Each function returns True when it has proved the property.  False says nothing about the property.  The proofs rest on
`solver.possible`, which decides conditions exactly, and on the chart's invariants, which were proved when it was built.
A callable guard counts as a free yes or no, so a proof holds whatever it answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from fsm.analysis.properties import Always, Changes, Falls
from fsm.chart import Chart, Row
from fsm.condition import ALWAYS, All, AnyOf, Condition, negated
from fsm.solver import possible, sum_before, weakest_precondition
from fsm.variable import Sum

__all__ = ["proves_always", "proves_change", "proves_final_reachable", "rows_concerned"]

ROUNDS: Final = 3


def rows_concerned(chart: Chart, one: Falls | Changes) -> Iterator[Row]:
    """The rows of which a property about sums speaks: from its states, by its events, and possible there."""
    for row in chart.rows:
        if one.states is not None and row.source not in one.states:
            continue
        if one.events is not None and row.event not in one.events:
            continue
        if possible(All(chart.state(row.source).invariant, row.guard, one.when), chart) is not None:
            yield row


def proves_change(chart: Chart, one: Falls | Changes) -> bool:
    """Prove that every row concerned changes the sum as promised, whatever the counts."""
    return all(_row_changes(row, one.weights, one.change(row.event)) for row in rows_concerned(chart, one))


def _row_changes(row: Row, weights: Mapping[str, int], by: int | None) -> bool:
    """Prove that the difference, a sum of the counts before, is the promised number, or below 0 for all counts."""
    after = sum_before(weights.items(), {effect.name: effect for effect in row.effects})
    difference = after + Sum(tuple((name, -weight) for name, weight in weights.items()), 0)
    if by is None:
        return difference.constant < 0 and all(factor <= 0 for _, factor in difference.terms)
    return difference.constant == by and not any(factor for _, factor in difference.terms)


def proves_always(chart: Chart, one: Always) -> bool:
    """Prove that it follows from the invariants, or holds at the start and is kept by every row (induction)."""
    states = [state for state in chart.states if one.states is None or state in one.states]
    wrong = All(one.when, negated(one.holds))
    if all(possible(All(state.invariant, wrong), chart) is None for state in states):
        return True
    if chart.initial in states and not negated(wrong).holds(chart.values(chart.start())):
        return False
    for row in chart.rows:
        if row.target in states:
            source = chart.state(row.source)
            known = All(source.invariant, negated(wrong)) if source in states else source.invariant
            if possible(All(known, row.guard, weakest_precondition(wrong, row.effects)), chart) is not None:
                return False
    return True


def proves_final_reachable(chart: Chart) -> bool:
    """Prove that a final state can be reached from every configuration that keeps the invariants, whatever the counts.

    Works backwards from the final states by weakest preconditions, for a few rounds; a state that is proved counts as
    final.  Rows with callable guards are left out: the guard may always say no.
    """
    opaque = {row.id for row in chart.opaque}
    rows = [row for row in chart.rows if row.id not in opaque]
    good: dict[str, Condition] = {str(s): ALWAYS if s.final else AnyOf() for s in chart.states}
    for _ in range(ROUNDS + len(chart.states)):
        proved = True
        fresh = dict(good)
        for state in chart.states:
            if good[state] == ALWAYS:
                continue
            onward = [
                All(row.guard, weakest_precondition(good[row.target], row.effects))
                for row in rows
                if row.source == state
            ]
            one_more = AnyOf(good[state], *onward)
            if possible(All(state.invariant, negated(one_more)), chart) is None:
                fresh[str(state)] = ALWAYS
            else:
                proved = False
                fresh[str(state)] = AnyOf(*dict.fromkeys(
                    part for part in one_more.parts() if possible(All(state.invariant, part), chart) is not None
                ))
                if len(fresh[str(state)].parts()) > 400:
                    return False
        if proved:
            return True
        good = fresh
    return False
