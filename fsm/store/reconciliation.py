"""Reconciliation: the session's counts are brought back in line with the storage.

Other processes take messages of this store, and withdraw them.  A message that the session counts and the storage no
longer assigns to this process is gone for the session.  One that the storage assigns and the session does not count was
submitted when nobody could tell whether the transaction was committed.
"""

from __future__ import annotations

from dataclasses import replace

from fsm.store.group_commit import PendingStep
from fsm.store.state import StoreState

__all__ = ["reconcile"]


def reconcile(
    state: StoreState, step: PendingStep, *, why: str = "taken by a peer", counter: str = "taken_by_peers"
) -> None:
    """Fire the events that make the session count what the storage says; `why` and `counter` are for what is gone."""
    share, session = step.tx.share(), step.session
    ready, deferred = session.ready - len(share.ready), session.deferred - len(share.deferred)
    # the deferred messages first: a drain ends with the last ready one, and nothing may follow that
    for event, times in (("abort_deferred", deferred), ("abort_submit", ready)):
        for _ in range(times):
            step.fire(event, why=why)
            step.after_commit.append(lambda: state.counters.update({counter: 1}))
    if ready < 0 and session.accepting:
        for _ in range(-ready):
            step.fire("submit", why="it had been stored, which nobody could tell then")
    elif ready < 0:  # they stay in the queue for the next opening
        known = state.queue.ready.union(step.ready_ids)
        share = replace(share, ready=tuple(id for id in share.ready if id in known))
    step.after_commit.append(lambda: state.queue.replace(share))
