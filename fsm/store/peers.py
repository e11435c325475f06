"""Peers: the other processes that have the same store open, and what their coming and going means here.

Theory.
1. Counting the peers and asking for a logoff is one transaction, under the lock of the store: of several processes that
   leave together, exactly one sees no peers.
2. A message that a peer took is `abort_submit` here.  What a process leaves behind is adopted by `submit`, as long as
   this store takes new work; deferred messages stay deferred.
3. A process that was taken for dead registers again.  What it counted meanwhile may be a peer's: it counts anew.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from fsm.store.group_commit import RETRY_SECONDS, GroupCommit
from fsm.store.log import about
from fsm.store.state import StoreState
from fsm.store.step import PendingStep
from fsm.store.storage import Ask, Look

__all__ = ["Peers"]

log: Final = logging.getLogger("fsm.store")


class Peers:
    """The peers of a store.  `gained` is called when messages came into our parts."""

    def __init__(self, state: StoreState, commit: GroupCommit, gained: Callable[[], object]) -> None:
        self._state, self._commit, self._gained = state, commit, gained
        self._scheduled = self._expecting = self._noted = False

    def expect(self) -> None:
        """Look for a message that somebody's transaction has left; where that holds a lock, as soon as it ends.

        Other storages tell when it has committed.
        """
        if not self._state.storage.notifies:
            self._expecting = True
            self.refresh()

    def refresh(self) -> None:
        """Look who is there, and adopt what is nobody's.  Called when something has changed, from any thread."""
        self._look(Ask(self._state.handle), "counting the peers")

    def noted(self) -> None:
        """Count out what others have taken from our parts.  Called when one of them says so, from any thread."""
        with self._state.lock:
            self._noted = True
            self.dispatch()

    def dispatch(self) -> None:
        """Read the notes once there is something that others can have taken.  With the lock held."""
        session = self._state.session
        if self._noted and not self._scheduled and (session.ready or session.deferred):
            self._noted = False
            self._look(Ask(self._state.handle, peers=False, adopt=False), "reading notes")

    def _look(self, ask: Ask, what: str) -> None:
        if not (self._scheduled or self._state.closed or self._state.session.complete):
            self._scheduled = True
            self._commit.enqueue(self._state, self._began, self._refreshed, what, ask=ask)

    def _began(self, step: PendingStep) -> None:
        self._scheduled = False  # what changes from here on needs another look
        step.after_commit.append(self._look_for_mail)

    def _look_for_mail(self) -> None:
        self._state.peers_may_have_mail = True

    def _refreshed(self, error: BaseException | None) -> None:
        self._scheduled = False
        if error is not None and not self._state.closed:
            name = self._state.name
            log.warning("%s: cannot count the peers: %s", name, error, extra=about(name))
            soon = self._expecting and getattr(error, "busy", False)  # it has waited for the lock long enough
            self._state.clock.call_later(0.0 if soon else RETRY_SECONDS, self.refresh)  # nobody will notify us again
        else:
            self._expecting = False

    def seen(self, step: PendingStep, look: Look, *, anew: bool = False) -> None:
        """Count what came and went.  With `anew` the look tells all that there is, as when a store is opened."""
        session = step.session
        if session.complete:
            return
        ready, deferred = look.ready - look.taken_ready, look.deferred - look.taken_deferred
        if anew:
            ready, deferred = ready - session.ready, deferred - session.deferred
        if look.peers is not None:
            self._count(step, look.peers)
        # the deferred messages first: a drain ends with the last ready one, and nothing may follow that
        self.lose(step, "abort_deferred", -deferred)
        self.lose(step, "abort_submit", -ready)
        if (ready > 0 or deferred > 0) and session.accepting:
            gained_ready, gained_deferred = max(0, ready), max(0, deferred)
            step.gain(gained_ready, gained_deferred, "taken over: it was nobody's")
            step.after_commit.append(lambda: self._state.became_ready(gained_ready + gained_deferred, "taken_over"))
            step.after_commit.append(self._gained)
        if look.lapsed:
            step.after_commit.append(lambda: self._lapsed(look))

    def lose(self, step: PendingStep, event: str, count: int) -> None:
        """Count out by this event what others have taken from our parts."""
        for _ in range(count):
            step.fire(event, why="taken by a peer")
        if count > 0:
            step.after_commit.append(lambda: self._state.counters.update(taken_by_peers=count))

    def _count(self, step: PendingStep, peers: int) -> None:
        more = peers - step.session.peers
        for _ in range(more):
            step.fire("peer_opened")
        for _ in range(-more):
            step.fire("peer_closed")
        if more:
            name = self._state.name
            log.info("%s: %d other processes have the store open", name, peers, extra=about(name))

    def _lapsed(self, look: Look) -> None:
        state = self._state
        state.counters["lapsed"] += len(look.lapsed)
        state.doubtful |= {message.id: message for message in look.lapsed}
        state.set_aside += sum(message.state == "held" for message in look.lapsed)
