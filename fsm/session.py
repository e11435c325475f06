"""Sessions: one position in a chart, with typed triggers compiled onto its class.

Theory.
1. A session class names its chart and declares each trigger: a method without a body, marked `@trigger`, whose
   docstring is its documentation.  Mistakes are errors when the class is defined (`definition.py`).
2. A trigger returns True or raises Refused.  A refusal changes nothing.
3. Listeners are methods of a session class, or of any object given to `session.listen`; `step.py` says what they hear
   and when.  A session without listeners pays one comparison for the possibility.
4. A session is for one thread at a time; `guarded=True` makes a class whose sessions any number of threads may trigger.

This file knows no clock, thread (but for the lock of rule 4), file or socket.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from operator import attrgetter

from fsm.chart import Chart, Configuration
from fsm.condition import DefinitionError, Value
from fsm.definition import check, compiled, install, listening, lock, owner_of, taken, trigger
from fsm.step import Heard, Receipt, Step, Watch, drain, own, settle
from fsm.verdict import UnknownEvent, Verdict, judge

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar, Literal, Self, TypeVar

    from fsm.compiler import Compiled
    from fsm.machine import ClassMachine

    S = TypeVar("S")

__all__ = ["Receipt", "Session", "Step", "trigger"]


class Session:
    """One position in a chart.  Subclass with `chart=`, or use `Session.of(chart)` for a class made on the spot."""

    __slots__ = ("__weakref__", "_state", "_watch")
    chart: ClassVar[Chart]
    _state: str
    _watch: Watch | None
    _heard: ClassVar[tuple[str, ...]] = ()
    _compiled: ClassVar[Compiled | None]
    _guarded: ClassVar[bool] = False
    _loose: ClassVar[bool] = False
    _machine: ClassVar[ClassMachine | None] = None
    _routed: ClassVar[frozenset[str]] = frozenset()

    def __init_subclass__(cls, *, chart: Chart | None = None, guarded: bool = False, **options: Any) -> None:
        super().__init_subclass__(**options)
        if chart is not None:
            cls.chart, cls._compiled, cls._machine, cls._routed = chart, None, None, frozenset()
        if hasattr(cls, "chart"):
            check(cls, declares=chart is not None)
        if guarded:
            lock(cls)
        if chart is not None:
            install(cls)

    def __init__(self, **values: Value) -> None:
        """A new session in the chart's initial state, with these values of variables instead of the usual ones.

        ValueError when a name or a value is not the chart's.
        """
        chart = self.chart
        strange = [name for name in values if name not in chart.names]
        if strange:
            raise ValueError(f"{chart.name} has no variable {strange[0]!r} (it has {', '.join(chart.names)})")
        configuration = chart.start(values)
        if values and (complaint := chart.complaint(configuration)):
            raise ValueError(f"a session cannot start like this: {complaint}")
        self._begin(configuration)

    def _begin(self, configuration: Configuration) -> None:
        self._watch = None
        compiled(type(self)).write(self, configuration)
        if self._heard:
            self.listen(self)

    @staticmethod
    def of(chart: Chart, name: str = "") -> type[Session]:
        """A session class for a chart, with all its triggers, when there is no need for a typed one.

        An event that is called like something of every session is fired by `fire` alone, and a variable of such a name
        is read from `configuration`.  Sessions of these classes cannot be pickled, for no module has their class.
        """
        body: dict[str, object] = {"__slots__": tuple(f"_{variable}" for variable in chart.names), "_loose": True}
        body |= {str(event): trigger(_undeclared(event)) for event in chart.events if event not in taken()}
        body |= {name: property(attrgetter(f"_{name}")) for name in chart.names if name not in taken()}
        return type(name or f"{chart.name} session", (Session,), body, chart=chart)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        """For notebooks: where this session stands, drawn, or its DOT text where nothing can render it."""
        from fsm.draw import mimebundle

        return mimebundle(self)

    def _repr_svg_(self) -> str | None:
        return self._repr_mimebundle_().get("image/svg+xml")

    # ------------------------------------------------------------------------------------------------ asking

    @property
    def state(self) -> str:
        """The present state's name."""
        return self._state

    @property
    def configuration(self) -> Configuration:
        """State and variables as one value."""
        return compiled(type(self)).read(self)

    @property
    def flags(self) -> int:
        """The output word: the bits of all outputs that are set."""
        return compiled(type(self)).flags(self)

    def may(self, event: str) -> Verdict:
        """What this event would do now, and why not.  Changes nothing.  UnknownEvent for a name the chart has not."""
        return judge(self.chart, self.configuration, event, self)

    def verdicts(self) -> dict[str, Verdict]:
        """The verdict on every event of the chart, in its order.  Changes nothing."""
        configuration = self.configuration
        return {str(event): judge(self.chart, configuration, event, self) for event in self.chart.events}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.chart.describe(self.configuration)}>"

    # ---------------------------------------------------------------------------------------------- stepping

    def fire(self, event: str) -> Literal[True]:
        """The trigger of that name.  Refused as it refuses; UnknownEvent for a name the chart has not."""
        if event not in self.chart.events:
            raise UnknownEvent(self.chart, event)
        function = compiled(type(self)).triggers[event] if event in taken() else getattr(type(self), event)
        accepted: Literal[True] = function(self)
        return accepted

    def post(self, event: str) -> Receipt:
        """Run an event after the present step, in the order of posting; at once when no step is under way.

        The receipt holds the result or the error; nothing is raised here but UnknownEvent.
        """
        if event not in self.chart.events:
            raise UnknownEvent(self.chart, event)
        receipt = Receipt(event)
        watch = self._watch
        if watch is None:
            settle(self, receipt)
        else:
            watch.posted.append(receipt)
            if watch.during is None:
                drain(self, watch)
        return receipt

    def listen(self, listener: S) -> S:
        """Tell this object of every step from now on, by its methods of rule 3; each gets the Step.

        DefinitionError when a method looks like a listener and is none, or when there is not a single one.
        """
        heard = listening(type(listener), self.chart)
        if not heard:
            raise DefinitionError(type(listener).__name__, ("it listens to nothing: it has no on_transition, …",))
        if self._watch is None:
            self._watch = Watch()
        found: Heard = {}
        for name in heard:
            method = partial(own, name) if listener is self else getattr(listener, name)
            found.setdefault(name, []).append(method)
        self._watch.listeners[id(listener)] = (None if listener is self else listener, found)
        return listener

    def forget(self, listener: object) -> None:
        """Stop telling this object.  Nothing happens when it was not listening."""
        if self._watch is not None:
            self._watch.listeners.pop(id(listener), None)
            if not self._watch.busy():
                self._watch = None

    # --------------------------------------------------------------------------------------- copies, snapshots

    def snapshot(self) -> dict[str, object]:
        """This session as a small JSON value, with the chart's fingerprint.  `restore` reads it."""
        from fsm.snapshot import encode

        return encode(self.chart, self.configuration)

    @classmethod
    def restore(cls, snapshot: object) -> Self:
        """A session as it was when the snapshot was taken.  SnapshotError when it is another chart's, or damaged."""
        from fsm.snapshot import decode

        return cls.at(decode(cls.chart, snapshot))

    @classmethod
    def at(cls, configuration: Configuration) -> Self:
        """Return a session in this configuration of the chart, which is not checked.  No `__init__` is called."""
        self = cls.__new__(cls)
        self._begin(configuration)
        return self

    def __getstate__(self) -> tuple[str, Configuration, dict[str, object]]:
        own: dict[str, object] = dict(getattr(self, "__dict__", {}))
        ours = {"_state", "_watch", "_lock", "__weakref__", "__dict__", *(f"_{name}" for name in self.chart.names)}
        for klass in type(self).__mro__:
            slots = vars(klass).get("__slots__", ())
            for slot in (slots,) if isinstance(slots, str) else slots:
                hidden = slot.startswith("__") and not slot.endswith("__")
                name = f"_{klass.__name__.lstrip('_')}{slot}" if hidden else slot
                if name not in ours and hasattr(self, name):
                    own[name] = getattr(self, name)
        return self.chart.fingerprint, self.configuration, own

    def __setstate__(self, state: tuple[str, Configuration, dict[str, object]]) -> None:
        from fsm.snapshot import SnapshotError

        fingerprint, configuration, own = state
        if fingerprint != self.chart.fingerprint:
            raise SnapshotError(self.chart, "it was pickled by another behaviour", fingerprint)
        if complaint := self.chart.complaint(configuration):
            raise SnapshotError(self.chart, complaint, fingerprint)
        self._begin(configuration)
        for name, value in own.items():
            setattr(self, name, value)

    # ------------------------------------------------------------------------------------------- transitions

    @classmethod
    def machine(cls) -> ClassMachine:
        """The `transitions` machine of this class: its rows, and the place to add transitions callbacks.

        A callback added there runs for every session of the class that declared the chart, and of its subclasses.
        A bound trigger that was taken off a session before (`f = session.submit`) keeps to the form it had.
        """
        from fsm.machine import ClassMachine

        owner = owner_of(cls)
        if owner._machine is None:
            owner._machine = ClassMachine(owner)
        return owner._machine

    @classmethod
    def _route(cls, routed: frozenset[str]) -> None:
        cls._routed = routed
        install(cls)


def _undeclared(event: str) -> Callable[[object], None]:
    def declared(_self: object) -> None: ...

    declared.__doc__ = getattr(event, "doc", "")
    return declared
