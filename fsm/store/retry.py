"""The deferred: when they are tried again, and the one timer for it.

During a drain the deferred stay so (only PURGE tries them).  This file does not know why a message was deferred.
"""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fsm.store.group_commit import Draft

if TYPE_CHECKING:
    from fsm.store.clock import Timer
    from fsm.store.core import Core

__all__ = ["Deferred", "Retry"]

AGAIN: Final = 1.0
"""Seconds until it is tried again to make a message ready, when that could not be recorded."""


@dataclass(frozen=True, slots=True)
class Retry:
    """When a deferred message is tried again: after `first` seconds, then `factor` times longer, up to `longest`."""

    first: float = 60.0
    factor: float = 2.0
    longest: float = 3600.0

    def after(self, attempts: int) -> float:
        """Seconds until the next attempt, after so many."""
        return float(min(self.longest, self.first * self.factor ** min(max(attempts, 1) - 1, 64)))


class Deferred:
    """The deferred messages of a store that fall due.  Used under the core's lock."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._timer: tuple[float, Timer] | None = None
        self.longest = core.retry.longest
        """The longest wait that was asked for."""

    def arm(self) -> None:
        """Have one timer, for the message that is due first; none while the deferred stay so."""
        core = self._core
        first = core.holding.first_due() if not core.closed else None
        if first is not None and not core.session.may("submit"):
            first = None
        if self._timer is not None and self._timer[0] != first:
            self._timer[1].cancel()
            self._timer = None
        if first is not None and self._timer is None:
            # never later than the longest wait there is: the clock may have been set back since it was written down
            wait = min(max(0.0, first - core.clock.time()), self.longest)
            self._timer = first, core.clock.call_later(wait, lambda: self._fall_due(first))

    def _fall_due(self, moment: float) -> None:
        core = self._core

        def decide(draft: Draft) -> None:
            if draft.session.may("deferred_due"):
                due = draft.tx.ready(core.holding.due_by(max(moment, core.clock.time())))
                for id in due:
                    draft.fire("deferred_due", message=id)
                core.company.reconcile(draft)
                draft.then.append(lambda: core.queued(due, ""))

        def decided(done: Future[None]) -> None:
            with core.lock:
                if done.exception() is None:
                    self._timer = None
                    self.arm()
                elif not core.closed:  # the timer has stood until now, so that nobody has tried meanwhile
                    self._timer = moment, core.clock.call_later(AGAIN, lambda: self._fall_due(moment))

        core.desk.ask(decide).add_done_callback(decided)
