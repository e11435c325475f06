"""The two faces of a store behind one: the same cases run through threads and through asyncio.

`aio.AsyncStore` is used as it is.  `Threads` gives `sync.Store` the same awaitable shape by making every call in a thread of
its own, as a program with threads would; it decides nothing.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import Future
from contextlib import asynccontextmanager
from typing import Any, Self

from fsm.store import Retry, aio, sync

Make = Callable[..., Any]
LONG = Retry(first=3600, longest=3600)


async def in_thread(call: Callable[..., Any], *args: Any) -> Any:
    """Call this in a thread of its own."""
    future: Future[Any] = Future()

    def run() -> None:
        try:
            future.set_result(call(*args))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return await asyncio.wrap_future(future)


class Block:
    """`async with` for a thread's item; what the item has is had through it."""

    def __init__(self, item: sync.InFlight) -> None:
        self._item = item

    def __getattr__(self, name: str) -> Any:
        return getattr(self._item, name)

    async def __aenter__(self) -> Self:
        await in_thread(self._item.__enter__)
        return self

    async def __aexit__(self, *error: object) -> None:
        await in_thread(self._item.__exit__, *error)


class Threads:
    """sync.Store, each call in a thread of its own."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self.store = sync.Store(*args, **options)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.store, name)
        if name in ("submit", "withdraw", "resume", "hold", "retry", "messages", "message", "logoff", "release", "close"):
            return lambda *args, **options: in_thread(lambda: found(*args, **options))
        return found

    def inbound(self, **told: str) -> Block:
        return Block(self.store.inbound(**told))

    async def outgoing(self, **told: str) -> AsyncIterator[Block]:
        items = self.store.outgoing(**told)
        try:
            while (item := await in_thread(next, items, None)) is not None:
                yield Block(item)
        finally:
            items.close()

    async def progress(self) -> AsyncIterator[Any]:
        news = self.store.progress()
        while (told := await in_thread(next, news, None)) is not None:
            yield told


FACES = {"threads": Threads, "asyncio": aio.AsyncStore}


def run(case: Coroutine[Any, Any, None]) -> None:
    """Run a case; one that hangs is a failure, not a wait."""
    asyncio.run(asyncio.wait_for(case, 180))


@asynccontextmanager
async def opened(make: Make, **options: Any) -> AsyncIterator[Any]:
    store = make(**options)
    try:
        yield store
    finally:
        store.let_go()


class Trace:
    """What the session stepped through."""

    def __init__(self, store: Any) -> None:
        self.events: list[str] = []
        store.session.listen(self)

    def on_transition(self, step: Any) -> None:
        self.events.append(step.event)
