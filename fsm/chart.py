"""A machine as plain data: states, events, variables, rows.  Built once, checked when built, never changed.

Theory.
1. A *configuration* is a state and a value for every variable.  Nothing else decides what may happen next.
2. A *row* says: in `source`, on `event`, if `guard` holds, all `effects` happen together and the state is `target`.
   A row whose target is its source stays: nothing is left and nothing entered.
3. What no row allows is refused, and a refusal changes nothing.
4. In every configuration at most one row of an event is enabled.  The order of the rows means nothing.
5. A state may promise an *invariant*.  It is proved of every way in, for all counts, and may then be relied on.
6. *Outputs* are named bits that say how things stand: a bit is set when its condition holds in one of its states.

This file does not know how a machine is run, drawn or stored; `validation.py` knows how it is checked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from fsm.condition import ALWAYS, Condition, DefinitionError, Value, condition, is_opaque, label
from fsm.fingerprint import fingerprint
from fsm.record import Record
from fsm.variable import Assignment, Choice, Counter, Variable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self, TypeAlias

    from fsm.variable import Sum

__all__ = ["Chart", "Configuration", "Event", "Output", "Row", "State", "row"]

TOO_DEEP = "it is nested too deeply: a guard has more levels of `&` and `|` than Python can follow"

Configuration: TypeAlias = "tuple[Value, ...]"
"""The state's name, then the value of every variable in the chart's order.  Hashable; says everything."""


class State(str):
    """A state's name, with what is said of it.  It *is* the name: `State("open") == "open"`.

    `invariant` is what holds whenever the machine is in this state; `final` states are never left.
    """

    __slots__ = ("doc", "final", "invariant")
    doc: str
    final: bool
    invariant: Condition

    def __new__(cls, name: str, doc: str = "", *, final: bool = False, invariant: Condition = ALWAYS) -> Self:
        """A state; `invariant` is proved of every way in when the chart is built."""
        self = super().__new__(cls, name)
        self.doc, self.final, self.invariant = doc, final, invariant
        return self

    @property
    def name(self) -> str:
        """The bare name."""
        return str.__str__(self)


class Event(str):
    """An event's name, with what is said of it."""

    __slots__ = ("doc",)
    doc: str

    def __new__(cls, name: str, doc: str = "") -> Self:
        """An event; `doc` says what happened or was asked."""
        self = super().__new__(cls, name)
        self.doc = doc
        return self

    @property
    def name(self) -> str:
        """The bare name."""
        return str.__str__(self)


class Row(Record):
    """One transition.  `cites` names the sentences it rests on, `why` gives the reason in the reader's words."""

    __slots__ = fields = ("id", "source", "event", "guard", "effects", "target", "cites", "why")
    id: str
    source: str
    event: str
    guard: Condition
    effects: tuple[Assignment, ...]
    target: str
    cites: tuple[str, ...]
    why: str

    def __init__(
        self,
        id: str,
        source: str,
        event: str,
        guard: Condition,
        effects: tuple[Assignment, ...],
        target: str,
        cites: tuple[str, ...],
        why: str,
    ) -> None:
        self._set(id, source, event, guard, effects, target, cites, why)

    @property
    def moves(self) -> bool:
        """Whether the state changes."""
        return self.target != self.source

    @property
    def effect_text(self) -> str:
        """The effects as they are written in pictures and messages; empty when there are none."""
        return ", ".join(map(str, self.effects))


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
    """A row as it is written in a table: `target` left out means it stays; `cites` is a list of words."""
    to = source if target is None else target
    return Row(id, str(source), str(event), condition(guard), tuple(effects), str(to), tuple(cites.split()), why)


class Output(Record):
    """A named bit of the machine's output: set in `states` (any, when None) while `guard` holds."""

    __slots__ = fields = ("name", "bit", "states", "guard", "doc")
    name: str
    bit: int
    states: tuple[str, ...] | None
    guard: Condition
    doc: str

    def __init__(
        self, name: str, bit: int, states: tuple[str, ...] | None = None, guard: Condition = ALWAYS, doc: str = ""
    ) -> None:
        self._set(name, bit, states, guard, doc)


class Chart:
    """The table, and the few questions everything else asks of it.

    Raises DefinitionError with every offender when anything is wrong; see `validation.py` for what is checked.
    `sums` gives names to sums of counters, for the readers of pictures: {"in flight": INBOUND + OUTBOUND}.
    `proved` is the fingerprint under which all checks once succeeded.  The fingerprint changes with every change of
    behaviour, so while it is still this chart's own they need not be repeated at every import.  Whether it is, is
    looked at when the chart is used first (for a session, a snapshot): if not, everything is checked then.
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
        proved: str | None = None,
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
        self._fingerprint: str | None = None
        self._cells: dict[tuple[str, str], tuple[Row, ...]] = {}
        if strange := _strange(self):
            raise DefinitionError(f"chart {name!r}", strange)
        for one in self.rows:
            cell = one.source, one.event
            self._cells[cell] = (*self._cells.get(cell, ()), one)
        try:
            self.opaque = tuple(one for one in self.rows if is_opaque(one.guard))
            """The rows with a callable in the guard, of which nothing can be proved or exported."""
        except RecursionError:
            raise DefinitionError(f"chart {name!r}", (TOO_DEEP,)) from None
        self._proved = proved
        if proved is None or len({one.id for one in self.rows}) < len(self.rows):
            self.check()

    def __repr__(self) -> str:
        return f"<Chart {self.name}: {len(self.states)} states, {len(self.events)} events, {len(self.rows)} rows>"

    def check(self) -> None:
        """Check everything now.  DefinitionError with every offender."""
        from fsm.validation import problems  # it reads charts, so it comes after them

        try:
            found = problems(self)
        except RecursionError:
            found = [TOO_DEEP]
        if found:
            raise DefinitionError(f"chart {self.name!r}", tuple(found))

    # ------------------------------------------------------------------------------------------ looking up

    def rows_for(self, state: str, event: str) -> tuple[Row, ...]:
        """The rows of one cell of the table: empty means the event is illegal there."""
        return self._cells.get((state, event), ())

    def row(self, id: str) -> Row:
        """The row of that id; KeyError when there is none."""
        for one in self.rows:
            if one.id == id:
                return one
        raise KeyError(id)

    def state(self, name: str) -> State:
        """The state of that name; KeyError when there is none."""
        return self.states[self._place(self.states, name)]

    def event(self, name: str) -> Event:
        """The event of that name; KeyError when there is none."""
        return self.events[self._place(self.events, name)]

    def variable(self, name: str) -> Variable:
        """The variable of that name; KeyError when there is none."""
        return self.variables[self._place(self.names, name)]

    @staticmethod
    def _place(names: tuple[str, ...], name: str) -> int:
        for place, one in enumerate(names):
            if one == name:
                return place
        raise KeyError(name)

    # -------------------------------------------------------------------------------------- configurations

    def start(self, values: Mapping[str, Value] | None = None) -> Configuration:
        """A new machine's configuration, with these values instead of the usual ones."""
        given = values or {}
        return (self.initial, *(given.get(v.name, v.initial) for v in self.variables))

    def values(self, configuration: Configuration) -> dict[str, Value]:
        """The variables of a configuration by name."""
        return dict(zip(self.names, configuration[1:], strict=True))

    def complaint(self, configuration: Configuration) -> str | None:
        """Why this is no configuration of the chart (one sentence), or None when it is one."""
        if configuration[0] not in self.states:
            return f"{configuration[0]!r} is not a state of {self.name} (it has {', '.join(self.states)})"
        for variable, value in zip(self.variables, configuration[1:], strict=True):
            if isinstance(variable, Choice):
                if not any(value is one for one in variable.values):
                    return f"{value!r} is not a value of {variable.name}"
            elif not isinstance(value, int) or isinstance(value, bool) or value < 0:
                return f"{variable.name} must be a whole number, 0 or more, not {value!r}"
        state = self.state(str(configuration[0]))
        if not state.invariant.holds(self.values(configuration)):
            return f"in {state} it always holds that {state.invariant}; here it is {self.describe(configuration)}"
        return None

    def flags(self, configuration: Configuration) -> int:
        """The output word: the bits of all outputs that are set."""
        values = self.values(configuration)
        return sum(
            output.bit
            for output in self.outputs
            if (output.states is None or configuration[0] in output.states) and output.guard.holds(values)
        )

    def flag_names(self, flags: int) -> tuple[str, ...]:
        """The names of the bits that are set, in the order of the bits."""
        return tuple(o.name for o in sorted(self.outputs, key=lambda o: o.bit) if flags & o.bit)

    def describe(self, configuration: Configuration) -> str:
        """`draining, request NO_WAIT, inbound 1`: the state and every variable that is not as at the start."""
        told = [
            f"{v.name} {label(value)}"
            for v, value in zip(self.variables, configuration[1:], strict=True)
            if value != v.initial
        ]
        return ", ".join([str(configuration[0]), *told])

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that change whenever the behaviour does, and not when prose or ids do.

        Of a callable guard it knows the module and name only, not what it does.
        """
        if self._fingerprint is None:
            self._fingerprint = fingerprint(self)
            if self._proved is not None and self._proved != self._fingerprint:
                self.check()
        return self._fingerprint


def _strange(chart: Chart) -> tuple[str, ...]:
    """What is not made of the words of this file at all."""
    found = [f"{r!r} is no row; write row(id, source, event, ...)" for r in chart.rows if not isinstance(r, Row)]
    for v in chart.variables:
        if not isinstance(v, (Counter, Choice)):
            found.append(f"{v!r} is no variable; write Counter(name) or Choice(name, values)")
    for r in chart.rows:
        for effect in r.effects if isinstance(r, Row) else ():
            if not isinstance(effect, Assignment):
                found.append(f"row {r.id!r} has {effect!r} for an effect; write variable.becomes(value)")
    return tuple(found)
