"""The solver: can this condition hold at all?  Decided exactly, for all counts.

Theory.  Whether a condition can hold at all is decided exactly, although counters have no upper limit:
every comparison has a sum of counters with factors of at least 1 on one side and a whole number on the other.  Let K
be the greatest of these numbers.  A counter above K + 1 may be lowered to K + 1 without changing the truth of any
comparison, since every sum it is part of is above K before and after.  So a condition that holds for some counts
holds for some counts of at most K + 1, and a finite search answers for all.  The search halves boxes of values and
drops a box as soon as the condition is false of all of it.

A callable guard counts as a free yes or no, the same each time the same callable is asked.
This file does not know what the answers are used for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from fsm.condition import ALWAYS, OPERATORS, All, Among, AnyOf, Compare, Condition, Opaque, Value
from fsm.variable import Assignment, Choice, Sum

if TYPE_CHECKING:
    from fsm.chart import Chart

__all__ = ["before", "possible"]


class Box(NamedTuple):
    """What is still open: for a counter its least and greatest value, for a choice or a callable its answers."""

    counts: dict[str, tuple[int, int]]
    answers: dict[object, tuple[Value | bool, ...]]


def possible(guard: Condition, chart: Chart) -> dict[str, Value] | None:
    """Values for which the condition holds (those it speaks of; counters of at most K + 1), or None: it never does."""
    box = Box({}, {})
    atoms = tuple(_atoms(guard))
    greatest = max((atom.bound for atom in atoms if isinstance(atom, Compare)), default=0)
    for atom in atoms:
        if isinstance(atom, Opaque):
            box.answers[atom.function] = (False, True)
        elif isinstance(atom, Among):
            variable = chart.variable(atom.name)
            box.answers[atom.name] = variable.values if isinstance(variable, Choice) else ()
        elif isinstance(atom, Compare):
            box.counts.update((name, (0, max(greatest, 0) + 1)) for name, _ in atom.terms)
    boxes = [box]
    while boxes:
        box = boxes.pop()
        answer = _judge(guard, box)
        if answer is True:
            found: dict[str, Value] = {name: values[0] for name, values in box.answers.items() if isinstance(name, str)}
            return found | {name: least for name, (least, _) in box.counts.items()}
        if not isinstance(answer, bool):
            boxes += _halves(answer, box)
    return None


def _judge(guard: Condition, box: Box) -> bool | Condition:
    """True or False where the whole box agrees; otherwise an atom it does not agree on."""
    if isinstance(guard, Compare):
        low = high = 0
        for name, factor in guard.terms:
            least, greatest = box.counts[name]
            low += factor * least
            high += factor * greatest
        return _between(low, high, guard)
    if isinstance(guard, (Among, Opaque)):
        if isinstance(guard, Among):
            inside = [value in guard.values for value in box.answers[guard.name]]
        else:
            inside = [bool(answer) for answer in box.answers[guard.function]]
        return guard if len(set(inside)) == 2 else inside[0] is not guard.other
    decided = isinstance(guard, AnyOf)  # one True decides an AnyOf, one False an All
    doubt: bool | Condition = not decided
    for part in guard.parts():
        answer = _judge(part, box)
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


def _halves(atom: Condition, box: Box) -> Iterator[Box]:
    if isinstance(atom, Among):
        values = box.answers[atom.name]
        for inside in (False, True):
            answers = tuple(v for v in values if (v in atom.values) is inside)
            yield Box(box.counts, {**box.answers, atom.name: answers})
    elif isinstance(atom, Opaque):
        for answer in (False, True):
            yield Box(box.counts, {**box.answers, atom.function: (answer,)})
    elif isinstance(atom, Compare):
        ranges = {name: box.counts[name] for name, _ in atom.terms}
        name = max(ranges, key=lambda name: ranges[name][1] - ranges[name][0])
        least, greatest = ranges[name]
        middle = (least + greatest) // 2
        if len(ranges) == 1 and least <= atom.bound < greatest:
            middle = atom.bound
        yield Box({**box.counts, name: (middle + 1, greatest)}, box.answers)
        yield Box({**box.counts, name: (least, middle)}, box.answers)


def _atoms(guard: Condition) -> Iterator[Condition]:
    parts = guard.parts()
    if not parts and not isinstance(guard, (All, AnyOf)):
        yield guard
    for part in parts:
        yield from _atoms(part)


def before(guard: Condition, effects: Iterable[Assignment]) -> Condition:
    """What must hold before the effects so that the condition holds after them (the weakest precondition)."""
    return _before(guard, {effect.name: effect for effect in effects})


def _before(guard: Condition, effects: Mapping[str, Assignment]) -> Condition:
    if isinstance(guard, Among):
        effect = effects.get(guard.name)
        if effect is None or isinstance(effect.value, Sum):
            return guard
        return ALWAYS if guard.holds({guard.name: effect.value[0]}) else AnyOf()
    if isinstance(guard, Compare):
        terms: dict[str, int] = {}
        bound = guard.bound
        for name, factor in guard.terms:
            effect = effects.get(name)
            new = effect.value if effect is not None and isinstance(effect.value, Sum) else Sum(((name, 1),), 0)
            bound -= factor * new.constant
            for other, times in new.terms:
                terms[other] = terms.get(other, 0) + factor * times
        return Compare(tuple(terms.items()), guard.op, bound)
    if isinstance(guard, (All, AnyOf)):
        return type(guard)(*(_before(part, effects) for part in guard.parts()))
    return guard
