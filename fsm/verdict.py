"""Verdicts: what an event would do in a configuration, and why not.  And the error of a trigger that is not legal.

There are four answers: *accepted*; *illegal*, no row waits for the event in this state; *refused*, rows wait for it
but a condition does not hold; *finished*, the state is final.  Asking changes nothing.
A verdict keeps the configuration it was asked about, so it stays true of that moment whatever happens next.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, TypeAlias

from transitions import MachineError

from fsm.chart import Chart, Configuration, Row
from fsm.condition import All, Condition, Values, is_opaque, label
from fsm.errors import UnknownEvent

__all__ = ["Kind", "Refused", "Verdict", "judge", "refusal"]

Kind: TypeAlias = Literal["accepted", "illegal", "refused", "finished"]


class Verdict:
    """The answer to "may this event happen now?".  True when it is accepted.

    `event`, `state` and `configuration` say what was asked and where; `kind` is the answer; `row` is the row that
    would be taken and `target` the state after it (both None when it is not accepted); `unmet` are the conditions
    that do not hold; `reason` says it in words (None when accepted); `legal` are the events accepted instead.
    """

    __slots__ = ("_legal", "_unmet", "chart", "configuration", "event", "row")

    def __init__(
        self,
        chart: Chart,
        event: str,
        configuration: Configuration,
        row: Row | None,
        unmet: tuple[Condition, ...] | None = None,
        legal: tuple[str, ...] | None = None,
    ) -> None:
        self.chart, self.event, self.configuration = chart, event, configuration
        self.row, self._unmet, self._legal = row, unmet, legal

    def __bool__(self) -> bool:
        return self.row is not None

    def __repr__(self) -> str:
        return f"<Verdict {self.event}: {self.kind}{f', {self.reason}' if self.reason else ''}>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Verdict):
            return NotImplemented
        same = self.chart is other.chart or self.chart.fingerprint == other.chart.fingerprint
        return same and self._facts() == other._facts()

    def __hash__(self) -> int:
        return hash((self.event, self.configuration))

    def _facts(self) -> tuple[object, ...]:
        return self.event, self.configuration, self.row, self.unmet

    @property
    def accepted(self) -> bool:
        """Whether the event is legal now."""
        return self.row is not None

    @property
    def state(self) -> str:
        """The state it was asked in."""
        return str(self.configuration[0])

    @property
    def target(self) -> str | None:
        """The state the machine would be in; the present one when the event stays; None when not accepted."""
        return self.row.target if self.row is not None else None

    @property
    def kind(self) -> Kind:
        """Which of the four answers it is."""
        if self.row is not None:
            return "accepted"
        if self.chart.rows_for(self.state, self.event):
            return "refused"
        return "finished" if self.chart.state(self.state).final else "illegal"

    @property
    def reason(self) -> str | None:
        """Why not, in words: which condition failed with which counts.  None when accepted."""
        if self.kind == "accepted":
            return None
        if self.kind == "finished":
            return f"{self.state} is final"
        if self.kind == "illegal":
            return f"not legal in {self.state}"
        return f"needs {' and '.join(map(_text, self.unmet))}; {self._present()}"

    @property
    def unmet(self) -> tuple[Condition, ...]:
        """The conditions that do not hold and would have to; empty unless the event is refused."""
        if self._unmet is None:
            self._unmet = () if self.row is not None else _unmet(self.chart, self.configuration, self.event, None)
        return self._unmet

    def _present(self) -> str:
        spoken = frozenset[str]().union(*(c.names() for c in self.unmet))
        values = self.chart.values(self.configuration)
        return ", ".join(f"{n} is {label(values[n])}" for n in self.chart.names if n in spoken) or f"in {self.state}"

    @property
    def legal(self) -> tuple[str, ...]:
        """The events that are accepted in this configuration, in the chart's order."""
        if self._legal is None:
            self._legal = _legal(self.chart, self.configuration, None)
        return self._legal


class Refused(MachineError):
    """A trigger was not legal.  Nothing has changed; the session goes on as it was.

    `verdict` says what was asked, in which state, which condition failed with which counts, and what is legal now.
    """

    def __init__(self, verdict: Verdict) -> None:
        Exception.__init__(self, verdict)  # the words are put together when somebody reads them
        self.verdict = verdict

    def __getattr__(self, name: str) -> str:
        if name == "value":  # what transitions calls its message
            return str(self)
        raise AttributeError(name)

    def __str__(self) -> str:
        verdict = self.verdict
        legal = ", ".join(verdict.legal) or "nothing"
        return f"cannot {verdict.event} while {verdict.state}: {verdict.reason} (legal now: {legal})"


def judge(chart: Chart, configuration: Configuration, event: str, subject: object = None) -> Verdict:
    """The verdict on one event; `subject` is what callable guards are asked about.  UnknownEvent for other names."""
    rows = chart.rows_for(str(configuration[0]), event)
    if not rows and event not in chart.events:
        raise UnknownEvent(chart.name, event, chart.events)
    values = chart.values(configuration)
    for row in rows:
        if row.guard.holds(values, subject):
            legal = _legal(chart, configuration, subject) if chart.opaque else None
            return Verdict(chart, event, configuration, row, (), legal)
    return refusal(chart, configuration, event, subject)


def refusal(chart: Chart, configuration: Configuration, event: str, subject: object = None) -> Verdict:
    """The verdict on an event that is known not to be accepted."""
    if not chart.opaque:  # why not is found out when somebody asks
        return Verdict(chart, event, configuration, None)
    # a callable guard must be asked now: the subject will have moved on by then
    unmet = _unmet(chart, configuration, event, subject)
    return Verdict(chart, event, configuration, None, unmet, _legal(chart, configuration, subject))


def _unmet(chart: Chart, configuration: Configuration, event: str, subject: object) -> tuple[Condition, ...]:
    values = chart.values(configuration)
    rows = chart.rows_for(str(configuration[0]), event)
    failing = [_failing(row.guard, values, subject) for row in rows]
    if not failing:
        return ()
    in_all = tuple(part for part in failing[0] if all(part in other for other in failing[1:]))
    return in_all or (_either([All(*parts) for parts in failing]),)  # nothing fails in all: one of the rows would do


def _legal(chart: Chart, configuration: Configuration, subject: object) -> tuple[str, ...]:
    values, state = chart.values(configuration), str(configuration[0])
    return tuple(
        str(event)
        for event in chart.events
        if any(row.guard.holds(values, subject) for row in chart.rows_for(state, event))
    )


def _failing(guard: Condition, values: Values, subject: object) -> list[Condition]:
    """The parts that do not hold.  A callable is asked only where everything else holds: it may rely on that."""
    parts = list(_parts(guard))
    failing = [part for part in parts if not is_opaque(part) and not part.holds(values)]
    return failing or [part for part in parts if is_opaque(part) and not part.holds(values, subject)]


def _parts(guard: Condition) -> Iterator[Condition]:
    if isinstance(guard, All):
        yield from guard.parts()
    else:
        yield guard


def _either(options: list[All]) -> Condition:
    either: Condition = options[0]
    for option in dict.fromkeys(options[1:]):
        either = either | option
    return either


def _text(guard: Condition) -> str:
    return f"({guard})" if " or " in str(guard) else str(guard)
