"""Time as the spooler sees it: what time it is, and being called later.

SystemClock calls from one thread of its own; LoopClock from an asyncio loop, whose time it takes, so that a simulated
loop simulates the store as well.  `fsm.testing` has a simulated clock.  This file does not know what the calls are for.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

if TYPE_CHECKING:
    import asyncio

__all__ = ["SYSTEM", "Clock", "LoopClock", "SystemClock", "Timer"]

T = TypeVar("T")
log: Final = logging.getLogger("fsm.store")


class Timer(Protocol):
    """A call that is to come."""

    def cancel(self) -> None:
        """It will not come.  Nothing happens when it has come already."""


class Clock(Protocol):
    """What a store needs of time."""

    def time(self) -> float:
        """Seconds since 1970; may jump."""

    def monotonic(self) -> float:
        """Seconds since some moment; never goes back."""

    def call_later(self, seconds: float, call: Callable[[], object]) -> Timer:
        """Call this after so many seconds, from a thread of the clock's choice."""

    def result(self, future: Future[T]) -> T:
        """Wait in this thread for a future's result."""

    def pause(self) -> None:
        """Something goes on for real until `resume`, as often called: time that is simulated stands still meanwhile."""

    def resume(self) -> None:
        """It has come to its end, and who waits for it has been told."""


class SystemClock:
    """The computer's clock.

    Its thread starts with the first call that is to come, and does not keep a program alive.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._calls: list[tuple[float, int, _Call]] = []
        self._number = itertools.count()
        self._thread: threading.Thread | None = None

    def time(self) -> float:
        """Seconds since 1970."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds since some moment; never goes back."""
        return time.monotonic()

    def call_later(self, seconds: float, call: Callable[[], object]) -> Timer:
        """Call this after so many seconds, from the clock's thread."""
        coming = _Call(call)
        with self._changed:
            heapq.heappush(self._calls, (self.monotonic() + seconds, next(self._number), coming))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="fsm clock", daemon=True)
                self._thread.start()
            self._changed.notify()
        return coming

    def result(self, future: Future[T]) -> T:
        """Wait for a future's result."""
        return future.result()

    def pause(self) -> None:
        """Nothing: real time does not stand still."""

    resume = pause

    def _run(self) -> None:
        while True:
            with self._changed:
                while self._calls and self._calls[0][2].call is None:
                    heapq.heappop(self._calls)
                if not self._calls:
                    self._changed.wait()
                    continue
                left = self._calls[0][0] - self.monotonic()
                if left > 0:
                    self._changed.wait(left)
                    continue
                coming = heapq.heappop(self._calls)[2]
            coming.run()


class _Call:
    """A call to come, until it has come or is cancelled."""

    __slots__ = ("call",)

    def __init__(self, call: Callable[[], object]) -> None:
        self.call: Callable[[], object] | None = call

    def cancel(self) -> None:
        self.call = None

    def run(self) -> None:
        call, self.call = self.call, None
        if call is not None:
            try:
                call()
            except Exception:  # the others' calls are still to come
                log.exception("what was to be called later failed")


SYSTEM: Final = SystemClock()
"""The one that stores use."""


class LoopClock:
    """The clock of an asyncio loop; calls come in the loop's thread.  All but `result` may be used from any thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._pause: Callable[[], object] | None = getattr(loop, "pause", None)  # it has these when it is simulated
        self._resume: Callable[[], object] | None = getattr(loop, "resume", None)

    def time(self) -> float:
        """Seconds since 1970."""
        return time.time()

    def monotonic(self) -> float:
        """The loop's time."""
        return self._loop.time()

    def call_later(self, seconds: float, call: Callable[[], object]) -> Timer:
        """Call this after so many seconds, in the loop."""
        coming = _Call(call)
        with suppress(RuntimeError):  # the loop has ended, and with it what was to come
            self._loop.call_soon_threadsafe(self._loop.call_later, seconds, coming.run)
        return coming

    def result(self, future: Future[T]) -> T:
        """There is no waiting in a loop's thread; a result that is there is given."""
        return future.result(0)

    def pause(self) -> None:
        """A loop whose time is simulated lets none pass until `resume`."""
        if self._pause is not None:
            self._pause()

    def resume(self) -> None:
        """What `pause` was for has come to its end."""
        if self._resume is not None:
            self._resume()
