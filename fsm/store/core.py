"""The core of a store: the state and the rules, created and connected here and nowhere else.

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
from dataclasses import dataclass, field
from typing import Final, cast

from fsm.logoff.flags import Logoff
from fsm.store.claims import Call, Claims
from fsm.store.deferred import DeferredTimer
from fsm.store.endings import Endings
from fsm.store.group_commit import GroupCommit
from fsm.store.in_flight import Blocker, Ending, Item
from fsm.store.log import about
from fsm.store.message import Message
from fsm.store.outbox import Outbox
from fsm.store.outcome import Left, Outcome
from fsm.store.peers import Peers
from fsm.store.retry import Retry
from fsm.store.state import StoreState
from fsm.store.step import PendingStep
from fsm.store.storage import Ask, News, Policy
from fsm.store.task import Then

__all__ = ["Options", "StoreCore"]

log: Final = logging.getLogger("fsm.store")
UNCLAIMED: Final = Ending("deferred", "nobody was there to send it", after=0.0, refund=True)
NOT_RECEIVED: Final = Ending("failed", "nobody was there to take it")


@dataclass(frozen=True, slots=True)
class Options:
    """How a store is opened.

    Without the `default_inbox`, NO_WAIT and PURGE stop what is coming in.  `uncertain` is the policy for messages of
    which nobody can tell whether they arrived: "resend" or "hold".  `retry` is the schedule for deferred messages.
    Raise TypeError or ValueError for what makes no sense.
    """

    default_inbox: bool = True
    uncertain: Policy = "resend"
    retry: Retry = field(default_factory=Retry)

    def __post_init__(self) -> None:
        if not isinstance(self.retry, Retry):
            raise TypeError(f"retry is a Retry, such as Retry(first=60, factor=2, longest=3600), not {self.retry!r}")
        if self.uncertain not in ("resend", "hold"):
            raise ValueError(f"what is uncertain is dealt with by 'resend' or 'hold', not by {self.uncertain!r}")


class StoreCore:
    """An open store, without a way to wait.  All methods may be called from any thread."""

    def __init__(self, state: StoreState, commit: GroupCommit, retry: Retry) -> None:
        self.state, self.commit, self.clock = state, commit, state.clock
        self.outbox = Outbox(state, commit)
        self.deferred = DeferredTimer(state, commit)
        self.endings = Endings(state, commit, retry, self.deferred.deferred)
        self.claims = state.claims_rule = Claims(state, commit, lambda item: self.endings.end(item, UNCLAIMED))
        self.peers = state.peers_rule = Peers(state, commit, self.deferred.forget)
        self._inbound = 0

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

        future = self.commit.schedule(self.state, decide, f"the beginning of {item.id}")
        future.add_done_callback(self.state.count_refusal)
        return future

    def next_item(self, new: Callable[[], Item]) -> Future[Item | None]:
        """Claim the next message to send, as an item made by `new`; None once the store is released or closed."""
        with self.state.lock:
            return self.claims.next(new)

    def take(self, new: Callable[[], Item], call: Call) -> None:
        """Like `next_item`, without a future."""
        with self.state.lock:
            self.claims.stand(call, new)

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
            self.state.counters["stopped"] += sum(item.stop_reason is None for item in items)
            callbacks = [(item, callback) for item in items for callback in item.stop(reason)]
        for item, callback in callbacks:
            try:
                callback(reason)
            except Exception:
                name = self.state.name
                log.exception("%s: on_cancel callback of message %s raised", name, item.id, extra=about(name, item.id))

    # ------------------------------------------------------------------------------------------------- the logoff

    def logoff(self, event: str) -> Future[Outcome]:
        """Fire `logoff_…` or `release`, with the peers counted in the same transaction.  Refused once released."""

        def decide(step: PendingStep) -> None:
            self._decide(step, event)
            step.answer = self.outcome

        future = self.commit.schedule(self.state, decide, event, ask=self._with_peers())
        return cast("Future[Outcome]", future)

    def ask(self, event: str, then: Then) -> None:
        """Like `logoff`; `then` is told when it was asked."""
        self.commit.enqueue(self.state, lambda step: self._decide(step, event), then, event, ask=self._with_peers())

    def _with_peers(self) -> Ask:
        # the last process here honours what others have just left, too
        return Ask(self.state.handle, adopt=self.state.session.accepting, alone=True)

    def _decide(self, step: PendingStep, event: str) -> None:
        session = step.session
        ready, deferred = session.ready, session.deferred
        step.fire(event)
        if deferred and session.ready == ready + deferred:  # PURGE's flush
            taken = step.tx.flush(step.handle)
            step.after_commit.append(lambda: self.state.became_ready(deferred))
            self.peers.lose(step, "abort_submit", taken)  # also those that were deferred: they are counted as ready now
        stops_inbound = not self.state.default_inbox and session.request in (Logoff.NO_WAIT, Logoff.PURGE)
        step.after_commit.append(lambda: self._asked(event, stops_inbound))

    def _asked(self, event: str, stops_inbound: bool) -> None:
        state, session = self.state, self.state.session
        if log.isEnabledFor(logging.INFO):
            stands = session.chart.describe(session.configuration)
            log.info("%s: %s: %s", state.name, event, stands, extra=about(state.name))
        if stops_inbound:
            inbound = [item for item in state.items.values() if item.message is None]
            self.stop(inbound, "the store has no inbox to put it in now")

    def outcome(self, steps: tuple[str, ...] = (), seconds: float = 0.0) -> Outcome:
        """Return how the store stands; what stays in the queue of a released store is read when it is looked at."""
        state, session = self.state, self.state.session
        to_peers = session.complete and bool(session.peers)
        with state.lock:
            blockers, doubtful = self.blockers(), tuple(state.doubtful.values())
        queued = session.ready + session.deferred
        left = Left(queued, self._left) if session.complete and not to_peers else Left()
        return Outcome(
            session.complete, session.state, session.request, session.status, queued, left, doubtful, blockers, steps,
            seconds, to_peers, state.set_aside,
        )  # fmt: skip

    def blockers(self) -> tuple[Blocker, ...]:
        """Return what is in flight, the longest first, and the storage if it is in the way."""
        found, silent = self.state.blockers(), self.commit.in_the_way
        if silent is None or self.state.ended:  # nothing is in the way of a store that has ended
            return found
        return (*found, Blocker("storage", str(self.state.storage), "", "", silent[0], silent[0], silent[1]))

    def _left(self) -> list[Message]:
        storage, name = self.state.storage, self.state.handle.name
        queued = storage.messages(name, "ready", "deferred")
        if storage.durable:
            return queued
        return [whole for message in queued if (whole := storage.message(name, message.id)) is not None]

    # --------------------------------------------------------------------------------------------- after a commit

    def dispatch(self) -> None:
        """Serve those who wait for a message, set the timer, and notify those who follow.  With the lock held."""
        state = self.state
        self.claims.dispatch()
        self.peers.dispatch()
        self.deferred.arm()
        if state.news_for_peers:
            if state.session.peers and not self.claims.waiting:  # a message waits, and a peer may be free to send it
                state.storage.ring(News("work", frozenset((state.handle.number,))))
            state.news_for_peers = False
        state.notify()
