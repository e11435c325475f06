"""Verdicts: what an event would do in a configuration, or why it is not accepted; and the error that carries one.

There are four answers: *accepted*; *illegal*, the state has no row for the event; *refused*, it has rows, but no guard
holds; *finished*, the state is final.  Asking changes nothing.
A verdict keeps its configuration, so it stays true of that moment whatever happens later.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, TypeAlias

from transitions import MachineError

from fsm.chart import Chart, Configuration, Row
from fsm.condition import All, Condition, Opaque, Values, is_opaque, label
from fsm.errors import UnknownEvent

__all__ = ["Kind", "Refused", "Verdict", "judge", "judge_all", "refusal"]

Kind: TypeAlias = Literal["accepted", "illegal", "refused", "finished"]


class Verdict:
    """The answer to "may this event happen now?".  True if it is accepted.

    `event`, `state` and `configuration` are the question, `kind` is the answer.  `row` is the row that would be taken,
    and `target` the state after it; both are None if the event is not accepted.  Then `unmet` are the conditions that
    do not hold, `reason` explains it in words, and `legal` are the events that are accepted instead; whether those in
    `undecided` are is up to callable guards, and these are only called for the event in question.
    """

    __slots__ = ("_legal", "_undecided", "_unmet", "chart", "configuration", "event", "row")

    def __init__(
        self,
        chart: Chart,
        event: str,
        configuration: Configuration,
        row: Row | None,
        unmet: tuple[Condition, ...] | None = None,
    ) -> None:
        self.chart, self.event, self.configuration = chart, event, configuration
        self.row, self._unmet = row, unmet
        self._legal: tuple[str, ...] | None = None
        self._undecided: tuple[str, ...] = ()

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
        """Whether the event is accepted."""
        return self.row is not None

    @property
    def state(self) -> str:
        """The state of the configuration."""
        return str(self.configuration[0])

    @property
    def target(self) -> str | None:
        """The state after the event, which may be the present one; None if it is not accepted."""
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
        """Why the event is not accepted: which condition does not hold, with which counts.  None if it is accepted."""
        if self.kind == "accepted":
            return None
        if self.kind == "finished":
            return f"{self.state} is final"
        if self.kind == "illegal":
            return f"not legal in {self.state}"
        return f"needs {' and '.join(map(_text, self.unmet))}; {self._present()}"

    @property
    def unmet(self) -> tuple[Condition, ...]:
        """The conditions that would have to hold and do not; empty unless the event is refused."""
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
            self._find_legal()
        return self._legal or ()

    @property
    def undecided(self) -> tuple[str, ...]:
        """The other events that a callable guard decides, which has not been called; empty in a chart without such."""
        if self._legal is None:
            self._find_legal()
        return self._undecided

    def _find_legal(self) -> None:
        values = self.chart.values(self.configuration)
        found: dict[str, bool | None] = {self.event: self.accepted}
        for event in self.chart.events:
            if event != self.event:
                answers = {_known(row.guard, values) for row in self.chart.rows_for(self.state, event)}
                found[event] = True in answers or (None if None in answers else False)
        self._undecided = tuple(str(event) for event in self.chart.events if found[event] is None)
        self._legal = tuple(str(event) for event in self.chart.events if found[event])

    def told(self, legal: tuple[str, ...]) -> None:
        """Take over the legal events, from one who has called every guard."""
        self._legal, self._undecided = legal, ()


class Refused(MachineError):
    """A trigger was not accepted.  Nothing has changed, and the session can be used as before.

    `verdict` says which event was refused in which state, which condition failed with which counts, and what is legal.
    """

    def __init__(self, verdict: Verdict) -> None:
        Exception.__init__(self, verdict)  # the message is only built if it is read
        self.verdict = verdict

    def __getattr__(self, name: str) -> str:
        if name == "value":  # what transitions calls its message
            return str(self)
        raise AttributeError(name)

    def __str__(self) -> str:
        verdict = self.verdict
        legal = ", ".join(verdict.legal) or "nothing"
        perhaps = f"; perhaps {', '.join(verdict.undecided)}" if verdict.undecided else ""
        return f"cannot {verdict.event} while {verdict.state}: {verdict.reason} (legal now: {legal}{perhaps})"


def judge(chart: Chart, configuration: Configuration, event: str, subject: object = None) -> Verdict:
    """Return the verdict on an event.  `subject` is what callable guards get.  UnknownEvent for any other name.

    Only the guards of this event are called.
    """
    rows = chart.rows_for(str(configuration[0]), event)
    if not rows and event not in chart.events:
        raise UnknownEvent(chart.name, event, chart.events)
    values = chart.values(configuration)
    for row in rows:
        if row.guard.holds(values, subject):
            return Verdict(chart, event, configuration, row)
    return refusal(chart, configuration, event, subject)


def judge_all(chart: Chart, configuration: Configuration, subject: object = None) -> dict[str, Verdict]:
    """Return the verdict on every event, in the chart's order.  Each guard is called once at most."""
    found = {str(event): judge(chart, configuration, event, subject) for event in chart.events}
    if chart.opaque:
        legal = tuple(event for event, verdict in found.items() if verdict)
        for verdict in found.values():
            verdict.told(legal)
    return found


def refusal(chart: Chart, configuration: Configuration, event: str, subject: object = None) -> Verdict:
    """Return the verdict on an event that is known not to be accepted."""
    rows = chart.rows_for(str(configuration[0]), event)
    if not any(is_opaque(row.guard) for row in rows):  # the reason is only computed if it is read
        return Verdict(chart, event, configuration, None)
    # a callable guard must be called now: later, the subject will have changed
    return Verdict(chart, event, configuration, None, _unmet(chart, configuration, event, subject))


def _unmet(chart: Chart, configuration: Configuration, event: str, subject: object) -> tuple[Condition, ...]:
    values = chart.values(configuration)
    rows = chart.rows_for(str(configuration[0]), event)
    failing = [_failing(row.guard, values, subject) for row in rows]
    if not failing:
        return ()
    in_all = tuple(part for part in failing[0] if all(part in other for other in failing[1:]))
    return in_all or (_either([All(*parts) for parts in failing]),)  # none fails in every row: one row would suffice


def _known(guard: Condition, values: Values) -> bool | None:
    """Whether a condition holds; None if a callable decides that."""
    if isinstance(guard, Opaque):
        return None
    if not is_opaque(guard):
        return guard.holds(values)
    answers = {_known(part, values) for part in guard.parts()}
    decisive = not isinstance(guard, All)  # one part that holds decides an AnyOf, one that fails an All
    return decisive if decisive in answers else None if None in answers else not decisive


def _failing(guard: Condition, values: Values, subject: object) -> list[Condition]:
    """The parts that do not hold.  A callable is called only if all others hold, since it may rely on them."""
    parts = list(_parts(guard))
    failing = [part for part in parts if not is_opaque(part) and not part.holds(values)]
    asked = [part for part in parts if is_opaque(part)]
    return failing or [part for part in asked if not part.holds(values, subject)] or asked  # one changed its mind


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
