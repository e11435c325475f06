"""Items: messages in flight, and the endings they can have.

Theory.
1. An item begins when its block is entered (an outgoing one when it is claimed) and ends when its block is left, once.
2. How it ends: as `fail` or `defer` said, if one was called, for an answer of the other side is certain.  Otherwise an
   inbound item is received when the block is left normally and failed when by an exception (its source keeps it); an
   outbound one is sent, or deferred with the exception as its reason.
3. After `past_no_return` (the final dot may have been sent) an exception says nothing about the message: it is
   *uncertain*, and the store's policy decides: sent again later, and counted, or held until someone decides.
4. Stopping an item is a request: it is told, and it still ends by itself, when its block is left.

This file knows no session and no waiting; `sync.py` and `aio.py` give items their blocks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fsm.store.message import Message

if TYPE_CHECKING:
    from fsm.store.core import Core

__all__ = ["Blocker", "Ending", "Item"]

Direction = Literal["inbound", "outbound"]
KNOWN = {
    "CancelledError": "it was cancelled",
    "KeyboardInterrupt": "it was interrupted",
    "TimeoutError": "it took too long",
}
"""What an error without words means."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How an item ends.  `after` is in seconds, None for the store's schedule; `recipients` the ones it is about."""

    kind: Literal["received", "failed", "sent", "deferred", "uncertain"]
    reason: str = ""
    after: float | None = None
    reported: bool = False
    recipients: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Blocker:
    """An item in flight, by name.  `age` and `silent` (since the last progress) are in seconds."""

    direction: Direction
    id: str
    peer: str
    provider: str
    age: float
    silent: float
    note: str

    def __str__(self) -> str:
        other = self.provider or self.peer
        way = {"inbound": "from", "outbound": "to"}[self.direction]
        named = f"{self.direction} {self.id}{f' {way} {other}' if other else ''}, {self.age:.1f} s"
        return f"{named}{f', {self.note} for {self.silent:.1f} s' if self.note else ''}"


class Item:
    """A message in flight.  `message` is what is being sent, None for an inbound item; `id` names it."""

    _store: object

    def __init__(self, core: Core, direction: Direction, *, peer: str = "", provider: str = "", note: str = "") -> None:
        self.direction: Direction = direction
        self.peer, self.provider = peer, provider
        self.message: Message | None = None
        self.id = ""
        self.stopped: str | None = None
        """Why it was stopped; None when it was not."""
        self.entered = False
        """Whether its block was entered."""
        self.over = False
        """Whether its ending has been asked for."""
        self.unrecorded: BaseException | None = None
        """Why its ending is not recorded; None when it is, or is still to come."""
        self._core = core
        self._note = note
        self._began = self._moved = core.clock.monotonic()
        self._said: Ending | None = None
        self._beyond = False
        self._on_cancel: list[Callable[[str], object]] = []

    def __repr__(self) -> str:
        return f"<{self.blocker}>"

    # -------------------------------------------------------------------------------------- what the program says

    def progress(self, note: str = "") -> None:
        """It moved: what is being waited for now.  Shown with blockers."""
        self._moved = self._core.clock.monotonic()
        self._note = note or self._note
        self._core.tell()

    def past_no_return(self) -> None:
        """From here on an exception leaves it open whether the message has arrived."""
        self._beyond = True
        self.progress("waiting for the answer")

    def fail(self, reason: str, *, reported: bool = False, recipients: Sequence[str] | None = None) -> None:
        """It fails for good when the block is left.  `reported`: its sender knows, so that nothing has to be kept.

        An inbound item is refused: its source keeps it.
        """
        told = None if recipients is None else tuple(recipients)
        self._said = Ending("failed", reason, reported=reported, recipients=told)

    def defer(self, reason: str, *, after: float | None = None, recipients: Sequence[str] | None = None) -> None:
        """It is tried again after so many seconds (None: the store's schedule), for these recipients (None: all).

        ValueError for an inbound item, as its source decides when to try again, and for seconds that are none.
        """
        if after is not None and not 0 <= after < math.inf:
            raise ValueError(f"a message can be tried again after 0 seconds or more, not after {after}")
        if self.direction == "inbound":
            raise ValueError("an inbound message cannot be deferred here; fail it, and its source tries again")
        told = None if recipients is None else tuple(recipients)
        self._said = Ending("deferred", reason, after=after, recipients=told)

    def on_cancel(self, call: Callable[[str], object]) -> None:
        """Call this with the reason when the item is stopped (at once, when it is already): close the socket here."""
        with self._core.lock:
            self._on_cancel.append(call)
            stopped = self.stopped
        if stopped is not None:
            call(stopped)

    # ------------------------------------------------------------------------------------------ what can be seen

    @property
    def age(self) -> float:
        """Seconds since it began."""
        return self._core.clock.monotonic() - self._began

    @property
    def blocker(self) -> Blocker:
        """It, as it stands in the way."""
        now = self._core.clock.monotonic()
        note = self._note if self.unrecorded is None else f"its ending is not recorded ({self.unrecorded})"
        silent = now - self._moved
        return Blocker(self.direction, self.id, self.peer, self.provider, now - self._began, silent, note)

    def ending(self, error: BaseException | None) -> Ending:
        """How it ends when its block is left by this error (None: normally)."""
        if self._said is not None:
            return self._said
        if error is None:
            return Ending("received" if self.direction == "inbound" else "sent")
        reason = self.stopped or " ".join(str(error).split()) or KNOWN.get(type(error).__name__, type(error).__name__)
        if self.direction == "inbound":
            return Ending("failed", reason)
        return Ending("uncertain" if self._beyond else "deferred", reason)

    # ------------------------------------------------------------------------------------------ what the core does

    def enter(self) -> bool:
        """Its block is being entered; whether it is still to begin.  RuntimeError unless that can be done now."""
        if self.entered:
            raise RuntimeError(f"the block of {self.id or 'an item'} was entered before; ask for another item")
        if self.over:
            told = "an iterator that ends gives back what was not entered; keep it: for item in store.outgoing(): ..."
            raise RuntimeError(f"{self.id} was given back before its block was entered ({told})")
        return self.message is None

    def begin(self) -> None:
        """It is in flight from now on."""
        self._began = self._moved = self._core.clock.monotonic()

    def stop(self, reason: str) -> list[Callable[[str], object]]:
        """It is to end; who has to be told (nobody the second time)."""
        if self.stopped is not None:
            return []
        self.stopped = reason
        return list(self._on_cancel)
