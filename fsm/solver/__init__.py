"""The solver: questions about conditions, answered for all counts and all data.

    from fsm.solver import possible                  # values for which a condition holds, or None
    from fsm.solver import impossible                # is it proved that it never holds?
    from fsm.solver import for_some                  # for which counts does a condition hold for some data?
    from fsm.solver import weakest_precondition      # what must hold before some effects
    from fsm.solver import NotKnown                  # the question would take too much work
"""

from __future__ import annotations

from fsm.solver.linear import NotKnown
from fsm.solver.precondition import sum_before, weakest_precondition
from fsm.solver.projection import for_some
from fsm.solver.search import atoms, impossible, possible

__all__ = ["NotKnown", "atoms", "for_some", "impossible", "possible", "sum_before", "weakest_precondition"]
