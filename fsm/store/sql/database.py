"""The durable storage: messages, journal and holders of a store in one database, changed together.

    storage = Database("folder/store.db")                       # a SQLite file that only this user can access
    storage = Database("postgresql+psycopg://user@host/name")   # for several hosts

Theory.
1. Opening removes dead holders first: their claims lapse, their queued messages become unowned, and all unowned
   messages are adopted.  Closing does the same to this holder, so being killed is nothing special.
2. A file that is removed while it is open can still be written to, but its content is lost.  So the identity of the
   file is checked before each transaction and after each commit.
3. A server that is lost during a commit may have made it.  The journal tells: if the last entry that the transaction
   wrote is there, all of it has happened, and otherwise nothing.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Final

import sqlalchemy as sa

from fsm.store.errors import StorageError
from fsm.store.message import Message
from fsm.store.sql.cache import CACHE_SIZE, SubmittedCache
from fsm.store.sql.connect import (
    autocommit_connection,
    create_tables,
    display_name,
    engine_for,
    is_sqlite,
    storage_errors,
    url_for,
)
from fsm.store.sql.holders import Holder, Holders, lock_store, this_process
from fsm.store.sql.journal import is_written
from fsm.store.sql.messages import list_messages, read_message
from fsm.store.sql.notify import Notifier, notifier_for
from fsm.store.sql.transaction import DatabaseTransaction
from fsm.store.sql.watcher import Watcher
from fsm.store.storage import Opening, Policy, Transaction

__all__ = ["Database"]

LOG: Final = logging.getLogger("fsm.store")
PAUSE: Final = 0.1
"""Seconds between attempts to reach a lost server."""


class Database:
    """A storage in the database at `where`: a path, or a URL `postgresql+psycopg://…`.  `open()` connects to it.

    Processes that open the same `store` and `profile` are peers.  `policy` decides about lapsed claims.  `host` is the
    name of this machine (default: its host name); on other hosts this process counts as dead `lease` seconds after it
    last renewed its lease.  `clock` gives the time for leases, in seconds since 1970 (default: the server's clock, or
    this machine's for a file).  Waiting for a lock or a connection takes at most `patience` seconds.  `cache_size` is
    in bytes: see `cache.py`.
    """

    durable = True

    def __init__(
        self, where: str | Path, *, store: str = "default", profile: str = "default", policy: Policy = "resend",
        host: str | None = None, lease: float = 30.0, clock: Callable[[], float] | None = None, patience: float = 5.0,
        cache_size: int = CACHE_SIZE,
    ) -> None:  # fmt: skip
        self.url = url_for(where)
        self.store, self.profile = store, profile
        self.policy: Policy = policy
        self._host, self._lease, self._patience, self._cache_size = host, lease, patience, cache_size
        self._clock = clock or (time.time if is_sqlite(self.url) else None)
        self._opened: _Opened | None = None
        self._lock = Lock()
        """Held to close, and to give back a connection that another thread has used for reading."""

    def __str__(self) -> str:
        return display_name(self.url)

    def open(self) -> Opening:
        """See `Storage`.  A database that was closed can be opened again, as another holder."""
        if self._opened is not None:
            raise StorageError(f"{self} is open already")
        with ExitStack() as undo:
            engine = engine_for(self.url, self._patience)
            undo.callback(engine.dispose)
            with storage_errors(self.url), engine.begin() as connection:
                create_tables(connection, self.url)
                number = lock_store(connection, self.store, self.profile)
                me = Holder(secrets.token_hex(6), number, this_process(self._host), self._lease, self._clock)
                notifier, cache = notifier_for(engine, me), SubmittedCache(self._cache_size)
                undo.callback(notifier.close)
                opening = DatabaseTransaction(connection, me, self.policy, cache).register(notifier.address)
            file = _file_id(self.url)
            self._notify(engine, me, notifier)
            self._opened = _Opened(engine, me, notifier, Watcher(engine, me, notifier), cache, file)
            undo.pop_all()
        return opening

    def _notify(self, engine: sa.Engine, me: Holder, notifier: Notifier) -> None:
        with storage_errors(self.url), autocommit_connection(engine) as connection:
            notifier.notify(Holders(connection, me))

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """See `Storage`.  After an error the storage remains usable, and connects again if it has to.

        The StorageError is not `certain` if the server is lost during the commit and not back within `patience`.
        """
        opened = self._must_be_open()
        self._must_be_in_place(opened, certain=True)
        connection = None
        try:
            with storage_errors(self.url):
                connection, at_commit = opened.connect(), False
                try:
                    with connection.begin():
                        transaction = self._new_transaction(opened, connection)
                        transaction.messages.unclaim(opened.perhaps_claimed)
                        yield transaction
                        transaction.flush()
                        at_commit = True
                except sa.exc.DBAPIError as error:
                    if not at_commit or not error.connection_invalidated or is_sqlite(self.url):
                        raise
                    opened.disconnect()
                    if not self._was_committed(opened, transaction):
                        raise
        except BaseException:
            if connection is not None:  # its state is unknown: perhaps it has not even rolled back
                opened.disconnect()
            raise
        opened.perhaps_claimed = ()
        self._must_be_in_place(opened, certain=False)
        opened.left = transaction.messages.left
        opened.cache.add(transaction.messages.submitted.values())
        if transaction.peers_changed:
            opened.watcher.left = opened.left
            opened.watcher.notify_peers()

    def _new_transaction(self, opened: _Opened, connection: sa.Connection) -> DatabaseTransaction:
        return DatabaseTransaction(connection, opened.me, self.policy, opened.cache, left=opened.left)

    def _must_be_open(self) -> _Opened:
        if (opened := self._opened) is None:
            raise StorageError(f"{self} is not open")
        return opened

    def _must_be_in_place(self, opened: _Opened, *, certain: bool) -> None:
        if opened.file is not None and opened.file != _file_id(self.url, opened.file):
            problem = f"{self} was removed or replaced while it was open: nothing can be stored there any more"
            raise StorageError(problem, certain=certain)

    def _was_committed(self, opened: _Opened, transaction: DatabaseTransaction) -> bool:
        """Return whether a commit without an answer was made, by the last journal entry that it wrote.

        If that is impossible to find out, the next transaction unclaims what this one has claimed.
        """
        until = time.monotonic() + self._patience
        while (entry := transaction.journal.last) is not None:
            try:
                with opened.engine.begin() as connection:
                    return is_written(connection, entry)
            except sa.exc.SQLAlchemyError:
                if time.monotonic() >= until:
                    break
            time.sleep(PAUSE)
        opened.perhaps_claimed = (*opened.perhaps_claimed, *transaction.messages.claimed)
        problem = f"{self} was lost during a commit, and is not back: the change may have been made"
        raise StorageError(problem, busy=True, certain=False)

    def watch(self, changed: Callable[[], None]) -> None:
        """See `Storage`.  The callback is also called once at the beginning: a peer may have come before."""
        self._must_be_open().watcher.start(changed)

    def notify_peers(self) -> None:
        """See `Storage`."""
        if (opened := self._opened) is not None:
            opened.watcher.notify_peers()

    def messages(self, *states: str) -> list[Message]:
        """See `Storage`."""
        with self._reading() as (connection, number):
            return list_messages(connection, number, states)

    def message(self, id: str) -> Message | None:
        """See `Storage`."""
        with self._reading() as (connection, number):
            return read_message(connection, number, id)

    @contextmanager
    def _reading(self) -> Iterator[tuple[sa.Connection, int]]:
        """Return a connection for reading, in any thread, and the number of the store."""
        opened = self._must_be_open()
        with storage_errors(self.url):
            connection = autocommit_connection(opened.engine)
            try:
                yield connection, opened.me.store
            finally:
                with self._lock:
                    if self._opened is not opened:  # closed meanwhile, so the pool would keep it open
                        connection.invalidate()
                    connection.close()

    def close(self) -> None:
        """See `Storage`.  Claims lapse.  If the database cannot be reached, the peers find out by themselves."""
        if (opened := self._opened) is None:
            return
        opened.watcher.close()
        try:
            with storage_errors(self.url):
                connection = opened.connect()
                with connection.begin():
                    self._new_transaction(opened, connection).unregister()
            self._notify(opened.engine, opened.me, opened.notifier)
        except StorageError as error:
            LOG.warning("cannot record that %s was closed; its peers will find out: %s", self, error)
        finally:
            with self._lock:
                self._opened = None
            opened.close()


@dataclass(slots=True)
class _Opened:
    """The resources and the state of an open database.

    `file` is the identity of the file.  `left` is true once this holder has left.  `perhaps_claimed` are the ids of
    messages that were claimed by transactions which may or may not have been committed.
    """

    engine: sa.Engine
    me: Holder
    notifier: Notifier
    watcher: Watcher
    cache: SubmittedCache
    file: tuple[int, int] | None
    left: bool = False
    perhaps_claimed: tuple[str, ...] = ()
    connection: sa.Connection | None = None

    def connect(self) -> sa.Connection:
        """Return the connection for transactions."""
        if self.connection is None:
            self.connection = self.engine.connect()
        return self.connection

    def disconnect(self) -> None:
        """Drop the connection for transactions."""
        connection, self.connection = self.connection, None
        if connection is not None:
            with suppress(Exception):
                connection.invalidate()
                connection.close()

    def close(self) -> None:
        """Release all resources."""
        if self.connection is not None:
            with suppress(Exception):
                self.connection.close()
        self.notifier.close()
        self.engine.dispose()


def _file_id(url: sa.URL, known: tuple[int, int] | None = None) -> tuple[int, int] | None:
    """Return the identity of a database's file: None if there is no file, `known` if it cannot be read."""
    try:
        found = Path(str(url.database)).stat() if is_sqlite(url) else None
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        return known
    return (found.st_dev, found.st_ino) if found is not None else None
