"""Proofs that a configuration can never be reached, for all counts.

Theory.  Call a set of configurations bad, here: those of a state where a condition holds.  What leads into the bad set
by one row is bad, too: the weakest precondition of the row, in its source, together with the source's invariant.  When
nothing new is found, all ways into the bad set are known.  If the start is not among them, none can be reached.
The rounds may go on for ever, since counters have no limit, so they are limited.
What an event brings with it may be different each time, so its numbers get a name of their own for each step.  A
callable guard may answer differently each time, so it never excludes a step.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from typing import Final

from fsm.chart import Chart
from fsm.condition import ALWAYS, All, AnyOf, Compare, Condition, Opaque, negated
from fsm.solver import impossible, weakest_precondition

__all__ = ["proves_unreachable"]

MOST: Final = 60
"""The conditions that are examined before the proof is given up."""


def proves_unreachable(chart: Chart, state: str, bad: Condition) -> bool:
    """Prove that no configuration of this state where `bad` holds can be reached.  False says nothing."""
    known: dict[str, list[Condition]] = {}
    waiting = [(str(state), All(chart.state(state).invariant, bad))]
    start = All(*(variable == variable.initial for variable in chart.variables))
    steps = count()
    for _ in range(MOST):
        if not waiting:
            return True
        here, condition = waiting.pop(0)
        if impossible(All(condition, negated(AnyOf(*known.get(here, ())))), chart):
            continue  # nothing new
        if here == chart.initial and not impossible(All(condition, start), chart):
            return False
        known.setdefault(here, []).append(condition)
        for row in chart.rows:
            if row.target == here:
                step = All(_without_callables(row.guard), weakest_precondition(condition, row.effects))
                number = next(steps)
                apart = {name: f"{name} of step {number}" for name in chart.numbers}
                waiting.append((row.source, All(chart.state(row.source).invariant, _renamed(step, apart))))
    return False


def _without_callables(guard: Condition) -> Condition:
    """The guard where every callable has the answer that allows the step."""
    if isinstance(guard, Opaque):
        return ALWAYS
    return type(guard)(*map(_without_callables, guard.parts())) if isinstance(guard, (All, AnyOf)) else guard


def _renamed(condition: Condition, names: Mapping[str, str]) -> Condition:
    if isinstance(condition, Compare):
        terms = tuple((names.get(name, name), factor) for name, factor in condition.terms)
        return Compare(terms, condition.op, condition.bound)
    if isinstance(condition, (All, AnyOf)):
        return type(condition)(*(_renamed(part, names) for part in condition.parts()))
    return condition
