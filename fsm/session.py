"""Sessions: one position in a chart, with typed triggers compiled onto its class, and listeners.

Theory.
1. A session class names its chart and declares each trigger: a method without a body, marked `@trigger`, whose
   docstring is its documentation.  Mistakes are errors when the class is defined (`definition.py`).
2. A trigger returns True or raises Refused.  A refusal changes nothing.
3. Listeners are methods of a session class, or of any object given to `session.listen`.  Each gets the Step, in this
   order: guards; `before_<event>`, `before`, `on_exit_<state>`; effects and state together; `on_step`;
   `on_enter_<state>`, `after_<event>`, `after`, `on_transition`.  A row that stays leaves and enters nothing.
   `on_step` is for listeners that may miss no step: it is called before any other listener can raise.
   `on_refused` gets the Refused that a trigger is about to raise.
4. A listener that raises before the effects cancels the step, and nothing has changed.  One that raises after them does
   not undo it; the error reaches the caller of the trigger.
5. A listener may not fire a trigger of its own session.  What it posts runs after the step, in order, and each receipt
   holds its own result or error, also when the step itself ended with one.
6. A session is for one thread at a time.  A session of a class with `guarded=True` has a lock: a step holds it from the
   first guard to the last listener, and so does every other method while it reads or changes the session.
7. The variables are attributes of a session, by their names; a class may annotate them for type checkers
   (`coins: int`), or define a property of its own over `_coins`.  `__init__` is called for a new session alone;
   `__post_restore__` for one that begins in any other way.  A class with an `__init__` of its own need not call this
   one: a session of it stands in the initial state before; one of a dataclass does once its fields are set.

A session without listeners and without a lock has no dispatcher; looking for one costs a single comparison.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from functools import wraps
from operator import attrgetter
from threading import RLock
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, NoReturn, Self, TypeVar

from fsm.chart import Chart, Configuration, Name, Row, State
from fsm.condition import Datum, Value
from fsm.definition import check, declare, is_trigger, listener_methods, own_attributes, trigger
from fsm.dispatcher import UNLOCKED, Dispatcher, GuardedDispatcher, Receipt, settle
from fsm.engine import Engine
from fsm.errors import DefinitionError, SnapshotError
from fsm.verdict import Refused, Verdict, judge, judge_all, refusal

if TYPE_CHECKING:  # the first session imports the one, and the first machine the other
    from fsm.compiler import Compiled
    from fsm.machine import ClassMachine
    from fsm.runtime.stream import Stream
    from fsm.snapshot import Migrates

__all__ = ["Receipt", "Session", "Step", "trigger"]

T = TypeVar("T")
NEW: Final = object.__new__
BEGINNERS: Final = ("__init__", "__post_init__", "__attrs_post_init__")
"""Methods of Session that put a new session into its initial state, and need not do it where a class has its own."""


class Step:
    """What a listener gets: the session, the event, its data, the row, and the configurations before and after it."""

    __slots__ = ("after", "before", "data", "event", "place", "row", "session")

    session: Session
    event: str
    row: Row
    before: Configuration
    after: Configuration
    data: Mapping[str, Datum]

    def __copy__(self) -> Self:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a step cannot be pickled or copied with its session: keep what you need of it")

    def __repr__(self) -> str:
        return f"<Step {self.event}: {self.row.id}, to {self.session.chart.describe(self.after)}>"

    @property
    def source(self) -> str:
        """The state before the step."""
        return self.session.chart.state(self.row.source)

    @property
    def target(self) -> str:
        """The state after the step."""
        return self.session.chart.state(self.row.target)


class Session:
    """One position in a chart.  Subclass it with `chart=`, or let `Session.of(chart)` create the class."""

    __slots__ = ("__weakref__", "_dispatcher", "_state")
    chart: Chart
    _state: str
    _dispatcher: Dispatcher | None
    _class_engine: ClassVar[Engine]
    _class_begin: ClassVar[Callable[[Any], None]]
    _own_listeners: ClassVar[tuple[str, ...]] = ()  # names of the methods that listen to their own session
    _own_lock: ClassVar[bool] = False
    _begins_in_new: ClassVar[bool] = False  # since an __init__ of its own may call no other

    def __init_subclass__(
        cls, *, chart: Chart | None = None, guarded: bool = False, _loose: bool = False, **options: Any
    ) -> None:
        super().__init_subclass__(**options)
        if guarded:
            cls._own_lock = True
        if chart is None and not hasattr(cls, "chart"):
            return
        checked = check(cls, chart, TAKEN if chart is None else _taken(chart), any_event=_loose)
        cls._own_listeners = checked.listeners
        if chart is not None:
            cls.chart = chart
            cls._class_engine = Engine(cls, chart, checked.methods, Step)
            _add_variables(cls, checked.methods)
            _install(cls)
        if not cls._begins_in_new and any(getattr(cls, name) is not getattr(Session, name) for name in BEGINNERS):
            type.__setattr__(cls, "__new__", _begun(cls.__new__))  # assigned, type checkers would see it in every class
            cls._begins_in_new = True
        if cls._begins_in_new:
            cls._class_begin = _nothing
        elif chart is not None or cls._own_lock or cls._own_listeners:
            cls._class_begin = _begin
        if guarded or (cls._own_lock and chart is not None):
            _guard(cls)

    def __init__(self, **values: Value) -> None:
        """Create a session in the chart's initial state, with these values of variables instead of the initial ones.

        ValueError for an unknown name, a wrong value, or a combination that breaks the state's invariant.
        """
        self._class_begin()
        if values:
            self.compiled().write(self, _started(self.chart, None, values))

    def __post_init__(self, *_given: object) -> None:
        """Begin in the initial state: the `__init__` of a dataclass calls this and no other `__init__`."""
        self._class_begin()

    __attrs_post_init__ = __post_init__

    @classmethod
    def at(cls, state: Name, **values: Value) -> Self:
        """Return a session in this state, with these values of variables instead of the initial ones.

        For states that live elsewhere, such as in a column of a database.  `__init__` is not called, but
        `__post_restore__`.  ValueError for an unknown state or name, a wrong value, or a combination that breaks the
        state's invariant.
        """
        return cls.unchecked(_started(cls.chart, state, values))

    @classmethod
    def unchecked(cls, configuration: Configuration) -> Self:
        """Return a session in this configuration, which is known to be legal.  As `at`, but nothing is checked."""
        self = cls.__new__(cls)
        self._class_begin()
        cls.compiled().write(self, configuration)
        self.__post_restore__()
        return self

    def __post_restore__(self) -> None:
        """Do nothing.  Override it to set attributes of your own in a session that begins without `__init__`.

        Called by `at`, `restore` and `unchecked` once the session stands in its configuration.
        """

    @staticmethod
    def of(chart: Chart, name: str = "") -> type[Session]:
        """Return a new session class for a chart, with all its triggers.

        An event with the name of a session's own attribute can only be fired by `fire`, and a variable of such a name,
        or of an event's, can only be read from `configuration`.  The sessions cannot be pickled, since no module
        contains their class.
        """
        body: dict[str, object] = {"__slots__": tuple(f"_{variable}" for variable in chart.names)}
        body |= {str(event): trigger(_undeclared(event)) for event in chart.events if event not in _taken(chart)}
        return type(name or f"{chart.name} session", (Session,), body, chart=chart, _loose=True)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        """For notebooks: the session drawn as SVG, or the DOT text if no renderer is installed."""
        from fsm.draw import mimebundle

        return mimebundle(self)

    def _repr_svg_(self) -> str | None:
        return self._repr_mimebundle_().get("image/svg+xml")

    # ----------------------------------------------------------------------------------------------- reading

    @property
    def lock(self) -> AbstractContextManager[object]:
        """The lock that a step holds.  Hold it to make several calls as one: `with session.lock: …`.

        It is reentrant.  For a session whose class is not guarded it does nothing.
        """
        return UNLOCKED if self._dispatcher is None else self._dispatcher.lock

    @property
    def state(self) -> str:
        """The name of the present state."""
        return self._state

    @property
    def configuration(self) -> Configuration:
        """The state and the values of the variables."""
        return self.compiled().read(self)

    @property
    def due(self) -> Mapping[float, str]:
        """After how many seconds in the present state which event is due (`State.after`); `fsm.runtime` fires it."""
        return self.chart.state(self.state).after

    @property
    def flags(self) -> int:
        """The output word: the bits of all outputs that are set."""
        if self._dispatcher is None:
            return self.compiled().flags(self)
        with self._dispatcher.lock:
            return self.compiled().flags(self)

    def may(self, event: Name, /, **data: object) -> Verdict:
        """Return what this event would do now with these data, or why it is not accepted.

        If it needs data and none are given: whether some would be accepted.  UnknownEvent for any other name, DataError
        for wrong data.
        """
        with self.lock:
            return judge(self.chart, self.configuration, event, self, data)

    def verdicts(self) -> dict[str, Verdict]:
        """Return the verdict on every event, in the chart's order; of one that needs data, as `may` without them."""
        with self.lock:
            return judge_all(self.chart, self.configuration, self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.chart.describe(self.configuration)}>"

    # ---------------------------------------------------------------------------------------------- stepping

    def fire(self, event: Name, /, **data: object) -> Literal[True]:
        """Call the trigger of that name, with the event's data.

        Refused if it is not accepted; UnknownEvent for any other name, DataError for wrong data.
        """
        engine = self._class_engine
        try:
            name = engine.methods[event]  # type: ignore[index]  # a member of an Enum is not found
        except (KeyError, TypeError):
            event, name = engine.named(event)
        if data and not self.chart.event(event).data:
            self.chart.event(event).complete(data)
        function = getattr(type(self), name) if name else _unnamed(self, str(event))
        accepted: Literal[True] = function(self, **data)
        return accepted

    def post(self, event: Name, /, **data: object) -> Receipt:
        """Run an event after the present step, in the order of posting, or immediately if there is none.

        The receipt holds the result or the error.  This method only raises UnknownEvent, and DataError for wrong data.
        """
        event, _ = self._class_engine.named(event)
        receipt = Receipt(event, self.chart.event(event).complete(data))
        with self.lock:
            if (dispatcher := self._dispatcher) is None:
                settle(self, receipt)
            else:
                dispatcher.post(self, receipt)
        return receipt

    @property
    def has_listeners(self) -> bool:
        """Whether any object listens to this session, the session itself included."""
        return self._dispatcher is not None and bool(self._dispatcher.listeners)

    def listen(self, listener: T, *, also: Iterable[Chart] = (), only: Iterable[str] | None = None) -> T:
        """Call the listener methods of this object (theory, 3) at every step from now on; return the object.

        A method with the name of a listener that belongs to no state or event of the chart is taken for a mistake.
        For an object that listens to sessions of other charts, too, name these in `also`; for one with methods that
        look like listeners and are none, name those that are in `only`.
        DefinitionError if it has no listener method, or one that belongs to no state or event.
        """
        if only is None and not (also := tuple(also)):
            names = self._class_engine.listeners(type(listener))
        else:
            names = listener_methods(type(listener), self.chart, also=tuple(also), only=only)
        if not names:
            raise DefinitionError(type(listener).__name__, ("it listens to nothing: it has no on_transition, …",))
        methods = {name: _own(type(self), name) if listener is self else getattr(listener, name) for name in names}
        with self.lock:
            if self._dispatcher is None:
                self._dispatcher = Dispatcher(self._class_engine)
            self._dispatcher.listen(None if listener is self else listener, id(listener), methods)
        return listener

    def forget(self, listener: object) -> None:
        """Stop calling this object.  Do nothing if it was not listening."""
        with self.lock:
            if self._dispatcher is not None:
                self._dispatcher.forget(self, id(listener))

    def steps(self, most: int = 1_000) -> Stream[Step]:
        """Return the steps of this session from now on as a stream, for asyncio: `async for step in session.steps():`.

        Up to `most` steps wait for the reader; if there are more, it gets those that wait, and then TooSlow.  The
        stream ends after the step into a final state; `async with session.steps() as steps:` closes it before.
        RuntimeError outside of a running loop.
        """
        from fsm.runtime.stream import Stream

        chart = self.chart
        stream = Stream[Step](most, lambda step: chart.state(step.target).final, self.forget)
        with self.lock:
            if chart.state(self.state).final:
                stream.close()
            else:
                self.listen(stream.tap)
        return stream

    # --------------------------------------------------------------------------------------- copies, snapshots

    def snapshot(self) -> dict[str, object]:
        """Return the session as a JSON value, with the chart's fingerprint, for `restore`."""
        from fsm.snapshot import encode

        return encode(self.chart, self.configuration)

    @classmethod
    def restore(cls, snapshot: object, migrations: Iterable[Migrates] = ()) -> Self:
        """Return a session in the configuration of a snapshot.  SnapshotError if it is damaged, or another chart's.

        A snapshot of an older chart is moved to this one by those of the `migrations` (`fsm.migration`) that lead here,
        one after the other.  `__init__` is not called; a subclass sets its own attributes in `__post_restore__`.
        """
        from fsm.snapshot import decode

        return cls.unchecked(decode(cls.chart, snapshot, migrations))

    def __getstate__(self) -> tuple[str, Configuration, dict[str, object]]:
        with self.lock:
            return self.chart.fingerprint, self.configuration, own_attributes(self, self.chart)

    def __setstate__(self, state: tuple[str, Configuration, dict[str, object]]) -> None:
        found, configuration, own = state
        chart = self.chart
        if found != chart.fingerprint:
            raise SnapshotError(chart.name, "it was pickled by another behaviour", chart.fingerprint, found)
        try:
            configuration = chart.checked(configuration)
        except ValueError as error:
            raise SnapshotError(chart.name, str(error), chart.fingerprint, found) from None
        self._class_begin()
        self.compiled().write(self, configuration)
        for name, value in own.items():
            setattr(self, name, value)

    # --------------------------------------------------------------------------------- the triggers of a class

    @classmethod
    def compiled(cls) -> Compiled:
        """Return the compiled functions of the chart.

        The first call compiles them, and puts the triggers on the class that declared the chart.
        """
        engine = cls._class_engine
        if engine.compiled is None:
            engine.compile(_refused)
            _install(engine.owner)
        assert engine.compiled is not None
        return engine.compiled

    @classmethod
    def machine(cls) -> ClassMachine:
        """Return the `transitions` machine of this class, to which transitions callbacks can be added.

        A callback is called for every session of the class that declared the chart, and of its subclasses.
        A bound trigger that was read before (`f = session.submit`) does not call it.
        A callback in `on_exception` is told of an error, which still reaches the caller if it came before the effects.
        """
        engine = cls._class_engine

        def route(events: frozenset[str]) -> None:
            engine.routed = events
            _install(engine.owner)

        return engine.machine(route, _applied)


# it costs no call of a function in Python, and keeps the type and the text that it has above
Session.state = property(attrgetter("_state"), doc=Session.state.__doc__)  # type: ignore[method-assign, assignment]
TAKEN: Final = frozenset((*dir(Session), "chart", "_class_begin", "_class_engine"))
"""The names of a session's own attributes.  A trigger or a variable's attribute cannot have one of them."""


def _taken(chart: Chart) -> frozenset[str]:
    """The names that a class of this chart needs itself."""
    return TAKEN.union(f"_{name}" for name in chart.names)


# ------------------------------------------------------------------------------------------ classes and triggers


def _add_variables(cls: type[Session], methods: dict[str, str]) -> None:
    """Make each variable an attribute, unless the class has something else of that name, and read all of them at once.

    Such properties cost no call of a function in Python.
    """
    if cls.chart.names and "configuration" not in vars(cls):
        fields = attrgetter("_state", *(f"_{name}" for name in cls.chart.names))
        cls.configuration = property(fields, doc=Session.configuration.__doc__)  # type: ignore[method-assign, assignment]
    for variable in cls.chart.variables:
        name = variable.name
        if name not in TAKEN and name not in methods.values() and not _has(cls, name):
            setattr(cls, name, property(attrgetter(f"_{name}"), doc=variable.doc))
    if any(type(state) is not State for state in cls.chart.states) and "state" not in vars(cls):  # members of an Enum
        cls.state = property(lambda self: self.chart.state(self._state), doc=Session.state.__doc__)  # type: ignore[method-assign, assignment]


def _has(cls: type, name: str) -> bool:
    return any(name in vars(klass) for klass in cls.__mro__)


def _install(cls: type[Session]) -> None:
    """Put the triggers on the class.

    Before the first session they compile the chart.  Later they are the compiled functions, or go to the dispatcher if
    the event has transitions callbacks.  A method that overrides a trigger without declaring it is left alone.
    """
    engine = cls._class_engine
    for event, name in engine.methods.items():
        if not name or (name in vars(cls) and not is_trigger(vars(cls)[name])):
            continue
        if engine.compiled is None:
            function = _first(cls, event)
        else:
            function = _routed(event) if event in engine.routed else engine.compiled.triggers[event]
        declare(cls, name, cls.chart.event(event), function)
    if engine.compiled is not None and not (cls._begins_in_new or cls._own_lock or cls._own_listeners):
        cls._class_begin = engine.compiled.start


def _guard(cls: type[Session]) -> None:
    """Let a guarded class read its state and its variables with the lock held."""
    names = [name for name in cls.chart.names if name not in TAKEN] if hasattr(cls, "chart") else []
    for name in ("state", "configuration", *names):
        field = getattr(cls, name, None)
        if isinstance(field, property) and field.fget is not None:
            setattr(cls, name, field.getter(_locked(field.fget)))


def _locked(read: Callable[[Any], object]) -> Callable[[Any], object]:
    @wraps(read, updated=())
    def locked(self: Session) -> object:
        with self.lock:
            return read(self)

    return locked


def _begin(session: Session) -> None:
    """Put a new session into its initial configuration: compile its chart, give it its lock, and let it listen."""
    session.compiled().start(session)
    if session._own_lock:
        session._dispatcher = GuardedDispatcher(session._class_engine, RLock())
    if session._own_listeners:
        session.listen(session)


def _begun(new: Callable[..., Any]) -> Callable[..., Any]:
    """Return the `__new__` of a class with an `__init__` of its own, which may call no other; `new` is the one it has.

    Other classes have none: a `__new__` in Python doubles the cost of a session.
    """

    def begun(cls: type[T], *given: object, **named: object) -> T:
        self: Any = NEW(cls) if new is NEW else new(cls, *given, **named)
        _begin(self)
        return self  # type: ignore[no-any-return]

    return begun


def _nothing(session: Session) -> None:
    """The session has begun before."""


def _started(chart: Chart, state: Name | None, values: Mapping[str, Value]) -> Configuration:
    """Return the configuration in this state with these values.  ValueError if there is none."""
    try:
        return chart.configuration(state, values)
    except ValueError as error:
        raise ValueError(f"a session cannot start like this: {error}") from None


def _undeclared(event: str) -> Callable[[object], None]:
    def declared(_self: object) -> None: ...

    declared.__doc__ = getattr(event, "doc", "")
    return declared


def _first(cls: type[Session], event: str) -> Callable[..., object]:
    def first(self: Session, *given: object, **data: object) -> object:  # also if it was read from the class before
        return cls.compiled().triggers[event](self, *given, **data)

    return first


def _routed(event: str) -> Callable[..., object]:
    def routed(self: Session, **data: object) -> bool:
        given = self.chart.event(event).complete(data)
        with self.lock:
            if self._dispatcher is None:
                self._dispatcher = Dispatcher(self._class_engine)
            return self._dispatcher.step(self, event, given, routed=True)

    return routed


def _unnamed(session: Session, event: str) -> Callable[..., Any]:
    """The trigger of an event that has no method."""
    return _routed(event) if event in session._class_engine.routed else session.compiled().triggers[event]


def _own(cls: type[Session], name: str) -> Callable[[Any], object]:
    """Return the call of a session's own listener method; the session is found through the step, so that none refers
    to itself."""
    function = getattr(cls, name)
    return lambda step: function(step.session, step)


def _refused(session: Session, event: str, data: Mapping[str, Datum]) -> Refused:
    """The error of a compiled trigger that has found no enabled row."""
    return Refused(refusal(session.chart, session.configuration, event, session, data))


def _applied(session: Session, error: BaseException | None = None) -> None:
    """Called by the machine of the class when the effects of a step have happened, or an error has."""
    if (dispatcher := session._dispatcher) is not None:
        if error is None:
            dispatcher.applied = True
        else:
            dispatcher.failure = error
