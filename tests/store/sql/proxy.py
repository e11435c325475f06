"""A proxy for a PostgreSQL server that cuts its connections at the worst moment: before a COMMIT, or before its answer."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Literal

When = Literal["before", "after"]


class Proxy:
    """Listens on loopback, and passes all on to the server's socket in `folder`.

    `cut(n, when)`: at the n-th COMMIT from now on both ends are closed, before the server hears of it or after it has
    answered; with `away` all other connections are cut, too, and nobody is let in from then on, until `away` is
    false.  `commits` counts them.
    """

    def __init__(self, folder: Path) -> None:
        self.server = str(folder / ".s.PGSQL.5432")
        self.commits = 0
        self.away = False
        self._at: int | None = None
        self._when: When = "before"
        self._stays_away = False
        self._lock = threading.Lock()
        self._pairs: list[_Pair] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self, at: int, when: When, *, away: bool = False) -> None:
        with self._lock:
            self._at, self._when, self._stays_away = self.commits + at, when, away

    def close(self) -> None:
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                if self.away:
                    client.close()
                else:
                    self._pairs.append(_Pair(self, client))

    def at_commit(self, at: _Pair) -> When | None:
        """Count a COMMIT; return when to cut the connection, if this is the one."""
        with self._lock:
            self.commits += 1
            if self.commits != self._at:
                return None
            self.away = self._stays_away
            if self.away:
                for pair in self._pairs:
                    if pair is not at:
                        pair.end()
            return self._when


class _Pair:
    def __init__(self, proxy: Proxy, client: socket.socket) -> None:
        self.proxy, self.client = proxy, client
        self.server = socket.socket(socket.AF_UNIX)
        self.server.connect(proxy.server)
        self.cuts = False
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        back = threading.Thread(target=self._pump, args=(self._to_client,), daemon=True)
        with self.client, self.server:
            back.start()
            self._pump(self._to_server)
            back.join()

    def _pump(self, pump: Callable[[], None]) -> None:
        with suppress(OSError):
            pump()
        self.end()

    def end(self) -> None:
        for one in (self.client, self.server):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _to_server(self) -> None:
        while data := self.client.recv(65536):
            when = None
            if b"\0COMMIT\0" in data:  # in a pipeline, as the committing thread sends it
                when = self.proxy.at_commit(self)
            if when == "before":
                return
            self.cuts = self.cuts or when == "after"
            self.server.sendall(data)

    def _to_client(self) -> None:
        while (data := self.server.recv(65536)) and not self.cuts:
            self.client.sendall(data)
