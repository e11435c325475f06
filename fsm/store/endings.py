"""Endings: what the end of an item means to the session, to the storage and to the counters.

An ending that cannot be recorded now (a full disk, a database that is away) leaves the item in flight, named as a
blocker, and is tried again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import replace
from typing import Final, TypedDict

from fsm.store.errors import StorageError
from fsm.store.group_commit import RETRY_SECONDS, GroupCommit
from fsm.store.in_flight import Ending, Item
from fsm.store.log import about
from fsm.store.message import Message
from fsm.store.retry import Retry
from fsm.store.state import StoreState
from fsm.store.step import PendingStep
from fsm.store.task import Then

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


class _Deferred(TypedDict):
    due: float
    wait: float
    uncertain: bool
    refund: bool


class Endings:
    """The endings of a store's items.

    `retry` is the schedule for deferred messages; `deferred` is called with the due time and the wait of each.
    """

    __slots__ = ("_commit", "_deferred", "_policy", "_retry", "_state", "_unrecorded")

    def __init__(
        self, state: StoreState, commit: GroupCommit, retry: Retry, deferred: Callable[[float, float], object]
    ) -> None:
        self._state, self._commit, self._retry, self._deferred = state, commit, retry, deferred
        self._unrecorded: list[tuple[Item, Ending]] | None = None

    def end(self, item: Item, ending: Ending) -> Future[None]:
        """End the item, once.  The future is done when that is durable; StorageError if it is still to be recorded."""
        done: Future[None] = Future()

        def then(error: BaseException | None) -> None:
            with suppress(InvalidStateError):
                done.set_result(None) if error is None else done.set_exception(error)

        self.leave(item, ending, then)
        return done

    def leave(self, item: Item, ending: Ending, then: Then = lambda _: None) -> None:
        """End the item, once, without a future; `then` is told when that is durable, or that it is still to be."""
        with self._state.lock:
            recorded = item.over
            item.over = True
            if not recorded:
                recorded = not self._record(item, ending, then)
        if recorded:
            then(None)

    def _record(self, item: Item, ending: Ending, then: Then) -> bool:
        """Record how the item ended; return False if it is too late for that.

        With the lock held: letting the store go comes before that or after it.
        """
        state, manner = self._state, self._manner(item, ending)
        if state.closed:
            self._too_late(item)
            return False

        def decide(step: PendingStep) -> None:
            if item.recorded:  # by a batch that nobody could tell the outcome of then
                return
            if not step.session.complete:  # a session that was released to its peers counts nothing any more
                more = {"uncertain": int(ending.kind == "uncertain"), "refund": int(ending.refund)}
                step.fire(EVENTS[manner], message=item.id, why=ending.reason, **more)
            if item.message is not None:
                self._store(step, item.message, manner, ending)
            step.after_commit.append(lambda: self._ended(item, ending, manner))

        # nobody waits for this ending if no message is ready to follow it, and no logoff is under way
        patient = item.message is not None and not state.session.ready and state.session.request is None
        what = f"the end of {item.id} ({ending.kind})"
        self._commit.enqueue(
            state, decide, lambda error: self._recorded(item, ending, then, error), what, patient=patient
        )
        return True

    def _manner(self, item: Item, ending: Ending) -> str:
        if ending.kind == "uncertain":
            return self._state.handle.policy
        return "refused" if item.message is None and ending.kind == "failed" else ending.kind

    def _store(self, step: PendingStep, message: Message, manner: str, ending: Ending) -> None:
        tx, handle, id, reason, to = step.tx, step.handle, message.id, ending.reason, ending.recipients
        if manner == "sent" or (manner == "failed" and ending.reported):
            tx.sent(handle, id)
        elif manner == "failed":
            tx.ended(handle, id, "fail", reason, recipients=to)
        elif manner == "hold":
            tx.ended(handle, id, "hold", reason, uncertain=True)
        else:
            wait = self._retry.after(message.attempts) if ending.after is None else ending.after
            due, unsure = self._state.clock.time() + wait, ending.kind == "uncertain"
            more: _Deferred = {"due": due, "wait": wait, "uncertain": unsure, "refund": ending.refund}
            tx.ended(handle, id, "defer", reason, recipients=to, **more)
            if step.session.complete:  # the message is the peers' now
                step.tell("peers")
            else:
                step.after_commit.append(lambda: self._deferred(due, wait))

    def _ended(self, item: Item, ending: Ending, manner: str) -> None:
        state, message = self._state, item.message
        state.finish(item)
        item.unrecorded, item.recorded = None, True
        state.counters[COUNTERS.get(manner, manner)] += 1
        state.set_aside += manner == "hold" or (manner == "failed" and not ending.reported)
        fields = about(state.name, item.id)
        if manner in ("failed", "deferred"):
            attempts = f", {message.attempts} so far" if message is not None and manner == "deferred" else ""
            log.warning("%s: %s %s: %s%s", state.name, item.id, manner, ending.reason, attempts, extra=fields)
        else:
            reason = f" ({ending.reason})" if ending.reason else ""
            log.debug("%s: %s %s%s", state.name, item.id, manner, reason, extra=fields)
        if ending.kind == "uncertain" and message is not None:
            state.counters["uncertain"] += 1
            doubtful = replace(message, content=b"", uncertain=message.uncertain + 1, reason=ending.reason)
            state.doubtful[item.id] = doubtful
            log.warning(
                "%s: delivery of %s is uncertain (%s): %s", state.name, item.id, ending.reason, manner,
                extra=fields,
            )  # fmt: skip

    def _recorded(self, item: Item, ending: Ending, then: Then, error: BaseException | None) -> None:
        if error is not None and isinstance(error, Exception):  # any other is a listener's, and the ending is recorded
            self._put_off(item, ending, error)
        then(error)

    def _put_off(self, item: Item, ending: Ending, error: Exception) -> None:
        state = self._state
        with state.lock:
            if state.closed:
                self._too_late(item)
                return
            item.unrecorded = error
            fields = about(state.name, item.id)
            log.error("%s: cannot record the outcome of %s: %s", state.name, item.id, error, extra=fields)
            if self._unrecorded is None:
                self._unrecorded = []
                state.clock.call_later(RETRY_SECONDS, self._record_again)
            self._unrecorded.append((item, ending))

    def _too_late(self, item: Item) -> None:
        self._state.finish(item)
        self._state.lapses = self._state.lapses or item.message is not None
        item.unrecorded = StorageError("the store was let go before; whether it arrived counts as uncertain")
        name = self._state.name
        log.warning(
            "%s: the outcome of %s is not recorded: %s", name, item.id, item.unrecorded,
            extra=about(name, item.id),
        )  # fmt: skip

    def _record_again(self) -> None:
        with self._state.lock:
            again, self._unrecorded = self._unrecorded or [], None
            for item, ending in again:
                self._record(item, ending, lambda _: None)
