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

from collections.abc import Iterable, Mapping

from fsm.condition import label, value_key
from fsm.errors import DefinitionError
from fsm.table import TOO_DEEP, Configuration, Event, Output, Row, State, Table, row
from fsm.variable import Choice, Sum, Variable

__all__ = ["Chart", "Configuration", "Event", "Output", "Row", "State", "row"]


class Chart(Table):
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
        super().__init__(
            name, states=states, events=events, rows=rows, variables=variables, outputs=outputs, sums=sums,
            initial=initial, doc=doc,
        )  # fmt: skip
        self._fingerprint: str | None = None
        self._proved = proved
        if proved is None or len({one.id for one in self.rows}) < len(self.rows):
            self.check()

    def __repr__(self) -> str:
        return f"<Chart {self.name}: {len(self.states)} states, {len(self.events)} events, {len(self.rows)} rows>"

    def check(self) -> None:
        """Check everything now.  DefinitionError with every offender."""
        from fsm.validation import problems  # not needed where `proved` says that all is well

        try:
            found = problems(self)
        except RecursionError:
            found = [TOO_DEEP]
        if found:
            raise DefinitionError(f"chart {self.name!r}", tuple(found))

    # -------------------------------------------------------------------------------------- configurations

    def after(self, configuration: Configuration, row: Row) -> Configuration:
        """The configuration to which a row leads from this one; whether it is enabled there is not asked."""
        return (row.target, *row.apply(self.values(configuration)).values())

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
        changed = [
            f"{v.name} {label(value)}"
            for v, value in zip(self.variables, configuration[1:], strict=True)
            if value != v.initial
        ]
        return ", ".join([str(configuration[0]), *changed])

    # --------------------------------------------------------------------------------------- the fingerprint

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that change whenever the behaviour does, and not when prose or ids do.

        Of a callable guard it knows the module and name only, not what it does.
        """
        if self._fingerprint is None:
            from hashlib import sha256  # it loads OpenSSL, and importing a chart needs no fingerprint

            self._fingerprint = sha256("\n".join(self._behaviour()).encode()).hexdigest()[:16]
            if self._proved is not None and self._proved != self._fingerprint:
                self.check()
        return self._fingerprint

    def _behaviour(self) -> tuple[str, ...]:
        """What the machine does, a line for each word: the ids of rows, their order and all prose are left out."""
        lines: list[tuple[object, ...]] = [("chart", self.name, self.initial)]
        lines += [("state", s.name, s.final, s.invariant.key()) for s in self.states]
        lines += [("event", e.name) for e in self.events]
        for v in self.variables:
            values = tuple(map(value_key, v.values)) if isinstance(v, Choice) else ()
            lines.append(("variable", v.name, values, value_key(v.initial)))
        rows = [("row", r.source, r.event, r.guard.key(), [e.key() for e in r.effects], r.target) for r in self.rows]
        lines += sorted(rows, key=repr)
        for o in self.outputs:
            lines.append(("output", o.name, int(o.bit), o.states and tuple(map(str, o.states)), o.guard.key()))
        return tuple(map(repr, lines))
