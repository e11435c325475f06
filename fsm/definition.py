"""Defining a session class: what it must declare, what is checked, and how the compiled triggers are put on it.

A class that lacks a trigger of its chart, has one too many, or a listener with a misspelt name, is refused with every
offender named.  The rows are compiled (see `compiler.py`) before the first session of the class is made.
This file does not know how a step goes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from fsm.chart import Chart
from fsm.condition import DefinitionError
from fsm.step import refused, watched

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal, TypeVar

    from fsm.session import Session

    S = TypeVar("S")

__all__ = ["check", "compile_class", "guard", "install", "listening", "owner_of", "trigger"]


def trigger(declared: Callable[[S], None]) -> Callable[[S], Literal[True]]:
    """Declare a trigger: the method's name is the event, its docstring the documentation; the body stays empty."""
    vars(declared)["__trigger__"] = True
    return declared  # type: ignore[return-value]  # it will return True, once it is compiled


def check(cls: type[Session], *, declares: bool) -> None:
    """DefinitionError with everything that is wrong with the class; `declares` when it names its chart itself."""
    chart, problems = cls.chart, []
    if declares:
        declared = {name for klass in cls.__mro__ for name, value in vars(klass).items() if _is_trigger(value)}
        problems += [f"it lacks the trigger {e}" for e in chart.events if e not in declared]
        problems += [
            f"its trigger {name} is no event of {chart.name}{_near(name, chart.events)}"
            for name in sorted(declared - set(chart.events))
        ]
        for name in chart.names:
            if not hasattr(cls, f"_{name}") and "__dict__" not in dir(cls):
                problems.append(f"its __slots__ lack _{name}")
    try:
        cls._heard = listening(cls, chart)
    except DefinitionError as error:
        problems += error.problems
    if problems:
        raise DefinitionError(f"class {cls.__name__}", tuple(problems))


def _is_trigger(value: object) -> bool:
    return getattr(value, "__trigger__", False) is True


def _near(name: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches  # only here, where time does not matter

    near = get_close_matches(name, known, 1, 0.5)
    return f" (did you mean {near[0]}?)" if near else ""


def listening(cls: type, chart: Chart) -> tuple[str, ...]:
    """The listener methods of a class, in the order of a step; DefinitionError for a name that only looks like one."""
    names = ["before", "after", "on_transition"]
    names += [f"{moment}_{event}" for event in chart.events for moment in ("before", "after")]
    names += [f"{moment}_{state}" for state in chart.states for moment in ("on_exit", "on_enter")]
    methods = [name for name in dir(cls) if callable(getattr(cls, name)) and name not in chart.events]
    problems = tuple(
        f"its listener {name} belongs to no state or event of {chart.name}{_near(name, names)}"
        for name in methods
        if name.startswith(("on_", "before_", "after_")) and name not in names
    )
    if problems:
        raise DefinitionError(f"class {cls.__name__}", problems)
    return tuple(name for name in names if name in methods)


def owner_of(cls: type[Session]) -> type[Session]:
    """The class that declared the chart: it carries the compiled triggers and the machine."""
    return next(klass for klass in cls.__mro__ if "_compiled" in vars(klass))


def compile_class(cls: type[Session]) -> None:
    """Compile the rows of a class's chart, and put the triggers on the class that declared it."""
    from fsm.compiler import compile_triggers

    owner = owner_of(cls)
    owner._compiled = compile_triggers(owner.chart, refused, watched)
    install(owner)


def install(cls: type[Session]) -> None:
    """Put the compiled triggers on the class, under the declared names and docstrings."""
    for event in map(str, cls.chart.events):
        declaration = getattr(cls, event)
        function = _routed_trigger(event) if event in cls._routed else cls._compiled[event]
        function.__name__, function.__qualname__ = event, f"{cls.__qualname__}.{event}"
        function.__module__, function.__doc__ = cls.__module__, declaration.__doc__
        function.__annotations__ = {"return": bool}
        vars(function)["__trigger__"] = True
        setattr(cls, event, function)


def _routed_trigger(event: str) -> Callable[..., object]:
    def routed(self: Session) -> bool:
        return watched(self, event)

    return routed


def guard(cls: type[Session]) -> None:
    """Put a lock around everything that reads or writes more than one field."""
    if not hasattr(cls, "_lock") and "__dict__" not in dir(cls):
        raise DefinitionError(f"class {cls.__name__}", ("a guarded class needs _lock in its __slots__",))
    base = cls.__mro__[1]
    for name in (*map(str, cls.chart.events), "post", "listen", "forget", "_begin"):
        setattr(cls, name, _locked(base, name))
    for name in ("configuration", "flags"):
        setattr(cls, name, property(_locked(base, name), doc=getattr(base, name).__doc__))


def _locked(base: type, name: str) -> Callable[..., object]:
    """The base's method or property, with the session's lock held; looked up each time, as callbacks may reroute it."""
    from threading import RLock

    def locked(self: Any, *args: object) -> object:
        try:
            lock = self._lock
        except AttributeError:  # only in _begin, before anyone else knows the session
            lock = self._lock = RLock()
        with lock:
            found = getattr(base, name)
            if isinstance(found, property) and found.fget is not None:
                return found.fget(self)
            return found(self, *args)

    locked.__name__, locked.__qualname__ = name, f"{base.__qualname__}.{name}"
    locked.__doc__ = getattr(base, name).__doc__
    return locked
