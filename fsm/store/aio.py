"""The store for asyncio: messages in flight as asynchronous context managers, logging off, closing by a plan.

    async with AsyncStore() as store:
        async with store.inbound(peer="10.0.0.7") as item:
            await save(await read())
        await store.submit(b"...", recipients=("a@example.org",))
        async for item in store.outgoing(provider="mx1"):
            async with item:
                await send(item.message)
        print(await store.close("NO_WAIT 20s -> ORDERLY 5s -> cancel 3s"))

`sync.py` is the same for threads.  A task that is cancelled while it waits here leaves nothing behind: what had not
begun does not begin, and what had is given back.  When the store stops an item, it cancels the task in the item's
block, and the block is left by Stopped.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Self, TypeVar

from fsm.logoff.flags import Logoff
from fsm.store.base import BaseStore
from fsm.store.clock import Clock, LoopClock
from fsm.store.core import StoreCore
from fsm.store.errors import Stopped
from fsm.store.in_flight import Direction, Item
from fsm.store.message import Message
from fsm.store.outcome import Outcome, Progress
from fsm.store.plan import Plan

__all__ = ["AsyncInFlight", "AsyncStore"]

T = TypeVar("T")


class AsyncInFlight(Item):
    """A message in flight, as an asynchronous context manager: leaving the block decides how it ends."""

    _store: AsyncStore
    _task: asyncio.Task[object] | None = None
    _cancelled = False

    async def __aenter__(self) -> Self:
        await self._store._enter(self)
        self._task = asyncio.current_task()
        self.on_cancel(self._cancel)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        task, self._task = self._task, None
        stopped = self._cancelled and isinstance(error, asyncio.CancelledError) and self._uncancel(task)
        ended = self._store._leave(self, error)
        try:
            await self._store._wait(ended, shielded=True)
        except asyncio.CancelledError:
            if not self._uncancel(task):  # somebody else cancels this task
                raise
            await self._store._wait(ended, shielded=True)
        self._uncancel(task)  # also if the block turned the cancellation into another error
        if stopped:
            raise Stopped(self.stopped or "") from error

    def _uncancel(self, task: asyncio.Task[object] | None) -> bool:
        """Take back our cancellation of the task, once; return True if it was the only one."""
        ours, self._cancelled = self._cancelled, False
        return ours and task is not None and task.uncancel() == 0

    def _cancel(self, reason: str) -> None:
        self._store.loop.call_soon_threadsafe(self._cancel_here, reason)

    def _cancel_here(self, reason: str) -> None:
        if self._task is not None:
            self._cancelled = True
            self._task.cancel(reason)


class AsyncStore(BaseStore):
    """A message store for asyncio; created in a running loop, and used in that loop."""

    _home: asyncio.AbstractEventLoop | None = None

    def _default_clock(self) -> Clock:
        return LoopClock(self.loop)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop in which the store is used."""
        if self._home is None:
            try:
                self._home = asyncio.get_running_loop()
            except RuntimeError:
                problem = "an AsyncStore is opened in a running event loop, inside `async def`; Store is for threads"
                raise RuntimeError(problem) from None
            self._woken: list[asyncio.Future[None]] = []
        return self._home

    def _here(self) -> StoreCore:
        """Return the core.  RuntimeError in another loop than the store's: nothing has happened."""
        if asyncio.get_running_loop() is not self.loop:
            raise RuntimeError(
                f"the store {self.name!r} belongs to the event loop that opened it, and this is another: open a store "
                "here, or use asyncio.run_coroutine_threadsafe(..., store.loop)"
            )
        return self._core

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the store by the default plan, unless it is released, and let it go."""
        try:
            if not self._state.ended:
                await self.close()
        finally:
            self.let_go()

    def _new_item(self, direction: Direction, *, peer: str = "", provider: str = "", note: str = "") -> AsyncInFlight:
        item = self._state.new_item(AsyncInFlight, direction, peer=peer, provider=provider, note=note)
        item._store = self
        return self.prepare_item(item)

    def inbound(self, *, peer: str = "", what: str = "") -> AsyncInFlight:
        """Return a message that comes in; see `Store.inbound`."""
        return self._new_item("inbound", peer=peer, note=what)

    async def outgoing(self, *, provider: str = "", peer: str = "") -> AsyncIterator[AsyncInFlight]:
        """Yield messages to send; see `Store.outgoing`.  Several tasks may each have an iterator."""

        def new() -> AsyncInFlight:
            return self._new_item("outbound", peer=peer, provider=provider)

        item: Item | None = None
        try:
            while (item := await self._wait(self._here().next_item(new), self._abandon, turn=True)) is not None:
                assert isinstance(item, AsyncInFlight)
                yield item
        finally:
            if item is not None and not item.entered:
                self._core.abandon(item)

    async def submit(
        self, content: bytes, sender: str = "", recipients: Sequence[str] = (), *, shielded: bool = False
    ) -> str:
        """Put a message into the queue and return its id; see `Store.submit`.

        If the task is cancelled meanwhile, it cannot know whether the message is in the queue; with `shielded` the
        message is submitted all the same.
        """
        return await self._wait(self._here().outbox.submit(content, sender, recipients), shielded=shielded)

    async def withdraw(self, id: str) -> None:
        """Take a message back; see `Store.withdraw`."""
        await self._wait(self._here().outbox.withdraw(id))

    async def resume(self, id: str) -> None:
        """Put a held or failed message back into the queue; see `Store.resume`."""
        await self._wait(self._here().outbox.resume(id))

    async def messages(self, *states: str) -> list[Message]:
        """Return the messages in these states (`Message.state`; default: all), oldest first, without their content."""
        return await asyncio.to_thread(self._state.storage.messages, *states)

    async def message(self, id: str) -> Message | None:
        """Return one message with its content, or None if it is not there (any longer)."""
        return await asyncio.to_thread(self._state.storage.message, id)

    async def logoff(self, flag: Logoff) -> Outcome:
        """Ask for the logoff and return how the store stands, without waiting for messages.  Refused once released."""
        return await self._wait(self._here().logoff(self._event(flag)))

    async def release(self) -> Outcome:
        """Give up the last reference: ask for ABORT unless a logoff is under way.  Never wait for messages."""
        return await self._wait(self._here().logoff("release"))

    async def close(self, plan: Plan | str | None = None) -> Outcome:
        """Close the store by a plan; see `Store.close`.  Cancelling the wait does not undo the closing."""
        self._here()
        return await self._wait(self.begin_closing(plan))

    async def progress(self) -> AsyncIterator[Progress]:
        """Yield how the store stands, now and after every change (several at once are one); end with the release."""
        self._here()
        version = -1
        while await self._wait(self._shutdown.news(version)):
            version = self._shutdown.version
            yield self.progress_now()

    async def _enter(self, item: AsyncInFlight) -> None:
        """Begin an item whose block is entered."""
        if item.enter():
            await self._wait(self._here().begin_inbound(item), self._core.abandon)
        item.entered = True

    def _leave(self, item: AsyncInFlight, error: BaseException | None) -> Future[None]:
        """End an item whose block is left by this error (None: normally)."""
        return self._core.endings.end(item, item.ending(error))

    async def _wait(
        self, future: Future[T], undo: Callable[[T], object] | None = None, *,
        shielded: bool = False, turn: bool = False,
    ) -> T:  # fmt: skip
        """Wait for the result.  If the task is cancelled, nothing happens, or it is undone, or (`shielded`) it goes on.

        With `turn` tasks that were answered before go on first, even if this result is there already.
        """
        if future.done() and not turn:
            return future.result()
        woken: asyncio.Future[None] = self.loop.create_future()
        future.add_done_callback(lambda _: self._wake(woken))
        try:
            await woken
        except asyncio.CancelledError:
            if not shielded and not future.cancel() and undo is not None:
                future.add_done_callback(lambda done: None if done.exception() else undo(done.result()))
            raise
        return future.result()

    def _wake(self, woken: asyncio.Future[None]) -> None:
        """Wake the waiting task in the loop; the tasks of one batch with a single call into it."""
        with self._state.lock:
            self._woken.append(woken)
            if len(self._woken) == 1 and not self.loop.is_closed():
                self.loop.call_soon_threadsafe(self._wake_all)

    def _wake_all(self) -> None:
        with self._state.lock:
            woken, self._woken = self._woken, []
        for one in woken:
            if not one.done():
                one.set_result(None)
