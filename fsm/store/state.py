"""What a store is at a moment: its session, what is in flight, its part of the queue, its peers and its counters.

The session counts messages; the state knows which ones they are.  The rules (outbox, claims, endings, peers, retry)
each read and change the state, and none of them uses another.  `core.py` creates them and connects them.

Every field is guarded by `lock`, except that the queue and the counters are also read inside a commit, when no step is
under way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from threading import RLock
from typing import Final, TypeVar

from fsm.logoff.session import StoreSession
from fsm.store.clock import Clock
from fsm.store.errors import StoreClosing
from fsm.store.in_flight import Blocker, Direction, Item
from fsm.store.message import Message
from fsm.store.queue_index import QueueIndex
from fsm.store.storage import Opening, Policy, Storage

__all__ = ["COUNTERS", "RETRY_SECONDS", "StoreState"]

ItemT = TypeVar("ItemT", bound=Item)
T = TypeVar("T")
COUNTERS: Final = (
    "submitted", "sent", "deferred", "failed", "uncertain", "held", "withdrawn", "received", "refused_inbound",
    "refused_new", "stopped", "lapsed", "taken_by_peers", "taken_over",
)  # fmt: skip
"""The names of the counters; all start at 0 when the store is opened."""
RETRY_SECONDS: Final = 1.0
"""Seconds before something that failed because of the storage is tried again."""


class StoreState:
    """The state of one open store.

    `uncertain` is the policy for messages of which nobody can tell whether they arrived; without the `default_inbox`
    NO_WAIT and PURGE stop what is coming in.
    """

    def __init__(
        self, storage: Storage, clock: Clock, opening: Opening, *, name: str, default_inbox: bool, uncertain: Policy
    ) -> None:
        self.storage, self.clock, self.name = storage, clock, name
        self.default_inbox, self.uncertain = default_inbox, uncertain
        self.lock: Final = RLock()
        self.holder = opening.holder
        """The id under which this process has the store open; also the session's name in the journal."""
        self.peers = opening.peers
        self.queue = QueueIndex(opening.share)
        ready, deferred = len(self.queue.ready), len(self.queue.deferred)
        self.session = StoreSession(ready=ready, deferred=deferred, peers=len(self.peers))
        self.items: dict[str, Item] = {}
        """The messages in flight by id, the longest in flight first."""
        self.counters: Counter[str] = Counter(dict.fromkeys(COUNTERS, 0))
        self.doubtful: dict[str, Message] = {}
        """The messages that may have arrived or not, without their content."""
        self.set_aside = len(storage.messages("held", "failed"))
        """Messages that wait for a person's decision: held, or failed without a report."""
        self.peers_may_have_mail = False
        """True if a peer may have ready messages and nobody to send them."""
        self.news_for_peers = False
        """True if messages became ready that a peer could send."""
        self.longest_wait = 0.0
        """The longest time, in seconds, that a deferred message was told to wait."""
        self.closed = False
        self._subscribers: list[Callable[[], object]] = []

    # ----------------------------------------------------------------------------------------------- notification

    def subscribe(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Call this after every change, with the lock held; return a function that ends the subscription."""
        with self.lock:
            self._subscribers.append(callback)

        def unsubscribe() -> None:
            with self.lock:
                if callback in self._subscribers:
                    self._subscribers.remove(callback)

        return unsubscribe

    def notify(self) -> None:
        """Call the subscribers."""
        with self.lock:
            for callback in tuple(self._subscribers):
                callback()

    # ------------------------------------------------------------------------------------------- items and messages

    def new_item(
        self, kind: type[ItemT], direction: Direction, *, peer: str = "", provider: str = "", note: str = ""
    ) -> ItemT:
        """Return a new item, which has not begun."""
        return kind(self.clock, self.lock, self.notify, direction, peer=peer, provider=provider, note=note)

    def begin(self, item: ItemT, message: Message | None = None) -> ItemT:
        """Put the item in flight; `message` is what it sends."""
        if message is not None:
            item.id, item.message = message.id, message
        item.begin()
        self.items[item.id] = item
        return item

    def finish(self, item: Item) -> None:
        """Take the item out of flight."""
        if self.items.get(item.id) is item:  # a store taken for dead may have claimed the same message again
            del self.items[item.id]

    def enqueue(self, ids: Sequence[str], counter: str | None = None) -> None:
        """Add messages that are ready and ours; count them under this name."""
        self.queue.add_ready(ids)
        self.news_for_peers = self.news_for_peers or bool(ids)
        if counter is not None:
            self.counters[counter] += len(ids)

    def count_refusal(self, done: Future[T]) -> None:
        """Count a call that was refused because the store takes no new work."""
        if not done.cancelled() and isinstance(done.exception(), StoreClosing):
            with self.lock:
                self.counters["refused_new"] += 1

    @property
    def ended(self) -> bool:
        """True once the store is released and this process has nothing in flight, or after `let_go()`."""
        return self.closed or (self.session.complete and not self.items)

    def blockers(self) -> tuple[Blocker, ...]:
        """What is in flight, the longest first."""
        with self.lock:
            return tuple(item.blocker for item in self.items.values())
