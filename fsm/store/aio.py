"""The store for asyncio: messages in flight as asynchronous context managers, logging off, closing by a plan.

    async with AsyncStore() as store:
        async with store.inbound(peer="10.0.0.7") as item:
            await save(await read())
        await store.submit(b"...", recipients=("a@example.org",))
        async for item in store.outgoing(provider="mx1"):
            async with item:
                await send(item.message)
        print(await store.close("NO_WAIT 20s -> ORDERLY 5s -> cancel 3s"))

`sync.py` is the same for threads.  Both only wait; what happens is in `core.py` and `shutdown.py`.  A task that is
cancelled while it waits here leaves nothing behind: what had not begun does not, and what had is given back.
An item that the store stops cancels the task in its block, and the block is left by Stopped.
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
from fsm.store.errors import Stopped
from fsm.store.in_flight import Item
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
        if self.enter():
            await self._store._wait(self._core.begin_inbound(self), self._core.abandon)
        self.entered = True
        self._task = asyncio.current_task()
        self.on_cancel(self._cancel)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        task, self._task = self._task, None
        stopped = self._cancelled and isinstance(error, asyncio.CancelledError) and self._uncancel(task)
        future = self._core.endings.end(self, self.ending(error))
        try:
            await self._store._wait(future, shielded=True)
        except asyncio.CancelledError:
            if not self._uncancel(task):  # not ours: somebody else cancels this task
                raise
            await self._store._wait(future, shielded=True)
        self._uncancel(task)  # also when the block made another error of it
        if stopped:
            raise Stopped(self.stopped or "") from error

    def _uncancel(self, task: asyncio.Task[object] | None) -> bool:
        """Take back our cancelling of the task, once; whether that was the only one."""
        ours, self._cancelled = self._cancelled, False
        return ours and task is not None and task.uncancel() == 0

    def _cancel(self, reason: str) -> None:
        self._store._loop.call_soon_threadsafe(self._cancel_here, reason)

    def _cancel_here(self, reason: str) -> None:
        if self._task is not None:
            self._cancelled = True
            self._task.cancel(reason)


class AsyncStore(BaseStore):
    """A message store for asyncio; made in a running loop, used in that loop."""

    def _clock(self) -> Clock:
        return LoopClock(self._loop)

    @property
    def _loop(self) -> asyncio.AbstractEventLoop:
        if self._home is None:
            self._home = asyncio.get_running_loop()
            self._woken: list[asyncio.Future[None]] = []
        return self._home

    _home: asyncio.AbstractEventLoop | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it by the default plan, unless it is released, and let everything go."""
        try:
            if not self._closer.ended:
                await self.close()
        finally:
            self.let_go()

    def inbound(self, *, peer: str = "", what: str = "") -> AsyncInFlight:
        """A message that comes in.  Entering the block begins it: StoreClosing when the store takes nothing new in.

        Left normally it is received: keep it safe before.  Left by an exception it has failed: its source keeps it.
        """
        return self._item(AsyncInFlight(self._core, "inbound", peer=peer, note=what))

    async def outgoing(self, *, provider: str = "", peer: str = "") -> AsyncIterator[AsyncInFlight]:
        """Messages to send, each claimed for whoever takes it here; waits for the next, ends when the store is
        released.

        Several tasks may each have an iterator.  The last item given goes back into the queue when the loop is left
        before its block was entered.
        """

        def new() -> AsyncInFlight:
            return self._item(AsyncInFlight(self._core, "outbound", peer=peer, provider=provider))

        item: Item | None = None
        try:
            while (item := await self._wait(self._core.next_item(new), self._abandoned, turn=True)) is not None:
                assert isinstance(item, AsyncInFlight)
                yield item
        finally:
            if item is not None and not item.entered:
                self._core.abandon(item)

    async def submit(
        self, content: bytes, sender: str = "", recipients: Sequence[str] = (), *, shielded: bool = False
    ) -> str:
        """Put a message into the queue; its id.  It is durable when this returns (with a durable storage).

        StoreClosing when the store takes nothing new in; StorageError when it cannot be kept; nothing has changed then.
        A task cancelled meanwhile cannot know: the message is in the queue, or never was; `shielded` it is submitted
        all the same.
        """
        return await self._wait(self._core.submit(content, sender, recipients), shielded=shielded)

    async def withdraw(self, id: str) -> None:
        """Take a message back.

        MapiError: UNABLE_TO_ABORT while it is being sent, NOT_IN_QUEUE when it is not there.
        """
        await self._wait(self._core.withdraw(id))

    async def resume(self, id: str) -> None:
        """Put a held or failed message back into the queue.  MapiError NOT_IN_QUEUE if it is not there;
        StoreClosing.
        """
        await self._wait(self._core.resume(id))

    async def messages(self, *states: str) -> list[Message]:
        """The messages in these states (`Message.state`; all when none is named), oldest first, without content."""
        return await asyncio.to_thread(self._core.storage.messages, *states)

    async def message(self, id: str) -> Message | None:
        """One message, whole; None when it is not there (any more)."""
        return await asyncio.to_thread(self._core.storage.message, id)

    async def logoff(self, flag: Logoff) -> Outcome:
        """Ask for the logoff.

        Never waits for messages; the outcome says how it stands.  Refused when it is released.
        """
        return await self._wait(self._core.ask(self._event(flag)))

    async def release(self) -> Outcome:
        """The last reference goes: asks for ABORT unless a logoff is under way.  Never waits for messages."""
        return await self._wait(self._core.ask("release"))

    async def close(self, plan: Plan | str | None = None) -> Outcome:
        """Close by a plan (`plan.DEFAULT` when none is given) and wait for it.

        Joins a closing under way.  Returns when the store is released and nothing is in flight here, or when the plan's
        time is over; the outcome says which, and what is in the way.  Cancelling the wait does not undo the closing.
        """
        return await self._wait(self._closer.close(plan))

    async def progress(self) -> AsyncIterator[Progress]:
        """How it stands, now and after every change (several at once are one); ends when the store is released."""
        version = -1
        while await self._wait(self._closer.news(version)):
            version = self._closer.version
            yield self._closer.progress()

    async def _wait(
        self,
        future: Future[T],
        undo: Callable[[T], object] | None = None,
        *,
        shielded: bool = False,
        turn: bool = False,
    ) -> T:
        """Wait for it here.  When this task is cancelled it does not happen, or is undone when it has; or goes on.

        With `turn` those who were answered before go on before, also when the answer is there already.
        """
        if future.done() and not turn:
            return future.result()
        woken: asyncio.Future[None] = self._loop.create_future()
        future.add_done_callback(lambda _: self._wake(woken))
        try:
            await woken
        except asyncio.CancelledError:
            if not shielded and not future.cancel() and undo is not None:
                future.add_done_callback(lambda done: None if done.exception() else undo(done.result()))
            raise
        return future.result()

    def _wake(self, woken: asyncio.Future[None]) -> None:
        """Wake who waits, in the loop; those of one batch with one call into it."""
        with self._core.lock:
            self._woken.append(woken)
            if len(self._woken) == 1 and not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._wake_all)

    def _wake_all(self) -> None:
        with self._core.lock:
            woken, self._woken = self._woken, []
        for one in woken:
            if not one.done():
                one.set_result(None)
