"""ECMAScript's expressions as conditions and sums, as far as a chart can say them.

    inbound + outbound === 1 && (request == 'ABORT' || !paid)        _event.data.amount - 2 * due >= 3

Names are the data of a document and `_event.data.NAME`; numbers are whole.  ReadError for anything else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from fsm.condition import ALWAYS, All, Among, AnyOf, Condition, negated
from fsm.data import Number
from fsm.export.errors import ReadError
from fsm.variable import Boolean, Choice, Counter, Sum

__all__ = ["Reader", "Variables", "is_string", "string"]

Variables = Mapping[str, Counter | Choice | Number]
TOKEN: Final = re.compile(
    r"\s*(?:(?P<number>\d+(?![\w.]))|(?P<string>'[^'\\]*'|\"[^\"\\]*\")|(?P<name>[A-Za-z_$][\w$]*(?:\.[A-Za-z_$][\w$]*)*)"
    r"|(?P<op>===|!==|==|!=|<=|>=|&&|\|\||[-+*()!<>]))"
)
TURNED: Final = {"===": "==", "!==": "!="}
DEEPEST: Final = 50
T = TypeVar("T")


def is_string(text: str) -> bool:
    """Whether an expression is a string literal."""
    return re.fullmatch(r"\s*(?:'[^'\\]*'|\"[^\"\\]*\")\s*", text) is not None


def string(text: str) -> str:
    """Return the value of a string literal."""
    return text.strip()[1:-1]


class Reader:
    """Reads one expression."""

    def __init__(self, text: str, variables: Variables, place: str) -> None:
        self.text, self.variables, self.place = text, variables, place
        self.tokens: list[tuple[str, str]] = []
        self.at = self.depth = 0
        position = 0
        while position < len(text.rstrip()):
            found = TOKEN.match(text, position)
            if found is None:
                raise self.wrong()
            kind = str(found.lastgroup)
            self.tokens.append((kind, found[kind]))
            position = found.end()

    def wrong(
        self, problem: str = "it is no comparison of whole numbers and names that a chart could make"
    ) -> ReadError:
        """The error that names the expression."""
        return ReadError(self.place, f"the expression {self.text.strip()!r} cannot be taken over: {problem}")

    def condition(self) -> Condition:
        """Return the whole text as a condition."""
        return self._whole(self._either)

    def value(self) -> Sum | str | bool:
        """Return the whole text as a new value: a sum, a string, true or false."""
        if len(self.tokens) == 1 and self.tokens[0][0] == "string":
            return self.tokens[0][1][1:-1]
        if len(self.tokens) == 1 and self.tokens[0][1] in ("true", "false"):
            return self.tokens[0][1] == "true"
        return self._whole(self._sum)

    def _whole(self, read: Callable[[], T]) -> T:
        found = read()
        if self.at < len(self.tokens):
            raise self.wrong()
        return found

    def _next(self) -> tuple[str, str]:
        return self.tokens[self.at] if self.at < len(self.tokens) else ("end", "")

    def _take(self, *wanted: str) -> str:
        """Take the next token if it is one of these; an empty string if it is not."""
        kind, word = self._next()
        if kind == "string" or word not in wanted:
            return ""
        self.at += 1
        return word

    def _either(self) -> Condition:
        parts = [self._both()]
        while self._take("||", "or"):
            parts.append(self._both())
        return parts[0] if len(parts) == 1 else AnyOf(*parts)

    def _both(self) -> Condition:
        parts = [self._one()]
        while self._take("&&", "and"):
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else All(*parts)

    def _one(self) -> Condition:
        self.depth += 1
        if self.depth > DEEPEST:
            raise self.wrong("it is nested too deeply")
        try:
            if self._take("!", "not"):
                return negated(self._one())
            if self._take("true"):
                return ALWAYS
            if self._take("false"):
                return AnyOf()
            found = self._parenthesis()
            return self._comparison() if found is None else found
        finally:
            self.depth -= 1

    def _parenthesis(self) -> Condition | None:
        """A condition in parentheses; None if they hold a sum."""
        start = self.at
        if not self._take("("):
            return None
        try:
            found = self._either()
            if self._take(")") and self._next()[1] not in (
                "==",
                "===",
                "!=",
                "!==",
                "<",
                "<=",
                ">",
                ">=",
                "+",
                "-",
                "*",
            ):
                return found
        except ReadError:
            if self.depth >= DEEPEST:
                raise
        self.at = start
        return None

    def _comparison(self) -> Condition:
        left = self._side()
        if isinstance(left, Boolean) and self._next()[1] in ("", ")", "&&", "||", "and", "or"):
            return left.as_condition()
        op = self._take("===", "!==", "==", "!=", "<", "<=", ">", ">=")
        if not op:
            raise self.wrong()
        op, right = TURNED.get(op, op), self._side()
        if isinstance(right, Choice):
            left, right = right, left
        if isinstance(left, Choice):
            if op not in ("==", "!=") or not isinstance(right, (str, bool)) or right not in left.values:
                raise self.wrong(f"{left.name} is compared with its values")
            return Among(left.name, (right,), op == "!=")
        if isinstance(left, Sum) and isinstance(right, Sum):
            return left.compare(op, right)
        raise self.wrong()

    def _side(self) -> Sum | Choice | str | bool:
        kind, word = self._next()
        if kind == "string":
            self.at += 1
            return word[1:-1]
        if word in ("true", "false"):
            self.at += 1
            return word == "true"
        if isinstance(self.variables.get(word), Choice):
            self.at += 1
            return self.variables[word]  # type: ignore[return-value]
        return self._sum()

    def _sum(self) -> Sum:
        total = self._term()
        while sign := self._take("+", "-"):
            total = total + self._term() if sign == "+" else total - self._term()
        return total

    def _term(self) -> Sum:
        found = self._factor()
        while self._take("*"):
            other = self._factor()
            if found.terms and other.terms:
                raise self.wrong("names are not multiplied with each other")
            found = found * other.constant if found.terms else other * found.constant
        return found

    def _factor(self) -> Sum:
        if self._take("-"):
            return self._factor() * -1
        kind, word = self._next()
        self.at += 1
        if kind == "number":
            if len(word) > 400:
                raise self.wrong("a number in it has too many digits")
            return Sum((), int(word))
        if word == "(" and kind == "op":
            self.depth += 1
            if self.depth > DEEPEST:
                raise self.wrong("it is nested too deeply")
            found = self._sum()
            self.depth -= 1
            if not self._take(")"):
                raise self.wrong()
            return found
        variable = self.variables.get(word) if kind == "name" else None
        if isinstance(variable, (Counter, Number)):
            return variable.as_sum()
        raise self.wrong(
            f"there is no number {word!r}" if kind == "name" else "it is no sum of whole numbers and names"
        )
