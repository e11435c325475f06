"""What systemd wants to know of a service, and gives to it (sd_notify(3), sd_listen_fds(3)).

Theory.
1. systemd names a socket in NOTIFY_SOCKET; each datagram there is lines of `NAME=value`.  Without it nothing is said,
   and nobody misses it.
2. Sockets that systemd has opened are descriptors from 3 on, LISTEN_FDS of them, named in LISTEN_FDNAMES, and for the
   process LISTEN_PID only.
3. A watchdog is told that the server lives twice in each of its intervals.  Who tells it runs in the event loop and has
   just asked the store how it stands, so neither of them hangs.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from typing import Final, Self

from fsm.mail.config import Address
from fsm.mail.errors import ConfigError
from fsm.mail.syntax import line
from fsm.store.aio import AsyncSpooler, AsyncStore

__all__ = ["Notifier", "Supervised", "handed_over"]

FIRST: Final = 3
"""The first descriptor that is handed over."""
PAUSE: Final = 1.0
"""Seconds between two texts about how the store stands."""


def handed_over(name: str, environment: Mapping[str, str] = os.environ) -> Address:
    """Return the address of the listening socket that systemd handed over by this name.  ConfigError: there is none."""
    names: list[str] = []
    if environment.get("LISTEN_PID") == str(os.getpid()) and environment.get("LISTEN_FDS", "").isdigit():
        count = int(environment["LISTEN_FDS"])
        names = environment.get("LISTEN_FDNAMES", "").split(":") if "LISTEN_FDNAMES" in environment else []
        names += ["unknown"] * (count - len(names))
    if name not in names:
        there = f"; it handed over {', '.join(names)}" if names else ""
        raise ConfigError(f"systemd has handed over no socket named {name} (FileDescriptorName={name}){there}")
    descriptor = FIRST + names.index(name)
    try:
        with closing(socket.socket(fileno=os.dup(descriptor))) as listening:
            tcp = listening.family in (socket.AF_INET, socket.AF_INET6) and listening.type == socket.SOCK_STREAM
            host, port = listening.getsockname()[:2] if tcp else ("", 0)
    except OSError as error:
        raise ConfigError(f"the socket {name} of systemd cannot be used: {error.strerror}") from None
    if not tcp:
        raise ConfigError(f"the socket {name} of systemd does not listen on TCP (ListenStream=HOST:PORT)")
    return Address(host, port, host, descriptor)


class Notifier:
    """Tells systemd how the service stands, if it wants to know.  `watchdog` is its interval in seconds, or None."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        name = environment.get("NOTIFY_SOCKET", "")
        self._address = f"\0{name[1:]}" if name.startswith("@") else name
        self.watchdog: float | None = None
        wanted = environment.get("WATCHDOG_USEC", "")
        if self._address and wanted.isdigit() and environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid()):
            self.watchdog = int(wanted) / 1e6 or None

    def __bool__(self) -> bool:
        return bool(self._address)

    def say(self, **facts: str | int) -> None:
        """Send facts such as `READY=1`.  A systemd that does not listen is not waited for."""
        if self._address:
            with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
                link.setblocking(False)
                text = "\n".join(f"{name}={line(str(value))}" for name, value in facts.items())
                link.sendto(text.encode(), self._address)

    def reloading(self) -> None:
        """Say that the configuration is being read anew; `say(READY=1)` follows."""
        self.say(RELOADING=1, MONOTONIC_USEC=time.monotonic_ns() // 1000)


class Supervised:
    """A server under systemd, which is told from `ready` to the end of `async with` how its store or spooler stands.

    `notifier` is how it is told, by default as the environment says.
    """

    def __init__(self, store: AsyncStore | AsyncSpooler, notifier: Notifier | None = None) -> None:
        self._store, self._notifier = store, Notifier() if notifier is None else notifier
        self._loop = asyncio.get_running_loop()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def ready(self) -> None:
        """The server takes mail."""
        if self._notifier:
            self._notifier.say(READY=1, STATUS=str(self._store.progress_now()))
            self._tasks = [asyncio.create_task(self._tell())]
            if self._notifier.watchdog is not None:
                self._tasks.append(asyncio.create_task(self._live(self._notifier.watchdog / 2)))

    def reload(self, reload: Callable[[], object]) -> None:
        """Read the configuration anew."""
        self._notifier.reloading()
        reload()
        self._notifier.say(READY=1)

    async def _tell(self) -> None:
        """Say how the store stands, after its changes; and at once that it is being closed."""
        changed, stopping = asyncio.Event(), asyncio.Event()

        def change() -> None:  # in any thread
            if not self._loop.is_closed():
                self._loop.call_soon_threadsafe(changed.set)
                if not self._store.in_service:
                    self._loop.call_soon_threadsafe(stopping.set)

        unsubscribe = self._store.subscribe(change)
        try:
            while self._store.in_service:
                changed.clear()
                self._notifier.say(STATUS=str(self._store.progress_now()))
                await changed.wait()
                with suppress(TimeoutError):
                    async with asyncio.timeout(PAUSE):
                        await stopping.wait()
            self._notifier.say(STOPPING=1, STATUS=str(self._store.progress_now()))
            while True:
                changed.clear()
                await changed.wait()
                self._notifier.say(STATUS=str(self._store.progress_now()))
                await asyncio.sleep(PAUSE)
        finally:
            unsubscribe()

    async def _live(self, every: float) -> None:
        while True:
            self._store.progress_now()
            self._notifier.say(WATCHDOG=1)
            await asyncio.sleep(every)
