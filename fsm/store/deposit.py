"""The connections over which a message can be submitted, and how that is done over them, with and without await."""

from __future__ import annotations

from collections.abc import Awaitable
from inspect import isawaitable
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import sqlite3

    import psycopg
    import sqlalchemy.ext.asyncio
    import sqlalchemy.orm

    from fsm.store.outbox import Deposit

    _Session = sqlalchemy.orm.Session | sqlalchemy.orm.scoped_session[sqlalchemy.orm.Session]
    _AsyncSession = sqlalchemy.ext.asyncio.AsyncSession | sqlalchemy.ext.asyncio.async_scoped_session[
        sqlalchemy.ext.asyncio.AsyncSession
    ]

__all__ = ["AsyncConnection", "Connection", "answered", "awaited"]

Connection: TypeAlias = "sqlalchemy.Connection | _Session | sqlite3.Connection | psycopg.Connection[object]"
"""A connection, or a session, with the transaction that is under way."""
AsyncConnection: TypeAlias = (
    "sqlalchemy.ext.asyncio.AsyncConnection | _AsyncSession | psycopg.AsyncConnection[object]"
)
"""The same, where statements are awaited."""


def answered(steps: Deposit) -> str:
    """Take the steps in this thread, and return the id.  TypeError if one has to be awaited."""
    try:
        found = next(steps)
        while True:
            if isawaitable(found):
                found.close()  # type: ignore[attr-defined]
                problem = "the statements of this connection are awaited: use an AsyncStore, or another connection"
                raise TypeError(problem)
            found = steps.send(found)
    except StopIteration as end:
        return str(end.value)


async def awaited(steps: Deposit) -> str:
    """Take the steps, and return the id."""
    try:
        found = next(steps)
        while True:
            found = steps.send(await found if isinstance(found, Awaitable) else found)
    except StopIteration as end:
        return str(end.value)
