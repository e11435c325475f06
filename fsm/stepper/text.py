"""Text as a terminal shows it: names with what is not printable written out, measured in columns, cut and wrapped."""

from __future__ import annotations

from textwrap import wrap
from unicodedata import combining, east_asian_width

__all__ = ["columns", "cut", "printable", "wrapped"]


def printable(text: str) -> str:
    """Return the text with every character that is not printable written out, as in `\\x1b`."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def columns(text: str) -> int:
    """Return the columns that a text takes on a terminal: two for a wide character, none for a combining one."""
    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)


def cut(text: str, width: int) -> str:
    """Cut the text to at most `width` columns, with an ellipsis where something is left out."""
    if columns(text) <= width:
        return text
    while text and columns(text) > width - 1:
        text = text[:-1]
    return text + "…"


def wrapped(text: str, width: int) -> list[str]:
    """Wrap the text into lines of at most `width` columns, at least one; a trace is broken after its commas."""
    return wrap(", ".join(part.lstrip() for part in text.split(",")), max(10, width)) or [""]
