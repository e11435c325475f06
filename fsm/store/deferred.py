"""Deferred messages fall due: the one timer for them.

During a drain deferred messages stay deferred; only PURGE tries them.
"""

from __future__ import annotations

from concurrent.futures import Future

from fsm.store.clock import Timer
from fsm.store.group_commit import GroupCommit, PendingStep
from fsm.store.reconciliation import reconcile
from fsm.store.state import RETRY_SECONDS, StoreState

__all__ = ["DeferredTimer"]


class DeferredTimer:
    """The timer for the deferred message that is due first.  Used with the state's lock held."""

    def __init__(self, state: StoreState, commit: GroupCommit) -> None:
        self._state, self._commit = state, commit
        self._timer: tuple[float, Timer] | None = None

    def arm(self) -> None:
        """Set the timer for the earliest due time, or stop it while the deferred messages stay deferred."""
        state = self._state
        due = state.queue.first_due() if not state.closed else None
        if due is not None and not state.session.accepting:
            due = None
        if self._timer is not None and self._timer[0] != due:
            self._timer[1].cancel()
            self._timer = None
        if due is not None and self._timer is None:
            # at most the longest wait there is: the clock may have been set back since the due time was written down
            wait = min(max(0.0, due - state.clock.time()), state.longest_wait)
            self._timer = due, state.clock.call_later(wait, lambda: self._fall_due(due))

    def _fall_due(self, moment: float) -> None:
        state = self._state

        def decide(step: PendingStep) -> None:
            if step.session.may("deferred_due"):
                due = step.tx.ready(state.queue.due_by(max(moment, state.clock.time())))
                for id in due:
                    step.fire("deferred_due", message=id)
                reconcile(state, step)
                step.after_commit.append(lambda: state.enqueue(due))

        def decided(done: Future[None]) -> None:
            with state.lock:
                if done.exception() is None:
                    self._timer = None
                    self.arm()
                elif not state.closed:  # the timer was kept until now, so that no other was set meanwhile
                    self._timer = moment, state.clock.call_later(RETRY_SECONDS, lambda: self._fall_due(moment))

        self._commit.schedule(decide).add_done_callback(decided)
