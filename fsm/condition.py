"""Conditions: guards as data.

Theory.  `INBOUND + OUTBOUND == 1` does not compute anything: it builds a value that can be evaluated, printed,
compiled, proved and drawn.  Two conditions are equal when they are written alike.
The language is small enough that questions about a condition have an answer for *all* counts (see `solver.py`):

1. A counter, or a number that an event brings with it, is a whole number, 0 or more, without upper limit.
2. A comparison is linear: it compares sums of counters and numbers, each with a whole factor, and a whole number.
3. An enumerated variable is compared with its values; a true/false variable is a condition by itself.
4. Conditions are joined with `&`, `|` and `~`.
5. A callable may take the place of a condition.  It is opaque: it can be called, and nothing can be proved of it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Iterator, Mapping
from enum import Enum
from functools import partial
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import Final, NoReturn, TypeAlias

from fsm.callables import name_of_callable, never_runs, told_apart
from fsm.errors import DefinitionError

__all__ = [
    "ALWAYS", "All", "Among", "AnyOf", "Compare", "Condition", "Conditional", "Datum", "Facts", "Opaque", "Terms",
    "Value", "Values", "add", "condition", "is_opaque", "label", "name_of", "negated", "opaque_parts",
    "shown", "sides", "sum_text", "truth", "value_key", "with_data",
]

Value: TypeAlias = int | str | Enum | None
Datum: TypeAlias = int | str | float | None
"""A value that an event brings with it."""
Values: TypeAlias = Mapping[str, Value]
Facts: TypeAlias = Mapping[str, Value | Datum]
"""What a condition is evaluated with: the values of the variables, and those of the event's data."""
Terms: TypeAlias = tuple[tuple[str, int], ...]
"""A sum: the names of counters, each with a whole factor."""

OPERATORS: Final[dict[str, Callable[[int, int], bool]]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}
OPPOSITE: Final = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}
OPPOSITE_OF_NONE: Final = {"==": ">", "!=": "==", ">": "==", "<=": ">"}
"""The opposite of a comparison with 0, where a sum of counters cannot be less."""


def label(value: object) -> str:
    """Return the text of a value, the same everywhere: `NO_WAIT`, `none`, `true`."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.name if isinstance(value, Enum) else str(value)


def shown(value: object) -> str:
    """Return the text of a value within a sentence: in quotation marks if it is not a single word."""
    text = label(value)
    return text if text and not any(char.isspace() or char in ",()'\"" for char in text) else repr(text)


def name_of(given: object) -> str:
    """Return the name of a state or event that is given as a string or as a member of an Enum.

    The name of a member is its value if that is a string by itself (`class St(str, Enum)`), or else its own name.
    """
    if isinstance(given, str):
        return str.__str__(given)
    return given.name if isinstance(given, Enum) else str(given)


def value_key(value: Value) -> tuple[str, str]:
    """Return the type and the name of a value: plain data that no other value shares."""
    return (type(value).__qualname__, label(value))


class Conditional:
    """What can stand for a condition, such as a true/false variable."""

    __slots__ = ()

    def as_condition(self) -> Condition:
        """Return the condition."""
        raise NotImplementedError


class Condition:
    """A statement about the present values.  Immutable; combined with `&`, `|`, `~`."""

    __slots__ = ("_data",)
    _data: tuple[object, ...]

    def __and__(self, other: Condition | Conditional) -> Condition:
        return All(self, other)

    def __or__(self, other: Condition | Conditional) -> Condition:
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

    def __str__(self) -> str:
        return type(self).__name__

    def holds(self, values: Facts, subject: object = None) -> bool:
        """Whether the condition is true of these values, given by the names of variables and data.

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
    """`inbound + outbound == 1`: a sum of counters compared with a whole number.

    `terms` are the counters, each with its factor; a negative one stands on the other side in the text: `a > b + 3`.
    """

    __slots__ = ("bound", "op", "terms")

    def __init__(self, terms: Terms, op: str, bound: int) -> None:
        self.terms, self.op, self.bound = terms, op, bound
        self._data = (terms, op, bound)

    def __str__(self) -> str:
        left, right = sides(self.terms)
        return f"{sum_text(left)} {self.op} {sum_text(right, self.bound)}"

    def holds(self, values: Facts, subject: object = None) -> bool:
        return OPERATORS[self.op](add(self.terms, values), self.bound)

    def names(self) -> frozenset[str]:
        return frozenset(name for name, _ in self.terms)

    def key(self) -> tuple[object, ...]:
        return ("Compare", self.terms, self.op, self.bound)


class Among(Condition):
    """`request == NO_WAIT` or `request in (NO_WAIT, PURGE)`; with `negated`, the opposite.

    Of a true/false variable it is `paid` or `not paid`.
    """

    __slots__ = ("name", "negated", "values")

    def __init__(self, name: str, values: tuple[Value, ...], negated: bool = False) -> None:
        self.name, self.values, self.negated = name, values, negated
        self._data = (name, values, negated)

    def __str__(self) -> str:
        if self.values == (True,):
            return f"{'not ' if self.negated else ''}{self.name}"
        if len(self.values) == 1:
            return f"{self.name} {'!=' if self.negated else '=='} {shown(self.values[0])}"
        return f"{self.name} {'not in' if self.negated else 'in'} ({', '.join(map(shown, self.values))})"

    def holds(self, values: Facts, subject: object = None) -> bool:
        return (values[self.name] in self.values) is not self.negated

    def names(self) -> frozenset[str]:
        return frozenset((self.name,))

    def key(self) -> tuple[object, ...]:
        return ("Among", self.name, tuple(map(value_key, self.values)), self.negated)


class _Joined(Condition):
    __slots__ = ("_parts",)
    _word = ""

    def __init__(self, *parts: Condition | Conditional | Callable[..., bool]) -> None:
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

    def holds(self, values: Facts, subject: object = None) -> bool:
        return all(part.holds(values, subject) for part in self._parts)


class AnyOf(_Joined):
    """At least one part holds.  `AnyOf()` never does."""

    __slots__ = ()
    _word = "or"

    def __str__(self) -> str:
        return super().__str__() if self._parts else "never"

    def holds(self, values: Facts, subject: object = None) -> bool:
        return any(part.holds(values, subject) for part in self._parts)


def negated(part: Condition | Conditional | Callable[..., bool]) -> Condition:
    """Return the opposite condition, with the negation pushed down to the atoms."""
    part = condition(part)
    if isinstance(part, Compare):
        whole = part.bound == 0 and all(factor > 0 for _, factor in part.terms)
        opposite = OPPOSITE | OPPOSITE_OF_NONE if whole else OPPOSITE
        return Compare(part.terms, opposite[part.op], part.bound)
    if isinstance(part, Among):
        return Among(part.name, part.values, not part.negated)
    if isinstance(part, Opaque):
        return Opaque(part.function, not part.negated, part.takes)
    other: type[_Joined] = AnyOf if isinstance(part, All) else All
    return other(*map(negated, part.parts()))


class Opaque(Condition):
    """A callable guard, called with the session or the model and drawn as `[name()]`.

    It must not change anything: verdicts call it, too.  The fingerprint contains its module and name, and the text of
    a lambda or local function (`callables.py`).  `takes` names the data of the event that it is called with.
    """

    __slots__ = ("function", "negated", "takes")

    def __init__(self, function: Callable[..., bool], negated: bool = False, takes: tuple[str, ...] = ()) -> None:
        self.function, self.negated, self.takes = function, negated, takes
        self._data = (function, negated)

    @property
    def name(self) -> str:
        """The qualified name of the callable, and of a partial one its arguments."""
        return name_of_callable(self.function)

    def key(self) -> tuple[object, ...]:
        home = self.function.func if isinstance(self.function, partial) else self.function
        return ("Opaque", getattr(home, "__module__", ""), self.name, told_apart(self.function), self.negated)

    def __str__(self) -> str:
        call = self.name if isinstance(self.function, partial) else f"{self.name}()"
        return f"{'not ' if self.negated else ''}{call}"

    def holds(self, values: Facts, subject: object = None) -> bool:
        if subject is None:
            problem = "a callable guard can be asked by a session or a model, not evaluated or exported"
            raise DefinitionError(f"guard {self}", (problem,))
        return truth(self.function(subject, **{name: values[name] for name in self.takes})) is not self.negated

    def parameters(self) -> dict[str, bool]:
        """The parameters after the first, by name: whether each must be given.  Empty where that cannot be known."""
        from inspect import Parameter, signature  # it takes time to import, and only a guard with data needs it

        try:
            found = list(signature(self.function).parameters.values())
        except (TypeError, ValueError):
            return {}
        if found and found[0].kind in (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD):
            del found[0]
        named = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
        return {one.name: one.default is Parameter.empty for one in found if one.kind in named}


def with_data(guard: Condition, names: Collection[str]) -> Condition:
    """Return the guard with each callable taking those of these data that it has a parameter for."""
    if isinstance(guard, Opaque):
        return Opaque(guard.function, guard.negated, tuple(name for name in guard.parameters() if name in names))
    if isinstance(guard, _Joined) and is_opaque(guard):
        return type(guard)(*(with_data(part, names) for part in guard.parts()))
    return guard


def condition(guard: Condition | Conditional | Callable[..., bool]) -> Condition:
    """Return a guard as a condition: a callable becomes an Opaque, a true/false variable the condition that it is."""
    if isinstance(guard, Condition):
        return guard
    if isinstance(guard, Conditional):
        return guard.as_condition()
    if callable(guard):
        try:
            hash(guard)
        except TypeError:
            problem = "a callable guard must be hashable, so that it can be compared with others"
            raise DefinitionError(f"guard {guard!r}", (problem,)) from None
        if kind := never_runs(guard):
            problem = f"it is {kind}, which would always be true; a guard answers at once: write a plain function"
            raise DefinitionError(f"guard {getattr(guard, '__qualname__', guard)}", (problem,))
        return Opaque(guard)
    raise DefinitionError(f"guard {guard!r}", ("a guard is a condition over variables, or a callable",))


def truth(answer: object) -> bool:
    """Return the answer of a callable guard as a bool.  TypeError for a coroutine or generator, which has not run."""
    if answer is True or answer is False:
        return answer
    if isinstance(answer, (GeneratorType, AsyncGeneratorType)) or hasattr(answer, "__await__"):
        if isinstance(answer, CoroutineType):
            answer.close()  # so that nobody waits for it
        kind = type(answer).__name__
        raise TypeError(f"a guard answers at once, and one returned a {kind}, which would always be true")
    return bool(answer)


ALWAYS: Final[Condition] = All()


def is_opaque(guard: Condition) -> bool:
    """Whether the condition contains a callable."""
    return isinstance(guard, Opaque) or any(map(is_opaque, guard.parts()))


def opaque_parts(guard: Condition) -> Iterator[Opaque]:
    """The callables in a condition."""
    if isinstance(guard, Opaque):
        yield guard
    for part in guard.parts():
        yield from opaque_parts(part)


def sides(terms: Terms) -> tuple[Terms, Terms]:
    """Return the terms with a factor above 0, and the others with their factors turned, for the two sides of a text."""
    return (
        tuple((name, factor) for name, factor in terms if factor > 0),
        tuple((name, -factor) for name, factor in terms if factor < 0),
    )


def sum_text(terms: Terms, constant: int = 0) -> str:
    """The text of a sum of counters: `inbound + outbound`, `2 * a - b + 1`."""
    added, taken = (
        [name if factor == 1 else f"{factor} * {name}" for name, factor in side] for side in sides(terms)
    )
    text = " + ".join(added)
    for one in taken:
        text = f"{text} - {one}" if text else f"-{one}"
    if not text or not constant:
        return text or str(constant)
    return f"{text} {'+' if constant > 0 else '-'} {abs(constant)}"


def add(terms: Terms, values: Facts) -> int:
    """Return the value of a sum of counters."""
    total = 0
    for name, factor in terms:
        count = values[name]
        assert isinstance(count, int)
        total += factor * count
    return total
