"""Signals: the first SIGTERM or SIGINT closes stores by a plan, each further one begins the plan's next step.

    with on_signals(store, "NO_WAIT 20s -> ORDERLY 5s -> cancel 3s") as ladder:
        ...                                    # the program at work
        print(ladder.outcome())                # or: print(await ladder.outcome())

    with on_signals(orders, receipts, plan="NO_WAIT 20s -> cancel 3s", then="previous"):
        ...                                    # a server that has handlers of its own, which end it after the plan

Theory.
1. The ladder announces itself: when it is set up it says what the first signal does and what each further one does.
   Each signal is answered with what happens now and what the next signal would do, and so is a step that begins because
   the time of the one before is over.
2. Nothing is done in a signal handler, for it may interrupt a store anywhere.  Python writes the signal's number into a
   socket; a thread of the ladder, or in asyncio the loop, reads it and acts.  A main thread that waits for a lock may
   not run its handlers at all, but the socket is written.  If somebody else takes the socket's place (a loop does, for
   its own handlers), the handler writes the number, and takes the place again.
3. The first signal joins a closing that somebody else began; no step is skipped that was not announced.  After the end
   a signal is answered, and does nothing; with `then="previous"` the handlers of before are restored and get the first
   signal again, so that a server ends as it always does.
4. Signals that arrive together count once: a terminal sends one to every process of a group, and some of these pass it
   on.
5. A forked child shares the socket with its parent, and would tell it of the child's signals.  So in a child the
   handlers of before are restored at once.
6. Handlers belong to the main thread.  Elsewhere, under a test client, say, the ladder says that it goes without.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from types import FrameType, TracebackType
from typing import Any, Final, Generic, Literal, Self, TypeAlias, TypeVar, cast, overload
from weakref import WeakSet

from fsm.logoff.flags import Logoff
from fsm.store.aio import AsyncSpooler, AsyncStore
from fsm.store.base import BaseSpooler, BaseStore
from fsm.store.log import about
from fsm.store.outcome import Outcome, SpoolerOutcome
from fsm.store.plan import DEFAULT, Plan, PlanStep
from fsm.store.process import in_each_child
from fsm.store.sync import Spooler, Store

__all__ = ["AsyncLadder", "Ladder", "on_signals"]

log: Final = logging.getLogger("fsm.store")
USUAL: Final = (signal.SIGTERM, signal.SIGINT)
TOGETHER: Final = 0.05
"""Seconds within which signals count as one."""
NOTE: Final = b"\0"
"""In the socket: a note waits, which is no signal."""

MEANING: Final[dict[Logoff | Literal["notice", "cancel"], str]] = {
    "notice": "readiness flips, and nothing is refused yet",
    Logoff.NO_WAIT: "what is in flight and what is ready is sent, nothing new is taken in",
    Logoff.PURGE: "as NO_WAIT, and the deferred are tried once more",
    Logoff.ORDERLY: "what is in flight is finished, the queue stays",
    Logoff.ABORT: "the store is released once nothing is in flight",
    Logoff.QUIET: "the store is released once nothing is in flight or queued",
    "cancel": "what is in flight is stopped, and nothing new begins",
}
END: Final = "the plan ends, and what is in flight then is left as it is"

Say: TypeAlias = Callable[[str], object]
Then: TypeAlias = Literal["nothing", "previous"]
OutcomeT = TypeVar("OutcomeT")
_Note: TypeAlias = "int | Outcome | SpoolerOutcome | None"
"""A signal; how the closing ended; or None: the plan may have begun another step."""


@overload
def on_signals(
    store: Store, plan: Plan | str = ..., /, *, signals: Sequence[signal.Signals] = ..., say: Say | None = ...,
    then: Then = ..., together: float = ...,
) -> Ladder[Outcome]: ...  # fmt: skip
@overload
def on_signals(
    store: AsyncStore, plan: Plan | str = ..., /, *, signals: Sequence[signal.Signals] = ..., say: Say | None = ...,
    then: Then = ..., together: float = ...,
) -> AsyncLadder[Outcome]: ...  # fmt: skip
@overload
def on_signals(
    spooler: Spooler, plan: Plan | str = ..., /, *, signals: Sequence[signal.Signals] = ..., say: Say | None = ...,
    then: Then = ..., together: float = ...,
) -> Ladder[SpoolerOutcome]: ...  # fmt: skip
@overload
def on_signals(
    spooler: AsyncSpooler, plan: Plan | str = ..., /, *, signals: Sequence[signal.Signals] = ..., say: Say | None = ...,
    then: Then = ..., together: float = ...,
) -> AsyncLadder[SpoolerOutcome]: ...  # fmt: skip
@overload
def on_signals(
    *stores: Store, plan: Plan | str = ..., signals: Sequence[signal.Signals] = ..., say: Say | None = ...,
    then: Then = ..., together: float = ...,
) -> Ladder[Outcome]: ...  # fmt: skip
@overload
def on_signals(
    *stores: AsyncStore, plan: Plan | str = ..., signals: Sequence[signal.Signals] = ..., say: Say | None = ...,
    then: Then = ..., together: float = ...,
) -> AsyncLadder[Outcome]: ...  # fmt: skip
def on_signals(
    *stores: Store | AsyncStore | Spooler | AsyncSpooler | Plan | str, plan: Plan | str = DEFAULT,
    signals: Sequence[signal.Signals] = USUAL,
    say: Say | None = None, then: Then = "nothing", together: float = TOGETHER,
) -> Ladder[Any] | AsyncLadder[Any]:  # fmt: skip
    """Return a context manager; while its block runs, these signals close the stores by this plan, all at once.

    A spooler stands for all its stores.

    `say` is called with each line of text (default: write it to standard error).  After the plan `then` says what
    happens: nothing, since the program asks for the `outcome()`, or the handlers of before get the first signal again.
    `together` are the seconds within which signals count as one.

    When the block is left, the handlers of before are restored; a closing under way goes on.  Outside the main thread
    the block is entered without handlers, which is said.  Raise ValueError for a plan that makes no sense, TypeError
    for anything but stores of one kind.
    """
    last = stores[-1] if stores else None
    if isinstance(last, (Plan, str)):
        stores, plan = stores[:-1], last
    chosen = Plan.parse(plan) if isinstance(plan, str) else plan
    threads = [one for one in stores if isinstance(one, (Store, Spooler))]
    tasks = [one for one in stores if isinstance(one, (AsyncStore, AsyncSpooler))]
    if stores and len(threads) == len(stores):
        return Ladder(threads, chosen, signals, say or _to_stderr, then, together)
    if stores and len(tasks) == len(stores):
        return AsyncLadder(tasks, chosen, signals, say or _to_stderr, then, together)
    strange = next((one for one in stores if one not in threads and one not in tasks), None)
    if strange is None and stores:
        raise TypeError("the stores of one ladder are all Stores or all AsyncStores, not both")
    wrong = last if strange is None else strange
    raise TypeError(f"the stores come first, each a Store or an AsyncStore, not {wrong!r}")


class _BaseLadder(Generic[OutcomeT]):
    """What both ladders do with a note."""

    def __init__(
        self, stores: Sequence[BaseStore | BaseSpooler], plan: Plan, signals: Sequence[signal.Signals], say: Say,
        then: Then, together: float,
    ) -> None:  # fmt: skip
        self._all, self._plan, self._signals, self._write = tuple(stores), plan, tuple(signals), say
        self._then, self._together = then, together
        self._name = ", ".join(store.name for store in self._all)
        self._first: int | None = None
        """The signal that began the closing."""
        self._last = -together
        self._announced: PlanStep | None = None
        self._outcomes: dict[BaseStore | BaseSpooler, Outcome | SpoolerOutcome] = {}
        self._ended: Future[OutcomeT] = Future()
        self._previous: dict[int, Callable[[int, FrameType | None], object] | int | None] = {}
        self._handler = self._on_signal  # one object, so that it can be recognised
        self._unsubscribe: list[Callable[[], None]] = []
        _LADDERS.add(self)

    def __enter__(self) -> Self:
        if threading.current_thread() is not threading.main_thread():
            names = " and ".join(one.name for one in self._signals)
            self._say(f"this is not the main thread, so {names} are not handled; close the store in another way")
            return self
        self._install()
        self._unsubscribe = [store.subscribe(self._changed) for store in self._all]
        names = " or ".join(one.name for one in self._signals)
        whom = "the store" if len(self._all) == 1 and isinstance(self._all[0], BaseStore) else "the stores"
        self._say(f"{names} closes {whom}; each further one takes the next step at once:")
        width = max(len(str(step)) for step in self._plan.steps)
        for number, step in enumerate(self._plan.steps, 1):
            self._say(f"  {number}. {step!s:{width}}  {MEANING[step.act]}")
        self._say(f"  {len(self._plan.steps) + 1}. {END}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._unsubscribe_all()
        self._look_for_others()
        self._restore()

    # ----------------------------------------------------------------------------------------------- the handlers

    def _install(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        self._previous_fd = self._onward_fd = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        self._previous = {number: signal.signal(number, self._handler) for number in self._signals}
        self._listen()

    def _restore(self) -> None:
        """Put the handlers of before back, but not in the place of those that were set since."""
        if not self._previous:
            return
        previous, self._previous = self._previous, {}
        if (found := signal.set_wakeup_fd(self._previous_fd, warn_on_full_buffer=False)) != self._writer.fileno():
            signal.set_wakeup_fd(found, warn_on_full_buffer=False)
        for number, handler in previous.items():
            if signal.getsignal(number) == self._handler:
                signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._stop_listening()

    def forked(self) -> None:
        """Restore the handlers in a child, where nothing of this ladder is listened to."""
        previous, self._previous, self._unsubscribe = self._previous, {}, []
        if previous:
            signal.set_wakeup_fd(-1)
        for number, handler in previous.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        """Run by the main thread, after the number was written into the socket (theory, 2)."""
        if not self._previous:  # somebody else's handler, set meanwhile, still calls this one
            return
        if self._ended.done() and self._then == "previous":
            self._hand_over(number)
        elif (found := signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)) != self._writer.fileno():
            self._onward_fd = found
            self._writer.send(bytes((number,)))

    def _unsubscribe_all(self) -> None:
        unsubscribe, self._unsubscribe = self._unsubscribe, []
        for end in unsubscribe:
            end()

    def _hand_over(self, number: int) -> None:
        self._unsubscribe_all()
        self._restore()
        signal.raise_signal(number)

    def _look_for_others(self) -> None:
        """Say of each signal whose handler is not ours any more."""
        for number in [number for number in self._previous if signal.getsignal(number) != self._handler]:
            other = signal.getsignal(number)
            name = signal.Signals(number).name
            self._say(f"{name} has another handler since, {_named(other)}, which decides now")
            del self._previous[number]

    def _listen(self) -> None:
        raise NotImplementedError

    def _stop_listening(self) -> None:
        raise NotImplementedError

    def _note(self, note: _Note) -> None:
        """Have this handled in the ladder's thread or loop.  Called with a store's lock held."""
        raise NotImplementedError

    def _changed(self) -> None:
        if self._first is not None and self._step() is not self._announced:
            self._note(None)

    def _step(self) -> PlanStep | None:
        return next((step for store in self._all if (step := store.current_step) is not None), None)

    # ------------------------------------------------------------------------------- in the ladder's thread or loop

    def _read(self, numbers: bytes) -> None:
        """Handle these signals; pass on those of others."""
        for number in numbers:
            if number in self._signals:
                self._handle(number)
            elif self._onward_fd >= 0:
                os.write(self._onward_fd, bytes((number,)))

    def _handle(self, note: _Note) -> None:
        if note is None:
            self._announce("time is up")
        elif not isinstance(note, int):
            self._say(str(note))
            self._ended.set_result(cast("OutcomeT", note))
            if self._then == "previous" and self._first is not None and self._previous:
                self._end_as_before(self._first)
        elif self._ended.done() and self._then == "previous":
            pass  # the main thread hands it over
        elif (now := time.monotonic()) - self._last >= self._together:
            self._last = now
            self._climb(note)

    def _climb(self, number: int) -> None:
        name = signal.Signals(number).name
        if self._ended.done():
            self._say(f"{name}: the plan is over already: {self._ended.result()}")
        elif self._first is None:
            self._first = number
            joins = self._step() is not None
            for store in self._all:
                closing: Future[Any] = store.begin_closing(self._plan)
                closing.add_done_callback(partial(self._closed, store))
            self._announce(f"{name}, joining a closing under way" if joins else name)
        else:
            for store in self._all:
                store.next_step()
            if not self._announce(name):
                self._say(f"{name}: the plan ends now")

    def _end_as_before(self, number: int) -> None:
        """Have the main thread hand over to the handlers of before."""
        raise NotImplementedError

    def _announce(self, why: str) -> bool:
        """Say which step begins, unless that was said; return False if there is none to announce."""
        closing = next((store for store in self._all if store.current_step is not None), self._all[0])
        progress = closing.progress_now()
        step, then = progress.step, progress.next_step
        if step is None or step is self._announced:
            return False
        self._announced = step
        after = f"the next signal takes {then}: {MEANING[then.act]}" if then else f"with the next signal {END}"
        self._say(f"{why}: {step}: {MEANING[step.act]}; {after}")
        return True

    def _closed(self, store: BaseStore | BaseSpooler, done: Future[Outcome | SpoolerOutcome]) -> None:
        self._outcomes[store] = done.result()
        if len(self._outcomes) == len(self._all):
            self._note(done.result())

    def _say(self, line: str) -> None:
        try:
            self._write(f"{self._name}: {line}")
        except Exception:  # a closed terminal must not keep a store from closing
            log.exception("%s: cannot write: %s", self._name, line, extra=about(self._name))


_LADDERS: Final[WeakSet[_BaseLadder[Any]]] = WeakSet()


@in_each_child
def _restore_handlers() -> None:
    for ladder in _LADDERS:
        ladder.forked()


class Ladder(_BaseLadder[OutcomeT]):
    """The signals of stores for threads, read by a thread of its own."""

    _all: tuple[Store | Spooler, ...]

    def outcome(self) -> OutcomeT:
        """Wait until the closing that a signal began has ended, and return its outcome."""
        return self._all[0].clock.result(self._ended)

    def _listen(self) -> None:
        self._notes: deque[_Note | Literal["stop"]] = deque()
        threading.Thread(target=self._serve, name="fsm signals", daemon=True).start()

    def _stop_listening(self) -> None:
        self._note("stop")

    def _note(self, note: _Note | Literal["stop"]) -> None:
        self._notes.append(note)
        self._writer.send(NOTE)

    def _serve(self) -> None:
        stopping = False
        with self._reader, self._writer:
            while not stopping or (self._first is not None and not self._ended.done()):
                byte = self._reader.recv(1)
                if byte != NOTE:
                    self._read(byte)
                elif (note := self._notes.popleft()) == "stop":
                    stopping = True
                else:
                    self._handle(note)

    def _end_as_before(self, number: int) -> None:
        os.kill(os.getpid(), number)  # the main thread's number is unknown where gevent has patched threads


class AsyncLadder(_BaseLadder[OutcomeT]):
    """The signals of stores for asyncio, read by their loop; the block is an ordinary `with`."""

    _all: tuple[AsyncStore | AsyncSpooler, ...]

    async def outcome(self) -> OutcomeT:
        """Wait until the closing that a signal began has ended, and return its outcome.

        Cancelling it ends only the waiting.
        """
        return await asyncio.shield(asyncio.wrap_future(self._ended))

    @property
    def _loop(self) -> asyncio.AbstractEventLoop:
        return self._all[0].loop

    def _listen(self) -> None:
        self._reader.setblocking(False)
        self._loop.add_reader(self._reader, lambda: self._read(self._reader.recv(1_024)))

    def _stop_listening(self) -> None:
        if not self._loop.is_closed():
            self._loop.remove_reader(self._reader)
        self._reader.close()
        self._writer.close()

    def _note(self, note: _Note) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._handle, note)

    def _end_as_before(self, number: int) -> None:
        self._hand_over(number)


def _named(handler: object) -> str:
    return f"{getattr(handler, '__module__', '')}.{getattr(handler, '__qualname__', handler)}".strip(".")


def _to_stderr(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
