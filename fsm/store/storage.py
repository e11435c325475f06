"""The storage port: what a spooler needs from whatever keeps the messages, the journal and the list of processes.

Theory.
1. A message is in one state of the chart in `life.py`, or it is gone.  Each change is one transaction, together with
   the journal entry of the step that it causes.
2. The queue of a store is divided into *parts*.  A process that has the store open holds at least one part: its session
   counts the ready and deferred messages of its parts, and nobody else counts them.  So opening, leaving and adopting a
   queue change the rows of parts, and never those of messages.
3. Whoever leaves writes the counts into its parts.  The parts of a process that died are counted once, when somebody
   adopts them.  A message that belongs to no part (its process died while sending it, or deferred it after it had left)
   joins a part of whoever looks next.
4. Anyone may take or withdraw a message of another's part, and leaves a note of how many; the holder reads its notes
   and counts them out.
5. Leaving and looking hold the lock of the store.  Of several processes that leave together exactly one sees no peers.

`ring`, `messages` and `message` can be called from any thread; all other methods from one thread at a time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol, TypeAlias

from fsm.store.message import Message

__all__ = [
    "LAPSED", "Ask", "Handle", "Kind", "Look", "News", "Policy", "Removed", "Rows", "Steps", "Storage", "Transaction",
]  # fmt: skip

Kind = Literal["peers", "work", "taken", "steps", "times"]
"""What one process tells the others: processes came or went, work is ready, or messages were taken from their parts.

Two kinds are for the sessions of the database (`fsm.sessions`), and concern no store: "steps" tells those who follow
them, and "times" says that something is due earlier than what was known.
"""
Policy = Literal["resend", "hold"]
"""What happens to a message that may or may not have arrived: send it again (and count that), or set it aside."""
LAPSED: Final = "the process that was sending it has stopped; whether it arrived is unknown"
"""The `reason` of a message whose claim has lapsed."""


Rows: TypeAlias = Sequence[Sequence[Any]]
"""What a statement answers."""
Steps: TypeAlias = Generator[Rows | Awaitable[Rows], Rows, None]
"""Statements, one after the other: yields what each answers, to be awaited if it has to be, and wants it back."""


class Handle:
    """A store that this process has open, as its storage knows it.  `parts` are the numbers of the parts it holds."""

    __slots__ = ("left", "name", "number", "parts", "policy")

    def __init__(self, name: str, policy: Policy = "resend") -> None:
        self.name, self.policy = name, policy
        self.number = 0
        self.parts: tuple[int, ...] = ()
        self.left = False

    def __repr__(self) -> str:
        return f"<store {self.name} ({self.number}), parts {self.parts}>"


class Removed(Exception):
    """Another process took this one for dead and removed it; `Transaction.revive` makes it a process again."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A request to look at a store.

    With `peers` the store is locked, and its peers are counted.  With `adopt` what is nobody's becomes ours; with
    `alone` only if there are no peers.  What others have taken is told in any case.
    """

    handle: Handle
    peers: bool = True
    adopt: bool = True
    alone: bool = False

    def __or__(self, other: Ask) -> Ask:
        """Return the request that answers both; they are about the same store."""
        adopting = [one.alone for one in (self, other) if one.adopt]
        return Ask(self.handle, self.peers or other.peers, bool(adopting), bool(adopting) and all(adopting))


@dataclass(slots=True)
class Look:
    """What was found in a store.

    `peers` counts the other living processes that have it open (None: not asked).  `ready` and `deferred` count the
    messages that came into the parts of this process, and `taken_ready` and `taken_deferred` those that others took out
    of them.  `lapsed` are the messages that a dead process was sending, without their content.  `aside` counts the
    messages that wait for a person (only when the store is opened).
    """

    peers: int | None = 0
    ready: int = 0
    deferred: int = 0
    taken_ready: int = 0
    taken_deferred: int = 0
    aside: int = 0
    lapsed: list[Message] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class News:
    """What another process rang for, and in which stores.

    `stores` are the numbers of the stores; None means any.
    """

    kind: Kind
    stores: frozenset[int] | None = None


class Transaction(Protocol):
    """A unit of work: commits when its block exits normally, rolls back on an exception.

    A method ignores a message that is in another state than the method expects, or claimed by another process.
    """

    def open(self, handles: Sequence[Handle]) -> list[Look]:
        """Open these stores; create those that do not exist.  Adopt all parts that nobody holds."""

    def look(self, asks: Sequence[Ask]) -> list[Look]:
        """Lock these stores to the end of the transaction, and look; dead processes are removed first."""

    def revive(self, handles: Sequence[Handle]) -> list[Look]:
        """Register this process again after `Removed`, and hold parts of these stores again.

        The looks tell all that is in the parts now, as after `open`.
        """

    def leave(self, handle: Handle, ready: int | None, deferred: int | None) -> None:
        """Give up the parts, which contain so many messages (None: count them later).  Claims can still end."""

    def lapse(self, handle: Handle) -> None:
        """Give up the claims that this process has in the store: whether those messages arrived is unknown."""

    def submit(self, handle: Handle, message: Message) -> None:
        """Add a ready message to the first part."""

    def claim_new(self, handle: Handle, ids: Sequence[str]) -> list[Message]:
        """Claim messages that were submitted in this transaction; none if `claim` has to be asked for them."""

    def claim(self, wants: Sequence[tuple[Handle, int]]) -> list[list[Message]]:
        """Claim at most so many of the ready messages of each store's parts, the oldest first; count an attempt."""

    def take(self, wants: Sequence[tuple[Handle, int]]) -> list[list[Message]]:
        """Like `claim`, from the parts that others hold, or nobody; leave notes."""

    def sent(self, handle: Handle, id: str) -> None:
        """Delete a claimed message: it was sent, or it failed and its sender knows."""

    def ended(
        self, handle: Handle, id: str, event: str, reason: str, *, due: float | None = None, wait: float | None = None,
        recipients: Sequence[str] | None = None, uncertain: bool = False, refund: bool = False,
    ) -> None:  # fmt: skip
        """Move a claimed message by this event of its life: `defer`, `fail` or `hold`.

        A deferred message is `due` (seconds since 1970) after `wait` seconds; it is for these of its recipients (None:
        all).  With `uncertain` it may have arrived; with `refund` the attempt does not count.
        """

    def fall_due(self, handle: Handle, now: float, limit: int) -> list[str]:
        """Make the deferred messages of our parts ready that are due by now, at most so many; return their ids."""

    def first_due(self, handle: Handle) -> tuple[float, float] | None:
        """Return when the first deferred message of our parts is due, and how long it was told to wait."""

    def flush(self, handle: Handle) -> int:
        """Make all deferred messages of our parts ready; return how many ready or deferred ones others have just taken.

        They are told here and not by the next look.
        """

    def withdraw(self, handle: Handle, id: str) -> tuple[str | None, bool]:
        """Delete a message that is not claimed.

        Return its state (None if it does not exist), and whether it was in one of our parts.
        """

    def set_aside(
        self, handle: Handle, id: str, states: Sequence[str], reason: str | None
    ) -> tuple[str | None, bool]:
        """Hold a message that is in one of these states, ready or deferred; return what `withdraw` returns.

        `reason` None keeps the one it has.
        """

    def resume(self, handle: Handle, id: str) -> bool:
        """Make a held or failed message ready, in our part; return False if there is no such message."""

    def record(self, header: str, lines: Sequence[str]) -> None:
        """Append lines to the journal, each a JSON object; the header is that of their chart's journals."""


class Storage(Protocol):
    """Where a spooler keeps its stores.

    `durable` is true if they outlive the process.  `store` is the name of the store that is opened without a name.
    `notifies` is true if all processes hear of a deposit when it is committed.  Whenever `segment` has changed, every
    session writes a start record before its next entry, because older ones may be deleted.
    """

    durable: bool
    notifies: bool
    store: str

    @property
    def segment(self) -> int:
        """The number of the present segment of the journal."""

    def open(self) -> None:
        """Connect, and register this process.  Raise StorageError if that is impossible."""

    def transaction(self, *, fenced: bool = True) -> AbstractContextManager[Transaction]:
        """Begin a transaction; it is durable when its block has exited.

        After a StorageError nothing has changed, unless the error is not `certain`: then `settle` tells.  Removed if
        another process has removed this one, unless it is not `fenced`.
        """

    def settle(self) -> bool:
        """Return whether the transaction whose error was not certain has been made; StorageError if that is unknown."""

    def survey(self, handles: Sequence[Handle], peers: Sequence[int]) -> frozenset[int]:
        """Return the numbers of the stores in which something has changed; `peers` are the counts we know."""

    def watch(self, changed: Callable[[News], None]) -> None:
        """Call this, in a thread of the storage, whenever another process has come, gone, or rung."""

    def ring(self, news: News) -> None:
        """Tell the other processes.  Never blocks and never fails; call it after the commit."""

    def messages(self, store: str, *states: str) -> list[Message]:
        """Return a store's messages in these states (default: all), oldest first, without their content."""

    def message(self, store: str, id: str) -> Message | None:
        """Return a message with its content, or None if it does not exist (any longer)."""

    def deposit(self, handle: Handle, message: Message, connection: object) -> Steps:
        """Submit a message over somebody's connection to the same database, in the transaction that is under way there.

        TypeError, or StorageError if it is another database; nothing has happened then.
        """

    def close(self) -> None:
        """Unregister this process and release all resources.  Closing again does nothing."""
