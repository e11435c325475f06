"""Sessions: one position in a chart, with typed triggers compiled onto its class, and listeners.

Theory.
1. A session class names its chart and declares each trigger: a method without a body, marked `@trigger`, whose
   docstring is its documentation.  Mistakes are errors when the class is defined (`definition.py`).
2. A trigger returns True or raises Refused.  A refusal changes nothing.
3. Listeners are methods of a session class, or of any object given to `session.listen`.  Each gets the Step, in this
   order: guards; `before_<event>`, `before`, `on_exit_<state>`; effects and state together; `on_step`;
   `on_enter_<state>`, `after_<event>`, `after`, `on_transition`.  A row that stays leaves and enters nothing.
   `on_step` is for listeners that may miss no step: it is called before any other listener can raise.
4. A listener that raises before the effects cancels the step, and nothing has changed.  One that raises after them does
   not undo it; the error reaches the caller of the trigger.
5. A listener may not fire a trigger of its own session.  What it posts runs after the step, in order, and each receipt
   holds its own result or error, also when the step itself ended with one.
6. A session is for one thread at a time.  A session of a class with `guarded=True` has a lock: a step holds it from the
   first guard to the last listener, and so does every other method while it reads or changes the session.

A session without listeners and without a lock has no dispatcher; looking for one costs a single comparison.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from operator import attrgetter
from threading import RLock
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, NamedTuple, Self, TypeAlias, TypeVar

from fsm.chart import Chart, Configuration, Row
from fsm.condition import Value
from fsm.definition import declare, is_trigger, listener_names, problems, trigger
from fsm.errors import DefinitionError, SnapshotError, StepInProgress, UnknownEvent
from fsm.verdict import Refused, Verdict, judge, refusal

if TYPE_CHECKING:  # the first session imports the one, and the first machine the other
    from fsm.compiler import Compiled
    from fsm.machine import ClassMachine
    from fsm.runtime.stream import Stream
    from fsm.snapshot import Migrates

__all__ = ["Receipt", "Session", "Step", "trigger"]

T = TypeVar("T")


class Step(NamedTuple):
    """What a listener gets: the session, the event, the row, and the configurations before and after it."""

    session: Session
    event: str
    row: Row
    before: Configuration
    after: Configuration

    @property
    def source(self) -> str:
        """The state before the step."""
        return self.row.source

    @property
    def target(self) -> str:
        """The state after the step."""
        return self.row.target


class Receipt:
    """The result of a posted event: once `done` is true, `error` is the exception it raised, or None."""

    __slots__ = ("done", "error", "event")

    def __init__(self, event: str) -> None:
        self.event = event
        self.done = False
        self.error: BaseException | None = None

    def result(self) -> Literal[True]:
        """Return True if the event was accepted, or raise its error.  RuntimeError if it has not run yet."""
        if not self.done:
            raise RuntimeError(f"{self.event} was posted and has not run yet")
        if self.error is not None:
            raise self.error
        return True

    def __repr__(self) -> str:
        return f"<Receipt {self.event}: {'waiting' if not self.done else self.error or 'accepted'}>"


class Session:
    """One position in a chart.  Subclass it with `chart=`, or let `Session.of(chart)` create the class."""

    __slots__ = ("__weakref__", "_dispatcher", "_state")
    chart: ClassVar[Chart]
    _state: str
    _dispatcher: _Dispatcher | None
    _own_listeners: ClassVar[tuple[str, ...]] = ()  # names of the methods that listen to their own session
    _guarded: ClassVar[bool] = False
    _loose: ClassVar[bool] = False  # created by `of`: events may have names of TAKEN
    _compiled: ClassVar[Compiled | None]
    _direct_triggers: ClassVar[dict[str, Callable[[Any], Any]] | None]
    _machine: ClassVar[ClassMachine | None] = None
    _routed: ClassVar[frozenset[str]] = frozenset()  # events with transitions callbacks

    def __init_subclass__(cls, *, chart: Chart | None = None, guarded: bool = False, **options: Any) -> None:
        super().__init_subclass__(**options)
        if chart is not None:
            cls.chart, cls._routed = chart, frozenset()
            cls._compiled = cls._direct_triggers = cls._machine = None
        if guarded:
            cls._guarded = True
        if hasattr(cls, "chart"):
            _check(cls, declares=chart is not None)
        if chart is not None:
            _install(cls)
        if guarded or (cls._guarded and chart is not None):
            _guard(cls)

    def __init__(self, **values: Value) -> None:
        """Create a session in the chart's initial state, with these values of variables instead of the initial ones.

        ValueError for an unknown name, a wrong value, or a combination that breaks the state's invariant.
        """
        chart = self.chart
        strange = [name for name in values if name not in chart.names]
        if strange:
            raise ValueError(f"{chart.name} has no variable {strange[0]!r} (it has {', '.join(chart.names)})")
        configuration = chart.start(values)
        if values:
            try:
                configuration = chart.checked(configuration)
            except ValueError as error:
                raise ValueError(f"a session cannot start like this: {error}") from None
        _begin(self, configuration)

    @classmethod
    def at(cls, configuration: Configuration) -> Self:
        """Return a session in this configuration, which is not checked.  `__init__` is not called."""
        self = cls.__new__(cls)
        _begin(self, configuration)
        return self

    @staticmethod
    def of(chart: Chart, name: str = "") -> type[Session]:
        """Return a new session class for a chart, with all its triggers.

        An event with the name of a session's own attribute can only be fired by `fire`, and a variable of such a name
        can only be read from `configuration`.  The sessions cannot be pickled, since no module contains their class.
        """
        body: dict[str, object] = {"__slots__": tuple(f"_{variable}" for variable in chart.names), "_loose": True}
        body |= {str(event): trigger(_undeclared(event)) for event in chart.events if event not in TAKEN}
        body |= {name: property(attrgetter(f"_{name}")) for name in chart.names if name not in TAKEN}
        return type(name or f"{chart.name} session", (Session,), body, chart=chart)

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
        if self._dispatcher is None:  # there is no lock
            return self.compiled().read(self)
        with self._dispatcher.lock:
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

    def may(self, event: str) -> Verdict:
        """Return what this event would do now, or why it is not accepted.  UnknownEvent for any other name."""
        with self.lock:
            return judge(self.chart, self.configuration, event, self)

    def verdicts(self) -> dict[str, Verdict]:
        """Return the verdict on every event, in the chart's order."""
        with self.lock:
            configuration = self.configuration
            return {str(event): judge(self.chart, configuration, event, self) for event in self.chart.events}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.chart.describe(self.configuration)}>"

    # ---------------------------------------------------------------------------------------------- stepping

    def fire(self, event: str) -> Literal[True]:
        """Call the trigger of that name.  Refused if it is not accepted; UnknownEvent for any other name."""
        if event not in self.chart.events:
            raise UnknownEvent(self.chart.name, event, self.chart.events)
        function = self.compiled().triggers[event] if event in TAKEN else getattr(type(self), event)
        accepted: Literal[True] = function(self)
        return accepted

    def post(self, event: str) -> Receipt:
        """Run an event after the present step, in the order of posting, or immediately if there is none.

        The receipt holds the result or the error.  This method only raises UnknownEvent.
        """
        if event not in self.chart.events:
            raise UnknownEvent(self.chart.name, event, self.chart.events)
        receipt = Receipt(event)
        with self.lock:
            if (dispatcher := self._dispatcher) is None:
                _settle(self, receipt)
            else:
                dispatcher.posted.append(receipt)
                if dispatcher.during is None:
                    dispatcher.drain(self)
        return receipt

    @property
    def has_listeners(self) -> bool:
        """Whether any object listens to this session, the session itself included."""
        return self._dispatcher is not None and bool(self._dispatcher.listeners)

    def listen(self, listener: T) -> T:
        """Call the listener methods of this object (theory, 3) at every step from now on; return the object.

        DefinitionError if it has no listener method, or one that belongs to no state or event of the chart.
        """
        names = listener_names(type(listener), self.chart)
        if not names:
            raise DefinitionError(type(listener).__name__, ("it listens to nothing: it has no on_transition, …",))
        methods: _Listeners = {}
        for name in names:
            method = partial(_call_own, name) if listener is self else getattr(listener, name)
            methods.setdefault(name, []).append(method)
        with self.lock:
            if self._dispatcher is None:
                self._dispatcher = _Dispatcher(UNLOCKED)
            self._dispatcher.listeners[id(listener)] = (None if listener is self else listener, methods)
        return listener

    def forget(self, listener: object) -> None:
        """Stop calling this object.  Do nothing if it was not listening."""
        with self.lock:
            if self._dispatcher is not None:
                self._dispatcher.listeners.pop(id(listener), None)
                self._dispatcher.retire(self)

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
        one after the other.
        """
        from fsm.snapshot import decode

        return cls.at(decode(cls.chart, snapshot, migrations))

    def __getstate__(self) -> tuple[str, Configuration, dict[str, object]]:
        with self.lock:
            return self.chart.fingerprint, self.configuration, _own_attributes(self)

    def __setstate__(self, state: tuple[str, Configuration, dict[str, object]]) -> None:
        found, configuration, own = state
        chart = self.chart
        if found != chart.fingerprint:
            raise SnapshotError(chart.name, "it was pickled by another behaviour", chart.fingerprint, found)
        try:
            configuration = chart.checked(configuration)
        except ValueError as error:
            raise SnapshotError(chart.name, str(error), chart.fingerprint, found) from None
        _begin(self, configuration)
        for name, value in own.items():
            setattr(self, name, value)

    # --------------------------------------------------------------------------------- the triggers of a class

    @classmethod
    def compiled(cls) -> Compiled:
        """Return the compiled functions of the chart.

        The first call compiles them, and puts the triggers on the class that declared the chart.
        """
        if cls._compiled is not None:
            return cls._compiled
        from fsm.compiler import compile_chart

        owner = _owner(cls)
        owner._compiled = compile_chart(owner.chart, _refused, _dispatch)
        _install(owner)
        return owner._compiled

    @classmethod
    def machine(cls) -> ClassMachine:
        """Return the `transitions` machine of this class, to which transitions callbacks can be added.

        A callback is called for every session of the class that declared the chart, and of its subclasses.
        A bound trigger that was read before (`f = session.submit`) does not call it.
        """
        from fsm.machine import ClassMachine

        owner = _owner(cls)
        if owner._machine is None:

            def route(events: frozenset[str]) -> None:
                owner._routed = events
                _install(owner)

            owner._machine = ClassMachine(owner.chart, owner.__name__, route, _applied)
        return owner._machine


TAKEN: Final = frozenset(dir(Session))
"""The names of a session's own attributes.  Only a class created by `Session.of` may have events of these names."""


# ------------------------------------------------------------------------------------------ classes and triggers


def _check(cls: type[Session], *, declares: bool) -> None:
    """Raise DefinitionError with every mistake in the class; `declares` if it names its chart itself."""
    if declares:
        wrong = list(problems(cls, cls.chart, TAKEN, any_event=cls._loose))
    else:
        again = sorted(name for name, value in vars(cls).items() if is_trigger(value))
        wrong = [f"it declares the trigger {name} without chart=; a plain method overrides one" for name in again]
    try:
        cls._own_listeners = listener_names(cls, cls.chart)
    except DefinitionError as error:
        wrong += error.problems
    if wrong:
        raise DefinitionError(f"class {cls.__name__}", tuple(wrong))


def _owner(cls: type[Session]) -> type[Session]:
    """The class that declared the chart, which has the compiled triggers and the machine."""
    return next(klass for klass in cls.__mro__ if "_machine" in vars(klass))


def _install(cls: type[Session]) -> None:
    """Put the triggers on the class.

    Before the first session they compile the chart.  Later they are the compiled functions, or go to the dispatcher if
    the event has transitions callbacks.  A method that overrides a trigger without declaring it is left alone.
    """
    for event in map(str, cls.chart.events):
        if event in TAKEN or (event in vars(cls) and not is_trigger(getattr(cls, event))):
            continue
        if cls._compiled is None:
            declare(cls, event, _first(cls, event))
        else:
            declare(cls, event, _routed(event) if event in cls._routed else cls._compiled.triggers[event])


def _guard(cls: type[Session]) -> None:
    """Let a guarded class read its state and each of its variables with the lock held."""
    names = [name for name in cls.chart.names if name not in TAKEN] if hasattr(cls, "chart") else []
    for name in ("state", *names):
        field = getattr(cls, name, None)
        if isinstance(field, property) and field.fget is not None:
            setattr(cls, name, property(_locked(field.fget), doc=field.__doc__))


def _locked(read: Callable[[Any], object]) -> Callable[[Any], object]:
    def locked(self: Session) -> object:
        with self.lock:
            return read(self)

    return locked


def _begin(session: Session, configuration: Configuration) -> None:
    """Put a new session into its first configuration."""
    session._dispatcher = _Dispatcher(RLock()) if session._guarded else None
    session.compiled().write(session, configuration)
    if session._own_listeners:
        session.listen(session)


def _own_attributes(session: Session) -> dict[str, object]:
    """The attributes that subclasses have added."""
    own: dict[str, object] = dict(getattr(session, "__dict__", {}))
    ours = {"_state", "_dispatcher", "__weakref__", "__dict__", *(f"_{name}" for name in session.chart.names)}
    for klass in type(session).__mro__:
        slots = vars(klass).get("__slots__", ())
        for slot in (slots,) if isinstance(slots, str) else slots:
            hidden = slot.startswith("__") and not slot.endswith("__")
            name = f"_{klass.__name__.lstrip('_')}{slot}" if hidden else slot
            if name not in ours and hasattr(session, name):
                own[name] = getattr(session, name)
    return own


def _undeclared(event: str) -> Callable[[object], None]:
    def declared(_self: object) -> None: ...

    declared.__doc__ = getattr(event, "doc", "")
    return declared


def _first(cls: type[Session], event: str) -> Callable[..., object]:
    def first(self: Session) -> object:  # also if it was read from the class before
        return cls.compiled().triggers[event](self)

    return first


def _routed(event: str) -> Callable[..., object]:
    def routed(self: Session) -> bool:
        return _dispatch(self, event)

    return routed


# ------------------------------------------------------------------------------------------------------ dispatch

_Listeners: TypeAlias = dict[str, list[Callable[[Step], object]]]
UNLOCKED: Final = nullcontext()


class _Dispatcher:
    """Takes the steps of a session that has listeners or a lock, and runs the events posted to it."""

    __slots__ = ("applied", "draining", "during", "listeners", "lock", "posted")

    def __init__(self, lock: AbstractContextManager[object]) -> None:
        self.lock = lock
        self.listeners: dict[int, tuple[object, _Listeners]] = {}
        self.during: str | None = None
        """The event of the step under way."""
        self.applied = False
        """Whether the effects of the step under way have happened."""
        self.posted: deque[Receipt] = deque()
        self.draining = False

    def step(self, session: Session, event: str) -> bool:
        """Take a step.  StepInProgress in the middle of another; Refused if the event is not accepted."""
        if self.during is not None:
            raise StepInProgress(event, self.during)
        if not self.listeners and event not in session._routed:
            _direct_triggers(session)[event](session)
            return True
        verdict = session.may(event)
        if verdict.row is None:
            raise Refused(verdict)
        session._dispatcher = self
        row = verdict.row
        step = Step(session, event, row, verdict.configuration, session.chart.after(verdict.configuration, row))
        listeners = tuple(self.listeners.values())  # adding or removing one takes effect with the next step
        left, entered = ((f"on_exit_{row.source}",), (f"on_enter_{row.target}",)) if row.leaves else ((), ())
        self.during, self.applied = event, False
        try:
            _call(listeners, step, (f"before_{event}", "before", *left))
            self._apply(session, step)
            _call(listeners, step, ("on_step", *entered, f"after_{event}", "after", "on_transition"))
        finally:
            self.during = None
            self.drain(session)
            self.retire(session)
        return True

    def _apply(self, session: Session, step: Step) -> None:
        """Change the configuration; by the transitions machine if the event has callbacks there."""
        if step.event not in session._routed:
            session.compiled().write(session, step.after)
            return
        machine = session.machine()
        if not machine.fire(step.event, session) and not self.applied:  # a condition added by hand
            legal = refusal(session.chart, step.before, step.event, session).legal
            raise Refused(Verdict(session.chart, step.event, step.before, None, machine.added(step.row), legal))

    def drain(self, session: Session) -> None:
        """Run the posted events in order, including those posted meanwhile."""
        if self.draining:
            return
        self.draining = True
        try:
            while self.posted:
                _settle(session, self.posted.popleft())
        finally:
            self.draining = False

    def retire(self, session: Session) -> None:
        """Leave the session if it has no lock and no listeners, and no step is under way or posted."""
        busy = self.listeners or self.during is not None or self.posted or self.draining
        if not busy and self.lock is UNLOCKED:
            session._dispatcher = None


def _dispatch(session: Session, event: str) -> bool:
    """Take the step of a trigger if the session has a dispatcher, or the event transitions callbacks."""
    dispatcher = session._dispatcher or _Dispatcher(UNLOCKED)
    with dispatcher.lock:
        return dispatcher.step(session, event)


def _direct_triggers(session: Session) -> dict[str, Callable[[Any], Any]]:
    """The compiled triggers that do not look for a dispatcher, for a guarded session without listeners."""
    if session._direct_triggers is not None:
        return session._direct_triggers
    from fsm.compiler import compile_chart

    owner = _owner(type(session))
    owner._direct_triggers = compile_chart(owner.chart, _refused, None).triggers
    return owner._direct_triggers


def _refused(session: Session, event: str) -> Refused:
    """The error of a compiled trigger that has found no enabled row."""
    return Refused(refusal(session.chart, session.configuration, event, session))


def _call(listeners: tuple[tuple[object, _Listeners], ...], step: Step, moments: tuple[str, ...]) -> None:
    for moment in moments:
        for _, methods in listeners:
            for method in methods.get(moment, ()):
                method(step)


def _call_own(name: str, step: Step) -> object:
    """Call a session's own listener method; it is found through the step, so that no session refers to itself."""
    return getattr(step.session, name)(step)


def _applied(session: Session) -> None:
    """Called by the machine of the class when the effects of a step have happened."""
    if session._dispatcher is not None:
        session._dispatcher.applied = True


def _settle(session: Session, receipt: Receipt) -> None:
    """Run a posted event, and put its result or error into the receipt."""
    try:
        session.fire(receipt.event)
    except Exception as error:
        receipt.error = error
    except BaseException as error:
        receipt.error, receipt.done = error, True
        raise
    receipt.done = True
