"""What can be said of a chart for all counts: the checks made when it is built, and the solver under them.

Theory.  Whether a condition can hold at all is decided exactly, although counters have no upper limit:
every comparison has a sum of counters with factors of at least 1 on one side and a whole number on the other.  Let K
be the greatest of these numbers.  A counter above K + 1 may be lowered to K + 1 without changing the truth of any
comparison, since every sum it is part of is above K before and after.  So a condition that holds for some counts
holds for some counts of at most K + 1, and a finite search answers for all.  The search halves boxes of values and
drops a box as soon as the condition is false of all of it.

A callable guard counts as a free yes or no, the same each time the same callable is asked.
Checked: names and shape; rows of a cell that can be enabled together; rows that can never be; counters that could
become negative; invariants that some row, or the start, would break; states that cannot be reached or left.
This file does not run machines.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

from fsm.condition import ALWAYS, OPERATORS, All, Among, AnyOf, Compare, Condition, Opaque, Value, label, negated
from fsm.variable import Assignment, Choice, Sum

if TYPE_CHECKING:
    from fsm.chart import Chart, Row

__all__ = ["before", "possible", "proof_problems", "shape_problems"]


class Box(NamedTuple):
    """What is still open: for a counter its least and greatest value, for a choice or a callable its answers."""

    counts: dict[str, tuple[int, int]]
    answers: dict[object, tuple[Value | bool, ...]]


# -------------------------------------------------------------------------------------------------- solver


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


# -------------------------------------------------------------------------------------------------- shape


def shape_problems(chart: Chart) -> list[str]:
    """Unknown names, doubles, misplaced exits and starts: what can be seen without deciding any guard."""
    found = [*_doubles(chart), *_name_problems(chart)]
    if chart.initial not in chart.states:
        found.append(f"the initial state {chart.initial!r} is not one of its states")
    for event in chart.events:
        if not any(row.event == event for row in chart.rows):
            found.append(f"event {event!r} is used by no row")
    final = {str(state) for state in chart.states if state.final}
    for row in chart.rows:
        if row.source in final and row.moves:
            found.append(f"row {row.id!r} leaves the final state {row.source!r}")
    return found or _reach_problems(chart, chart.rows)


def _doubles(chart: Chart) -> Iterator[str]:
    kinds: Final = {
        "state": chart.states, "event": chart.events, "variable": chart.names, "row id": [r.id for r in chart.rows],
        "output": [o.name for o in chart.outputs], "output bit": [o.bit for o in chart.outputs],
    }
    for kind, names in kinds.items():
        seen: list[object] = []
        for name in names:
            if name in seen:
                yield f"{kind} {name!r} is there twice"
            seen.append(name)


def _name_problems(chart: Chart) -> Iterator[str]:
    if not chart.states:
        yield "it has no states"
    for event in chart.events:
        if not event or "," in event or event != event.strip():
            yield f"event {event!r} cannot be written in a trace: no commas, and no blanks at its ends"
    known = set(chart.names)
    for state in chart.states:
        for name in sorted(state.invariant.names() - known):
            yield f"the invariant of {state!r} speaks of the unknown variable {name!r}"
    for output in chart.outputs:
        if output.bit <= 0 or output.bit & (output.bit - 1):
            yield f"output {output.name!r} needs a single bit, not {output.bit!r}"
        yield from (f"output {output.name!r} names the unknown state {s!r}" for s in output.states or ()
                    if s not in chart.states)
        for name in sorted(output.guard.names() - known):
            yield f"output {output.name!r} speaks of the unknown variable {name!r}"
    for row in chart.rows:
        if row.source not in chart.states:
            yield f"row {row.id!r} starts from the unknown state {row.source!r}"
        if row.target not in chart.states:
            yield f"row {row.id!r} leads to the unknown state {row.target!r}"
        if row.event not in chart.events:
            yield f"row {row.id!r} waits for the unknown event {row.event!r}"
        changed = [effect.name for effect in row.effects]
        spoken = row.guard.names().union(*(effect.names() for effect in row.effects))
        for name in sorted(spoken - known):
            yield f"row {row.id!r} speaks of the unknown variable {name!r}"
        for name in dict.fromkeys(name for name in changed if changed.count(name) > 1):
            yield f"row {row.id!r} changes {name!r} twice"


def _reach_problems(chart: Chart, rows: Iterable[Row]) -> list[str]:
    moves = [(row.source, row.target) for row in rows if row.moves]
    forward = _closure({chart.initial}, moves)
    final = [str(state) for state in chart.states if state.final]
    home = _closure(set(final), [(target, source) for source, target in moves])
    found = []
    for state in chart.states:
        if state not in forward:
            found.append(f"state {str(state)!r} cannot be reached from {chart.initial!r}")
        elif not state.final and all(source != state for source, _ in moves) and len(chart.states) > 1:
            found.append(f"state {str(state)!r} is a dead end: it is not final, and no row leaves it")
        elif final and state not in home:
            found.append(f"state {str(state)!r} is a trap: no final state can be reached from it")
    return found


def _closure(reached: set[str], moves: list[tuple[str, str]]) -> set[str]:
    while new := {target for source, target in moves if source in reached} - reached:
        reached |= new
    return reached


# -------------------------------------------------------------------------------------------------- proofs


def proof_problems(chart: Chart) -> list[str]:
    """What holds, or fails, for all counts; each failure with counts for which it does."""
    found: list[str] = []
    alive = []
    for row in chart.rows:
        enabled = All(chart.state(row.source).invariant, row.guard)
        if possible(enabled, chart) is None:
            found.append(f"row {row.id!r} can never be enabled in {row.source!r}")
            continue
        alive.append(row)
        found += _step_problems(chart, row, enabled)
    found += _overlaps(chart, alive)
    start = chart.state(chart.initial).invariant
    if not start.holds(chart.values(chart.start())):
        found.append(f"the start breaks the invariant of {chart.initial!r}: {start}")
    return found + (_reach_problems(chart, alive) if len(alive) < len(chart.rows) else [])


def _step_problems(chart: Chart, row: Row, enabled: Condition) -> Iterator[str]:
    for effect in row.effects:
        if isinstance(effect.value, Sum) and effect.value.constant < 0:
            short = All(enabled, Compare(effect.value.terms, "<", -effect.value.constant))
            if values := possible(short, chart):
                yield f"row {row.id!r} could make {effect.name} negative{_when(values)}"
    promise = chart.state(row.target).invariant
    if promise is not ALWAYS:
        values = possible(All(enabled, negated(before(promise, row.effects))), chart)
        if values is not None:
            yield f"row {row.id!r} breaks the invariant of {row.target!r} ({promise}){_when(values)}"


def _overlaps(chart: Chart, rows: list[Row]) -> Iterator[str]:
    for place, one in enumerate(rows):
        for other in rows[place + 1 :]:
            if (one.source, one.event) == (other.source, other.event):
                values = possible(All(chart.state(one.source).invariant, one.guard, other.guard), chart)
                if values is not None:
                    yield f"rows {one.id!r} and {other.id!r} can be enabled together{_when(values)}"


def _when(values: Mapping[str, Value]) -> str:
    told = [f"{name} {label(value)}" for name, value in values.items()]
    return f" (when {', '.join(told)})" if told else ""


