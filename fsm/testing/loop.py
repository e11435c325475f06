"""Simulated time for asyncio: a loop whose clock jumps to the next call when nothing is ready.

    outcome = run(program())                    # its own asyncio.sleep and asyncio.timeout included

Theory.
1. When nothing is ready, and nothing takes real time, time jumps to the next scheduled call.
2. Real time is taken by jobs in executors and by what a durable store writes, for as long as they last; by sockets and
   other threads for some patience (`threads.py`), since nobody can tell whether an open socket will receive anything.
3. If nothing is scheduled and nothing takes real time, the program waits for ever: that is an error.
   For one that looks again and again without waiting (`sleep(0)`) a minute passes every thousand looks.
4. A store uses the loop's time; with `clock=loop.clock` also its wall clock, which may jump.

`clock.py` is the same for threads.
"""

from __future__ import annotations

import asyncio
import math
import selectors
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from contextvars import Context
from functools import partial
from typing import Final, TypeVar, TypeVarTuple

from fsm.store.clock import LoopClock
from fsm.testing.clock import FINAL_FACTOR, POLL_SECONDS, START, NothingLeft
from fsm.testing.threads import PATIENCE, ThreadActivity

__all__ = ["SimulatedLoop", "WallClock", "run"]

T = TypeVar("T")
NANO: Final = 1e-9
LOOKS: Final = 1_000
"""Rounds of the loop in which no time passes, before a minute does."""
Ts = TypeVarTuple("Ts")


def run(program: Coroutine[object, object, T], *, patience: float = PATIENCE) -> T:
    """Run this as `asyncio.run` does, in simulated time, and return its result.

    NothingLeft if it waits for something that can no longer happen; its tasks have been cancelled then.  `patience` is
    in real seconds (rule 2).
    """
    with asyncio.Runner(loop_factory=partial(SimulatedLoop, patience=patience)) as runner:
        return runner.run(program)


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop with a clock that jumps; its time begins at 0."""

    def __init__(self, *, patience: float = PATIENCE) -> None:
        self._now, self._patience = 0.0, patience
        self._jobs, self._idle, self._looks = 0, set[threading.Thread](), 0
        self._boundary: tuple[float, Callable[[], object]] | None = None
        self._activity = ThreadActivity()
        self.when_idle: Callable[[], bool] | None = None
        """Called when nothing is left (rule 3); returns True if it found something to do."""
        super().__init__(_Selector(self))
        self.clock = WallClock(self)

    def time(self) -> float:
        """Return the simulated seconds since this loop was created."""
        return self._now

    def call_before(self, seconds: float, callback: Callable[[], object]) -> None:
        """Call this once before time goes beyond so many seconds from now.  Unlike `call_later` it keeps nothing going.

        It takes the place of an earlier one.
        """
        self._boundary = self._now + seconds, callback

    def pause(self) -> None:
        """Stop the clock until `resume` was called as often: something takes real time.  For any thread."""
        self._activity.pause()

    def resume(self) -> None:
        """End a pause.  Whoever waits for the result has been notified."""
        self._activity.resume()

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """Like every loop's; the calling thread is known to work."""
        self._activity.touch()
        return super().call_soon_threadsafe(callback, *args, context=context)

    def run_in_executor(self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        """Like every loop's; no time passes until the job is done."""
        self._jobs += 1
        future = super().run_in_executor(executor, self._job, func, args)
        future.add_done_callback(self._job_done)
        return future

    def _job(self, func: Callable[[*Ts], T], args: tuple[*Ts]) -> T:
        here = threading.current_thread()
        self._idle.discard(here)
        try:
            return func(*args)
        finally:
            self._idle.add(here)  # between jobs a thread of the pool does nothing

    def _job_done(self, _: object) -> None:
        self._jobs -= 1

    def _jump(self, seconds: float) -> None:
        """Let time pass, unless it would go beyond the boundary: then that is called first, and no time passes."""
        then = self._now + seconds
        if self._boundary is not None and then > self._boundary[0]:
            (_, callback), self._boundary = self._boundary, None
            callback()
            return
        if then + NANO == then:  # a loop takes what is due within a nanosecond, which is nothing so late
            then = math.nextafter(then, math.inf)
        self._now = then

    def _busy(self, sockets: bool, patience: float) -> bool:
        """Return True if something may take real time (rule 2)."""
        activity = self._activity
        return bool(self._jobs) or (sockets and activity.recent(patience)) or activity.busy(self._idle, patience)


class WallClock(LoopClock):
    """The clock of a simulated loop for stores: `time` follows the loop's, except for the jumps it is told to make."""

    def __init__(self, loop: SimulatedLoop) -> None:
        super().__init__(loop)
        self._ahead = START

    def time(self) -> float:
        """Return the seconds since 1970, as a wall clock shows them."""
        return self._ahead + self.monotonic()

    def set_time(self, seconds: float) -> None:
        """Set the wall clock: `time` returns this now.  No scheduled call is affected."""
        self._ahead = seconds - self.monotonic()


class _Selector(selectors.DefaultSelector):
    """Where a loop waits when nothing is ready, and where time passes."""

    def __init__(self, loop: SimulatedLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        loop = self._loop
        loop._activity.touch()
        if (found := super().select(0)) or (timeout is not None and timeout <= 0):
            loop._looks += 1
            loop._jump(0.0 if loop._looks % LOOKS else 60.0)
            return found
        sockets = len(self.get_map()) > 1  # the first is the loop's own, by which other threads wake it
        patience = loop._patience if timeout is not None else loop._patience * FINAL_FACTOR
        while loop._busy(sockets, patience):
            if found := super().select(POLL_SECONDS):
                return found
        if found := super().select(0):  # it arrived while the activity was checked
            return found
        if timeout is not None:
            loop._looks = 0
            loop._jump(timeout)
        elif loop.when_idle is None or not loop.when_idle():
            raise NothingLeft("this program waits for something that can no longer happen: no call is scheduled")
        return []
