"""The commands of `fsm`, one module each: `add_arguments(parser)`, and `run(args)`, which returns the exit status.

A command raises `CommandError` for anything wrong: one sentence, no traceback, exit status 2 unless it has another.
"""

from __future__ import annotations

__all__ = ["DEFAULT_CHART", "CommandError", "choices", "number", "positive", "whole", "write_output"]

from argparse import ArgumentTypeError
from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T")

DEFAULT_CHART = "fsm.logoff:LOGOFF"


class CommandError(Exception):
    """One sentence that names the problem and says what would work; `status` is the exit status."""

    def __init__(self, sentence: str, status: int = 2) -> None:
        super().__init__(sentence)
        self.status = status


def whole(word: str) -> int:
    """Read a whole number, as the value of an option."""
    return _read(int, word, "a whole number")


def number(word: str) -> float:
    """Read a number, as the value of an option."""
    return _read(float, word, "a number")


def positive(option: str, value: float, unit: str) -> None:
    """Refuse the value of an option that is not above 0, or not finite, by a CommandError."""
    if not 0 < value < float("inf"):
        raise CommandError(f"{option} is a number of {unit} above 0, not {value:g}")


def choices(words: Iterable[str]) -> str:
    """Return the metavar of an option that takes one of these words; `fsm completion` reads them from it."""
    return f"{{{','.join(words)}}}"


def _read(kind: Callable[[str], T], word: str, named: str) -> T:
    try:
        return kind(word)
    except ValueError:
        raise ArgumentTypeError(f"it takes {named}, not {word!r}") from None


def write_output(data: bytes, file: str | None, not_for_a_terminal: str | None = None) -> None:
    """Write the output of a command to a file, and say so, or to standard output when `file` is None.

    CommandError when that fails, or with the sentence `not_for_a_terminal` when standard output is a terminal.
    """
    import sys
    from pathlib import Path

    if file is None:
        if not_for_a_terminal is not None and sys.stdout.isatty():
            raise CommandError(not_for_a_terminal)
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    try:
        Path(file).write_bytes(data)
    except OSError as error:
        remedy = "give -o a file in a folder that is there and may be written to"
        raise CommandError(f"cannot write {file}: {error.strerror}; {remedy}", 1) from None
    size = f"{len(data):,} bytes" if len(data) < 10_000 else f"{len(data) / 1000:,.0f} KB"
    print(f"wrote {file} ({size})", file=sys.stderr)
