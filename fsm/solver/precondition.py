"""What must hold before a step, so that a condition holds after it: substitution, since effects are sums."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fsm.condition import ALWAYS, All, Among, AnyOf, Compare, Condition
from fsm.variable import Assignment, Sum

__all__ = ["sum_before", "weakest_precondition"]


def weakest_precondition(guard: Condition, effects: Iterable[Assignment]) -> Condition:
    """Return the condition that holds before the effects exactly if this one holds after them."""
    return _precondition(guard, {effect.name: effect for effect in effects})


def _precondition(guard: Condition, effects: Mapping[str, Assignment]) -> Condition:
    if isinstance(guard, Among):
        effect = effects.get(guard.name)
        if effect is None or isinstance(effect.value, Sum):
            return guard
        return ALWAYS if guard.holds({guard.name: effect.value[0]}) else AnyOf()
    if isinstance(guard, Compare):
        total = sum_before(guard.terms, effects)
        return Compare(total.terms, guard.op, guard.bound - total.constant)
    if isinstance(guard, (All, AnyOf)):
        return type(guard)(*(_precondition(part, effects) for part in guard.parts()))
    return guard


def sum_before(terms: Iterable[tuple[str, int]], effects: Mapping[str, Assignment]) -> Sum:
    """Return the sum of the counters before the effects that equals this one after them."""
    before: dict[str, int] = {}
    constant = 0
    for name, factor in terms:
        effect = effects.get(name)
        new = effect.value if effect is not None and isinstance(effect.value, Sum) else Sum(((name, 1),), 0)
        constant += factor * new.constant
        for other, times in new.terms:
            before[other] = before.get(other, 0) + factor * times
    return Sum(tuple(before.items()), constant)
