"""The lowered table: a chart in the few words that every language has.

Theory.
1. A guard is a small tree: a comparison of two sums, a variable that has (or has not) one of some values, all or any of
   such.  Both sums of a comparison are of names and numbers that are never negative, so that a language without
   negative numbers can say it.  What is always or never true is decided here.
2. The effects of a row happen together; other languages assign one after the other.  `in_order` finds an order in which
   no assignment reads what an earlier one has changed.  Where they go round in a circle (a swap), the old value is kept
   in a temporary first.
3. A callable says nothing that could be written down: it is refused by name.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, TypeAlias

from fsm.chart import Chart, Event, Row
from fsm.condition import (
    ALWAYS as EVER,
    All,
    Among,
    Compare,
    Condition,
    Opaque,
    Value,
    label,
)
from fsm.data import Field
from fsm.export.errors import ExportError
from fsm.export.naming import in_comment
from fsm.variable import Assignment, Choice, Sum, Variable

__all__ = [
    "Cell",
    "Comparison",
    "Guard",
    "Joined",
    "Kept",
    "Label",
    "LoweredRow",
    "Membership",
    "Set",
    "Table",
    "Total",
    "lower",
]

LONGEST: Final = 500
"""The longest name, in characters; compilers have limits, too."""

Label: TypeAlias = str | bool | None
"""A value of an enumerated variable as every language can write it: a name, true or false, or none."""


class Kept(str):
    """The name of a variable, for the value that it had before the step."""

    __slots__ = ()


class Total(NamedTuple):
    """A sum: names with whole factors, and a whole number."""

    terms: tuple[tuple[str, int], ...]
    constant: int = 0

    @property
    def weight(self) -> int:
        """What it comes to when each name is 1 and nothing is taken away."""
        return sum(factor for _, factor in self.terms if factor > 0)

    @property
    def grows(self) -> bool:
        """Whether it can be more than each of the names in it."""
        return self.weight > 1 or self.constant > 0


class Comparison(NamedTuple):
    """Two sums compared; no factor and no number in them is negative."""

    left: Total
    op: str
    right: Total


class Membership(NamedTuple):
    """A variable has one of these values; with `negated`, none of them."""

    name: str
    values: tuple[Label, ...]
    negated: bool


class Joined(NamedTuple):
    """All parts hold, or (unless `every`) any.  Without parts: always, or never."""

    every: bool
    parts: tuple[Guard, ...] = ()


Guard: TypeAlias = Comparison | Membership | Joined
ALWAYS: Final = Joined(True)
NEVER: Final = Joined(False)
OPERATORS: Final = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


TURNED: Final = {"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


class Set(NamedTuple):
    """An assignment: a variable, or a Kept value of one, is given a sum or a value."""

    name: str
    value: Total | tuple[Label]


class LoweredRow(NamedTuple):
    """A row of the chart with its guard as a tree and its effects in order."""

    row: Row
    guard: Guard
    effects: tuple[Set, ...]

    @property
    def together(self) -> tuple[Set, ...]:
        """The effects as they are meant: all at once, each from what was before."""
        return tuple(map(_assignment, self.row.effects))

    @property
    def behaviour(self) -> tuple[object, ...]:
        """What the row does, apart from where it starts."""
        return (self.guard, self.effects, self.row.target if self.row.leaves else None)


class Cell(NamedTuple):
    """States that treat an event alike, and its rows in the first of them."""

    states: tuple[str, ...]
    rows: tuple[LoweredRow, ...]

    @property
    def total(self) -> bool:
        """Whether some row is taken whatever the values are."""
        return any(one.guard == ALWAYS for one in self.rows)


class Table(NamedTuple):
    """A lowered chart: its rows, and by name the invariants of states and the guards of outputs."""

    chart: Chart
    rows: tuple[LoweredRow, ...]
    invariants: dict[str, Guard]
    outputs: dict[str, Guard]

    def rows_for(self, state: str, event: str) -> tuple[LoweredRow, ...]:
        """The rows of an event in a state."""
        return tuple(one for one in self.rows if one.row.source == state and one.row.event == event)

    def cells(self, event: Event) -> tuple[Cell, ...]:
        """The states with rows for an event, those together that treat it alike."""
        found: dict[object, Cell] = {}
        for state in map(str, self.chart.states):
            if rows := self.rows_for(state, event):
                key = tuple(one.behaviour for one in rows)
                known = found.get(key, Cell((), rows))
                found[key] = Cell((*known.states, state), known.rows)
        return tuple(found.values())

    @property
    def timed(self) -> bool:
        """Whether some event is due after a time."""
        return any(state.after for state in self.chart.states)

    @property
    def data(self) -> tuple[str, ...]:
        """The names of all data of events."""
        return tuple(dict.fromkeys(one.name for event in self.chart.events for one in event.data))

    @property
    def numbers(self) -> tuple[str, ...]:
        """The names of the data that guards and effects may speak of."""
        return tuple(self.chart.numbers)

    def finished(self, event: Event) -> tuple[str, ...]:
        """The final states that have no row for an event."""
        return tuple(str(s) for s in self.chart.states if s.final and not self.rows_for(str(s), str(event)))

    def totals(self) -> Iterable[Total]:
        """Every sum in the table, to see how large they become."""
        for guard in (*(one.guard for one in self.rows), *self.invariants.values(), *self.outputs.values()):
            yield from _totals(guard)
        for one in self.rows:
            yield from (effect.value for effect in one.effects if isinstance(effect.value, Total))


def unread(table: Table) -> list[str]:
    """Return sentences for a header: the data of events that no guard and no effect can speak of."""
    fields = {str(e): [one.name for one in e.data if isinstance(one, Field)] for e in table.chart.events}
    return [
        f"{in_comment(e)} also brings {', '.join(names)}, which no condition reads."
        for e, names in fields.items()
        if names
    ]


def heaviest(table: Table, most: int) -> int:
    """Return the largest number that a sum of the table can come to, when no count is above `most`."""
    return max((total.weight * most + abs(total.constant) for total in table.totals()), default=0)


def lower(chart: Chart, format: str) -> Table:
    """Lower a chart.  ExportError, in the name of this format, for a callable guard or a name that is too long."""
    for one in chart.rows:
        for name in _callables(one.guard):
            problem = f"the guard of row {one.id!r} calls {name}(), and what a callable does cannot be written down"
            raise ExportError(chart.name, format, problem)
    for name in (chart.name, *chart.states, *chart.events, *chart.names, *(o.name for o in chart.outputs)):
        if len(name) > LONGEST:
            problem = f"the name {name[:40]!r}... has {len(name):,} characters, and a name may have {LONGEST}"
            raise ExportError(chart.name, format, problem)
    rows = tuple(LoweredRow(one, lower_guard(one.guard), in_order(one.effects)) for one in chart.rows)
    invariants = {str(state): lower_guard(state.invariant) for state in chart.states}
    return Table(chart, rows, invariants, {output.name: lower_guard(output.guard) for output in chart.outputs})


def _callables(guard: Condition) -> Iterable[str]:
    if isinstance(guard, Opaque):
        yield guard.name
    for part in guard.parts():
        yield from _callables(part)


def _totals(guard: Guard) -> Iterable[Total]:
    if isinstance(guard, Comparison):
        yield from (guard.left, guard.right)
    elif isinstance(guard, Joined):
        for part in guard.parts:
            yield from _totals(part)


# --------------------------------------------------------------------------------------------------- guards


def lower_guard(guard: Condition) -> Guard:
    """Return a condition without callables as a tree."""
    if isinstance(guard, Compare):
        return _comparison(guard.terms, guard.op, guard.bound)
    if isinstance(guard, Among):
        if not guard.values:
            return ALWAYS if guard.negated else NEVER
        return Membership(guard.name, tuple(map(plain_value, guard.values)), guard.negated)
    return joined(isinstance(guard, All), [lower_guard(part) for part in guard.parts()])


def all_of(*parts: Condition) -> Condition:
    """Return the condition that all parts hold, in the fewest words."""
    told = [part for part in parts if part != EVER]
    return told[0] if len(told) == 1 else All(*told) if told else EVER


def joined(every: bool, parts: Sequence[Guard]) -> Guard:
    """Join guards; one that decides the whole, or nothing, is not kept."""
    if Joined(not every) in parts:
        return Joined(not every)
    kept = tuple(part for part in parts if part != Joined(every))
    return kept[0] if len(kept) == 1 else Joined(every, kept)


def _comparison(terms: tuple[tuple[str, int], ...], op: str, bound: int) -> Guard:
    left = Total(tuple((name, factor) for name, factor in terms if factor > 0), max(-bound, 0))
    right = Total(tuple((name, -factor) for name, factor in terms if factor < 0), max(bound, 0))
    if not left.terms:
        left, op, right = right, TURNED[op], left
    if not left.terms:
        return Joined(OPERATORS[op](left.constant, right.constant))
    if not right.terms and left.constant:  # so the right side is 0, and the left is more
        return Joined(op in ("!=", ">", ">="))
    if not right.terms and not right.constant and op in (">=", "<"):
        return Joined(op == ">=")
    return Comparison(left, op, right)


def plain_value(value: Value) -> Label:
    """Return a value of an enumerated variable as every language can write it."""
    return value if value is None or isinstance(value, bool) else label(value)


def initial(variable: Variable) -> Label | int:
    """Return what a variable starts with."""
    return plain_value(variable.initial) if isinstance(variable, Choice) else variable.initial


# -------------------------------------------------------------------------------------------------- effects


def in_order(effects: Iterable[Assignment]) -> tuple[Set, ...]:
    """Return assignments which, one after the other, do what the effects do together."""
    left = [_assignment(effect) for effect in effects]
    left = [one for one in left if one.value != Total(((one.name, 1),))]
    done: list[Set] = []
    while left:
        free = next(
            (one for one in left if not any(_reads(other, one.name) for other in left if other is not one)), None
        )
        if free is None:  # they go round in a circle
            free = left[0]
            done.append(Set(Kept(free.name), Total(((free.name, 1),))))
            left = [free, *(_with_kept(one, free.name) for one in left[1:])]
        left.remove(free)
        done.append(free)
    return tuple(done)


def _assignment(effect: Assignment) -> Set:
    if isinstance(effect.value, Sum):
        return Set(effect.name, Total(tuple((n, f) for n, f in effect.value.terms if f), effect.value.constant))
    return Set(effect.name, (plain_value(effect.value[0]),))


def _reads(one: Set, name: str) -> bool:
    return isinstance(one.value, Total) and any(n == name and not isinstance(n, Kept) for n, _ in one.value.terms)


def _with_kept(one: Set, name: str) -> Set:
    if not isinstance(one.value, Total):
        return one
    terms = tuple((Kept(n) if n == name else n, factor) for n, factor in one.value.terms)
    return Set(one.name, Total(terms, one.value.constant))
