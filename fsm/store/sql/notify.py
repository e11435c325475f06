"""Notifiers: how the holders of one store wake each other.

Theory.
1. For a SQLite file it is a Unix datagram socket for each holder, in a folder of this user's alone; the socket's path
   is in the holder's row.  For PostgreSQL it is LISTEN and NOTIFY, on a channel for each store.
2. Notifying never blocks, and a notification that gets lost is no error: the watcher also looks now and then.
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
from fsm.store.sql.holders import Holder, Holders

if TYPE_CHECKING:
    import psycopg

__all__ = ["Notifier", "notifier_for"]

LOG: Final = logging.getLogger("fsm.store")


class Notifier(Protocol):
    """How a holder notifies the others, and is notified.  `address` is what its row says, for the others."""

    address: str

    def listen(self, connection: sa.Connection) -> int:
        """Listen with this connection from now on; return the file descriptor that is readable when notified."""

    def notified(self) -> bool:
        """Whether a notification came since the last call.  Never blocks."""

    def notify(self, others: Holders) -> None:
        """Notify the others.  Call it after the commit: they read the database immediately."""

    def close(self) -> None:
        """Stop listening."""


class SocketNotifier:
    """For those who share a file: a datagram socket each."""

    def __init__(self, holder: Holder) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self.address = ""
        try:
            folder = runtime_folder()
            _remove_dead_sockets(folder)
            self._socket.bind(str(folder / holder.id))
            self.address = str(folder / holder.id)
        except (OSError, RuntimeFolderError) as error:
            # peers are then noticed by their ends, and with each renewal
            LOG.warning("holder %s cannot be notified by its peers: %s", holder.id, error)

    def listen(self, connection: sa.Connection) -> int:
        return self._socket.fileno()

    def notified(self) -> bool:
        notified = False
        with suppress(BlockingIOError):
            while True:
                self._socket.recv(64)
                notified = True
        return notified

    def notify(self, others: Holders) -> None:
        for row in others.others():
            if row.bell:
                with suppress(OSError):  # gone, or so full that it will wake anyway
                    self._socket.sendto(b"!", row.bell)

    def close(self) -> None:
        self._socket.close()
        if self.address:
            with suppress(OSError):
                Path(self.address).unlink()


class ListenNotifier:
    """For those who share a server: a channel for each store, to which a holder sends its own id."""

    def __init__(self, holder: Holder) -> None:
        self.address = f"fsm_store_{holder.store}"
        self._id = holder.id
        self._connection: psycopg.Connection[Any] | None = None

    def listen(self, connection: sa.Connection) -> int:
        driver: psycopg.Connection[Any] = connection.connection.driver_connection  # type: ignore[assignment]
        connection.execute(sa.text(f"LISTEN {self.address}"))
        self._connection = driver
        return driver.fileno()

    def notified(self) -> bool:
        notified = False
        if self._connection is not None:
            with suppress(Exception):  # a broken connection is found out when it is used next, which is now
                for notification in self._connection.notifies(timeout=0):
                    notified = notified or notification.payload != self._id
        return notified

    def notify(self, others: Holders) -> None:
        others.connection.execute(sa.select(sa.func.pg_notify(self.address, self._id)))

    def close(self) -> None:
        self._connection = None


def notifier_for(engine: sa.Engine, holder: Holder) -> Notifier:
    """The notifier of a holder."""
    return SocketNotifier(holder) if is_sqlite(engine.url) else ListenNotifier(holder)


def _remove_dead_sockets(folder: Path) -> None:
    """Remove the sockets of processes that were killed: nobody listens there."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        for path in folder.iterdir():
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                if path.is_socket():
                    path.unlink(missing_ok=True)
            except OSError:
                pass
