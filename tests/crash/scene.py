"""One scene of a test of faults: a sink, clients with a log, one server after the other on a folder, and the account."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from random import Random
from typing import Any

from fsm.mail.demo.samples import Sample
from fsm.mail.demo.sink import Delivered
from tests.crash.accounts import Account, reconcile
from tests.crash.clients import SMALL, Attempt, AttemptLog, Way, send
from tests.crash.served import PATIENCE, Served, log_of, sockets
from tests.mail.sink import Faulty
from tests.mail.support import CLIENTS, Client


class Watched(Faulty):
    """A faulty sink that can wait for certain messages."""

    def __init__(self) -> None:
        super().__init__({})
        self._news = asyncio.Event()

    def keep(self, message: Delivered) -> None:
        super().keep(message)
        self._news.set()
        self._news = asyncio.Event()

    async def arrived(self, *attempts: Attempt, times: int = 1) -> None:
        """Wait until each of these has been delivered at least so often."""
        while any(sum(one.sender == attempt.sender for one in self.delivered) < times for attempt in attempts):
            await self._news.wait()


class Scene:
    """The folder, the clients' log, the sink and the servers of a test of faults."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "store"
        self.log = AttemptLog(Random(1))
        self.samples = self.log.messages()
        self.sink = Watched()
        self.servers: list[Served] = []

    async def serve(self, *more: str, sends: bool = True, **how: Any) -> Served:
        """Start a server, with or without a smarthost, and wait until it is ready."""
        served = await Served.started(self.folder, self.sink.address if sends else None, *more, **how)
        self.servers.append(served)
        if not await served.ready():
            status = await served.ended()
            raise AssertionError(f"no server at {self.folder} (status {status}): {log_of(self.folder)}")
        return served

    def new(self, way: Way, samples: tuple[Sample, ...] = SMALL) -> Attempt:
        """Add an attempt that the test will make itself."""
        return self.log.attempt(way, next(self.samples if samples is SMALL else self.log.messages(samples)))

    async def send(self, served: Served, way: Way, sample: Sample | None = None) -> Attempt:
        """Make an attempt over a connection of its own."""
        attempt = self.log.attempt(way, sample or next(self.samples))
        try:
            async with await Client.at(getattr(served, way)) as client:
                await send(client, attempt)
        except (ConnectionError, AssertionError):  # it could not even connect, or greet
            attempt.came_to = attempt.came_to or "unsent"
        return attempt

    async def accepted(self, served: Served, way: Way, sample: Sample | None = None) -> Attempt:
        """Make an attempt that must be accepted."""
        attempt = await self.send(served, way, sample)
        assert attempt.came_to == "accepted", f"{attempt.came_to}: {attempt.reply}; {log_of(self.folder)}"
        return attempt

    async def finish(self, served: Served, status: int = 0) -> str:
        """Send SIGTERM, wait for the end with this exit status, and return the output."""
        served.ask_to_close()
        found = await served.ended()
        assert found == status, f"status {found}: {served.output.decode()} {log_of(self.folder)}"
        return served.output.decode()

    def account(self, *, whole: bool = True) -> Account:
        """Return the account, which must be without problems; see `reconcile`."""
        account = reconcile(self.folder, self.log, self.sink.delivered, whole=whole)
        assert not account.problems, "\n".join([str(self.folder), *account.problems[:20]])
        return account

    def copies(self, attempt: Attempt) -> int:
        """Return how often it has arrived at the sink."""
        return sum(one.sender == attempt.sender for one in self.sink.delivered)


def play(folder: Path, act: Callable[[Scene], Coroutine[Any, Any, None]]) -> None:
    """Play a scene in this folder, for `PATIENCE` seconds at most."""

    async def within() -> None:
        scene = Scene(folder)
        try:
            async with asyncio.timeout(PATIENCE), scene.sink:
                await act(scene)
        finally:
            for served in scene.servers:  # those that a failed test has left
                served.kill()
                await served.ended()
            for client in CLIENTS:
                client.hang_up()
            CLIENTS.clear()

    with sockets():
        asyncio.run(within())
