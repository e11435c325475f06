"""Statements that are run for every message, told to SQLite's driver directly.

Theory.
1. A statement is written once, with SQLAlchemy, for all databases.  For SQLite its text is made once, too, and then
   given to the driver with the values alone: what SQLAlchemy does around a statement takes longer than SQLite does.
2. Several new rows are one statement: between two statements another thread may take its turn, and keep it.
3. A list of values (`IN`) is one value for SQLite, a JSON array, so that the text is the same for any number of them.
4. It is the same connection and the same transaction; errors are the driver's own (`connect.trouble` knows them).

Other databases are asked through SQLAlchemy.  This file knows no tables.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

__all__ = ["execute", "rows"]

DIALECT: Final = sqlite.dialect()
ROWS: Final = 64
"""Most in one statement."""


def execute(connection: sa.Connection, statement: sa.Executable, many: Sequence[Mapping[str, object]]) -> int:
    """Run it for each of these, which have the same keys; how many rows that changed."""
    driver = _driver(connection)
    if driver is None:
        return int(connection.execute(statement, many).rowcount)
    text, values = _prepared(statement, tuple(many[0]))
    if len(many) == 1:
        return int(driver.execute(text, values(many[0])).rowcount)
    if not statement.is_insert:
        return int(driver.executemany(text, map(values, many)).rowcount)
    for begin in range(0, len(many), ROWS):
        some = many[begin : begin + ROWS]
        driver.execute(_widened(text, len(some)), [value for row in some for value in values(row)])
    return len(many)


def rows(connection: sa.Connection, statement: sa.Executable, bound: Mapping[str, object]) -> Sequence[tuple[Any, ...]]:
    """Run it and read all that it answers.  What is bound that is a list is for an `IN`."""
    driver = _driver(connection)
    if driver is None:
        return connection.execute(statement, bound).all()
    text, values = _prepared(statement, tuple(bound))
    return driver.execute(text, values(bound)).fetchall()  # type: ignore[no-any-return]


def _driver(connection: sa.Connection) -> Any:
    return connection.connection.driver_connection if connection.dialect.name == "sqlite" else None


@lru_cache(maxsize=1024)
def _widened(text: str, rows: int) -> str:
    """The text of an insertion, for so many rows."""
    return text + f", {text.rpartition(' VALUES ')[2]}" * (rows - 1)


@lru_cache(maxsize=256)
def _prepared(statement: Any, keys: tuple[str, ...]) -> tuple[str, Callable[[Mapping[str, object]], Sequence[object]]]:
    """The text of a statement for which these are bound, and what puts the values in their order."""
    compiled = statement.compile(dialect=DIALECT, column_keys=keys)
    text = re.sub(r"__\[POSTCOMPILE_\w+\]", "SELECT value FROM json_each(?)", str(compiled))
    names, fixed = tuple(compiled.positiontup), compiled.params
    if "json_each" not in text and len(names) > 1 and set(names) <= set(keys):
        return text, itemgetter(*names)

    def values(bound: Mapping[str, object]) -> list[object]:
        found = [bound[name] if name in bound else fixed[name] for name in names]
        return [json.dumps(one) if isinstance(one, (list, tuple)) else one for one in found]

    return text, values
