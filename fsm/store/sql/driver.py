"""The drivers: SQL for the committing thread, as SQLite and PostgreSQL want it.

Theory.
1. A statement is written once for both, with `?` for a value and `?*` after a column for "one of these"; a list is one
   parameter, so the text is the same for a list of any length.  Where the two differ in more than that, the caller has
   two texts.  SQLAlchemy makes the connections and the tables; its work around a statement takes longer than SQLite's.
2. Several new rows are one statement: between two statements another thread may take the GIL, and keep it for
   milliseconds.
3. On PostgreSQL a transaction is a pipeline: statements without results are sent together, and only a result, or the
   commit, is waited for.
4. Several processes that write a SQLite file wait for each other by trying again every millisecond.  SQLite's own
   waiting grows to a tenth of a second, and starves those who wait longest.
"""

from __future__ import annotations

import json
import select
import sqlite3
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Final, Protocol

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

if TYPE_CHECKING:
    import psycopg

__all__ = ["Driver", "driver_for"]

TRY_AGAIN: Final = 0.001
"""Seconds between attempts to begin a transaction in a file that another process is writing."""
LOCKED: Final = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
MOST_VALUES: Final = 900
"""Values in one statement."""
FENCE: Final = "SELECT 1 / count(*) FROM (SELECT 1 FROM fsm_processes WHERE number = ? FOR KEY SHARE) AS alive"
Rows = list[tuple[Any, ...]]


class Driver(Protocol):
    """A connection, and how its database wants to be asked.

    `wrote` is true if the transaction may have changed rows.
    """

    postgresql: bool
    wrote: bool

    def begin(self, fence: int | None) -> bool:
        """Begin a transaction.  With a fence it fails unless there is a process of this number; False if it knows."""

    def run(self, text: str, *values: object) -> None:
        """Execute a statement without a result."""

    def fetch(self, text: str, *values: object) -> Rows:
        """Execute a statement and return all rows of its result."""

    def each(self, text: str, rows: Sequence[Sequence[object]]) -> None:
        """Execute a statement without a result for each of these rows of values."""

    def insert(self, table: sa.Table, columns: str, rows: Sequence[Sequence[object]], more: str = "") -> Rows:
        """Insert these rows, given as the values of these columns; return what a `more` with RETURNING says of them."""

    def commit(self) -> None:
        """Commit."""

    def rollback(self) -> None:
        """Roll back, as far as that is possible."""


class _Sqlite:
    postgresql, wrote = False, False

    def __init__(self, connection: sqlite3.Connection, patience: float) -> None:
        self._connection, self._patience = connection, patience
        self._waits = True

    def begin(self, fence: int | None) -> bool:
        if self._waits:
            self._connection.execute("PRAGMA busy_timeout = 0")  # theory 4
            self._waits = False
        until, self.wrote = time.monotonic() + self._patience, False
        while True:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                break
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode not in LOCKED or time.monotonic() >= until:
                    raise
            select.select((), (), (), TRY_AGAIN)  # what `time.sleep` waits for fails under libfaketime
        return fence is None or bool(self.fetch("SELECT 1 FROM fsm_processes WHERE number = ?", fence))

    def run(self, text: str, *values: object) -> None:
        self.wrote = True
        self._connection.execute(_for_sqlite(text), [json.dumps(one) if type(one) is list else one for one in values])

    def fetch(self, text: str, *values: object) -> Rows:
        self.wrote = self.wrote or not text.startswith("SELECT")
        bound = [json.dumps(one) if type(one) is list else one for one in values]
        return self._connection.execute(_for_sqlite(text), bound).fetchall()

    def each(self, text: str, rows: Sequence[Sequence[object]]) -> None:
        self.wrote = True
        self._connection.executemany(_for_sqlite(text), rows)

    def insert(self, table: sa.Table, columns: str, rows: Sequence[Sequence[object]], more: str = "") -> Rows:
        self.wrote = True
        found: Rows = []
        most = MOST_VALUES // len(rows[0])
        for start in range(0, len(rows), most):
            some = rows[start : start + most]
            text, values = _insert(table.name, columns, len(some)), [value for row in some for value in row]
            found += self._connection.execute(f"{text} {more}", values).fetchall()
        return found

    def commit(self) -> None:
        self._connection.execute("COMMIT")

    def rollback(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")


class _Postgresql:
    postgresql, wrote = True, False

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        connection.autocommit = True  # the transactions are our own statements
        self._pipeline: Any = None

    def begin(self, fence: int | None) -> bool:
        self._pipeline = self._connection.pipeline()
        self._pipeline.__enter__()
        self._connection.cursor().execute(b"BEGIN ISOLATION LEVEL READ COMMITTED", prepare=False)
        if fence is not None:  # without its row the division fails; nobody has to wait for the result
            self.run(FENCE, fence)
        self.wrote = False
        return True

    def run(self, text: str, *values: object) -> None:
        self.wrote = True
        self._connection.cursor(binary=True).execute(_for_postgresql(text), values)

    def fetch(self, text: str, *values: object) -> Rows:
        self.wrote = self.wrote or not text.startswith("SELECT")
        return self._connection.cursor(binary=True).execute(_for_postgresql(text), values).fetchall()

    def each(self, text: str, rows: Sequence[Sequence[object]]) -> None:
        self.wrote = True
        self._connection.cursor(binary=True).executemany(_for_postgresql(text), rows)

    def insert(self, table: sa.Table, columns: str, rows: Sequence[Sequence[object]], more: str = "") -> Rows:
        text, self.wrote = _unnest(table, columns, more), True
        cursor, values = self._connection.cursor(binary=True), [list(values) for values in zip(*rows, strict=True)]
        cursor.execute(text, values)
        return cursor.fetchall() if more else []  # whose result is not wanted is not waited for

    def commit(self) -> None:
        self._connection.cursor().execute(b"COMMIT", prepare=False)
        self._end()

    def rollback(self) -> None:
        with suppress(Exception):
            self._end()
        self._connection.rollback()

    def _end(self) -> None:
        pipeline, self._pipeline = self._pipeline, None
        if pipeline is not None:
            pipeline.__exit__(None, None, None)


def driver_for(connection: Any, patience: float) -> Driver:
    """Return the driver of a connection of the one or the other database."""
    if isinstance(connection, sqlite3.Connection):
        return _Sqlite(connection, patience)
    return _Postgresql(connection)


@lru_cache(maxsize=512)
def _for_sqlite(text: str) -> str:
    return text.replace("?*", "IN (SELECT value FROM json_each(?))")


@lru_cache(maxsize=512)
def _for_postgresql(text: str) -> Any:
    return text.replace("?*", "= ANY(?)").replace("?", "%s").encode()


@lru_cache(maxsize=1024)
def _insert(table: str, columns: str, rows: int) -> str:
    row = f"({', '.join('?' * (columns.count(',') + 1))})"
    return f"INSERT INTO {table} ({columns}) VALUES {', '.join([row] * rows)}"


@cache
def _unnest(table: sa.Table, columns: str, more: str) -> Any:
    dialect: Any = postgresql
    dialect = dialect.dialect()
    types = [table.c[name.strip()].type.compile(dialect=dialect) for name in columns.split(",")]
    lists = ", ".join(f"%s::{one}[]" for one in types)
    return f"INSERT INTO {table.name} ({columns}) SELECT * FROM unnest({lists}) {more}".encode()
