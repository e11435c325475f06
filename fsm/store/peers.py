"""Company: the other processes that have the same store open, and what their coming and going means here.

Theory.
1. Counting the peers and asking for a logoff is one transaction, under the lock of the registry: of several that leave
   together exactly one sees no peers.
2. A message that a peer took is `abort_submit` here; nobody's messages (their process left, or died) are taken over by
   `submit`, the deferred ones to be tried at once, as long as this store takes anything new.

This file does not know how one hears of peers (`watch.py`).
"""

from __future__ import annotations

import logging
from concurrent.futures import Future
from dataclasses import replace
from threading import Lock
from typing import TYPE_CHECKING, Final

from fsm.store.group_commit import Draft
from fsm.store.storage import Peer

if TYPE_CHECKING:
    from fsm.store.core import Core

__all__ = ["Company"]

log: Final = logging.getLogger("fsm.store")
AGAIN: Final = 1.0
"""Seconds until the peers are counted again when they could not be."""


class Company:
    """The peers of a store."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._looking = False
        self._lock = Lock()

    def look(self) -> None:
        """Something changed among those who have the store open: count them, and see what is there for us."""
        with self._lock:  # not the core's: who lets the store go may hold that, and wait for who looks
            if self._looking or self._core.closed:
                return
            self._looking = True
        self._core.desk.ask(self._look_around).add_done_callback(self._looked)

    def _look_around(self, draft: Draft) -> None:
        with self._lock:
            self._looking = False  # what changes from here on needs another look
        if draft.session.complete:
            return
        self.meet(draft)
        self.take_over(draft)
        self.reconcile(draft)
        draft.then.append(self._may_take)

    def _may_take(self) -> None:
        self._core.outgoing.look = True

    def _looked(self, done: Future[None]) -> None:
        if (error := done.exception()) is not None:
            with self._lock:
                self._looking = False
            if not self._core.closed:
                log.warning("%s: the peers could not be counted: %s", self._core.name, error)
                self._core.clock.call_later(AGAIN, self.look)  # nobody rings a second time

    def meet(self, draft: Draft) -> None:
        """Count the peers; from here to the end of the transaction nobody comes or goes."""
        now = draft.tx.peers()
        more = len(now) - draft.session.peers  # not whom we knew: that may be from before this batch
        for _ in range(more):
            draft.fire("peer_opened")
        for _ in range(-more):
            draft.fire("peer_closed")
        draft.then.append(lambda: self._met(now))

    def take_over(self, draft: Draft) -> None:
        """Nobody's messages are ours from now on, and ready; not when the store takes nothing new in."""
        if not draft.session.may("submit"):
            return
        share = draft.tx.adopt()
        ids = [*share.ready, *draft.tx.ready([id for id, _ in share.deferred])]
        for id in ids:
            draft.fire("submit", message=id, why="taken over: it was nobody's")
        draft.then.append(lambda: self._core.queued(ids, "taken_over"))

    def _met(self, now: tuple[Peer, ...]) -> None:
        if now != self._core.peers:
            log.info("%s: %d other processes have the store open", self._core.name, len(now))
        self._core.peers = now

    def reconcile(self, draft: Draft, why: str = "taken by a peer", counted: str = "taken_by_peers") -> None:
        """What the session counts and is no longer in our share of the queue is gone, for this reason.

        What is ready and not counted was submitted when nobody could tell whether it was kept.
        """
        core, share, session = self._core, draft.tx.share(), draft.session
        ready, deferred = session.ready - len(share.ready), session.deferred - len(share.deferred)
        # the deferred first: with the last of the ready a drain ends, and nothing may follow
        for event, times in (("abort_deferred", deferred), ("abort_submit", ready)):
            for _ in range(times):
                draft.fire(event, why=why)
                draft.then.append(lambda: core.counters.update({counted: 1}))
        if ready < 0 and session.may("submit"):
            for _ in range(-ready):
                draft.fire("submit", why="it had been kept, which nobody could tell then")
        elif ready < 0:  # it stays for the next time
            counts = core.holding.ready.union(draft.queued)
            share = replace(share, ready=tuple(id for id in share.ready if id in counts))
        draft.then.append(lambda: core.holding.become(share))
