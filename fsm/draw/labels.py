"""How the parts of a chart are written in a picture: guards, effects, names, and ids.

Theory.
1. The words are the chart's own.  A sum of counters that has a name (`in flight` for `inbound + outbound`) is written
   by that name, since readers meet the same sum many times; the legend defines it.
2. A name is displayed, never interpreted.  Invisible characters (controls, line ends, direction marks, halves of
   surrogate pairs) are written as escapes such as `\\u202e`, blanks at the ends as `␣`.  A name in a right-to-left
   script is isolated, so that it cannot change the order of its surroundings.
3. An id has only letters, digits, `_`, `.` and `-`, and two names never share one.

Escaping is left to each output format.
"""

from __future__ import annotations

import re
import textwrap
import unicodedata
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

from fsm.condition import All, AnyOf, Compare, Condition, Terms, sides, sum_text

if TYPE_CHECKING:
    from fsm.chart import Chart
    from fsm.variable import Sum

__all__ = [
    "Sums", "conditions", "display_name", "display_text", "event_text", "guard_text", "identifier", "sums_of",
    "wrap_row", "wrap_text",
]

Sums: TypeAlias = "Mapping[str, Sum]"
"""Sums of counters by the name they are written with."""

LONGEST: Final = 80
"""Characters of a name; a longer one ends with an ellipsis.  Its id stays whole."""


def display_name(name: str) -> str:
    """Return a name as it is written in a picture."""
    text = re.sub("^ +| +$| {2,}", lambda found: "␣" * len(found[0]), display_text(name))  # viewers drop blanks
    if len(text) > LONGEST:
        text = text[: LONGEST - 1] + "…"
    if any(unicodedata.bidirectional(character) in ("R", "AL", "AN") for character in text):
        return f"\u2068{text}\u2069"
    return text or "␣"


def _visible(character: str) -> str:
    if character != " " and unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp", "Zs", "Cn", "Co"):
        return character.encode("unicode_escape").decode("ascii")
    return character


def display_text(text: str) -> str:
    """Return prose as it is written in a picture: like `display_name`, at any length."""
    return text if text.isprintable() and text.isascii() else "".join(map(_visible, text))


def identifier(name: str) -> str:
    """Return a name as part of an id: other characters become `_x`, their code in hexadecimal, and `_`."""
    return re.sub(r"[^A-Za-z0-9_.-]|_(?=x)", lambda found: f"_x{ord(found[0]):x}_", name)


def sums_of(chart: Chart) -> Sums:
    """Return the named sums of a chart, if it has any."""
    found: Sums = getattr(chart, "sums", {})
    return found


def conditions(guard: Condition) -> tuple[Condition, ...]:
    """Return the conditions that must all hold, each once, in the order of the guard."""
    return tuple(dict.fromkeys(guard.parts() if isinstance(guard, All) else (guard,)))


def guard_text(guard: Condition, sums: Sums) -> str:
    """Return a guard in words; without named sums the same as `str(guard)`."""
    if isinstance(guard, Compare):
        left, right = sides(guard.terms)
        return f"{_sum_words(left, sums)} {guard.op} {_sum_words(right, sums, guard.bound)}"
    if isinstance(guard, All):
        parts = conditions(guard)
        return " and ".join(_inside(part, sums) for part in parts) if len(parts) != 1 else guard_text(parts[0], sums)
    if isinstance(guard, AnyOf) and guard.parts():
        return " or ".join(_inside(part, sums) for part in guard.parts())
    return display_name(str(guard))


def _inside(part: Condition, sums: Sums) -> str:
    text = guard_text(part, sums)
    return f"({text})" if isinstance(part, (All, AnyOf)) and part.parts() else text


def _sum_words(terms: Terms, sums: Sums, constant: int = 0) -> str:
    rest, parts = dict(terms), []
    for name, named in sorted(sums.items(), key=lambda item: -len(item[1].terms)):
        if named.terms and not named.constant and all(rest.get(n) == factor for n, factor in named.terms):
            rest = {n: factor for n, factor in rest.items() if n not in dict(named.terms)}
            parts.append(display_name(name))
    if not parts:
        return sum_text(terms, constant)
    more = sum_text(tuple(rest.items()), constant)
    return " + ".join([*parts, *([more] if more != "0" else [])])


def event_text(chart: Chart, state: str, event: str) -> str:
    """Return an event as it is written where it is awaited: `pay(amount)`, or `after 30 s: timeout`."""
    times = [f"after {seconds:g} s: " for seconds, name in chart.state(state).after.items() if name == event]
    data = ", ".join(one.name for one in chart.event(event).data)
    return f"{' or '.join(times)}{display_name(event)}{f'({data})' if data else ''}"


def wrap_text(text: str, letters: int) -> list[str]:
    """Break prose into lines of at most that many characters, unless a word is longer; at least one line."""
    return textwrap.wrap(text, letters, break_long_words=False, break_on_hyphens=False) or [text]


def wrap_row(text: str, width: int) -> Sequence[str]:
    """Break the text of a row into lines of about that many characters, before `and`, `or`, `/`, `[`, after commas."""
    lines, line = [], ""
    for piece in re.split(r" (?=and |or |/ |\[)|(?<=,) ", text):
        if line and len(line) + 1 + len(piece) > width:
            lines.append(line)
            line = piece
        else:
            line = f"{line} {piece}" if line else piece
    return [*lines, line]
