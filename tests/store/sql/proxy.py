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

    `cut(n, when)`: at the n-th COMMIT of an entry of the journal from now on both ends are closed, before the server hears of it or after it has
    answered; with `away` nobody is let in from then on, until `away` is false.  `commits` counts them.
    """

    def __init__(self, folder: Path) -> None:
        self.server = str(folder / ".s.PGSQL.5432")
        self.commits = 0
        self.away = False
        self._at: int | None = None
        self._when: When = "before"
        self._stays_away = False
        self._lock = threading.Lock()
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
                    _Pair(self, client)

    def at_commit(self) -> When | None:
        """Count a COMMIT; return when to cut the connection, if this is the one."""
        with self._lock:
            self.commits += 1
            if self.commits != self._at:
                return None
            self.away = self._stays_away
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
        for one in (self.client, self.server):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _to_server(self) -> None:
        wrote = False
        while data := self.client.recv(65536):
            wrote = wrote or b"INSERT INTO fsm_journal" in data
            when = None
            if wrote and b"COMMIT\0" in data:
                wrote, when = False, self.proxy.at_commit()
            if when == "before":
                return
            self.cuts = when == "after"
            self.server.sendall(data)

    def _to_client(self) -> None:
        while (data := self.server.recv(65536)) and not self.cuts:
            self.client.sendall(data)
