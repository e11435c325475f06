"""Bells: how the processes of a database wake each other, and what they say.

Theory.
1. For a SQLite file each process has a Unix datagram socket in the runtime folder, whose path is in its row.
   PostgreSQL has LISTEN and NOTIFY, with one channel for all.
2. A message says who rings, for what, and for which stores: `7;work;3,9`.  A star stands for all.  A process that has
   come rings without a store, so that the others watch it.
3. Ringing never blocks, and a lost ring is no error: everybody also looks from time to time.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Final, Protocol, cast, get_args

import sqlalchemy as sa

from fsm.store.errors import RuntimeFolderError
from fsm.store.log import about
from fsm.store.runtime_folder import runtime_folder
from fsm.store.sql.connect import display_name, is_sqlite
from fsm.store.storage import Kind, News

if TYPE_CHECKING:
    import psycopg

__all__ = ["CHANNEL", "Bell", "bell_for"]

LOG: Final = logging.getLogger("fsm.store")
CHANNEL: Final = "fsm_spooler"
MOST: Final = 700
"""Stores in one message, which PostgreSQL limits to 8,000 bytes."""


class Bell(Protocol):
    """Rings for the other processes, and hears them at `address`, which is in the row of its process."""

    address: str

    def listen(self, connection: sa.Connection) -> int:
        """Begin to listen on this connection; return a file descriptor that is readable after a ring."""

    def heard(self, me: int) -> list[News]:
        """Return what the others have rung for since the last call.  Never blocks."""

    def ring(self, me: int, news: Iterable[News], others: Sequence[str]) -> None:
        """Ring for the others, who hear at these addresses."""

    def close(self) -> None:
        """Stop listening."""


class SocketBell:
    """The bell of a SQLite file, which `name` tells: a datagram socket for each process."""

    def __init__(self, name: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self.address = ""
        try:
            folder = runtime_folder()
            _remove_dead_sockets(folder)
            address = str(folder / token_hex(6))
            self._socket.bind(address)
            self.address = address
        except (OSError, RuntimeFolderError) as error:
            # this process still notices when others end, and looks when it renews its lease
            LOG.warning("other processes cannot notify this one: %s", error, extra=about(name))

    def listen(self, connection: sa.Connection) -> int:
        return self._socket.fileno()

    def heard(self, me: int) -> list[News]:
        texts: list[str] = []
        with suppress(BlockingIOError):
            while True:
                texts.append(self._socket.recv(1 << 16).decode(errors="replace"))
        return _parsed(texts, me)

    def ring(self, me: int, news: Iterable[News], others: Sequence[str]) -> None:
        for text in _texts(me, news):
            for address in filter(None, others):
                with suppress(OSError):  # it has gone, or it has not read earlier rings yet
                    self._socket.sendto(text.encode(), address)

    def close(self) -> None:
        self._socket.close()
        if self.address:
            with suppress(OSError):
                Path(self.address).unlink()


class ListenBell:
    """The bell of PostgreSQL."""

    address = CHANNEL

    def __init__(self) -> None:
        self._connection: psycopg.Connection[Any] | None = None
        self._texts: list[str] = []

    def listen(self, connection: sa.Connection) -> int:
        driver = cast("psycopg.Connection[Any]", connection.connection.driver_connection)
        # a notification may arrive with the result of any statement, and only a handler gets all of them
        driver.add_notify_handler(lambda notification: self._texts.append(notification.payload))
        driver.execute(f"LISTEN {CHANNEL}".encode())
        self._connection = driver
        return driver.fileno()

    def heard(self, me: int) -> list[News]:
        if self._connection is not None:
            server = self._connection.pgconn
            server.consume_input()
            while (notification := server.notifies()) is not None:
                self._texts.append(notification.extra.decode(errors="replace"))
        texts, self._texts[:] = [*self._texts], []
        return _parsed(texts, me)

    def ring(self, me: int, news: Iterable[News], others: Sequence[str]) -> None:
        assert self._connection is not None
        for text in _texts(me, news):
            self._connection.execute(b"SELECT pg_notify(%s, %s)", (CHANNEL, text))

    def close(self) -> None:
        self._connection = None


def bell_for(engine: sa.Engine) -> Bell:
    """Return the bell of this process."""
    return SocketBell(display_name(engine.url)) if is_sqlite(engine.url) else ListenBell()


def _texts(me: int, news: Iterable[News]) -> Iterator[str]:
    for one in news:
        if one.stores is None:
            yield f"{me};{one.kind};*"
        else:
            stores = sorted(one.stores)
            for start in range(0, len(stores) or 1, MOST):
                yield f"{me};{one.kind};{','.join(map(str, stores[start : start + MOST]))}"


def _parsed(texts: Iterable[str], me: int) -> list[News]:
    found: dict[str, set[int] | None] = {}
    for text in texts:
        who, _, rest = text.partition(";")
        kind, _, stores = rest.partition(";")
        if who == str(me) or kind not in get_args(Kind):
            continue
        known = found.setdefault(kind, set())
        if stores == "*" or known is None:
            found[kind] = None
        else:
            known.update(int(one) for one in stores.split(",") if one.isdecimal())
    return [
        News(cast("Kind", kind), None if stores is None else frozenset(stores))
        for kind, stores in found.items()
    ]


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
