"""The connections over which a message can be submitted, and how that is done over them, with and without await."""

from __future__ import annotations

from collections.abc import Awaitable, Generator
from inspect import isawaitable
from typing import TYPE_CHECKING, TypeAlias, TypeVar, cast

from fsm.store.storage import Rows

if TYPE_CHECKING:
    import sqlite3

    import psycopg
    import sqlalchemy.ext.asyncio
    import sqlalchemy.orm

    _Session = sqlalchemy.orm.Session | sqlalchemy.orm.scoped_session[sqlalchemy.orm.Session]
    _AsyncSession = sqlalchemy.ext.asyncio.AsyncSession | sqlalchemy.ext.asyncio.async_scoped_session[
        sqlalchemy.ext.asyncio.AsyncSession
    ]

__all__ = ["AsyncConnection", "Connection", "answered", "awaited"]

T = TypeVar("T")
Connection: TypeAlias = "sqlalchemy.Connection | _Session | sqlite3.Connection | psycopg.Connection[object]"
"""A connection, or a session, with the transaction that is under way."""
AsyncConnection: TypeAlias = (
    "sqlalchemy.ext.asyncio.AsyncConnection | _AsyncSession | psycopg.AsyncConnection[object]"
)
"""The same, where statements are awaited."""


def answered(steps: Generator[Rows | Awaitable[Rows], Rows, T]) -> T:
    """Take the steps in this thread, and return their result.  TypeError if one has to be awaited."""
    try:
        found = next(steps)
        while True:
            if isawaitable(found):
                found.close()  # type: ignore[attr-defined]
                problem = "the statements of this connection are awaited: use an AsyncStore or AsyncSessions"
                raise TypeError(f"{problem}, or another connection")
            found = steps.send(found)
    except StopIteration as end:
        return cast("T", end.value)


async def awaited(steps: Generator[Rows | Awaitable[Rows], Rows, T]) -> T:
    """Take the steps, and return their result."""
    try:
        found = next(steps)
        while True:
            found = steps.send(await found if isinstance(found, Awaitable) else found)
    except StopIteration as end:
        return cast("T", end.value)
