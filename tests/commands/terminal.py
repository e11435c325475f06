"""A program on a terminal of its own: what is typed, and what it shows."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from select import select
from time import monotonic

FSM = str(Path(sys.executable).with_name("fsm"))
LIMIT = 60.0
"""Seconds after which a terminal that does not show what is expected is given up."""


class Terminal:
    """The other end of a terminal, and everything it has shown."""

    def __init__(self, end: int) -> None:
        self._end, self.shown = end, ""

    def type(self, keys: str) -> None:
        os.write(self._end, keys.encode())

    def until(self, text: str) -> str:
        """Read until this is shown after what was read before, and return what came."""
        begun, came = monotonic(), ""
        while text not in came:
            left = LIMIT - (monotonic() - begun)
            assert left > 0, f"{text!r} was not shown, but {came!r}"
            if select([self._end], [], [], left)[0]:
                came += os.read(self._end, 65536).decode(errors="replace")
        self.shown += came
        return came


@contextmanager
def terminal(*command: str, folder: Path | None = None, **environment: str) -> Iterator[Terminal]:
    """A terminal in which this program runs; it ends with the block at the latest."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (50, 200))
    given = {**os.environ, "TERM": "xterm", **environment}
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=folder, env=given, start_new_session=True)
    os.close(theirs)
    try:
        yield Terminal(ours)
    finally:
        process.kill()
        process.wait()
        os.close(ours)
