"""Defining a session class: what it must declare, what is checked, and how the compiled triggers are put on it.

A class that lacks a trigger of its chart, has one too many, or a listener with a misspelt name, is refused with every
offender named.  The rows are compiled (see `compiler.py`) before the first session of the class is made.
A method that overrides a trigger without declaring it is the author's, and is left alone.
This file does not know how a step goes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache, wraps
from types import FunctionType

from fsm.chart import Chart
from fsm.condition import DefinitionError
from fsm.step import refused, watched

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal, TypeVar

    from fsm.compiler import Compiled
    from fsm.session import Session

    S = TypeVar("S")

__all__ = ["check", "compiled", "install", "listening", "lock", "owner_of", "taken", "trigger"]


def trigger(declared: Callable[[S], None]) -> Callable[[S], Literal[True]]:
    """Declare a trigger: the method's name is the event, its docstring the documentation; the body stays empty."""
    vars(declared)["__trigger__"] = True
    return declared  # type: ignore[return-value]  # it will return True, once it is compiled


def _is_trigger(value: object) -> bool:
    return getattr(value, "__trigger__", False) is True


# -------------------------------------------------------------------------------------------------- checking


def check(cls: type[Session], *, declares: bool) -> None:
    """DefinitionError with everything that is wrong with the class; `declares` when it names its chart itself."""
    chart = cls.chart
    problems: list[str] = []
    if declares:
        problems += _declaration_problems(cls, chart)
    else:
        again = sorted(name for name, value in vars(cls).items() if _is_trigger(value))
        problems += [f"it declares the trigger {name} without chart=; a plain method overrides one" for name in again]
    try:
        cls._heard = listening(cls, chart)
    except DefinitionError as error:
        problems += error.problems
    if problems:
        raise DefinitionError(f"class {cls.__name__}", tuple(problems))


def _declaration_problems(cls: type[Session], chart: Chart) -> Iterator[str]:
    declared = {name for klass in cls.__mro__ for name, value in vars(klass).items() if _is_trigger(value)}
    for event in chart.events:
        if event in taken():
            if not cls._loose:
                yield f"its event {event} has the name of something that every session has"
        elif event not in declared:
            yield f"it lacks the trigger {event}"
    for name in sorted(declared - set(chart.events)):
        yield f"its trigger {name} is no event of {chart.name}{_near(name, chart.events)}"
    for name in chart.names:
        if not hasattr(cls, f"_{name}") and "__dict__" not in dir(cls):
            yield f"its __slots__ lack _{name}"


@cache
def taken() -> frozenset[str]:
    """What every session has; an event of such a name is fired by `fire` alone, on a class made by `Session.of`."""
    from fsm.session import Session  # complete by the time that anyone derives from it

    return frozenset(dir(Session))


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


def _near(name: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches  # only here, where time does not matter

    near = get_close_matches(name, known, 1, 0.5)
    return f" (did you mean {near[0]}?)" if near else ""


# ------------------------------------------------------------------------------------------------- compiling


def owner_of(cls: type[Session]) -> type[Session]:
    """The class that declared the chart: it carries the compiled triggers and the machine."""
    return next(klass for klass in cls.__mro__ if "_compiled" in vars(klass))


def compiled(cls: type[Session]) -> Compiled:
    """The compiled rows of a class; compiled, and put on the class that declared the chart, when asked for first."""
    if (found := cls._compiled) is not None:  # inherited from the owner
        return found
    from fsm.compiler import compile_chart

    owner = owner_of(cls)
    found = owner._compiled = compile_chart(owner.chart, refused, watched)
    install(owner)
    return found


def install(cls: type[Session]) -> None:
    """Put on the class, under the declared names and docstrings, the triggers in the form they have now.

    That is: compiled; through transitions where callbacks ask for it; before the first session, a way to the former.
    """
    for event in map(str, cls.chart.events):
        declared = getattr(cls, event, None)
        if event in taken() or (event in vars(cls) and not _is_trigger(declared)):
            continue
        if cls._compiled is None:
            function: Callable[..., object] = _first(cls, event)
        else:
            function = _routed(event) if event in cls._routed else cls._compiled.triggers[event]
        if cls._guarded:
            function = _locked(function)
        function.__name__, function.__qualname__ = event, f"{cls.__qualname__}.{event}"
        function.__module__, function.__doc__ = cls.__module__, declared.__doc__
        function.__annotations__ = {"return": bool}
        vars(function)["__trigger__"] = True
        setattr(cls, event, function)


def _first(cls: type[Session], event: str) -> Callable[..., object]:
    def first(self: Session) -> object:  # taken off the class before there was a session
        return compiled(cls).triggers[event](self)

    return first


def _routed(event: str) -> Callable[..., object]:
    def routed(self: Session) -> bool:
        return watched(self, event)

    return routed


# --------------------------------------------------------------------------------------------------- locking


def lock(cls: type[Session]) -> None:
    """Make every public method and property of the class wait for the one under way, whoever wrote it."""
    if not hasattr(cls, "_lock") and "__dict__" not in dir(cls):
        raise DefinitionError(f"class {cls.__name__}", ("a guarded class needs _lock in its __slots__",))
    cls._guarded = True
    seen: dict[str, object] = {}
    for klass in reversed(cls.__mro__[:-1]):
        seen |= vars(klass)
    for name, value in seen.items():
        if name.startswith("_") and name not in ("_begin", "__getstate__"):
            continue
        if isinstance(value, property):
            setattr(cls, name, property(_locked(_reader(cls, name)), doc=value.__doc__))
        elif isinstance(value, FunctionType) and not (name in vars(cls) and _is_trigger(value)):
            setattr(cls, name, _locked(value if name in vars(cls) else _above(cls, name, value)))


def _reader(cls: type[Session], name: str) -> Callable[[Any], object]:
    own = vars(cls).get(name)
    if isinstance(own, property) and own.fget is not None:
        return own.fget
    return lambda self: getattr(super(cls, self), name)


def _above(cls: type[Session], name: str, value: FunctionType) -> Callable[..., object]:
    @wraps(value)
    def above(self: Any, *args: object, **options: object) -> object:
        return getattr(super(cls, self), name)(*args, **options)  # looked up each time, as callbacks may reroute it

    return above


def _locked(function: Callable[..., object]) -> Callable[..., object]:
    @wraps(function)
    def locked(self: Any, *args: object, **options: object) -> object:
        try:
            held = self._lock
        except AttributeError:  # only in _begin, before anyone else knows the session
            from threading import RLock

            held = self._lock = RLock()
        with held:
            return function(self, *args, **options)

    return locked
