"""Where a database is, how it is reached, and what its errors mean in plain words.

Theory.
1. A place is a path (a SQLite file) or a URL `postgresql+psycopg://…`.  SQLite runs with a write-ahead log and full
   synchronisation, and each transaction that may write takes its place at once (BEGIN IMMEDIATE); PostgreSQL runs as
   the server is set up, but never with a commit that is not on the disk.
2. Nobody waits for ever: for a lock or a connection at most `patience` seconds.
3. Every error of a database leaves here as a StorageError with one sentence that names the place, without a password.

This file does not know what the tables are for.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.engine import make_url
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    NoSuchModuleError,
    SQLAlchemyError,
    TimeoutError as PoolTimeout,
)

from fsm.store.errors import StorageError
from fsm.store.sql.schema import ABOUT, METADATA, VERSION

__all__ = [
    "autocommit_connection", "check_version", "create_tables", "display_name", "engine_for", "is_sqlite",
    "storage_errors", "url_for",
]  # fmt: skip

CREATE_LOCK: Final = 0x66736D
"""PostgreSQL's advisory lock for those who create the tables: "fsm"."""

SQLITE: Final = (  # the beginning of an error's name, what it means, whether it may pass
    ("SQLITE_BUSY", "is locked by another program, and stayed so; try again later", True),
    ("SQLITE_LOCKED", "is locked by another program, and stayed so; try again later", True),
    ("SQLITE_PROTOCOL", "is being opened by too many at once; try again later", True),
    ("SQLITE_FULL", "cannot grow: the disk is full", False),
    ("SQLITE_READONLY", "may not be written to; the file and its folder must be writable", False),
    ("SQLITE_CANTOPEN", "cannot be opened; its folder must be there and writable", False),
    ("SQLITE_PERM", "may not be opened", False),
    ("SQLITE_NOTADB", "is no SQLite database", False),
    ("SQLITE_CORRUPT", "is damaged; put it aside, and keep it: `sqlite3 FILE .recover` may save what it holds", False),
    ("SQLITE_IOERR", "cannot be read or written", False),
)
POSTGRESQL: Final = (  # the beginning of an SQLSTATE, likewise
    ("40", "was changed by others at the same time; try again", True),
    ("55P03", "is locked by another program, and stayed so; try again later", True),
    ("57P", "is being stopped or started; try again later", True),
    ("08", "cannot be reached", True),
    ("53300", "has no connection to spare", True),
    ("53", "is short of something", False),
    ("28", "does not let us in", False),
    ("3D000", "is not there", False),
    ("42501", "does not let us", False),
    ("25006", "may not be written to", False),
)


def url_for(where: str | Path) -> sa.URL:
    """The URL of a place.  StorageError when it is none of ours."""
    text = os.fspath(where)
    if "://" not in text:
        if not text or "\0" in text:
            raise StorageError(f"{text!r} is no path of a file")
        return sa.URL.create("sqlite", database=str(Path(text).absolute()))
    try:
        url = make_url(text)
        kind = url.get_backend_name()
    except (ArgumentError, ValueError):
        raise StorageError("this is no URL of a database; one is postgresql+psycopg://user@host/name") from None
    if kind == "sqlite" and url.database:
        return sa.URL.create("sqlite", database=str(Path(url.database).absolute()))
    if kind != "postgresql":
        raise StorageError(f"{kind} is no database a store can be kept in; give a path, or postgresql+psycopg://…")
    return url.set(drivername="postgresql+psycopg")


def is_sqlite(url: sa.URL) -> bool:
    """Whether it is a file."""
    return url.get_backend_name() == "sqlite"


def display_name(url: sa.URL) -> str:
    """The place as it is told to people: a path, or the URL without its password."""
    return str(url.database) if is_sqlite(url) else url.render_as_string(hide_password=True)


def engine_for(url: sa.URL, patience: float, *, reading: bool = False) -> sa.Engine:
    """An engine for the place.  For `reading` nothing is made there, nor changed.  StorageError, psycopg missing."""
    if is_sqlite(url):
        return _sqlite(url, patience, reading)
    try:
        engine = sa.create_engine(url, pool_pre_ping=True, connect_args={"connect_timeout": max(2, round(patience))})
    except (ModuleNotFoundError, ImportError, NoSuchModuleError):
        raise StorageError("PostgreSQL needs psycopg: pip install 'fsm-logoff[postgresql]'") from None

    @sa.event.listens_for(engine, "connect")
    def _settings(connection: Any, _: object) -> None:
        try:
            with connection.cursor() as cursor:
                cursor.execute("select set_config('lock_timeout', %s, false)", (f"{round(patience * 1000)}ms",))
                cursor.execute(
                    "select set_config('synchronous_commit', 'on', false)"
                    " where current_setting('synchronous_commit') = 'off'"
                )
            connection.commit()
        except BaseException:
            connection.close()  # nobody else knows of it yet
            raise

    return engine.execution_options(postgresql_readonly=True) if reading else engine


def _sqlite(url: sa.URL, patience: float, reading: bool) -> sa.Engine:
    path = Path(str(url.database))
    if path.is_dir():
        raise StorageError(f"{path} is a folder, not a database; name a file in it")
    if reading:
        if not path.exists():
            raise StorageError(f"{path} is not there")
        query = {"mode": "ro", "uri": "true"}
        if not os.access(path.parent, os.W_OK) and not path.with_name(f"{path.name}-wal").exists():
            query["immutable"] = "1"  # nobody can be writing, and SQLite would want to make a file beside it
        url = sa.URL.create("sqlite", database=f"file:{quote(str(path))}", query=query)
    else:
        _create_file(path)
    engine = sa.create_engine(url, connect_args={"timeout": patience})

    @sa.event.listens_for(engine, "connect")
    def _settings(connection: Any, _: object) -> None:
        connection.isolation_level = None  # the driver begins nothing by itself; see below
        if not reading:
            if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
                connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        # a transaction that reads first and then writes could find that it may not: so the place is taken first
        if not connection.get_execution_options().get("sqlite_autocommit", False):
            driver: Any = connection.connection.driver_connection
            driver.execute("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine


def _create_file(path: Path) -> None:
    """Make an empty database, of this user's alone, unless there is a file already.

    It is made whole beside its place: SQLite would make it readable for everybody, and of several that switch the same
    file to its write-ahead log at the same time some are turned away at once.
    """
    if path.exists():
        return  # nor touched: closing another handle of the file would end this process's locks on it
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(6)}.new")
    try:
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        try:
            with closing(sqlite3.connect(temporary)) as connection:
                connection.execute("PRAGMA journal_mode = WAL")
            with suppress(FileExistsError):  # another was faster
                os.link(temporary, path)
        finally:
            temporary.unlink()
    except OSError as error:
        raise StorageError(f"{path} cannot be made: {error.strerror}") from None
    except sqlite3.Error as error:
        raise StorageError(f"{path} cannot be made: {error}") from None


def autocommit_connection(engine: sa.Engine) -> sa.Connection:
    """A connection on which each statement is a transaction by itself."""
    if is_sqlite(engine.url):
        return engine.connect().execution_options(sqlite_autocommit=True)  # what the driver does when nothing is begun
    return engine.connect().execution_options(isolation_level="AUTOCOMMIT")


def create_tables(connection: sa.Connection, url: sa.URL) -> None:
    """Make the tables where there are none yet, in this transaction.  StorageError when they are not ours."""
    if not is_sqlite(url):
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(CREATE_LOCK)))
    tables = sa.inspect(connection).get_table_names()
    if ABOUT.name in tables:
        check_version(connection, url)
        return
    if tables and is_sqlite(url):
        raise StorageError(f"{display_name(url)} is a database of something else (it has a table {tables[0]!r})")
    METADATA.create_all(connection)
    connection.execute(sa.insert(ABOUT), {"version": VERSION})


def check_version(connection: sa.Connection, url: sa.URL) -> None:
    """StorageError when the tables are of a version that is not ours, or are no store's at all."""
    if not sa.inspect(connection).has_table(ABOUT.name):
        raise StorageError(f"{display_name(url)} holds no store")
    version = connection.scalar(sa.select(ABOUT.c.version))
    if version != VERSION:
        problem = f"{display_name(url)} is of version {version}, and this program knows version {VERSION}"
        raise StorageError(f"{problem}; open it with a newer one" if (version or 0) > VERSION else problem)


@contextmanager
def storage_errors(url: sa.URL) -> Iterator[None]:
    """Errors of the database in this block are raised as StorageError."""
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error) as error:  # the latter of what was asked directly
        raise _as_storage_error(url, error) from error


def _as_storage_error(url: sa.URL, error: Exception) -> StorageError:
    place, original = display_name(url), getattr(error, "orig", None) or error
    text = " ".join(str(original).split())
    if isinstance(error, PoolTimeout):
        return StorageError(f"{place} has no connection to spare; try again later", busy=True)
    if is_sqlite(url):
        code = getattr(original, "sqlite_errorname", "") or ""
        for begins, means, busy in SQLITE:
            if code.startswith(begins):
                return StorageError(f"{place} {means}" + (f" ({text})" if begins == "SQLITE_IOERR" else ""), busy=busy)
        return StorageError(f"{place}: {text}")
    code = getattr(original, "sqlstate", None) or ""
    for begins, means, busy in POSTGRESQL:
        if code.startswith(begins):
            return StorageError(f"{place} {means}: {text}", busy=busy)
    lost = isinstance(error, DBAPIError) and (error.connection_invalidated or not code)
    return StorageError(f"{place} cannot be reached: {text}" if lost else f"{place}: {text}", busy=lost)
