"""Endings: what the end of an item means to the session, to the storage and to the counters.

An ending that cannot be recorded now (a full disk, a database that is away) leaves the item in flight, named as a
blocker, and is tried again.
"""

from __future__ import annotations

import logging
from concurrent.futures import Future
from dataclasses import replace
from typing import Final

from fsm.store.errors import StorageError
from fsm.store.group_commit import GroupCommit, PendingStep
from fsm.store.in_flight import Ending, Item
from fsm.store.message import Message
from fsm.store.retry import Retry
from fsm.store.state import RETRY_SECONDS, StoreState

__all__ = ["Endings"]

log: Final = logging.getLogger("fsm.store")

EVENTS: Final = {
    "received": "inbound_received", "refused": "inbound_failed",
    "sent": "outbound_sent", "failed": "outbound_failed", "deferred": "outbound_deferred",
    "resend": "outbound_deferred", "hold": "outbound_failed",
}  # fmt: skip
"""The event for each way to end; an uncertain message ends by the policy, `resend` or `hold`."""
COUNTERS: Final = {"refused": "refused_inbound", "resend": "deferred", "hold": "held"}
"""The counter, where it is not called like the way to end."""


class Endings:
    """The endings of a store's items; `retry` is the schedule for deferred messages."""

    def __init__(self, state: StoreState, commit: GroupCommit, retry: Retry) -> None:
        self._state, self._commit, self._retry = state, commit, retry
        self._unrecorded: list[tuple[Item, Ending]] = []
        state.longest_wait = retry.longest

    def end(self, item: Item, ending: Ending) -> Future[None]:
        """End the item, once.  The future is done when that is durable; StorageError if it is still to be recorded."""
        with self._state.lock:
            if item.over:
                return _done()
            item.over = True
            if self._state.closed:
                self._too_late(item)
                return _done()
        return self.record(item, ending)

    def record(self, item: Item, ending: Ending) -> Future[None]:
        """Record how the item ended."""
        state, manner = self._state, self._manner(item, ending)

        def decide(step: PendingStep) -> None:
            if not step.session.complete:  # a session that was released to its peers counts nothing any more
                uncertain = int(ending.kind == "uncertain")
                step.fire(EVENTS[manner], message=item.id, why=ending.reason, uncertain=uncertain)
            if item.message is not None:
                self._store(step, item.message, manner, ending)
            step.after_commit.append(lambda: self._ended(item, ending, manner))

        # nobody waits for this ending if no message is ready to follow it, and no logoff is under way
        patient = item.message is not None and not state.queue.ready and state.session.request is None
        future = self._commit.schedule(decide, patient=patient)
        future.add_done_callback(lambda done: self._recorded(item, ending, done.exception()))
        return future

    def _manner(self, item: Item, ending: Ending) -> str:
        if ending.kind == "uncertain":
            return self._state.uncertain
        return "refused" if item.message is None and ending.kind == "failed" else ending.kind

    def _store(self, step: PendingStep, message: Message, manner: str, ending: Ending) -> None:
        state, tx, id = self._state, step.tx, message.id
        if manner == "sent":
            tx.sent(id)
        elif manner == "failed":
            tx.failed(id, ending.reason, reported=ending.reported, recipients=ending.recipients)
        elif manner == "hold":
            tx.held(id, ending.reason)
        else:
            after = self._retry.after(message.attempts) if ending.after is None else ending.after
            state.longest_wait = max(state.longest_wait, after)
            due, uncertain = state.clock.time() + after, ending.kind == "uncertain"
            tx.deferred(id, due, ending.reason, recipients=ending.recipients, uncertain=uncertain)
            if step.session.complete:  # the message is the peers' now
                step.after_commit.append(state.storage.notify_peers)
            else:
                step.after_commit.append(lambda: state.queue.defer(id, due))

    def _ended(self, item: Item, ending: Ending, manner: str) -> None:
        state, message = self._state, item.message
        state.finish(item)
        item.unrecorded = None
        state.counters[COUNTERS.get(manner, manner)] += 1
        state.set_aside += manner == "hold" or (manner == "failed" and not ending.reported)
        if manner in ("failed", "deferred"):
            attempts = f", {message.attempts} so far" if message is not None and manner == "deferred" else ""
            log.warning("%s: %s %s: %s%s", state.name, item.id, manner, ending.reason, attempts)
        else:
            log.debug("%s: %s %s%s", state.name, item.id, manner, f" ({ending.reason})" if ending.reason else "")
        if ending.kind == "uncertain" and message is not None:
            state.counters["uncertain"] += 1
            doubtful = replace(message, content=b"", uncertain=message.uncertain + 1, reason=ending.reason)
            state.doubtful[item.id] = doubtful
            log.warning("%s: delivery of %s is uncertain (%s): %s", state.name, item.id, ending.reason, manner)

    def _recorded(self, item: Item, ending: Ending, error: BaseException | None) -> None:
        if error is None:
            return
        state = self._state
        with state.lock:
            if state.closed:
                self._too_late(item)
                return
            item.unrecorded = error
            log.error("%s: cannot record the outcome of %s: %s", state.name, item.id, error)
            self._unrecorded.append((item, ending))
            if len(self._unrecorded) == 1:
                state.clock.call_later(RETRY_SECONDS, self._record_again)

    def _too_late(self, item: Item) -> None:
        self._state.finish(item)
        item.unrecorded = StorageError("the store was let go before; whether it arrived counts as uncertain")
        log.warning("%s: the outcome of %s is not recorded: %s", self._state.name, item.id, item.unrecorded)

    def _record_again(self) -> None:
        with self._state.lock:
            again, self._unrecorded = self._unrecorded, []
        for item, ending in again:
            self.record(item, ending)


def _done() -> Future[None]:
    done: Future[None] = Future()
    done.set_result(None)
    return done
