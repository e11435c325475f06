"""A transaction of sessions as statements: lock the keys, load their rows, do what was asked, write what came of it.

Theory.
1. The statements are yielded, and whoever runs them sends back what they answer.  So the same function commits many
   requests in a transaction of our own, and one in the transaction of a caller, awaited or not.
2. On PostgreSQL a session is locked by an advisory lock of its id, which also works for one that is not there yet.  A
   transaction of many sessions passes over those that are locked elsewhere, so that a step of one never waits for
   another's, and nothing can deadlock.  A SQLite file has one writer, which holds the lock of all.
3. What a request raises concerns that request: its session stays as it was for the next one in the same transaction.
4. If two transactions ever recorded the same number of a session, the second would fail by a unique index.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from collections.abc import Generator, Iterable, Sequence
from hashlib import blake2b
from typing import Any, Final, Generic, NamedTuple, TypeVar

from fsm.session import Session
from fsm.sessions.answer import Answer, to_json
from fsm.sessions.place import Place, Stored
from fsm.sessions.request import Request
from fsm.snapshot import Migrates
from fsm.store.errors import StorageError
from fsm.store.message import Message
from fsm.store.sql.messages import encoded_headers, storable

__all__ = ["COLUMNS", "STEP_COLUMNS", "Kind", "Statement", "answer_of", "session_id", "transact"]

S = TypeVar("S", bound=Session)
COLUMNS: Final = "fingerprint, seq, state, vals, entered, fired, due, made"
STEP_COLUMNS: Final = "seq, event, data, reason, state, vals, at, fingerprint, event_id, note"

TRY_LOCK: Final = "SELECT one, pg_try_advisory_xact_lock(one) FROM unnest(CAST(? AS bigint[])) AS one"
LOCK: Final = "SELECT pg_advisory_xact_lock(?)"
LOAD: Final = f"SELECT id, {COLUMNS} FROM fsm_sessions WHERE id ?*"
KNOWN: Final = f"SELECT session, {STEP_COLUMNS} FROM fsm_session_steps WHERE event_id ?* AND session ?*"
SAVE: Final = (
    "INSERT INTO fsm_sessions (id, chart, name, fingerprint, seq, state, vals, entered, fired, due, made)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET fingerprint = excluded.fingerprint,"
    " seq = excluded.seq, state = excluded.state, vals = excluded.vals, entered = excluded.entered,"
    " fired = excluded.fired, due = excluded.due"
)
RECORD: Final = (
    "INSERT INTO fsm_session_steps (session, seq, at, fingerprint, event, data, reason, state, vals, event_id, note)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
STORE: Final = "SELECT number FROM fsm_stores WHERE store = ? AND profile = ?"
NEW_STORE: Final = "INSERT INTO fsm_stores (store, profile) VALUES (?, ?) ON CONFLICT DO NOTHING"
MESSAGE: Final = (
    "INSERT INTO fsm_messages (id, store, state, attempts, uncertain, submitted, sender, recipients, headers)"
    " VALUES (?, ?, 'ready', 0, 0, ?, ?, ?, ?)"
)
CONTENT: Final = "INSERT INTO fsm_contents (id, content) VALUES (?, ?)"
Rows = Sequence[Sequence[Any]]


class Statement(NamedTuple):
    """A statement with `?` for values, and the values: of each of several rows, or of one whose result is wanted."""

    text: str
    rows: Sequence[Sequence[object]]
    fetches: bool = False


class Kind(NamedTuple, Generic[S]):
    """The sessions of a class in a database, and the store that their messages go to."""

    cls: type[S]
    migrations: Sequence[Migrates]
    store: str
    profile: str
    postgresql: bool


def session_id(chart: str, key: str) -> str:
    """Return the id of a session's row."""
    digest = blake2b(f"{len(chart)} {chart}{key}".encode("utf-8", "surrogatepass"), digest_size=15).digest()
    return urlsafe_b64encode(digest).decode()


def answer_of(key: str, row: Sequence[Any]) -> Answer:
    """Return the answer that a row of `STEP_COLUMNS` records."""
    seq, event, data, reason, state, values, at, fingerprint, event_id, note = row
    known = json.loads(event_id) if event_id is not None else None
    return Answer(key, seq, event, json.loads(data), reason, state, json.loads(values), at, fingerprint, known, note)


def transact(
    kind: Kind[S], requests: Iterable[Request[S]], now: float, *, waits: bool = False
) -> Generator[Statement, Rows, Done[S]]:
    """Take the steps of a transaction for these requests.  With `waits`, wait for locked sessions."""
    wanted: dict[str, list[Request[S]]] = {}
    for request in requests:
        wanted.setdefault(session_id(kind.cls.chart.name, request.key), []).append(request)
    locked: list[Request[S]] = []
    if kind.postgresql:
        numbers = {_lock_number(id): id for id in wanted}
        if waits:
            for number in sorted(numbers):
                yield Statement(LOCK, [(number,)], fetches=True)
        else:
            for number, free in (yield Statement(TRY_LOCK, [(list(numbers),)], fetches=True)):
                if not free:
                    locked += wanted.pop(numbers[number])
    rows = (yield Statement(LOAD, [(list(wanted),)], fetches=True)) if wanted else ()
    stored = {id: Stored(*row) for id, *row in rows}
    names = {one.event_id for group in wanted.values() for one in group if one.event_id is not None}
    known: dict[str, list[Answer]] = {}
    old = [id for id in wanted if id in stored]
    if names and old:
        for id, *row in (yield Statement(KNOWN, [([to_json(name) for name in sorted(names)], old)], fetches=True)):
            known.setdefault(id, []).append(answer_of(wanted[id][0].key, row))
    places: dict[str, Place[S]] = {}
    for id, group in wanted.items():
        for request in group:
            try:
                if id not in places:
                    places[id] = Place(kind.cls, request.key, stored.get(id), known.get(id, ()), kind.migrations, now)
                places[id] = request.context.run(request.run, places[id])
            except Exception as error:
                request.failure = error
    changed = {id: place for id, place in places.items() if place.dirty}
    number = 0
    if changed:
        yield Statement(SAVE, [_row(id, kind.cls.chart.name, place) for id, place in changed.items()])
        yield Statement(RECORD, [_step(id, one) for id, place in changed.items() for one in place.answers])
        messages = [one for place in changed.values() for one in place.messages]
        if messages:
            number = yield from _store_number(kind)
            yield Statement(MESSAGE, [_message(number, one) for one in messages])
            yield Statement(CONTENT, [(one.id, one.content) for one in messages])
    return Done(locked, list(changed.values()), number)


class Done(NamedTuple, Generic[S]):
    """What came of a transaction: requests whose sessions are locked elsewhere, and the sessions that have changed.

    `store` is the number of the store that got messages, 0 if none did.
    """

    locked: list[Request[S]]
    changed: list[Place[S]]
    store: int


def _store_number(kind: Kind[S]) -> Generator[Statement, Rows, int]:
    find = Statement(STORE, [(kind.store, kind.profile)], fetches=True)
    if not (found := (yield find)):
        yield Statement(NEW_STORE, [(kind.store, kind.profile)])
        found = yield find
    if not found:
        raise StorageError(f"another transaction is making the store {kind.store!r}; try again", busy=True)
    number: int = found[0][0]
    return number


def _lock_number(id: str) -> int:
    return int.from_bytes(blake2b(id.encode(), digest_size=8).digest(), signed=True)


def _message(store: int, one: Message) -> tuple[object, ...]:
    return one.id, store, one.submitted, to_json(one.sender), to_json(one.recipients), encoded_headers(one)


def _row(id: str, chart: str, place: Place[S]) -> tuple[object, ...]:
    state, values = place.row()
    return (
        id, chart, to_json(place.key), place.session.chart.fingerprint, place.seq, state, values, place.entered,
        place.fired, place.due(), place.made,
    )  # fmt: skip


def _step(id: str, one: Answer) -> tuple[object, ...]:
    event_id = to_json(one.event_id) if one.event_id is not None else None
    return (
        id, one.seq, one.at, one.fingerprint, one.event, to_json(one.data), storable(one.reason), one.state,
        to_json(one.values), event_id, storable(one.note),
    )  # fmt: skip
