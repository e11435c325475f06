"""SQLite's driver executes what SQLAlchemy would execute; each part of SQLAlchemy that this depends on has a test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from fsm.store.sql import journal, messages
from fsm.store.sql.connect import engine_for, url_for
from fsm.store.sql.execute import DIALECT, MOST_ROWS, _compiled, execute, fetch, one_of
from tests.store.conftest import Place

TABLE = sa.Table("t", sa.MetaData(), sa.Column("id", sa.String, primary_key=True), sa.Column("n", sa.Integer), sa.Column("text", sa.String))
STATEMENTS = {
    f"{module.__name__.rpartition('.')[2]}.{name}": statement
    for module in (messages, journal)
    for name, statement in vars(module).items()
    if isinstance(statement, (sa.Insert, sa.Update, sa.Delete, sa.Select))
}


def keys_of(name: str) -> tuple[str, ...]:
    statement = STATEMENTS[name]
    return tuple(statement.table.c.keys()) if isinstance(statement, sa.Insert) else ()


@pytest.fixture
def connection(database: Place) -> Iterator[sa.Connection]:
    engine = engine_for(url_for(database.where), 5.0)
    with engine.begin() as connection:
        TABLE.metadata.create_all(connection)
        yield connection
    engine.dispose()


def inserted(connection: sa.Connection, count: int) -> list[str]:
    ids = [f"{n:06}" for n in range(count)]
    execute(connection, sa.insert(TABLE), [{"text": f"%{n}", "id": id, "n": n} for n, id in enumerate(ids)])
    return ids


def rows(connection: sa.Connection) -> list[tuple[object, ...]]:
    return [tuple(row) for row in connection.execute(sa.select(TABLE).order_by(TABLE.c.id))]


def test_the_statements_are_found() -> None:
    assert {"messages.SUBMIT", "messages.CLAIM", "messages.SENT", "journal.RECORD"} <= set(STATEMENTS)


@pytest.mark.parametrize("name", STATEMENTS)
def test_the_text_of_a_statement_is_complete_when_it_is_compiled(name: str) -> None:
    """`in_` with plain strings or an expanding parameter is completed by `Connection.execute` only."""
    text, _ = _compiled(STATEMENTS[name], keys_of(name))
    assert "POSTCOMPILE" not in text
    assert "%" not in text


@pytest.mark.parametrize("name", STATEMENTS)
def test_the_text_of_a_statement_is_the_one_of_sqlalchemy(name: str) -> None:
    statement, keys = STATEMENTS[name], keys_of(name)
    text, values = _compiled(statement, keys)
    usual = statement.compile(dialect=sa.dialects.sqlite.dialect(), column_keys=keys)
    assert text == str(usual)
    assert set(values(dict.fromkeys(usual.params, "bound"))) == ({"bound"} if usual.params else set())


def test_a_dialect_can_be_asked_for_named_parameters() -> None:
    assert str(sa.select(TABLE.c.n).where(TABLE.c.id == sa.bindparam("one")).compile(dialect=DIALECT)).endswith("t.id = %(one)s")


def test_a_percent_sign_in_a_statement_stays_one(connection: sa.Connection) -> None:
    inserted(connection, 3)
    found = fetch(connection, sa.select(TABLE.c.n).where(TABLE.c.text == sa.literal_column("'%1'"), TABLE.c.n % 2 == sa.bindparam("odd")), {"odd": 1})
    assert [tuple(row) for row in found] == [(1,)]


@pytest.mark.parametrize("count", [1, 2, MOST_ROWS, MOST_ROWS + 1, 3 * MOST_ROWS])
def test_any_number_of_rows_is_inserted(connection: sa.Connection, count: int) -> None:
    ids = inserted(connection, count)
    assert rows(connection) == [(id, n, f"%{n}") for n, id in enumerate(ids)]


@pytest.mark.parametrize("count", [0, 1, 2, 40_000])
def test_a_list_of_any_length_is_one_parameter(connection: sa.Connection, count: int) -> None:
    ids = inserted(connection, 300)
    wanted = [*ids[:200], *(f"none {n}" for n in range(count))][:count]
    statement = sa.update(TABLE).where(one_of(TABLE.c.id, "ids"), TABLE.c.n < sa.bindparam("most")).values(n=sa.bindparam("to"))
    assert execute(connection, statement, [{"ids": wanted, "most": 150, "to": -1}]) == min(count, 150)
    assert sum(n == -1 for _, n, _ in rows(connection)) == min(count, 150)
    found = fetch(connection, sa.select(TABLE.c.id).where(one_of(TABLE.c.id, "ids")).order_by(TABLE.c.id), {"ids": wanted})
    assert [id for (id,) in found] == ids[: min(count, 200)]


def test_several_changes_of_one_kind_are_counted_together(connection: sa.Connection) -> None:
    inserted(connection, 4)
    statement = sa.update(TABLE).where(TABLE.c.id == sa.bindparam("one")).values(text=sa.func.coalesce(sa.bindparam("to"), TABLE.c.text))
    assert execute(connection, statement, [{"to": "x", "one": "000001"}, {"to": None, "one": "000002"}, {"to": "y", "one": "none"}]) == 2
    assert [text for _, _, text in rows(connection)] == ["%0", "x", "%2", "%3"]


def test_it_is_the_transaction_of_the_connection(tmp_path: Path) -> None:
    """A rollback of the connection undoes what the driver has executed."""
    engine = engine_for(url_for(tmp_path / "store.db"), 5.0)
    with engine.begin() as connection:
        TABLE.metadata.create_all(connection)
    with engine.connect() as connection:
        with connection.begin() as transaction:
            inserted(connection, 2)
            transaction.rollback()
        with connection.begin():
            assert rows(connection) == []
    engine.dispose()
