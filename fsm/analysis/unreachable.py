"""Proofs that a configuration can never be reached, for all counts.

Theory.  Call a set of configurations bad, here: those of a state where a condition holds.  What leads into the bad set
by one row is bad, too: the weakest precondition of the row, in its source, together with the source's invariant.  When
nothing new is found, all ways into the bad set are known.  If the start is not among them, none can be reached.
The rounds may go on for ever, since counters have no limit, so they are limited.  A callable guard counts as a free yes
or no, so a proof holds whatever it answers.
"""

from __future__ import annotations

from typing import Final

from fsm.chart import Chart
from fsm.condition import All, AnyOf, Condition, negated
from fsm.solver import possible, weakest_precondition

__all__ = ["proves_unreachable"]

MOST: Final = 60
"""The conditions that are examined before the proof is given up."""


def proves_unreachable(chart: Chart, state: str, bad: Condition) -> bool:
    """Prove that no configuration of this state where `bad` holds can be reached.  False says nothing."""
    known: dict[str, list[Condition]] = {}
    waiting = [(state, All(chart.state(state).invariant, bad))]
    start = All(*(variable == variable.initial for variable in chart.variables))
    for _ in range(MOST):
        if not waiting:
            return True
        here, condition = waiting.pop(0)
        if possible(All(condition, negated(AnyOf(*known.get(here, ())))), chart) is None:
            continue  # nothing new
        if here == chart.initial and possible(All(condition, start), chart) is not None:
            return False
        known.setdefault(here, []).append(condition)
        for row in chart.rows:
            if row.target == here:
                before = All(chart.state(row.source).invariant, row.guard, weakest_precondition(condition, row.effects))
                if before.names() - set(chart.names):
                    return False  # it depends on what an event brings with it
                waiting.append((row.source, before))
    return False
