"""Data: what an event brings with it.

A `Number` may stand in guards and effects like a counter: what is decided of a chart is decided for all its values.
A `Field` is anything else that JSON can hold; callable guards and listeners get it, the table does not speak of it.
Data are given by keyword (`session.pay(amount=5)`), checked against the event, and belong to one step.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import isfinite
from types import MappingProxyType, NoneType, UnionType
from typing import Any, Final, NoReturn, TypeAlias, Union, get_args, get_origin

from fsm.condition import Datum, name_of
from fsm.errors import DataError, DefinitionError
from fsm.variable import Counted, Named, is_whole, key

__all__ = ["NO_DATA", "REQUIRED", "DataDeclaration", "Field", "Number", "completed", "data_problems"]


class _Required:
    """The default of a datum that has to be given."""

    def __repr__(self) -> str:
        return "REQUIRED"

    def __reduce__(self) -> str:
        return "REQUIRED"


REQUIRED: Final = _Required()
NO_DATA: Final[Mapping[str, Datum]] = MappingProxyType({})


class Number(Counted):
    """A whole number, 0 or more, without upper limit, that an event brings with it.

    With a `default` it may be left out.
    """

    __slots__ = ("default",)

    def __init__(self, name: str, doc: str = "", *, default: int | _Required = REQUIRED) -> None:
        self.name, self.doc, self.default = key(name, "number"), doc, default
        _check_default(self, "number")

    @property
    def required(self) -> bool:
        """Whether it has to be given with the event."""
        return self.default is REQUIRED

    @property
    def annotation(self) -> str:
        """Its type as it is written in Python."""
        return "int"

    def own(self, value: object) -> int:
        """Return a value that is given for this number as a plain int.  ValueError if it is none."""
        if not is_whole(value) or value < 0:
            raise ValueError(f"{self.name} must be a whole number, 0 or more, not {value!r}")
        return int(value)


class Field(Named):
    """A datum of type `str`, `int`, `float` or `bool`, or one of them and None (`str | None`).

    With a `default` it may be left out.  It has no say in guards and effects; a callable guard may take it.
    """

    __slots__ = ("default", "nullable", "type")
    type: type
    nullable: bool

    def __init__(self, name: str, type: Any, doc: str = "", *, default: Datum | _Required = REQUIRED) -> None:
        """Create a field.  DefinitionError for a type that JSON cannot hold, or a default of another type."""
        self.name, self.doc, self.default = key(name, "field"), doc, default
        kinds = set(get_args(type)) if get_origin(type) in (UnionType, Union) else {type}
        self.nullable = NoneType in kinds and len(kinds) == 2
        kinds -= {NoneType} if self.nullable else set()
        if len(kinds) != 1 or not kinds <= {str, int, float, bool}:
            problem = f"its type is str, int, float, bool, or one of them | None, not {_type_text(type)}"
            raise DefinitionError(f"field {name!r}", (problem,))
        (self.type,) = kinds
        _check_default(self, "field")

    @property
    def required(self) -> bool:
        """Whether it has to be given with the event."""
        return self.default is REQUIRED

    @property
    def annotation(self) -> str:
        """Its type as it is written in Python."""
        return f"{self.type.__name__}{' | None' if self.nullable else ''}"

    def own(self, value: object) -> Datum:
        """Return a value that is given for this field as a plain value of its type.  ValueError if it is none."""
        if value is None and self.nullable:
            return None
        if self.type is bool and isinstance(value, bool):
            return value
        if self.type is str and isinstance(value, str):
            return str.__str__(value)
        if self.type is int and is_whole(value):
            return int(value)
        if self.type is float and (isinstance(value, float) or is_whole(value)):
            return _finite(self.name, value)
        raise ValueError(f"{self.name} must be {TYPES[self.type]}{' or None' if self.nullable else ''}, not {value!r}")

    def _refuse(self, other: object) -> NoReturn:
        problem = "a field may not stand in a guard or an effect; a callable guard may have a parameter of its name"
        raise DefinitionError(f"field {self.name!r}", (problem,))

    def __eq__(self, other: object) -> bool:
        return self is other or self._refuse(other)

    __hash__ = Named.__hash__
    __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _refuse


DataDeclaration: TypeAlias = Number | Field
TYPES: Final = {str: "a string", int: "a whole number", float: "a finite number", bool: "True or False"}


def completed(event: str, data: Iterable[DataDeclaration], given: Mapping[str, object]) -> dict[str, Datum]:
    """Return the data of an event in the order of their declaration, defaults included.

    DataError if something is missing, unknown or of a wrong type.
    """
    if problems := data_problems(data, given):
        raise DataError(event, problems)
    return {one.name: one.own(given.get(one.name, one.default)) for one in data}


def data_problems(data: Iterable[DataDeclaration], given: Mapping[str, object]) -> tuple[str, ...]:
    """Return what is wrong with the data given for an event, a sentence each."""
    known = {one.name: one for one in data}
    found = []
    for one in known.values():
        if one.name not in given:
            if one.required:
                found.append(f"it needs {one.name}{f' ({one.doc})' if one.doc else ''}")
            continue
        try:
            one.own(given[one.name])
        except ValueError as error:
            found.append(str(error))
    found += [f"it takes no {name!r} ({_takes(known)})" for name in given if name not in known]
    return tuple(found)


def _takes(known: Iterable[str]) -> str:
    names = ", ".join(known)
    return f"it takes {names}" if names else "it has no data"


def _check_default(one: DataDeclaration, kind: str) -> None:
    if one.default is REQUIRED:
        return
    try:
        one.default = one.own(one.default)
    except ValueError as error:
        raise DefinitionError(f"{kind} {one.name!r}", (f"its default is wrong: {error}",)) from None


def _finite(name: str, value: float) -> float:
    try:
        found = float(value)
    except OverflowError:
        raise ValueError(f"{name} must be a finite number, not one of {len(str(value))} digits") from None
    if not isfinite(found):
        raise ValueError(f"{name} must be a finite number, not {value!r}")
    return found


def _type_text(given: object) -> str:
    return given.__name__ if isinstance(given, type) else name_of(given)
