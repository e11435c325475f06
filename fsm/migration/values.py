"""The values that the variables of a new table get from those of the old one.

Theory.  A value is read from a snapshot and written into another, so it is a JSON value: a count, the name of an
enumerated value, true or false, null.  There are four ways to get one:

1. a *constant*;
2. a *sum* of old counters;
3. a *copy* of an old variable, by a table from old to new values, in which a value that is not named stays;
4. a *condition* on the old values, for a true/false variable.

Each can be turned round: `before` is the condition on the old values under which a condition on the new ones holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import NamedTuple, TypeAlias

from fsm.condition import ALWAYS, All, Among, AnyOf, Compare, Condition, Value, add, is_opaque
from fsm.errors import DefinitionError
from fsm.snapshot import jsonable
from fsm.table import Table
from fsm.variable import Choice, Counter, Sum, as_sum

__all__ = [
    "Constant", "Copy", "Json", "NewValue", "Written", "before", "computed", "holds", "in_json", "in_table", "read",
]

Json: TypeAlias = str | int | None
Written: TypeAlias = "Sum | Counter | Choice | Condition | Value | Mapping[Value, Value]"
"""How a new value is written: a number or sum, an enumerated value, an old variable, a condition, or a table."""


class Constant(NamedTuple):
    """A new value that is always the same."""

    value: Json


class Copy(NamedTuple):
    """The value of an old variable; `table` has the old values that change, each with the new one."""

    name: str
    table: tuple[tuple[Json, Json], ...] = ()

    def of(self, value: Json) -> Json:
        """Return the new value for an old one."""
        return next((new for old, new in self.table if _same(old, value)), value)


NewValue: TypeAlias = Sum | Constant | Copy | Condition


# ----------------------------------------------------------------------------------------------- as it is written


def read(written: object, source: str) -> NewValue:
    """Return a value as it is written; a table belongs to the old variable `source`.  DefinitionError if it is none."""
    if isinstance(written, Sum):
        return written
    if isinstance(written, (Counter, Choice)):
        return Copy(written.name)
    if isinstance(written, Condition):
        return in_json(written)
    if isinstance(written, Mapping):
        return Copy(source, tuple((_constant(old), _constant(new)) for old, new in written.items()))
    return Constant(_constant(written))


def _constant(value: object) -> Json:
    if isinstance(value, bool) or (isinstance(value, int) and not isinstance(value, Enum)):
        return value
    if value is None or isinstance(value, (str, Enum)):
        return jsonable(value)
    problem = "a value is a number, a sum, an enumerated value, an old variable, a condition, or a table of values"
    raise DefinitionError(f"{value!r}", (problem,))


def in_json(guard: Condition) -> Condition:
    """Return a condition with its enumerated values as snapshots have them.  DefinitionError if it calls a function."""
    if is_opaque(guard):
        raise DefinitionError(str(guard), ("a snapshot cannot answer a function",))
    if isinstance(guard, Among):
        return Among(guard.name, tuple(map(_constant, guard.values)), guard.negated)
    return type(guard)(*map(in_json, guard.parts())) if isinstance(guard, (All, AnyOf)) else guard


def in_table(guard: Condition, table: Table) -> Condition:
    """Return a condition `in_json` with the enumerated values of a table.  ValueError for one that it has not."""
    if isinstance(guard, Among):
        variable = table.variable(guard.name)
        assert isinstance(variable, Choice)
        return Among(guard.name, tuple(variable.value_named(value) for value in guard.values), guard.negated)
    return type(guard)(*(in_table(part, table) for part in guard.parts())) if isinstance(guard, (All, AnyOf)) else guard


# --------------------------------------------------------------------------------------------------- in snapshots


def computed(value: NewValue, old: Mapping[str, Json]) -> Json:
    """Return the new value.  ValueError if an old one that it needs is missing, or is no number."""
    if isinstance(value, Constant):
        return value.value
    if isinstance(value, Copy):
        _need((value.name,), old)
        return value.of(old[value.name])
    if isinstance(value, Condition):
        return holds(value, old)
    _need_counts((name for name, _ in value.terms), old)
    return add(value.terms, old) + value.constant


def holds(guard: Condition, old: Mapping[str, Json]) -> bool:
    """Whether a condition `in_json` holds.  ValueError if an old value that it needs is missing, or is no number."""
    if isinstance(guard, Compare):
        _need_counts(guard.names(), old)
    elif isinstance(guard, Among):
        _need(guard.names(), old)
        return any(_same(old[guard.name], _constant(value)) for value in guard.values) is not guard.negated
    elif isinstance(guard, (All, AnyOf)):
        answers = [holds(part, old) for part in guard.parts()]
        return all(answers) if isinstance(guard, All) else any(answers)
    return guard.holds(old)


def _need(names: Iterable[str], old: Mapping[str, Json]) -> None:
    for name in sorted(names):
        if name not in old:
            raise ValueError(f"it has no {name!r}")


def _need_counts(names: Iterable[str], old: Mapping[str, Json]) -> None:
    names = sorted(names)
    _need(names, old)
    for name in names:
        value = old[name]
        if type(value) is not int or value < 0:
            raise ValueError(f"{name} must be a whole number, 0 or more, not {value!r}")


def _same(one: Json, other: Json) -> bool:
    return type(one) is type(other) and one == other  # 1 and true are different in JSON


# -------------------------------------------------------------------------------------------------- turned round


def before(guard: Condition, values: Mapping[str, NewValue], old: Table) -> Condition:
    """Return the condition on the old values that holds exactly if `guard` holds of these new ones."""
    if isinstance(guard, Compare):
        total = sum((factor * _as_sum(values[name]) for name, factor in guard.terms), start=as_sum(0))
        found = total.compare(guard.op, guard.bound)
        return found if found.names() else ALWAYS if found.holds({}) else AnyOf()
    if isinstance(guard, Among):
        return _among_before(guard, values[guard.name], old)
    if isinstance(guard, (All, AnyOf)):
        return type(guard)(*(before(part, values, old) for part in guard.parts()))
    return guard


def _as_sum(value: NewValue) -> Sum:
    """Return the value of a counter as a sum of old ones."""
    if isinstance(value, Copy):
        return Sum(((value.name, 1),), 0)
    assert isinstance(value, (Sum, Constant))
    return value if isinstance(value, Sum) else as_sum(value.value)  # type: ignore[arg-type]  # it is a number


def _among_before(guard: Among, value: NewValue, old: Table) -> Condition:
    wanted = [_constant(one) for one in guard.values]
    if isinstance(value, Condition):
        inside = in_table(value, old)
        answers = {True: inside, False: ~inside}
        return AnyOf(*(part for answer, part in answers.items() if (answer in wanted) is not guard.negated))
    if isinstance(value, Copy):
        variable = old.variable(value.name)
        assert isinstance(variable, Choice)
        from_old = [one for one in variable.values if any(_same(value.of(_constant(one)), new) for new in wanted)]
        return Among(value.name, tuple(from_old), guard.negated)
    assert isinstance(value, Constant)
    return ALWAYS if any(_same(value.value, new) for new in wanted) is not guard.negated else AnyOf()
