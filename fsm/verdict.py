"""Verdicts: what an event would do in a configuration, or why it is not accepted; and the error that carries one.

There are four answers: *accepted*; *illegal*, the state has no row for the event; *refused*, it has rows, but no guard
holds; *finished*, the state is final.  Asking changes nothing.
A verdict keeps its configuration, so it stays true of that moment whatever happens later.
Of an event that needs data and is asked about without, the answer is whether some data would be accepted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple, TypeAlias

from transitions import MachineError

from fsm.chart import Chart, Configuration, Name, Row
from fsm.condition import ALWAYS, All, AnyOf, Compare, Condition, Datum, Facts, Opaque, add, is_opaque, label, name_of
from fsm.data import NO_DATA
from fsm.errors import UnknownEvent

__all__ = ["Change", "Kind", "Refused", "Verdict", "change", "judge", "judge_all", "refusal"]

Kind: TypeAlias = Literal["accepted", "illegal", "refused", "finished"]


class Verdict:
    """The answer to "may this event happen now?".  True if it is accepted.

    `event`, `state` and `configuration` are the question, `kind` is the answer.  `row` is the row that would be taken,
    and `target` the state after it; both are None if the event is not accepted.  Then `unmet` are the conditions that
    do not hold, `reason` explains it in words, and `legal` are the events that are accepted instead; whether those in
    `undecided` are is up to callable guards, and these are only called for the event in question.
    `data` are the event's data, defaults included; None if the question was whether some data would be accepted.
    """

    __slots__ = ("_legal", "_undecided", "_unmet", "chart", "configuration", "data", "event", "row")

    def __init__(
        self,
        chart: Chart,
        event: str,
        configuration: Configuration,
        row: Row | None,
        unmet: tuple[Condition, ...] | None = None,
        data: Mapping[str, Datum] | None = NO_DATA,
    ) -> None:
        self.chart, self.event, self.configuration = chart, event, configuration
        self.row, self._unmet = row, unmet
        self.data = None if data is None else dict(data)
        self._legal: tuple[str, ...] | None = None
        self._undecided: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return self.row is not None

    def __repr__(self) -> str:
        return f"<Verdict {self.event}: {self.kind}{f', {self.reason}' if self.reason else ''}>"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the answer, and what is legal instead."""
        from html import escape

        asked = f"<b>{escape(self.event)}</b> while <code>{escape(self.state)}</code>: {self.kind}"
        if self.row is not None:
            return f"{asked}, by row <code>{escape(self.row.id)}</code> to <code>{escape(str(self.target))}</code>"
        legal = escape(", ".join(self.legal) or "nothing")
        return f"{asked}, {escape(self.reason or '')} <small>(legal now: {legal})</small>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Verdict):
            return NotImplemented
        same = self.chart is other.chart or self.chart.fingerprint == other.chart.fingerprint
        return same and self._facts() == other._facts()

    def __hash__(self) -> int:
        return hash((self.event, self.configuration))

    def _facts(self) -> tuple[object, ...]:
        return self.event, self.configuration, self.data, self.row, self.unmet

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
    def after(self) -> Configuration | None:
        """The configuration after the event; None if it is not accepted, or depends on data that were not given."""
        if self.row is None or self.data is None:
            return None
        return self.chart.after(self.configuration, self.row, self.data)

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
            asked = self.chart, self.configuration, self.event, None, self.data
            self._unmet = () if self.row is not None else _unmet(*asked)
        return self._unmet

    def _present(self) -> str:
        spoken = frozenset[str]().union(*(c.names() for c in self.unmet))
        values: Facts = {**self.chart.values(self.configuration), **(self.data or {})}
        return ", ".join(f"{n} is {label(one)}" for n, one in values.items() if n in spoken) or f"in {self.state}"

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
                rows = self.chart.rows_for(self.state, event)
                answers = {_some(row.guard, values, None, self.chart) for row in rows}
                found[event] = True in answers or (None if None in answers else False)
        self._undecided = tuple(str(event) for event in self.chart.events if found[event] is None)
        self._legal = tuple(str(event) for event in self.chart.events if found[event])

    def told(self, legal: tuple[str, ...]) -> None:
        """Take over the legal events, from one who has called every guard."""
        self._legal, self._undecided = legal, ()


class Change(NamedTuple):
    """A step without a session: the event, its row and data, and the configurations before and after it."""

    event: str
    row: Row
    before: Configuration
    after: Configuration
    data: Mapping[str, Datum]

    @property
    def source(self) -> str:
        """The state before the step."""
        return self.row.source

    @property
    def target(self) -> str:
        """The state after the step."""
        return self.row.target


class Refused(MachineError):
    """A trigger was not accepted.  Nothing has changed, and the session can be used as before.

    `verdict` says which event was refused in which state, which condition failed with which counts, and what is legal;
    `session` is the session that refused it for its listeners, and None elsewhere.
    """

    def __init__(self, verdict: Verdict, session: object = None) -> None:
        Exception.__init__(self, verdict)  # the message is only built if it is read
        self.verdict, self.session = verdict, session

    def __reduce__(self) -> tuple[type[Refused], tuple[Verdict]]:
        return type(self), (self.verdict,)

    def __getattr__(self, name: str) -> str:
        if name == "value":  # what transitions calls its message
            return str(self)
        raise AttributeError(name)

    def __str__(self) -> str:
        verdict = self.verdict
        legal = ", ".join(verdict.legal) or "nothing"
        perhaps = f"; perhaps {', '.join(verdict.undecided)}" if verdict.undecided else ""
        return f"cannot {verdict.event} while {verdict.state}: {verdict.reason} (legal now: {legal}{perhaps})"


def judge(
    chart: Chart,
    configuration: Configuration,
    event: Name,
    subject: object = None,
    data: Mapping[str, object] = NO_DATA,
) -> Verdict:
    """Return the verdict on an event with these data.  `subject` is what callable guards get.

    If the event needs data and there are none, the answer is whether some would be accepted; a callable guard that
    takes data counts as one that accepts some.  Only the guards of this event are called.
    UnknownEvent for any other name; DataError for wrong or incomplete data.
    """
    name = name_of(event)
    try:
        known = chart.event(name)
    except KeyError:
        raise UnknownEvent(chart.name, name, chart.events) from None
    given = known.complete(data) if data or not known.required else None
    values: Facts = {**chart.values(configuration), **(given or {})}
    rows = chart.rows_for(str(configuration[0]), name)
    if given is not None and (subject is None or not chart.opaque):  # nothing to solve, and nothing to call twice
        found = next((row for row in rows if row.guard.holds(values)), None)
        return Verdict(chart, name, configuration, found, None, given)
    failing = []
    for row in rows:
        missed = _failing(row.guard, values, subject, chart)
        if not missed:
            return Verdict(chart, name, configuration, row, (), given)
        failing.append(missed)
    return Verdict(chart, name, configuration, None, _common(failing), given)


def change(chart: Chart, configuration: Configuration, event: Name, data: Mapping[str, object]) -> Change:
    """Return the change by an event with these data.  Refused if it is not accepted; other errors as in `judge`."""
    if chart.has_event(event):
        chart.event(event).complete(data)
    verdict = judge(chart, configuration, event, None, data)
    if verdict.row is None or verdict.data is None or verdict.after is None:
        raise Refused(verdict)
    return Change(verdict.event, verdict.row, configuration, verdict.after, verdict.data)


def judge_all(chart: Chart, configuration: Configuration, subject: object = None) -> dict[str, Verdict]:
    """Return the verdict on every event, in the chart's order.  Each guard is called once at most."""
    found = {str(event): judge(chart, configuration, event, subject) for event in chart.events}
    if chart.opaque:
        legal = tuple(event for event, verdict in found.items() if verdict)
        for verdict in found.values():
            verdict.told(legal)
    return found


def refusal(
    chart: Chart,
    configuration: Configuration,
    event: str,
    subject: object = None,
    data: Mapping[str, Datum] | None = NO_DATA,
) -> Verdict:
    """Return the verdict on an event that is known not to be accepted with these data, or with any if they are None."""
    rows = chart.rows_for(str(configuration[0]), event)
    if not any(is_opaque(row.guard) for row in rows):  # the reason is only computed if it is read
        return Verdict(chart, event, configuration, None, None, data)
    # a callable guard must be called now: later, the subject will have changed
    return Verdict(chart, event, configuration, None, _unmet(chart, configuration, event, subject, data), data)


def _unmet(
    chart: Chart, configuration: Configuration, event: str, subject: object, data: Mapping[str, Datum] | None
) -> tuple[Condition, ...]:
    values: Facts = {**chart.values(configuration), **(data or {})}
    rows = chart.rows_for(str(configuration[0]), event)
    failing = []
    for guard in (row.guard for row in rows):
        callables = [part for part in _parts(guard) if is_opaque(part)]
        failing.append(_failing(guard, values, subject, chart) or callables)  # or one has changed its mind
    return _common(failing)


def _common(failing: list[list[Condition]]) -> tuple[Condition, ...]:
    """What fails in every row; if nothing does, one row or another would suffice."""
    if not failing:
        return ()
    in_all = tuple(part for part in failing[0] if all(part in other for other in failing[1:]))
    return in_all or (_either([All(*parts) for parts in failing]),)


def _parts(guard: Condition) -> tuple[Condition, ...]:
    return guard.parts() if isinstance(guard, All) else (guard,)


def _failing(guard: Condition, values: Facts, subject: object, chart: Chart) -> list[Condition]:
    """The parts that do not hold.  A callable is called only if all others hold, since it may rely on them."""
    parts = _parts(guard)
    data = [part for part in parts if not is_opaque(part)]
    failing = [part for part in data if _some(part, values, None, chart) is False]
    if failing or _some(All(*data), values, None, chart) is False:
        return failing or data  # each would hold for some data, and all of them for none
    return [part for part in parts if is_opaque(part) and _some(part, values, subject, chart) is False]


def _some(guard: Condition, values: Facts, subject: object, chart: Chart) -> bool | None:
    """Whether a condition holds for some data; None if a callable decides that which has not been called.

    None, too, if the solver does not know.
    `values` are those that are known, and `subject` is what callables get; None if they are not to be called.
    """
    rest = _rest(guard, values, subject)
    if not rest.names() and not is_opaque(rest):
        return rest.holds({})
    from fsm.solver import NotKnown, possible  # only for an event with data, or a callable that is not called

    try:
        found = possible(rest, chart)
    except NotKnown:
        return None
    return False if found is None else None if is_opaque(rest) else True


def _rest(guard: Condition, values: Facts, subject: object) -> Condition:
    """What a condition still demands of the data when these values are known."""
    if isinstance(guard, Opaque):
        asked = subject is not None and all(name in values for name in guard.takes)
        return _constant(guard.holds(values, subject)) if asked else guard
    if isinstance(guard, Compare):
        left = tuple(term for term in guard.terms if term[0] not in values)
        known = add(tuple(term for term in guard.terms if term[0] in values), values)
        unknown = Compare(left, guard.op, guard.bound - known)
        return unknown if left else _constant(unknown.holds({}))
    if not isinstance(guard, (All, AnyOf)):
        return _constant(guard.holds(values))
    decisive = _constant(isinstance(guard, AnyOf))  # one such part decides
    parts: list[Condition] = []
    for part in sorted(guard.parts(), key=is_opaque):  # a callable may rely on the others
        if (rest := _rest(part, values, subject)) == decisive:
            return decisive
        parts.append(rest)
    return type(guard)(*(part for part in parts if part.parts() or isinstance(part, (Opaque, Compare))))


def _constant(holds: bool) -> Condition:
    return ALWAYS if holds else AnyOf()


def _either(options: list[All]) -> Condition:
    either: Condition = options[0]
    for option in dict.fromkeys(options[1:]):
        either = either | option
    return either


def _text(guard: Condition) -> str:
    return f"({guard})" if " or " in str(guard) else str(guard)
