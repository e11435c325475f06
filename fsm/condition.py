"""Conditions: guards as data.

Theory.  `INBOUND + OUTBOUND == 1` does not compute anything: it builds a value that can be evaluated, printed,
compiled, proved and drawn.  Two conditions are equal when they are written alike.
The language is small enough that every question about a condition has an answer for *all* counts (see `solver.py`):

1. A counter is a whole number, 0 or more, without upper limit.
2. A comparison has a sum of counters on one side and a whole number on the other.
3. An enumerated variable is compared with its values.
4. Conditions are joined with `&`, `|` and `~`.
5. A callable may take the place of a condition.  It is opaque: it can be called, and nothing can be proved of it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Final, NoReturn, TypeAlias

from fsm.errors import DefinitionError

__all__ = [
    "ALWAYS", "All", "Among", "AnyOf", "Compare", "Condition", "Opaque", "Value", "Values",
    "add", "condition", "is_opaque", "label", "negated", "sum_text", "value_key",
]

Value: TypeAlias = int | str | Enum | None
Values: TypeAlias = Mapping[str, Value]

OPERATORS: Final[dict[str, Callable[[int, int], bool]]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}
OPPOSITE: Final = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}
OPPOSITE_OF_NONE: Final = {"==": ">", "!=": "==", ">": "==", "<=": ">"}
"""The opposite of a comparison with 0, where a sum of counters cannot be less."""


def label(value: object) -> str:
    """Return the text of a value, the same everywhere: `NO_WAIT`, `none`."""
    if value is None:
        return "none"
    return value.name if isinstance(value, Enum) else str(value)


def value_key(value: Value) -> tuple[str, str]:
    """Return the type and the name of a value: plain data that no other value shares."""
    return (type(value).__qualname__, label(value))


class Condition:
    """A statement about the present values.  Immutable; combined with `&`, `|`, `~`."""

    __slots__ = ("_data",)
    _data: tuple[object, ...]

    def __and__(self, other: Condition) -> Condition:
        return All(self, other)

    def __or__(self, other: Condition) -> Condition:
        return AnyOf(self, other)

    def __invert__(self) -> Condition:
        return negated(self)

    def __bool__(self) -> NoReturn:
        raise TypeError(f"a guard is data: join conditions with & | ~ instead of and, or, not ({self})")

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self._data == other._data

    def __hash__(self) -> int:
        return hash((type(self).__name__, self._data))

    def __repr__(self) -> str:
        return f"<{self}>"

    def holds(self, values: Values, subject: object = None) -> bool:
        """Whether the condition is true of these values, given by variable name.

        `subject` is the session or model that callable guards are called with; DefinitionError if one needs it and it
        is None.
        """
        raise TypeError(f"{type(self).__name__} is not a condition")

    def parts(self) -> tuple[Condition, ...]:
        """The conditions that this one combines; an atom has none."""
        return ()

    def key(self) -> tuple[object, ...]:
        """The condition as plain data: equal for equal conditions only."""
        return (type(self).__name__, *(part.key() for part in self.parts()))

    def names(self) -> frozenset[str]:
        """The names of the variables in it."""
        return frozenset().union(*(part.names() for part in self.parts()))


class Compare(Condition):
    """`inbound + outbound == 1`: a sum of counters compared with a whole number."""

    __slots__ = ("bound", "op", "terms")

    def __init__(self, terms: tuple[tuple[str, int], ...], op: str, bound: int) -> None:
        self.terms, self.op, self.bound = terms, op, bound
        self._data = (terms, op, bound)

    def __str__(self) -> str:
        return f"{sum_text(self.terms)} {self.op} {self.bound}"

    def holds(self, values: Values, subject: object = None) -> bool:
        return OPERATORS[self.op](add(self.terms, values), self.bound)

    def names(self) -> frozenset[str]:
        return frozenset(name for name, _ in self.terms)

    def key(self) -> tuple[object, ...]:
        return ("Compare", self.terms, self.op, self.bound)


class Among(Condition):
    """`request == NO_WAIT` or `request in (NO_WAIT, PURGE)`; with `negated`, the opposite."""

    __slots__ = ("name", "negated", "values")

    def __init__(self, name: str, values: tuple[Value, ...], negated: bool = False) -> None:
        self.name, self.values, self.negated = name, values, negated
        self._data = (name, values, negated)

    def __str__(self) -> str:
        if len(self.values) == 1:
            return f"{self.name} {'!=' if self.negated else '=='} {label(self.values[0])}"
        return f"{self.name} {'not in' if self.negated else 'in'} ({', '.join(map(label, self.values))})"

    def holds(self, values: Values, subject: object = None) -> bool:
        return (values[self.name] in self.values) is not self.negated

    def names(self) -> frozenset[str]:
        return frozenset((self.name,))

    def key(self) -> tuple[object, ...]:
        return ("Among", self.name, tuple(map(value_key, self.values)), self.negated)


class _Joined(Condition):
    __slots__ = ("_parts",)
    _word = ""

    def __init__(self, *parts: Condition | Callable[..., bool]) -> None:
        flat: list[Condition] = []
        for part in map(condition, parts):
            flat += part.parts() if type(part) is type(self) else (part,)
        self._parts = tuple(flat)
        self._data = self._parts

    def __str__(self) -> str:
        return f" {self._word} ".join(
            f"({part})" if isinstance(part, _Joined) and len(part._parts) > 1 else str(part) for part in self._parts
        )

    def parts(self) -> tuple[Condition, ...]:
        return self._parts


class All(_Joined):
    """Every part holds.  `All()` always does."""

    __slots__ = ()
    _word = "and"

    def __str__(self) -> str:
        return super().__str__() if self._parts else "always"

    def holds(self, values: Values, subject: object = None) -> bool:
        return all(part.holds(values, subject) for part in self._parts)


class AnyOf(_Joined):
    """At least one part holds.  `AnyOf()` never does."""

    __slots__ = ()
    _word = "or"

    def __str__(self) -> str:
        return super().__str__() if self._parts else "never"

    def holds(self, values: Values, subject: object = None) -> bool:
        return any(part.holds(values, subject) for part in self._parts)


def negated(part: Condition | Callable[..., bool]) -> Condition:
    """Return the opposite condition, with the negation pushed down to the atoms."""
    part = condition(part)
    if isinstance(part, Compare):
        opposite = OPPOSITE if part.bound else OPPOSITE | OPPOSITE_OF_NONE
        return Compare(part.terms, opposite[part.op], part.bound)
    if isinstance(part, Among):
        return Among(part.name, part.values, not part.negated)
    if isinstance(part, Opaque):
        return Opaque(part.function, not part.negated)
    other: type[_Joined] = AnyOf if isinstance(part, All) else All
    return other(*map(negated, part.parts()))


class Opaque(Condition):
    """A callable guard, called with the session or the model and drawn as `[name()]`.

    It must not change anything: verdicts call it, too.  The fingerprint contains its module and name, and the line of
    a lambda or local function.
    """

    __slots__ = ("function", "negated")

    def __init__(self, function: Callable[..., bool], negated: bool = False) -> None:
        self.function, self.negated = function, negated
        self._data = (function, negated)

    @property
    def name(self) -> str:
        """The qualified name of the callable."""
        return getattr(self.function, "__qualname__", type(self.function).__name__)

    def key(self) -> tuple[object, ...]:
        code = getattr(self.function, "__code__", None) if "<" in self.name else None  # a lambda, or a local function
        line = code.co_firstlineno if code is not None else 0
        return ("Opaque", getattr(self.function, "__module__", ""), self.name, line, self.negated)

    def __str__(self) -> str:
        return f"{'not ' if self.negated else ''}{self.name}()"

    def holds(self, values: Values, subject: object = None) -> bool:
        if subject is None:
            problem = "a callable guard can be asked by a session or a model, not evaluated or exported"
            raise DefinitionError(f"guard {self}", (problem,))
        return bool(self.function(subject)) is not self.negated


def condition(guard: Condition | Callable[..., bool]) -> Condition:
    """Return a guard as a condition: a callable becomes an Opaque."""
    if isinstance(guard, Condition):
        return guard
    if callable(guard):
        return Opaque(guard)
    raise DefinitionError(f"guard {guard!r}", ("a guard is a condition over variables, or a callable",))


ALWAYS: Final[Condition] = All()


def is_opaque(guard: Condition) -> bool:
    """Whether the condition contains a callable."""
    return isinstance(guard, Opaque) or any(map(is_opaque, guard.parts()))


def sum_text(terms: tuple[tuple[str, int], ...]) -> str:
    """The text of a sum of counters: `inbound + outbound`."""
    return " + ".join(name if factor == 1 else f"{factor} * {name}" for name, factor in terms) or "0"


def add(terms: tuple[tuple[str, int], ...], values: Values) -> int:
    """Return the value of a sum of counters."""
    total = 0
    for name, factor in terms:
        count = values[name]
        assert isinstance(count, int)
        total += factor * count
    return total
