"""A line on the terminal for a command that takes longer than a second; nothing where nobody looks."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread
from time import monotonic
from typing import Final

from fsm.stepper.text import cut, printable

__all__ = ["progress"]

PATIENCE: Final = 1.0
"""Seconds before the line appears."""
PACE: Final = 0.25
"""Seconds from one line to the next."""


@contextmanager
def progress(what: str, patience: float = PATIENCE) -> Iterator[None]:
    """Say on standard error what the command is doing, and for how long, and erase the line at the end.

    Only a terminal gets it, and only after `patience` seconds.  Print nothing meanwhile.
    """
    if sys.stderr is None or not sys.stderr.isatty():
        yield
        return
    done = Event()
    thread = Thread(target=_show, args=(printable(what), done, patience), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _show(what: str, done: Event, patience: float) -> None:
    begun, shown = monotonic(), ""
    with suppress(OSError, ValueError):  # the terminal has gone
        while not done.wait(PACE if shown else patience):
            wide = os.get_terminal_size(sys.stderr.fileno()).columns or 80  # a terminal may not know its size
            shown = cut(f"{what}, {monotonic() - begun:.0f} s", wide - 1)
            _write(f"\r{shown}")
        _write(f"\r{' ' * len(shown)}\r" if shown else "")


def _write(text: str) -> None:
    encoding = sys.stderr.encoding or "ascii"
    sys.stderr.write(text.encode(encoding, "backslashreplace").decode(encoding))
    sys.stderr.flush()
