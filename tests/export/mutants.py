"""`make mutants`: the table of the store logoff broken in every small way, to show that the cells at 2,2,2 see each.

A mutant differs from the table in one place: a row is missing, or leads elsewhere; an effect is missing, or counts one more
or less; a comparison has another operator or number; a condition is its opposite, or missing; a value is another.
It is *killed* when one of the cells, with which every export is compared, has another answer.  What no cell sees is proved
to be no difference at all: for all counts that keep the invariants, by the solver (an *equivalent* mutant), or it survives.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from fsm import Chart
from fsm.chart import Row
from fsm.condition import All, Among, AnyOf, Compare, Condition, negated
from fsm.logoff import LOGOFF
from fsm.solver import possible
from fsm.variable import Assignment, Choice, Sum
from tests.export.corpus import Case, cells
from tests.support import small

OPERATORS = ("==", "!=", "<", "<=", ">", ">=")


def guards(guard: Condition) -> Iterator[Condition]:
    """The condition with one thing changed."""
    yield negated(guard)
    if isinstance(guard, Compare):
        yield from (Compare(guard.terms, op, guard.bound) for op in OPERATORS if op != guard.op)
        yield from (Compare(guard.terms, guard.op, guard.bound + by) for by in (1, -1))
        if len(guard.terms) > 1:
            yield from (Compare(tuple(t for t in guard.terms if t != one), guard.op, guard.bound) for one in guard.terms)
    elif isinstance(guard, Among):
        variable = LOGOFF.variable(guard.name)
        assert isinstance(variable, Choice)
        yield from (Among(guard.name, tuple(v for v in guard.values if v is not one), guard.negated) for one in guard.values)
        yield from (Among(guard.name, (*guard.values, one), guard.negated) for one in variable.values if one not in guard.values)
    elif isinstance(guard, (All, AnyOf)):
        parts = guard.parts()
        for place, part in enumerate(parts):
            yield type(guard)(*parts[:place], *parts[place + 1 :])
            yield from (type(guard)(*parts[:place], one, *parts[place + 1 :]) for one in guards(part))
        yield (AnyOf if isinstance(guard, All) else All)(*parts)


def effects(done: tuple[Assignment, ...]) -> Iterator[tuple[Assignment, ...]]:
    """The effects with one thing changed."""
    for place, one in enumerate(done):
        yield (*done[:place], *done[place + 1 :])
        if isinstance(one.value, Sum):
            others = [Sum(one.value.terms, one.value.constant + by) for by in (1, -1)]
            yield from ((*done[:place], Assignment(one.name, other), *done[place + 1 :]) for other in others)
        else:
            variable = LOGOFF.variable(one.name)
            assert isinstance(variable, Choice)
            for value in variable.values:
                if value is not one.value[0]:
                    yield (*done[:place], Assignment(one.name, (value,)), *done[place + 1 :])


def mutants() -> Iterator[tuple[Row, Row | None]]:
    """Every row with what becomes of it; None where it is missing."""
    for row in LOGOFF.rows:
        yield row, None
        yield from ((row, row._replace(target=str(state))) for state in LOGOFF.states if state != row.target)
        yield from ((row, row._replace(guard=guard)) for guard in dict.fromkeys(guards(row.guard)) if guard != row.guard)
        yield from ((row, row._replace(effects=one)) for one in dict.fromkeys(effects(row.effects)))


CELLS = {}
for _cell in cells(Case(LOGOFF, small(2, 2, 2))):
    CELLS.setdefault((_cell.here[0], _cell.event), []).append(_cell)


def values(here: tuple[object, ...]) -> dict[str, object]:
    request = LOGOFF.variable("request")
    assert isinstance(request, Choice)
    return {"request": request.value_named(here[1]), **dict(zip(LOGOFF.names[1:], here[2:], strict=True))}


def killed(row: Row, changed: Row | None) -> bool:
    """Whether some cell has another answer."""
    others = [one for one in LOGOFF.rows_for(row.source, row.event) if one.id != row.id]
    rows = others if changed is None else [one if one.id != row.id else changed for one in LOGOFF.rows_for(row.source, row.event)]
    for cell in CELLS[row.source, row.event]:
        known = values(cell.here)
        taken = next((one for one in rows if one.guard.holds(known)), None)  # type: ignore[arg-type]
        if (taken is None) is (cell.answer == "accepted"):
            return True
        if taken is not None:
            after = taken.apply(known)  # type: ignore[arg-type]
            if (taken.target, *after.values()) != (cell.after[0], *values(cell.after).values()):
                return True
    return False


def differs(one: Row, other: Row) -> Condition:
    """Where the two rows, both taken, do not lead to the same configuration."""
    if one.target != other.target:
        return All()
    parts: list[Condition] = []
    for variable in LOGOFF.variables:
        left, right = (next((e.value for e in row.effects if e.name == variable.name), None) for row in (one, other))
        if isinstance(variable, Choice):
            new = [value[0] for value in (left, right) if isinstance(value, tuple)]
            if len(new) == 1:
                parts.append(Among(variable.name, (new[0],), True))
            elif len(new) == 2 and new[0] is not new[1]:
                return All()
            continue
        kept = Sum(((variable.name, 1),), 0)
        left, right = (value if isinstance(value, Sum) else kept for value in (left, right))
        away = left - right
        parts.append(Compare(tuple((name, factor) for name, factor in away.terms if factor), "!=", -away.constant))
    return AnyOf(*parts)


def equivalent(row: Row, changed: Row | None) -> bool:
    """Whether nothing differs for any counts that keep the invariants."""
    rows = LOGOFF.rows_for(row.source, row.event)
    before = rows[: rows.index(row)]
    reach = All(LOGOFF.state(row.source).invariant, *(negated(one.guard) for one in before))
    if changed is None:
        return possible(All(reach, row.guard), LOGOFF) is None
    new = All(reach, changed.guard, negated(row.guard))
    others = [one for one in rows if one is not row]
    wrong = [
        All(reach, row.guard, negated(changed.guard)),  # the table takes it, the mutant does not
        All(new, *(negated(one.guard) for one in others)),  # only the mutant takes it
        All(reach, row.guard, changed.guard, differs(row, changed)),
        *(All(new, one.guard, differs(one, changed)) for one in others),  # the table takes another row there
    ]
    return all(possible(one, LOGOFF) is None for one in wrong)


def main(chart: Chart = LOGOFF) -> int:
    seen = kept = 0
    survived = []
    for row, changed in mutants():
        seen += 1
        if killed(row, changed):
            continue
        if equivalent(row, changed):
            kept += 1
        else:
            survived.append((row, changed))
    for row, changed in survived:
        print(f"survives: {row.id} as {'nothing' if changed is None else f'{changed.guard} -> {changed.effect_text} -> {changed.target}'}")
    print(f"{chart.name}: {seen} mutants, {seen - kept - len(survived)} killed by the cells at 2,2,2, {kept} equivalent, {len(survived)} survive")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
