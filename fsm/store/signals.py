"""Signals: the first SIGTERM or SIGINT closes a store by a plan, each further one begins the plan's next step.

    with on_signals(store, "NO_WAIT 20s -> ORDERLY 5s -> cancel 3s") as ladder:
        ...                                    # the program at work
        print(ladder.outcome())                # or: print(await ladder.outcome())

Theory.
1. The ladder announces itself: when it is set up it says what the first signal does and what each further one does.
   Each signal is answered with what happens now and what the next signal would do, and so is a step that begins because
   the time of the one before is over.
2. Nothing is done in a signal handler, for it may interrupt the store anywhere, and a main thread that waits for a lock
   may not run its handlers at all.  Python writes the signal's number into a socket; a thread of the ladder, or in
   asyncio the loop, reads it and acts.
3. The first signal joins a closing that somebody else began; no step is skipped that was not announced.  After the end
   a signal is answered, and does nothing.
4. A forked child shares the socket with its parent, and would tell it of the child's signals.  So in a child the
   handlers of before are restored at once.
"""

from __future__ import annotations

import asyncio
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
from typing import Final, Literal, Self, TypeAlias, overload
from weakref import WeakSet

from fsm.logoff.flags import Logoff
from fsm.store.aio import AsyncStore
from fsm.store.base import BaseStore
from fsm.store.outcome import Outcome
from fsm.store.plan import DEFAULT, Plan, PlanStep
from fsm.store.process import in_each_child
from fsm.store.sync import Store

__all__ = ["AsyncLadder", "Ladder", "on_signals"]

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

Say: TypeAlias = Callable[[str], object]
_Note: TypeAlias = "int | Outcome | None"
"""A signal; how the closing ended; or None: the plan may have begun another step."""


@overload
def on_signals(
    store: Store, plan: Plan | str = ..., signals: Sequence[signal.Signals] = ..., say: Say = ...
) -> Ladder: ...
@overload
def on_signals(
    store: AsyncStore, plan: Plan | str = ..., signals: Sequence[signal.Signals] = ..., say: Say = ...
) -> AsyncLadder: ...
def on_signals(
    store: Store | AsyncStore, plan: Plan | str = DEFAULT, signals: Sequence[signal.Signals] = USUAL,
    say: Say | None = None,
) -> Ladder | AsyncLadder:  # fmt: skip
    """Return a context manager; while its block runs, these signals close the store by this plan.

    `say` is called with each line of text (default: write it to standard error).  When the block is left, the handlers
    of before are restored (except, in asyncio, those set by `add_signal_handler`, which cannot be read); a closing
    under way goes on.  Entering it raises RuntimeError outside the main thread.  Raise ValueError for a plan that makes
    no sense.
    """
    chosen = Plan.parse(plan) if isinstance(plan, str) else plan
    if isinstance(store, Store):
        return Ladder(store, chosen, signals, say or _to_stderr)
    if isinstance(store, AsyncStore):
        return AsyncLadder(store, chosen, signals, say or _to_stderr)
    raise TypeError(f"the store comes first, a Store or an AsyncStore, not {store!r}")


class _BaseLadder:
    """What both ladders do with a note."""

    def __init__(self, store: BaseStore, plan: Plan, signals: Sequence[signal.Signals], say: Say) -> None:
        self._store, self._plan, self._signals, self._write = store, plan, tuple(signals), say
        self._begun = False
        self._announced: PlanStep | None = None
        self._ended: Future[Outcome] = Future()
        self._previous: dict[int, Callable[[int, FrameType | None], object] | int | None] = {}
        self._unsubscribe: Callable[[], None]
        _LADDERS.add(self)

    def __enter__(self) -> Self:
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("signal handlers can only be installed from the main thread")
        self._entered_in = os.getpid()
        self._previous = {number: signal.getsignal(number) for number in self._signals}
        self._install()
        self._unsubscribe = self._store.subscribe(self._changed)
        names = " or ".join(one.name for one in self._signals)
        self._say(f"{names} closes the store; each further one takes the next step at once:")
        width = max(len(str(step)) for step in self._plan.steps)
        for number, step in enumerate(self._plan.steps, 1):
            self._say(f"  {number}. {step!s:{width}}  {MEANING[step.act]}")
        self._say(f"  {len(self._plan.steps) + 1}. {END}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._entered_in != os.getpid():
            return  # the handlers were restored by the fork
        self._unsubscribe()
        self._uninstall()
        self._restore()

    def _restore(self) -> None:
        previous, self._previous = self._previous, {}
        for number, handler in previous.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _install(self) -> None:
        raise NotImplementedError

    def _uninstall(self) -> None:
        raise NotImplementedError

    def _note(self, note: _Note) -> None:
        """Have this handled in the ladder's thread or loop.  Called with the store's lock held."""
        raise NotImplementedError

    def _changed(self) -> None:
        if self._begun and self._store.current_step is not self._announced:
            self._note(None)

    # ------------------------------------------------------------------------------- in the ladder's thread or loop

    def _handle(self, note: _Note) -> None:
        if note is None:
            self._announce("time is up")
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
            joins = self._store.current_step is not None
            self._store.begin_closing(self._plan).add_done_callback(lambda done: self._note(done.result()))
            self._announce(f"{name}, joining a closing under way" if joins else name)
        else:
            self._store.next_step()
            if not self._announce(name):
                self._say(f"{name}: the plan ends now")

    def _announce(self, why: str) -> bool:
        """Say which step begins, unless that was said; return False if there is none to announce."""
        progress = self._store.progress_now()
        step, then = progress.step, progress.next_step
        if step is None or step is self._announced:
            return False
        self._announced = step
        after = f"the next signal takes {then}: {MEANING[then.act]}" if then else f"with the next signal {END}"
        self._say(f"{why}: {step}: {MEANING[step.act]}; {after}")
        return True

    def _say(self, line: str) -> None:
        try:
            self._write(f"{self._store.name}: {line}")
        except Exception:  # a closed terminal must not keep the store from closing
            log.exception("%s: cannot write: %s", self._store.name, line)


_LADDERS: Final[WeakSet[_BaseLadder]] = WeakSet()


@in_each_child
def _restore_handlers() -> None:
    for ladder in _LADDERS:
        if ladder._previous:
            signal.set_wakeup_fd(-1)
            ladder._restore()


class Ladder(_BaseLadder):
    """The signals of a store for threads."""

    _store: Store

    def outcome(self) -> Outcome:
        """Wait until the closing that a signal began has ended, and return its outcome."""
        return self._store.clock.result(self._ended)

    def _install(self) -> None:
        self._notes: deque[_Note | Literal["stop"]] = deque()
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        self._previous_fd = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        for number in self._signals:
            signal.signal(number, _ignore)
        threading.Thread(target=self._serve, name="fsm signals", daemon=True).start()

    def _uninstall(self) -> None:
        signal.set_wakeup_fd(self._previous_fd, warn_on_full_buffer=False)
        self._send("stop")

    def _note(self, note: _Note) -> None:
        self._send(note)

    def _send(self, note: _Note | Literal["stop"]) -> None:
        self._notes.append(note)
        self._writer.send(b"\0")

    def _serve(self) -> None:
        stopping = False
        with self._reader, self._writer:
            while not stopping or (self._begun and not self._ended.done()):
                byte = self._reader.recv(1)
                if byte == b"\0":
                    note = self._notes.popleft()
                    if note == "stop":
                        stopping = True
                    else:
                        self._handle(note)
                elif byte[0] in self._signals:
                    self._handle(byte[0])
                elif self._previous_fd >= 0:  # another signal
                    os.write(self._previous_fd, byte)


def _ignore(number: int, frame: FrameType | None) -> None:
    """Do nothing: the ladder's thread has read the signal's number before this is called."""


class AsyncLadder(_BaseLadder):
    """The signals of a store for asyncio; its block is an ordinary `with`."""

    _store: AsyncStore

    async def outcome(self) -> Outcome:
        """Wait until the closing that a signal began has ended, and return its outcome.

        Cancelling it ends only the waiting.
        """
        return await asyncio.shield(asyncio.wrap_future(self._ended))

    def _install(self) -> None:
        for number in self._signals:
            self._store.loop.add_signal_handler(number, self._note, number)

    def _uninstall(self) -> None:
        for number in self._signals:
            self._store.loop.remove_signal_handler(number)

    def _note(self, note: _Note) -> None:
        if not self._store.loop.is_closed():
            self._store.loop.call_soon_threadsafe(self._handle, note)


def _to_stderr(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
