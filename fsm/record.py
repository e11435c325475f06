"""Records: small immutable values with named fields.  What a frozen dataclass is, without what it costs to load."""

from __future__ import annotations

__all__ = ["Record"]


class Record:
    """Equal when class and fields are equal; `fields` names them in order."""

    __slots__ = ()
    fields: tuple[str, ...] = ()

    def _set(self, *values: object) -> None:
        for name, value in zip(self.fields, values, strict=True):
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a {type(self).__name__} is not changed, but made anew ({name})")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a {type(self).__name__} is not changed, but made anew ({name})")

    def _values(self) -> tuple[object, ...]:
        return tuple(getattr(self, name) for name in self.fields)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self._values() == other._values()

    def __hash__(self) -> int:
        return hash(self._values())

    def __repr__(self) -> str:
        told = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.fields)
        return f"{type(self).__name__}({told})"

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), self._values()
