"""What a session class must declare, and the mistakes that are errors when it is defined.

A class declares each event of its chart as a trigger: a method without a body, marked `@trigger`.  A class that lacks a
trigger, has one too many, or has a listener with a misspelt name is an error that names every mistake.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Literal, TypeVar

from fsm.chart import Chart
from fsm.errors import DefinitionError

__all__ = ["declare", "is_trigger", "listener_names", "problems", "trigger"]

S = TypeVar("S")


def trigger(declared: Callable[[S], None]) -> Callable[[S], Literal[True]]:
    """Declare a trigger: the method's name is the event, its docstring the documentation; the body stays empty."""
    vars(declared)["__trigger__"] = True
    return declared  # type: ignore[return-value]  # the compiled trigger that replaces it returns True


def is_trigger(value: object) -> bool:
    """Whether a method is a trigger, declared or compiled."""
    return getattr(value, "__trigger__", False) is True


def declare(cls: type, event: str, function: Callable[..., object]) -> None:
    """Put the function of a trigger on a class, with the name and docstring of its declaration."""
    function.__name__, function.__qualname__ = event, f"{cls.__qualname__}.{event}"
    function.__module__, function.__doc__ = cls.__module__, getattr(cls, event).__doc__
    function.__annotations__ = {"return": bool}
    vars(function)["__trigger__"] = True
    setattr(cls, event, function)


def problems(cls: type, chart: Chart, taken: frozenset[str], *, any_event: bool) -> Iterator[str]:
    """The mistakes in a class that names this chart, a sentence each.

    `taken` are the names of a session's own attributes; with `any_event`, events of these names need no trigger.
    """
    declared = {name for klass in cls.__mro__ for name, value in vars(klass).items() if is_trigger(value)}
    for event in chart.events:
        if event in taken:
            if not any_event:
                yield f"its event {event} has the name of something that every session has"
        elif event not in declared:
            yield f"it lacks the trigger {event}"
    for name in sorted(declared - set(chart.events)):
        yield f"its trigger {name} is no event of {chart.name}{_near(name, chart.events)}"
    for name in chart.names:
        if not hasattr(cls, f"_{name}") and "__dict__" not in dir(cls):
            yield f"its __slots__ lack _{name}"


def listener_names(cls: type, chart: Chart) -> tuple[str, ...]:
    """Return the names of a class's listener methods.  DefinitionError for one that belongs to no state or event."""
    names = ["before", "after", "on_step", "on_transition"]
    names += [f"{moment}_{event}" for event in chart.events for moment in ("before", "after")]
    names += [f"{moment}_{state}" for state in chart.states for moment in ("on_exit", "on_enter")]
    alike = [name for name in dir(cls) if name.startswith(("before", "after", "on_")) and name not in chart.events]
    methods = [name for name in alike if callable(getattr(cls, name))]
    wrong = tuple(
        f"its listener {name} belongs to no state or event of {chart.name}{_near(name, names)}"
        for name in methods
        if name.startswith(("on_", "before_", "after_")) and name not in names
    )
    if wrong:
        raise DefinitionError(f"class {cls.__name__}", wrong)
    return tuple(name for name in names if name in methods)


def _near(name: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches  # only here, where time does not matter

    near = get_close_matches(name, known, 1, 0.5)
    return f" (did you mean {near[0]}?)" if near else ""
