"""Connections to a database, its tables and their version, and its errors in plain words.

Theory.
1. A place is a path (a SQLite file) or a URL `postgresql+psycopg://…`.  SQLite runs with a write-ahead log and full
   synchronisation, and each transaction that may write takes the write lock at once (BEGIN IMMEDIATE).  PostgreSQL runs
   as the server is configured, but no commit returns before it is on the disk.
2. A message is written to SQLite's log once, and most are gone before the log is copied into the file: it is copied
   seldom, and what is deleted is not overwritten, as some builds of SQLite do unless they are told.
3. Waiting for a lock or a connection takes at most `patience` seconds.
4. Every error of a database is raised as a StorageError, with one sentence that names the place without a password.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import sqlalchemy as sa

from fsm.store.errors import StorageError
from fsm.store.sql.schema import ABOUT, METADATA, VERSION
from fsm.store.sql.upgrade import upgrade

__all__ = [
    "autocommit_connection", "check_version", "create_tables", "display_name", "engine_for", "is_sqlite",
    "storage_errors", "url_for",
]  # fmt: skip

MOST: Final = 5
"""Connections of one spooler."""
SETTINGS: Final = (
    "synchronous = FULL",
    "secure_delete = OFF",
    "wal_autocheckpoint = 8000",  # pages of 4 KB: the log has 32 MB
    "journal_size_limit = 67108864",  # to which it shrinks after a transaction that was larger
    "cache_size = -16000",  # KB: a batch of large messages fits
)
"""The settings of a connection to SQLite."""
CREATE_LOCK: Final = 0x66736D
"""PostgreSQL's advisory lock for those who create the tables: "fsm"."""

SQLITE: Final = (  # the beginning of the name of an error, its meaning, and whether it is temporary
    ("SQLITE_BUSY", "is locked by another program; try again later", True),
    ("SQLITE_LOCKED", "is locked by another program; try again later", True),
    ("SQLITE_PROTOCOL", "is being opened by too many processes at once; try again later", True),
    ("SQLITE_FULL", "cannot grow: the disk is full", False),
    ("SQLITE_READONLY", "is read-only; the file and its folder must be writable", False),
    ("SQLITE_CANTOPEN", "cannot be opened; its folder must exist and be writable", False),
    ("SQLITE_PERM", "cannot be opened: permission denied", False),
    ("SQLITE_NOTADB", "is not a SQLite database", False),
    ("SQLITE_CORRUPT", "is damaged; keep the file: `sqlite3 FILE .recover` may recover what it holds", False),
    ("SQLITE_IOERR", "cannot be read or written", False),
)
POSTGRESQL: Final = (  # the same for the beginning of an SQLSTATE
    ("40", "has a conflict between transactions; try again", True),
    ("55P03", "is locked by another program; try again later", True),
    ("57P", "is shutting down or starting; try again later", True),
    ("08", "cannot be reached", True),
    ("53300", "has no free connection", True),
    ("53", "is out of resources", False),
    ("28", "refuses the login", False),
    ("3D000", "does not exist", False),
    ("42501", "denies permission", False),
    ("25006", "is read-only", False),
)


def url_for(where: str | Path) -> sa.URL:
    """Return the URL of a place.  Raise StorageError if a store cannot be kept there."""
    text = os.fspath(where)
    if "://" not in text:
        if not text or "\0" in text:
            raise StorageError(f"{text!r} is not the path of a file")
        return sa.URL.create("sqlite", database=str(Path(text).absolute()))
    try:
        url = sa.make_url(text)
        kind = url.get_backend_name()
    except (sa.exc.ArgumentError, ValueError):
        raise StorageError("not the URL of a database; an example is postgresql+psycopg://user@host/name") from None
    if kind == "sqlite" and url.database:
        return sa.URL.create("sqlite", database=str(Path(url.database).absolute()))
    if kind != "postgresql":
        raise StorageError(f"a store cannot be kept in {kind}; give a path, or postgresql+psycopg://…")
    return url.set(drivername="postgresql+psycopg")


def is_sqlite(url: sa.URL) -> bool:
    """Return whether this is a SQLite file."""
    return url.get_backend_name() == "sqlite"


def display_name(url: sa.URL) -> str:
    """Return a place as it is shown to people: a path, or the URL without its password."""
    return str(url.database) if is_sqlite(url) else url.render_as_string(hide_password=True)


def engine_for(url: sa.URL, patience: float, *, reading: bool = False) -> sa.Engine:
    """Return an engine for the place; with `reading` it creates and changes nothing there.  Raise StorageError."""
    if is_sqlite(url):
        return _sqlite(url, patience, reading)
    try:
        connecting = {"connect_timeout": max(2, round(patience))}
        engine = sa.create_engine(
            url, pool_pre_ping=True, pool_size=MOST, max_overflow=0, pool_timeout=patience, connect_args=connecting
        )
    except (ModuleNotFoundError, ImportError, sa.exc.NoSuchModuleError):
        from fsm.install import install_command

        raise StorageError(f"PostgreSQL needs psycopg: {install_command('postgresql')}") from None

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
            connection.close()  # it is not in the pool yet
            raise

    return engine.execution_options(postgresql_readonly=True) if reading else engine


def _sqlite(url: sa.URL, patience: float, reading: bool) -> sa.Engine:
    path = Path(str(url.database))
    if path.is_dir():
        raise StorageError(f"{path} is a folder, not a database; name a file in it")
    if reading:
        if not path.exists():
            raise StorageError(f"{path} does not exist")
        query = {"mode": "ro", "uri": "true"}
        if not os.access(path.parent, os.W_OK) and not path.with_name(f"{path.name}-wal").exists():
            query["immutable"] = "1"  # no writer is possible, and SQLite would create a file in the folder
        url = sa.URL.create("sqlite", database=f"file:{quote(str(path))}", query=query)
    else:
        _create_file(path)
    engine = sa.create_engine(
        url, pool_size=MOST, max_overflow=0, pool_timeout=patience, connect_args={"timeout": patience}
    )

    @sa.event.listens_for(engine, "connect")
    def _settings(connection: Any, _: object) -> None:
        connection.isolation_level = None  # the driver begins no transaction by itself; see below
        if not reading:
            if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
                connection.execute("PRAGMA journal_mode = WAL")
            for setting in SETTINGS:
                connection.execute(f"PRAGMA {setting}")

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        # a transaction that reads before it writes could fail to get the write lock later, so it takes it now
        if not connection.get_execution_options().get("sqlite_autocommit", False):
            driver: Any = connection.connection.driver_connection
            driver.execute("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine


def _create_file(path: Path) -> None:
    """Create an empty database that only this user can access, unless the file exists.

    It is created under another name and then linked.  SQLite itself would create a file that everybody can read, and
    when several processes switch the same file to its write-ahead log, some of them fail at once.
    """
    if path.exists():
        return  # and must not be opened: closing it would end this process's locks on it (POSIX)
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(6)}.new")
    try:
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        try:
            with closing(sqlite3.connect(temporary)) as connection:
                connection.execute("PRAGMA journal_mode = WAL")
            with suppress(FileExistsError):  # another process has created it
                os.link(temporary, path)
        finally:
            temporary.unlink()
    except OSError as error:
        raise StorageError(f"{path} cannot be created: {error.strerror}") from None
    except sqlite3.Error as error:
        raise StorageError(f"{path} cannot be created: {error}") from None


def autocommit_connection(engine: sa.Engine) -> sa.Connection:
    """Return a connection that commits each statement."""
    if is_sqlite(engine.url):
        return engine.connect().execution_options(sqlite_autocommit=True)  # the driver does, outside transactions
    return engine.connect().execution_options(isolation_level="AUTOCOMMIT")


def create_tables(connection: sa.Connection, url: sa.URL) -> None:
    """Create the tables unless they exist; upgrade older ones.

    Raise StorageError if this is another database or a newer version.
    """
    if not is_sqlite(url):
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(CREATE_LOCK)))
    tables = sa.inspect(connection).get_table_names()
    if ABOUT.name in tables:
        upgrade(connection, display_name(url), connection.scalar(sa.select(ABOUT.c.version)))
        check_version(connection, url)
        return
    if tables and is_sqlite(url):
        raise StorageError(f"{display_name(url)} is a database of another program (it has a table {tables[0]!r})")
    METADATA.create_all(connection)
    connection.execute(sa.insert(ABOUT), {"version": VERSION})


def check_version(connection: sa.Connection, url: sa.URL) -> None:
    """Raise StorageError if the database contains no store, or one of another version."""
    if not sa.inspect(connection).has_table(ABOUT.name):
        raise StorageError(f"{display_name(url)} contains no store")
    version = connection.scalar(sa.select(ABOUT.c.version))
    if version != VERSION:
        problem = f"{display_name(url)} has version {version}, and this program supports version {VERSION}"
        older = "; it is upgraded when a store in it is opened"
        raise StorageError(f"{problem}; use a newer release" if (version or 0) > VERSION else f"{problem}{older}")


@contextmanager
def storage_errors(url: sa.URL) -> Iterator[None]:
    """Raise errors of the database in this block as StorageError."""
    try:
        yield
    except (sa.exc.SQLAlchemyError, sqlite3.Error) as error:  # the latter from `driver.py`
        raise _as_storage_error(url, error) from error
    except Exception as error:
        psycopg = sys.modules.get("psycopg")
        if psycopg is None or not isinstance(error, psycopg.Error):
            raise
        raise _as_storage_error(url, error) from error


def _as_storage_error(url: sa.URL, error: Exception) -> StorageError:
    place, original = display_name(url), getattr(error, "orig", None) or error
    text = " ".join(str(original).split())
    if isinstance(error, sa.exc.TimeoutError):
        return StorageError(f"{place} has no free connection; try again later", busy=True)
    if is_sqlite(url):
        code = getattr(original, "sqlite_errorname", "") or ""
        for begins, means, busy in SQLITE:
            if code.startswith(begins):
                return StorageError(f"{place} {means}" + (f" ({text})" if begins == "SQLITE_IOERR" else ""), busy=busy)
        return StorageError(f"{place}: {text}")
    code = getattr(original, "sqlstate", None) or ""
    for begins, means, busy in POSTGRESQL:
        if code.startswith(begins):
            lost = code.startswith(("57P", "08"))
            return StorageError(f"{place} {means}: {text}", busy=busy, lost=lost)
    lost = not code or getattr(error, "connection_invalidated", False)
    return StorageError(f"{place} cannot be reached: {text}" if lost else f"{place}: {text}", busy=lost, lost=lost)
