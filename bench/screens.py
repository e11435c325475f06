"""The start of `fsm step` on a real terminal, the size of the explorer page and a step in it."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

from bench.explorer import FRAME, page_step
from bench.result import Result, best, timed

ROOT = Path(__file__).parent.parent


def first_frame() -> float:
    """Return the seconds from the start of `fsm step` on an 80x24 terminal to the frame with the trail."""
    start = time.perf_counter()
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ["TERM"] = "xterm-256color"
        os.execv(sys.executable, [sys.executable, "-m", "fsm.cli", "step"])
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    shown = b""
    while b"trail 0/0" not in shown:
        shown += os.read(terminal, 1 << 16)
    spent = time.perf_counter() - start
    os.write(terminal, b"q")
    try:
        while os.read(terminal, 1 << 16):
            pass
    except OSError:  # the terminal is closed
        pass
    os.waitpid(pid, 0)
    return spent


def screens() -> list[Result]:
    load = timed(lambda: subprocess.run([sys.executable, "-c", "import textual"], check=True))
    frame, textual = best(9, first_frame, load)
    size = (ROOT / "diagrams" / "explorer.html").stat().st_size
    results = [
        Result("fsm step, from start to the first frame", f"{frame:.2f} s",
               f'python -c "import textual" {textual:.2f} s: {frame / textual:.2f} times', "<= 2 times",
               frame <= 2 * textual),
        Result("the explorer page for bounds 2,2,1", f"{size / 1000:.1f} KB", "", "< 150 KB", size < 150_000),
    ]  # fmt: skip
    step = page_step()
    if isinstance(step, str):
        return [*results, Result("a step in the page at bounds 5,5,1", "not measured", step, "<= 16 ms", None)]
    return [
        *results,
        Result("a step in the page at bounds 5,5,1 (median of the steps of many paths)", f"{step.median:.1f} ms",
               f"slowest of {step.steps:,}: {step.slowest:.1f} ms; the page has {step.bytes / 1e6:.1f} MB",
               "<= 16 ms", step.median <= FRAME),
    ]  # fmt: skip
