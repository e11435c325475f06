"""Items: messages in flight, and the ways in which they can end.

Theory.
1. An item begins when its block is entered (an outgoing one when it is claimed) and ends once, when its block is left.
2. If `fail` or `defer` was called, it ends that way, because the other side has answered.  Otherwise an inbound item is
   received if its block is left normally and failed if it is left by an exception (its source keeps the message); an
   outbound item is sent, or deferred with the exception as the reason.
3. After `past_no_return` (the final dot may have been sent) an exception says nothing about the message.  It is then
   *uncertain*, and the store's policy decides: it is sent again later, and counted, or held until a person decides.
4. Stopping an item is a request.  The item still ends by itself, when its block is left.  In asyncio its task is
   cancelled; in a thread the program looks (`check`), or is called (`on_cancel`).  If it does neither, the outcome says
   so.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final, Literal, NoReturn, TypeAlias

from fsm.store.clock import Clock
from fsm.store.errors import Stopped
from fsm.store.message import Message
from fsm.store.process import check_process

__all__ = ["Blocker", "Direction", "Ending", "Item"]

Direction: TypeAlias = Literal["inbound", "outbound", "storage"]
REASONS: Final = {
    "CancelledError": "it was cancelled",
    "KeyboardInterrupt": "it was interrupted",
    "TimeoutError": "it took too long",
}
"""What to write for an exception without a message."""

DEAF: Final = "asked to end, which it does not notice (it has neither check() nor on_cancel())"


@dataclass(frozen=True, slots=True)
class Ending:
    """How an item ends.

    `after` is in seconds, None for the store's schedule; `recipients` are those it is about, None for all.
    """

    kind: Literal["received", "failed", "sent", "deferred", "uncertain"]
    reason: str = ""
    after: float | None = None
    reported: bool = False
    recipients: tuple[str, ...] | None = None
    refund: bool = False
    """True if the attempt does not count, because the store itself has stopped it."""


@dataclass(frozen=True, slots=True)
class Blocker:
    """An item in flight, as it stands in the way.  `age` and `silent` (since the last progress) are in seconds.

    Its `direction` is "storage" if it is no item but the storage, which does not answer, or fails, for `age` seconds;
    `id` is its name and `note` the reason, or what is under way in it.
    """

    direction: Direction
    id: str
    peer: str
    provider: str
    age: float
    silent: float
    note: str

    def __str__(self) -> str:
        if self.direction == "storage":
            return f"storage {self.id}, {self.age:.1f} s, {self.note}"
        other = self.provider or self.peer
        preposition = {"inbound": "from", "outbound": "to"}[self.direction]
        named = f"{self.direction} {self.id}{f' {preposition} {other}' if other else ''}, {self.age:.1f} s"
        return f"{named}{f', {self.note} for {self.silent:.1f} s' if self.note else ''}"


class Item:
    """A message in flight.  `message` is what is being sent, None for an inbound item; `id` names it.

    `changed` is called after each progress.  A store makes its items; a program gets them from `inbound` and
    `outgoing`.
    """

    def __init__(
        self, clock: Clock, lock: AbstractContextManager[bool], changed: Callable[[], object], direction: Direction, *,
        peer: str = "", provider: str = "", note: str = "",
    ) -> None:  # fmt: skip
        self.direction: Direction = direction
        self.peer, self.provider = peer, provider
        self.message: Message | None = None
        self.id = ""
        self.stop_reason: str | None = None
        """Why the item was asked to end; None if it was not.  For the store: a program reads `stopped`."""
        self.entered = False
        """True once its block was entered."""
        self.over = False
        """True once its ending was requested."""
        self.unrecorded: BaseException | None = None
        """Why its ending is not recorded; None if it is, or if the item has not ended."""
        self.recorded = False
        """True once its ending is recorded."""
        self.left: Callable[[Ending], object] | None = None
        """Called when its block is left, with how it ends: what an observer wants to hear."""
        self._clock, self._lock, self._changed = clock, lock, changed
        self._what, self._note = note, ""
        self._looks = False
        """True once the program has looked whether the item was asked to end."""
        self._began = self._moved = clock.monotonic()
        self._decided: Ending | None = None
        self._past_no_return = False
        self._on_cancel: list[Callable[[str], object]] = []
        self._pid = os.getpid()

    def __reduce__(self) -> NoReturn:
        raise TypeError("an item stays in the process that took it: hand over its message, and end it here")

    def __repr__(self) -> str:
        return f"<{self.blocker}>"

    # ---------------------------------------------------------------------------------------- for the program

    def progress(self, note: str = "") -> None:
        """Note that the item moved, and what it waits for now.  Shown with the blockers."""
        self._check_usable()
        self._moved = self._clock.monotonic()
        self._note = note or self._note
        self._changed()

    def past_no_return(self) -> None:
        """From here on an exception leaves it open whether the message has arrived."""
        self._check_usable()
        self._past_no_return = True
        self.progress("waiting for the answer")

    def fail(self, reason: str, *, reported: bool = False, recipients: Sequence[str] | None = None) -> None:
        """Let the item fail for good when its block is left.

        `reported` means that the sender knows, so that nothing has to be kept.  An inbound item is refused: its source
        keeps the message.
        """
        self._check_usable()
        self._decided = Ending("failed", reason, reported=reported, recipients=_tuple(recipients))

    def defer(self, reason: str, *, after: float | None = None, recipients: Sequence[str] | None = None) -> None:
        """Try the message again after so many seconds (None: the store's schedule), for these recipients (None: all).

        Raise ValueError for an inbound item, since its source decides when to try again, and for a negative, infinite
        or undefined number of seconds.
        """
        if after is not None and not 0 <= after < math.inf:
            raise ValueError(f"a message can be tried again after 0 seconds or more, not after {after}")
        if self.direction == "inbound":
            raise ValueError("an inbound message cannot be deferred here; fail it, and its source tries again")
        self._check_usable()
        self._decided = Ending("deferred", reason, after=after, recipients=_tuple(recipients))

    def on_cancel(self, callback: Callable[[str], object]) -> None:
        """Call this with the reason when the item is stopped, or now if it was before.  Close the socket there."""
        self._check_usable()
        with self._lock:
            self._on_cancel.append(callback)
            stopped = self.stop_reason
        if stopped is not None:
            callback(stopped)

    def check(self) -> None:
        """Raise Stopped if the item was asked to end.  Call it between two pieces of work, in a thread."""
        if (reason := self.stopped) is not None:
            raise Stopped(reason)

    @property
    def stopped(self) -> str | None:
        """Why the item was asked to end; None if it was not."""
        self._looks = True
        return self.stop_reason

    def _check_usable(self) -> None:
        """Raise RuntimeError after the item's end, and in another process."""
        check_process(f"the item {self.id}", self._pid)
        if self.over:
            raise RuntimeError(f"the item {self.id} has ended with its block: decide how it ends before leaving that")

    # ------------------------------------------------------------------------------------------------- to look at

    @property
    def age(self) -> float:
        """Seconds since it began."""
        return self._clock.monotonic() - self._began

    @property
    def blocker(self) -> Blocker:
        """This item as a blocker, as of now."""
        now = self._clock.monotonic()
        notes = [self._what, self._note]
        if self.stop_reason is not None and not self._looks and not self._on_cancel:
            notes.append(DEAF)
        note = ", ".join(filter(None, notes))
        if self.unrecorded is not None:
            note = f"its ending is not recorded ({self.unrecorded})"
        silent = now - self._moved
        return Blocker(self.direction, self.id, self.peer, self.provider, now - self._began, silent, note)

    def ending(self, error: BaseException | None) -> Ending:
        """How the item ends if its block is left by this error (None: normally)."""
        if self._decided is not None:
            return self._decided
        if error is None:
            return Ending("received" if self.direction == "inbound" else "sent")
        said = " ".join(str(error).split()) or REASONS.get(type(error).__name__, type(error).__name__)
        reason = self.stop_reason or said
        if self.direction == "inbound":
            return Ending("failed", reason)
        if self._past_no_return:
            return Ending("uncertain", reason)
        if self.stop_reason is not None:  # the other side is not to blame: whoever goes on with the store need not wait
            return Ending("deferred", reason, after=0.0, refund=True)
        return Ending("deferred", reason)

    # ----------------------------------------------------------------------------------------------- for the store

    def enter(self) -> bool:
        """Note that the block is being entered; return True if the item has not begun yet.

        Raise RuntimeError if the block was entered before, or the item was given back.
        """
        if self.entered:
            raise RuntimeError(f"the block of {self.id or 'an item'} was entered before; ask for another item")
        if self.over:
            hint = "an iterator that ends gives back what was not entered; keep it: for item in store.outgoing(): ..."
            raise RuntimeError(f"{self.id} was given back before its block was entered ({hint})")
        return self.message is None

    def begin(self) -> None:
        """Start the item's time."""
        self._began = self._moved = self._clock.monotonic()

    def stop(self, reason: str) -> list[Callable[[str], object]]:
        """Ask the item to end; return the callbacks to call (none the second time)."""
        if self.stop_reason is not None:
            return []
        self.stop_reason = reason
        return list(self._on_cancel)

    def forget_callbacks(self) -> None:
        """Forget the callbacks, which refer to the item: so it is freed at once, with its content."""
        self._on_cancel.clear()


def _tuple(recipients: Sequence[str] | None) -> tuple[str, ...] | None:
    return None if recipients is None else tuple(recipients)
