"""Simulated time for stores of the threads face: waiting takes no time, for the clock jumps to what comes next.

    clock = SimulatedClock()
    store = Store(clock=clock)
    store.close("NO_WAIT 20s -> cancel 3s")     # at once, and clock.monotonic() has gone on by as much as it needed

Theory.
1. Whoever waits for a future runs the calls that are to come, one after the other, until the future is done.
2. With several threads the clock moves only when all of them wait for it (`threads.py` says what of those that do
   something else), and whoever finds that moves it.
3. When nothing is to come and nobody works, the waiting cannot end: that is an error, here and now.
4. `time` follows `monotonic` but for the jumps it is told to make, for real clocks jump.

This file does not know what the calls are for.  `loop.py` is the same for asyncio.
"""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final, TypeVar

from fsm.testing.threads import PATIENCE, Others

__all__ = ["NothingLeft", "SimulatedClock"]

T = TypeVar("T")
START: Final = 1_000_000_000.0
"""What `time` says at first: a Sunday in September 2001."""
GLANCE: Final = 0.01
"""Real seconds after which a thread that has ended is missed at the latest."""
LAST: Final = 20
"""Before nothing is found to be left, the patience is so many times as long."""


class NothingLeft(RuntimeError):
    """Something is waited for that can no longer happen: no call is to come, and no thread is at work."""


class SimulatedClock:
    """A clock that jumps (`fsm.store.clock.Clock`).  `patience` is in real seconds (rule 2)."""

    def __init__(self, start: float = START, *, patience: float = PATIENCE) -> None:
        self._now, self._ahead, self._patience = 0.0, start, patience
        self._changed = threading.Condition()
        self._calls: list[tuple[float, int, _Call]] = []
        self._number = itertools.count()
        self._resting: list[threading.Thread] = []
        self._others = Others()
        self.when_idle: Callable[[], bool] | None = None
        """Asked when nothing is left (rule 3): whether it has found something to do."""

    def time(self) -> float:
        """Seconds since 1970, as the clock on the wall has it."""
        self._others.came()
        return self._ahead + self._now

    def monotonic(self) -> float:
        """Simulated seconds since this clock was made."""
        self._others.came()
        return self._now

    def set_time(self, seconds: float) -> None:
        """The clock on the wall is set: `time` says this now.  Nothing else moves, and no call comes by that."""
        with self._changed:
            self._ahead = seconds - self._now

    def advance(self, seconds: float) -> None:
        """So much time passes; what falls due in it is called, in this thread, each at its moment.

        ValueError when it is negative.
        """
        if not seconds >= 0:
            raise ValueError(f"time cannot advance by {seconds} seconds; set_time sets the clock on the wall")
        end = self._now + seconds
        while (coming := self._take(until=end)) is not None:
            coming.run()
        self._now = max(self._now, end)

    def call_later(self, seconds: float, call: Callable[[], object]) -> _Call:
        """Call this after so many seconds, in a thread that waits or advances the clock."""
        self._others.came()
        coming = _Call(call)
        with self._changed:
            heapq.heappush(self._calls, (self._now + max(0.0, seconds), next(self._number), coming))
            self._changed.notify_all()
        return coming

    def pause(self) -> None:
        """No time passes until `resume`, as often called, but by `advance`: something goes on for real."""
        self._others.pause()

    def resume(self) -> None:
        """It has come to its end, and who waits for it has been told."""
        self._others.resume()

    def result(self, future: Future[T]) -> T:
        """The future's result; time passes as far as it must.  NothingLeft when it cannot be done any more."""
        self._others.came()
        if not future.done():
            me = threading.current_thread()
            with self._changed:
                self._resting.append(me)
                self._changed.notify_all()
            # it is at work again from the moment at which the future is done, and not only when it is running
            future.add_done_callback(lambda _: self._rests(me, False))
            try:
                while not future.done():
                    self._pass_time(me, future)
            finally:
                self._rests(me, False)
        return future.result()

    def _rests(self, thread: threading.Thread, rests: bool) -> None:
        with self._changed:
            if rests is not (thread in self._resting):
                (self._resting.append if rests else self._resting.remove)(thread)
            self._changed.notify_all()

    def _pass_time(self, me: threading.Thread, future: Future[T]) -> None:
        """The call that comes next, if nobody is at work."""
        with self._changed:
            coming = None if self._others.busy(self._resting, self._patience) else self._take()
            if coming is None and self._others.busy(self._resting, self._patience * LAST):
                self._changed.wait(GLANCE)
                return
            if future.done():
                return
            self._rests(me, False)  # it is at work while it calls
        try:
            if coming is not None:
                coming.run()
            elif self.when_idle is None or not self.when_idle():
                raise NothingLeft(
                    "this waits for something that can no longer happen: no call is to come, and no thread is at work"
                )
        finally:
            self._others.came()
            if not future.done():
                self._rests(me, True)

    def _take(self, until: float | None = None) -> _Call | None:
        """The call that comes next (by that moment, if one is given); it is that late now."""
        with self._changed:
            while self._calls:
                moment, _, coming = self._calls[0]
                if coming.call is not None and until is not None and moment > until:
                    return None
                heapq.heappop(self._calls)
                if coming.call is not None:
                    self._now = max(self._now, moment)
                    return coming
        return None


class _Call:
    """A call to come, until it has come or is cancelled."""

    __slots__ = ("call",)

    def __init__(self, call: Callable[[], object]) -> None:
        self.call: Callable[[], object] | None = call

    def cancel(self) -> None:
        """It will not come."""
        self.call = None

    def run(self) -> None:
        """It comes."""
        call, self.call = self.call, None
        if call is not None:
            call()
