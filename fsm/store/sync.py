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

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from threading import get_ident
from types import TracebackType
from typing import Final, Self, TypeVar

from fsm.logoff.flags import Logoff
from fsm.store.base import BaseStore
from fsm.store.clock import SYSTEM, Clock
from fsm.store.in_flight import Direction, Item
from fsm.store.message import Message
from fsm.store.outcome import Outcome, Progress
from fsm.store.plan import Plan

__all__ = ["InFlight", "Store"]

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


class Store(BaseStore):
    """A message store for threads.  All of it may be used from any thread."""

    def _default_clock(self) -> Clock:
        return SYSTEM

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Close the store by the default plan, unless it is released, and let it go."""
        try:
            if not self._state.ended:
                self.close()
        finally:
            self.let_go()

    def _new_item(self, direction: Direction, *, peer: str = "", provider: str = "", note: str = "") -> InFlight:
        item = self._state.new_item(InFlight, direction, peer=peer, provider=provider, note=note)
        item._store = self
        return self.prepare_item(item)

    def inbound(self, *, peer: str = "", what: str = "") -> InFlight:
        """Return a message that comes in.  Entering its block begins it: StoreClosing if the store takes no new work.

        If the block is left normally, the message is received: store it safely before.  If it is left by an exception,
        the message has failed, and its source keeps it.
        """
        return self._new_item("inbound", peer=peer, note=what)

    def outgoing(self, *, provider: str = "", peer: str = "") -> Iterator[InFlight]:
        """Yield messages to send, each claimed for whoever takes it here; wait for the next; end with the release.

        Several threads may each have an iterator.  If the loop is left before the last item's block was entered, the
        item goes back into the queue.
        """

        def new() -> InFlight:
            return self._new_item("outbound", peer=peer, provider=provider)

        item: Item | None = None
        try:
            while (item := self._wait(lambda: self._core.next_item(new), self._abandon)) is not None:
                assert isinstance(item, InFlight)
                yield item
        finally:
            if item is not None and not item.entered:
                self._core.abandon(item)

    def submit(self, content: bytes, sender: str = "", recipients: Sequence[str] = ()) -> str:
        """Put a message into the queue and return its id.  With a durable storage the message is durable then.

        Raise StoreClosing if the store takes no new work, and StorageError if it cannot be stored; nothing has changed.
        """
        return self._wait(lambda: self._core.outbox.submit(content, sender, recipients))

    def withdraw(self, id: str) -> None:
        """Take a message back.

        MapiError: UNABLE_TO_ABORT while it is being sent, NOT_IN_QUEUE if it is not in the queue.
        """
        self._wait(lambda: self._core.outbox.withdraw(id))

    def resume(self, id: str) -> None:
        """Put a held or failed message back into the queue.  MapiError NOT_IN_QUEUE if there is none; StoreClosing."""
        self._wait(lambda: self._core.outbox.resume(id))

    def messages(self, *states: str) -> list[Message]:
        """Return the messages in these states (`Message.state`; default: all), oldest first, without their content."""
        return self._state.storage.messages(*states)

    def message(self, id: str) -> Message | None:
        """Return one message with its content, or None if it is not there (any longer)."""
        return self._state.storage.message(id)

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

    def _leave(self, item: InFlight, error: BaseException | None) -> None:
        """End an item whose block is left by this error (None: normally)."""
        self._wait(lambda: self._core.endings.end(item, item.ending(error)))

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
