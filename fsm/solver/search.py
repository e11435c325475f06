"""Can this condition hold?  The answer is exact, for all counts and all data.

Theory.
1. Counters and numbers have no upper limit, and still the question can be decided: without multiplication this is
   Presburger's arithmetic.  A condition is a tree of `and` and `or` over three kinds of leaves: a sum of counters lies
   in an interval, an enumerated variable has one of some values, a callable answers yes.
2. The search keeps a *region*: a range for every sum and counter, the values left for every enumerated variable.  What
   the region decides is dropped from the tree; what must hold narrows it; otherwise it is split in two or three at a
   leaf.  New limits are passed on between sums and their counters.
3. Counters that have the same factor in every sum of the question count as one: only their total matters.
4. Where the tree has become true, what was asked of the sums is a system of linear inequalities, which `linear.py`
   decides.  Now and then that is asked on the way, too, so that regions without a point are left early.
5. A callable guard may be true or false, but has the same value wherever it occurs.

What would take too much work is `NotKnown`: it is never answered wrongly.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import gcd
from typing import Final, NamedTuple, TypeAlias

from fsm.condition import OPERATORS, All, Among, AnyOf, Compare, Condition, Opaque, Terms, Value
from fsm.solver.linear import NotKnown, Work, solution
from fsm.table import Table
from fsm.variable import Choice

__all__ = ["atoms", "impossible", "possible"]

ROUNDS: Final = 10
"""How often new limits are passed on.  Stopping early costs time in the search, and loses no solution."""
LOOK: Final = 4
"""After so many splits a region is looked into for a point."""

Range: TypeAlias = tuple[int | None, int | None]
"""The least and the greatest value; None where there is no limit."""
ANY: Final[Range] = (None, None)


class _Inside(NamedTuple):
    """A leaf: a sum lies in a range, or does not."""

    terms: Terms
    range: Range
    negated: bool


class _OneOf(NamedTuple):
    """A leaf: a variable, or a callable, has one of these values."""

    name: object
    values: tuple[Value, ...]


class _Joint(NamedTuple):
    """A node: all parts hold, or at least one."""

    every: bool
    parts: tuple[_Tree, ...]


_Tree: TypeAlias = "_Inside | _OneOf | _Joint | bool"


class _Region(NamedTuple):
    """What is left of the search space: ranges, those that were asked for, and values; and the splits since a look."""

    ranges: dict[Terms, Range]
    asked: dict[Terms, Range]
    answers: dict[object, tuple[Value, ...]]
    splits: int


def possible(guard: Condition, table: Table) -> dict[str, Value] | None:
    """Return values, of the variables in it, for which the condition holds; None if it never does.

    NotKnown if that would take too much work, and z3 (the extra `z3`) is not installed or does not know it either.
    """
    try:
        return _decided(guard, table)
    except NotKnown:
        try:
            from fsm.solver.by_z3 import possible_by_z3
        except ImportError:
            raise NotKnown from None
        return possible_by_z3(guard, table)


def impossible(guard: Condition, table: Table) -> bool:
    """Whether it is proved that the condition never holds.  False if it may hold, or if that is not known."""
    try:
        return possible(guard, table) is None
    except NotKnown:
        return False


def _decided(guard: Condition, table: Table) -> dict[str, Value] | None:
    leaves = tuple(dict.fromkeys(atoms(guard)))
    groups = _groups(leaves)
    tree = _tree(guard, groups, table)
    ranges: dict[Terms, Range] = {((name, 1),): (0, None) for name in groups.values()}
    ranges.update((terms, ANY) for terms in _sums(tree) if terms not in ranges)
    answers: dict[object, tuple[Value, ...]] = {}
    for leaf in leaves:
        if isinstance(leaf, Opaque):
            answers[leaf.function] = (False, True)
        elif isinstance(leaf, Among):
            answers[leaf.name] = _values(table, leaf.name)
    found = _searched(tree, _Region(ranges, {}, answers, 0), Work(len(ranges)))
    if found is None:
        return None
    region, counts = found
    named = {name: values[0] for name, values in region.answers.items() if isinstance(name, str)}
    return named | {name: counts[name] if one == name else 0 for name, one in groups.items()}


def atoms(guard: Condition) -> Iterator[Condition]:
    """The comparisons and callables that a condition combines."""
    parts = guard.parts()
    if not parts and not isinstance(guard, (All, AnyOf)):
        yield guard
    for part in parts:
        yield from atoms(part)


# ------------------------------------------------------------------------------------------------ the question


def _groups(leaves: tuple[Condition, ...]) -> dict[str, str]:
    """For every counter one that stands for it: the first with the same factor in every sum."""
    columns: dict[str, list[tuple[Terms, int]]] = {}
    for leaf in leaves:
        if isinstance(leaf, Compare):
            for name, factor in leaf.terms:
                columns.setdefault(name, []).append((leaf.terms, factor))
    first: dict[tuple[tuple[Terms, int], ...], str] = {}
    return {name: first.setdefault(tuple(dict.fromkeys(column)), name) for name, column in columns.items()}


def _tree(guard: Condition, groups: dict[str, str], table: Table) -> _Tree:
    """The condition as a tree, with one counter for each group."""
    if isinstance(guard, Compare):
        return _inside(tuple((name, f) for name, f in guard.terms if f and groups[name] == name), guard.op, guard.bound)
    if isinstance(guard, Among):
        every = _values(table, guard.name)
        return _OneOf(guard.name, tuple(value for value in every if (value in guard.values) is not guard.negated))
    if isinstance(guard, Opaque):
        return _OneOf(guard.function, (not guard.negated,))
    return _Joint(isinstance(guard, All), tuple(_tree(part, groups, table) for part in guard.parts()))


def _values(table: Table, name: str) -> tuple[Value, ...]:
    variable = table.variable(name)
    return variable.values if isinstance(variable, Choice) else ()


def _inside(terms: Terms, op: str, bound: int) -> _Tree:
    """A comparison as a leaf, in the one form that all with the same meaning have."""
    terms = tuple(sorted(terms))
    least, most = {
        "==": (bound, bound), "!=": (bound, bound), "<": (None, bound - 1), "<=": (None, bound),
        ">": (bound + 1, None), ">=": (bound, None),
    }[op]  # fmt: skip
    if not terms:
        return OPERATORS[op](0, bound)
    divisor = gcd(*(factor for _, factor in terms))
    if terms[0][1] < 0:
        divisor, least, most = -divisor, most, least
    limits = (None if least is None else -(-least // divisor), None if most is None else most // divisor)
    if None not in limits and limits[0] > limits[1]:  # type: ignore[operator]  # no such multiple
        return op == "!="
    return _Inside(tuple((name, factor // divisor) for name, factor in terms), limits, op == "!=")


def _sums(tree: _Tree) -> Iterator[Terms]:
    if isinstance(tree, _Inside):
        yield tree.terms
    elif isinstance(tree, _Joint):
        for part in tree.parts:
            yield from _sums(part)


# -------------------------------------------------------------------------------------------------- the search


def _searched(tree: _Tree, region: _Region, work: Work) -> tuple[_Region, dict[str, int]] | None:
    """Return a region where the tree is true, with a point of it; None if there is none."""
    waiting = [(tree, region)]
    while waiting:
        settled = _settled(*waiting.pop(), work)
        if settled is None:
            continue
        tree, region = settled
        if tree is True or region.splits >= LOOK:
            point = _point(region, work)
            if point is None:
                continue
            if tree is True:
                return region, point
            region = region._replace(splits=0)
        waiting += ((tree, part) for part in _split(_leaf(tree), region, work))
    return None


def _settled(tree: _Tree, region: _Region, work: Work) -> tuple[_Tree, _Region] | None:
    """Drop what the region decides, and narrow it by what must hold; None if nothing is left."""
    while True:
        tree = _reduced(tree, region, work)
        if tree is False:
            return None
        parts = tree.parts if isinstance(tree, _Joint) and tree.every else (tree,)
        before = region
        plain = [part for part in parts if isinstance(part, _Inside) and not part.negated]
        if plain:
            narrower = _narrowed(region, [(part.terms, part.range) for part in plain], work)
            if narrower is None:
                return None
            region = narrower
        for part in parts:
            if isinstance(part, _OneOf) or (isinstance(part, _Inside) and part.negated):
                narrower = _asserted(part, region, work)
                if narrower is None:
                    return None
                region = narrower
        if region is before:
            return tree, region


def _reduced(tree: _Tree, region: _Region, work: Work) -> _Tree:
    """The tree without the leaves that have one answer in the whole region."""
    work.spend(2)
    if isinstance(tree, _Inside):
        known = region.ranges[tree.terms]
        common = _common(known, tree.range)
        return not tree.negated if common == known else tree.negated if _empty(common) else tree
    if isinstance(tree, _OneOf):
        inside = [value in tree.values for value in region.answers[tree.name]]
        return tree if len(set(inside)) == 2 else inside[0] if inside else False
    if not isinstance(tree, _Joint):
        return tree
    parts: dict[_Tree, None] = {}
    for part in tree.parts:
        left = _reduced(part, region, work)
        if left is (not tree.every):  # one False decides an `and`, one True an `or`
            return left
        if left is not tree.every:
            inner = left.parts if isinstance(left, _Joint) and left.every is tree.every else (left,)
            parts.update(dict.fromkeys(inner))
    if len(parts) > 1:
        return _Joint(tree.every, tuple(parts))
    return next(iter(parts), tree.every)


def _leaf(tree: _Tree) -> _Inside | _OneOf:
    """A leaf of the tree, among the fewest alternatives."""
    while isinstance(tree, _Joint):
        tree = min(tree.parts, key=lambda part: len(part.parts) if isinstance(part, _Joint) else 0)
    assert not isinstance(tree, bool)
    return tree


def _asserted(leaf: _Inside | _OneOf, region: _Region, work: Work) -> _Region | None:
    """The region in which a leaf holds that is no range; the same one if that is not one piece."""
    if isinstance(leaf, _OneOf):
        work.spend(len(region.answers))
        left = tuple(value for value in region.answers[leaf.name] if value in leaf.values)
        return region._replace(answers={**region.answers, leaf.name: left})
    pieces = list(_split(leaf, region, work, outside_only=True))
    return region if len(pieces) == 2 else pieces[0] if pieces else None


def _split(
    leaf: _Inside | _OneOf, region: _Region, work: Work, *, outside_only: bool = False
) -> Iterator[_Region]:
    """Split a region into regions where the leaf has one value; the one with the smallest counts comes last."""
    region = region._replace(splits=region.splits + 1)
    if isinstance(leaf, _OneOf):
        values = region.answers[leaf.name]
        for inside in (False, True):
            left = tuple(value for value in values if (value in leaf.values) is inside)
            yield region._replace(answers={**region.answers, leaf.name: left})
        return
    least, most = leaf.range
    cuts: list[Range] = [] if most is None else [(most + 1, None)]
    if not outside_only:
        cuts.append(leaf.range)
    if least is not None:
        cuts.append((None, least - 1))
    for cut in cuts:
        if (narrower := _narrowed(region, [(leaf.terms, cut)], work)) is not None:
            yield narrower


# -------------------------------------------------------------------------------------------------- the ranges


def _common(one: Range, other: Range) -> Range:
    """The range that two ranges have in common, which may be empty."""
    (a, b), (c, d) = one, other
    return c if a is None else a if c is None else max(a, c), d if b is None else b if d is None else min(b, d)


def _empty(one: Range) -> bool:
    return one[0] is not None and one[1] is not None and one[0] > one[1]


def _narrowed(region: _Region, cuts: list[tuple[Terms, Range]], work: Work) -> _Region | None:
    """The region with some ranges cut and the others narrowed accordingly; None if nothing is left."""
    ranges, asked = dict(region.ranges), dict(region.asked)
    for terms, cut in cuts:
        ranges[terms] = _common(ranges[terms], cut)
        if _empty(ranges[terms]):
            return None
        if len(terms) > 1:
            asked[terms] = _common(asked.get(terms, ANY), cut)
    for _ in range(ROUNDS):
        before = dict(ranges)
        work.spend(10 * len(ranges))
        for sums in ranges:
            if len(sums) > 1 and not _tightened(ranges, sums):
                return None
        if ranges == before:
            break
    return region._replace(ranges=ranges, asked=asked)


def _tightened(ranges: dict[Terms, Range], sums: Terms) -> bool:
    """Narrow the range of a sum by those of its counters, and each of these by the sum and the others."""
    low, high = ranges[sums]
    single = [ranges[((name, 1),)] for name, _ in sums]
    least = [_times(factor, one[factor < 0]) for (_, factor), one in zip(sums, single, strict=True)]
    most = [_times(factor, one[factor > 0]) for (_, factor), one in zip(sums, single, strict=True)]
    low, high = ranges[sums] = _common((low, high), (_total(least), _total(most)))
    if _empty((low, high)):
        return False
    for place, (name, factor) in enumerate(sums):
        others = _total(least[:place] + least[place + 1 :]), _total(most[:place] + most[place + 1 :])
        up = None if high is None or others[0] is None else high - others[0]  # factor * counter is at most this
        down = None if low is None or others[1] is None else low - others[1]
        if factor < 0:
            up, down = down, up
        limits = (None if down is None else -(-down // factor), None if up is None else up // factor)
        found = ranges[((name, 1),)] = _common(single[place], limits)
        if _empty(found):
            return False
    return True


def _times(factor: int, edge: int | None) -> int | None:
    return None if edge is None else factor * edge


def _total(edges: list[int | None]) -> int | None:
    total = 0
    for edge in edges:
        if edge is None:
            return None
        total += edge
    return total


def _point(region: _Region, work: Work) -> dict[str, int] | None:
    """Return a value for every counter within all ranges that were asked for; None if there is none."""
    names = [terms[0][0] for terms in region.ranges if len(terms) == 1]
    lowest = {name: region.ranges[((name, 1),)][0] or 0 for name in names}
    if all(_holds(sums, limits, lowest) for sums, limits in region.asked.items()):
        return lowest
    place = {name: number for number, name in enumerate(names)}
    equations: list[tuple[dict[int, int], int]] = []
    inequalities: list[tuple[dict[int, int], int]] = []
    asked = {((name, 1),): region.ranges[((name, 1),)] for name in names} | region.asked
    for sums, (least, most) in asked.items():
        form = {place[name]: factor for name, factor in sums}
        if least is not None and least == most:
            equations.append((form, -least))
            continue
        if least is not None:
            inequalities.append((form, -least))
        if most is not None:
            inequalities.append(({v: -f for v, f in form.items()}, most))
    found = solution(equations, inequalities, work)
    return None if found is None else {name: found.get(place[name], lowest[name]) for name in names}


def _holds(sums: Terms, limits: Range, counts: dict[str, int]) -> bool:
    total = sum(factor * counts[name] for name, factor in sums)
    return (limits[0] is None or total >= limits[0]) and (limits[1] is None or total <= limits[1])
