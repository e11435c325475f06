"""The transactional outbox: a message is submitted in the caller's own transaction, and shares its fate."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from psycopg.rows import dict_row
from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session, async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from fsm.logoff import Logoff
from fsm.store import AsyncStore, Database, StorageError, Store, StoreClosing
from tests.store.conftest import Place, Server

ORDER = "INSERT INTO orders (number) VALUES (1)"
Way = Callable[[str], Any]
"""Opens a connection to a URL or a path: `execute` a text, `commit`, `rollback`; at the end it is closed."""


def url_of(where: str) -> str:
    return where if "://" in where else f"sqlite:///{where}"


@contextmanager
def engine(where: str) -> Iterator[sa.Engine]:
    made = sa.create_engine(url_of(where))
    try:
        yield made
    finally:
        made.dispose()


class Connected:
    """A connection, with one way to execute a text."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    def execute(self, text: str) -> Any:
        plain = isinstance(self.connection, (sqlite3.Connection, psycopg.Connection, psycopg.AsyncConnection))
        return self.connection.execute(text if plain else sa.text(text))

    def end(self, how: str) -> Any:
        return getattr(self.connection, how)()


@contextmanager
def by_sqlalchemy(where: str) -> Iterator[Connected]:
    with engine(where) as made, made.connect() as connection:
        yield Connected(connection)


@contextmanager
def by_session(where: str) -> Iterator[Connected]:
    with engine(where) as made, Session(made) as session:
        yield Connected(session)


@contextmanager
def by_scoped_session(where: str) -> Iterator[Connected]:
    with engine(where) as made:
        session = scoped_session(sessionmaker(made))
        try:
            yield Connected(session)
        finally:
            session.remove()


@contextmanager
def by_driver(where: str) -> Iterator[Connected]:
    if "://" in where:
        with psycopg.connect(where.replace("+psycopg", ""), row_factory=dict_row) as connection:
            yield Connected(connection)
    else:
        file = sqlite3.connect(where)
        file.row_factory = lambda cursor, row: {"row": row}
        try:
            yield Connected(file)
        finally:
            file.close()


WAYS = {"SQLAlchemy": by_sqlalchemy, "a session": by_session, "a scoped session": by_scoped_session, "the driver": by_driver}


def sent_by(store: Store) -> list[str]:
    """Send the next message; return its id and content."""
    for item in store.outgoing():
        with item:
            assert item.message is not None
            return [item.id, item.message.content.decode(), item.message.sender, *item.message.recipients, *item.message.headers.values()]
    raise AssertionError("released")


@pytest.fixture
def orders(database: Place) -> str:
    """A database with a store and a table of its own."""
    with Store(Database(database.where)), by_driver(database.where) as there:
        there.execute("CREATE TABLE orders (number int)")
        there.end("commit")
    return database.where


@pytest.mark.parametrize("way", WAYS)
def test_it_is_there_when_the_transaction_commits_and_gone_when_it_rolls_back(way: str, orders: str) -> None:
    """Somebody waits for a message, and nobody asks the store to look: it hears of the commit."""
    with Store(Database(orders)) as store, WAYS[way](orders) as there:
        found: list[list[str]] = []
        worker = threading.Thread(target=lambda: found.append(sent_by(store)))
        worker.start()
        there.execute(ORDER)
        store.submit(b"never", connection=there.connection)
        there.end("rollback")
        there.execute(ORDER)
        id = store.submit(b"paid \0", "shop@example.org", ["a@example.net", "\ud800"], headers={"tenant": "tenant a"}, connection=there.connection)
        assert store.session.ready == store.session.outbound == 0, "the machine counts it after the commit"
        there.end("commit")
        worker.join(60)
        assert found == [[id, "paid \0", "shop@example.org", "a@example.net", "\ud800", "tenant a"]]
        assert list(map(tuple, [row.values() if isinstance(row, dict) else row for row in there.execute("SELECT count(*) FROM orders")])) in (
            [(1,)], [((1,),)],
        )  # fmt: skip
        there.end("rollback")
        assert store.close("NO_WAIT 60s")
        assert (store.counters["sent"], store.messages()) == (1, [])


@asynccontextmanager
async def awaiting(way: str, where: str) -> AsyncIterator[Connected]:
    """A connection whose statements are awaited."""
    if way == "psycopg":
        async with await psycopg.AsyncConnection.connect(where.replace("+psycopg", ""), row_factory=dict_row) as connection:
            yield Connected(connection)
        return
    made = create_async_engine(where if "://" in where else f"sqlite+aiosqlite:///{where}")
    try:
        if way == "a connection":
            async with made.connect() as there:
                yield Connected(there)
        elif way == "a session":
            async with AsyncSession(made) as session:
                yield Connected(session)
        else:
            scoped = async_scoped_session(async_sessionmaker(made), scopefunc=asyncio.current_task)
            yield Connected(scoped)
            await scoped.remove()
    finally:
        await made.dispose()


@pytest.mark.parametrize("way", ["a connection", "a session", "a scoped session", "psycopg"])
def test_awaited_statements_as_well(way: str, server: Server) -> None:
    where = server.new()

    async def case() -> None:
        async with AsyncStore(Database(where)) as store, awaiting(way, where) as there:

            async def work() -> str:
                async for item in store.outgoing():
                    async with item:
                        return item.id
                raise AssertionError("released")

            worker = asyncio.create_task(work())
            await store.submit(b"never", connection=there.connection)
            await there.end("rollback")
            id = await store.submit(b"x", connection=there.connection)
            await there.end("commit")
            assert await asyncio.wait_for(worker, 60) == id
            assert await store.close("NO_WAIT 60s")

    asyncio.run(case())


def test_a_store_for_threads_refuses_what_has_to_be_awaited(server: Server) -> None:
    where = server.new()

    async def case() -> None:
        with Store(Database(where)) as store:
            made = create_async_engine(where)
            async with made.connect() as there:
                with pytest.raises(TypeError, match="the statements of this connection are awaited: use an AsyncStore"):
                    store.submit(b"x", connection=there)  # type: ignore[arg-type]
                assert (await there.execute(sa.text("SELECT 1"))).all() == [(1,)], "its transaction is as it was"
            await made.dispose()

    asyncio.run(case())


def test_an_asynchronous_store_takes_connections_for_threads_too(orders: str) -> None:
    async def case() -> None:
        async with AsyncStore(Database(orders)) as store:
            with by_driver(orders) as there:
                id = await store.submit(b"x", connection=there.connection)
                there.end("commit")
                async for item in store.outgoing():
                    async with item:
                        assert item.id == id
                    break

    asyncio.run(case())


@pytest.mark.parametrize("way", WAYS)
def test_another_database_is_refused_and_its_transaction_is_as_it_was(way: str, database: Place, server: Server, tmp_path: Path) -> None:
    others = [str(tmp_path / "other.db"), server.new()]
    for other in others:
        with Store(Database(other)), Store(Database(database.where)) as store, WAYS[way](other) as there:
            there.execute("CREATE TABLE mine (number int)")
            with pytest.raises(StorageError, match=r"the connection leads to another database than the store's, .*: nothing was submitted"):
                store.submit(b"x", connection=there.connection)
            there.execute("INSERT INTO mine VALUES (1)")
            there.end("commit")
            assert store.messages() == []
    with Store() as store, WAYS[way](others[0]) as there, pytest.raises(StorageError, match="a store in memory takes part in no transaction"):
        store.submit(b"x", connection=there.connection)


def test_what_is_no_connection_and_what_is_no_message_is_refused(database: Place) -> None:
    wrong: Any = "postgresql://"
    with Store(Database(database.where)) as store, by_driver(database.where) as there:
        with pytest.raises(TypeError, match=r"a message is submitted over a Connection or Session of SQLAlchemy .*, not over 'postgresql://'"):
            store.submit(b"x", connection=wrong)
        with pytest.raises(TypeError, match="the content of a message is bytes"):
            store.submit(wrong, connection=there.connection)
        assert not there.execute("SELECT 1 FROM fsm_messages").fetchall()
        there.end("rollback")


def test_a_schema_out_of_sight_is_said_and_leaves_the_transaction_as_it_was(remote: Place) -> None:
    with Store(Database(remote.where)) as store, by_driver(remote.where) as there:
        there.execute("SET search_path = elsewhere")
        with pytest.raises(StorageError, match=r"does not see the tables of .*: put their schema into its search_path"):
            store.submit(b"x", connection=there.connection)
        there.execute("SELECT 1")


def test_a_store_that_closes_takes_none_and_what_commits_later_is_the_next_ones(orders: str) -> None:
    with Store(Database(orders)) as store, by_driver(orders) as there:
        with store.inbound():
            if "://" in orders:  # a transaction on a SQLite file would keep the logoff waiting
                id = store.submit(b"late", connection=there.connection)
            store.logoff(Logoff.ORDERLY)
            with pytest.raises(StoreClosing):
                store.submit(b"x", connection=there.connection)
            if "://" not in orders:
                there.execute("BEGIN")
                id = "0" * 20
                there.execute(f"INSERT INTO fsm_messages (id, store, state, attempts, uncertain, submitted, sender, recipients) VALUES ('{id}', 1, 'ready', 0, 0, 0, '\"\"', '[]')")
                there.execute(f"INSERT INTO fsm_contents VALUES ('{id}', x'00')")
            there.end("commit")
        assert store.state == "released"
        assert store.counters["refused_new"] == 1
    with Store(Database(orders)) as store:
        assert sent_by(store)[0] == id


def test_the_store_goes_on_as_soon_as_a_long_transaction_ends(file: Place) -> None:
    """Longer than the store waits for the lock, so that it must not rest before it tries again."""
    with Store(Database(file.where, patience=0.05)) as store, by_driver(file.where) as there:
        failed = threading.Event()
        id = store.submit(b"x", connection=there.connection)
        while not failed.is_set():
            with pytest.raises(StorageError, match="is locked"):
                store.submit(b"meanwhile")
            failed.set()
        there.end("commit")
        assert sent_by(store)[0] == id


def test_a_restarted_server_is_known_again(server: Server, remote: Place) -> None:
    with Store(Database(remote.where)) as store:
        for turn in range(2):
            with by_session(remote.where) as there:
                id = store.submit(b"x", connection=there.connection)
                there.end("commit")
            assert sent_by(store)[0] == id
            if not turn:
                server.stop("immediate")
                server.start()
