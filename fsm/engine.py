"""The engine of a session class: what is made once for a chart, when it is first needed, and shared by all sessions.

These are the compiled functions, the choosers for sessions with listeners, and the `transitions` machine with the
events that it takes part in.  They are made under a lock, so that several threads may start with the first session.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import RLock
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from fsm.chart import Chart
from fsm.condition import name_of
from fsm.definition import listener_methods
from fsm.errors import UnknownEvent

if TYPE_CHECKING:  # the first session imports the one, and the first machine the other
    from fsm.compiler import Chooser, Compiled, Refuse
    from fsm.machine import ClassMachine

__all__ = ["MAKING", "Engine"]

MAKING = RLock()
"""Held while something is made for a class."""


class Engine:
    """What the class that declared a chart shares with its subclasses."""

    __slots__ = (
        "_listeners", "_machine", "_step", "chart", "choosers", "compiled", "methods", "owner", "routed", "takers",
        "write",
    )  # fmt: skip

    def __init__(self, owner: type, chart: Chart, methods: dict[str, str], step: type) -> None:
        """Create the engine of the class `owner`: `methods` are its triggers by event, `step` is the class of steps."""
        self.owner, self.chart, self.methods = owner, chart, methods
        self.routed = frozenset[str]()
        """The events with callbacks on the machine."""
        self.compiled: Compiled | None = None
        self._step = step
        self._listeners = WeakKeyDictionary[type, tuple[int, tuple[str, ...]]]()
        self.choosers: dict[str, Chooser] = {}
        """By event, from a session and data to the step that it would take, or None.  Empty until one is needed."""
        self.takers: dict[str, Chooser] = {}
        """As `choosers`, but these take the step."""
        self._machine: ClassMachine | None = None

    def named(self, event: object) -> tuple[str, str]:
        """Return the name of an event, and that of its method.  UnknownEvent if there is none."""
        name = name_of(event)
        if name not in self.methods:
            raise UnknownEvent(self.chart.name, name, self.chart.events)
        return name, self.methods[name]

    def compile(self, refuse: Refuse) -> Compiled:
        """Return the compiled functions of the chart."""
        from fsm.compiler import compile_chart

        with MAKING:
            if self.compiled is None:
                self.compiled = compile_chart(self.chart, refuse)
                self.write = self.compiled.write
        return self.compiled

    def listeners(self, cls: type) -> tuple[str, ...]:
        """Return the names of a class's listener methods.  DefinitionError as `listener_methods` has it."""
        size = sum(len(vars(klass)) for klass in cls.__mro__)  # a method may be added later
        if (known := self._listeners.get(cls)) is None or known[0] != size:
            known = self._listeners[cls] = size, listener_methods(cls, self.chart)
        return known[1]

    def chooser(self, event: str) -> Chooser:
        """Return one of `choosers`."""
        return self._of(self.choosers, event, take=False)

    def taker(self, event: str) -> Chooser:
        """Return one of `takers`."""
        return self._of(self.takers, event, take=True)

    def _of(self, known: dict[str, Chooser], event: str, take: bool) -> Chooser:
        if event not in known:
            from fsm.compiler import compile_choosers

            with MAKING:
                if event not in known:
                    known |= compile_choosers(self.chart, self._step, take=take)
        return known[event]

    def machine(self, route: Callable[[frozenset[str]], object], applied: Callable[..., object]) -> ClassMachine:
        """Return the transitions machine; the arguments are those of ClassMachine."""
        from fsm.machine import ClassMachine

        with MAKING:
            if self._machine is None:
                self._machine = ClassMachine(self.chart, self.owner.__name__, route, applied)
        return self._machine
