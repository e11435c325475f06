"""Peers: the other processes that have the same store open, and what their coming and going means here.

Theory.
1. Counting the peers and asking for a logoff is one transaction, under the lock of the registry: of several processes
   that leave together, exactly one sees no peers.
2. A message that a peer took is `abort_submit` here.  The messages of a process that left or died are adopted by
   `submit`, the deferred ones to be tried at once, as long as this store takes new work.
"""

from __future__ import annotations

import logging
from concurrent.futures import Future
from threading import Lock
from typing import Final

from fsm.store.group_commit import GroupCommit, PendingStep
from fsm.store.reconciliation import reconcile
from fsm.store.state import RETRY_SECONDS, StoreState
from fsm.store.storage import Peer

__all__ = ["Peers"]

log: Final = logging.getLogger("fsm.store")


class Peers:
    """The peers of a store."""

    def __init__(self, state: StoreState, commit: GroupCommit) -> None:
        self._state, self._commit = state, commit
        self._scheduled = False
        self._lock = Lock()

    def refresh(self) -> None:
        """Count the peers and adopt orphaned messages.  Called when the registry changed, from any thread."""
        with self._lock:  # not the state's, which the closing thread may hold while it waits for this one
            if self._scheduled or self._state.closed:
                return
            self._scheduled = True
        self._commit.schedule(self._refresh).add_done_callback(self._refreshed)

    def _refresh(self, step: PendingStep) -> None:
        with self._lock:
            self._scheduled = False  # what changes from here on needs another refresh
        if step.session.complete:
            return
        self.count(step)
        self.adopt(step)
        reconcile(self._state, step)
        step.after_commit.append(self._look_for_mail)

    def _look_for_mail(self) -> None:
        self._state.peers_may_have_mail = True

    def _refreshed(self, done: Future[None]) -> None:
        if (error := done.exception()) is not None:
            with self._lock:
                self._scheduled = False
            if not self._state.closed:
                log.warning("%s: cannot count the peers: %s", self._state.name, error)
                self._state.clock.call_later(RETRY_SECONDS, self.refresh)  # nobody will notify us a second time

    def count(self, step: PendingStep) -> None:
        """Count the peers.  From here to the end of the transaction nobody opens or leaves the store."""
        peers = step.tx.peers()
        more = len(peers) - step.session.peers  # the state's own list may be from before this batch
        for _ in range(more):
            step.fire("peer_opened")
        for _ in range(-more):
            step.fire("peer_closed")
        step.after_commit.append(lambda: self._counted(peers))

    def adopt(self, step: PendingStep) -> None:
        """Make messages that belong to nobody ours, and ready, if the store takes new work."""
        if not step.session.accepting:
            return
        share = step.tx.adopt()
        ids = [*share.ready, *step.tx.ready([id for id, _ in share.deferred])]
        for id in ids:
            step.fire("submit", message=id, why="taken over: it was nobody's")
        step.after_commit.append(lambda: self._state.enqueue(ids, "taken_over"))

    def _counted(self, peers: tuple[Peer, ...]) -> None:
        if peers != self._state.peers:
            log.info("%s: %d other processes have the store open", self._state.name, len(peers))
        self._state.peers = peers
