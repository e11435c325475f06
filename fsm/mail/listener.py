"""A listening socket whose accept loop rests when the process has no room for another connection.

asyncio's own servers report each connection that cannot be accepted for want of a file descriptor, as often as the
loop turns.  Here that is one line a second at most, and meanwhile the connections that are there go on.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Final

from fsm.mail.networks import Network, contains, plain
from fsm.mail.proxy import NoHeader, announced

__all__ = ["Listener"]

log: Final = logging.getLogger("fsm.mail")
AT_ONCE: Final = 16
"""Connections accepted before the loop goes on with those there are."""
REST: Final = 1.0
"""Seconds of rest when no connection can be accepted."""
NO_ROOM: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
GONE: Final = frozenset({errno.ECONNABORTED, errno.EPROTO, errno.EPERM})


class Listener:
    """Accepts connections on a listening socket, and makes a protocol for each, which is told the client's address.

    Where `tls` returns settings, connections begin with TLS.  Those from `proxies` begin with the PROXY protocol.
    """

    def __init__(
        self, listening: socket.socket, protocol: Callable[[str], asyncio.BaseProtocol],
        tls: Callable[[], ssl.SSLContext | None] = lambda: None, proxies: Sequence[Network] = (),
    ) -> None:  # fmt: skip
        self._socket, self._protocol, self._tls, self.proxies = listening, protocol, tls, proxies
        self._loop = asyncio.get_running_loop()
        self._starting: dict[asyncio.Task[object], None] = {}
        self._resting: asyncio.TimerHandle | None = None
        listening.setblocking(False)
        self._begin()

    def close(self) -> None:
        """Accept no more connections, and close the socket.  Does nothing the second time."""
        if self._socket.fileno() >= 0:
            if self._resting is not None:
                self._resting.cancel()
            self._loop.remove_reader(self._socket)
            self._socket.close()

    def _begin(self) -> None:
        self._resting = None
        self._loop.add_reader(self._socket, self._accept)

    def _accept(self) -> None:
        for _ in range(AT_ONCE):
            try:
                connection, peer = self._socket.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno not in GONE:
                    self._rest(error)
                return
            task: asyncio.Task[object] = self._loop.create_task(self._start(connection, _name(peer)))
            self._starting[task] = None
            task.add_done_callback(lambda done: self._starting.pop(done, None))

    async def _start(self, connection: socket.socket, peer: str) -> None:
        try:
            if contains(self.proxies, peer):
                connection.setblocking(False)
                peer = await announced(connection) or peer
            await self._loop.connect_accepted_socket(lambda: self._protocol(peer), connection, ssl=self._tls())
        except (OSError, ssl.SSLError, NoHeader) as error:
            log.debug("a connection from %s failed before its first word: %s", peer, error)
            connection.close()

    def _rest(self, error: OSError) -> None:
        log.warning("cannot accept connections: %s; trying again in %g s", error.strerror or error, REST)
        self._loop.remove_reader(self._socket)
        self._resting = self._loop.call_later(REST, self._begin)


def _name(peer: object) -> str:
    return plain(str(peer[0])) if isinstance(peer, tuple) and peer else "local"
