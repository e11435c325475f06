"""The other threads of a program, as simulated time must see them: has every one come to rest?

Theory.
1. Time may jump only when nothing goes on for real.  A thread that waits for the simulated clock is at rest.  Of one
   that does anything else nobody can tell: it computes, or it waits for something outside, perhaps for ever.
2. So before each jump such threads are given some real seconds of *patience*, from the last time that any of them came
   to the clock.  If none comes, they are taken to wait for something that takes longer than the simulated time.
3. What says itself that it goes on for real (`pause` to `resume`; a durable store, while it writes) needs no patience:
   however long it takes, no time passes.

A thread that was there before and never comes to the clock is not the program's.
This file does not know what is simulated.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Container

__all__ = ["PATIENCE", "Others"]

PATIENCE = 0.25
"""Real seconds."""


class Others:
    """The threads of a program: the one that makes this, those started since, and those that come."""

    def __init__(self) -> None:
        self._before = {*threading.enumerate()} - {threading.current_thread()}
        self._last = time.monotonic()
        self._lock, self._work = threading.Lock(), 0

    def pause(self) -> None:
        """Something goes on for real from now on."""
        with self._lock:
            self._work += 1

    def resume(self) -> None:
        """It has come to its end; who waited for it has been told, and is given the patience to go on."""
        self.came()
        with self._lock:
            self._work -= 1

    def came(self) -> None:
        """This thread has come to the clock: it counts from now on, and the patience begins anew."""
        self._before.discard(threading.current_thread())
        self._last = time.monotonic()

    def patient(self, patience: float) -> bool:
        """Whether somebody came within so many seconds."""
        return time.monotonic() - self._last < patience

    def busy(self, resting: Container[threading.Thread], patience: float) -> bool:
        """Whether something goes on for real, or one of the program's threads, but this, may be at work."""
        here = threading.current_thread()
        return self._work > 0 or (
            self.patient(patience)
            and any(one is not here and one not in self._before and one not in resting for one in threading.enumerate())
        )
