"""Tables: the states, events, rows and outputs of a machine as plain data.

A table may be wrong in any way: `validation.py` finds the mistakes, and a Chart (`chart.py`) is a table without any.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Self, TypeAlias, TypeVar, overload

from fsm.condition import (
    ALWAYS,
    All,
    Condition,
    Conditional,
    Datum,
    Facts,
    Value,
    Values,
    condition,
    is_opaque,
    name_of,
    negated,
    with_data,
)
from fsm.data import NO_DATA, DataDeclaration, Field, Number, completed
from fsm.errors import DefinitionError
from fsm.variable import Assignment, Choice, Counter, Sum, Variable, is_whole

__all__ = ["LONGEST", "TOO_DEEP", "Configuration", "Event", "Name", "Output", "Row", "State", "Table", "row"]

TOO_DEEP = "it is nested too deeply: a guard has more levels of `&` and `|` than Python can follow"

LONGEST: Final = 10**9
"""The longest time, in seconds, after which a state may send itself an event: 31 years."""

Configuration: TypeAlias = tuple[Value, ...]
"""The state's name, then the value of every variable in the chart's order.  Hashable, and all that a machine is."""
Name: TypeAlias = "str | Enum"
"""The name of a state or event, as a string or as a member of an Enum."""
Guard: TypeAlias = Condition | Conditional | Callable[..., bool]
T = TypeVar("T")


class _Member(str):
    """A name that was given as a member of an Enum, which it is equal to."""

    __slots__ = ()
    member: Enum

    def __eq__(self, other: object) -> bool:
        return self.member is other or str.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = str.__hash__


class State(str):
    """The name of a state, with a description.  `State("open") == "open"`.

    The name may be a member of an Enum, and is then equal to that member.
    `invariant` always holds while the machine is in this state.  A `final` state is never left.  An `absorbing` one is
    not final, and need not be left: it has no way to a final state.
    `after` says which events are due after how many seconds in the state: `after={30: "timeout"}`.
    `progress` names events of which some one is accepted in every configuration of this state, so that it cannot get
    stuck waiting for others; like the invariant it is proved, and like prose it is not part of the behaviour.
    """

    __slots__ = ("absorbing", "after", "doc", "final", "invariant", "progress")
    doc: str
    final: bool
    invariant: Condition
    absorbing: bool
    after: Mapping[float, str]
    progress: tuple[str, ...]

    def __new__(
        cls,
        name: Name,
        doc: str = "",
        *,
        final: bool = False,
        invariant: Condition | Conditional = ALWAYS,
        absorbing: bool = False,
        after: Mapping[float, Name] | None = None,
        progress: Iterable[Name] = (),
    ) -> Self:
        """Create a state.  The chart proves that every row into the state keeps its `invariant`.

        DefinitionError for a state that is both final and absorbing, and for times that are no number of seconds
        above 0 and up to 10**9.
        """
        if isinstance(name, Enum) and not isinstance(name, str) and cls is State:
            return _MemberState(  # type: ignore[return-value]
                name, doc, final=final, invariant=invariant, absorbing=absorbing, after=after, progress=progress
            )
        self = super().__new__(cls, name_of(name))
        self.doc, self.final, self.invariant, self.absorbing = doc, final, condition(invariant), absorbing
        timed = dict(after or {})
        problems = [f"it cannot send {name_of(timed[when])!r} {wrong}" for when in timed if (wrong := _no_time(when))]
        if final and absorbing:
            problems.append("a final state is never left anyway; an absorbing one is not final")
        if problems:
            raise DefinitionError(f"state {self.name!r}", tuple(problems))
        self.progress = tuple(map(name_of, (progress,) if isinstance(progress, str) else progress))
        self.after = MappingProxyType({_plain(when): name_of(timed[when]) for when in sorted(timed)})
        return self

    @property
    def name(self) -> str:
        """The name as a plain string."""
        return str.__str__(self)

    def __reduce__(self) -> tuple[Callable[..., State], tuple[object, ...]]:
        named = getattr(self, "member", self.name)
        return _state, (named, self.doc, self.final, self.invariant, self.absorbing, dict(self.after), self.progress)


class _MemberState(_Member, State):
    __slots__ = ("member",)

    def __new__(cls, member: Enum, doc: str = "", **options: Any) -> Self:
        self = super().__new__(cls, member, doc, **options)
        self.member = member
        return self


def _state(
    name: Name,
    doc: str,
    final: bool,
    invariant: Condition,
    absorbing: bool,
    after: Mapping[float, str],
    progress: tuple[str, ...],
) -> State:
    return State(
        name, doc, final=final, invariant=invariant, absorbing=absorbing, after=after, progress=progress
    )


def _no_time(when: object) -> str:
    """Say why this is no time after which something can be due; empty if it is one."""
    if not is_whole(when) and not isinstance(when, float):
        return f"after {when!r}: a time is a number of seconds"
    if not 0 < when <= LONGEST:
        return f"after {when!r} seconds: a time is above 0 and at most {LONGEST:,} seconds"
    return ""


def _plain(when: float) -> float:
    """A number of seconds in the one form that is written: 30, not 30.0."""
    return int(when) if when == int(when) else float(when)


class Event(str):
    """The name of an event, with a description and the data that it brings with it (see `data.py`).

    The name may be a member of an Enum, and is then equal to that member.
    """

    __slots__ = ("data", "doc")
    doc: str
    data: tuple[DataDeclaration, ...]

    def __new__(cls, name: Name, doc: str = "", data: Iterable[DataDeclaration] = ()) -> Self:
        """Create an event; `doc` says what happened or was requested.  DefinitionError for data that are none."""
        if isinstance(name, Enum) and not isinstance(name, str) and cls is Event:
            return _MemberEvent(name, doc, data)  # type: ignore[return-value]
        self = super().__new__(cls, name_of(name))
        self.doc, self.data = doc, (data,) if isinstance(data, (Number, Field)) else tuple(data)
        problems = [
            f"{one!r} is no datum; write Number(name) or Field(name, type)"
            for one in self.data if not isinstance(one, (Number, Field))
        ]
        names = [one.name for one in self.data] if not problems else []
        problems += [f"its datum {name!r} is there twice" for name in dict.fromkeys(names) if names.count(name) > 1]
        if problems:
            raise DefinitionError(f"event {self.name!r}", tuple(problems))
        return self

    @property
    def name(self) -> str:
        """The name as a plain string."""
        return str.__str__(self)

    @property
    def numbers(self) -> tuple[Number, ...]:
        """The data that may stand in guards and effects."""
        return tuple(one for one in self.data if isinstance(one, Number))

    @property
    def required(self) -> tuple[str, ...]:
        """The names of the data that have to be given."""
        return tuple(one.name for one in self.data if one.required)

    def complete(self, given: Mapping[str, object]) -> Mapping[str, Datum]:
        """Return the event's data, defaults included.  DataError if something is missing, unknown or wrong."""
        return completed(self.name, self.data, given) if self.data or given else NO_DATA

    def __reduce__(self) -> tuple[type[Event], tuple[object, ...]]:
        return Event, (getattr(self, "member", self.name), self.doc, self.data)


class _MemberEvent(_Member, Event):
    __slots__ = ("member",)

    def __new__(cls, member: Enum, doc: str = "", data: Iterable[DataDeclaration] = ()) -> Self:
        self = super().__new__(cls, member, doc, data)
        self.member = member
        return self


class Row(NamedTuple):
    """One transition.  `cites` names the sentences of the specification it follows from, `why` gives the reason.

    With `reenter`, a row that comes back to its source leaves the state and enters it again.
    """

    id: str
    source: str
    event: str
    guard: Condition
    effects: tuple[Assignment, ...]
    target: str
    cites: tuple[str, ...]
    why: str
    reenter: bool = False

    @property
    def moves(self) -> bool:
        """Whether the state changes."""
        return self.target != self.source

    @property
    def leaves(self) -> bool:
        """Whether the source is left and the target entered, which may be the same state."""
        return self.reenter or self.target != self.source

    @property
    def effect_text(self) -> str:
        """The effects as text, for pictures and messages; empty if there are none."""
        return ", ".join(map(str, self.effects))

    def apply(self, values: Values, data: Mapping[str, Datum] = NO_DATA) -> dict[str, Value]:
        """Return the values after this row, taken with these data.  Every effect is computed from those before it."""
        known: Facts = {**values, **data} if data else values
        return {**values, **{effect.name: effect.new(known) for effect in self.effects}}


@overload
def row(  # type: ignore[overload-overlap]  # a string is one name, not several
    id: str,
    source: Name,
    event: Name,
    *,
    guard: Guard = ALWAYS,
    unless: Guard | None = None,
    effects: Iterable[Assignment] = (),
    target: Name | None = None,
    reenter: bool = False,
    cites: str = "",
    why: str = "",
) -> Row: ...
@overload
def row(
    id: str,
    source: Iterable[Name],
    event: Name,
    *,
    guard: Guard = ALWAYS,
    unless: Guard | None = None,
    effects: Iterable[Assignment] = (),
    target: Name | None = None,
    reenter: bool = False,
    cites: str = "",
    why: str = "",
) -> tuple[Row, ...]: ...
def row(
    id: str,
    source: Name | Iterable[Name],
    event: Name,
    *,
    guard: Guard = ALWAYS,
    unless: Guard | None = None,
    effects: Iterable[Assignment] = (),
    target: Name | None = None,
    reenter: bool = False,
    cites: str = "",
    why: str = "",
) -> Row | tuple[Row, ...]:
    """Return a Row, or for several sources a tuple with a row for each, whose id is `<id>-<source>`.

    Without `target` it stays in its source, and with `reenter` it leaves that and enters it again.
    It needs that `guard` holds and `unless` does not.  `cites` is split into words.
    """
    needs = condition(guard)
    if unless is not None:
        needs = negated(unless) if needs == ALWAYS else All(needs, negated(unless))
    done, sentences = tuple(effects), tuple(cites.split())

    def one(id: str, source: Name) -> Row:
        start = name_of(source)
        end = start if target is None else name_of(target)
        return Row(id, start, name_of(event), needs, done, end, sentences, why, reenter and start == end)

    if isinstance(source, str) or not isinstance(source, Iterable):
        return one(id, source)
    sources = tuple(source)
    if not sources:
        raise DefinitionError(f"row {id!r}", ("it has no source",))
    return tuple(one(f"{id}-{name_of(name)}", name) for name in sources)


class Output(NamedTuple):
    """A named bit of the machine's output: set in `states` (in all, if None) while `guard` holds."""

    name: str
    bit: int
    states: tuple[Name, ...] | None = None
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
        states: Iterable[State | Name],
        events: Iterable[Event | Name],
        rows: Iterable[Row | tuple[Row, ...]],
        variables: Iterable[Variable] = (),
        outputs: Iterable[Output] = (),
        sums: Mapping[str, Sum] | None = None,
        initial: Name | None = None,
        doc: str = "",
        bounds: Mapping[str, int] | None = None,
    ) -> None:
        self.name, self.doc = name, doc
        self.states = tuple(s if isinstance(s, State) else State(s) for s in states)
        self.events = tuple(e if isinstance(e, Event) else Event(e) for e in events)
        self.variables = tuple(variables)
        self.rows = tuple(_flat(rows))
        self.outputs = tuple(_with_names(one) for one in outputs)
        self.sums = dict(sums or {})
        self.initial = name_of(initial if initial is not None else self.states[0] if self.states else "")
        self.names = tuple(getattr(variable, "name", "") for variable in self.variables)
        self.bounds: Mapping[str, int] = dict(bounds or {})
        """The greatest value of counters and numbers up to which tools explore the table.  Prose, not behaviour."""
        if strange := _strange(self.rows, self.variables, self.bounds):
            raise DefinitionError(f"chart {name!r}", strange)
        self._states, self._events = _index(self.states, self.states), _index(self.events, self.events)
        self._variables = _index(self.names, self.variables)
        self.rows = tuple(map(self._with_data, self.rows))
        self._rows = _index((one.id for one in self.rows), self.rows)
        self._cells: dict[tuple[str, str], tuple[Row, ...]] = {}
        for one in self.rows:
            cell = one.source, one.event
            self._cells[cell] = (*self._cells.get(cell, ()), one)
        try:
            self.opaque = tuple(one for one in self.rows if is_opaque(one.guard))
            """The rows with a callable in the guard.  Nothing can be proved of them, and exports refuse them."""
        except RecursionError:
            raise DefinitionError(f"chart {name!r}", (TOO_DEEP,)) from None

    def _with_data(self, one: Row) -> Row:
        """The row, with its callables taking the data of its event."""
        event = self._events.get(one.event)
        if event is None or not event.data or not is_opaque(one.guard):
            return one
        return one._replace(guard=with_data(one.guard, {datum.name for datum in event.data}))

    def rows_for(self, state: Name, event: Name) -> tuple[Row, ...]:
        """The rows of an event in a state.  If there are none, the event is illegal there."""
        return self._cells.get((name_of(state), name_of(event)), ())

    def row(self, id: str) -> Row:
        """The row with that id.  KeyError if there is none."""
        return self._rows[id]

    def state(self, name: Name) -> State:
        """The state of that name.  KeyError if there is none."""
        return self._states[name_of(name)]

    def event(self, name: Name) -> Event:
        """The event of that name.  KeyError if there is none."""
        return self._events[name_of(name)]

    def variable(self, name: str) -> Variable:
        """The variable of that name.  KeyError if there is none."""
        return self._variables[name]

    def has_state(self, name: object) -> bool:
        """Whether there is a state of that name."""
        return name_of(name) in self._states

    def has_event(self, name: object) -> bool:
        """Whether there is an event of that name."""
        return name_of(name) in self._events

    @property
    def numbers(self) -> dict[str, Number]:
        """The numbers that events bring with them, by name, in the order of the events."""
        return {one.name: one for event in self.events for one in event.numbers}

    def start(self, values: Mapping[str, Value] | None = None) -> Configuration:
        """The configuration in which a machine starts, with these values instead of the initial ones.

        ValueError for values of variables that it does not have.
        """
        given = values or {}
        if strange := [repr(name) for name in given if name not in self._variables]:
            known = ", ".join(self.names) or "none"
            raise ValueError(f"{self.name} has no variable {' or '.join(strange)} (it has {known})")
        return (self.initial, *(given.get(v.name, v.initial) for v in self.variables))

    def values(self, configuration: Configuration) -> dict[str, Value]:
        """The values of a configuration by variable name."""
        return dict(zip(self.names, configuration[1:], strict=True))


def _index(names: Iterable[str], things: Iterable[T]) -> dict[str, T]:
    """Each thing by its name; the first, where there are several of one name."""
    found: dict[str, T] = {}
    for name, thing in zip(names, things, strict=True):
        found.setdefault(name_of(name), thing)
    return found


def _flat(rows: Iterable[Row | tuple[Row, ...]]) -> Iterator[Row]:
    """The rows one by one: those with several sources are given as tuples of rows."""
    for one in rows:
        several = not isinstance(one, Row) and isinstance(one, (tuple, list)) and any(isinstance(r, Row) for r in one)
        yield from one if several else (one,)  # type: ignore[misc]  # `_strange` refuses anything else


def _with_names(output: Output) -> Output:
    if not isinstance(output, Output) or output.states is None:
        return output
    return output._replace(states=tuple(map(name_of, output.states)), guard=condition(output.guard))


def _strange(rows: tuple[Row, ...], variables: tuple[Variable, ...], bounds: Mapping[str, int]) -> tuple[str, ...]:
    found = [f"{r!r} is no row; write row(id, source, event, ...)" for r in rows if not isinstance(r, Row)]
    for v in variables:
        if isinstance(v, (Number, Field)):
            found.append(f"{v!r} is no variable but data of an event; write Event(name, data=(...))")
        elif not isinstance(v, (Counter, Choice)):
            found.append(f"{v!r} is no variable; write Counter(name), Boolean(name) or Choice(name, values)")
    for r in rows:
        for effect in r.effects if isinstance(r, Row) else ():
            if not isinstance(effect, Assignment):
                found.append(f"row {r.id!r} has {effect!r} for an effect; write variable.becomes(value)")
    for name, most in bounds.items():
        if not isinstance(name, str) or not is_whole(most) or most < 0:
            found.append(f"the bound {name!r}: {most!r} is none; write the name of a counter and a whole number")
    return tuple(found)
