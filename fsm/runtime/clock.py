"""Clocks: what time it is, and calls at a later time.

SystemClock makes its calls from a thread of its own; LoopClock from an asyncio loop, whose time it uses, so that a
simulated loop simulates whatever uses the clock.  `fsm.testing` has a simulated clock for threads.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Final, Protocol, TypeVar

__all__ = ["SYSTEM", "Clock", "LoopClock", "ScheduledCall", "SystemClock", "Timer", "TimerClock"]

T = TypeVar("T")
log: Final = logging.getLogger("fsm.runtime")


class Timer(Protocol):
    """A call that is to be made later."""

    def cancel(self) -> None:
        """Do not make the call.  Nothing happens if it was made already."""


class TimerClock(Protocol):
    """What timers need of time."""

    def monotonic(self) -> float:
        """Return the seconds since some moment; never goes back."""

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Timer:
        """Call this after so many seconds, from a thread of the clock's choice."""


class Clock(TimerClock, Protocol):
    """What a store needs of time."""

    def time(self) -> float:
        """Return the seconds since 1970; may jump."""

    def result(self, future: Future[T]) -> T:
        """Wait in this thread for a future's result."""

    def pause(self) -> None:
        """Stop simulated time until `resume` was called as often: something takes real time."""

    def resume(self) -> None:
        """End a pause.  Whoever waits for the result has been notified."""


class ScheduledCall:
    """A call to be made once, unless it is cancelled before."""

    __slots__ = ("callback",)

    def __init__(self, callback: Callable[[], object]) -> None:
        self.callback: Callable[[], object] | None = callback

    def cancel(self) -> None:
        """Do not make the call."""
        self.callback = None

    def run(self) -> None:
        """Make the call, unless it was made or cancelled."""
        callback, self.callback = self.callback, None
        if callback is not None:
            callback()


def _run(call: ScheduledCall) -> None:
    try:
        call.run()
    except Exception:  # the other calls are still to be made
        log.exception("a timer's callback raised")


class SystemClock:
    """The computer's clock.  Its thread starts with the first call to be made, and does not keep a program alive."""

    def __init__(self) -> None:
        self._number = itertools.count()
        self.restart()

    def restart(self) -> None:
        """Forget all calls and the thread, which a forked child has not."""
        self._changed = threading.Condition()
        self._calls: list[tuple[float, int, ScheduledCall]] = []
        self._thread: threading.Thread | None = None

    def time(self) -> float:
        """Return the seconds since 1970."""
        return time.time()

    def monotonic(self) -> float:
        """Return the seconds since some moment; never goes back."""
        return time.monotonic()

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Timer:
        """Call this after so many seconds, from the clock's thread."""
        call = ScheduledCall(callback)
        with self._changed:
            entry = (self.monotonic() + seconds, next(self._number), call)
            heapq.heappush(self._calls, entry)
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="fsm clock", daemon=True)
                self._thread.start()
            elif self._calls[0] is entry:  # otherwise the thread looks in time anyway
                self._changed.notify()
        return call

    def result(self, future: Future[T]) -> T:
        """Wait for a future's result."""
        return future.result()

    def pause(self) -> None:
        """Do nothing: real time does not stop."""

    resume = pause

    def _serve(self) -> None:
        while True:
            with self._changed:
                while self._calls and self._calls[0][2].callback is None:
                    heapq.heappop(self._calls)
                if not self._calls:
                    self._changed.wait()
                    continue
                left = self._calls[0][0] - self.monotonic()
                if left > 0:
                    self._changed.wait(left)
                    continue
                call = heapq.heappop(self._calls)[2]
            _run(call)


SYSTEM: Final = SystemClock()
"""The clock that stores for threads use."""
os.register_at_fork(after_in_child=SYSTEM.restart)


class LoopClock:
    """The clock of an asyncio loop.  Calls are made in the loop's thread; all but `result` is for any thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._pause: Callable[[], object] | None = getattr(loop, "pause", None)  # a simulated loop has these
        self._resume: Callable[[], object] | None = getattr(loop, "resume", None)

    def time(self) -> float:
        """Return the seconds since 1970."""
        return time.time()

    def monotonic(self) -> float:
        """Return the loop's time."""
        return self._loop.time()

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Timer:
        """Call this after so many seconds, in the loop."""
        call = ScheduledCall(callback)
        with suppress(RuntimeError):  # the loop has ended, and no call can be made any more
            self._loop.call_soon_threadsafe(self._loop.call_later, seconds, _run, call)
        return call

    def result(self, future: Future[T]) -> T:
        """Return the result if it is ready.  Never block the event loop's thread."""
        return future.result(0)

    def pause(self) -> None:
        """Stop the time of a simulated loop."""
        if self._pause is not None:
            self._pause()

    def resume(self) -> None:
        """End a pause."""
        if self._resume is not None:
            self._resume()
