"""Notifiers: how the holders of one store wake each other.

Theory.
1. For a SQLite file each holder has a Unix datagram socket in the runtime folder, whose path is in its row.  PostgreSQL
   has LISTEN and NOTIFY, with a channel for each store.
2. Notifying never blocks, and a lost notification is no error: the watcher also reads the holders from time to time.
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
    """Notifies the other holders, and receives their notifications at `address`, which is in the row of its holder."""

    address: str

    def listen(self, connection: sa.Connection) -> int:
        """Begin to listen on this connection; return a file descriptor that is readable after a notification."""

    def notified(self) -> bool:
        """Return whether a notification has arrived since the last call.  Never blocks."""

    def notify(self, others: Holders) -> None:
        """Notify the other holders.  Call it after the commit: they read the database immediately."""

    def close(self) -> None:
        """Stop listening."""


class SocketNotifier:
    """The notifier of a SQLite file: a datagram socket for each holder."""

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
            # this holder still notices when peers end, and the others when it renews its lease
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
                with suppress(OSError):  # it has gone, or it has not read earlier notifications yet
                    self._socket.sendto(b"!", row.bell)

    def close(self) -> None:
        self._socket.close()
        if self.address:
            with suppress(OSError):
                Path(self.address).unlink()


class ListenNotifier:
    """The notifier of PostgreSQL: a channel for each store, to which a holder sends its own id."""

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
            with suppress(Exception):  # the next statement on a broken connection reports the error
                for notification in self._connection.notifies(timeout=0):
                    notified = notified or notification.payload != self._id
        return notified

    def notify(self, others: Holders) -> None:
        others.connection.execute(sa.select(sa.func.pg_notify(self.address, self._id)))

    def close(self) -> None:
        self._connection = None


def notifier_for(engine: sa.Engine, holder: Holder) -> Notifier:
    """Return the notifier of a holder."""
    return SocketNotifier(holder) if is_sqlite(engine.url) else ListenNotifier(holder)


def _remove_dead_sockets(folder: Path) -> None:
    """Remove the sockets of processes that were killed."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        for path in folder.iterdir():
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                if path.is_socket():
                    path.unlink(missing_ok=True)
            except OSError:
                pass
