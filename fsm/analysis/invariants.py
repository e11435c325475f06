"""Proofs of properties for all counts, row by row.

Each function returns True when it has proved the property.  False says nothing about the property.  The proofs rest on
`solver.impossible`, which decides conditions exactly, and on the chart's invariants, proved when it was built.
A callable guard counts as a free yes or no, so a proof holds whatever it answers.
"""

from __future__ import annotations

from collections.abc import Iterator

from fsm.analysis.properties import Always, Changes, Falls
from fsm.chart import Chart, Row
from fsm.condition import All, negated
from fsm.solver import impossible, sum_before, weakest_precondition
from fsm.variable import Sum

__all__ = ["proves_always", "proves_change", "rows_concerned"]


def rows_concerned(chart: Chart, one: Falls | Changes) -> Iterator[Row]:
    """The rows of which a property about sums speaks: from its states, by its events, and possible there."""
    for row in chart.rows:
        if one.states is not None and row.source not in one.states:
            continue
        if one.events is not None and row.event not in one.events:
            continue
        if not impossible(All(chart.state(row.source).invariant, row.guard, one.when), chart):
            yield row


def proves_change(chart: Chart, one: Falls | Changes) -> bool:
    """Prove that every row concerned changes the sum as promised, whatever the counts."""
    return all(_row_changes(chart, row, one) for row in rows_concerned(chart, one))


def _row_changes(chart: Chart, row: Row, one: Falls | Changes) -> bool:
    """Prove that the difference, a sum of what was there before, is the promised number, or below 0."""
    after = sum_before(one.weights.items(), {effect.name: effect for effect in row.effects})
    difference = after - Sum(tuple(one.weights.items()), 0)
    promised = one.change(row.event)
    wrong = difference >= 0 if promised is None else difference != promised
    return impossible(All(chart.state(row.source).invariant, row.guard, one.when, wrong), chart)


def proves_always(chart: Chart, one: Always) -> bool:
    """Prove that it follows from the invariants, or holds at the start and is kept by every row (induction)."""
    states = [state for state in chart.states if one.states is None or state in one.states]
    wrong = All(one.when, negated(one.holds))
    if all(impossible(All(state.invariant, wrong), chart) for state in states):
        return True
    if chart.initial in states and not negated(wrong).holds(chart.values(chart.start())):
        return False
    for row in chart.rows:
        if row.target in states:
            source = chart.state(row.source)
            known = All(source.invariant, negated(wrong)) if source in states else source.invariant
            if not impossible(All(known, row.guard, weakest_precondition(wrong, row.effects)), chart):
                return False
    return True
