"""The durable storage: messages, journal and processes of many stores in one database, changed together.

    storage = Database("folder/store.db")                       # a SQLite file that only this user can access
    storage = Database("postgresql+psycopg://user@host/name")   # for several hosts

Theory.
1. All stores share one connection for writing, which the committing thread has; the watcher has one, and readers.
2. Being killed is nothing special: whoever opens or looks removes the dead.  Closing does the same to this process.
3. A file that is removed while it is open can still be written to, but its content is lost.  So the identity of the
   file is checked before each transaction and after each commit.
4. A server that is lost during a commit may have made it.  The journal tells: if the row that the transaction wrote is
   there, all of it has happened, and otherwise nothing.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Awaitable, Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Final

import sqlalchemy as sa

from fsm.store.errors import StorageError
from fsm.store.log import about
from fsm.store.message import Message, no_id_before
from fsm.store.sql.connect import (
    autocommit_connection,
    check_version,
    create_tables,
    display_name,
    engine_for,
    is_sqlite,
    storage_errors,
    url_for,
)
from fsm.store.sql.deposit import FILE, SERVER, Identity, Query, deposit, identity_of, over
from fsm.store.sql.driver import Driver, driver_for
from fsm.store.sql.journal import JournalWriter, Keep, is_written
from fsm.store.sql.listing import list_messages, list_stores, read_message
from fsm.store.sql.notify import Bell, bell_for
from fsm.store.sql.parts import changed_since
from fsm.store.sql.processes import Lease, Process, Processes, this_process
from fsm.store.sql.transaction import DatabaseTransaction
from fsm.store.sql.watcher import Watcher
from fsm.store.storage import Handle, News, Removed, Rows, Steps

__all__ = ["Database"]

LOG: Final = logging.getLogger("fsm.store")
PAUSE: Final = 0.1
"""Seconds between attempts to reach a lost server."""
NEWEST: Final = "SELECT max(id) FROM fsm_messages"


class Database:
    """A storage in the database at `where`: a path, or a URL `postgresql+psycopg://…`.  `open()` connects to it.

    Processes that open the same store of the same `profile` are peers; `store` is the name of the one that `Store`
    opens.  `host` is the name of this machine (default: its host name); on other hosts this process counts as dead
    `lease` seconds after it last renewed its lease.  `clock` gives the time for leases, in seconds since 1970 (default:
    the server's clock, or this machine's for a file).  Waiting for a lock or a connection takes at most `patience`
    seconds.  `journal` is how much of the journal is kept.
    """

    durable = True

    def __init__(
        self, where: str | Path, *, store: str = "default", profile: str = "default", host: str | None = None,
        lease: float = 30.0, clock: Callable[[], float] | None = None, patience: float = 5.0,
        journal: Keep | None = None,
    ) -> None:  # fmt: skip
        self.url = url_for(where)
        self.notifies = not is_sqlite(self.url)
        self._file = None if self.notifies else str(self.url.database)
        self.store, self.profile = store, profile
        self._host, self._patience = host, patience
        self._lease = Lease(lease, clock or (time.time if is_sqlite(self.url) else None))
        self._keep = journal if journal is not None else Keep()
        self._opened: _Opened | None = None
        self._identity: Identity | None = None
        self._lock = Lock()
        """Held to close, and to give back a connection that another thread has used for reading."""

    def __str__(self) -> str:
        return display_name(self.url)

    @property
    def segment(self) -> int:
        """See `Storage`."""
        return self._opened.journal.segment if self._opened is not None else 0

    def open(self) -> None:
        """See `Storage`.  A database that was closed can be opened again, as another process."""
        if self._opened is not None:
            raise StorageError(f"{self} is open already")
        with ExitStack() as undo:
            engine = engine_for(self.url, self._patience)
            undo.callback(engine.dispose)
            with storage_errors(self.url):
                with engine.begin() as connection:
                    create_tables(connection, self.url)
                process, bell = this_process(self._host), bell_for(engine)
                undo.callback(bell.close)
                with engine.begin() as connection:
                    driver = driver_for(connection.connection.driver_connection, self._patience)
                    me = Processes(driver, 0, process, self._lease).register(bell.address)
                    no_id_before(driver.fetch(NEWEST)[0][0] or "")
            watcher = Watcher(engine, me, process, self._lease, bell)
            journal = JournalWriter(self._keep)
            self._opened = _Opened(engine, me, process, bell, watcher, journal, _file_id(self._file))
            undo.pop_all()
        watcher.announce(self._patience)

    @contextmanager
    def transaction(self, *, fenced: bool = True) -> Iterator[DatabaseTransaction]:
        """See `Storage`.  After an error the storage remains usable, and connects again if it has to.

        The StorageError is not `certain` if the server is lost during the commit and not back within `patience`.
        """
        opened = self._must_be_open()
        self._must_be_in_place(opened, certain=True)
        transaction: DatabaseTransaction | None = None
        at_commit = False
        try:
            with storage_errors(self.url):
                driver = opened.connect(self._patience)
                if not driver.begin(opened.me if fenced else None):
                    raise Removed
                processes = Processes(driver, opened.me, opened.process, self._lease)
                transaction = DatabaseTransaction(driver, processes, self.profile, opened.journal, opened.bell.address)
                yield transaction
                transaction.finish()
                at_commit = True
                driver.commit()
        except BaseException as error:
            lost = at_commit and opened.is_lost(error)
            opened.disconnect()  # its state is unknown: perhaps it has not even rolled back
            if lost and transaction is not None and self._was_committed(opened, driver.wrote):
                pass
            else:
                opened.journal.forget()
                if transaction is not None and not lost:
                    transaction.undo()
                if _is_fence(error):
                    raise Removed from error
                raise
        assert transaction is not None
        opened.me = opened.watcher.me = processes.me
        self._must_be_in_place(opened, certain=False)
        opened.watcher.saw(processes.seen)
        if transaction.parts.swept:
            opened.watcher.ring(News("peers"))

    def _must_be_open(self) -> _Opened:
        if (opened := self._opened) is None:
            raise StorageError(f"{self} is not open")
        return opened

    def _must_be_in_place(self, opened: _Opened, *, certain: bool) -> None:
        if opened.file is not None and opened.file != _file_id(self._file, opened.file):
            problem = f"{self} was removed or replaced while it was open: nothing can be stored there any more"
            raise StorageError(problem, certain=certain)

    def _was_committed(self, opened: _Opened, wrote: bool) -> bool:
        """Return whether a commit without an answer was made, by the row of the journal that it wrote."""
        if not wrote:
            return True
        until = time.monotonic() + self._patience
        while True:
            try:
                return self._is_written(opened)
            except sa.exc.SQLAlchemyError:
                if time.monotonic() >= until:
                    break
            time.sleep(PAUSE)
        problem = f"{self} was lost during a commit, and is not back: the change may have been made"
        raise StorageError(problem, busy=True, certain=False)

    def _is_written(self, opened: _Opened) -> bool:
        with opened.engine.begin() as connection:
            return is_written(connection, opened.me, opened.journal.serial)

    def settle(self) -> bool:
        """See `Storage`."""
        opened = self._must_be_open()
        self._must_be_in_place(opened, certain=True)
        if is_sqlite(self.url):
            return True  # it was committed to the file that is in place again
        with storage_errors(self.url):
            return self._is_written(opened)

    def survey(self, handles: Sequence[Handle], peers: Sequence[int]) -> frozenset[int]:
        """See `Storage`."""
        opened = self._must_be_open()
        with self._reading() as connection:
            driver = driver_for(connection.connection.driver_connection, self._patience)
            processes = Processes(driver, opened.me, opened.process, self._lease)
            return changed_since(driver, processes, handles, peers)

    def watch(self, changed: Callable[[News], None]) -> None:
        """See `Storage`.  The callback is also called once at the beginning: somebody may have come before."""
        self._must_be_open().watcher.start(changed)

    def ring(self, news: News) -> None:
        """See `Storage`."""
        if (opened := self._opened) is not None:
            opened.watcher.ring(news)

    def messages(self, store: str | None = None, *states: str) -> list[Message]:
        """See `Storage`.  A database that is not open is read, too."""
        with self._reading() as connection:
            return list_messages(connection, self.store if store is None else store, self.profile, states)

    def stores(self) -> list[str]:
        """Return the names of the stores of this profile, sorted, whether or not somebody has them open."""
        with self._reading() as connection:
            return list_stores(connection, self.profile)

    def message(self, store: str, id: str) -> Message | None:
        """See `Storage`."""
        with self._reading() as connection:
            return read_message(connection, store, self.profile, id)

    def deposit(self, handle: Handle, message: Message, connection: object) -> Steps:
        """See `Storage`."""
        return deposit(self.over(connection), handle.number, message, postgresql=not is_sqlite(self.url))

    def over(
        self, connection: object, nothing: str = "nothing was submitted"
    ) -> Generator[Rows | Awaitable[Rows], Rows, Query]:
        """Return how to execute statements over a connection to this database, after looking whether it is one.

        StorageError if it leads elsewhere; it says `nothing`, and nothing has happened in its transaction.
        """
        kind = "sqlite" if is_sqlite(self.url) else "postgresql"
        return over(connection, kind, str(self), self._is_ours, nothing)

    def _is_ours(self, identity: Identity) -> bool:
        if identity != self._identity:  # it is not known yet, or the server has been started again
            kind, text = ("sqlite", FILE) if is_sqlite(self.url) else ("postgresql", SERVER)
            with self._reading() as connection:
                self._identity = identity_of(kind, connection.execute(sa.text(text)).all())
        return identity == self._identity

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        """Return a connection for reading, in any thread."""
        opened = self._opened
        with storage_errors(self.url):
            engine = opened.engine if opened is not None else engine_for(self.url, self._patience, reading=True)
            try:
                connection = autocommit_connection(engine)
                try:
                    if opened is None:
                        check_version(connection, self.url)
                    yield connection
                finally:
                    with self._lock:
                        if self._opened is not opened:  # closed meanwhile, so the pool would keep it open
                            connection.invalidate()
                        connection.close()
            finally:
                if opened is None:
                    engine.dispose()

    def close(self) -> None:
        """See `Storage`.  Claims lapse.  If the database cannot be reached, the others find out by themselves."""
        with self._lock:
            opened, self._opened = self._opened, None
        if opened is None:
            return
        try:
            with storage_errors(self.url):
                driver = opened.connect(self._patience)
                if driver.begin(opened.me):
                    Processes(driver, opened.me, opened.process, self._lease).remove([opened.me])
                driver.commit()
            opened.watcher.ring(News("peers"))
        except StorageError as error:
            if not _is_fence(error):  # otherwise another process has removed this one already
                LOG.warning(
                    "cannot record that %s was closed; other processes will find out: %s", self, error,
                    extra=about(self),
                )  # fmt: skip
        finally:
            opened.watcher.close(self._patience)
            opened.close()


@dataclass(slots=True)
class _Opened:
    """The resources and the state of an open database; `file` is the identity of the file."""

    engine: sa.Engine
    me: int
    process: Process
    bell: Bell
    watcher: Watcher
    journal: JournalWriter
    file: tuple[int, int] | None
    connection: sa.Connection | None = None
    driver: Driver | None = None

    def connect(self, patience: float) -> Driver:
        """Return the driver of the connection for transactions."""
        if self.driver is None:
            self.connection = autocommit_connection(self.engine)
            self.driver = driver_for(self.connection.connection.driver_connection, patience)
        return self.driver

    def is_lost(self, error: BaseException) -> bool:
        """Return whether the server was lost, so that nobody can tell what came of a commit."""
        return isinstance(error, StorageError) and error.lost and not is_sqlite(self.engine.url)

    def disconnect(self) -> None:
        """Drop the connection for transactions."""
        connection, driver, self.connection, self.driver = self.connection, self.driver, None, None
        if driver is not None:
            with suppress(Exception):
                driver.rollback()
        if connection is not None:
            with suppress(Exception):
                connection.invalidate()
                connection.close()

    def close(self) -> None:
        """Release all resources."""
        self.disconnect()
        self.engine.dispose()


def _is_fence(error: BaseException) -> bool:
    """Return whether the fence of a transaction did not hold: a division by zero, which nothing else does."""
    original = error.__cause__ if isinstance(error, StorageError) else error
    return getattr(original, "sqlstate", None) == "22012"


def _file_id(path: str | None, known: tuple[int, int] | None = None) -> tuple[int, int] | None:
    """Return the identity of a database's file: None if there is no file, `known` if it cannot be read."""
    if path is None:
        return None
    try:
        found = os.stat(path)  # noqa: PTH116 - twice in each transaction, and a Path takes as long as the look
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        return known
    return found.st_dev, found.st_ino
