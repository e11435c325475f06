"""Variables: what a machine counts and remembers, and the effects that change them.

All are written with Python's operators: `INBOUND + OUTBOUND == 1` and `A - 2 * B >= 3` are conditions,
`READY.becomes(READY - 1)` is an effect.
All effects of a row happen together: each new value is computed from the values before the step.
"""

from __future__ import annotations

from enum import Enum
from keyword import iskeyword
from typing import Final, NoReturn, TypeAlias, TypeGuard

from fsm.condition import (
    ALWAYS,
    All,
    Among,
    AnyOf,
    Compare,
    Condition,
    Conditional,
    Facts,
    Terms,
    Value,
    add,
    label,
    shown,
    sum_text,
    value_key,
)
from fsm.errors import DefinitionError

__all__ = [
    "Assignment", "Boolean", "Choice", "Counted", "Counter", "Named", "Sum", "Variable", "as_sum", "is_whole", "key",
]


class _Arithmetic:
    """What sums, counters and numbers have in common: adding, multiplying by a whole number, comparing."""

    __slots__ = ()

    def as_sum(self) -> Sum:
        """Return it as a sum."""
        raise NotImplementedError

    def __add__(self, other: Summand) -> Sum:
        left, right = self.as_sum(), as_sum(other)
        terms = dict(left.terms)
        for name, factor in right.terms:
            terms[name] = terms.get(name, 0) + factor
        return Sum(tuple((n, f) for n, f in terms.items() if f), left.constant + right.constant)

    __radd__ = __add__

    def __neg__(self) -> Sum:
        return self * -1

    def __sub__(self, other: Summand) -> Sum:
        return self + as_sum(other) * -1

    def __rsub__(self, other: Summand) -> Sum:
        return as_sum(other) + self * -1

    def __mul__(self, factor: int) -> Sum:
        mine = self.as_sum()
        if not is_whole(factor):
            problem = "a sum is multiplied by a whole number only, so that it can be decided for all counts"
            raise DefinitionError(f"{mine} * {factor}", (problem,))
        factor = int(factor)
        return Sum(tuple((n, f * factor) for n, f in mine.terms if factor), mine.constant * factor)

    __rmul__ = __mul__

    def compare(self, op: str, other: object) -> Condition:
        """Return the condition that compares this with a sum or a whole number: `==`, `!=`, `<`, `<=`, `>` or `>=`."""
        mine = self.as_sum()
        if not is_whole(other) and not isinstance(other, _Arithmetic):
            problem = "a guard compares sums of counters and whole numbers, so that it can be decided for all counts"
            raise DefinitionError(f"guard {mine} {op} {other}", (problem,))
        left = mine - other if isinstance(other, _Arithmetic) else Sum(mine.terms, mine.constant - int(other))
        if left.terms and all(factor < 0 for _, factor in left.terms):
            left, op = -left, TURNED.get(op, op)
        return Compare(left.terms, op, -left.constant)

    def __eq__(self, other: object) -> Condition:  # type: ignore[override]
        return self.compare("==", other)

    def __ne__(self, other: object) -> Condition:  # type: ignore[override]
        return self.compare("!=", other)

    def __lt__(self, other: Summand) -> Condition:
        return self.compare("<", other)

    def __le__(self, other: Summand) -> Condition:
        return self.compare("<=", other)

    def __gt__(self, other: Summand) -> Condition:
        return self.compare(">", other)

    def __ge__(self, other: Summand) -> Condition:
        return self.compare(">=", other)


TURNED: Final = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
"""The comparison with its sides exchanged, where that is another one."""


class Sum(_Arithmetic):
    """`inbound + outbound`, `2 * ready - 1`: counters with factors, and a constant.  Comparing builds a condition."""

    __slots__ = ("constant", "terms")

    def __init__(self, terms: Terms, constant: int) -> None:
        self.terms, self.constant = terms, constant

    def __str__(self) -> str:
        return sum_text(self.terms, self.constant)

    def __repr__(self) -> str:
        return f"<{self}>"

    def as_sum(self) -> Sum:
        """Return itself."""
        return self


class Named:
    """What variables and the data of events have in common: a name and a description."""

    __slots__ = ("doc", "name")
    name: str
    doc: str

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    def __hash__(self) -> int:
        return hash(self.name)


class Counted(Named, _Arithmetic):
    """What stands in a sum by its name: a counter, or a number that an event brings with it."""

    __slots__ = ()
    __hash__ = Named.__hash__

    def as_sum(self) -> Sum:
        """Return the sum that is this alone."""
        return Sum(((self.name, 1),), 0)


class Counter(Counted):
    """A whole number, 0 or more, without upper limit."""

    __slots__ = ("initial",)

    def __init__(self, name: str, doc: str = "", initial: int = 0) -> None:
        if not is_whole(initial) or initial < 0:
            raise DefinitionError(f"counter {name}", (f"it starts at a whole number, 0 or more, not {initial!r}",))
        self.name, self.doc, self.initial = key(name), doc, int(initial)

    def becomes(self, value: Summand) -> Assignment:
        """Return the effect that gives this counter a new value, computed from the values before the step."""
        return Assignment(self.name, as_sum(value))

    def own(self, value: object) -> int:
        """Return a value that is given to this counter as a plain whole number.  ValueError if it is none."""
        if not is_whole(value) or value < 0:
            raise ValueError(f"{self.name} must be a whole number, 0 or more, not {value!r}")
        return int(value)


class Choice(Named):
    """An enumerated variable: one of `values`, which are members of an Enum, strings, or None.

    Strings are compared by value, and so are the members of an Enum whose members are strings.
    """

    __slots__ = ("initial", "values")

    def __init__(self, name: str, values: tuple[Value, ...], doc: str = "", initial: Value = None) -> None:
        strange = [value for value in values if not (value is None or isinstance(value, (str, Enum)))]
        if strange:
            problems = (f"{v!r} is no value; values are strings, members of an Enum, or None" for v in strange)
            raise DefinitionError(f"variable {name}", tuple(problems))
        labels = [label(value) for value in values]
        twice = sorted({text for text in labels if labels.count(text) > 1})
        equal = [
            f"{label(one)} and {label(other)} are equal"
            for place, one in enumerate(values) for other in values[:place] if one == other and label(one) not in twice
        ]
        if twice or equal:
            raise DefinitionError(f"variable {name}", (*(f"two values are called {text}" for text in twice), *equal))
        self.name, self.doc, self.values, self.initial = key(name), doc, tuple(values), initial
        (self.initial,) = self._known((initial,))

    def _known(self, values: tuple[object, ...]) -> tuple[Value, ...]:
        found, strange = list[Value](), list[str]()
        for value in values:
            try:
                found.append(self.own(value))
            except ValueError:
                strange.append(f"{label(value)} is not one of its values ({', '.join(map(label, self.values))})")
        if strange:
            raise DefinitionError(f"variable {self.name}", tuple(strange))
        return tuple(found)

    def own(self, value: object) -> Value:
        """Return the value of this variable that equals the one given.  ValueError if there is none."""
        for one in self.values:
            if one is value or (isinstance(one, str) and isinstance(value, str) and one == value):
                return one
        raise ValueError(f"{value!r} is not a value of {self.name}")

    def value_named(self, text: object) -> Value:
        """Return the value that stands so in a snapshot: its name, or null.  ValueError for any other."""
        if text is not None and not isinstance(text, str):
            raise ValueError(f"{self.name} is {text!r}, not a name or null")
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

    __hash__ = Named.__hash__

    def __eq__(self, other: object) -> Condition:  # type: ignore[override]
        return self.among(other)  # type: ignore[arg-type]  # checked there

    def __ne__(self, other: object) -> Condition:  # type: ignore[override]
        return ~self.among(other)  # type: ignore[arg-type]


class Boolean(Choice, Conditional):
    """A true/false variable.  It is a condition by itself: `guard=PAID`, `~PAID`, `PAID & (N > 0)`."""

    __slots__ = ()

    def __init__(self, name: str, doc: str = "", initial: bool = False) -> None:
        if not isinstance(initial, bool):
            raise DefinitionError(f"variable {name}", (f"it starts as True or False, not {initial!r}",))
        self.name, self.doc, self.values, self.initial = key(name), doc, (False, True), initial

    def own(self, value: object) -> bool:
        """Return the value, which is True or False.  ValueError if it is something else."""
        if not isinstance(value, bool):
            raise ValueError(f"{self.name} is True or False, not {value!r}")
        return value

    def value_named(self, text: object) -> bool:
        """Return the value that stands so in a snapshot: true or false.  ValueError for any other."""
        return self.own(text)

    def as_condition(self) -> Condition:
        """Return the condition that it is true."""
        return Among(self.name, (True,))

    def among(self, *values: Value) -> Condition:
        """Return the condition that the variable has one of these values."""
        found = set(self._known(values))
        return ALWAYS if len(found) == 2 else Among(self.name, (True,), negated=True not in found) if found else AnyOf()

    def __invert__(self) -> Condition:
        return ~self.as_condition()

    def __and__(self, other: Condition | Conditional) -> Condition:
        return All(self, other)

    def __or__(self, other: Condition | Conditional) -> Condition:
        return AnyOf(self, other)

    def __bool__(self) -> NoReturn:
        bool(self.as_condition())  # raises
        raise AssertionError

    __hash__ = Named.__hash__


Variable: TypeAlias = Counter | Choice
Summand: TypeAlias = "Sum | Counted | int"


class Assignment:
    """An effect: the name of a variable and its new value, a sum or one value of an enumerated variable."""

    __slots__ = ("name", "value")

    def __init__(self, name: str, value: Sum | tuple[Value, ...]) -> None:
        self.name, self.value = name, value

    def new(self, values: Facts) -> Value:
        """Return the value after the step, given the values before it."""
        value = self.value
        return add(value.terms, values) + value.constant if isinstance(value, Sum) else value[0]

    def __str__(self) -> str:
        value = self.value
        if not isinstance(value, Sum):
            return f"{self.name} = {shown(value[0])}"
        rest = dict(value.terms)
        if rest.get(self.name) != 1:
            return f"{self.name} = {value}"
        del rest[self.name]
        change = Sum(tuple(rest.items()), value.constant)
        taken = all(factor < 0 for factor in rest.values()) and value.constant <= 0 and (rest or value.constant)
        return f"{self.name} -= {-change}" if taken else f"{self.name} += {change}"

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


def as_sum(value: Summand) -> Sum:
    """Return a counter, a number or a whole number as a sum."""
    if isinstance(value, _Arithmetic):
        return value.as_sum()
    if not is_whole(value):
        raise DefinitionError(f"{value!r}", ("a sum is made of counters and whole numbers",))
    return Sum((), int(value))


def is_whole(value: object) -> TypeGuard[int]:
    """Whether it is a whole number: an int, or a member of an IntEnum, and not True or False."""
    return isinstance(value, int) and not isinstance(value, bool)


def _is_normal(name: str) -> bool:
    from unicodedata import normalize  # Python itself reads identifiers in this form

    return normalize("NFKC", name) == name


RESERVED: Final = frozenset((
    "begins_in_new", "class_begin", "class_engine", "dispatcher", "own_listeners", "own_lock", "repr_mimebundle_",
    "repr_svg_", "self", "state",
))
"""Names that sessions and compiled triggers use themselves."""


def key(name: str, kind: str = "variable") -> str:
    """Return the name of a variable or datum.  DefinitionError if it cannot be one."""
    plain = isinstance(name, str) and name.isidentifier() and (name.isascii() or _is_normal(name))
    if not plain or iskeyword(name) or name.startswith("_") or name in RESERVED:
        problem = f"its name must be a Python identifier without leading _, and none of {', '.join(sorted(RESERVED))}"
        raise DefinitionError(f"{kind} {name!r}", (problem,))
    return name
