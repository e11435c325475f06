"""Bells: how the holders of one store wake each other.

Theory.
1. A SQLite store's bell is a Unix datagram socket for each holder, in a folder of this user's alone; its address is in
   the holder's row.  A PostgreSQL store's is LISTEN and NOTIFY, on a channel for each store.
2. Ringing never waits, and a ring that nobody hears is no error: the registry is looked at now and then as well.

This file does not know what a ring means.
"""

from __future__ import annotations

import logging
import socket
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import sqlalchemy as sa

from fsm.store.errors import RuntimeFolderError
from fsm.store.runtime_folder import runtime_folder
from fsm.store.sql.connect import is_sqlite
from fsm.store.sql.holders import Holder, Registry

if TYPE_CHECKING:
    import psycopg

__all__ = ["Bell", "bell_for"]

LOG: Final = logging.getLogger("fsm.store")


class Bell(Protocol):
    """How holders of one store wake each other.  `address` is where ours is heard."""

    address: str

    def listen(self, connection: sa.Connection) -> int:
        """The file descriptor to wait on, from now on, with this connection to the database."""

    def heard(self) -> bool:
        """Whether it rang since it was last asked.  Never waits."""

    def ring(self, registry: Registry) -> None:
        """Ring the others', whom this connection knows of, now.  Not in a transaction: they look at once."""

    def close(self) -> None:
        """Let it go."""


class _Socket:
    """The bell of those who share a file: a datagram socket each."""

    def __init__(self, holder: Holder) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self.address = ""
        try:
            folder = runtime_folder()
            _tidy(folder)
            self._socket.bind(str(folder / holder.id))
            self.address = str(folder / holder.id)
        except (OSError, RuntimeFolderError) as error:
            # peers are then noticed by their ends, and with each renewal
            LOG.warning("no bell for holder %s: %s", holder.id, error)

    def listen(self, connection: sa.Connection) -> int:
        return self._socket.fileno()

    def heard(self) -> bool:
        rang = False
        with suppress(BlockingIOError):
            while True:
                self._socket.recv(64)
                rang = True
        return rang

    def ring(self, registry: Registry) -> None:
        for row in registry.others():
            if row.bell:
                with suppress(OSError):  # gone, or so full that it will wake anyway
                    self._socket.sendto(b"!", row.bell)

    def close(self) -> None:
        self._socket.close()
        if self.address:
            with suppress(OSError):
                Path(self.address).unlink()


class _Channel:
    """The bell of those who share a server: a channel for each store, on which one says one's own name."""

    def __init__(self, holder: Holder) -> None:
        self.address = f"fsm_store_{holder.number}"
        self._me = holder.id
        self._rang = False
        self._connection: psycopg.Connection[Any] | None = None

    def listen(self, connection: sa.Connection) -> int:
        driver: psycopg.Connection[Any] = connection.connection.driver_connection  # type: ignore[assignment]
        driver.add_notify_handler(self._note)  # for those that come in while the connection is used otherwise
        connection.execute(sa.text(f"LISTEN {self.address}"))
        self._connection = driver
        return driver.fileno()

    def heard(self) -> bool:
        if self._connection is not None:
            link = self._connection.pgconn
            with suppress(Exception):  # a broken link is found out when it is used next, which is now
                link.consume_input()
                while (told := link.notifies()) is not None:
                    self._rang = self._rang or told.extra.decode() != self._me
        rang, self._rang = self._rang, False
        return rang

    def _note(self, told: psycopg.Notify) -> None:
        self._rang = self._rang or told.payload != self._me

    def ring(self, registry: Registry) -> None:
        registry.connection.execute(sa.select(sa.func.pg_notify(self.address, self._me)))

    def close(self) -> None:
        self._connection = None


def bell_for(engine: sa.Engine, holder: Holder) -> Bell:
    """The bell of a holder."""
    return _Socket(holder) if is_sqlite(engine.url) else _Channel(holder)


def _tidy(folder: Path) -> None:
    """Remove the bells of those who were killed: nobody hears them."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        for path in folder.iterdir():
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                if path.is_socket():
                    path.unlink(missing_ok=True)
            except OSError:
                pass
