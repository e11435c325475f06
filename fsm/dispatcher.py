"""Dispatch: the steps of a session that has listeners or a lock, and the events that are posted to it.

Theory.
1. A step asks the compiled chooser of its event for the row and the configuration after it, calls the listeners of
   before, writes the configuration, and calls the listeners of after.
2. Which listeners a row has to call is found out once and kept until a listener comes or goes.  Coming and going takes
   effect with the next step.
3. What is posted runs after the step, in order.  Whatever ends a step early, an interrupt included, nothing that was
   posted runs later than that: what cannot run any more is dropped, and its receipt says so.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from types import CoroutineType
from typing import Any, Final, Literal, NoReturn, TypeAlias

from fsm.condition import Datum
from fsm.data import NO_DATA
from fsm.engine import Engine
from fsm.errors import StepInProgress
from fsm.table import Row
from fsm.verdict import Refused, Verdict, refusal

__all__ = ["UNLOCKED", "Call", "Dispatcher", "GuardedDispatcher", "Receipt", "settle"]

Call: TypeAlias = Callable[[Any], object]
"""A listener method; it gets the step, or what was refused."""
Calls: TypeAlias = tuple[Call, ...]
LAST: Final = ("on_step", "after", "on_transition")
MOMENTS: Final = {"before", "on_refused", *LAST}
"""The names of listener methods that belong to no state or event."""
UNLOCKED: Final = nullcontext()


class Receipt:
    """The result of a posted event: once `done` is true, `error` is the exception it raised, or None."""

    __slots__ = ("data", "done", "error", "event")

    def __init__(self, event: str, data: Mapping[str, object] = NO_DATA) -> None:
        self.event, self.data = event, data
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


class Dispatcher:
    """Takes the steps of a session that has listeners, and runs the events posted to it."""

    __slots__ = (
        "applied", "calls", "draining", "during", "early", "engine", "failure", "last", "listeners", "more", "only",
        "plans", "posted", "takers", "various",
    )

    def __init__(self, engine: Engine) -> None:
        self.engine, self.takers = engine, engine.takers
        self.listeners: dict[int, tuple[object, Mapping[str, Call]]] = {}
        """By the identity of the listener: the listener, which is kept alive, and its methods by name."""
        self.plans: dict[int, tuple[Calls, Calls]] = {}
        """By the place of a row in the chart: what is called before and after its effects."""
        self.calls: dict[str, Calls] = {}
        """The methods of all listeners by their names."""
        self.early = False
        """Whether any method is called before effects."""
        self.various = True
        """Whether it depends on the row what is called, or something is called before effects."""
        self.last: Calls = ()
        """What is called after the effects of any row, unless that is `various`."""
        self.only: Call | None = None
        """The call of `last` if it is a single one: most sessions have one listener."""
        self.during: str | None = None
        """The event of the step under way."""
        self.applied = False
        """Whether the effects of the step under way have happened."""
        self.failure: BaseException | None = None
        """The error that a callback of transitions has raised and another has been told of."""
        self.posted: deque[Receipt] = deque()
        self.draining = False
        self.more = True
        """Whether there is more to do after a step: something is posted, or nobody listens any more."""

    @property
    def lock(self) -> AbstractContextManager[object]:
        """The lock that a step holds."""
        return UNLOCKED

    # --------------------------------------------------------------------------------------------- listeners

    def listen(self, listener: object, key: int, methods: Mapping[str, Call]) -> None:
        """Call these methods from the next step on."""
        self._changed({**self.listeners, key: (listener, methods)})

    def forget(self, session: Any, key: int) -> None:
        """Stop calling the methods of that key.  Leave the session if it needs no dispatcher any more."""
        if key in self.listeners:
            self._changed({other: one for other, one in self.listeners.items() if other != key})
            self.retire(session)

    def _changed(self, listeners: dict[int, tuple[object, Mapping[str, Call]]]) -> None:
        self.listeners, self.plans, self.calls = listeners, {}, {}
        for _, methods in listeners.values():
            for name, call in methods.items():
                self.calls[name] = (*self.calls.get(name, ()), call)
        self.early = any(name.startswith(("before", "on_exit_")) for name in self.calls)
        self.more = not listeners or bool(self.posted)
        self.various = self.early or not self.calls.keys() <= MOMENTS
        self.last = () if self.various else self._called(LAST)
        self.only = self.last[0] if len(self.last) == 1 else None
        if not (self.various or self.takers):
            self.engine.taker(str(self.engine.chart.events[0]))  # they are compiled

    def retire(self, session: Any) -> None:
        """Leave the session if it has no listeners, and no step is under way or posted."""
        if not (self.listeners or self.posted or self.draining) and self.during is None:
            session._dispatcher = None

    def _plan(self, row: Row, place: int) -> tuple[Calls, Calls]:
        if (plan := self.plans.get(place)) is not None:
            return plan
        left, entered = ((f"on_exit_{row.source}",), (f"on_enter_{row.target}",)) if row.leaves else ((), ())
        first = self._called((f"before_{row.event}", "before", *left))
        then = self._called(("on_step", *entered, f"after_{row.event}", "after", "on_transition"))
        self.plans[place] = first, then
        return first, then

    def _called(self, moments: Iterable[str]) -> Calls:
        found: Calls = ()
        for moment in moments:
            if moment in self.calls:
                found += self.calls[moment]
        return found

    # ------------------------------------------------------------------------------------------------- steps

    def step(
        self, session: Any, event: str, data: Mapping[str, Datum] = NO_DATA, routed: bool = False
    ) -> Literal[True]:
        """Take a step, `routed` through transitions or not.

        StepInProgress in the middle of another; Refused if the event is not accepted.
        """  # no argument is keyword-only: Python calls such a function faster
        if self.during is not None:
            raise StepInProgress(event, self.during)
        if self.various or self.more or routed:
            return self._any_step(session, event, data, routed)
        self.during = event
        try:
            step = self.takers[event](session, data)
            if step is None:
                self._refuse(session, event, data)
            if self.only is not None:
                if (answer := self.only(step)) is not None:
                    never_waits(answer)
            else:
                for call in self.last:
                    never_waits(call(step))
        finally:
            self.during = None
            if self.more:
                self.drain(session)
                self.retire(session)
        return True

    def _any_step(self, session: Any, event: str, data: Mapping[str, Datum], routed: bool) -> Literal[True]:
        """Take a step after which some listeners are called and others are not, or before which some are."""
        if self.posted and not self.draining:  # an interrupt came before they could be dropped
            self._drop(None)
        self.during = event
        try:
            if self.early or routed:
                self._chosen(session, event, data, routed=routed)
            else:
                step = self.engine.taker(event)(session, data)
                if step is None:
                    self._refuse(session, event, data)
                for call in self._plan(step.row, step.place)[1]:
                    never_waits(call(step))
        finally:
            self.during = None
            if self.more:
                self.drain(session)
                self.retire(session)
        return True

    def _chosen(self, session: Any, event: str, data: Mapping[str, Datum], *, routed: bool) -> None:
        """Take a step for which something is called before its effects, or that transitions takes."""
        step = self.engine.chooser(event)(session, data)
        if step is None:
            self._refuse(session, event, data)
        first, then = self._plan(step.row, step.place)
        for call in first:
            never_waits(call(step))
        if routed:
            self._transit(session, step)
        else:
            self.engine.write(session, step.after)
        for call in then:
            never_waits(call(step))

    def _refuse(self, session: Any, event: str, data: Mapping[str, Datum]) -> NoReturn:
        error = Refused(refusal(session.chart, session.configuration, event, session, data), session)
        for call in self._called(("on_refused",)):
            never_waits(call(error))
        raise error

    def _transit(self, session: Any, step: Any) -> None:
        """Have the transitions machine of the class take the step, for an event with callbacks there."""
        machine = session.machine()
        self.applied, self.failure = False, None
        if machine.fire(step.event, session, step.data) or self.applied:
            return
        if self.failure is not None:  # a callback hides it, but a trigger that returns True has taken its step
            raise self.failure
        raise Refused(Verdict(session.chart, step.event, step.before, None, machine.added(step.row), step.data))

    # ------------------------------------------------------------------------------------------ posted events

    def post(self, session: Any, receipt: Receipt) -> None:
        """Run an event after the step under way, or now."""
        self.posted.append(receipt)
        self.more = True
        if self.during is None:
            self.drain(session)

    def drain(self, session: Any) -> None:
        """Run the posted events in order, including those posted meanwhile."""
        if self.draining:
            return
        self.draining = True
        try:
            while self.posted:
                settle(session, self.posted[0])
                self.posted.popleft()
        except BaseException as error:
            self._drop(error)
            raise
        finally:
            self.draining = False
            self.more = not self.listeners

    def _drop(self, reason: BaseException | None) -> None:
        """Settle what has been posted without running it."""
        while self.posted:
            receipt = self.posted.popleft()
            if not receipt.done:
                receipt.error = RuntimeError(f"{receipt.event} was posted and dropped: the step was interrupted")
                receipt.error.__cause__ = reason
                receipt.done = True


class GuardedDispatcher(Dispatcher):
    """That of a session of a guarded class: a step holds its lock from the first guard to the last listener."""

    __slots__ = ("_lock",)

    def __init__(self, engine: Engine, lock: AbstractContextManager[object]) -> None:
        super().__init__(engine)
        self._lock = lock

    @property
    def lock(self) -> AbstractContextManager[object]:
        """The lock that a step holds."""
        return self._lock

    def step(
        self, session: Any, event: str, data: Mapping[str, Datum] = NO_DATA, routed: bool = False
    ) -> Literal[True]:
        """Take a step when the one under way has ended."""
        with self._lock:
            return super().step(session, event, data, routed)

    def retire(self, session: Any) -> None:
        """Stay: the session needs its lock."""


def never_waits(answer: object) -> None:
    """TypeError if a listener has returned a coroutine, of which nothing has run."""
    if answer is not None and hasattr(answer, "__await__"):
        if isinstance(answer, CoroutineType):
            answer.close()
        raise TypeError("a listener returned a coroutine, which a step would not run; react with session.steps()")


def settle(session: Any, receipt: Receipt) -> None:
    """Run a posted event, and put its result or error into the receipt."""
    try:
        session.fire(receipt.event, **receipt.data)
    except Exception as error:
        receipt.error = error
    except BaseException as error:
        receipt.error, receipt.done = error, True
        raise
    receipt.done = True
