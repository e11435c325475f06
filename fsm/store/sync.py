"""The store for threads: messages in flight as context managers, logging off, closing by a plan.

    with Store() as store:
        with store.inbound(peer="10.0.0.7") as item:      # StoreClosing if the store takes no new work
            save(read())                                   # left normally: received; by an exception: failed
        store.submit(b"...", recipients=("a@example.org",))
        for item in store.outgoing(provider="mx1"):        # waits; ends when the store is released
            with item:                                     # left normally: sent; by an exception: deferred
                send(item.message)
        print(store.close("NO_WAIT 20s -> ORDERLY 5s -> cancel 3s"))

`aio.py` is the same for asyncio.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from threading import get_ident
from types import TracebackType
from typing import Final, Self, TypeVar

from fsm.logoff.flags import Logoff
from fsm.store.base import BaseSpooler, BaseStore
from fsm.store.clock import SYSTEM, Clock
from fsm.store.core import Options
from fsm.store.deposit import Connection, answered
from fsm.store.in_flight import Direction, Item
from fsm.store.message import Message
from fsm.store.observer import told
from fsm.store.outcome import Outcome, Progress, SpoolerOutcome
from fsm.store.plan import Plan
from fsm.store.retry import Retry
from fsm.store.storage import Policy, Storage

__all__ = ["InFlight", "Outgoing", "Spooler", "Store"]

T = TypeVar("T")
WITHIN: Final = (
    "a listener, or a signal handler that interrupts a call of the store, cannot wait for the store, because the call "
    "would wait for itself; use another thread, and to close on signals use on_signals(store, plan)"
)


class InFlight(Item):
    """A message in flight, as a context manager: leaving the block decides how it ends."""

    _store: Store

    def __enter__(self) -> Self:
        self._store._enter(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._store._leave(self, error)


class Outgoing(InFlight):
    """A message to send, as a context manager."""

    message: Message


class Store(BaseStore):
    """A message store for threads.  All of it may be used from any thread."""

    def __init__(
        self, storage: Storage | None = None, *, name: str = "store", default_inbox: bool = True,
        uncertain: Policy = "resend", retry: Retry | None = None, clock: Clock | None = None,
    ) -> None:  # fmt: skip
        super().__init__(storage, name=name, default_inbox=default_inbox, uncertain=uncertain, retry=retry, clock=clock)
        self._wait_open()

    def _default_clock(self) -> Clock:
        return SYSTEM

    def _wait_open(self) -> None:
        if (opening := self._opening) is not None:
            self._spooler.clock.result(opening)

    def let_go(self) -> None:
        """Stop holding the store: close its storage, and give None to whoever waits for a message.

        What is still being sent counts as uncertain from now on.  Calling it again does nothing.  It waits for the
        storage only as long as that answers.
        """
        done = self._let_go()
        self._spooler.commit.wait(self._spooler.close() if self._alone else done)

    def _let_go_once_open(self) -> None:
        if (opening := self._opening) is None:
            self._let_go()
        else:
            opening.add_done_callback(lambda done: None if done.exception() else self._let_go())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Close the store by the default plan, unless it was closed, and let it go."""
        try:
            if not (self._state.ended or self._shutdown.over):
                self.close()
        finally:
            self.let_go()

    def _new_item(self, direction: Direction, *, peer: str = "", provider: str = "", note: str = "") -> InFlight:
        kind = InFlight if direction == "inbound" else Outgoing
        item = self._state.new_item(kind, direction, peer=peer, provider=provider, note=note)
        item._store = self
        return self.prepare_item(item)

    def inbound(self, *, peer: str = "", what: str = "") -> InFlight:
        """Return a message that comes in.  Entering its block begins it: StoreClosing if the store takes no new work.

        If the block is left normally, the message is received: store it safely before.  If it is left by an exception,
        the message has failed, and its source keeps it.
        """
        return self._new_item("inbound", peer=peer, note=what)

    def outgoing(self, *, provider: str = "", peer: str = "") -> Iterator[Outgoing]:
        """Yield messages to send, each claimed for whoever takes it here; wait for the next; end with the release.

        Several threads may each have an iterator.  If the loop is left before the last item's block was entered, the
        item goes back into the queue.
        """

        def new() -> InFlight:
            return self._new_item("outbound", peer=peer, provider=provider)

        item: Item | None = None
        try:
            while (item := self._wait(lambda: self._core.next_item(new), self._abandon)) is not None:
                assert isinstance(item, Outgoing)
                yield item
        finally:
            if item is not None and not item.entered:
                self._core.abandon(item)

    def submit(
        self, content: bytes, sender: str = "", recipients: Sequence[str] = (), *,
        headers: Mapping[str, str] | None = None, connection: Connection | None = None, id: str | None = None,
    ) -> str:  # fmt: skip
        """Put a message into the queue and return its id.  With a durable storage the message is durable then.

        `headers` are kept with the message, as `message.headers` for whoever sends it: metadata beside the content,
        such as a trace's context; at most 8,192 characters of names and values together.  Who has to know the `id`
        before makes it with `fsm.store.message.new_id()`, and gives it to one message.

        With a `connection` (or session) to the store's database it is part of the transaction that is under way there:
        it is in the queue when that commits, and never was when it rolls back.  The store counts it then, and wakes who
        waits for messages.

        Raise StoreClosing if the store takes no new work, and StorageError if it cannot be stored, or the connection
        leads to another database; TypeError or ValueError for what makes no message.  Nothing has changed then.
        """
        if connection is not None:
            return answered(self._core.outbox.deposit(content, sender, recipients, headers, connection, id))
        return self._wait(lambda: self._core.outbox.submit(content, sender, recipients, headers, id))

    def withdraw(self, id: str) -> None:
        """Take a message back.

        MapiError: UNABLE_TO_ABORT while it is being sent, NOT_IN_QUEUE if it is not in the queue.
        """
        self._wait(lambda: self._core.outbox.withdraw(id))

    def resume(self, id: str) -> None:
        """Put a held or failed message back into the queue.  MapiError NOT_IN_QUEUE if there is none; StoreClosing."""
        self._wait(lambda: self._core.outbox.resume(id))

    def hold(self, id: str) -> None:
        """Set a ready or deferred message aside until it is resumed.  MapiError as of `withdraw`."""
        self._wait(lambda: self._core.outbox.hold(id))

    def retry(self, id: str) -> None:
        """Make a deferred message ready, to be tried now.  MapiError as of `withdraw`; StoreClosing."""
        self._wait(lambda: self._core.outbox.retry(id))

    def messages(self, *states: str) -> list[Message]:
        """Return the messages in these states (`Message.state`; default: all), oldest first, without their content."""
        return self._read(lambda: self._state.storage.messages(self._state.handle.name, *states))

    def message(self, id: str) -> Message | None:
        """Return one message with its content, or None if it is not there (any longer)."""
        return self._read(lambda: self._state.storage.message(self._state.handle.name, id))

    def _read(self, job: Callable[[], T]) -> T:
        return self._state.clock.result(self._spooler.read(job))

    def logoff(self, flag: Logoff) -> Outcome:
        """Ask for the logoff and return how the store stands, without waiting for messages.  Refused once released."""
        return self._wait(lambda: self._core.logoff(self._event(flag)))

    def release(self) -> Outcome:
        """Give up the last reference: ask for ABORT unless a logoff is under way.  Never wait for messages."""
        return self._wait(lambda: self._core.logoff("release"))

    def close(self, plan: Plan | str | None = None) -> Outcome:
        """Close the store by a plan (default: `NO_WAIT 20s -> ORDERLY 5s -> cancel 3s`) and wait for it.

        Join a closing under way.  Return once the store is released and nothing is in flight here, or when the plan's
        time is over; the outcome says which, and what is in the way.
        """
        return self._wait(lambda: self.begin_closing(plan))

    def progress(self) -> Iterator[Progress]:
        """Yield how the store stands, now and after every change (several at once are one); end with the release."""
        version = -1
        while self._wait(partial(self._shutdown.news, version)):
            version = self._shutdown.version
            yield self.progress_now()

    def _enter(self, item: InFlight) -> None:
        """Begin an item whose block is entered."""
        if item.enter():
            self._wait(lambda: self._core.begin_inbound(item), self._core.abandon)
        item.entered = True
        self._tell_sending(item)

    def _leave(self, item: InFlight, error: BaseException | None) -> None:
        """End an item whose block is left by this error (None: normally)."""
        ending = item.ending(error)
        try:
            if self._core.commit.is_current_thread:  # in a listener nobody waits for it
                self._core.endings.end(item, ending)
            else:
                self._wait(lambda: self._core.endings.end(item, ending))
        finally:
            if item.left is not None:
                told(self.name, item.left, ending)

    def _wait(self, start: Callable[[], Future[T]], undo: Callable[[T], object] | None = None) -> T:
        """Start something and wait for it.  If the wait is interrupted, nothing happens, or it is undone."""
        thread = get_ident()
        if self._core.commit.is_current_thread or thread in self._starting:
            raise RuntimeError(WITHIN)
        self._starting.add(thread)
        try:
            future = start()
        finally:
            self._starting.discard(thread)
        try:
            return self._state.clock.result(future)
        except BaseException:
            if undo is not None and not future.cancel() and not (future.done() and future.exception()):
                future.add_done_callback(lambda done: undo(done.result()))
            raise


class Spooler(BaseSpooler):
    """Many stores for threads in one storage: one connection for writing and a few threads for all of them.

        with Spooler(Database("mail.db")) as spooler:
            store = spooler.open("alice")
            print(spooler.close("NO_WAIT 20s -> ORDERLY 5s -> cancel 3s"))

    All of it may be used from any thread.  `storage` is a `Database`, or in memory if it is left out.
    """

    def _default_clock(self) -> Clock:
        return SYSTEM

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Close all stores by the default plan, unless they have ended, and let them go."""
        try:
            if not self._core.over:
                self.close()
        finally:
            self.let_go()

    def open(
        self, name: str, *, default_inbox: bool = True, uncertain: Policy = "resend", retry: Retry | None = None
    ) -> Store:
        """Open the store of this name, which is created if there is none; see `Store` for the options.

        Raise StorageError if that is impossible or the store is open here already, and StoreClosing once the spooler
        is closing.
        """
        return self.open_many((name,), default_inbox=default_inbox, uncertain=uncertain, retry=retry)[0]

    def open_many(
        self, names: Iterable[str], *, default_inbox: bool = True, uncertain: Policy = "resend",
        retry: Retry | None = None,
    ) -> list[Store]:  # fmt: skip
        """Open all these stores together, which is faster.  If one cannot be opened, none of them stays open."""
        options = Options(default_inbox, uncertain, Retry() if retry is None else retry)
        stores: list[Store] = []
        try:
            for name in names:
                stores.append(Store._of(self._core, name, options))
            for store in stores:
                store._wait_open()
        except BaseException:
            for store in stores:
                store._let_go_once_open()
            raise
        return stores

    def close(self, plan: Plan | str | None = None) -> SpoolerOutcome:
        """Close all stores by a plan (default: `NO_WAIT 20s -> ORDERLY 5s -> cancel 3s`) and wait for them.

        They share its budget.  Nothing new begins anywhere from the first moment, but for what the plan lets begin; no
        more stores are opened.
        """
        return self._core.clock.result(self.begin_closing(plan))

    def let_go(self) -> None:
        """Stop holding the stores, and close the storage; see `Store.let_go`."""
        self._core.commit.wait(self._core.close())
