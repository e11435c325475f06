"""A step with listeners: who is told what, in which order, and what happens to errors and posted events.

Theory.
1. Order: guards; `before_<event>`, `before`, `on_exit_<state>`; effects and state together; `on_enter_<state>`,
   `after_<event>`, `after`, `on_transition`.  A row that stays leaves and enters nothing.
2. Raising before the effects cancels the step, and nothing has changed.  Raising after them does not undo it; the
   error reaches the caller of the trigger.
3. A listener may not fire a trigger of its own session.  What it posts runs after the step, in order, and each receipt
   holds its own result or error, also when the step itself ended with one.

This file does not know how sessions are made; those without listeners never come here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from fsm.chart import Chart, Configuration, Row
from fsm.record import Record
from fsm.verdict import Refused, StepInProgress, Verdict, refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal, TypeAlias

    from fsm.session import Session

__all__ = ["Heard", "Receipt", "Step", "Watch", "drain", "own", "refused", "settle", "watched"]

Heard: TypeAlias = "dict[str, list[Callable[[Step], object]]]"


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


class Watch:
    """What a session with listeners carries: who listens, the event under way, and what was posted."""

    __slots__ = ("applied", "draining", "during", "listeners", "posted")

    def __init__(self) -> None:
        self.listeners: dict[int, tuple[object, Heard]] = {}
        self.during: str | None = None
        self.posted: deque[Receipt] = deque()
        self.draining = False
        self.applied = False
        """Whether the row of the step under way has had its effects."""

    def busy(self) -> bool:
        """Whether somebody listens, a step is under way, or something posted waits."""
        return bool(self.listeners or self.during is not None or self.posted or self.draining)


def refused(session: Session, event: str) -> Refused:
    """The error of a compiled trigger that found no row."""
    return Refused(refusal(session.chart, session.configuration, event, session))


def own(name: str, step: Step) -> object:
    """A listener that is the session's own method, found through the step, so that the session does not hold itself."""
    return getattr(step.session, name)(step)


def watched(session: Session, event: str) -> bool:
    """A step with listeners, or with transitions callbacks."""
    watch = session._watch
    if watch is not None and watch.during is not None:
        raise StepInProgress(event, watch.during)
    verdict = session.may(event)
    if verdict.row is None:
        raise Refused(verdict)
    if watch is None:  # only transitions callbacks are there to be told
        watch = session._watch = Watch()
    row = verdict.row
    step = Step(session, event, row, verdict.configuration, _after(session.chart, verdict.configuration, row))
    listeners = tuple(watch.listeners.values())  # who comes or goes during the step does so for the next one
    left, entered = ((f"on_exit_{row.source}",), (f"on_enter_{row.target}",)) if row.moves else ((), ())
    watch.during, watch.applied = event, False
    try:
        _tell(listeners, step, (f"before_{event}", "before", *left))
        _commit(session, step, watch)
        _tell(listeners, step, (*entered, f"after_{event}", "after", "on_transition"))
    finally:
        watch.during = None
        drain(session, watch)
        if not watch.busy():
            session._watch = None
    return True


def _tell(listeners: tuple[tuple[object, Heard], ...], step: Step, moments: tuple[str, ...]) -> None:
    for moment in moments:
        for _, heard in listeners:
            for listener in heard.get(moment, ()):
                listener(step)


def _after(chart: Chart, configuration: Configuration, row: Row) -> Configuration:
    values = chart.values(configuration)
    new = {effect.name: effect.new(values) for effect in row.effects}
    return (row.target, *(new.get(name, value) for name, value in values.items()))


def _commit(session: Session, step: Step, watch: Watch) -> None:
    """Effects and state together; through transitions where a callback was added to the machine of the class."""
    if step.event not in session._routed:
        compiled = session._compiled
        assert compiled is not None  # there is a session of it
        compiled.write(session, step.after)
        return
    machine = session.machine()
    if not machine.events[step.event].trigger(session) and not watch.applied:  # a condition added by hand said no
        legal = refusal(session.chart, step.before, step.event, session).legal
        raise Refused(Verdict(session.chart, step.event, step.before, None, machine.added(step.row), legal))


def drain(session: Session, watch: Watch) -> None:
    """Run what was posted, in order; events posted meanwhile come after it."""
    if watch.draining:
        return
    watch.draining = True
    try:
        while watch.posted:
            settle(session, watch.posted.popleft())
    finally:
        watch.draining = False


def settle(session: Session, receipt: Receipt) -> None:
    """Run one posted event; its result or error goes to its receipt alone."""
    try:
        session.fire(receipt.event)
    except Exception as error:
        receipt.error = error
    except BaseException as error:
        receipt.error, receipt.done = error, True
        raise
    receipt.done = True
