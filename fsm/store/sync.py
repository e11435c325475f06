"""The store for threads: messages in flight as context managers, logging off, closing by a plan.

    with Store() as store:
        with store.inbound(peer="10.0.0.7") as item:      # StoreClosing when the store takes nothing new in
            save(read())                                   # left normally: received; by an exception: failed
        store.submit(b"...", recipients=("a@example.org",))
        for item in store.outgoing(provider="mx1"):        # waits; ends when the store is released
            with item:                                     # left normally: sent; by an exception: deferred
                send(item.message)
        print(store.close("NO_WAIT 20s -> ORDERLY 5s -> cancel 3s"))

`aio.py` is the same for asyncio.  Both only wait; what happens is in `core.py` and `shutdown.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Self, TypeVar

from fsm.logoff.flags import Logoff
from fsm.store.base import BaseStore
from fsm.store.clock import SYSTEM, Clock
from fsm.store.in_flight import Item
from fsm.store.message import Message
from fsm.store.outcome import Outcome, Progress
from fsm.store.plan import Plan

__all__ = ["InFlight", "Store"]

T = TypeVar("T")


class InFlight(Item):
    """A message in flight, as a context manager: leaving the block decides how it ends (`in_flight.py`)."""

    _store: Store

    def __enter__(self) -> Self:
        if self.enter():
            self._store._wait(self._core.begin_inbound(self), self._core.abandon)
        self.entered = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._store._wait(self._core.endings.end(self, self.ending(error)))


class Store(BaseStore):
    """A message store for threads.  All of it may be used from any thread; nothing needs to be guarded."""

    def _clock(self) -> Clock:
        return SYSTEM

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Close it by the default plan, unless it is released, and let everything go."""
        try:
            if not self._closer.ended:
                self.close()
        finally:
            self.let_go()

    def inbound(self, *, peer: str = "", what: str = "") -> InFlight:
        """A message that comes in.  Entering the block begins it: StoreClosing when the store takes nothing new in.

        Left normally it is received: keep it safe before.  Left by an exception it has failed: its source keeps it.
        """
        return self._item(InFlight(self._core, "inbound", peer=peer, note=what))

    def outgoing(self, *, provider: str = "", peer: str = "") -> Iterator[InFlight]:
        """Messages to send, each claimed for whoever takes it here; waits for the next, ends when the store is
        released.

        Several threads may each have an iterator.  The last item given goes back into the queue when the loop is left
        before its block was entered.
        """

        def new() -> InFlight:
            return self._item(InFlight(self._core, "outbound", peer=peer, provider=provider))

        item: Item | None = None
        try:
            while (item := self._wait(self._core.next_item(new), self._abandoned)) is not None:
                assert isinstance(item, InFlight)
                yield item
        finally:
            if item is not None and not item.entered:
                self._core.abandon(item)

    def submit(self, content: bytes, sender: str = "", recipients: Sequence[str] = ()) -> str:
        """Put a message into the queue; its id.  It is durable when this returns (with a durable storage).

        StoreClosing when the store takes nothing new in; StorageError when it cannot be kept; nothing has changed then.
        """
        return self._wait(self._core.submit(content, sender, recipients))

    def withdraw(self, id: str) -> None:
        """Take a message back.

        MapiError: UNABLE_TO_ABORT while it is being sent, NOT_IN_QUEUE when it is not there.
        """
        self._wait(self._core.withdraw(id))

    def resume(self, id: str) -> None:
        """Put a held or failed message back into the queue.  MapiError NOT_IN_QUEUE if it is not there;
        StoreClosing.
        """
        self._wait(self._core.resume(id))

    def messages(self, *states: str) -> list[Message]:
        """The messages in these states (`Message.state`; all when none is named), oldest first, without content."""
        return self._core.storage.messages(*states)

    def message(self, id: str) -> Message | None:
        """One message, whole; None when it is not there (any more)."""
        return self._core.storage.message(id)

    def logoff(self, flag: Logoff) -> Outcome:
        """Ask for the logoff.

        Never waits for messages; the outcome says how it stands.  Refused when it is released.
        """
        return self._wait(self._core.ask(self._event(flag)))

    def release(self) -> Outcome:
        """The last reference goes: asks for ABORT unless a logoff is under way.  Never waits for messages."""
        return self._wait(self._core.ask("release"))

    def close(self, plan: Plan | str | None = None) -> Outcome:
        """Close by a plan (`plan.DEFAULT` when none is given) and wait for it.

        Joins a closing under way.  Returns when the store is released and nothing is in flight here, or when the plan's
        time is over; the outcome says which, and what is in the way.
        """
        return self._wait(self._closer.close(plan))

    def progress(self) -> Iterator[Progress]:
        """How it stands, now and after every change (several at once are one); ends when the store is released."""
        version = -1
        while self._wait(self._closer.news(version)):
            version = self._closer.version
            yield self._closer.progress()

    def _wait(self, future: Future[T], undo: Callable[[T], object] | None = None) -> T:
        """Wait for it here.  When waiting is interrupted, it does not happen, or is undone when it has."""
        if self._core.desk.inside and not future.done():
            future.cancel()
            raise RuntimeError("a listener of the store may ask for nothing that has to be waited for")
        try:
            return self._core.clock.result(future)
        except BaseException:
            if undo is not None and not future.cancel() and not (future.done() and future.exception()):
                future.add_done_callback(lambda done: undo(done.result()))
            raise
