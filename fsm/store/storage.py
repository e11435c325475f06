"""The storage port: what a store needs from whatever keeps its messages, its journal and the list of its holders.

Theory.
1. A message is in one place: ready, deferred, claimed (being sent), held or failed; or it is gone, because it was sent
   or withdrawn.  Each change is one transaction, together with the journal entry of the step that it causes.
2. All processes that have the store open for the same profile (the *holders*) share its messages.  A ready or deferred
   message is counted by one of them, its *owner*, or is unowned; so it is in the counts of at most one session.
3. A holder that dies stops counting.  Its claims lapse: whether those messages were sent is unknown, so each of them
   counts as uncertain.  Its queued messages become unowned, and the remaining holders adopt unowned messages.
4. Leaving is one transaction.  Of several holders that leave together exactly one sees no peers and is the last.

`notify_peers`, `messages` and `message` can be called from any thread; all other methods from one thread at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from fsm.store.message import Message

__all__ = ["LAPSED", "Opening", "Peer", "Policy", "Share", "Storage", "Transaction"]

Policy = Literal["resend", "hold"]
"""What happens to a message that may or may not have arrived: send it again (and count that), or set it aside."""
LAPSED: Final = "the process that was sending it has stopped; whether it arrived is unknown"
"""The `reason` of a message whose claim has lapsed."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Another holder of the same store for the same profile.  `opened` is in seconds since 1970."""

    id: str
    host: str
    pid: int
    opened: float


@dataclass(frozen=True, slots=True)
class Share:
    """The messages that a holder owns: the ids of the ready ones, and the ids and due times of the deferred ones.

    Both are in order of submission; due times are in seconds since 1970.
    """

    ready: tuple[str, ...]
    deferred: tuple[tuple[str, float], ...]

    @classmethod
    def of(cls, messages: Iterable[tuple[str, float | None]]) -> Share:
        """Return the share of these messages, given as pairs of an id and a due time (None for a ready message)."""
        found = sorted(messages)
        ready = tuple(id for id, due in found if due is None)
        return cls(ready, tuple((id, due) for id, due in found if due is not None))


@dataclass(frozen=True, slots=True)
class Opening:
    """What a holder finds when it opens a store: its own id, the share it adopted, its peers, and the lapsed claims."""

    holder: str
    share: Share
    peers: tuple[Peer, ...]
    lapsed: tuple[str, ...]


class Transaction(Protocol):
    """A unit of work: commits when its block exits normally, rolls back on an exception.

    A method ignores a message that this holder does not own, or that is in another state than the method expects.
    """

    def submit(self, message: Message) -> None:
        """Add a ready message that this holder owns."""

    def claim(self, ids: Sequence[str]) -> list[Message]:
        """Claim these ready messages of this holder, count an attempt for each, and return them in the same order.

        Messages that a peer has taken or that were withdrawn are left out.
        """

    def take(self, limit: int) -> list[Message]:
        """Claim and return at most `limit` ready messages, oldest first, that a peer owns or nobody owns."""

    def sent(self, id: str) -> None:
        """Delete a claimed message: it was sent."""

    def deferred(
        self, id: str, due: float, reason: str, *, recipients: Sequence[str] | None = None, uncertain: bool = False
    ) -> None:
        """Defer a claimed message until `due` (seconds since 1970), for these of its recipients (all if None).

        After `leave` it is unowned.
        """

    def failed(self, id: str, reason: str, *, reported: bool, recipients: Sequence[str] | None = None) -> None:
        """Mark a claimed message as permanently failed; delete it if its sender has been told (`reported`)."""

    def held(self, id: str, reason: str) -> None:
        """Set a claimed message aside that may have arrived, and count it as uncertain."""

    def ready(self, ids: Sequence[str]) -> list[str]:
        """Make these deferred messages of this holder ready; return the ids of those that were deferred."""

    def withdraw(self, id: str) -> str | None:
        """Delete a ready, deferred, held or failed message; return the state it was in, or None if there is none.

        Return "claimed" if it is being sent and "theirs" if a living peer owns it; then it is not deleted.
        """

    def resume(self, id: str) -> bool:
        """Make a held or failed message ready, owned by this holder; return False if there is no such message."""

    def share(self) -> Share:
        """Return the messages that this holder owns."""

    def adopt(self) -> Share:
        """Become the owner of all unowned ready and deferred messages, and return them."""

    def begin(self, session: str, header: str, line: str) -> None:
        """Begin the journal of a session with the header of its chart's journals and its start record, both as JSON."""

    def record(self, session: str, line: str) -> None:
        """Append an entry to a session's journal, as JSON."""

    def peers(self) -> tuple[Peer, ...]:
        """Return the living peers, those that opened first first.  Dead ones are removed: rule 3.

        Until the end of the transaction no other holder can open the store or leave it.
        """

    def leave(self) -> None:
        """Stop counting: this holder's ready and deferred messages become unowned.  It still ends its claims."""


class Storage(Protocol):
    """Where a store keeps its messages and its journal.

    `durable` is true if they outlive the process.  `policy`, which a store sets, decides about lapsed claims.
    """

    durable: bool
    policy: Policy

    def open(self) -> Opening:
        """Become a holder: remove the dead and adopt unowned messages.  Raise StorageError if that is impossible."""

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Begin a transaction; it is durable when its block has exited.  After a StorageError nothing has changed."""

    def watch(self, changed: Callable[[], None]) -> None:
        """Call this, in a thread of the storage, whenever a peer has come, gone, or notified this holder."""

    def notify_peers(self) -> None:
        """Wake the peers, because there is work for them.  Never blocks and never fails."""

    def messages(self, *states: str) -> list[Message]:
        """Return the messages in these states (without arguments: in all), oldest first, without their content."""

    def message(self, id: str) -> Message | None:
        """Return a message with its content, or None if it does not exist (any longer)."""

    def close(self) -> None:
        """Stop being a holder and release all resources.  Closing again does nothing."""
