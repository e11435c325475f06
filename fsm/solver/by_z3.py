"""What z3 says where the built-in procedure gives up (the extra `z3`).

A condition becomes a formula over whole numbers: every counter is 0 or more, an enumerated variable is the place of its
value, a callable is free to answer either way.  z3's effort is limited by its own count of work, not by time, so that
the answer is the same on every machine.
"""

from __future__ import annotations

from typing import Final

import z3

from fsm.condition import OPERATORS, All, Among, Compare, Condition, Opaque, Value
from fsm.solver.linear import NotKnown
from fsm.table import Table
from fsm.variable import Choice

__all__ = ["possible_by_z3"]

EFFORT: Final = 40_000_000


def possible_by_z3(guard: Condition, table: Table) -> dict[str, Value] | None:
    """Return values, of the variables in it, for which the condition holds; None if it never does.

    NotKnown if z3 does not know either.
    """
    formula = _Formula(table)
    solver = z3.SolverFor("QF_LIA")
    solver.set("rlimit", EFFORT)
    solver.add(formula.of(guard), *formula.limits)
    answer = solver.check()
    if answer == z3.unknown:
        raise NotKnown
    return formula.values(solver.model()) if answer == z3.sat else None


class _Formula:
    """The variables of a formula, by the names of those in the conditions."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.numbers: dict[str, z3.ArithRef] = {}
        self.callables: dict[object, z3.BoolRef] = {}
        self.limits: list[z3.BoolRef] = []

    def number(self, name: str, most: int | None = None) -> z3.ArithRef:
        if name not in self.numbers:
            self.numbers[name] = z3.Int(name)
            self.limits += [self.numbers[name] >= 0, *(() if most is None else (self.numbers[name] <= most,))]
        return self.numbers[name]

    def of(self, guard: Condition) -> z3.BoolRef:
        if isinstance(guard, Compare):
            total = z3.Sum([factor * self.number(name) for name, factor in guard.terms])
            return OPERATORS[guard.op](total, guard.bound)
        if isinstance(guard, Among):
            values = self.choices(guard.name)
            place = self.number(guard.name, len(values) - 1)
            return z3.Or([place == n for n, value in enumerate(values) if (value in guard.values) is not guard.negated])
        if isinstance(guard, Opaque):
            answer = self.callables.setdefault(guard.function, z3.Bool(f"answer {len(self.callables)}"))
            return z3.Not(answer) if guard.negated else answer
        parts = [self.of(part) for part in guard.parts()]
        return z3.And(parts) if isinstance(guard, All) else z3.Or(parts)

    def choices(self, name: str) -> tuple[Value, ...]:
        variable = self.table.variable(name) if name in self.table.names else None
        return variable.values if isinstance(variable, Choice) else ()

    def values(self, model: z3.ModelRef) -> dict[str, Value]:
        found = {name: model.eval(one, model_completion=True).as_long() for name, one in self.numbers.items()}
        return {name: values[n] if (values := self.choices(name)) else n for name, n in found.items()}
