"""Thread activity: do the other threads of a program still work, or have they come to rest?

Theory.
1. Simulated time may jump only when nothing takes real time.  A thread that waits for the simulated clock rests.  Of a
   thread that does anything else nobody can tell: it computes, or it waits for something outside, perhaps for ever.
2. So before each jump such threads are given some real seconds of *patience*, counted from the last time that one of
   them used the clock.  If none does, they are taken to wait for something that takes longer than the simulated time.
3. On a busy machine a thread may get no processor for longer than that.  Linux tells the two apart: a thread that runs,
   could run, or waits for the disk is given a minute.  One that waits for Python's lock counts among those that could
   run, for it is free while the answer is read.
4. Whatever announces that it takes real time (`pause` to `resume`, as a durable store does while it writes) needs no
   patience: no time passes, however long it takes.

A thread that was there before and never uses the clock does not belong to the program.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Container
from pathlib import Path
from typing import Final

__all__ = ["PATIENCE", "ThreadActivity"]

PATIENCE: Final = 0.25
"""Real seconds."""
MINUTE: Final = 60.0
"""The patience with a thread that could run (rule 3), in real seconds."""


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
        if self._paused > 0:
            return True
        if not self.recent(max(patience, MINUTE)):
            return False
        here = threading.current_thread()
        others = [
            one for one in threading.enumerate() if one is not here and one not in self._before and one not in resting
        ]
        return bool(others) and (self.recent(patience) or any(map(_could_run, others)))


def _could_run(thread: threading.Thread) -> bool:
    """Whether a thread runs, could run or waits for the disk, as Linux says; False where nothing says so."""
    if thread.native_id is None:  # it is only being started
        return True
    try:
        state = Path(f"/proc/self/task/{thread.native_id}/stat").read_bytes()
    except OSError:
        return False
    return state.rpartition(b")")[2].split()[0] in (b"R", b"D")
