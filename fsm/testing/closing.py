"""Does a program lose messages when it is closed?  It is run in simulated time, and closed at each of its steps.

    def program(store):                        # or async def; a second parameter gets the Sink where mail arrives
        ...
    loses_nothing(program, "NO_WAIT 20s -> cancel 3s")
    await loses_nothing.in_loop(program, "…")      # the same inside an async test

Theory.
1. The program runs once undisturbed, to count the steps of its store's session; it is closed when it is over, when it
   waits for something that can no longer happen, as servers do, or after an hour of simulated time, if it never rests.
2. Then it runs again and again with a new store, closed by the plan before the first step, after the first, and so on,
   up to the last.  A closing begins in the middle of whatever the program does with the store, as a signal would.
3. Each time the messages that must not be lost are looked for (`ledger.py`), and the session's trace is checked against
   the chart and everything that must always hold (section 5 of `spec.md`).
4. After the closing a program has a simulated minute to end by itself; then its tasks are cancelled, and have an
   hour.  StoreClosing, Stopped and NotReleased may leave it.

A program with threads of its own is not the same in every run, so one run may find what another does not.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias, TypeVar

from fsm.chart import Configuration
from fsm.logoff import LOGOFF
from fsm.logoff.properties import PROPERTIES
from fsm.session import Step
from fsm.store import aio, sync
from fsm.store.base import BaseStore
from fsm.store.deposit import AsyncConnection, Connection
from fsm.store.errors import Stopped, StoreClosing
from fsm.store.in_flight import Item
from fsm.store.memory import MemoryStorage
from fsm.store.outcome import NotReleased, Outcome
from fsm.store.plan import DEFAULT, Plan
from fsm.testing.clock import SimulatedClock
from fsm.testing.ledger import Ledger, Sink
from fsm.testing.loop import SimulatedLoop, run
from fsm.testing.trace_check import trace_problems

__all__ = ["Checked", "LostMail", "NeverEnds", "loses_nothing"]

F = TypeVar("F", bound=Item)
LIMIT: Final = 200
MINUTE: Final = 60.0
HOUR: Final = 3600.0
EXPECTED: Final = (StoreClosing, Stopped, NotReleased)

Program: TypeAlias = "Callable[..., object]"
"""Takes a store (and a Sink), sync or async; may return the contents that it keeps elsewhere."""


class LostMail(AssertionError):
    """A program loses mail when it is closed.

    `step` is the number of steps of its session before the closing, `trace` holds all events of the session, `problems`
    says what is wrong.
    """

    def __init__(self, plan: Plan, step: int, trace: Sequence[str], problems: Sequence[str]) -> None:
        self.plan, self.step, self.trace, self.problems = plan, step, tuple(trace), tuple(problems)
        when = f"after step {step} ({self.trace[step - 1]})" if 0 < step <= len(trace) else "before its first step"
        listed = "".join(f"\n  {problem}" for problem in problems)
        super().__init__(f"closed by {plan} {when}, the program loses mail:{listed}\n  trace: {','.join(trace)}")


class NeverEnds(AssertionError):
    """A program goes on although it was closed and cancelled; `tasks` are those that do, each with its place."""

    def __init__(self, tasks: Sequence[str]) -> None:
        self.tasks = tuple(tasks)
        super().__init__(f"closed and then cancelled, the program does not end; still running: {', '.join(tasks)}")


@dataclass(frozen=True, slots=True)
class Checked:
    """A program that lost nothing: the number of steps of its session undisturbed, and how often it was closed.

    `kept_going` says what kept it from coming to rest for so long that it was closed; empty if it ended or rested.
    """

    steps: int
    closings: int
    kept_going: tuple[str, ...] = ()


class _LosesNothing:
    """The check, as a function and as a coroutine."""

    def __call__(
        self,
        program: Program,
        plan: Plan | str = DEFAULT,
        *,
        limit: int = LIMIT,
        seconds: float = HOUR,
        **options: object,
    ) -> Checked:
        """Close this program at every step, and raise LostMail if something is lost or left open.

        `options` are the store's (`uncertain`, `retry`, `default_inbox`).  A program that never comes to rest is closed
        after `limit` steps, or after so many simulated seconds, whichever comes first.  NeverEnds if it goes on after
        that although it is cancelled.  An exception that the undisturbed program raises is passed on.
        """
        if inspect.iscoroutinefunction(program) and _in_loop():
            raise RuntimeError(
                "loses_nothing runs the program in an event loop of its own, and here one is running: "
                "write `await loses_nothing.in_loop(program, …)`, or make the test a plain function"
            )
        chosen = Plan.parse(plan) if isinstance(plan, str) else plan
        undisturbed = _check(program, chosen, None, limit, seconds, options)
        steps = undisturbed.began
        for step in range(steps + 1):
            _check(program, chosen, step, limit, seconds, options)
        return Checked(steps, steps + 2, undisturbed.kept_going)

    async def in_loop(
        self,
        program: Program,
        plan: Plan | str = DEFAULT,
        *,
        limit: int = LIMIT,
        seconds: float = HOUR,
        **options: object,
    ) -> Checked:
        """Do the same inside a running event loop, which goes on meanwhile: the program gets a thread and a loop."""
        return await asyncio.to_thread(self, program, plan, limit=limit, seconds=seconds, **options)


loses_nothing: Final = _LosesNothing()


def _in_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _check(
    program: Program, plan: Plan, step: int | None, limit: int, seconds: float, options: dict[str, object]
) -> _Run:
    """Run once, closed after this step (None: when it comes to rest)."""
    now = _Run(program, plan, limit if step is None else step, seconds, options)
    error = now.asynchronous() if inspect.iscoroutinefunction(program) else now.synchronous()
    if error is not None and step is None:
        raise error
    if problems := [*now.problems(error)]:
        raise LostMail(plan, now.began, [event for event, _ in now.trace], problems) from error
    return now


class _Run:
    """One run of a program with one store."""

    def __init__(self, program: Program, plan: Plan, at: int, seconds: float, options: dict[str, object]) -> None:
        self._program, self._plan, self._at, self._seconds, self._options = program, plan, at, seconds, options
        self.kept_going: tuple[str, ...] = ()
        self._storage = MemoryStorage()
        sink = Sink() if len(inspect.signature(program).parameters) > 1 else None
        self._given = (sink,) if sink is not None else ()
        self.ledger = Ledger(self._storage, sink)
        self.trace: list[tuple[str, Configuration]] = []
        self.began = 0
        self._store: BaseStore
        self._start: Configuration = ()
        self._over: Future[Outcome | None] | None = None

    # ------------------------------------------------------------------------------------- threads, and asyncio

    def synchronous(self) -> BaseException | None:
        """Run it; return the error that it ended with, unless that was expected."""
        clock = SimulatedClock()
        store = _ThreadsStore(self.ledger, self._storage, clock, self._options)
        clock.when_idle = self._begin_when_idle
        clock.call_before(self._seconds, lambda: self._begin_late(clock.scheduled()))
        self._watch(store)
        try:
            try:
                self.ledger.keeps(self._program(store, *self._given))
            except Exception as error:
                self.ledger.left_by(error)
                if not _expected(error):
                    return error
            clock.result(self._begin())
        finally:
            store.let_go()
        return None

    def asynchronous(self) -> BaseException | None:
        """Run it; return the error that it ended with, unless that was expected."""
        return run(self._in_loop())

    async def _in_loop(self) -> BaseException | None:
        loop = asyncio.get_running_loop()
        main = asyncio.current_task()
        assert isinstance(loop, SimulatedLoop)
        store = _AsyncioStore(self.ledger, self._storage, loop.clock, self._options)
        self._watch(store)
        task = asyncio.ensure_future(_coroutine(self._program(store, *self._given)))
        loop.when_idle = lambda: self._begin_when_idle() or (not task.done() and task.cancel())
        loop.call_before(self._seconds, lambda: self._begin_late(map(_place, _others(main))))

        def over() -> None:
            loop.call_later(MINUTE, task.cancel)
            loop.call_before(HOUR, lambda: _give_up(loop, main))

        self._when_over(lambda: loop.call_soon_threadsafe(over))
        try:
            await asyncio.wait({task})
            if task.cancelled():
                self.ledger.left_by(asyncio.CancelledError())
            elif (error := task.exception()) is not None:
                self.ledger.left_by(error)
                if not _expected(error):
                    return error
            else:
                self.ledger.keeps(task.result())
            await asyncio.wrap_future(self._begin())
        finally:
            others = _others(main)
            for one in others:
                one.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            store.let_go()
        return None

    # ------------------------------------------------------------------------------------------------ the closing

    def _watch(self, store: BaseStore) -> None:
        self._store, self._start = store, store.session.configuration
        self._ends: list[Callable[[], object]] = []
        store.session.listen(self)
        store.subscribe(self._changed)
        self._changed()

    def on_transition(self, step: Step) -> None:
        """Note a step of the session."""
        self.trace.append((str(step.event), step.after))

    def _changed(self) -> None:
        if len(self.trace) >= self._at:
            self._begin()

    def _when_over(self, call: Callable[[], object]) -> None:
        self._ends.append(call)
        if self._over is not None and self._over.done():
            call()

    def _begin_when_idle(self) -> bool:
        return self._over is None and bool(self._begin())

    def _begin_late(self, kept_going: Iterable[str]) -> None:
        if self._over is None:
            self.kept_going = tuple(kept_going)
            self._begin()

    def _begin(self) -> Future[Outcome | None]:
        """Begin the closing, unless it has begun; the future is done when it is over."""
        if self._over is None:
            self._over, self.began = Future(), len(self.trace)
            if self._store.closed:  # the program let the store go
                self._over.set_result(None)
            else:
                self._store.begin_closing(self._plan).add_done_callback(self._ended)
        return self._over

    def _ended(self, done: Future[Outcome]) -> None:
        assert self._over is not None
        self.ledger.closed(self._store.blockers())
        self._over.set_result(done.result())
        for call in self._ends:
            call()

    def problems(self, error: BaseException | None) -> Iterator[str]:
        """Yield what is wrong, a sentence each."""
        if error is not None:
            yield f"the program failed: {type(error).__name__}: {error}"
        yield from self.ledger.missing()
        yield from trace_problems(LOGOFF, PROPERTIES, self._start, self.trace)


def _coroutine(program: object) -> Coroutine[object, object, object]:
    assert isinstance(program, Coroutine)
    return program


def _others(main: asyncio.Task[object] | None) -> list[asyncio.Task[object]]:
    """The tasks of the program, in the order of their names."""
    tasks = asyncio.all_tasks(main.get_loop() if main is not None else None)
    return sorted((task for task in tasks if task is not main), key=asyncio.Task.get_name)


def _place(task: asyncio.Task[object]) -> str:
    """The function of a task, and the line where it waits."""
    name = getattr(task.get_coro(), "__qualname__", task.get_name())
    frames = task.get_stack(limit=1)
    return f"{name} ({Path(frames[0].f_code.co_filename).name}:{frames[0].f_lineno})" if frames else name


def _give_up(loop: SimulatedLoop, main: asyncio.Task[object] | None) -> None:
    loop.call_before(MINUTE, lambda: _give_up(loop, main))  # when the loop is closed, what is left is cancelled again
    raise NeverEnds([_place(task) for task in _others(main)])


def _expected(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return all(map(_expected, error.exceptions))
    return isinstance(error, EXPECTED)


class _Observed(BaseStore):
    """A store that notes by which errors its blocks are left."""

    def __init__(self, ledger: Ledger, storage: MemoryStorage, clock: object, options: dict[str, object]) -> None:
        self._ledger = ledger
        super().__init__(storage, clock=clock, **options)  # type: ignore[arg-type]

    def prepare_item(self, item: F) -> F:
        plain = item.ending

        def ending(error: BaseException | None) -> object:
            self._ledger.left_by(error)
            return plain(error)

        vars(item)["ending"] = ending
        return super().prepare_item(item)


class _ThreadsStore(_Observed, sync.Store):
    def submit(
        self, content: bytes, sender: str = "", recipients: Sequence[str] = (), *,
        headers: Mapping[str, str] | None = None, connection: Connection | None = None,
        id: str | None = None,
    ) -> str:  # fmt: skip
        try:
            id = super().submit(content, sender, recipients, headers=headers, connection=connection, id=id)
        except StoreClosing as error:
            self._ledger.refused(error, content)
            raise
        self._ledger.accepted(id, content)
        return id

    def withdraw(self, id: str) -> None:
        super().withdraw(id)
        self._ledger.withdrawn(id)


class _AsyncioStore(_Observed, aio.AsyncStore):
    async def submit(
        self, content: bytes, sender: str = "", recipients: Sequence[str] = (), *, shielded: bool = False,
        headers: Mapping[str, str] | None = None, connection: Connection | AsyncConnection | None = None,
        id: str | None = None,
    ) -> str:  # fmt: skip
        try:
            id = await super().submit(
                content, sender, recipients, shielded=shielded, headers=headers, connection=connection, id=id
            )
        except StoreClosing as error:
            self._ledger.refused(error, content)
            raise
        self._ledger.accepted(id, content)
        return id

    async def withdraw(self, id: str) -> None:
        await super().withdraw(id)
        self._ledger.withdrawn(id)
