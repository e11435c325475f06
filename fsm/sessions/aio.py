"""Durable sessions for asyncio.

    orders = AsyncSessions(Database("shop.db"), Order)
    async with orders.transaction("order-17") as order:
        await order.pay(amount=5, event_id="evt-901")
        order.submit_message(b"paid", "shop@example.org", ["me@example.net"])
    answer = await orders.fire("order-17", "pay", amount=5, event_id="evt-901")
    async for step in orders.follow():
        print(step)

`sync.py` is the same for threads.  Opening and closing the database is quick, and the loop waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self, TypeVar

from fsm.session import Session
from fsm.sessions.answer import Answer
from fsm.sessions.base import BaseSessions
from fsm.sessions.errors import EventRefused
from fsm.sessions.request import Fire, Keep, Request
from fsm.sessions.sql.reading import Follower, Listed
from fsm.sessions.sync import SOON
from fsm.sessions.transaction import AsyncTransaction, only_refusals
from fsm.store.deposit import AsyncConnection, Connection, awaited
from fsm.store.errors import StorageError

__all__ = ["AsyncSessions"]

S = TypeVar("S", bound=Session)


class AsyncSessions(BaseSessions[S]):
    """The sessions of a class, by key, in a database.  See `Sessions` for what is not said here."""

    async def fire(
        self, key: str, event: str, /, *, event_id: str | None = None, note: str | None = None,
        connection: AsyncConnection | Connection | None = None, **data: object,
    ) -> Answer:  # fmt: skip
        """Fire an event; see `Sessions.fire`.  If the task is cancelled, it may have happened: the id tells."""
        request: Fire[S] = Fire(key, event, data, event_id, note)
        if connection is not None:
            return await awaited(self._core.over(request, connection))
        answer = await self._ask(request)
        assert answer is not None
        return answer

    async def _ask(self, request: Request[S]) -> Answer | None:
        return await asyncio.shield(asyncio.wrap_future(self._core.ask(request)))

    @asynccontextmanager
    async def transaction(self, key: str) -> AsyncIterator[AsyncTransaction[S]]:
        """Load a session; commit what the block does when it is left normally; see `Sessions.transaction`."""
        place = await asyncio.to_thread(self._core.load, key)
        try:
            yield AsyncTransaction(self._core, place)
        except EventRefused:
            if only_refusals(place):
                await self._ask(Keep(place))
            raise
        place.check()
        if place.dirty:
            await self._ask(Keep(place))

    async def get(self, key: str) -> S | None:
        """See `Sessions.get`."""
        return await asyncio.to_thread(self._get, key)

    async def history(self, key: str) -> list[Answer]:
        """Return all answers that are kept of a session, oldest first."""
        return await asyncio.to_thread(lambda: list(self._core.reader.history(self.chart.name, key)))

    async def journal(self, key: str) -> list[bytes]:
        """Return the lines of the journal of a session; see `Sessions.journal`."""
        return await asyncio.to_thread(lambda: list(self._journal(key)))

    async def as_of(self, key: str, moment: float) -> Answer | None:
        """See `Sessions.as_of`."""
        return await asyncio.to_thread(self._core.reader.as_of, self.chart.name, key, moment)

    async def list(self, state: str | None = None) -> list[Listed]:
        """Return the sessions (in this state)."""
        return await asyncio.to_thread(lambda: [*self._core.reader.sessions(self.chart.name, state)])

    async def migrate(self) -> int:
        """See `Sessions.migrate`."""
        return await asyncio.to_thread(self._migrate)

    def follow(self, after: str | None = None) -> AsyncIterator[Answer]:
        """Yield every step that is committed from now on; see `Sessions.follow`."""
        return self._follow(Follower(self._core.reader, self.chart.name, after))

    async def _follow(self, follower: Follower) -> AsyncIterator[Answer]:
        core, loop, woken = self._core, asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(woken.set)

        core.followers.add(wake)
        try:
            while not core.closed:
                woken.clear()
                try:
                    found = await asyncio.to_thread(follower.more)
                except StorageError:
                    if core.closed:  # meanwhile
                        return
                    raise
                for one in found:
                    yield one
                if not found and follower.pending:
                    await asyncio.sleep(SOON)
                elif not found:
                    await woken.wait()
        finally:
            core.followers.discard(wake)

    async def close(self) -> None:
        """Commit what waits, and close the database.  It can be called again."""
        await asyncio.to_thread(self._core.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
