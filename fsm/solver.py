"""The solver: can this condition hold?  The answer is exact, for all counts.

Theory.  Counters have no upper limit, and still the question can be decided: every comparison has a sum of counters
with factors of at least 1 on one side and a whole number on the other.  Let K be the greatest of these numbers.
Lowering a counter above K + 1 to K + 1 changes the truth of no comparison, since every sum with that counter is above K
before and after.  So a condition that holds for some counts holds for some counts of at most K + 1, and a finite search
answers for all.

The search keeps a range for every counter and every sum.  It splits a range at the number of a comparison, propagates
the new limits to the other ranges, and drops regions that are empty or where the condition is false.
A callable guard may be true or false, but has the same value wherever it occurs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, TypeAlias

from fsm.condition import ALWAYS, OPERATORS, All, Among, AnyOf, Compare, Condition, Opaque, Value
from fsm.table import Table
from fsm.variable import Assignment, Choice, Sum

__all__ = ["possible", "weakest_precondition"]


Terms: TypeAlias = tuple[tuple[str, int], ...]


class Region(NamedTuple):
    """A part of the search space: the range of every counter and sum, and the values of all other atoms."""

    ranges: dict[Terms, tuple[int, int]]
    answers: dict[object, tuple[Value | bool, ...]]


def possible(guard: Condition, table: Table) -> dict[str, Value] | None:
    """Return values, of the variables in it, for which the condition holds; None if it never does."""
    region = _first(tuple(atoms(guard)), table)
    regions = [region]
    while regions:
        region = regions.pop()
        answer = _judge(guard, region)
        if answer is True:
            if (counts := _point(region)) is not None:
                return {name: values[0] for name, values in region.answers.items() if isinstance(name, str)} | counts
        elif not isinstance(answer, bool):
            regions += _split(answer, region)
    return None


def _first(atoms: tuple[Condition, ...], table: Table) -> Region:
    region = Region({}, {})
    compared = [atom for atom in atoms if isinstance(atom, Compare)]
    mixed = any(factor < 0 for atom in compared for _, factor in atom.terms)
    greatest = max((abs(atom.bound) + 8 * mixed for atom in compared), default=0)
    for atom in atoms:
        if isinstance(atom, Opaque):
            region.answers[atom.function] = (False, True)
        elif isinstance(atom, Among):
            variable = table.variable(atom.name)
            region.answers[atom.name] = variable.values if isinstance(variable, Choice) else ()
        elif isinstance(atom, Compare):
            most = max(greatest, 0) + 1
            region.ranges.update((((name, 1),), (0, most)) for name, _ in atom.terms)
            region.ranges.setdefault(atom.terms, (
                sum(factor for _, factor in atom.terms if factor < 0) * most,
                sum(factor for _, factor in atom.terms if factor > 0) * most,
            ))
    return region


def _judge(guard: Condition, region: Region) -> bool | Condition:
    """Return True or False if that is the condition's value in the whole region, or else an atom that has both."""
    if isinstance(guard, Compare):
        return _between(*region.ranges[guard.terms], guard)
    if isinstance(guard, (Among, Opaque)):
        if isinstance(guard, Among):
            inside = [value in guard.values for value in region.answers[guard.name]]
        else:
            inside = [bool(answer) for answer in region.answers[guard.function]]
        return guard if len(set(inside)) == 2 else inside[0] is not guard.negated
    decided = isinstance(guard, AnyOf)  # one True decides an AnyOf, one False an All
    doubt: bool | Condition = not decided
    for part in guard.parts():
        answer = _judge(part, region)
        if answer is decided:
            return decided
        if not isinstance(answer, bool) and isinstance(doubt, bool):
            doubt = answer
    return doubt


def _between(low: int, high: int, atom: Compare) -> bool | Condition:
    if atom.op in ("==", "!="):
        if low == high == atom.bound:
            return atom.op == "=="
        return atom if low <= atom.bound <= high else atom.op == "!="
    least, greatest = (OPERATORS[atom.op](edge, atom.bound) for edge in (low, high))
    return least if least is greatest else atom


def _split(atom: Condition, region: Region) -> Iterator[Region]:
    """Split a region into regions where the atom has one value; the one with the smallest counts comes last."""
    if isinstance(atom, Among):
        values = region.answers[atom.name]
        for inside in (False, True):
            answers = tuple(v for v in values if (v in atom.values) is inside)
            yield Region(region.ranges, {**region.answers, atom.name: answers})
    elif isinstance(atom, Opaque):
        for answer in (False, True):
            yield Region(region.ranges, {**region.answers, atom.function: (answer,)})
    elif isinstance(atom, Compare):
        low, high = region.ranges[atom.terms]
        below, above = {"<": (0, 0), ">=": (0, 0), "<=": (1, 1), ">": (1, 1)}.get(atom.op, (0, 1))
        cuts = [(atom.bound + above, high), (low, atom.bound + below - 1)]
        if below != above:
            cuts.insert(1, (atom.bound, atom.bound))
        for cut in cuts:
            if (narrower := _narrowed(region, atom.terms, cut)) is not None:
                yield narrower


def _narrowed(region: Region, terms: Terms, cut: tuple[int, int]) -> Region | None:
    """Return the region with one range cut and the others narrowed accordingly; None if nothing is left.

    The number of rounds is limited.  Stopping early costs time in the search, and loses no solution.
    """
    ranges = dict(region.ranges)
    ranges[terms] = max(cut[0], ranges[terms][0]), min(cut[1], ranges[terms][1])
    for _ in range(50):
        before = dict(ranges)
        for sums in ranges:
            if not _tightened(ranges, sums):
                return None
        if ranges == before:
            break
    return Region(ranges, region.answers)


def _tightened(ranges: dict[Terms, tuple[int, int]], sums: Terms) -> bool:
    """Narrow the range of a sum by those of its counters, and each of these by the sum and the others."""
    low, high = ranges[sums]
    single = {name: ranges[((name, 1),)] for name, _ in sums}
    least = sum(factor * single[name][factor < 0] for name, factor in sums)
    most = sum(factor * single[name][factor > 0] for name, factor in sums)
    low, high = ranges[sums] = max(low, least), min(high, most)
    if low > high:
        return False
    for name, factor in sums:
        floor, ceiling = single[name]
        if factor < 0:
            floor = max(floor, -((high - least + factor * ceiling) // -factor))
            ceiling = min(ceiling, (most - factor * single[name][0] - low) // -factor)
        else:
            floor = max(floor, -((most - factor * ceiling - low) // factor))
            ceiling = min(ceiling, (high - least + factor * single[name][0]) // factor)
        if floor > ceiling:
            return False
        ranges[((name, 1),)] = floor, ceiling
    return True


def _point(region: Region) -> dict[str, Value] | None:
    """Return a value for every counter within all ranges; None if there is none."""
    regions = [region]
    while regions:
        region = regions.pop()
        single = [terms for terms in region.ranges if len(terms) == 1 and terms[0][1] == 1]
        wide = [terms for terms in single if region.ranges[terms][0] < region.ranges[terms][1]]
        summed = {name for terms in region.ranges if terms not in single for name, _ in terms}
        split = next((terms for terms in wide if terms[0][0] in summed), None)
        if split is None:
            return {terms[0][0]: region.ranges[terms][0] for terms in single}
        low, high = region.ranges[split]
        middle = (low + high) // 2
        for cut in ((middle + 1, high), (low, middle)):
            if (narrower := _narrowed(region, split, cut)) is not None:
                regions.append(narrower)
    return None


def atoms(guard: Condition) -> Iterator[Condition]:
    """The comparisons and callables that a condition combines."""
    parts = guard.parts()
    if not parts and not isinstance(guard, (All, AnyOf)):
        yield guard
    for part in parts:
        yield from atoms(part)


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
