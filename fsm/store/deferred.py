"""Deferred messages fall due: the one timer of a store for them.

During a drain deferred messages stay deferred; only PURGE tries them.
"""

from __future__ import annotations

from typing import Final

from fsm.store.clock import Timer
from fsm.store.group_commit import RETRY_SECONDS, GroupCommit
from fsm.store.state import StoreState
from fsm.store.step import PendingStep

__all__ = ["DeferredTimer"]

AT_ONCE: Final = 1000
"""Messages that are made ready in one transaction."""


class DeferredTimer:
    """The timer for the deferred message that is due first.  Used with the state's lock held.

    `_first` is when that is, and how long the message was told to wait; None if there is none or nobody knows.
    """

    def __init__(self, state: StoreState, commit: GroupCommit) -> None:
        self._state, self._commit = state, commit
        self._first: tuple[float, float] | None = None
        self._known = not state.session.deferred
        self._looking = False
        self._timer: tuple[float, Timer] | None = None

    def deferred(self, due: float, wait: float) -> None:
        """Note that a message was deferred."""
        if self._first is None or due < self._first[0]:
            self._first = due, wait

    def forget(self) -> None:
        """Note that deferred messages came from elsewhere: the storage knows when the first of them is due."""
        self._known = False

    def arm(self) -> None:
        """Set the timer for the earliest due time, or stop it while the deferred messages stay deferred."""
        state = self._state
        works = bool(state.session.deferred) and not state.closed and state.session.accepting
        if works and not self._known and not self._looking:
            self._looking = True
            self._commit.enqueue(state, self._look, self._looked, "the next due time")
        first = self._first if works else None
        if self._timer is not None and (first is None or self._timer[0] != first[0]):
            self._timer[1].cancel()
            self._timer = None
        if first is not None and self._timer is None:
            due, wait = first  # at most so long: the clock may have been set back since the due time was written down
            wait = min(max(0.0, due - state.clock.time()), wait)
            self._timer = due, state.clock.call_later(wait, lambda: self._fall_due(due))

    def _look(self, step: PendingStep) -> None:
        first = step.tx.first_due(step.handle)
        step.after_commit.append(lambda: self._found(first))

    def _found(self, first: tuple[float, float] | None) -> None:
        self._first, self._known = first, True

    def _looked(self, error: BaseException | None) -> None:
        state = self._state
        with state.lock:
            self._looking = False
            if error is None:
                self.arm()
            elif not state.closed:
                state.clock.call_later(RETRY_SECONDS, self._look_again)

    def _look_again(self) -> None:
        with self._state.lock:
            self.arm()

    def _fall_due(self, moment: float) -> None:
        state = self._state

        def decide(step: PendingStep) -> None:
            if step.session.may("deferred_due"):
                due = step.tx.fall_due(step.handle, max(moment, state.clock.time()), AT_ONCE)
                for id in due:
                    step.fire("deferred_due", message=id)
                first = step.tx.first_due(step.handle)
                step.after_commit.append(lambda: state.became_ready(len(due)))
                step.after_commit.append(lambda: self._found(first))

        def decided(error: BaseException | None) -> None:
            with state.lock:
                if error is None:
                    self._timer = None
                    self.arm()
                elif not state.closed:  # the timer was kept until now, so that no other was set meanwhile
                    self._timer = moment, state.clock.call_later(RETRY_SECONDS, lambda: self._fall_due(moment))

        self._commit.enqueue(state, decide, decided, "messages that are due")
