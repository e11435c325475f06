"""One session within a transaction: as it was loaded, what has happened to it since, and what has to be written.

Theory.
1. A session is what its row says: a configuration of a chart, since when it has been in its state, and how much of what
   was due there has been fired.  A row of an older chart is moved by the migrations when it is loaded, and the move is
   recorded with the first event after it.
2. Every event is answered and recorded, a refused one with its reason.  An event under an id that was answered before
   gets that answer again, and nothing happens.
3. A step that a listener posts is recorded as an event of its own, without an id.  If a listener raises before the
   effects, nothing is recorded; if it raises after them, the step stands, and the error reaches whoever fired.
4. Messages belong to the event that was fired before them.  If that had been answered before, they are not submitted:
   the same event can be delivered again without sending its messages again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Generic, NamedTuple, TypeVar

from fsm.chart import Chart
from fsm.condition import Datum
from fsm.errors import SnapshotError, UnknownEvent
from fsm.session import Session, Step
from fsm.sessions.answer import Answer, event_text, to_json
from fsm.sessions.errors import IdReused
from fsm.snapshot import REMEDY, Migrates, encode
from fsm.store.message import Message, checked_headers, new_id
from fsm.verdict import Refused

__all__ = ["LONGEST_ID", "Place", "Stored", "check_event_id", "restored", "snapshot_of"]

S = TypeVar("S", bound=Session)
LONGEST_ID: Final = 255
"""Characters of an event id."""


class Stored(NamedTuple):
    """A session's row: see `sql/schema.py`."""

    fingerprint: str
    seq: int
    state: str
    values: str
    entered: float
    fired: float
    due: float | None
    made: float


class _Taken(NamedTuple):
    """A step that was taken."""

    event: str
    data: Mapping[str, Datum]
    state: str
    values: str
    leaves: bool


class Place(Generic[S]):
    """A session and what has happened to it.  `known` are the answers to event ids, as far as they have been read."""

    def __init__(
        self, cls: type[S], key: str, stored: Stored | None, known: Iterable[Answer], migrations: Sequence[Migrates],
        now: float,
    ) -> None:  # fmt: skip
        self.key, self.loaded, self.now = key, stored.seq if stored is not None else 0, now
        self.answers: list[Answer] = []
        """What has to be recorded."""
        self.messages: list[Message] = []
        self.dirty = False
        self.known = {one.event_id: one for one in known}
        self._chart: Chart = cls.chart
        if stored is None:
            self.session = cls()
            self.seq, self.made, self.entered, self.fired = 0, now, now, 0.0
        else:
            self.session = restored(cls, key, stored, migrations)
            self.seq, self.made, self.entered, self.fired = stored.seq, stored.made, stored.entered, stored.fired
        self.stands = self.session.configuration
        self._taken: list[_Taken] = []
        self._sending = True
        self._listens = self.session.has_listeners or any(state.after for state in self._chart.states)
        if self._listens:
            self.session.listen(self, only=("on_step",))
        if stored is not None and stored.fingerprint != self._chart.fingerprint:
            self.fired = 0.0 if self.session.due else self.fired
            self._record("", {}, None, None, None)
        bind = getattr(self.session, "_bind", None)
        if bind is not None:
            bind(self)

    # ------------------------------------------------------------------------------------------------------ events

    def fire(self, event: str, data: Mapping[str, object], event_id: str | None, note: str | None) -> Answer:
        """Fire an event and return the answer.  UnknownEvent, DataError, IdReused, or what a listener raises."""
        event = str(event)
        if event not in self._chart.events:
            raise UnknownEvent(self._chart.name, event, self._chart.events)
        complete = dict(self._chart.event(event).complete(data))
        if event_id is not None and (first := self.known.get(event_id)) is not None:
            if first.event != event or not self._same_data(first, complete):
                asked = event_text(event, complete)
                raise IdReused(self.key, event_id, event_text(first.event, first.data), asked)
            self._sending = False
            return _again(first)
        self.check()
        reason: str | None = None
        failure: Exception | None = None
        messages = len(self.messages)
        self._sending = True
        try:
            self.session.fire(event, **complete)
        except Refused as refusal:
            if refusal.verdict.chart is not self._chart or refusal.verdict.event != event or self._taken:
                failure = refusal
            else:
                reason = refusal.verdict.reason or ""
        except Exception as error:
            failure = error
        moved = self.session.configuration != self.stands
        if failure is not None and not (moved or self._taken):
            del self.messages[messages:]
            raise failure
        taken = self._taken or [self._present(event, complete)]
        self._taken = []
        own, *others = taken
        answer = self._record(event, complete, reason, event_id, note, own if reason is None else None)
        for one in others:
            self._record(one.event, one.data, None, None, None, one)
        self.stands = self.session.configuration
        if failure is not None:
            raise failure
        return answer

    def _same_data(self, first: Answer, complete: Mapping[str, Datum]) -> bool:
        """Return whether an event was answered with these data; an older chart may have known fewer of them."""
        given = complete if first.fingerprint == self._chart.fingerprint else {n: complete.get(n) for n in first.data}
        return dict(first.data) == given

    def fire_due(self) -> None:
        """Fire what is due, in order.  What a listener raises, once everything has been recorded."""
        failures: list[Exception] = []
        while (due := self.due()) is not None and due <= self.now:
            self.fired, event = next((after, e) for after, e in self.session.due.items() if after > self.fired)
            self.dirty = True
            try:
                self.fire(event, {}, None, "due")
            except Exception as error:
                failures.append(error)
        if failures:
            raise failures[0]

    def due(self) -> float | None:
        """Return when the next event is due, in seconds since 1970."""
        return next((self.entered + after for after in self.session.due if after > self.fired), None)

    def submit(
        self, content: bytes, sender: str, recipients: Sequence[str], headers: Mapping[str, str] | None
    ) -> str | None:
        """Submit a message with this transaction; return its id, or None if its event was repeated (theory 4)."""
        if not isinstance(content, bytes):
            raise TypeError(f"the content of a message is bytes, not {type(content).__name__}")
        if isinstance(recipients, str):
            raise TypeError(f"recipients are several strings, not one: ({recipients!r},)")
        kept = checked_headers(headers)
        if not self._sending:
            return None
        message = Message(new_id(), content, sender, tuple(recipients), self.now, headers=kept)
        self.messages.append(message)
        return message.id

    def check(self) -> None:
        """Raise RuntimeError if the session was stepped behind our back, so that nothing could be recorded."""
        if self._taken or self.session.configuration != self.stands:
            raise RuntimeError(f"session {self.key!r} was fired itself; fire its events by the transaction: tx.fire(…)")

    def on_step(self, step: Step) -> None:
        """Take note of a step."""
        after = encode(self._chart, step.after)
        values = to_json(after["values"])
        self._taken.append(_Taken(step.event, dict(step.data), str(step.after[0]), values, step.row.leaves))

    # --------------------------------------------------------------------------------------------------- recording

    def _present(self, event: str, data: Mapping[str, Datum]) -> _Taken:
        state, values = self.row()
        return _Taken(event, data, state, values, state != self.stands[0])

    def _record(
        self, event: str, data: Mapping[str, Datum], reason: str | None, event_id: str | None, note: str | None,
        taken: _Taken | None = None,
    ) -> Answer:  # fmt: skip
        state, values = (taken.state, taken.values) if taken is not None else self.row()
        if taken is not None and taken.leaves:
            self.entered, self.fired = self.now, 0.0
        self.seq += 1
        self.dirty = True
        fingerprint = self._chart.fingerprint
        answer = Answer(
            self.key, self.seq, event, data, reason, state, json.loads(values), self.now, fingerprint, event_id, note
        )
        self.answers.append(answer)
        if event_id is not None:
            self.known[event_id] = answer
        return answer

    def row(self) -> tuple[str, str]:
        """Return the state and the values as they are stored."""
        now = encode(self._chart, self.session.configuration)
        return str(now["state"]), to_json(now["values"])


def _again(answer: Answer) -> Answer:
    fields: dict[str, Any] = {name: getattr(answer, name) for name in Answer.__slots__}
    return Answer(**fields | {"repeated": True})


def check_event_id(event_id: object) -> None:
    """Raise ValueError unless this is an event id, or None."""
    if event_id is None:
        return
    if not isinstance(event_id, str) or not 0 < len(event_id) <= LONGEST_ID:
        shown = f"{event_id[:20]!r}…" if isinstance(event_id, str) and event_id else repr(event_id)
        raise ValueError(f"an event id is a text of 1 to {LONGEST_ID} characters, not {shown}")


def snapshot_of(chart: Chart, stored: Stored) -> dict[str, object]:
    """Return a session's row as a snapshot."""
    return {
        "snapshot": 1, "chart": chart.name, "fingerprint": stored.fingerprint, "state": stored.state,
        "values": json.loads(stored.values),
    }  # fmt: skip


def restored(cls: type[S], key: str, stored: Stored, migrations: Sequence[Migrates]) -> S:
    """Return the session of a row.  SnapshotError if it is of a chart from which no migration leads here."""
    try:
        return cls.restore(snapshot_of(cls.chart, stored), migrations)
    except SnapshotError as error:
        problem = f"session {key!r} cannot be loaded: {error.problem}"
        if stored.fingerprint != cls.chart.fingerprint and not problem.endswith(REMEDY):
            problem += " (Sessions(..., migrations=...) moves it)" if not migrations else ""
        raise SnapshotError(cls.chart.name, problem, error.expected, error.found) from None
