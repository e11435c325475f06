"""SMT-LIB's words for a chart: symbols, and terms about what is and what is `after` a step."""

from __future__ import annotations

from collections.abc import Iterable

from fsm.condition import label
from fsm.export.lowered import Comparison, Guard, Joined, Label, Total

__all__ = ["all_of", "any_of", "constant", "formula", "numeral", "sum_of", "symbol"]


def symbol(kind: str, name: str = "") -> str:
    """A symbol for a name; what may not stand between bars is written by its number."""
    shown = "".join(c if c.isprintable() and c not in "|\\" else f"<{ord(c):x}>" for c in f"{kind} {name}".strip())
    return f"|{shown}|"


def all_of(parts: Iterable[str]) -> str:
    """All of them; solvers do not agree about a conjunction of nothing."""
    found = [*parts]
    return "true" if not found else found[0] if len(found) == 1 else f"(and {' '.join(found)})"


def any_of(parts: Iterable[str]) -> str:
    """Any of them."""
    found = [*parts]
    return "false" if not found else found[0] if len(found) == 1 else f"(or {' '.join(found)})"


def numeral(number: int) -> str:
    """A whole number."""
    return str(number) if number >= 0 else f"(- {-number})"


def sum_of(total: Total, after: str = "") -> str:
    """A sum."""
    words = [
        f"{symbol(name, after)}" if f == 1 else f"(* {numeral(f)} {symbol(name, after)})" for name, f in total.terms
    ]
    words += [numeral(total.constant)] if total.constant or not words else []
    return words[0] if len(words) == 1 else f"(+ {' '.join(words)})"


def constant(name: str, value: Label) -> str:
    """The constant of a value."""
    return symbol(f"{name} is", label(value))


def formula(guard: Guard, after: str = "") -> str:
    """A guard."""
    if isinstance(guard, Comparison):
        left, right = sum_of(guard.left, after), sum_of(guard.right, after)
        op = "=" if guard.op in ("==", "!=") else guard.op
        return f"(not (= {left} {right}))" if guard.op == "!=" else f"({op} {left} {right})"
    if isinstance(guard, Joined):
        return (all_of if guard.every else any_of)(formula(part, after) for part in guard.parts)
    one = any_of(f"(= {symbol(guard.name, after)} {constant(guard.name, value)})" for value in guard.values)
    return f"(not {one})" if guard.negated else one
