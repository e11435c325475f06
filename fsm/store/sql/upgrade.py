"""Bring a database of an older version to the present one.

From version 1, in which each row of a message named the process that counted it: the messages and what has happened to
them are kept, in a part of each store that nobody holds; what was being sent is uncertain.  The journal begins anew.
From version 2, in which messages had no headers: a program of then that still has it open goes on without them.
"""

from __future__ import annotations

import time
from typing import Final

import sqlalchemy as sa

from fsm.store.errors import StorageError
from fsm.store.life import target
from fsm.store.sql.schema import METADATA, VERSION

__all__ = ["upgrade"]

OPEN: Final = "SELECT count(*) FROM fsm_holders WHERE lease_until > :now"
BEFORE: Final = (
    "DROP TABLE fsm_holders", "DROP TABLE fsm_journal_charts", "DROP TABLE fsm_journal",
    "ALTER TABLE fsm_messages RENAME TO fsm_messages_1", "ALTER TABLE fsm_contents RENAME TO fsm_contents_1",
)  # fmt: skip
MESSAGES: Final = (
    "INSERT INTO fsm_messages (id, store, part, state, due, wait, attempts, uncertain, reason, submitted, sender,"
    " recipients) SELECT m.id, m.store, CASE WHEN m.state IN ('ready', 'deferred') THEN p.number END,"
    f" CASE WHEN m.state = 'claimed' THEN '{target('lapse')}' ELSE m.state END, m.due,"
    " CASE WHEN m.due IS NOT NULL THEN 86400.0 END, m.attempts, m.uncertain, m.reason, m.submitted, m.sender,"
    " m.recipients FROM fsm_messages_1 m JOIN fsm_parts p ON p.store = m.store"
)
AFTER: Final = (
    "INSERT INTO fsm_parts (store, ready, deferred, clean) SELECT number, 0, 0, 0 FROM fsm_stores", MESSAGES,
    "INSERT INTO fsm_contents (id, content) SELECT id, content FROM fsm_contents_1",
    "DROP TABLE fsm_contents_1", "DROP TABLE fsm_messages_1",
)  # fmt: skip


HEADERS: Final = "ALTER TABLE fsm_messages ADD COLUMN headers VARCHAR"
COVERING: Final = ("fsm_messages_deferred", "fsm_messages_ready")
"""The indexes to which the state was added."""


def upgrade(connection: sa.Connection, place: str, version: int | None) -> None:
    """Bring a database of this version to the present one; one of any other version stays as it is.

    StorageError while a program of version 1 has it open.
    """
    if version == 1:
        _from_1(connection, place)
    elif version == 2:
        connection.execute(sa.text(HEADERS))
        for index in METADATA.tables["fsm_messages"].indexes:
            if index.name in COVERING:
                index.drop(connection)
                index.create(connection)
    else:
        return
    connection.execute(sa.text("UPDATE fsm_about SET version = :now"), {"now": VERSION})


def _from_1(connection: sa.Connection, place: str) -> None:
    if connection.scalar(sa.text(OPEN), {"now": time.time()}):
        problem = f"{place} is open in a program of an older release; close that first, and try again in a minute"
        raise StorageError(problem, busy=True)
    for statement in BEFORE:
        connection.execute(sa.text(statement))
    METADATA.create_all(connection)
    for statement in AFTER:
        connection.execute(sa.text(statement))
