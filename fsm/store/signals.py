"""Signals as a ladder: the first SIGTERM or SIGINT closes a store by a plan, each further one takes its next step.

    with on_signals(store, "NO_WAIT 20s -> ORDERLY 5s -> cancel 3s") as ladder:
        ...                                    # the program at work
        print(ladder.outcome())                # or: print(await ladder.outcome())

Theory.
1. The ladder is told before anyone has to climb it: when it is put up it says what the first signal does and what each
   further one; each signal is answered with what happens now and what the next signal would do, and so is a step that
   comes because the time of the one before it is over.
2. Nothing is done in a handler, for it may interrupt the store in the middle of something, and a main thread that waits
   for a lock may not come to its handlers at all.  Python writes the signal's number into a socket; who reads it (in
   threads a thread of the ladder, in asyncio the loop) does what is to be done.
3. A closing that somebody else began is joined by the first signal; nothing is skipped that was not announced.
   After the end a signal is answered, and does nothing.

This file does not know what a step does (`shutdown.py`).
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Final, Literal, Self, TypeAlias, overload

from fsm.logoff.flags import Logoff
from fsm.store import sync
from fsm.store.plan import DEFAULT, Plan, PlanStep

if TYPE_CHECKING:
    import asyncio

    from fsm.store import aio
    from fsm.store.base import BaseStore
    from fsm.store.outcome import Outcome

__all__ = ["Ladder", "LoopLadder", "on_signals"]

log: Final = logging.getLogger("fsm.store")
USUAL: Final = (signal.SIGTERM, signal.SIGINT)

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

Said: TypeAlias = Callable[[str], object]
_Note: TypeAlias = "int | Outcome | None"  # a signal; how it ended; or: look whether there is another step


@overload
def on_signals(
    store: sync.Store, plan: Plan | str = ..., signals: Sequence[signal.Signals] = ..., say: Said = ...
) -> Ladder: ...
@overload
def on_signals(
    store: aio.AsyncStore, plan: Plan | str = ..., signals: Sequence[signal.Signals] = ..., say: Said = ...
) -> LoopLadder: ...
def on_signals(
    store: sync.Store | aio.AsyncStore,
    plan: Plan | str = DEFAULT,
    signals: Sequence[signal.Signals] = USUAL,
    say: Said | None = None,
) -> Ladder | LoopLadder:
    """The ladder for a store, as a context manager: while its block runs, these signals close the store by this plan.

    `say` is called with each line there is to say; left out, lines go to standard error.  When the block is left the
    handlers of before are put back (in asyncio, one that was set by `add_signal_handler` cannot be asked for and is
    not); a closing under way goes on.  In the main thread only (RuntimeError).  ValueError for a plan that is none.
    """
    chosen = Plan.parse(plan) if isinstance(plan, str) else plan
    if isinstance(store, sync.Store):
        return Ladder(store, chosen, signals, say or _to_stderr)
    from fsm.store import aio

    if isinstance(store, aio.AsyncStore):
        return LoopLadder(store, chosen, signals, say or _to_stderr)
    raise TypeError(f"the store comes first, a Store or an AsyncStore, not {store!r}")


class _Ladder:
    """What both ladders do with a note."""

    def __init__(self, store: BaseStore, plan: Plan, signals: Sequence[signal.Signals], say: Said) -> None:
        self._store, self._plan, self._signals, self._tell = store, plan, tuple(signals), say
        self._core, self._closer = store._core, store._closer
        self._begun = False
        self._shown: PlanStep | None = None
        self._ended: Future[Outcome] = Future()
        self._before: dict[int, Callable[[int, FrameType | None], object] | int | None] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("signals can be handled in the main thread only; put the ladder up there")
        self._before = {number: signal.getsignal(number) for number in self._signals}
        self._put_up()
        self._core.told.append(self._look)
        names = " or ".join(one.name for one in self._signals)
        self._say(f"{names} closes the store; each further one takes the next step at once:")
        wide = max(len(str(step)) for step in self._plan.steps)
        for place, step in enumerate(self._plan.steps, 1):
            self._say(f"  {place}. {step!s:{wide}}  {MEANING[step.act]}")
        self._say(f"  {len(self._plan.steps) + 1}. {END}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._core.told.remove(self._look)
        self._take_down()
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _put_up(self) -> None:
        raise NotImplementedError

    def _take_down(self) -> None:
        raise NotImplementedError

    def _note(self, note: _Note) -> None:
        """Have this done elsewhere; called under the store's lock."""
        raise NotImplementedError

    def _look(self) -> None:
        if self._begun and self._closer.step is not self._shown:
            self._note(None)

    # ------------------------------------------------------------------------------------- what is done elsewhere

    def _do(self, note: _Note) -> None:
        if note is None:
            self._show("time is up")
        elif not isinstance(note, int):
            self._say(str(note))
            self._ended.set_result(note)
        else:
            self._climb(signal.Signals(note).name)

    def _climb(self, name: str) -> None:
        if self._ended.done():
            self._say(f"{name}: the plan is over already: {self._ended.result()}")
        elif not self._begun:
            self._begun = True
            theirs = self._closer.step is not None
            self._closer.close(self._plan).add_done_callback(lambda done: self._note(done.result()))
            self._show(f"{name}, joining a closing under way" if theirs else name)
        else:
            self._closer.next_step()
            if not self._show(name):
                self._say(f"{name}: the plan ends now")

    def _show(self, why: str) -> bool:
        """Say which step is taken, unless that was said; whether there was one to speak of."""
        with self._core.lock:
            step, then = self._closer.step, self._closer.next
        if step is None or step is self._shown:
            return False
        self._shown = step
        after = f"the next signal takes {then}: {MEANING[then.act]}" if then else f"with the next signal {END}"
        self._say(f"{why}: {step}: {MEANING[step.act]}; {after}")
        return True

    def _say(self, line: str) -> None:
        try:
            self._tell(f"{self._core.name}: {line}")
        except Exception:  # a closed terminal must not keep the store from closing
            log.exception("%s: could not say: %s", self._core.name, line)


class Ladder(_Ladder):
    """The ladder of a store for threads."""

    _store: sync.Store

    def outcome(self) -> Outcome:
        """Wait until the closing that a signal began has ended; its outcome."""
        return self._core.clock.result(self._ended)

    def _put_up(self) -> None:
        self._notes: deque[_Note | Literal["down"]] = deque()
        self._read, self._written = socket.socketpair()
        self._written.setblocking(False)
        self._other = signal.set_wakeup_fd(self._written.fileno(), warn_on_full_buffer=False)
        for number in self._signals:
            signal.signal(number, _noticed)
        threading.Thread(target=self._serve, name="fsm signals", daemon=True).start()

    def _take_down(self) -> None:
        signal.set_wakeup_fd(self._other, warn_on_full_buffer=False)
        self._hand_over("down")

    def _note(self, note: _Note) -> None:
        self._hand_over(note)

    def _hand_over(self, note: _Note | Literal["down"]) -> None:
        self._notes.append(note)
        self._written.send(b"\0")

    def _serve(self) -> None:
        down = False
        with self._read, self._written:
            while not down or (self._begun and not self._ended.done()):
                byte = self._read.recv(1)
                if byte == b"\0":
                    note = self._notes.popleft()
                    if note == "down":
                        down = True
                    else:
                        self._do(note)
                elif byte[0] in self._signals:
                    self._do(byte[0])
                elif self._other >= 0:  # somebody else's signal
                    os.write(self._other, byte)


def _noticed(number: int, frame: FrameType | None) -> None:
    """What is to be done the ladder's thread does; it has had the signal's number before this is called."""


class LoopLadder(_Ladder):
    """The ladder of a store for asyncio; its block is an ordinary `with`."""

    _store: aio.AsyncStore

    async def outcome(self) -> Outcome:
        """Wait until the closing that a signal began has ended; its outcome.  Cancelling it stops only the waiting."""
        from asyncio import shield, wrap_future

        return await shield(wrap_future(self._ended))

    def _put_up(self) -> None:
        self._loop: asyncio.AbstractEventLoop = self._store._loop
        for number in self._signals:
            self._loop.add_signal_handler(number, self._note, number)

    def _take_down(self) -> None:
        for number in self._signals:
            self._loop.remove_signal_handler(number)

    def _note(self, note: _Note) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._do, note)


def _to_stderr(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
