"""The core of a store: the state, the group commit and the rules, created and connected here and nowhere else.

Theory.
1. Everything that happens is scheduled with the group commit, which decides, commits and steps in one order.
2. Everything is a future.  Nothing here waits or polls: whoever waits for something to begin, to change or to end is
   notified in the step that makes it so.  `sync.py` and `aio.py` are the two ways to wait.
3. Without the default Inbox, NO_WAIT and PURGE stop what is coming in (S10, S49); its source keeps it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Final, cast

from fsm.logoff.flags import Logoff
from fsm.store.claims import Claims
from fsm.store.clock import Clock
from fsm.store.deferred import DeferredTimer
from fsm.store.endings import Endings
from fsm.store.errors import StorageError
from fsm.store.group_commit import GroupCommit, PendingStep
from fsm.store.in_flight import Ending, Item
from fsm.store.message import Message
from fsm.store.outbox import Outbox
from fsm.store.outcome import Outcome
from fsm.store.peers import Peers
from fsm.store.reconciliation import reconcile
from fsm.store.retry import Retry
from fsm.store.state import RETRY_SECONDS, StoreState
from fsm.store.storage import Opening, Policy, Storage

__all__ = ["StoreCore"]

log: Final = logging.getLogger("fsm.store")
UNCLAIMED: Final = Ending("deferred", "nobody was there to send it", after=0.0)
NOT_RECEIVED: Final = Ending("failed", "nobody was there to take it")


class StoreCore:
    """An open store, without a way to wait.  All methods may be called from any thread."""

    def __init__(
        self, storage: Storage, clock: Clock, *, name: str, default_inbox: bool, uncertain: Policy, retry: Retry
    ) -> None:
        if uncertain not in ("resend", "hold"):
            raise ValueError(f"what is uncertain is dealt with by 'resend' or 'hold', not by {uncertain!r}")
        storage.policy = uncertain
        opening = storage.open()
        try:
            self.state = StoreState(
                storage, clock, opening, name=name, default_inbox=default_inbox, uncertain=uncertain
            )
            self._note_lapsed(opening)
            session, lock = self.state.session, self.state.lock
            self.commit = GroupCommit(
                session, storage, opening.holder, lock=lock, clock=clock, thread=storage.durable
            )
            self.outbox = Outbox(self.state, self.commit)
            self.endings = Endings(self.state, self.commit, retry)
            self.claims = Claims(self.state, self.commit, lambda item: self.endings.end(item, UNCLAIMED))
            self.peers = Peers(self.state, self.commit)
            self.deferred = DeferredTimer(self.state, self.commit)
            self.commit.start(self._dispatch, at_end=self.claims.claim, on_failure=self._commit_failed)
            storage.watch(self.peers.refresh)
        except BaseException:
            storage.close()
            raise
        self._inbound = 0

    def _note_lapsed(self, opening: Opening) -> None:
        if not opening.lapsed:
            return
        log.warning("%s: %d messages were being sent when their process ended", self.state.name, len(opening.lapsed))
        self.state.counters["lapsed"] = len(opening.lapsed)
        lapsed = set(opening.lapsed)
        self.state.doubtful |= {m.id: m for m in self.state.storage.messages() if m.id in lapsed}

    # -------------------------------------------------------------------------------------------------- in flight

    def begin_inbound(self, item: Item) -> Future[Item]:
        """Begin the item; StoreClosing if the store takes no new work."""
        with self.state.lock:
            self._inbound += 1
            item.id = f"in-{self._inbound}"

        def decide(step: PendingStep) -> Item:
            step.admit("inbound_begin", message=item.id, peer=item.peer)
            step.after_commit.append(lambda: self.state.begin(item))
            return item

        future = self.commit.schedule(decide)
        future.add_done_callback(self.state.count_refusal)
        return future

    def next_item(self, new: Callable[[], Item]) -> Future[Item | None]:
        """Claim the next message to send, as an item made by `new`; None once the store is released or closed."""
        with self.state.lock:
            return self.claims.next(new)

    def abandon(self, item: Item) -> None:
        """End an item that has begun and whose block nobody entered."""
        with self.state.lock:
            if item.message is not None:
                self.claims.give_back(item)
            else:
                self.endings.end(item, NOT_RECEIVED)

    def stop(self, items: Sequence[Item], reason: str) -> None:
        """Ask these items to end.  Each ends when its block is left."""
        with self.state.lock:
            self.state.counters["stopped"] += sum(item.stopped is None for item in items)
            callbacks = [(item, callback) for item in items for callback in item.stop(reason)]
        for item, callback in callbacks:
            try:
                callback(reason)
            except Exception:
                log.exception("%s: on_cancel callback of message %s raised", self.state.name, item.id)

    # ------------------------------------------------------------------------------------------------- the logoff

    def logoff(self, event: str) -> Future[Outcome]:
        """Fire `logoff_…` or `release`, with the peers counted in the same transaction.  Refused once released."""

        def decide(step: PendingStep) -> None:
            session = step.session
            if not session.complete:
                self.peers.count(step)
                if not session.peers:  # the last process here honours what others have just left, too
                    self.peers.adopt(step)
                    reconcile(self.state, step)  # a process taken for dead adopts messages that it counts already
            ready, deferred = session.ready, session.deferred
            step.fire(event)
            if deferred and session.ready == ready + deferred:  # PURGE's flush
                flushed = step.tx.ready([id for id, _ in step.tx.share().deferred])
                step.after_commit.append(lambda: self.state.enqueue(flushed))
            stops_inbound = not self.state.default_inbox and session.request in (Logoff.NO_WAIT, Logoff.PURGE)
            step.after_commit.append(lambda: self._asked(event, stops_inbound))
            step.answer = self.outcome

        return cast("Future[Outcome]", self.commit.schedule(decide))

    def _asked(self, event: str, stops_inbound: bool) -> None:
        state, session = self.state, self.state.session
        log.info("%s: %s: %s", state.name, event, session.chart.describe(session.configuration))
        if stops_inbound:
            inbound = [item for item in state.items.values() if item.message is None]
            self.stop(inbound, "the store has no inbox to put it in now")
        if session.complete:
            state.storage.notify_peers()

    def outcome(self, steps: tuple[str, ...] = (), seconds: float = 0.0, *, reads: bool = True) -> Outcome:
        """Return how the store stands; with `reads` also which messages stay in the queue of a released store."""
        state, session = self.state, self.state.session
        to_peers = session.complete and bool(session.peers)
        with state.lock:
            blockers, doubtful = state.blockers(), tuple(state.doubtful.values())
        left = tuple(self._left()) if reads and session.complete and not to_peers else ()
        return Outcome(
            session.complete, session.state, session.request, session.status, session.ready + session.deferred, left,
            doubtful, blockers, steps, seconds, to_peers, state.set_aside,
        )  # fmt: skip

    def _left(self) -> list[Message]:
        storage = self.state.storage
        queued = storage.messages("ready", "deferred")
        if storage.durable:
            return queued
        return [whole for message in queued if (whole := storage.message(message.id)) is not None]

    # --------------------------------------------------------------------------------------------- after a commit

    def _dispatch(self) -> None:
        """Serve those who wait for a message, set the timer, and notify those who follow."""
        state = self.state
        with state.lock:
            self.claims.dispatch()
            self.deferred.arm()
            if state.news_for_peers and state.peers and not self.claims.waiting:
                state.storage.notify_peers()  # a message waits, and a peer may be free to send it
            state.news_for_peers = False
            state.notify()

    def _commit_failed(self, error: BaseException) -> None:
        self.claims.failed(error)
        if isinstance(error, StorageError) and not error.certain:
            self.state.clock.call_later(RETRY_SECONDS, self._find_out)

    def _find_out(self) -> None:
        """Find out what a transaction of unknown result has left."""
        state = self.state
        if state.closed:
            return
        self.peers.refresh()
        try:
            state.set_aside = len(state.storage.messages("held", "failed"))
        except StorageError as error:
            log.warning("%s: cannot count the messages that are set aside: %s", state.name, error)
            state.clock.call_later(RETRY_SECONDS, self._find_out)

    def close(self) -> None:
        """Let the store go: nobody waits any longer, and this process no longer holds it."""
        with self.state.lock:
            if self.state.closed:
                return
            self.state.closed = True
            self._dispatch()
        self.commit.close()
        self.state.storage.close()
