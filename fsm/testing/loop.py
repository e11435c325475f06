"""Simulated time for asyncio: a loop whose clock jumps to what comes next when nothing is ready.

    outcome = run(program())                    # its own asyncio.sleep and asyncio.timeout included

Theory.
1. When nothing is ready, and nothing goes on for real, time jumps to the next call that is to come.
2. What goes on for real: jobs in executors and what a durable store writes, for as long as they take; sockets and other
   threads, for some patience (`threads.py`): of an open socket nobody can tell whether something will come.
3. When nothing is to come and nothing goes on, the program waits for ever: that is an error, here and now.
4. A store takes its time from the loop; with `clock=loop.clock` also what the clock on the wall says, which may jump.

This file does not know what the program does.  `clock.py` is the same for threads.
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
from fsm.testing.clock import GLANCE, LAST, START, NothingLeft
from fsm.testing.threads import PATIENCE, Others

__all__ = ["SimulatedLoop", "WallClock", "run"]

T = TypeVar("T")
NANO: Final = 1e-9
Ts = TypeVarTuple("Ts")


def run(program: Coroutine[object, object, T], *, patience: float = PATIENCE) -> T:
    """Run this as `asyncio.run` does, in simulated time; what it returns.

    NothingLeft when it waits for something that can no longer happen; its tasks have been cancelled then.
    `patience` is in real seconds (rule 2).
    """
    with asyncio.Runner(loop_factory=partial(SimulatedLoop, patience=patience)) as runner:
        return runner.run(program)


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop with a clock that jumps; its time begins at 0."""

    def __init__(self, *, patience: float = PATIENCE) -> None:
        self._now, self._patience = 0.0, patience
        self._jobs, self._idle = 0, set[threading.Thread]()
        self._others = Others()
        self.when_idle: Callable[[], bool] | None = None
        """Asked when nothing is left (rule 3): whether it has found something to do."""
        super().__init__(_Selector(self))
        self.clock = WallClock(self)

    def time(self) -> float:
        """Simulated seconds since this loop was made."""
        return self._now

    def pause(self) -> None:
        """No time passes until `resume`, as often called: something goes on for real.  For any thread."""
        self._others.pause()

    def resume(self) -> None:
        """It has come to its end, and who waits for it has been told."""
        self._others.resume()

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """As every loop has it; the thread is known to be at work."""
        self._others.came()
        return super().call_soon_threadsafe(callback, *args, context=context)

    def run_in_executor(self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        """As every loop has it; until the job is done no time passes."""
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
            self._idle.add(here)  # what a pool's thread does between jobs is nobody's work

    def _job_done(self, _: object) -> None:
        self._jobs -= 1

    def _jump(self, seconds: float) -> None:
        then = self._now + seconds
        if then + NANO == then:  # a loop takes what is due within a nanosecond, which is nothing so late
            then = math.nextafter(then, math.inf)
        self._now = then

    def _goes_on(self, sockets: bool, patience: float) -> bool:
        """Whether something may go on for real (rule 2)."""
        return (
            bool(self._jobs) or (sockets and self._others.patient(patience)) or self._others.busy(self._idle, patience)
        )


class WallClock(LoopClock):
    """The clock of a simulated loop for stores: `time` follows the loop's, but for the jumps it is told to make."""

    def __init__(self, loop: SimulatedLoop) -> None:
        super().__init__(loop)
        self._ahead = START

    def time(self) -> float:
        """Seconds since 1970, as the clock on the wall has it."""
        return self._ahead + self.monotonic()

    def set_time(self, seconds: float) -> None:
        """The clock on the wall is set: `time` says this now.  Nothing else moves, and no call comes by that."""
        self._ahead = seconds - self.monotonic()


class _Selector(selectors.DefaultSelector):
    """Where a loop waits when nothing is ready; here it is that time passes."""

    def __init__(self, loop: SimulatedLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        loop = self._loop
        loop._others.came()
        if (found := super().select(0)) or (timeout is not None and timeout <= 0):
            loop._jump(0.0)
            return found
        sockets = len(self.get_map()) > 1  # the first is the loop's own, by which other threads wake it
        patience = loop._patience if timeout is not None else loop._patience * LAST
        while loop._goes_on(sockets, patience):
            if found := super().select(GLANCE):
                return found
        if found := super().select(0):  # it came while it was asked whether anything goes on
            return found
        if timeout is not None:
            loop._jump(timeout)
        elif loop.when_idle is None or not loop.when_idle():
            raise NothingLeft("this program waits for something that can no longer happen: nothing is to come")
        return []
