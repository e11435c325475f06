"""How items end: what each ending means to the session, to the storage and to the counters, and that it is not lost.

An ending that cannot be recorded now (a full disk, a database that is away) leaves the item in flight, named as what
is in the way, and is tried again.  This file does not know how an ending comes about (`in_flight.py`).
"""

from __future__ import annotations

import logging
from concurrent.futures import Future
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from fsm.store.errors import StorageError
from fsm.store.group_commit import Draft
from fsm.store.in_flight import Ending, Item

if TYPE_CHECKING:
    from fsm.store.core import Core

__all__ = ["Endings"]

log: Final = logging.getLogger("fsm.store")

EVENTS: Final = {
    "received": "inbound_received", "refused": "inbound_failed",
    "sent": "outbound_sent", "failed": "outbound_failed", "deferred": "outbound_deferred",
    "resend": "outbound_deferred", "hold": "outbound_failed",
}  # fmt: skip
"""What happens to the session, for each way to end; of the uncertain by policy."""

AGAIN: Final = 1.0
"""Seconds until an ending that could not be recorded is tried again."""


class Endings:
    """The endings of a store's items."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._again: list[tuple[Item, Ending]] = []

    def end(self, item: Item, ending: Ending) -> Future[None]:
        """The item ends, once.  The future is done when that is durable; StorageError when it is still to be."""
        with self._core.lock:
            if item.over:
                return _done()
            item.over = True
            if self._core.closed:
                self._too_late(item)
                return _done()
        return self._record(item, ending)

    def _record(self, item: Item, ending: Ending) -> Future[None]:
        core, way = self._core, self._way(item, ending)

        def decide(draft: Draft) -> None:
            if not draft.session.complete:  # a store that was released to its peers is no longer touched
                doubt = int(ending.kind == "uncertain")
                draft.fire(EVENTS[way], message=item.id, why=ending.reason, uncertain=doubt)
            if item.message is not None:
                self._keep(draft, item.message.id, item.message.attempts, way, ending)
            draft.then.append(lambda: self._ended(item, ending, way))

        # nobody waits behind the end of a message when none is ready to follow it, and no logoff is under way
        patient = item.message is not None and not core.holding.ready and core.session.request is None
        future = core.desk.ask(decide, patient=patient)
        future.add_done_callback(lambda done: self._failed(item, ending, done.exception()))
        return future

    def _way(self, item: Item, ending: Ending) -> str:
        if ending.kind == "uncertain":
            return self._core.uncertain
        return "refused" if item.message is None and ending.kind == "failed" else ending.kind

    def _keep(self, draft: Draft, id: str, attempts: int, way: str, ending: Ending) -> None:
        core, tx = self._core, draft.tx
        if way == "sent":
            tx.sent(id)
        elif way == "failed":
            tx.failed(id, ending.reason, reported=ending.reported, recipients=ending.recipients)
        elif way == "hold":
            tx.held(id, ending.reason)
        else:
            after = core.retry.after(attempts) if ending.after is None else ending.after
            core.deferred.longest = max(core.deferred.longest, after)
            due, uncertain = core.clock.time() + after, ending.kind == "uncertain"
            tx.deferred(id, due, ending.reason, recipients=ending.recipients, uncertain=uncertain)
            # after the release it is the peers'
            released = draft.session.complete
            draft.then.append(core.storage.notify_peers if released else lambda: core.holding.defer(id, due))

    def _ended(self, item: Item, ending: Ending, way: str) -> None:
        core = self._core
        core.leave(item)
        item.unrecorded = None
        core.counters[COUNTED.get(way, way)] += 1
        core.aside += way == "hold" or (way == "failed" and not ending.reported)
        if way in ("failed", "deferred"):
            later = f", {item.message.attempts} so far" if item.message is not None else ""
            log.warning("%s: %s %s: %s%s", core.name, item.id, way, ending.reason, later if way == "deferred" else "")
        else:
            log.debug("%s: %s %s%s", core.name, item.id, way, f" ({ending.reason})" if ending.reason else "")
        if ending.kind == "uncertain" and item.message is not None:
            core.counters["uncertain"] += 1
            doubts = replace(item.message, content=b"", uncertain=item.message.uncertain + 1, reason=ending.reason)
            core.doubtful[item.id] = doubts
            log.warning("%s: nobody can tell whether %s arrived (%s): %s", core.name, item.id, ending.reason, way)

    def _failed(self, item: Item, ending: Ending, error: BaseException | None) -> None:
        if error is None:
            return
        core = self._core
        with core.lock:
            if core.closed:
                self._too_late(item)
                return
            item.unrecorded = error
            log.error("%s: the end of %s could not be recorded: %s", core.name, item.id, error)
            self._again.append((item, ending))
            if len(self._again) == 1:
                core.clock.call_later(AGAIN, self._once_more)

    def _too_late(self, item: Item) -> None:
        self._core.leave(item)
        item.unrecorded = StorageError("the store was let go before; whether it arrived counts as uncertain")
        log.warning("%s: the end of %s is not recorded: %s", self._core.name, item.id, item.unrecorded)

    def _once_more(self) -> None:
        with self._core.lock:
            again, self._again = self._again, []
        for item, ending in again:
            self._record(item, ending)


def _done() -> Future[None]:
    done: Future[None] = Future()
    done.set_result(None)
    return done


COUNTED: Final = {"refused": "refused_inbound", "resend": "deferred", "hold": "held"}
