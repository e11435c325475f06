"""What a store is at a moment: its session, what is in flight, and its counters.

The session counts messages; which ones they are, the storage knows.  The rules (outbox, claims, endings, peers,
deferred) each read and change the state, and none of them uses another.  `core.py` creates them and connects them.

Every field is guarded by `lock`, which all stores of a spooler share.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from secrets import token_hex
from threading import RLock
from typing import TYPE_CHECKING, Final, TypeVar

from fsm.journal.encoder import ENCODE
from fsm.logoff.session import StoreSession
from fsm.store.clock import Clock
from fsm.store.errors import StoreClosing
from fsm.store.in_flight import Blocker, Direction, Item
from fsm.store.message import Message
from fsm.store.observer import Observer
from fsm.store.storage import Handle, Look, Storage

if TYPE_CHECKING:
    from fsm.store.step import Claimer, PeerCounter

__all__ = ["COUNTERS", "StoreState"]

ItemT = TypeVar("ItemT", bound=Item)
T = TypeVar("T")
COUNTERS: Final = (
    "submitted", "sent", "deferred", "failed", "uncertain", "held", "withdrawn", "received", "refused_inbound",
    "refused_new", "stopped", "lapsed", "taken_by_peers", "taken_over",
)  # fmt: skip
"""The names of the counters; all start at 0 when the store is opened."""


class StoreState:
    """The state of one open store; without the `default_inbox` NO_WAIT and PURGE stop what is coming in."""

    __slots__ = (
        "_subscribers", "claims_rule", "clock", "closed", "counters", "default_inbox", "doubtful", "handle", "holder",
        "items", "journal_head", "lapses", "lock", "name", "news_for_peers", "observer", "peers_may_have_mail",
        "peers_rule", "segment", "seq", "session", "set_aside", "storage",
    )  # fmt: skip
    claims_rule: Claimer
    peers_rule: PeerCounter

    def __init__(
        self, storage: Storage, clock: Clock, lock: RLock, handle: Handle, look: Look, *, name: str, default_inbox: bool
    ) -> None:
        self.storage, self.clock, self.lock, self.handle = storage, clock, lock, handle
        self.name, self.default_inbox = name, default_inbox
        self.holder = token_hex(6)
        """The id of this opening of the store; also the session's name in the journal."""
        self.journal_head = f'{{"session":{ENCODE(self.holder)},"seq":'
        self.seq, self.segment = 0, -1
        """The number of the last entry in the journal, and the storage's `segment` at its last start record."""
        self.session = StoreSession(ready=look.ready, deferred=look.deferred, peers=look.peers or 0)
        self.items: dict[str, Item] = {}
        """The messages in flight by id, the longest in flight first."""
        self.counters: Counter[str] = Counter()
        self.doubtful: dict[str, Message] = {message.id: message for message in look.lapsed}
        """The messages that may have arrived or not, without their content."""
        self.set_aside = look.aside
        """Messages that wait for a person's decision: held, or failed without a report."""
        self.peers_may_have_mail = bool(look.peers)
        """True if others may have ready messages and nobody to send them."""
        self.news_for_peers = False
        """True if messages became ready that a peer could send."""
        self.closed = False
        self.lapses = False
        """True if an item ended after the store was let go, too late to record it: its claim lapses."""
        self.observer: Observer | None = None
        self._subscribers: tuple[Callable[[], object], ...] = ()

    # ----------------------------------------------------------------------------------------------- notification

    def subscribe(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Call this after every change, with the lock held; return a function that ends the subscription."""
        with self.lock:
            self._subscribers = (*self._subscribers, callback)

        return lambda: self.unsubscribe(callback)

    def unsubscribe(self, callback: Callable[[], object]) -> None:
        """Do not call this any more."""
        with self.lock:
            self._subscribers = tuple(one for one in self._subscribers if one != callback)

    def notify(self) -> None:
        """Call the subscribers."""
        with self.lock:
            for callback in self._subscribers:
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
        item.forget_callbacks()
        if self.items.get(item.id) is item:  # a store taken for dead may have claimed the same message again
            del self.items[item.id]

    def became_ready(self, count: int, counter: str | None = None) -> None:
        """Note that so many messages became ready; count them under this name."""
        self.news_for_peers = self.news_for_peers or count > 0
        if counter is not None:
            self.counters[counter] += count

    def count_refusal(self, done: Future[T]) -> None:
        """Count a call that was refused because the store takes no new work."""
        if not done.cancelled() and isinstance(done.exception(), StoreClosing):
            with self.lock:
                self.counters["refused_new"] += 1

    @property
    def ended(self) -> bool:
        """True once the store is released and this process has nothing in flight, or after `let_go()`."""
        return self.closed or (self.session.complete and not self.items)

    def counted(self) -> dict[str, int]:
        """Return all counters."""
        with self.lock:
            return {name: self.counters[name] for name in COUNTERS}

    def blockers(self) -> tuple[Blocker, ...]:
        """What is in flight, the longest first."""
        with self.lock:
            return tuple(item.blocker for item in self.items.values())
