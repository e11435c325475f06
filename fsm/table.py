"""Tables: the states, events, rows and outputs of a machine as plain data.

A table may be wrong in any way: `validation.py` finds the mistakes, and a Chart (`chart.py`) is a table without any.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, Self, TypeAlias

from fsm.condition import ALWAYS, Condition, Value, Values, condition, is_opaque
from fsm.errors import DefinitionError
from fsm.variable import Assignment, Choice, Counter, Sum, Variable

__all__ = ["TOO_DEEP", "Configuration", "Event", "Output", "Row", "State", "Table", "row"]

TOO_DEEP = "it is nested too deeply: a guard has more levels of `&` and `|` than Python can follow"

Configuration: TypeAlias = tuple[Value, ...]
"""The state's name, then the value of every variable in the chart's order.  Hashable, and all that a machine is."""


class State(str):
    """The name of a state, with a description.  `State("open") == "open"`.

    `invariant` always holds while the machine is in this state; a `final` state is never left.
    """

    __slots__ = ("doc", "final", "invariant")
    doc: str
    final: bool
    invariant: Condition

    def __new__(cls, name: str, doc: str = "", *, final: bool = False, invariant: Condition = ALWAYS) -> Self:
        """Create a state.  The chart proves that every row into the state keeps its `invariant`."""
        self = super().__new__(cls, name)
        self.doc, self.final, self.invariant = doc, final, invariant
        return self

    @property
    def name(self) -> str:
        """The name as a plain string."""
        return str.__str__(self)


class Event(str):
    """The name of an event, with a description."""

    __slots__ = ("doc",)
    doc: str

    def __new__(cls, name: str, doc: str = "") -> Self:
        """Create an event; `doc` says what happened or was requested."""
        self = super().__new__(cls, name)
        self.doc = doc
        return self

    @property
    def name(self) -> str:
        """The name as a plain string."""
        return str.__str__(self)


class Row(NamedTuple):
    """One transition.  `cites` names the sentences of the specification it follows from, `why` gives the reason."""

    id: str
    source: str
    event: str
    guard: Condition
    effects: tuple[Assignment, ...]
    target: str
    cites: tuple[str, ...]
    why: str

    @property
    def moves(self) -> bool:
        """Whether the state changes."""
        return self.target != self.source

    @property
    def effect_text(self) -> str:
        """The effects as text, for pictures and messages; empty if there are none."""
        return ", ".join(map(str, self.effects))

    def apply(self, values: Values) -> dict[str, Value]:
        """Return the values after this row.  Every effect is computed from the values before it."""
        return {**values, **{effect.name: effect.new(values) for effect in self.effects}}


def row(
    id: str,
    source: str,
    event: str,
    *,
    guard: Condition | Callable[..., bool] = ALWAYS,
    effects: Iterable[Assignment] = (),
    target: str | None = None,
    cites: str = "",
    why: str = "",
) -> Row:
    """Return a Row.  Without `target` it stays in its source; `cites` is split into words."""
    to = source if target is None else target
    return Row(id, str(source), str(event), condition(guard), tuple(effects), str(to), tuple(cites.split()), why)


class Output(NamedTuple):
    """A named bit of the machine's output: set in `states` (in all, if None) while `guard` holds."""

    name: str
    bit: int
    states: tuple[str, ...] | None = None
    guard: Condition = ALWAYS
    doc: str = ""


class Table:
    """The states, events, rows, variables and outputs of a machine, with lookups.

    DefinitionError if a row, an effect or a variable is something else.
    """

    def __init__(
        self,
        name: str,
        *,
        states: Iterable[State | str],
        events: Iterable[Event | str],
        rows: Iterable[Row],
        variables: Iterable[Variable] = (),
        outputs: Iterable[Output] = (),
        sums: Mapping[str, Sum] | None = None,
        initial: str | None = None,
        doc: str = "",
    ) -> None:
        self.name, self.doc = name, doc
        self.states = tuple(s if isinstance(s, State) else State(s) for s in states)
        self.events = tuple(e if isinstance(e, Event) else Event(e) for e in events)
        self.variables = tuple(variables)
        self.rows = tuple(rows)
        self.outputs = tuple(outputs)
        self.sums = dict(sums or {})
        self.initial = str(initial if initial is not None else self.states[0] if self.states else "")
        self.names = tuple(getattr(variable, "name", "") for variable in self.variables)
        if strange := _strange(self.rows, self.variables):
            raise DefinitionError(f"chart {name!r}", strange)
        self._cells: dict[tuple[str, str], tuple[Row, ...]] = {}
        for one in self.rows:
            cell = one.source, one.event
            self._cells[cell] = (*self._cells.get(cell, ()), one)
        try:
            self.opaque = tuple(one for one in self.rows if is_opaque(one.guard))
            """The rows with a callable in the guard.  Nothing can be proved of them, and exports refuse them."""
        except RecursionError:
            raise DefinitionError(f"chart {name!r}", (TOO_DEEP,)) from None

    def rows_for(self, state: str, event: str) -> tuple[Row, ...]:
        """The rows of an event in a state.  If there are none, the event is illegal there."""
        return self._cells.get((state, event), ())

    def row(self, id: str) -> Row:
        """The row with that id.  KeyError if there is none."""
        for one in self.rows:
            if one.id == id:
                return one
        raise KeyError(id)

    def state(self, name: str) -> State:
        """The state of that name.  KeyError if there is none."""
        return self.states[self._place(self.states, name)]

    def event(self, name: str) -> Event:
        """The event of that name.  KeyError if there is none."""
        return self.events[self._place(self.events, name)]

    def variable(self, name: str) -> Variable:
        """The variable of that name.  KeyError if there is none."""
        return self.variables[self._place(self.names, name)]

    @staticmethod
    def _place(names: tuple[str, ...], name: str) -> int:
        for place, one in enumerate(names):
            if one == name:
                return place
        raise KeyError(name)

    def start(self, values: Mapping[str, Value] | None = None) -> Configuration:
        """The configuration in which a machine starts, with these values instead of the initial ones."""
        given = values or {}
        return (self.initial, *(given.get(v.name, v.initial) for v in self.variables))

    def values(self, configuration: Configuration) -> dict[str, Value]:
        """The values of a configuration by variable name."""
        return dict(zip(self.names, configuration[1:], strict=True))


def _strange(rows: tuple[Row, ...], variables: tuple[Variable, ...]) -> tuple[str, ...]:
    found = [f"{r!r} is no row; write row(id, source, event, ...)" for r in rows if not isinstance(r, Row)]
    for v in variables:
        if not isinstance(v, (Counter, Choice)):
            found.append(f"{v!r} is no variable; write Counter(name) or Choice(name, values)")
    for r in rows:
        for effect in r.effects if isinstance(r, Row) else ():
            if not isinstance(effect, Assignment):
                found.append(f"row {r.id!r} has {effect!r} for an effect; write variable.becomes(value)")
    return tuple(found)
