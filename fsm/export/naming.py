"""Names in another language: identifiers for the names of a chart, and the way back.

A name that the language takes stays as it is.  In any other, what is no letter, digit or `_` of ASCII becomes `_`, or
its number (`u7d42_`); what is reserved or taken gets `_` or a number behind it.  `changes` lists those that differ from
the chart's, for the header of the file, so that the mapping can be reversed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from typing import Final

__all__ = ["Names", "camel", "changes", "in_comment", "plain"]

LETTERS: Final = re.compile(r"[A-Za-z0-9_]")


def plain(name: str) -> str:
    """Return a name of letters, digits and `_` alone, which begins with a letter."""
    text = "".join(c if LETTERS.match(c) else "_" if c.isascii() else f"u{ord(c):x}_" for c in name)
    return text if text[:1].isalpha() else f"x{text}" if text[:1] == "_" else f"x_{text}"


def camel(name: str) -> str:
    """Return a name as classes are called: `StoreLogoff` for `store-logoff`."""
    words = re.split(r"[\W_]+", plain(name))
    return plain("".join(word[:1].upper() + word[1:] for word in words if word) or "Chart")


def in_comment(text: str) -> str:
    """Return text on one line that ends no comment of any language and hides nothing."""
    shown = "".join(c if c.isprintable() else " " if c.isspace() else "?" for c in text)
    for bad, good in (("*/", "* /"), ("/*", "/ *"), ("??", "? ?"), ('"""', "'''")):
        shown = shown.replace(bad, good)
    return " ".join(shown.split())


class Names:
    """The identifiers of one file.  No two are the same, and none is reserved."""

    def __init__(self, reserved: Iterable[str] = (), folded: Callable[[str], str] = str) -> None:
        """`folded` is how the language compares identifiers; most see every letter."""
        self._folded = folded
        self._taken = {folded(name) for name in reserved}
        self._given: dict[tuple[str, str], str] = {}
        self.changed: list[tuple[str, str, str]] = []
        """The identifiers that differ from their name, in the order in which they were given, with kind and name."""

    def give(self, kind: str, name: str, pattern: str = "{}", case: Callable[[str], str] = str) -> str:
        """Return a new identifier for a name; `pattern` is what usually becomes of it, `case` the usual case."""
        wanted = pattern.format(case(plain(name)))
        found, number = wanted, 1
        while self._folded(found) in self._taken:
            number += 1
            found = f"{wanted}_" if number == 2 else f"{wanted}_{number}"
        self._taken.add(self._folded(found))
        self._given[kind, name] = found
        if found != pattern.format(case(name)):
            self.changed.append((found, kind, name))
        return found

    def __call__(self, kind: str, name: str) -> str:
        """The identifier that was given to a name."""
        return self._given[kind, name]


def changes(language: str, *names: Names) -> list[str]:
    """Return lines for a header: which identifiers differ from the names they stand for."""
    changed = [one for names_of in names for one in names_of.changed]
    lines = [f"  {identifier} is the {kind} {in_comment(json.dumps(name))}" for identifier, kind, name in changed]
    return [f"Names that {language} does not take:", *lines] if lines else []
