"""Messages that a program submits in its own transaction: there when it commits, and gone when it rolls back.

Theory.
1. The program's connection inserts the rows of a ready message that belongs to no part of the queue.  Whoever looks at
   the store next takes it in, as it does with what others have left behind, and only then does the session count it.
2. PostgreSQL delivers a notification when the transaction that gave it commits.  A SQLite file has one writer: who
   waits to write it goes on when the program's transaction ends, and looks then.
3. Nothing is inserted unless the connection leads to the database of the store: the same file; or a database of the
   same number on the server that started at the same microsecond.
"""

from __future__ import annotations

import json
import re
import sqlite3
import sys
from collections.abc import Awaitable, Callable, Generator
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, TypeAlias

import sqlalchemy as sa

from fsm.store.errors import StorageError
from fsm.store.message import Message
from fsm.store.sql.messages import encoded_headers
from fsm.store.sql.notify import CHANNEL
from fsm.store.storage import Rows, Steps

__all__ = ["FILE", "SERVER", "Identity", "Query", "deposit", "identity_of", "over"]

Query: TypeAlias = Callable[[str, dict[str, object]], Rows | Awaitable[Rows]]
"""Executes a statement with named parameters, `:name`."""
Identity: TypeAlias = tuple[object, ...]
"""Equal for two connections if they lead to the same database."""

ENCODE: Final = json.JSONEncoder(separators=(",", ":")).encode
MESSAGE: Final = (
    "INSERT INTO fsm_messages (id, store, state, attempts, uncertain, submitted, sender, recipients, headers)"
    " VALUES (:id, :store, 'ready', 0, 0, :submitted, :sender, :recipients, :headers)"
)
CONTENT: Final = "INSERT INTO fsm_contents (id, content) VALUES (:id, :content)"
FILE: Final = "PRAGMA database_list"
SERVER: Final = (
    "SELECT oid, pg_postmaster_start_time(), to_regclass('fsm_messages') IS NOT NULL FROM pg_database"
    " WHERE datname = current_database()"
)
NOTIFY: Final = "SELECT pg_notify(:channel, :news)"
WANTED: Final = "a Connection or Session of SQLAlchemy (or an async one of them), of sqlite3, or of psycopg"


def query_for(connection: object) -> tuple[str, bool, Query]:
    """Return which database a connection is for, whether its statements are awaited, and how to execute them.

    TypeError for anything that is no connection.
    """
    if isinstance(connection, sqlite3.Connection):
        return "sqlite", False, lambda text, values: _plain(connection).execute(text, values).fetchall()
    if isinstance(connection, sa.Connection):
        return connection.dialect.name, False, lambda text, values: _all(connection.execute(sa.text(text), values))
    psycopg = sys.modules.get("psycopg")
    if psycopg is not None and isinstance(connection, psycopg.Connection):
        cursor = connection.cursor(row_factory=psycopg.rows.tuple_row)
        return "postgresql", False, lambda text, values: _fetched(cursor.execute(_pyformat(text), values))
    if psycopg is not None and isinstance(connection, psycopg.AsyncConnection):
        awaited = connection.cursor(row_factory=psycopg.rows.tuple_row)

        async def psycopg_query(text: str, values: dict[str, object]) -> Rows:
            await awaited.execute(_pyformat(text), values)
            return await awaited.fetchall() if awaited.description is not None else []

        return "postgresql", True, psycopg_query
    return _of_sqlalchemy(connection)


def _of_sqlalchemy(connection: Any) -> tuple[str, bool, Query]:
    """The same for sessions, and for what is awaited.  Their modules are loaded by whoever uses them."""
    orm, aio = sys.modules.get("sqlalchemy.orm"), sys.modules.get("sqlalchemy.ext.asyncio")
    session = (orm.Session, orm.scoped_session) if orm is not None else ()
    if isinstance(connection, session):
        kind = connection.get_bind().dialect.name
        return kind, False, lambda text, values: _all(connection.execute(sa.text(text), values))
    if aio is not None and isinstance(connection, (aio.AsyncSession, aio.async_scoped_session, aio.AsyncConnection)):
        dialect = connection.dialect if isinstance(connection, aio.AsyncConnection) else connection.get_bind().dialect

        async def query(text: str, values: dict[str, object]) -> Rows:
            return _all(await connection.execute(sa.text(text), values))

        return dialect.name, True, query
    raise TypeError(f"a message is submitted over {WANTED}, not over {connection!r}")


def _plain(connection: sqlite3.Connection) -> sqlite3.Cursor:
    cursor = connection.cursor()
    cursor.row_factory = None
    return cursor


def _all(result: sa.CursorResult[Any]) -> Rows:
    return result.all() if result.returns_rows else []


def _fetched(cursor: Any) -> Rows:
    return cursor.fetchall() if cursor.description is not None else []


@lru_cache(maxsize=512)
def _pyformat(text: str) -> str:
    return re.sub(r":(\w+)", r"%(\1)s", text)


def identity_of(kind: str, rows: Rows) -> Identity:
    """Return the identity of the database that has answered `FILE` or `SERVER` with these rows."""
    if kind == "postgresql":
        oid, started, _ = rows[0]
        return oid, started
    files = [row[2] for row in rows if row[1] == "main"]
    try:
        found = Path(files[0]).stat()
    except (OSError, IndexError):  # in memory, or removed
        return (None,)
    return found.st_dev, found.st_ino


def over(
    connection: object, kind: str, place: str, is_ours: Callable[[Identity], bool], nothing: str
) -> Generator[Rows | Awaitable[Rows], Rows, Query]:
    """Return how to execute statements over a connection; its database must be `place`, of this kind.

    StorageError if it is another, which also says `nothing`: nothing has happened in the transaction.
    """
    there, _, query = query_for(connection)
    if there == kind:
        rows = yield query(SERVER if kind == "postgresql" else FILE, {})
        there = kind if is_ours(identity_of(kind, rows)) else "another"
    if there != kind:
        raise StorageError(f"the connection leads to another database than the store's, {place}: {nothing}")
    if kind == "postgresql" and not rows[0][2]:
        raise StorageError(f"the connection does not see the tables of {place}: put their schema into its search_path")
    return query


def deposit(
    connected: Generator[Rows | Awaitable[Rows], Rows, Query], store: int, message: Message, *, postgresql: bool
) -> Steps:
    """Insert a message of this store over a connection."""
    query = yield from connected
    sender, to = ENCODE(message.sender), ENCODE(message.recipients)
    row = {"id": message.id, "store": store, "submitted": message.submitted, "sender": sender, "recipients": to}
    row["headers"] = encoded_headers(message)
    yield query(MESSAGE, row)
    yield query(CONTENT, {"id": message.id, "content": message.content})
    if postgresql:
        yield query(NOTIFY, {"channel": CHANNEL, "news": f"0;peers;{store}"})
