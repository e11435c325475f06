"""Variables: what a machine counts and remembers, and the effects that change them.

Both are written with Python's operators: `INBOUND + OUTBOUND == 1` is a condition, `READY.becomes(READY - 1)` an
effect.  All effects of a row happen together: each new value is computed from the values before the step.
"""

from __future__ import annotations

from enum import Enum
from keyword import iskeyword
from typing import Final, TypeAlias

from fsm.condition import Among, Compare, Condition, Value, Values, add, label, sum_text, value_key
from fsm.errors import DefinitionError

__all__ = ["Assignment", "Choice", "Counter", "Sum", "Variable", "as_sum"]


class Sum:
    """`inbound + outbound`, `ready - 1`: counters with factors, and a constant.  Comparing it builds a condition."""

    __slots__ = ("constant", "terms")
    __hash__ = None  # type: ignore[assignment]  # `==` builds a condition, so it cannot be a key

    def __init__(self, terms: tuple[tuple[str, int], ...], constant: int) -> None:
        self.terms, self.constant = terms, constant

    def __str__(self) -> str:
        if not self.terms or not self.constant:
            return sum_text(self.terms) if self.terms else str(self.constant)
        return f"{sum_text(self.terms)} {'+' if self.constant > 0 else '-'} {abs(self.constant)}"

    def __repr__(self) -> str:
        return f"<{self}>"

    def __add__(self, other: Sum | Counter | int) -> Sum:
        right = as_sum(other)
        terms = dict(self.terms)
        for name, factor in right.terms:
            terms[name] = terms.get(name, 0) + factor
        return Sum(tuple(terms.items()), self.constant + right.constant)

    __radd__ = __add__

    def __sub__(self, other: int) -> Sum:
        if not _is_whole(other):
            raise DefinitionError(f"{self} - {other}", ("only a whole number can be taken from a sum of counters",))
        return self + -other

    def _compare(self, op: str, other: object) -> Condition:
        if not _is_whole(other):
            raise DefinitionError(
                f"guard {self} {op} {other}",
                ("a guard compares a sum of counters with a whole number, so that it can be decided for all counts",),
            )
        assert isinstance(other, int)
        return Compare(self.terms, op, other - self.constant)

    def __eq__(self, other: object) -> Condition:  # type: ignore[override]
        return self._compare("==", other)

    def __ne__(self, other: object) -> Condition:  # type: ignore[override]
        return self._compare("!=", other)

    def __lt__(self, other: int) -> Condition:
        return self._compare("<", other)

    def __le__(self, other: int) -> Condition:
        return self._compare("<=", other)

    def __gt__(self, other: int) -> Condition:
        return self._compare(">", other)

    def __ge__(self, other: int) -> Condition:
        return self._compare(">=", other)


class _Named:
    """What counters and enumerated variables have in common: a name, a description and an initial value."""

    __slots__ = ("doc", "initial", "name")
    name: str
    doc: str

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    def __hash__(self) -> int:
        return hash(self.name)


class Counter(_Named):
    """A whole number, 0 or more, without upper limit."""

    __slots__ = ()

    def __init__(self, name: str, doc: str = "", initial: int = 0) -> None:
        if not _is_whole(initial) or initial < 0:
            raise DefinitionError(f"counter {name}", (f"it starts at a whole number, 0 or more, not {initial!r}",))
        self.name, self.doc, self.initial = _key(name), doc, initial

    def __str__(self) -> str:
        return self.name

    def becomes(self, value: Sum | Counter | int) -> Assignment:
        """Return the effect that gives this counter a new value, computed from the values before the step."""
        return Assignment(self.name, as_sum(value))

    def __add__(self, other: Sum | Counter | int) -> Sum:
        return as_sum(self) + other

    __radd__ = __add__

    def __sub__(self, other: int) -> Sum:
        return as_sum(self) - other

    __hash__ = _Named.__hash__

    def __eq__(self, other: object) -> Condition:  # type: ignore[override]
        return as_sum(self)._compare("==", other)

    def __ne__(self, other: object) -> Condition:  # type: ignore[override]
        return as_sum(self)._compare("!=", other)

    def __lt__(self, other: int) -> Condition:
        return as_sum(self) < other

    def __le__(self, other: int) -> Condition:
        return as_sum(self) <= other

    def __gt__(self, other: int) -> Condition:
        return as_sum(self) > other

    def __ge__(self, other: int) -> Condition:
        return as_sum(self) >= other


class Choice(_Named):
    """An enumerated variable: one of `values`, which are members of an Enum, strings, or None."""

    __slots__ = ("values",)

    def __init__(self, name: str, values: tuple[Value, ...], doc: str = "", initial: Value = None) -> None:
        strange = [value for value in values if not (value is None or isinstance(value, (str, Enum)))]
        if strange:
            problems = (f"{v!r} is no value; values are strings, members of an Enum, or None" for v in strange)
            raise DefinitionError(f"variable {name}", tuple(problems))
        labels = [label(value) for value in values]
        twice = sorted({text for text in labels if labels.count(text) > 1})
        if twice:
            raise DefinitionError(f"variable {name}", tuple(f"two values are called {text}" for text in twice))
        self.name, self.doc, self.values, self.initial = _key(name), doc, values, initial
        self._known((initial,))

    def __str__(self) -> str:
        return self.name

    def _known(self, values: tuple[object, ...]) -> tuple[Value, ...]:
        found = [own for value in values for own in self.values if own is value or _same_text(own, value)]
        if len(found) < len(values):
            strange = [v for v in values if not any(own is v or _same_text(own, v) for own in self.values)]
            known = ", ".join(map(label, self.values))
            raise DefinitionError(
                f"variable {self.name}", tuple(f"{label(v)} is not one of its values ({known})" for v in strange)
            )
        return tuple(found)

    def value_named(self, text: str | None) -> Value:
        """Return the value of that name; None stands for the value None.  ValueError for an unknown name."""
        for value in self.values:
            if value is None if text is None else label(value) == text and value is not None:
                return value
        known = ", ".join("null" if value is None else label(value) for value in self.values)
        raise ValueError(f"{self.name} has no value {text!r} (it has {known})")

    def becomes(self, value: Value) -> Assignment:
        """Return the effect that gives this variable a new value."""
        return Assignment(self.name, self._known((value,)))

    def among(self, *values: Value) -> Condition:
        """Return the condition that the variable has one of these values."""
        return Among(self.name, self._known(values))

    __hash__ = _Named.__hash__

    def __eq__(self, other: object) -> Condition:  # type: ignore[override]
        return Among(self.name, self._known((other,)))

    def __ne__(self, other: object) -> Condition:  # type: ignore[override]
        return Among(self.name, self._known((other,)), negated=True)


Variable: TypeAlias = Counter | Choice


class Assignment:
    """An effect: the name of a variable and its new value, a sum or one value of an enumerated variable."""

    __slots__ = ("name", "value")

    def __init__(self, name: str, value: Sum | tuple[Value, ...]) -> None:
        self.name, self.value = name, value

    def new(self, values: Values) -> Value:
        """Return the value after the step, given the values before it."""
        value = self.value
        return add(value.terms, values) + value.constant if isinstance(value, Sum) else value[0]

    def __str__(self) -> str:
        value = self.value
        if not isinstance(value, Sum):
            return f"{self.name} = {label(value[0])}"
        rest = dict(value.terms)
        if rest.get(self.name) == 1:
            del rest[self.name]
            if rest:
                return f"{self.name} += {Sum(tuple(rest.items()), value.constant)}"
            return f"{self.name} {'-' if value.constant < 0 else '+'}= {abs(value.constant)}"
        return f"{self.name} = {value}"

    def __repr__(self) -> str:
        return f"<{self}>"

    def key(self) -> tuple[object, ...]:
        """The effect as plain data: equal for equal effects only."""
        value = self.value
        return (self.name, value.terms, value.constant) if isinstance(value, Sum) else (self.name, value_key(value[0]))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Assignment) and self.key() == other.key()

    def __hash__(self) -> int:
        return hash(self.key())

    def names(self) -> frozenset[str]:
        """The name of the variable it changes and of those it reads."""
        read = (name for name, _ in self.value.terms) if isinstance(self.value, Sum) else ()
        return frozenset((self.name, *read))


def as_sum(value: Sum | Counter | int) -> Sum:
    """Return a counter or a whole number as a sum."""
    if isinstance(value, Sum):
        return value
    if isinstance(value, Counter):
        return Sum(((value.name, 1),), 0)
    if not _is_whole(value):
        raise DefinitionError(f"{value!r}", ("a sum is made of counters and whole numbers",))
    return Sum((), value)


def _same_text(one: object, other: object) -> bool:
    return type(one) is type(other) is str and one == other


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_normal(name: str) -> bool:
    from unicodedata import normalize  # Python itself reads identifiers in this form

    return normalize("NFKC", name) == name


RESERVED: Final = frozenset((
    "compiled", "dispatch", "dispatcher", "guarded", "loose", "machine", "own_listeners", "refuse",
    "repr_mimebundle_", "repr_svg_", "routed", "self", "state", "direct_triggers",
))
"""Names that sessions and compiled triggers use themselves."""


def _key(name: str) -> str:
    plain = isinstance(name, str) and name.isidentifier() and (name.isascii() or _is_normal(name))
    if not plain or iskeyword(name) or name.startswith("_") or name in RESERVED:
        problem = f"its name must be a Python identifier without leading _, and none of {', '.join(sorted(RESERVED))}"
        raise DefinitionError(f"variable {name!r}", (problem,))
    return name
