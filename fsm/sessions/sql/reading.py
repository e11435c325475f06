"""Reading sessions: one of them, a list, the history of one, and all steps in the order of commits.

Theory.
1. Reading takes no lock, and sees what was committed.
2. A follower reads the steps in the order of their numbers.  On PostgreSQL a transaction may commit after one that got
   later numbers.  So a follower reads in *batches*: those transactions that began before every one that is still under
   way.  A batch is complete for ever, and within it the steps of a session are in their order, because a transaction
   that changes a session has begun to number its steps when the one before it had ended.
   Of two sessions whose transactions were under way at the same time either may come first.
3. A position says in which batch a step is, and its number: whoever goes on after it gets the rest of the same batch.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from fsm.sessions.answer import Answer, to_json
from fsm.sessions.place import Stored
from fsm.sessions.sql.schema import require
from fsm.sessions.sql.statements import COLUMNS, STEP_COLUMNS, answer_of, session_id
from fsm.store.errors import StorageError
from fsm.store.sql.connect import autocommit_connection, display_name, engine_for, is_sqlite, storage_errors
from fsm.store.sql.driver import Driver, driver_for

__all__ = ["Follower", "Listed", "Reader"]

PAGE: Final = 500
"""Rows that are fetched at a time."""
LOAD: Final = f"SELECT {COLUMNS} FROM fsm_sessions WHERE id = ?"
KNOWN: Final = f"SELECT {STEP_COLUMNS} FROM fsm_session_steps WHERE event_id = ? AND session = ?"
HISTORY: Final = (
    f"SELECT {STEP_COLUMNS} FROM fsm_session_steps WHERE session = ? AND seq > ? ORDER BY seq LIMIT {PAGE}"
)
AS_OF: Final = f"SELECT {STEP_COLUMNS} FROM fsm_session_steps WHERE session = ? AND at <= ? ORDER BY seq DESC LIMIT 1"
DUE: Final = "SELECT name, due FROM fsm_sessions WHERE chart = ? AND due IS NOT NULL ORDER BY due LIMIT ?"
LISTED: Final = (
    "SELECT id, name, chart, fingerprint, seq, state, vals, entered, due, made FROM fsm_sessions WHERE id > ? {where}"
    f" ORDER BY id LIMIT {PAGE}"
)
FOLLOW: Final = (
    f"SELECT s.name, t.number, {', '.join(f't.{one}' for one in STEP_COLUMNS.split(', '))} FROM fsm_session_steps t"
    " JOIN fsm_sessions s ON s.id = t.session WHERE s.chart = ? AND"
)
AFTER: Final = f"{FOLLOW} t.number > ? ORDER BY t.number LIMIT {PAGE}"
BATCH: Final = f"{FOLLOW} t.xid >= ? AND t.xid < ? AND t.number > ? ORDER BY t.number LIMIT {PAGE}"
SETTLED: Final = "SELECT CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint)"
PENDING: Final = "SELECT 1 FROM fsm_session_steps WHERE xid >= ? LIMIT 1"
LAST: Final = "SELECT coalesce(max(number), 0) FROM fsm_session_steps"


class Listed(NamedTuple):
    """A session in a list; times in seconds since 1970.  `due` is when an event is due, None if there is none."""

    key: str
    chart: str
    fingerprint: str
    seq: int
    state: str
    values: dict[str, Any]
    entered: float
    due: float | None
    made: float


class Reader:
    """Reads the sessions of a database, from any thread.  StorageError if they cannot be read."""

    def __init__(self, url: sa.URL, patience: float, *, only: bool = False) -> None:
        """With `only` this program writes nothing there, and the sessions have to be there already."""
        self.url = url
        self._engine = engine_for(url, patience, reading=only)
        self._closed, self._lock = False, Lock()
        if only:
            with storage_errors(url), self._engine.connect() as connection:
                require(connection, url)

    @contextmanager
    def _driver(self) -> Iterator[Driver]:
        with storage_errors(self.url):
            if self._closed:
                raise StorageError(f"the sessions in {display_name(self.url)} were closed")
            connection = autocommit_connection(self._engine)
            try:
                yield driver_for(connection.connection.driver_connection, 0.0)
            finally:
                with self._lock:
                    if self._closed:  # meanwhile, so the pool would keep it open
                        connection.invalidate()
                    connection.close()

    def fetch(self, text: str, *values: object) -> Sequence[Sequence[Any]]:
        """Return the rows that a statement answers."""
        with self._driver() as driver:
            return driver.fetch(text, *values)

    def stored(self, chart: str, key: str) -> Stored | None:
        """Return a session's row, or None."""
        return next((Stored(*row) for row in self.fetch(LOAD, session_id(chart, key))), None)

    def known(self, chart: str, key: str, event_id: str) -> Answer | None:
        """Return what was answered under an event id, or None."""
        rows = self.fetch(KNOWN, to_json(event_id), session_id(chart, key))
        return next((answer_of(key, row) for row in rows), None)

    def due(self, chart: str, most: int) -> list[tuple[str, float]]:
        """Return the keys of the sessions in which something is due first, with the times."""
        return [(json.loads(name), due) for name, due in self.fetch(DUE, chart, most)]

    def history(self, chart: str, key: str) -> Iterator[Answer]:
        """Yield the answers that are kept of a session, oldest first."""
        last, id = 0, session_id(chart, key)
        while rows := self.fetch(HISTORY, id, last):
            yield from (answer_of(key, row) for row in rows)
            last = rows[-1][0]

    def as_of(self, chart: str, key: str, moment: float) -> Answer | None:
        """Return the last answer of a session up to a moment; None if there is none that is kept."""
        return next((answer_of(key, row) for row in self.fetch(AS_OF, session_id(chart, key), moment)), None)

    def sessions(
        self, chart: str | None = None, state: str | None = None, *, other_than: str | None = None,
        entered_before: float | None = None,
    ) -> Iterator[Listed]:  # fmt: skip
        """Yield the sessions of a chart (None: of all), in a state, of another fingerprint than this one.

        With `entered_before`, a time in seconds since 1970, those that have been in their state since before it.
        """
        given: dict[str, str | float | None] = {
            "chart = ?": chart, "state = ?": state, "fingerprint <> ?": other_than, "entered < ?": entered_before,
        }  # fmt: skip
        text = LISTED.format(where="".join(f" AND {one}" for one, value in given.items() if value is not None))
        values, last = [one for one in given.values() if one is not None], ""
        while rows := self.fetch(text, last, *values):
            for _, name, of, fingerprint, seq, where, vals, entered, due, made in rows:
                yield Listed(json.loads(name), of, fingerprint, seq, where, json.loads(vals), entered, due, made)
            last = rows[-1][0]

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            self._closed = True
            self._engine.dispose()


class Follower:
    """Reads the steps of a chart's sessions in the order of commits, from a position on (None: from now on).

    ValueError for what is no position.
    """

    def __init__(self, reader: Reader, chart: str, position: str | None) -> None:
        self._reader, self._chart = reader, chart
        self._sqlite = is_sqlite(reader.url)
        self.pending = False
        """Whether steps wait for a transaction that is under way, so that `more` has to be called again soon."""
        self._low = self._high = self._number = 0
        """The batch that is being read, and the last number read of it; in a SQLite file there is no batch."""
        if position is not None:
            self._low, self._high, self._number = _position(position)
        elif self._sqlite:
            self._number = reader.fetch(LAST)[0][0]
        else:
            self._low = self._high = reader.fetch(SETTLED)[0][0]

    def more(self) -> list[Answer]:
        """Return what is new, some hundreds at most; empty if nothing is."""
        if self._sqlite:
            return self._answers(self._reader.fetch(AFTER, self._chart, self._number))
        while True:
            if self._high > self._low:
                if rows := self._reader.fetch(BATCH, self._chart, self._low, self._high, self._number):
                    return self._answers(rows)
                self._low, self._number = self._high, 0
            settled = self._reader.fetch(SETTLED)[0][0]
            if settled <= self._high:
                self.pending = bool(self._reader.fetch(PENDING, self._high))
                return []
            self._high = settled

    def _answers(self, rows: Sequence[Sequence[Any]]) -> list[Answer]:
        found = []
        for name, number, *row in rows:
            self._number = number
            one = answer_of(json.loads(name), row)
            fields: dict[str, Any] = {field: getattr(one, field) for field in Answer.__slots__}
            found.append(Answer(**fields | {"position": f"{self._low}-{self._high}-{number}"}))
        return found


def _position(text: str) -> tuple[int, int, int]:
    parts = text.split("-") if isinstance(text, str) else []
    if len(parts) != 3 or not all(one.isascii() and one.isdecimal() and len(one) < 20 for one in parts):
        problem = "is no position of follow(): take that of an answer it has told of, or 0-0-0 for all"
        raise ValueError(f"{text!r} {problem}")
    return int(parts[0]), int(parts[1]), int(parts[2])
