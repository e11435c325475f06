"""The mistakes of a migration that are seen without deciding a guard: names of states and variables, kinds of values.

Each function yields a sentence for every mistake.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fsm.chart import Chart
from fsm.condition import Compare, Condition
from fsm.migration.moves import Moves
from fsm.migration.values import Constant, Copy, Json, NewValue, in_json, in_table
from fsm.snapshot import jsonable
from fsm.variable import Choice, Counter, Sum, Variable

__all__ = ["shape_problems"]


def shape_problems(moves: Moves, old: Chart | None, new: Chart | None) -> Iterator[str]:
    """Yield what is wrong with the names and kinds, as far as the charts are there to compare them with."""
    if old is not None:
        yield from _old_problems(moves, old)
    if new is not None:
        yield from _new_problems(moves, new)
    if old is not None and new is not None:
        yield from _lost(moves, old, new)
        yield from _value_problems(moves, old, new)


def _old_problems(moves: Moves, old: Chart) -> Iterator[str]:
    if old.fingerprint != moves.old:
        yield f"the old table is {old.name} with the fingerprint {old.fingerprint}, not {moves.old}"
    for one in moves.moves:
        if one.source not in old.states:
            yield f"move {one} starts from {one.source!r}, which is no state of the old table"
        yield from (f"the guard of move {one} {problem}" for problem in _misread(one.guard, old))
    for name in sorted(moves.removed | moves.renamed.keys()):
        if name not in old.names:
            yield f"it renames or removes {name!r}, which is no variable of the old table"


def _new_problems(moves: Moves, new: Chart) -> Iterator[str]:
    if new.fingerprint != moves.new:
        yield f"the new table is {new.name} with the fingerprint {new.fingerprint}, not {moves.new}"
    for one in moves.moves:
        if one.target not in new.states:
            yield f"move {one} leads to {one.target!r}, which is no state of the new table"
    for name in sorted(set(moves.renamed.values()) - set(new.names)):
        yield f"a variable is renamed to {name!r}, which is no variable of the new table"
    for name in sorted(moves.given() - set(new.names)):
        yield f"a value is given to {name!r}, which is no variable of the new table"


def _lost(moves: Moves, old: Chart, new: Chart) -> Iterator[str]:
    """What the old table has and the new one has not, or the other way round, without a word about it."""
    for state in old.states:
        if state not in new.states and not any(one.source == state for one in moves.moves):
            yield f"state {str(state)!r} is lost: the new table does not have it, and no move says where it goes"
    read = {name for one in moves.moves for name in one.guard.names()}
    for _, values in moves.outcomes(old, new):
        read |= {name for value in values.values() for name in _names(value)}
    for name in old.names:
        if name not in read | moves.removed:
            yield f"variable {name!r} is lost: rename it, compute a value from it, or name it in removed="
    for name in moves.renamed.values():
        if name in old.names and name not in moves.renamed.keys() | moves.removed:
            yield f"two variables become {name!r}: rename or remove the old {name!r}"


def _value_problems(moves: Moves, old: Chart, new: Chart) -> Iterator[str]:
    said: dict[str, None] = {}
    for _, values in moves.outcomes(old, new):
        for variable in new.variables:
            if variable.name not in values:
                said[f"the new variable {variable.name!r} has no value: give it one in values="] = None
            else:
                problems = _misfits(values[variable.name], variable, old)
                said |= dict.fromkeys(f"{variable.name!r} {problem}" for problem in problems)
    yield from said


def _misread(guard: Condition, old: Chart) -> Iterator[str]:
    """What a condition on the old values asks of variables that are otherwise in the old table."""
    for part in guard.parts():
        yield from _misread(part, old)
    for name in sorted(guard.names()) if not guard.parts() else ():
        if name not in old.names:
            yield f"speaks of {name!r}, which is no variable of the old table"
        elif isinstance(guard, Compare) is not isinstance(old.variable(name), Counter):
            yield f"takes {name!r} for {'a counter' if isinstance(guard, Compare) else 'an enumerated variable'}"
        elif not isinstance(guard, Compare):
            try:
                in_table(in_json(guard), old)
            except ValueError as error:
                yield f"speaks of a value that is not there: {error}"


def _misfits(value: NewValue, variable: Variable, old: Chart) -> Iterator[str]:
    """Why a value cannot be one of this new variable."""
    if isinstance(value, Condition):
        yield from (f"is given a condition that {problem}" for problem in _misread(value, old))
    elif unknown := sorted(_names(value) - set(old.names)):
        yield f"is computed from {unknown[0]!r}, which is no variable of the old table"
        return
    if isinstance(variable, Counter):
        yield from _no_count(value, old)
    elif isinstance(value, Sum):
        yield "is given a sum, and is no counter"
    elif isinstance(value, Copy) and isinstance(old.variable(value.name), Counter):
        yield f"is given the counter {value.name!r}, and is no counter"
    else:
        for one in _range(value, old):
            try:
                variable.value_named(one)  # it refuses what is no name
            except ValueError as error:
                yield f"would get a value that it does not have: {error}"


def _no_count(value: NewValue, old: Chart) -> Iterator[str]:
    if isinstance(value, Constant):
        if type(value.value) is not int or value.value < 0:
            yield f"is a counter, 0 or more, and is given {value.value!r}"
    elif isinstance(value, Condition):
        yield "is a counter, and is given a condition"
    elif isinstance(value, Copy) and value.table:
        yield "is a counter, and a table is for enumerated variables: use moves with guards"
    else:
        for name in sorted(_names(value)):
            if not isinstance(old.variable(name), Counter):
                yield f"is a counter, and is computed from {name!r}, which is none"


def _range(value: Constant | Copy | Condition, old: Chart) -> Iterable[Json]:
    """Every value that this may become."""
    if isinstance(value, Constant):
        return [value.value]
    if isinstance(value, Condition):
        return [False, True]
    variable = old.variable(value.name)
    return [value.of(jsonable(one)) for one in variable.values] if isinstance(variable, Choice) else []


def _names(value: NewValue) -> frozenset[str]:
    if isinstance(value, Sum):
        return frozenset(name for name, _ in value.terms)
    if isinstance(value, Condition):
        return value.names()
    return frozenset((value.name,)) if isinstance(value, Copy) else frozenset()
