"""Simulated time for stores for threads: waiting takes no time, since the clock jumps to the next call.

    clock = SimulatedClock()
    store = Store(clock=clock)
    store.close("NO_WAIT 20s -> cancel 3s")     # at once; clock.monotonic() has advanced by as much as it took

Theory.
1. A thread that waits for a future makes the scheduled calls, one after the other, until the future is done.
2. With several threads the clock moves only when all of them wait for it (see `threads.py` for threads that do
   something else), and the thread that finds this moves it.
3. If nothing is scheduled and no thread works, the wait can never end: that is an error.
4. `time` follows `monotonic` except for the jumps it is told to make, for real clocks jump.

`loop.py` is the same for asyncio.
"""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final, TypeVar

from fsm.store.clock import ScheduledCall
from fsm.testing.threads import PATIENCE, ThreadActivity

__all__ = ["NothingLeft", "SimulatedClock"]

T = TypeVar("T")
START: Final = 1_000_000_000.0
"""What `time` returns at first: a Sunday in September 2001."""
POLL_SECONDS: Final = 0.01
"""Real seconds within which the end of a thread is noticed."""
FINAL_FACTOR: Final = 20
"""The patience is so many times as long before the wait is declared endless."""


class NothingLeft(RuntimeError):
    """A wait can never end: no call is scheduled, and no thread works."""


class SimulatedClock:
    """A clock that jumps (`fsm.store.clock.Clock`).  `patience` is in real seconds (rule 2)."""

    def __init__(self, start: float = START, *, patience: float = PATIENCE) -> None:
        self._now, self._ahead, self._patience = 0.0, start, patience
        self._changed = threading.Condition()
        self._calls: list[tuple[float, int, ScheduledCall]] = []
        self._number = itertools.count()
        self._resting: list[threading.Thread] = []
        self._activity = ThreadActivity()
        self._boundary: tuple[float, Callable[[], object]] | None = None
        self.when_idle: Callable[[], bool] | None = None
        """Called when nothing is left (rule 3); returns True if it found something to do."""

    def time(self) -> float:
        """Return the seconds since 1970, as a wall clock shows them."""
        self._activity.touch()
        return self._ahead + self._now

    def monotonic(self) -> float:
        """Return the simulated seconds since this clock was created."""
        self._activity.touch()
        return self._now

    def set_time(self, seconds: float) -> None:
        """Set the wall clock: `time` returns this now.  No scheduled call is affected."""
        with self._changed:
            self._ahead = seconds - self._now

    def advance(self, seconds: float) -> None:
        """Let so much time pass, and make the calls that are due meanwhile, in this thread, each at its time.

        Raise ValueError for a negative number.
        """
        if not seconds >= 0:
            raise ValueError(f"time cannot advance by {seconds} seconds; set_time sets the clock on the wall")
        end = self._now + seconds
        while (call := self._take(until=end)) is not None:
            call.run()
        self._now = max(self._now, end)

    def call_later(self, seconds: float, callback: Callable[[], object]) -> ScheduledCall:
        """Call this after so many seconds, in a thread that waits or advances the clock."""
        self._activity.touch()
        call = ScheduledCall(callback)
        with self._changed:
            heapq.heappush(self._calls, (self._now + max(0.0, seconds), next(self._number), call))
            self._changed.notify_all()
        return call

    def call_before(self, seconds: float, callback: Callable[[], object]) -> None:
        """Call this once before a wait goes beyond so many seconds from now.

        Unlike `call_later` it keeps nothing going.  It takes the place of an earlier one.
        """
        self._boundary = self._now + seconds, callback

    def scheduled(self) -> list[str]:
        """Return the names of the functions that are to be called, in the order of their time."""
        with self._changed:
            calls = [call.callback for _, _, call in sorted(self._calls) if call.callback is not None]
        return [getattr(callback, "__qualname__", repr(callback)) for callback in calls]

    def pause(self) -> None:
        """Stop the clock, except for `advance`, until `resume` was called as often: something takes real time."""
        self._activity.pause()

    def resume(self) -> None:
        """End a pause.  Whoever waits for the result has been notified."""
        self._activity.resume()

    def result(self, future: Future[T]) -> T:
        """Return the future's result, letting as much time pass as it takes.  NothingLeft if it can never be done."""
        self._activity.touch()
        if not future.done():
            me = threading.current_thread()
            with self._changed:
                self._resting.append(me)
                self._changed.notify_all()
            # it works again from the moment the future is done, not only when it runs
            future.add_done_callback(lambda _: self._set_resting(me, False))
            try:
                while not future.done():
                    self._pass_time(me, future)
            finally:
                self._set_resting(me, False)
        return future.result()

    def _set_resting(self, thread: threading.Thread, rests: bool) -> None:
        with self._changed:
            if rests is not (thread in self._resting):
                (self._resting.append if rests else self._resting.remove)(thread)
            self._changed.notify_all()

    def _pass_time(self, me: threading.Thread, future: Future[T]) -> None:
        """Make the next call, unless a thread works."""
        with self._changed:
            call = None if self._activity.busy(self._resting, self._patience) else self._next()
            if call is None and self._activity.busy(self._resting, self._patience * FINAL_FACTOR):
                self._changed.wait(POLL_SECONDS)
                return
            if future.done():
                return
            self._set_resting(me, False)  # it works while it makes the call
        try:
            if call is not None:
                call.run()
            elif self.when_idle is None or not self.when_idle():
                raise NothingLeft(
                    "this waits for something that can no longer happen: no call is scheduled, and no thread works"
                )
        finally:
            self._activity.touch()
            if not future.done():
                self._set_resting(me, True)

    def _next(self) -> ScheduledCall | None:
        """Return the next call, or that of the boundary if the next one is beyond it."""
        if self._boundary is None:
            return self._take()
        moment, callback = self._boundary
        if (call := self._take(until=moment)) is None and self._calls:
            self._boundary = None
            return ScheduledCall(callback)
        return call

    def _take(self, until: float | None = None) -> ScheduledCall | None:
        """Return the next call (due by `until`, if given), and set the clock to its time."""
        with self._changed:
            while self._calls:
                moment, _, call = self._calls[0]
                if call.callback is not None and until is not None and moment > until:
                    return None
                heapq.heappop(self._calls)
                if call.callback is not None:
                    self._now = max(self._now, moment)
                    return call
        return None
