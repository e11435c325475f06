"""A machine as plain data: states, events, variables, rows.  A chart is checked when it is built, and never changes.

Theory.
1. A *configuration* is a state and a value for every variable.  It alone decides what may happen next.
2. A *row* says: in `source`, on `event`, if `guard` holds, all `effects` happen together and the state is `target`.
   A row whose target is its source stays: no state is left or entered, unless it says that it does (`reenter`).
   An event may bring data with it, which belong to the step and are no part of the configuration.
3. An event that no row allows is refused, and a refusal changes nothing.
4. In every configuration at most one row of an event is enabled.  The order of the rows has no meaning.
5. A state may have an *invariant*.  It is proved for every row into the state and for all counts, and can be relied on.
6. *Outputs* are named bits that describe the configuration: a bit is set when its guard holds in one of its states.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from fsm.condition import Datum, label, value_key
from fsm.data import NO_DATA, DataDeclaration, Number
from fsm.errors import DefinitionError
from fsm.table import TOO_DEEP, Configuration, Event, Name, Output, Row, State, Table, row
from fsm.variable import Choice, Sum, Variable

if TYPE_CHECKING:
    from fsm.verdict import Change

__all__ = ["Chart", "Configuration", "Event", "Name", "Output", "Row", "State", "row"]


class Chart(Table):
    """A table that has been checked; DefinitionError names every mistake (see `validation.py` for the checks).

    `sums` gives names to sums of counters, for the readers of pictures: `{"in flight": INBOUND + OUTBOUND}`.
    `bounds` are the greatest values of counters, and of numbers that events bring, up to which tools explore the chart.
    `proved` is the fingerprint under which all checks have succeeded; with it they are not repeated at every import.
    It is compared with the chart's own when that is first needed, for a session or a snapshot.  If the two differ,
    the chart is checked then.
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
        proved: str | None = None,
    ) -> None:
        super().__init__(
            name, states=states, events=events, rows=rows, variables=variables, outputs=outputs, sums=sums,
            initial=initial, doc=doc, bounds=bounds,
        )  # fmt: skip
        self._fingerprint: str | None = None
        self._proved = proved
        if proved is None or len({one.id for one in self.rows}) < len(self.rows):
            self.check()

    def __repr__(self) -> str:
        return f"<Chart {self.name}: {len(self.states)} states, {len(self.events)} events, {len(self.rows)} rows>"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        """Return what a notebook shows: the picture of the chart; its DOT source where nothing can draw."""
        from importlib import import_module

        bundle: dict[str, str] = import_module("fsm.draw").mimebundle(self)  # found when it is asked for
        return bundle

    def check(self) -> None:
        """Check the chart now.  DefinitionError names every mistake."""
        from fsm.validation import problems  # not needed by a chart that is `proved`

        try:
            found = problems(self)
        except RecursionError:
            found = [TOO_DEEP]
        if found:
            raise DefinitionError(f"chart {self.name!r}", tuple(found))

    # -------------------------------------------------------------------------------------- configurations

    def after(self, configuration: Configuration, row: Row, data: Mapping[str, Datum] = NO_DATA) -> Configuration:
        """The configuration to which a row leads from this one, with these data.  The guard is not evaluated."""
        return (row.target, *row.apply(self.values(configuration), data).values())

    def step(self, configuration: Configuration, event: Name, /, **data: object) -> Change:
        """Return what an event changes in a configuration.  Nothing is kept: for states that live elsewhere.

        Refused if it is not accepted, ValueError for what is no configuration, UnknownEvent for no event, DataError for
        wrong or missing data.  DefinitionError if a callable guard would have to be called: it asks a session.
        """
        from fsm.verdict import change

        return change(self, self.checked(configuration), event, data)

    def checked(self, configuration: Configuration) -> Configuration:
        """Return the configuration with the chart's own values: whole numbers as int, members and strings by value.

        ValueError, with a sentence, if it is no configuration of the chart.
        """
        if not self.has_state(configuration[0]):
            raise ValueError(f"{configuration[0]!r} is not a state of {self.name} (it has {', '.join(self.states)})")
        state = self.state(configuration[0])  # type: ignore[arg-type]  # it is the name of one
        given = zip(self.variables, configuration[1:], strict=True)
        found = (state.name, *(variable.own(value) for variable, value in given))
        if not state.invariant.holds(self.values(found)):
            raise ValueError(f"in {state} it always holds that {state.invariant}; here it is {self.describe(found)}")
        return found

    def configuration(self, state: Name | None = None, values: Mapping[str, object] | None = None) -> Configuration:
        """Return the configuration in a state (the initial one, if None) with these values instead of the initial ones.

        ValueError, with a sentence, if it is no configuration of the chart.
        """
        start = self.start(values)  # type: ignore[arg-type]  # the values are checked next
        return self.checked((start[0] if state is None else state, *start[1:]))

    def complaint(self, configuration: Configuration) -> str | None:
        """Why this is no configuration of the chart, as a sentence; None if it is one."""
        try:
            self.checked(configuration)
        except ValueError as error:
            return str(error)
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
        """`draining, request NO_WAIT, inbound 1`: the state, and every variable that has not its initial value."""
        changed = [
            f"{v.name} {label(value)}"
            for v, value in zip(self.variables, configuration[1:], strict=True)
            if value != v.initial
        ]
        return ", ".join([str(configuration[0]), *changed])

    # --------------------------------------------------------------------------------------- the fingerprint

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that change with the behaviour, and not with prose or row ids.

        Of a callable guard only the module and name are covered, not what it does.
        """
        if self._fingerprint is None:
            from hashlib import sha256  # it loads OpenSSL, and importing a chart needs no fingerprint

            self._fingerprint = sha256("\n".join(self._behaviour()).encode()).hexdigest()[:16]
            if self._proved is not None and self._proved != self._fingerprint:
                self.check()
        return self._fingerprint

    def _behaviour(self) -> tuple[str, ...]:
        """The behaviour as lines of text, without the prose and without the ids and the order of the rows."""
        lines: list[tuple[object, ...]] = [("chart", self.name, self.initial)]
        for s in self.states:
            more = (*(("absorbing",) if s.absorbing else ()), *((tuple(s.after.items()),) if s.after else ()))
            lines.append(("state", s.name, s.final, s.invariant.key(), *more))
        lines += [("event", e.name, *(_data_key(one) for one in e.data)) for e in self.events]
        for v in self.variables:
            values = tuple(map(value_key, v.values)) if isinstance(v, Choice) else ()
            lines.append(("variable", v.name, values, value_key(v.initial)))
        rows = [
            ("row", r.source, r.event, r.guard.key(), [e.key() for e in r.effects], r.target,
             *(("reenter",) if r.reenter else ()))
            for r in self.rows
        ]
        lines += sorted(rows, key=repr)
        for o in self.outputs:
            lines.append(("output", o.name, int(o.bit), o.states and tuple(map(str, o.states)), o.guard.key()))
        return tuple(map(repr, lines))


def _data_key(one: DataDeclaration) -> tuple[object, ...]:
    """A datum of an event as plain data; the default only if it has one."""
    kind = "number" if isinstance(one, Number) else one.annotation
    return (one.name, kind) if one.required else (one.name, kind, one.default)
