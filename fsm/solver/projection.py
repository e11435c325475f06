"""For which counts are there data?  The numbers that an event brings are taken out of a condition.

Theory.  This is Cooper's method (D. C. Cooper, "Theorem proving in arithmetic without multiplication", Machine
Intelligence 7, 1972) for a number n of 0 or more.  Raise n from 0: a condition without negations can only become true
at a value where one of its comparisons does: n == t and n >= t at t, n > t and n != t at t + 1.  So some n fulfils it
exactly if 0 does, or one of these values.  Where n has another factor than 1 or -1 in such a comparison, the value is
no sum, and may be missed.
"""

from __future__ import annotations

from collections.abc import Iterable

from fsm.condition import All, AnyOf, Compare, Condition
from fsm.solver.search import atoms
from fsm.variable import Sum

__all__ = ["for_some"]


def for_some(guard: Condition, numbers: Iterable[str]) -> tuple[Condition, bool]:
    """Return the condition that the guard holds for some values of these numbers, and whether it is exactly that.

    If it is not, the condition implies that there are such values, and may miss some.
    """
    exact = True
    for name in numbers:
        if name in guard.names():
            spoken = [one for one in atoms(guard) if isinstance(one, Compare) and name in one.names()]
            rising = [one for one in spoken if _becomes_true(one, name)]
            plain = [one for one in rising if abs(dict(one.terms)[name]) == 1]
            exact = exact and plain == rising
            values = dict.fromkeys((value.terms, value.constant) for value in (_value(one, name) for one in plain))
            guard = AnyOf(*(_at(guard, name, Sum(terms, constant)) for terms, constant in [((), 0), *values]))
    return guard, exact


def _becomes_true(one: Compare, name: str) -> bool:
    """Whether a comparison can become true when the number rises."""
    return one.op in ("==", "!=", *((">", ">=") if dict(one.terms)[name] > 0 else ("<", "<=")))


def _value(one: Compare, name: str) -> Sum:
    """The value at which a comparison becomes true when the number, whose factor is 1 or -1, rises."""
    rest = Sum(tuple(term for term in one.terms if term[0] != name), 0)
    value = (one.bound - rest) * dict(one.terms)[name]
    return value if one.op in ("==", ">=", "<=") else value + 1


def _at(guard: Condition, name: str, value: Sum) -> Condition:
    """The condition with a sum in the place of a number, where the sum is not negative."""
    return All(value >= 0, _replaced(guard, name, value))


def _replaced(guard: Condition, name: str, value: Sum) -> Condition:
    if isinstance(guard, Compare) and name in guard.names():
        factor = dict(guard.terms)[name]
        rest = Sum(tuple(term for term in guard.terms if term[0] != name), 0)
        total = rest + value * factor
        return Compare(total.terms, guard.op, guard.bound - total.constant)
    if isinstance(guard, (All, AnyOf)):
        return type(guard)(*(_replaced(part, name, value) for part in guard.parts()))
    return guard
