"""The core of a store that moves messages: its session, what is in flight, what is queued, and what is asked of it.

Theory.
1. Whatever happens is asked of `group_commit.py`, which decides, commits and steps in one order.  The core says what
   each thing means to the session and to the storage, and keeps what the session only counts: the items in flight, the
   messages it counts (`queue_index.py`), the peers (`peers.py`), who waits for a message to send (`claims.py`).
2. Everything is a future.  Nothing here waits, and nothing looks again and again: whoever waits for something to begin,
   to change or to end is told in the step that makes it so.  `sync.py` and `aio.py` are the two ways to wait.
3. Without the default Inbox, NO_WAIT and PURGE stop what is coming in (S10, S49); its source keeps it.

This file knows no database, no thread, no loop, and no plan (`shutdown.py`).
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from threading import RLock
from typing import Final, TypeVar, cast

from fsm.logoff.flags import Logoff, MapiError, Result
from fsm.logoff.session import StoreSession
from fsm.store.claims import Outgoing
from fsm.store.clock import Clock
from fsm.store.endings import Endings
from fsm.store.errors import StorageError, StoreClosing
from fsm.store.group_commit import Desk, Draft
from fsm.store.in_flight import Blocker, Ending, Item
from fsm.store.message import Message, new_id
from fsm.store.outcome import Outcome
from fsm.store.peers import Company
from fsm.store.queue_index import Holding
from fsm.store.retry import Deferred, Retry
from fsm.store.storage import Opening, Peer, Policy, Storage
from fsm.verdict import Refused

__all__ = ["COUNTERS", "Core"]

log: Final = logging.getLogger("fsm.store")

T = TypeVar("T")
AGAIN: Final = 1.0
"""Seconds until it is looked what is there, when that could not be told."""
COUNTERS: Final = (
    "submitted", "sent", "deferred", "failed", "uncertain", "held", "withdrawn", "received", "refused_inbound",
    "refused_new", "stopped", "lapsed", "taken_by_peers", "taken_over",
)  # fmt: skip
"""What a store counts from its opening on."""


class Core:
    """A store's session with its items, queue and peers.  All methods may be called from any thread."""

    def __init__(
        self,
        storage: Storage,
        clock: Clock,
        *,
        name: str,
        default_inbox: bool,
        uncertain: Policy,
        retry: Retry,
        thread: bool | None = None,
    ) -> None:
        if uncertain not in ("resend", "hold"):
            raise ValueError(f"what is uncertain is dealt with by 'resend' or 'hold', not by {uncertain!r}")
        self.storage, self.clock, self.name = storage, clock, name
        self.default_inbox, self.uncertain, self.retry = default_inbox, uncertain, retry
        self.lock: Final = RLock()
        self.items: dict[str, Item] = {}
        self.counters: Counter[str] = Counter(dict.fromkeys(COUNTERS, 0))
        self.doubtful: dict[str, Message] = {}
        """Messages of which nobody can tell whether they arrived, or how often; without their content."""
        self.told: list[Callable[[], object]] = []
        """Called, under the lock, after everything that changed."""
        self.closed = False
        self.aside = 0
        """Messages put aside: held, or failed without a report, until someone decides."""
        self._inbound = 0
        self._rings = False
        self.endings, self.outgoing = Endings(self), Outgoing(self)
        self.company, self.deferred = Company(self), Deferred(self)

        storage.policy = uncertain
        opening = storage.open()
        try:
            self._start(opening, thread)
        except BaseException:
            storage.close()
            raise

    def _start(self, opening: Opening, thread: bool | None) -> None:
        storage, name = self.storage, self.name
        self.holder = opening.holder
        self.holding = Holding(opening.share)
        self.aside = len(storage.messages("held", "failed"))
        self._last = max([*self.holding.ready, *self.holding.deferred], default="")
        self.peers: tuple[Peer, ...] = opening.peers
        if opening.lapsed:
            log.warning("%s: %d messages were being sent when their process ended", name, len(opening.lapsed))
            self.counters["lapsed"] = len(opening.lapsed)
            lapsed = set(opening.lapsed)
            self.doubtful |= {m.id: m for m in storage.messages() if m.id in lapsed}
        ready, deferred = len(self.holding.ready), len(self.holding.deferred)
        self.session = StoreSession(ready=ready, deferred=deferred, peers=len(self.peers))
        threaded = storage.durable if thread is None else thread
        self.desk = Desk(
            self.session, storage, self.holder, lock=self.lock, changed=self.changed,
            last=self.outgoing.claim, missed=self._missed, thread=threaded, clock=self.clock,
        )  # fmt: skip
        storage.watch(self.company.look)

    # --------------------------------------------------------------------------------------- messages, either way

    def begin_inbound(self, item: Item) -> Future[Item]:
        """The item begins; StoreClosing when the store takes nothing new in."""
        with self.lock:
            self._inbound += 1
            item.id = f"in-{self._inbound}"

        def decide(draft: Draft) -> Item:
            self._admit(draft, "inbound_begin", message=item.id, peer=item.peer)
            draft.then.append(lambda: self.begun(item, None))
            return item

        return self._ask_new(decide)

    def next_item(self, new: Callable[[], Item]) -> Future[Item | None]:
        """The next message to send, claimed, as an item made by `new`; None when the store is released or closed."""
        with self.lock:
            return self.outgoing.next(new)

    def begun(self, item: Item, message: Message | None) -> Item:
        """It is in flight from now on."""
        if message is not None:
            item.id, item.message = message.id, message
        item.begin()
        self.items[item.id] = item
        return item

    def leave(self, item: Item) -> None:
        """It is in flight no longer."""
        if self.items.get(item.id) is item:  # who was taken for dead may have the same message in flight again
            del self.items[item.id]

    def abandon(self, item: Item) -> None:
        """Nobody entered the block of an item that has begun."""
        with self.lock:
            if item.message is not None:
                self.outgoing.give_back(item)
            else:
                self.endings.end(item, Ending("failed", "nobody was there to take it"))

    # ------------------------------------------------------------------------------------------------- the queue

    def submit(self, content: bytes, sender: str, recipients: Sequence[str]) -> Future[str]:
        """A new message; its id, once it is durable.  StoreClosing when the store takes nothing new in."""
        if not isinstance(content, bytes):
            raise TypeError(f"the content of a message is bytes, not {type(content).__name__}")
        if isinstance(recipients, str):
            raise TypeError(f"recipients are several strings, not one: ({recipients!r},)")

        def decide(draft: Draft) -> str:
            self._last = new_id(self._last)
            message = Message(self._last, content, sender, tuple(recipients), self.clock.time())
            self._admit(draft, "submit", message=message.id)
            draft.tx.submit(message)
            draft.queued.append(message.id)
            draft.then.append(lambda: self.queued([message.id], "submitted"))
            return message.id

        return self._ask_new(decide)

    def withdraw(self, id: str) -> Future[None]:
        """Take a message back.

        MapiError: UNABLE_TO_ABORT while it is being sent, NOT_IN_QUEUE when it is not there.
        """

        def decide(draft: Draft) -> None:
            found = draft.tx.withdraw(id)
            if found == "claimed":
                raise MapiError(Result.MAPI_E_UNABLE_TO_ABORT, f"the message {id} is being sent right now")
            if found is None or found == "theirs":
                why = "is another process's" if found else "is not in the queue; it was sent, withdrawn, or never there"
                raise MapiError(Result.MAPI_E_NOT_IN_QUEUE, f"the message {id} {why}")
            if found in ("held", "failed"):
                draft.then.append(lambda: self._put_aside(-1))
            elif not draft.session.complete:
                self.company.reconcile(draft, f"{id} was withdrawn", "withdrawn")

        return self.desk.ask(decide)

    def resume(self, id: str) -> Future[None]:
        """A held or failed message goes back into the queue.  StoreClosing when the store takes nothing new in."""

        def decide(draft: Draft) -> None:
            self._admit(draft, "submit", message=id)
            if not draft.tx.resume(id):
                raise MapiError(Result.MAPI_E_NOT_IN_QUEUE, f"no message {id} is held or failed")
            draft.then.append(lambda: self.queued([id], "submitted"))
            draft.then.append(lambda: self._put_aside(-1))

        return self._ask_new(decide)

    def _put_aside(self, more: int) -> None:
        self.aside += more

    def queued(self, ids: Sequence[str], counted: str) -> None:
        """These are ready now, and ours."""
        self.holding.queue(ids)
        self._rings = self._rings or bool(ids)
        if counted:
            self.counters[counted] += len(ids)

    # -------------------------------------------------------------------------------------- asking for the logoff

    def ask(self, event: str) -> Future[Outcome]:
        """`logoff_…` or `release`, with the peers counted in the same transaction.  Refused when it is released."""

        def decide(draft: Draft) -> None:
            session = draft.session
            if not session.complete:
                self.company.meet(draft)
                if not session.peers:  # the last one here; what others have just left is to be honoured as well
                    self.company.take_over(draft)
                    self.company.reconcile(draft)  # who was taken for dead takes over what it counts already
            ready, deferred = session.ready, session.deferred
            draft.fire(event)
            if deferred and session.ready == ready + deferred:  # PURGE's flush
                flushed = draft.tx.ready([id for id, _ in draft.tx.share().deferred])
                draft.then.append(lambda: self.queued(flushed, ""))
            cancels = not self.default_inbox and session.request in (Logoff.NO_WAIT, Logoff.PURGE)
            draft.then.append(lambda: self._asked(event, cancels))
            draft.answer = lambda: self.outcome(self.session)

        return cast("Future[Outcome]", self.desk.ask(decide))

    def _asked(self, event: str, cancels: bool) -> None:
        log.info("%s: %s: %s", self.name, event, self.session.chart.describe(self.session.configuration))
        if cancels:
            self.stop([i for i in self.items.values() if i.message is None], "the store has no inbox to put it in now")
        if self.session.complete:
            self.storage.notify_peers()

    def stop(self, items: Sequence[Item], reason: str) -> None:
        """Ask these items to end.  They do when their blocks are left."""
        with self.lock:
            self.counters["stopped"] += sum(item.stopped is None for item in items)
            calls = [call for item in items for call in item.stop(reason)]
        for call in calls:
            try:
                call(reason)
            except Exception:
                log.exception("%s: what was to be called when an item is stopped failed", self.name)

    def outcome(
        self, session: StoreSession, steps: tuple[str, ...] = (), seconds: float = 0.0, *, reads: bool = True
    ) -> Outcome:
        """How it stands, as an outcome; with `reads` it says which messages stay in the queue of a released store."""
        to_peers = session.complete and bool(session.peers)
        with self.lock:
            blockers, doubtful = self.blockers(), tuple(self.doubtful.values())
        left = tuple(self._left()) if reads and session.complete and not to_peers else ()
        return Outcome(session.complete, session.state, session.request, session.status, session.ready +
        session.deferred, left, doubtful, blockers, steps, seconds, to_peers, self.aside)  # fmt: skip

    def _left(self) -> list[Message]:
        found = self.storage.messages("ready", "deferred")
        if self.storage.durable:
            return found
        return [whole for one in found if (whole := self.storage.message(one.id)) is not None]

    def blockers(self) -> tuple[Blocker, ...]:
        """What is in flight, the longest first."""
        with self.lock:
            return tuple(item.blocker for item in self.items.values())

    # ----------------------------------------------------------------------------------------------------- the rest

    def changed(self) -> None:
        """Something happened: who waits for a message, a change, an end?  (The desk calls.)"""
        with self.lock:
            self.outgoing.serve()
            self.deferred.arm()
            if self._rings and self.peers and not self.outgoing.idle:
                self.storage.notify_peers()  # a message waits: perhaps a peer has hands free
            self._rings = False
            self.tell()

    def _missed(self, error: BaseException) -> None:
        """A batch could not be kept; or it may have been, and then it is looked what is there."""
        self.outgoing.missed(error)
        if not getattr(error, "certain", True):
            self.clock.call_later(AGAIN, self._look_what_is_there)

    def _look_what_is_there(self) -> None:
        if self.closed:
            return
        self.company.look()
        try:
            self.aside = len(self.storage.messages("held", "failed"))
        except StorageError as error:
            log.warning("%s: what is put aside cannot be counted: %s", self.name, error)
            self.clock.call_later(AGAIN, self._look_what_is_there)

    def tell(self) -> None:
        """Tell those who follow that something changed."""
        with self.lock:
            for tell in tuple(self.told):
                tell()

    def _admit(self, draft: Draft, event: str, **told: object) -> None:
        try:
            draft.fire(event, **told)
        except Refused as refusal:
            raise StoreClosing(f"the store is closing: {refusal.verdict.reason}") from refusal

    def _ask_new(self, decide: Callable[[Draft], T]) -> Future[T]:
        future = self.desk.ask(decide)
        future.add_done_callback(self._count_refused)
        return future

    def _count_refused(self, done: Future[T]) -> None:
        if not done.cancelled() and isinstance(done.exception(), StoreClosing):
            with self.lock:
                self.counters["refused_new"] += 1

    def close(self) -> None:
        """Let everything go: nobody waits any more, and this process no longer holds the store."""
        with self.lock:
            if self.closed:
                return
            self.closed = True
            self.changed()
        self.desk.close()
        self.storage.close()
