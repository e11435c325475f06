"""The tables of durable sessions, beside those of the message store in the same database.

Theory.
1. `fsm_sessions` has a row for each session: where it stands, since when, and when something is due there.  Its `id` is
   a digest of the chart's name and the key, because a key may be any text of any length.
2. `fsm_session_steps` has a row for each event that was answered: what was asked, the answer, and where the session
   stood after it.  It is the history, the memory of event ids, and what followers read.
3. Keys, event ids, data and values are JSON, because a text column cannot hold every string.
4. `number` grows in the order of commits of one session.  On PostgreSQL `xid` is the transaction's number, by which a
   follower knows what can no longer be overtaken.
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa

from fsm.store.errors import StorageError
from fsm.store.sql.connect import CREATE_LOCK, display_name, engine_for, is_sqlite, storage_errors

__all__ = ["prepare", "require"]

METADATA: Final = sa.MetaData()
VERSION: Final = 1
"""The version of these tables; raised by a change after which an older program could no longer use them safely."""

IS_DUE: Final = sa.text("due IS NOT NULL")
HAS_ID: Final = sa.text("event_id IS NOT NULL")
ABOUT: Final = sa.Table(
    "fsm_sessions_about", METADATA, sa.Column("version", sa.Integer, primary_key=True, autoincrement=False)
)
SESSIONS: Final = sa.Table(
    "fsm_sessions", METADATA,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("chart", sa.String, nullable=False),
    sa.Column("name", sa.String, nullable=False),  # the key
    sa.Column("fingerprint", sa.String, nullable=False),
    sa.Column("seq", sa.BigInteger, nullable=False),
    sa.Column("state", sa.String, nullable=False),
    sa.Column("vals", sa.String, nullable=False),
    sa.Column("entered", sa.Double, nullable=False),
    sa.Column("fired", sa.Double, nullable=False),  # seconds in the state up to which what was due has been fired
    sa.Column("due", sa.Double),
    sa.Column("made", sa.Double, nullable=False),
    sa.Index("fsm_sessions_due", "chart", "due", sqlite_where=IS_DUE, postgresql_where=IS_DUE),
    sqlite_with_rowid=False,
)  # fmt: skip
STEPS: Final = sa.Table(
    "fsm_session_steps", METADATA,
    sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("session", sa.String, nullable=False),
    sa.Column("seq", sa.BigInteger, nullable=False),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("fingerprint", sa.String, nullable=False),
    sa.Column("event", sa.String, nullable=False),  # empty for a migration
    sa.Column("data", sa.String, nullable=False),
    sa.Column("reason", sa.String),  # why it was refused
    sa.Column("state", sa.String, nullable=False),
    sa.Column("vals", sa.String, nullable=False),
    sa.Column("event_id", sa.String),
    sa.Column("note", sa.String),
    sa.Column("xid", sa.BigInteger),
    sa.Index("fsm_session_steps_session", "session", "seq", unique=True),
    sa.Index(
        "fsm_session_steps_id", "event_id", "session", unique=True,
        sqlite_where=HAS_ID, postgresql_where=HAS_ID,
    ),
    sqlite_autoincrement=True,  # a follower counts on rising numbers
)  # fmt: skip
for _statement in (
    "ALTER TABLE fsm_session_steps ALTER COLUMN xid SET DEFAULT pg_current_xact_id()::text::bigint",
    "CREATE INDEX fsm_session_steps_xid ON fsm_session_steps (xid)",
):
    _ddl: Any = sa.DDL  # it has no types
    sa.event.listen(STEPS, "after_create", _ddl(_statement).execute_if(dialect="postgresql"))


def prepare(url: sa.URL, patience: float) -> None:
    """Create the tables unless they exist.  The database has those of the store.  StorageError for a newer version."""
    with storage_errors(url):
        engine = engine_for(url, patience)
        try:
            with engine.begin() as connection:
                if not is_sqlite(url):
                    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(CREATE_LOCK)))
                if not sa.inspect(connection).has_table(ABOUT.name):
                    METADATA.create_all(connection)
                    connection.execute(sa.insert(ABOUT), {"version": VERSION})
                require(connection, url)
        finally:
            engine.dispose()


def require(connection: sa.Connection, url: sa.URL) -> None:
    """Raise StorageError if the database contains no sessions, or those of another version."""
    if not sa.inspect(connection).has_table(ABOUT.name):
        raise StorageError(f"{display_name(url)} contains no sessions")
    version = connection.scalar(sa.select(ABOUT.c.version)) or 0
    if version != VERSION:
        problem = f"the sessions in {display_name(url)} have version {version}, and this program supports {VERSION}"
        raise StorageError(f"{problem}; use a newer release" if version > VERSION else problem)
