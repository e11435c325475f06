"""Sessions: one position in a chart, with typed triggers compiled onto its class.

Theory.
1. A session class names its chart and declares each trigger: a method without a body, marked `@trigger`, whose
   docstring is its documentation.  A trigger that is missing, one too many, or a listener with a misspelt name is an
   error when the class is defined.  Before its first session the rows are compiled into these methods (`compiler.py`).
2. A trigger returns True or raises Refused.  A refusal changes nothing.
3. A step with listeners goes: guards; `before_<event>`, `before`, `on_exit_<state>`, where raising cancels the step and
   nothing has changed; effects and state together; `on_enter_<state>`, `after_<event>`, `after`, `on_transition`, where
   raising does not undo the step and the error reaches the caller of the trigger.
4. A listener may not fire a trigger of its own session; `post` runs an event after the present step, in order.
5. A session is for one thread at a time; `guarded=True` makes a class whose sessions any number of threads may trigger.

Listeners are methods of a session class, or of any object given to `session.listen`.  A session without listeners
pays one comparison for the possibility.  This file knows no clock, thread (but for the lock of rule 5), file or socket.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from operator import attrgetter

from fsm.chart import Chart, Configuration, Row
from fsm.condition import DefinitionError, Value
from fsm.record import Record
from fsm.verdict import Refused, StepInProgress, UnknownEvent, Verdict, judge, refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar, Literal, Self, TypeAlias, TypeVar

    from fsm.engine import ClassMachine

    S = TypeVar("S")

__all__ = ["Receipt", "Session", "Step", "trigger"]

Heard: TypeAlias = "dict[str, list[Callable[[Step], object]]]"


def trigger(declared: Callable[[S], None]) -> Callable[[S], Literal[True]]:
    """Declare a trigger: the method's name is the event, its docstring the documentation; the body stays empty."""
    vars(declared)["__trigger__"] = True
    return declared  # type: ignore[return-value]  # it will return True, once it is compiled


class Step(Record):
    """What a listener is told: the session, the event, the row taken, and the configurations before and after."""

    __slots__ = fields = ("session", "event", "row", "before", "after")
    session: Session
    event: str
    row: Row
    before: Configuration
    after: Configuration

    def __init__(self, session: Session, event: str, row: Row, before: Configuration, after: Configuration) -> None:
        self._set(session, event, row, before, after)

    @property
    def source(self) -> str:
        """The state that is left (or stayed in)."""
        return self.row.source

    @property
    def target(self) -> str:
        """The state that is entered (or stayed in)."""
        return self.row.target


class Receipt:
    """What became of a posted event: `done`, then either accepted or `error`."""

    __slots__ = ("done", "error", "event")

    def __init__(self, event: str) -> None:
        self.event = event
        self.done = False
        self.error: BaseException | None = None

    def result(self) -> Literal[True]:
        """True when the event was accepted; otherwise its error is raised.  RuntimeError while it has not run yet."""
        if not self.done:
            raise RuntimeError(f"{self.event} was posted and has not run yet")
        if self.error is not None:
            raise self.error
        return True

    def __repr__(self) -> str:
        return f"<Receipt {self.event}: {'waiting' if not self.done else self.error or 'accepted'}>"


class _Watch:
    """What a session with listeners carries: who listens, the event under way, and what was posted."""

    __slots__ = ("draining", "during", "listeners", "posted")

    def __init__(self) -> None:
        self.listeners: dict[int, tuple[object, Heard]] = {}
        self.during: str | None = None
        self.posted: deque[Receipt] = deque()
        self.draining = False

    def tell(self, moment: str, step: Step) -> None:
        for _, heard in tuple(self.listeners.values()):
            for listener in heard.get(moment, ()):
                listener(step)


class Session:
    """One position in a chart.  Subclass with `chart=`, or use `Session.of(chart)` for a class made on the spot."""

    __slots__ = ("__weakref__", "_state", "_watch")
    chart: ClassVar[Chart]
    _state: str
    _watch: _Watch | None
    _heard: ClassVar[tuple[str, ...]] = ()
    _compiled: ClassVar[dict[str, Callable[..., Any]]]
    _machine: ClassVar[ClassMachine | None] = None
    _routed: ClassVar[frozenset[str]] = frozenset()

    def __init_subclass__(cls, *, chart: Chart | None = None, guarded: bool = False, **options: Any) -> None:
        super().__init_subclass__(**options)
        if chart is not None:
            cls.chart = chart
        if hasattr(cls, "chart"):
            _check(cls, declares=chart is not None)
        if chart is not None:
            cls._compiled, cls._machine, cls._routed = {}, None, frozenset()
        if guarded:
            _guard(cls)

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
        if not self._compiled:
            _compile(type(self))
        self._compiled["set_configuration"](self, configuration)
        if self._heard:
            self.listen(self)

    @staticmethod
    def of(chart: Chart, name: str = "") -> type[Session]:
        """A session class for a chart, with all its triggers, when there is no need for a typed one."""
        body: dict[str, object] = {"__slots__": tuple(f"_{variable}" for variable in chart.names)}
        body |= {str(event): trigger(_undeclared(event)) for event in chart.events}
        body |= {variable: property(attrgetter(f"_{variable}")) for variable in chart.names}
        return type(name or f"{chart.name} session", (Session,), body, chart=chart)

    # ------------------------------------------------------------------------------------------------ asking

    @property
    def state(self) -> str:
        """The present state's name."""
        return self._state

    @property
    def configuration(self) -> Configuration:
        """State and variables as one value."""
        configuration: Configuration = self._compiled["get_configuration"](self)
        return configuration

    @property
    def flags(self) -> int:
        """The output word: the bits of all outputs that are set."""
        flags: int = self._compiled["get_flags"](self)
        return flags

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
        accepted: Literal[True] = getattr(self, event)()
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
            _settle(self, receipt)
        else:
            watch.posted.append(receipt)
            if watch.during is None:
                _drain(self, watch)
        return receipt

    def listen(self, listener: S) -> S:
        """Tell this object of every step from now on, by its methods of rule 3; each gets the Step.

        DefinitionError when a method looks like a listener and is none, or when there is not a single one.
        """
        heard = _listening(type(listener), self.chart)
        if not heard:
            raise DefinitionError(type(listener).__name__, ("it listens to nothing: it has no on_transition, …",))
        if self._watch is None:
            self._watch = _Watch()
        found: Heard = {}
        for name in heard:
            # the session's own listeners are found through the step, so that the session does not hold itself
            method = partial(_own, name) if listener is self else getattr(listener, name)
            found.setdefault(name, []).append(method)
        self._watch.listeners[id(listener)] = (None if listener is self else listener, found)
        return listener

    def forget(self, listener: object) -> None:
        """Stop telling this object.  Nothing happens when it was not listening."""
        if self._watch is not None:
            self._watch.listeners.pop(id(listener), None)
            if not self._watch.listeners and self._watch.during is None:
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

        return cls._at(decode(cls.chart, snapshot))

    @classmethod
    def _at(cls, configuration: Configuration) -> Self:
        self = cls.__new__(cls)
        self._begin(configuration)
        return self

    def __getstate__(self) -> tuple[Configuration, dict[str, object]]:
        own: dict[str, object] = dict(getattr(self, "__dict__", {}))
        ours = {"_state", "_watch", "_lock", "__weakref__", "__dict__", *(f"_{name}" for name in self.chart.names)}
        for klass in type(self).__mro__:
            slots = vars(klass).get("__slots__", ())
            for name in (slots,) if isinstance(slots, str) else slots:
                if name not in ours and hasattr(self, name):
                    own[name] = getattr(self, name)
        return self.configuration, own

    def __setstate__(self, state: tuple[Configuration, dict[str, object]]) -> None:
        configuration, own = state
        self._begin(configuration)
        for name, value in own.items():
            setattr(self, name, value)

    # ------------------------------------------------------------------------------------------- transitions

    @classmethod
    def machine(cls) -> ClassMachine:
        """The `transitions` machine of this class: its rows, and the place to add transitions callbacks.

        A callback added there runs for every session of the class that declared the chart, and of its subclasses.
        """
        from fsm.engine import ClassMachine

        owner = _owner(cls)
        if owner._machine is None:
            owner._machine = ClassMachine(owner)
        return owner._machine

    @classmethod
    def _route(cls, routed: frozenset[str]) -> None:
        cls._routed = routed
        if cls._compiled:
            _install(cls)


# ------------------------------------------------------------------------------------------- when a class is defined


def _check(cls: type[Session], *, declares: bool) -> None:
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
        cls._heard = _listening(cls, chart)
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


def _listening(cls: type, chart: Chart) -> tuple[str, ...]:
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


def _undeclared(event: str) -> Callable[[object], None]:
    def declared(_self: object) -> None: ...

    declared.__doc__ = getattr(event, "doc", "")
    return declared


def _owner(cls: type[Session]) -> type[Session]:
    """The class that declared the chart: it carries the compiled triggers and the machine."""
    owner = next(klass for klass in cls.__mro__ if "_compiled" in vars(klass))
    assert issubclass(owner, Session)
    return owner


def _compile(cls: type[Session]) -> None:
    from fsm.compiler import compile_triggers

    owner = _owner(cls)
    owner._compiled = compile_triggers(owner.chart, _refused, _watched)
    _install(owner)


def _install(cls: type[Session]) -> None:
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
        return _watched(self, event)

    return routed


def _guard(cls: type[Session]) -> None:
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


# ------------------------------------------------------------------------------------------------- when it steps


def _refused(session: object, event: str) -> Refused:
    assert isinstance(session, Session)
    return Refused(refusal(session.chart, session.configuration, event, session))


def _own(name: str, step: Step) -> object:
    return getattr(step.session, name)(step)


def _watched(session: object, event: str) -> bool:
    """A step with listeners, or with transitions callbacks (rule 3)."""
    assert isinstance(session, Session)
    watch = session._watch
    if watch is not None and watch.during is not None:
        raise StepInProgress(event, watch.during)
    verdict = session.may(event)
    if verdict.row is None:
        raise Refused(verdict)
    if watch is None:  # only transitions callbacks are there to be told
        watch = session._watch = _Watch()
    row = verdict.row
    step = Step(session, event, row, verdict.configuration, _after(session.chart, verdict.configuration, row))
    watch.during = event
    try:
        for moment in (f"before_{event}", "before", *([f"on_exit_{row.source}"] if row.moves else [])):
            watch.tell(moment, step)
        _commit(session, step)
        for moment in (*([f"on_enter_{row.target}"] if row.moves else []), f"after_{event}", "after", "on_transition"):
            watch.tell(moment, step)
    finally:
        watch.during = None
        _drain(session, watch)
        if not watch.listeners and session._watch is watch:
            session._watch = None
    return True


def _after(chart: Chart, configuration: Configuration, row: Row) -> Configuration:
    values = chart.values(configuration)
    new = {effect.name: effect.new(values) for effect in row.effects}
    return (row.target, *(new.get(name, value) for name, value in values.items()))


def _commit(session: Session, step: Step) -> None:
    """Effects and state together; through transitions where a callback was added to the machine of the class."""
    if step.event not in session._routed:
        session._compiled["set_configuration"](session, step.after)
    elif not session.machine().events[step.event].trigger(session):  # a condition added by hand said no
        raise Refused(Verdict(session.chart, step.event, step.before, None))


def _drain(session: Session, watch: _Watch) -> None:
    if watch.draining:
        return
    watch.draining = True
    try:
        while watch.posted:
            _settle(session, watch.posted.popleft())
    finally:
        watch.draining = False


def _settle(session: Session, receipt: Receipt) -> None:
    try:
        getattr(session, receipt.event)()
    except Exception as error:
        receipt.error = error
    except BaseException as error:
        receipt.error, receipt.done = error, True
        raise
    receipt.done = True
