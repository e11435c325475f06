"""What a session class must declare, and the mistakes that are errors when it is defined.

A class declares each event of its chart as a trigger: a method without a body, marked `@trigger`.  A class that lacks a
trigger, has one too many, or has a listener with a misspelt name is an error that names every mistake.
Classes are looked at without running anything of theirs: a property or another descriptor is left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partialmethod, singledispatchmethod
from inspect import Parameter, Signature
from types import FunctionType
from typing import Any, Concatenate, Final, Literal, NamedTuple, ParamSpec, TypeVar, overload

from fsm.callables import never_runs
from fsm.chart import Chart, Event
from fsm.data import REQUIRED, DataDeclaration, Number
from fsm.errors import DefinitionError

__all__ = ["Checked", "check", "declare", "is_trigger", "listener_methods", "own_attributes", "trigger"]

S = TypeVar("S")
P = ParamSpec("P")


@overload
def trigger(declared: Callable[Concatenate[S, P], None], /) -> Callable[Concatenate[S, P], Literal[True]]: ...
@overload
def trigger(
    *, event: str
) -> Callable[[Callable[Concatenate[S, P], None]], Callable[Concatenate[S, P], Literal[True]]]: ...
def trigger(declared: Any = None, /, *, event: str = "") -> Any:
    """Declare a trigger: the method's name is the event, its docstring the documentation; the body stays empty.

    `@trigger(event="post")` declares the trigger of an event whose name a session needs itself, or that is no Python
    name, under another.
    """

    def mark(function: Any) -> Any:
        if not isinstance(function, FunctionType):
            problem = f"@trigger belongs on a plain method, not on {type(function).__name__}"
            raise DefinitionError(f"trigger {getattr(function, '__name__', function)}", (problem,))
        vars(function)["__trigger__"] = str(event)
        return function

    return mark if declared is None else mark(declared)


def is_trigger(value: object) -> bool:
    """Whether a method is a trigger, declared or compiled."""
    return isinstance(value, FunctionType) and "__trigger__" in vars(value)


def declare(cls: type, name: str, event: Event, function: Callable[..., object]) -> None:
    """Put the function of a trigger on a class, with the name, docstring and parameters of its declaration."""
    if event.data:
        vars(function)["__signature__"] = _signature(event)
    function.__name__, function.__qualname__ = name, f"{cls.__qualname__}.{name}"
    function.__module__, function.__doc__ = cls.__module__, getattr(cls, name).__doc__
    function.__annotations__ = {"return": bool}
    vars(function).update(__trigger__=str(event), __compiled__=True)
    setattr(cls, name, function)


def _signature(event: Event) -> Signature:
    parameters = [Parameter("self", Parameter.POSITIONAL_ONLY)]
    for one in event.data:
        default = Parameter.empty if one.required else one.default
        parameters.append(
            Parameter(one.name, Parameter.KEYWORD_ONLY, default=default, annotation=_type(one))
        )
    return Signature(parameters, return_annotation=bool)


def _type(one: DataDeclaration) -> object:
    if isinstance(one, Number):
        return int
    return one.type | None if one.nullable else one.type


class Checked(NamedTuple):
    """What a session class has: the names of its triggers' methods, by event, and its listener methods."""

    methods: dict[str, str]
    listeners: tuple[str, ...]


def check(cls: type, chart: Chart | None, taken: frozenset[str], *, any_event: bool) -> Checked:
    """Look at a session class; `chart` is the one it names itself, if it does.  DefinitionError with every mistake.

    `taken` are the names of a session's own attributes; with `any_event`, events of these names need no trigger.
    """
    own, wrong = attributes(cls), list[str]()
    methods: dict[str, str] = {}
    if chart is None:
        chart = own["chart"]
        wrong += _undeclared_problems(cls)
    else:
        triggers = _triggers(cls)
        methods = {str(event): triggers[event].__name__ if event in triggers else "" for event in chart.events}
        wrong += _problems(chart, own, triggers, taken, any_event=any_event)
    try:
        listeners = listener_methods(cls, chart)
    except DefinitionError as error:
        listeners, wrong = (), [*wrong, *error.problems]
    if wrong:
        raise DefinitionError(f"class {cls.__name__}", tuple(wrong))
    return Checked(methods, listeners)


def attributes(cls: type) -> dict[str, Any]:
    """Return the attributes of a class by name, as they are in it and in the classes it inherits from."""
    return {name: value for klass in reversed(cls.__mro__) for name, value in vars(klass).items()}


def _undeclared_problems(cls: type) -> Iterator[str]:
    """The mistakes in a class that names no chart and inherits one."""
    if "_class_engine" in vars(cls):
        yield "it is made a second time, as dataclass(slots=True) and attrs.define do; use slots=False there"
        return
    if "chart" in vars(cls):
        yield "it has an attribute `chart`; write class …(Session, chart=…)"
    charts = {id(vars(klass)["chart"]): klass for klass in cls.__mro__ if "_class_engine" in vars(klass)}
    if len(charts) > 1:
        names = " and ".join(f"{klass.__name__} ({vars(klass)['chart'].name})" for klass in charts.values())
        yield f"it inherits from session classes of different charts: {names}"
        return
    for name, one in vars(cls).items():
        if is_trigger(one):
            yield f"it declares the trigger {name} without chart=; a plain method overrides one"


def _triggers(cls: type) -> dict[str, FunctionType]:
    """The triggers of a class by event, those that a plain method overrides included."""
    found = {}
    for klass in reversed(cls.__mro__):
        for name, one in vars(klass).items():
            if is_trigger(one):
                one.__name__ = name  # it may have been made under another
                found[vars(one)["__trigger__"] or name] = one
    return found


def _problems(
    chart: Chart, own: dict[str, Any], triggers: dict[str, FunctionType], taken: frozenset[str], *, any_event: bool
) -> Iterator[str]:
    """The mistakes in a class that names this chart, a sentence each."""
    for event in chart.events:
        if event not in triggers and event in taken:
            if not any_event:
                yield f"its event {event} has the name of something that every session has; {_other_name(event)}"
        elif event not in triggers:
            yield f"it lacks the trigger {event}{'' if event.isidentifier() else f'; {_other_name(event)}'}"
    for name, one in triggers.items():
        if name not in chart.events:
            yield f"its trigger {one.__name__} is no event of {chart.name}{_near(name, chart.events)}"
        elif one.__name__ in taken:
            yield f"its trigger {one.__name__} has the name of something that every session has; {_other_name(name)}"
        elif "__compiled__" not in vars(one) and not any_event:
            yield from _shape(one, chart.event(name))
    for variable in chart.names:
        if f"_{variable}" not in own and "__dict__" not in own:
            yield f"its __slots__ lack _{variable}"


def _other_name(event: str) -> str:
    return f"declare it with another name: @trigger(event={str(event)!r})"


EMPTY: Final = (lambda: None).__code__.co_code[::2]
"""The operations of a function without a body."""


def _shape(function: FunctionType, event: Event) -> Iterator[str]:
    """What is wrong with the declaration of a trigger."""
    name, code = function.__name__, function.__code__
    if kind := never_runs(function):
        yield f"its trigger {name} is {kind}; a trigger never waits: write def"
        return
    parameters = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
    right = code.co_argcount == 1 and not code.co_flags & VARIADIC and {*parameters} == {one.name for one in event.data}
    if not right or not all(_fits(function, one) for one in event.data):
        brings = ", ".join(one.name for one in event.data) or "no data"
        yield f"its trigger {name} has parameters unlike its event, with {brings}; write {_declaration(name, event)}"
    if code.co_code[::2] != EMPTY or set(code.co_consts) - {None, function.__doc__, ...}:
        yield f"its trigger {name} has a body, which would never run; leave a docstring or ..."


def _fits(function: FunctionType, one: DataDeclaration) -> bool:
    """Whether a parameter has the type and default of a datum.  A type that cannot be evaluated is not looked at."""
    default = (function.__kwdefaults__ or {}).get(one.name, REQUIRED)
    if default is not ... and (default is REQUIRED) is not one.required:
        return False
    if default is not ... and not one.required and (type(default), default) != (type(one.default), one.default):
        return False
    try:
        found = function.__annotations__.get(one.name, _type(one))
        while isinstance(found, str):
            found = eval(found, function.__globals__)
    except Exception:  # a name that only type checkers know
        return True
    return bool(found == _type(one))


def _declaration(name: str, event: Event) -> str:
    words = [
        f"{one.name}: {one.annotation}{'' if one.required else f' = {one.default!r}'}" for one in event.data
    ]
    return f"def {name}({', '.join(['self', *(['*'] if words else []), *words])}) -> None"


VARIADIC: Final = 0x04 | 0x08
"""The flags of code that takes *args or **kwargs."""


# --------------------------------------------------------------------------------------------------- listeners

MOMENTS: Final = ("before", "after", "on_step", "on_transition", "on_refused")
PREFIXES: Final = ("before_", "after_", "on_enter_", "on_exit_")


def listener_methods(
    cls: type, chart: Chart, *, also: tuple[Chart, ...] = (), only: Iterable[str] | None = None
) -> tuple[str, ...]:
    """Return the names of a class's listener methods for this chart; a trigger is none.

    DefinitionError for one that belongs to no state or event of it or of the charts in `also`, and for an async or
    generator function.  A method called `on_…` that is like no listener is an ordinary one.  With `only`, methods of
    other names are not looked at.
    """
    known, own = _names(chart), attributes(cls)
    others = frozenset(name for other in also for name in _names(other))
    if only is not None:
        only = tuple(only)
        wrong = [f"it has no method {name}" for name in only if not _is_method(own.get(name))]
        own = {name: own[name] for name in only if name in own}
    else:
        wrong = []
    methods = {
        name: one for name, one in own.items()
        if name.startswith(("before", "after", "on_")) and _is_method(one) and not is_trigger(one)
    }  # fmt: skip
    for name, one in methods.items():
        if name in known or name in others:
            if kind := never_runs(one):
                wrong.append(f"its listener {name} is {kind}, which a step would not run; {STREAM}")
        elif meant := _meant(name, [*known, *others], chart) if only is None else " or event":
            wrong.append(f"its listener {name} belongs to no state or event of {chart.name}{meant}")
    if wrong:
        raise DefinitionError(f"class {cls.__name__}", tuple(wrong))
    return tuple(name for name in known if name in methods)


STREAM: Final = "write a plain method, or react with `async for step in session.steps()`"


def _names(chart: Chart) -> list[str]:
    names = [*MOMENTS, *(f"{moment}_{event}" for event in chart.events for moment in ("before", "after"))]
    return names + [f"{moment}_{state}" for state in chart.states for moment in ("on_exit", "on_enter")]


def _meant(name: str, known: Iterable[str], chart: Chart) -> str:
    """What an unknown name may have been meant to be; empty if it is like no listener."""
    if not name.startswith(("before_", "after_", "on_")):
        return ""
    if name.removeprefix("on_") in chart.states:
        return f" (did you mean on_enter_{name.removeprefix('on_')}?)"
    if name.removeprefix("on_") in chart.events:
        return f" (did you mean after_{name.removeprefix('on_')}?)"
    return _near(name, known, 0.5 if name.startswith(PREFIXES) else 0.75) or (" " if name.startswith(PREFIXES) else "")


def _is_method(value: object) -> bool:
    return callable(value) or isinstance(value, (partialmethod, singledispatchmethod))


def _near(name: str, known: Iterable[str], cutoff: float = 0.5) -> str:
    from difflib import get_close_matches  # only here, where time does not matter

    near = get_close_matches(name, known, 1, cutoff)
    return f" (did you mean {near[0]}?)" if near else ""


# ------------------------------------------------------------------------------------------------- own attributes


def own_attributes(session: object, chart: Chart) -> dict[str, object]:
    """Return the attributes of a session that its class has added."""
    own: dict[str, object] = dict(getattr(session, "__dict__", {}))
    ours = {"_state", "_dispatcher", "__weakref__", "__dict__", *(f"_{name}" for name in chart.names)}
    for klass in type(session).__mro__:
        slots = vars(klass).get("__slots__", ())
        for slot in (slots,) if isinstance(slots, str) else slots:
            hidden = slot.startswith("__") and not slot.endswith("__")
            name = f"_{klass.__name__.lstrip('_')}{slot}" if hidden else slot
            if name not in ours and hasattr(session, name):
                own[name] = getattr(session, name)
    return own
