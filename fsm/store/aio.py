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
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from threading import Lock
from types import TracebackType
from typing import ClassVar, Self, TypeVar, cast
from weakref import WeakKeyDictionary, ref

from fsm.logoff.flags import Logoff
from fsm.store.base import BaseSpooler, BaseStore
from fsm.store.claims import Call
from fsm.store.clock import Clock, LoopClock
from fsm.store.core import Options, StoreCore
from fsm.store.deposit import AsyncConnection, Connection, awaited
from fsm.store.errors import Stopped
from fsm.store.group_commit import SILENCE
from fsm.store.in_flight import Direction, Item
from fsm.store.message import Message
from fsm.store.observer import told
from fsm.store.outcome import Outcome, Progress, SpoolerOutcome
from fsm.store.plan import Plan
from fsm.store.retry import Retry
from fsm.store.spooler import SpoolerCore
from fsm.store.storage import Policy, Storage

__all__ = ["AsyncInFlight", "AsyncOutgoing", "AsyncSpooler", "AsyncStore"]

T = TypeVar("T")


class Waiter:
    """Waits in a loop for futures of other threads; what follows from one batch there is a single call into the loop.

    There is one for each loop.
    """

    _waiters: ClassVar[WeakKeyDictionary[asyncio.AbstractEventLoop, Waiter]] = WeakKeyDictionary()

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = ref(loop)
        self._calls: list[Callable[[], object]] = []
        self._lock = Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop) -> Waiter:
        """Return the waiter of this loop."""
        waiter = cls._waiters.get(loop)
        if waiter is None:
            waiter = cls._waiters[loop] = cls(loop)
        return waiter

    @property
    def is_here(self) -> bool:
        """True in the thread of the loop, while that runs."""
        try:
            return asyncio.get_running_loop() is self._loop()
        except RuntimeError:
            return False

    async def wait(
        self, future: Future[T], undo: Callable[[T], object] | None = None, *,
        shielded: bool = False, turn: bool = False,
    ) -> T:  # fmt: skip
        """Wait for the result.  If the task is cancelled, nothing happens, or it is undone, or (`shielded`) it goes on.

        With `turn` tasks that were answered before go on first, even if this result is there already.
        """
        if future.done() and not turn:
            return future.result()
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.add_done_callback(lambda _: self.call(lambda: None if woken.done() else woken.set_result(None)))
        try:
            await woken
        except asyncio.CancelledError:
            if not shielded and not future.cancel() and undo is not None:
                future.add_done_callback(lambda done: None if done.exception() else undo(done.result()))
            raise
        return future.result()

    async def patiently(self, done: Future[None], spooler: SpoolerCore) -> None:
        """Wait for a spooler, as long as its storage answers."""
        while not done.done():
            with suppress(TimeoutError):
                async with asyncio.timeout(SILENCE):
                    await self.wait(done, shielded=True)
            if not done.done() and spooler.commit.silent:
                spooler.commit.abandon()
                return

    def look_after(self, done: Future[None], spooler: SpoolerCore) -> None:
        """Wait patiently in a task, so that whoever waits for a storage that does not answer is told."""
        if not done.done():
            task = asyncio.get_running_loop().create_task(self.patiently(done, spooler))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def call(self, callback: Callable[[], object]) -> None:
        """Call this in the loop; may be called in any thread."""
        with self._lock:
            self._calls.append(callback)
            first = len(self._calls) == 1
        if first and (loop := self._loop()) is not None:
            with suppress(RuntimeError):  # it is closed
                loop.call_soon_threadsafe(self._call_all)

    def _call_all(self) -> None:
        with self._lock:
            calls, self._calls = self._calls, []
        for call in calls:
            try:
                call()
            except Exception as error:  # as of any callback of the loop
                asyncio.get_running_loop().call_exception_handler({"message": "a callback raised", "exception": error})


def running_loop() -> asyncio.AbstractEventLoop:
    """Return the loop that runs here.  RuntimeError, with a hint, if none does."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        problem = "an AsyncStore is opened in a running event loop, inside `async def`; Store is for threads"
        raise RuntimeError(problem) from None


class AsyncInFlight(Item):
    """A message in flight, as an asynchronous context manager: leaving the block decides how it ends."""

    _store: AsyncStore
    _task: asyncio.Task[object] | None = None
    _cancelled = False
    _waits = True
    """Whether leaving the block waits until the ending is recorded."""

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
        if (ended := self._store._leave(self, error)) is not None:
            try:
                await self._store._wait(ended, shielded=True)
            except asyncio.CancelledError:
                if not self._uncancel(task):  # somebody else cancels this task
                    raise
                await self._store._wait(ended, shielded=True)
        self._uncancel(task)  # also if the block turned the cancellation into another error
        if stopped:
            raise Stopped(self.stop_reason or "") from error

    def _uncancel(self, task: asyncio.Task[object] | None) -> bool:
        """Take back our cancellation of the task, once; return True if it was the only one."""
        ours, self._cancelled = self._cancelled, False
        return ours and task is not None and task.uncancel() == 0

    def _cancel(self, reason: str) -> None:
        with suppress(RuntimeError):  # the loop has ended
            self._store.loop.call_soon_threadsafe(self._cancel_here, reason)

    def _cancel_here(self, reason: str) -> None:
        if self._task is not None:
            self._cancelled = True
            self._task.cancel(reason)


class AsyncOutgoing(AsyncInFlight):
    """A message to send, as an asynchronous context manager."""

    message: Message


class AsyncStore(BaseStore):
    """A message store for asyncio; created in a running loop, and used in that loop.

    Opening it does not block the loop: `async with`, `await store.opened()` and every other call that is awaited wait
    for it.  Whoever looks at the store before that (`store.session`, `store.inbound()`) waits in the loop's thread.
    """

    _home: asyncio.AbstractEventLoop | None = None

    def _default_clock(self) -> Clock:
        return LoopClock(self.loop)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop in which the store is used."""
        if self._home is None:
            self._home = running_loop()
        return self._home

    def _begin(self, spooler: SpoolerCore, name: str, options: Options, label: str) -> None:
        self._waiter = Waiter.of(self.loop)
        super()._begin(spooler, name, options, label)

    async def opened(self) -> Self:
        """Wait until the store is open, and return it.  Raise StorageError if it cannot be opened."""
        await self._ready()
        return self

    async def _ready(self) -> StoreCore:
        """Return the core when the store is open, in its own loop."""
        if self._home is not asyncio.get_running_loop():
            raise RuntimeError(
                f"the store {self.name!r} belongs to the event loop that opened it, and this is another: open a store "
                "here, or use asyncio.run_coroutine_threadsafe(..., store.loop)"
            )
        if (opening := self._opening) is not None:
            self._opened = await self._wait(opening, shielded=True)
        return self._open_now.core

    async def __aenter__(self) -> Self:
        return await self.opened()

    async def __aexit__(self, *_: object) -> None:
        """Close the store by the default plan, unless it was closed, and let it go."""
        try:
            if not (self._state.ended or self._shutdown.over):
                await self.close()
        finally:
            await self.gone()

    def let_go(self) -> None:
        """Stop holding the store: close its storage, and give None to whoever waits for a message.

        What is still being sent counts as uncertain from now on.  Calling it again does nothing.  In the loop it does
        not wait; elsewhere it waits for the storage, as long as that answers.
        """
        if (opening := self._opening) is not None:  # it is being opened, or could not be
            opening.add_done_callback(lambda done: None if done.exception() else self.let_go())
            return
        done = self._let_go()
        if self._alone:
            done = self._spooler.close()
        if self._waiter.is_here:
            self._waiter.look_after(done, self._spooler)
        else:
            self._spooler.commit.wait(done)

    async def gone(self) -> None:
        """Let the store go, and wait for its storage as long as that answers."""
        if self._opened is None:
            self.let_go()
            return
        done = self._let_go()
        await self._waiter.patiently(self._spooler.close() if self._alone else done, self._spooler)

    def _new_item(self, direction: Direction, *, peer: str = "", provider: str = "", note: str = "") -> AsyncInFlight:
        kind = AsyncInFlight if direction == "inbound" else AsyncOutgoing
        item = self._state.new_item(kind, direction, peer=peer, provider=provider, note=note)
        item._store = self
        return self.prepare_item(item)

    def inbound(self, *, peer: str = "", what: str = "") -> AsyncInFlight:
        """Return a message that comes in; see `Store.inbound`."""
        return self._new_item("inbound", peer=peer, note=what)

    async def outgoing(self, *, provider: str = "", peer: str = "") -> AsyncIterator[AsyncOutgoing]:
        """Yield messages to send; see `Store.outgoing`.  Several tasks may each have an iterator."""

        def new() -> AsyncInFlight:
            return self._new_item("outbound", peer=peer, provider=provider)

        item: Item | None = None
        try:
            core = await self._ready()
            while (item := await self._wait(core.next_item(new), self._abandon, turn=True)) is not None:
                assert isinstance(item, AsyncOutgoing)
                yield item
        finally:
            if item is not None and not item.entered:
                self._core.abandon(item)

    def take(
        self, taken: Callable[[AsyncOutgoing | None], object], *, provider: str = "", peer: str = ""
    ) -> Callable[[], object]:
        """Call this with the next message to send, in the loop, or with None once there will be none.

        It is `outgoing` without a task that waits.  Leaving the item's block does not wait until its ending is recorded
        either; if that fails, the log says so, and it is tried again.  Return a function that gives up the place in the
        line; a message that was claimed before comes all the same, and is to be sent or given back.
        """

        def new() -> AsyncInFlight:
            item = self._new_item("outbound", peer=peer, provider=provider)
            item._waits = False
            return item

        def give(item: Item | None) -> None:
            self._waiter.call(lambda: taken(cast("AsyncOutgoing | None", item)))

        def interrupt(error: BaseException) -> None:
            def interrupted() -> None:
                raise error

            self._waiter.call(interrupted)

        self._core.take(new, call := Call(give, interrupt))
        return call.cancel

    def give_back(self, item: AsyncOutgoing) -> None:
        """Give back a message that was taken and whose block was not entered."""
        self._core.abandon(item)

    async def submit(
        self, content: bytes, sender: str = "", recipients: Sequence[str] = (), *, shielded: bool = False,
        headers: Mapping[str, str] | None = None, connection: Connection | AsyncConnection | None = None,
        id: str | None = None,
    ) -> str:  # fmt: skip
        """Put a message into the queue and return its id; see `Store.submit`.

        If the task is cancelled meanwhile, it cannot know whether the message is in the queue; with `shielded` the
        message is submitted all the same.  The `connection` may be one whose statements are awaited.
        """
        core = await self._ready()
        if connection is not None:
            return await awaited(core.outbox.deposit(content, sender, recipients, headers, connection, id))
        return await self._wait(core.outbox.submit(content, sender, recipients, headers, id), shielded=shielded)

    async def withdraw(self, id: str) -> None:
        """Take a message back; see `Store.withdraw`."""
        await self._wait((await self._ready()).outbox.withdraw(id))

    async def resume(self, id: str) -> None:
        """Put a held or failed message back into the queue; see `Store.resume`."""
        await self._wait((await self._ready()).outbox.resume(id))

    async def hold(self, id: str) -> None:
        """Set a ready or deferred message aside; see `Store.hold`."""
        await self._wait((await self._ready()).outbox.hold(id))

    async def retry(self, id: str) -> None:
        """Make a deferred message ready; see `Store.retry`."""
        await self._wait((await self._ready()).outbox.retry(id))

    async def messages(self, *states: str) -> list[Message]:
        """Return the messages in these states (`Message.state`; default: all), oldest first, without their content."""
        state = (await self._ready()).state
        return await self._wait(self._spooler.read(lambda: state.storage.messages(state.handle.name, *states)))

    async def message(self, id: str) -> Message | None:
        """Return one message with its content, or None if it is not there (any longer)."""
        state = (await self._ready()).state
        return await self._wait(self._spooler.read(lambda: state.storage.message(state.handle.name, id)))

    async def logoff(self, flag: Logoff) -> Outcome:
        """Ask for the logoff and return how the store stands, without waiting for messages.  Refused once released."""
        event = self._event(flag)
        return await self._wait((await self._ready()).logoff(event))

    async def release(self) -> Outcome:
        """Give up the last reference: ask for ABORT unless a logoff is under way.  Never wait for messages."""
        return await self._wait((await self._ready()).logoff("release"))

    async def close(self, plan: Plan | str | None = None) -> Outcome:
        """Close the store by a plan; see `Store.close`.  Cancelling the wait does not undo the closing."""
        await self._ready()
        return await self._wait(self.begin_closing(plan))

    async def progress(self) -> AsyncIterator[Progress]:
        """Yield how the store stands, now and after every change (several at once are one); end with the release."""
        await self._ready()
        version = -1
        while await self._wait(self._shutdown.news(version)):
            version = self._shutdown.version
            yield self.progress_now()

    async def _enter(self, item: AsyncInFlight) -> None:
        """Begin an item whose block is entered."""
        if item.enter():
            core = await self._ready()
            await self._wait(core.begin_inbound(item), core.abandon)
        item.entered = True
        self._tell_sending(item)

    def _leave(self, item: AsyncInFlight, error: BaseException | None) -> Future[None] | None:
        """End an item whose block is left by this error (None: normally); None if that is not waited for."""
        ending = item.ending(error)
        try:
            if item._waits:
                return self._core.endings.end(item, ending)
            self._core.endings.leave(item, ending)
            return None
        finally:
            if item.left is not None:
                told(self.name, item.left, ending)

    async def _wait(
        self, future: Future[T], undo: Callable[[T], object] | None = None, *,
        shielded: bool = False, turn: bool = False,
    ) -> T:  # fmt: skip
        """See `Waiter.wait`."""
        return await self._waiter.wait(future, undo, shielded=shielded, turn=turn)


class AsyncSpooler(BaseSpooler):
    """Many stores for asyncio in one storage: one connection for writing and a few threads for all of them.

        async with AsyncSpooler(Database("mail.db")) as spooler:
            store = await spooler.open("alice")
            print(await spooler.close("NO_WAIT 20s -> ORDERLY 5s -> cancel 3s"))

    Created in a running loop, and used in that loop, which it never blocks.  `storage` is a `Database`, or in memory if
    it is left out.
    """

    def __init__(self, storage: Storage | None = None, *, clock: Clock | None = None) -> None:
        self.loop = running_loop()
        """The loop in which the stores are used."""
        self._waiter = Waiter.of(self.loop)
        super().__init__(storage, clock=clock)

    def _default_clock(self) -> Clock:
        return LoopClock(self.loop)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close all stores by the default plan, unless they have ended, and let them go."""
        try:
            if not self._core.over:
                await self.close()
        finally:
            await self.gone()

    async def open(
        self, name: str, *, default_inbox: bool = True, uncertain: Policy = "resend", retry: Retry | None = None
    ) -> AsyncStore:
        """Open the store of this name; see `Spooler.open`."""
        return (await self.open_many((name,), default_inbox=default_inbox, uncertain=uncertain, retry=retry))[0]

    async def open_many(
        self, names: Iterable[str], *, default_inbox: bool = True, uncertain: Policy = "resend",
        retry: Retry | None = None,
    ) -> list[AsyncStore]:  # fmt: skip
        """Open all these stores together; see `Spooler.open_many`."""
        options = Options(default_inbox, uncertain, Retry() if retry is None else retry)
        stores: list[AsyncStore] = []
        try:
            for name in names:
                stores.append(AsyncStore._of(self._core, name, options))
            for store in stores:
                await store.opened()
        except BaseException:
            for store in stores:
                store.let_go()
            raise
        return stores

    async def close(self, plan: Plan | str | None = None) -> SpoolerOutcome:
        """Close all stores by a plan; see `Spooler.close`.  Cancelling the wait does not undo the closing."""
        return await self._waiter.wait(self.begin_closing(plan))

    def let_go(self) -> None:
        """Stop holding the stores, and close the storage.  In the loop it does not wait; see `AsyncStore.let_go`."""
        done = self._core.close()
        if self._waiter.is_here:
            self._waiter.look_after(done, self._core)
        else:
            self._core.commit.wait(done)

    async def gone(self) -> None:
        """Let the stores go, and wait for the storage as long as that answers."""
        await self._waiter.patiently(self._core.close(), self._core)
