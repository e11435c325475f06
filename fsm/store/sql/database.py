"""The durable storage: messages, journal and holders of a store in one database, changed together.

    storage = Database("folder/store.db")                       # a SQLite file, of this user's alone
    storage = Database("postgresql+psycopg://user@host/name")   # for several hosts

Theory.
1. A transaction is one of the database's: what became of messages (`messages.py`), the entries that tell of it
   (`journal.py`) and who comes or goes (`holders.py`) are there together, or not at all.
2. Who opens sweeps first: holders that died are holders no more, what they were sending has lapsed, what they had
   queued is nobody's, and whatever is nobody's is adopted.
3. A holder that closes does to itself what a sweep would do to it.  Being killed is therefore nothing special.
4. A file that is taken away while it is open can still be written to, and nobody will ever read that: so after each
   commit it is looked at.
5. A server that goes away in the middle of a commit may have made it.  The journal tells: what the transaction wrote
   last is there, and then all of it has happened, or it is not.

This file knows no machine; it puts the four rooms beneath it together.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import Final

try:
    import sqlalchemy as sa
except ModuleNotFoundError as missing:
    told = "a store in a database needs SQLAlchemy: pip install 'fsm-logoff[store]'"
    raise ModuleNotFoundError(told, name=missing.name) from None

from fsm.store.errors import StorageError
from fsm.store.message import Message
from fsm.store.sql.cache import ROOM, Recent
from fsm.store.sql.connect import address, autocommitting, engine_for, is_sqlite, named, prepared, trouble
from fsm.store.sql.holders import Holder, Registry, here, lock_store
from fsm.store.sql.journal import Ledger, is_written, read, trim
from fsm.store.sql.messages import Outbox
from fsm.store.sql.notify import Bell, bell_for
from fsm.store.sql.schema import listed, whole
from fsm.store.sql.watcher import Watch
from fsm.store.storage import Opening, Peer, Policy, Transaction

__all__ = ["Database", "read"]

LOG: Final = logging.getLogger("fsm.store")
PAUSE: Final = 0.1
"""Seconds between two looks whether a lost server is back."""


class Database:
    """Storage in the database at `where`: a path, or a URL `postgresql+psycopg://…`.  Nothing happens before `open()`.

    `store` and `profile` name what is opened there; who opens the same is a peer.  `policy` says what becomes of
    messages whose sender died.  `host` is this machine's name, `lease` how many seconds another host waits before it
    takes us for dead.  `clock` is what leases are read off, in seconds since 1970 (default: the server's clock, or
    this machine's for a file).  `patience` is how many seconds a lock or a connection is waited for.  `recent` is how
    many octets of submitted messages that wait are kept in memory, so that they need not be read.
    """

    durable = True

    def __init__(
        self, where: str | Path, *, store: str = "default", profile: str = "default", policy: Policy = "resend",
        host: str | None = None, lease: float = 30.0, clock: Callable[[], float] | None = None, patience: float = 5.0,
        recent: int = ROOM,
    ) -> None:  # fmt: skip
        self.url = address(where)
        self.store, self.profile, self.policy = store, profile, policy
        self._host, self._lease, self._patience, self._room = host, lease, patience, recent
        self._clock = clock or (time.time if is_sqlite(self.url) else None)
        self._lock = Lock()  # of what follows, for `messages`, `notify_peers` and `close`
        self._engine: sa.Engine | None = None
        self._connection: sa.Connection | None = None
        self._holder: Holder | None = None
        self._bell: Bell | None = None
        self._watch: Watch | None = None
        self._left = False
        self._recent = Recent(recent)
        self._file: tuple[int, int] | None = None
        self._unsure: tuple[str, ...] = ()
        """What was claimed in transactions of which nobody knows whether they were committed."""

    def __str__(self) -> str:
        return named(self.url)

    def open(self) -> Opening:
        """See `Storage`.  Can be called again after `close`; the holder is another one then."""
        if self._engine is not None:
            raise StorageError(f"{self} is open already")
        engine = self._engine = engine_for(self.url, self._patience)
        try:
            with trouble(self.url), engine.begin() as connection:
                prepared(connection, self.url)
                opening = self._enter(connection)
            self._file = _identity(self.url)
            self._say()
        except BaseException:
            self._release()
            raise
        assert self._holder is not None
        assert self._bell is not None
        self._watch = Watch(engine, self._holder, self._bell, self._clock)
        return opening

    def _enter(self, connection: sa.Connection) -> Opening:
        number = lock_store(connection, self.store, self.profile)
        self._holder = Holder(secrets.token_hex(6), number, here(self._host), self._lease)
        self._recent = Recent(self._room)
        self._left = False
        assert self._engine is not None
        self._bell = bell_for(self._engine, self._holder)
        transaction = _Transaction(self, connection)
        peers, _ = transaction.registry.sweep()
        transaction.registry.enter(self._bell.address)
        lapsed = transaction.lapse(self.policy)
        share = transaction.adopt()
        trim(connection, [self._holder.id, *(row.id for row in transaction.registry.others())])
        return Opening(self._holder.id, share, peers, lapsed)

    def _say(self) -> None:
        """Ring the others, now that it is committed that we came or went: before, they would look and see nothing."""
        assert self._engine is not None
        assert self._bell is not None
        assert self._holder is not None
        with trouble(self.url), autocommitting(self._engine) as connection:
            self._bell.ring(Registry(connection, self._holder, self._clock))

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """See `Storage`.  After an error the storage can be used on; when the database was away, it is reached anew.

        StorageError that is not `certain` when the server was lost at the end and is not back within `patience`.
        """
        connection = None
        self._must_be_in_place(certain=True)
        try:
            with trouble(self.url):
                connection, ended = self._writer(), False
                try:
                    with connection.begin():
                        transaction = _Transaction(self, connection)
                        transaction.give_back(self._unsure)
                        yield transaction
                        transaction.finish()
                        ended = True
                except sa.exc.DBAPIError as error:
                    if not ended or not error.connection_invalidated or is_sqlite(self.url):
                        raise
                    self._drop(connection)
                    if not self._happened(transaction):
                        raise
        except BaseException:
            if connection is not None:  # in whatever state it is: perhaps it did not even roll back
                self._drop(connection)
            raise
        self._unsure = ()
        self._must_be_in_place(certain=False)
        self._left = transaction.left
        self._recent.keep(transaction.waiting.values())
        if transaction.comes_or_goes and self._watch is not None:
            self._watch.left = self._left
            self._watch.ring()

    def _drop(self, connection: sa.Connection) -> None:
        self._connection = None
        with suppress(Exception):
            connection.invalidate()
            connection.close()

    def _must_be_in_place(self, *, certain: bool) -> None:
        if self._file is not None and self._file != _identity(self.url, self._file):
            told = f"{self} was removed or replaced while it was open: nothing can be kept there any more"
            raise StorageError(told, certain=certain)

    def _happened(self, transaction: _Transaction) -> bool:
        """Whether a commit whose answer was lost has been made, by the last entry that it wrote.

        When nobody can be asked, what it claimed is given back by the next transaction.
        """
        assert self._engine is not None
        until = time.monotonic() + self._patience
        while (entry := transaction.ledger.last) is not None:
            try:
                with self._engine.begin() as connection:
                    return is_written(connection, entry)
            except sa.exc.SQLAlchemyError:
                if time.monotonic() >= until:
                    break
            time.sleep(PAUSE)
        self._unsure = (*self._unsure, *transaction.claimed)
        why = f"{self} was lost while it kept a change, and is not back: it may have kept it"
        raise StorageError(why, busy=True, certain=False)

    def _writer(self) -> sa.Connection:
        if self._engine is None:
            raise StorageError(f"{self} is not open")
        if self._connection is None:
            self._connection = self._engine.connect()
        return self._connection

    def watch(self, changed: Callable[[], None]) -> None:
        """See `Storage`.  It is called once at the beginning, too, as somebody may have come before."""
        if self._watch is None:
            raise StorageError(f"{self} is not open")
        self._watch.start(changed)

    def notify_peers(self) -> None:
        """See `Storage`."""
        if (watch := self._watch) is not None:
            watch.ring()

    def messages(self, *states: str) -> list[Message]:
        """See `Storage`."""
        with self._reading() as (connection, number):
            return listed(connection, number, states)

    def message(self, id: str) -> Message | None:
        """See `Storage`."""
        with self._reading() as (connection, number):
            return whole(connection, number, id)

    @contextmanager
    def _reading(self) -> Iterator[tuple[sa.Connection, int]]:
        with self._lock:
            engine, holder = self._engine, self._holder
        if engine is None or holder is None:
            raise StorageError(f"{self} is not open")
        with trouble(self.url):
            connection = autocommitting(engine)
            try:
                yield connection, holder.number
            finally:
                with self._lock:
                    if self._engine is not engine:  # closed meanwhile: nobody would take it back
                        connection.invalidate()
                    connection.close()

    def close(self) -> None:
        """See `Storage`.  What is still claimed then lapses.  A database that is away is told by our absence."""
        if self._engine is None:
            return
        if self._watch is not None:
            self._watch.close()
        try:
            with trouble(self.url):
                connection = self._writer()
                with connection.begin():
                    transaction = _Transaction(self, connection)
                    transaction.registry.lock()
                    transaction.registry.close()
                    transaction.lapse(self.policy)
            self._say()
        except StorageError as error:
            LOG.warning("closed without being able to say so; peers will notice: %s", error)
        finally:
            self._release()

    def _release(self) -> None:
        with self._lock:
            engine, self._engine = self._engine, None
            self._holder = self._watch = None
        if self._connection is not None:
            with suppress(Exception):
                self._connection.close()
            self._connection = None
        if self._bell is not None:
            self._bell.close()
            self._bell = None
        if engine is not None:
            engine.dispose()


def _identity(url: sa.URL, known: tuple[int, int] | None = None) -> tuple[int, int] | None:
    """Which file it is; None for a server, or when there is none; `known` when it cannot be looked at."""
    try:
        found = Path(str(url.database)).stat() if is_sqlite(url) else None
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        return known
    return (found.st_dev, found.st_ino) if found is not None else None


class _Transaction(Outbox):
    """A transaction: the outbox's part, with the ledger's and the registry's.  See `storage.Transaction`."""

    def __init__(self, database: Database, connection: sa.Connection) -> None:
        holder = database._holder
        assert holder is not None
        super().__init__(connection, holder.number, holder.id, database._recent, left=database._left)
        self.registry = Registry(connection, holder, database._clock)
        self.ledger = Ledger(connection)
        self.comes_or_goes = False
        self._database = database

    def begin(self, session: str, header: str, line: str) -> None:
        self.ledger.begin(session, header, line)

    def record(self, session: str, line: str) -> None:
        self.ledger.record(session, line)

    def peers(self) -> tuple[Peer, ...]:
        self.flush()
        self.registry.lock()
        peers, dead = self.registry.sweep()
        if dead:
            self.lapse(self._database.policy)
            self.comes_or_goes = True
        return peers

    def leave(self) -> None:
        self.flush()
        self.registry.lock()
        self.abandon()
        self.registry.leave()
        self.comes_or_goes = True

    def finish(self) -> None:
        """Write what was collected."""
        self.flush()
        self.ledger.flush()

    def _lives(self, owner: str) -> bool:
        return self.registry.lives(owner)
