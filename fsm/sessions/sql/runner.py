"""Who takes the steps of a transaction: the driver of our own connection, or the connection of a caller."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Generator, Sequence
from functools import lru_cache
from typing import Any, TypeVar

from fsm.sessions.sql.statements import Statement
from fsm.store.sql.deposit import Query
from fsm.store.sql.driver import Driver
from fsm.store.storage import Rows

__all__ = ["by_driver", "by_query"]

T = TypeVar("T")


def by_driver(driver: Driver, steps: Generator[Statement, Rows, T]) -> T:
    """Take the steps over the connection of a driver, and return the result."""
    rows: Sequence[Sequence[Any]] = ()
    try:
        statement = next(steps)
        while True:
            if statement.fetches:
                rows = driver.fetch(statement.text, *statement.rows[0])
            else:
                rows = ()
                driver.each(statement.text, statement.rows)
            statement = steps.send(rows)
    except StopIteration as end:
        result: T = end.value
        return result


def by_query(
    query: Query, steps: Generator[Statement, Rows, T], *, postgresql: bool
) -> Generator[Rows | Awaitable[Rows], Rows, T]:
    """Take the steps over a caller's connection: yields what each statement answers, to be awaited if it has to be."""
    rows: Rows = ()
    try:
        statement = next(steps)
        while True:
            text = _named(statement.text, postgresql)
            for values in statement.rows:
                rows = yield query(text, {f"p{place}": _bound(one, postgresql) for place, one in enumerate(values)})
            statement = steps.send(rows if statement.fetches else ())
    except StopIteration as end:
        result: T = end.value
        return result


def _bound(value: object, postgresql: bool) -> object:
    return json.dumps(value) if isinstance(value, list) and not postgresql else value


@lru_cache(maxsize=64)
def _named(text: str, postgresql: bool) -> str:
    """Return the statement with `:p0`, `:p1`, … for its values."""
    text = text.replace("?*", "= ANY(?)" if postgresql else "IN (SELECT value FROM json_each(?))")
    first, *others = text.split("?")
    return first + "".join(f":p{place}{other}" for place, other in enumerate(others))
