"""Execute the statements of every message: on SQLite with the driver itself, elsewhere through SQLAlchemy.

Theory.
1. A statement is written once, with SQLAlchemy, for all databases.  On SQLite its text is compiled once and then given
   to the driver with nothing but the values, because SQLAlchemy's work around a statement takes longer than SQLite's.
2. Several new rows are one statement: between two statements another thread may take the GIL, and keep it for
   milliseconds.
3. A list of values is one parameter (for SQLite a JSON array), so the text is the same for a list of any length.
4. The connection and the transaction are SQLAlchemy's; errors are the driver's own, which `storage_errors` knows.

Only documented parts of SQLAlchemy are used.  Its order of the parameters, `SQLCompiler.positiontup`, is not one of
them: so a statement is compiled with named parameters, `%(name)s`, and Python's `%` replaces each with a `?`, in order.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

__all__ = ["execute", "fetch", "one_of"]

DIALECT: Final = sqlite.dialect(paramstyle="pyformat")
MOST_ROWS: Final = 64
"""New rows in one statement."""


def execute(connection: sa.Connection, statement: sa.Executable, rows: Sequence[Mapping[str, object]]) -> int:
    """Execute a statement for each of these rows, which have the same keys; return how many rows it changed."""
    driver = _sqlite_driver(connection)
    if driver is None:
        return int(connection.execute(statement, rows).rowcount)
    text, values = _compiled(statement, tuple(rows[0]))
    if len(rows) == 1:
        return int(driver.execute(text, values(rows[0])).rowcount)
    if not isinstance(statement, sa.Insert):
        return int(driver.executemany(text, map(values, rows)).rowcount)
    for start in range(0, len(rows), MOST_ROWS):
        some = rows[start : start + MOST_ROWS]
        driver.execute(_for_rows(text, len(some)), [value for row in some for value in values(row)])
    return len(rows)


def fetch(connection: sa.Connection, statement: sa.Executable, row: Mapping[str, object]) -> Sequence[tuple[Any, ...]]:
    """Execute a statement and return all rows of its result."""
    driver = _sqlite_driver(connection)
    if driver is None:
        return connection.execute(statement, row).all()
    text, values = _compiled(statement, tuple(row))
    return driver.execute(text, values(row)).fetchall()  # type: ignore[no-any-return]


class one_of(FunctionElement[bool]):  # noqa: N801 - it stands in statements, as `sa.func` does
    """Whether a column has one of the strings of a list, which is bound to the parameter as a whole."""

    inherit_cache = True

    def __init__(self, column: sa.Column[str], parameter: str) -> None:
        super().__init__(column, sa.bindparam(parameter, type_=sa.ARRAY(sa.String)))


@compiles(one_of)
def _any(element: one_of, compiler: SQLCompiler, **options: Any) -> str:
    column, parameter = (compiler.process(clause, **options) for clause in element.clauses)
    return f"{column} = ANY({parameter})"


@compiles(one_of, "sqlite")
def _json_each(element: one_of, compiler: SQLCompiler, **options: Any) -> str:
    column, parameter = (compiler.process(clause, **options) for clause in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({parameter}))"


def _sqlite_driver(connection: sa.Connection) -> Any:
    return connection.connection.driver_connection if connection.dialect.name == "sqlite" else None


@lru_cache(maxsize=256)
def _compiled(
    statement: sa.ClauseElement, keys: tuple[str, ...]
) -> tuple[str, Callable[[Mapping[str, object]], Sequence[object]]]:
    """The text of a statement with these parameters, and a function that puts a row's values in its order."""
    compiled = statement.compile(dialect=DIALECT, column_keys=keys)
    order = _Order()
    text, constants = str(compiled) % order, compiled.params
    names = tuple(order.names)
    if len(names) > 1 and set(names) <= set(keys) and "json_each" not in text:
        return text, itemgetter(*names)

    def values(row: Mapping[str, object]) -> list[object]:
        found = [row[name] if name in row else constants[name] for name in names]
        return [json.dumps(one) if isinstance(one, list) else one for one in found]

    return text, values


class _Order(dict[str, str]):
    """Put a `?` for each parameter of a text, and remember their order."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def __missing__(self, name: str) -> str:
        self.names.append(name)
        return "?"


@lru_cache(maxsize=1024)
def _for_rows(text: str, rows: int) -> str:
    """The text of an INSERT of one row, for several."""
    return text + f", {text.rpartition(' VALUES ')[2]}" * (rows - 1)
