"""Thread activity: do the other threads of a program still work, or have they come to rest?

Theory.
1. Simulated time may jump only when nothing takes real time.  A thread that waits for the simulated clock rests.  Of a
   thread that does anything else nobody can tell: it computes, or it waits for something outside, perhaps for ever.
2. So before each jump such threads are given some real seconds of *patience*, counted from the last time that one of
   them used the clock.  If none does, they are taken to wait for something that takes longer than the simulated time.
3. Whatever announces that it takes real time (`pause` to `resume`, as a durable store does while it writes) needs no
   patience: no time passes, however long it takes.

A thread that was there before and never uses the clock does not belong to the program.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Container

__all__ = ["PATIENCE", "ThreadActivity"]

PATIENCE = 0.25
"""Real seconds."""


class ThreadActivity:
    """The threads of a program: the one that creates this, those started since, and those that use the clock."""

    def __init__(self) -> None:
        self._before = {*threading.enumerate()} - {threading.current_thread()}
        self._last = time.monotonic()
        self._lock, self._paused = threading.Lock(), 0

    def pause(self) -> None:
        """Note that something takes real time from now on."""
        with self._lock:
            self._paused += 1

    def resume(self) -> None:
        """Note the end of a pause; whoever waited for it is given the patience to go on."""
        self.touch()
        with self._lock:
            self._paused -= 1

    def touch(self) -> None:
        """Note that this thread uses the clock: it belongs to the program, and the patience begins anew."""
        self._before.discard(threading.current_thread())
        self._last = time.monotonic()

    def recent(self, patience: float) -> bool:
        """Return True if a thread used the clock within so many seconds."""
        return time.monotonic() - self._last < patience

    def busy(self, resting: Container[threading.Thread], patience: float) -> bool:
        """Return True if something takes real time, or a thread of the program other than this one may work."""
        here = threading.current_thread()
        return self._paused > 0 or (
            self.recent(patience)
            and any(one is not here and one not in self._before and one not in resting for one in threading.enumerate())
        )
