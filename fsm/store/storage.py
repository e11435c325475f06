"""What a store keeps things in, as a port: messages, the journal, and who else has the store open.

Theory.
1. A message is in one place: ready, deferred, claimed (being sent), held or failed; or it is gone, because it was sent
   or withdrawn.  Everything that happens to it is one transaction, and so is the journal entry of the step it causes.
2. Messages are shared by all who have the store open for the same profile (*holders*).  Each ready or deferred message
   is counted by one of them, its *owner*, or is nobody's; so it is in exactly one session's counts.
3. A holder that dies stops counting: what it was sending lapses (whether it was sent nobody can tell, so that is
   counted as uncertain), what it had queued is nobody's, and nobody's messages are adopted by whoever is there.
4. Leaving is one transaction: of several that leave together, exactly one sees no peers and is the last.

Two implementations: `memory.py`, for a store that ends with its program, and `sql/database.py`.  One contract suite
runs over both.  All methods are for one thread at a time, but for `notify_peers`, `messages` and `message`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from fsm.store.message import Message

__all__ = ["LAPSED", "Opening", "Peer", "Policy", "Share", "Storage", "Transaction"]

Policy = Literal["resend", "hold"]
"""What becomes of a message when nobody can tell if it arrived: sent again (and counted), or put aside."""
LAPSED: Final = "who was sending it has gone; whether it arrived nobody can tell"
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
    """Messages that a holder counts: the ready ones, oldest first, and the deferred with when they are due."""

    ready: tuple[str, ...]
    deferred: tuple[tuple[str, float], ...]

    @classmethod
    def of(cls, messages: Iterable[tuple[str, float | None]]) -> Share:
        """The share of these messages: the id of each, and when it is due, or None when it is ready."""
        found = sorted(messages)
        ready = tuple(id for id, due in found if due is None)
        return cls(ready, tuple((id, due) for id, due in found if due is not None))


@dataclass(frozen=True, slots=True)
class Opening:
    """What there is when a store is opened: the share adopted, the peers, and messages whose claims had lapsed."""

    holder: str
    share: Share
    peers: tuple[Peer, ...]
    lapsed: tuple[str, ...]


class Transaction(Protocol):
    """Changes that happen together when the transaction's block is left, or not at all when it is left by an error.

    A method that finds a message not as it must be (not ours, not in that state) leaves it alone.
    """

    def submit(self, message: Message) -> None:
        """A new message, ready and ours."""

    def claim(self, ids: Sequence[str]) -> list[Message]:
        """Take these of our ready messages to send them; returned in this order, attempts counted.

        What a peer took meanwhile, or was withdrawn, is missing from the answer.
        """

    def take(self, limit: int) -> list[Message]:
        """Claim the oldest ready messages that are a peer's or nobody's, at most so many; they are ours then."""

    def sent(self, id: str) -> None:
        """A claimed message was sent: it is gone."""

    def deferred(
        self, id: str, due: float, reason: str, *, recipients: Sequence[str] | None = None, uncertain: bool = False
    ) -> None:
        """A claimed message waits until `due` (seconds since 1970), for these of its recipients (all when None).

        After `leave` it is nobody's.
        """

    def failed(self, id: str, reason: str, *, reported: bool, recipients: Sequence[str] | None = None) -> None:
        """A claimed message failed for good.  When that was reported it is gone, otherwise it stays as failed."""

    def held(self, id: str, reason: str) -> None:
        """A claimed message that may have arrived is put aside (uncertain is counted)."""

    def ready(self, ids: Sequence[str]) -> list[str]:
        """These of our deferred messages are ready now; answers with those that were."""

    def withdraw(self, id: str) -> str | None:
        """Delete a message that is ready, deferred, held or failed, and say which it was; None when there is none.

        "claimed" when it is being sent, and "theirs" when it is ready or deferred and counted by a living peer: then
        it is left alone.
        """

    def resume(self, id: str) -> bool:
        """A held or failed message is ready again, and ours; False when there is no such message."""

    def share(self) -> Share:
        """What we count now."""

    def adopt(self) -> Share:
        """Nobody's ready and deferred messages become ours; deferred ones stay so."""

    def begin(self, session: str, header: str, line: str) -> None:
        """A session's journal begins: the header of a journal of its chart, and its start record, as JSON."""

    def record(self, session: str, line: str) -> None:
        """An entry of a session's journal, as JSON, after all that were recorded before it."""

    def peers(self) -> tuple[Peer, ...]:
        """The living others, the longest there first.  Those found dead are swept: rule 3.

        From here to the end of the transaction nobody else opens or leaves.
        """

    def leave(self) -> None:
        """We count no more: our ready and deferred messages are nobody's; what is claimed stays ours until it ends."""


class Storage(Protocol):
    """Where a store keeps things.

    `durable`: whether it outlives the process.  `policy`: what becomes of messages whose sender died; a store sets it.
    """

    durable: bool
    policy: Policy

    def open(self) -> Opening:
        """Become a holder: sweep the dead, adopt what is nobody's.  StorageError when it cannot be opened."""

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Changes that are durable when the block has been left.  StorageError, and nothing happened."""

    def watch(self, changed: Callable[[], None]) -> None:
        """Call this, from a thread of the storage's own, whenever peers came, went or rang."""

    def notify_peers(self) -> None:
        """Notify the peers that there is work for them.  Never blocks, and never fails."""

    def messages(self, *states: str) -> list[Message]:
        """All messages in these states (all states when none is named), oldest first, without their content."""

    def message(self, id: str) -> Message | None:
        """One message, whole; None when it is not there (any more)."""

    def close(self) -> None:
        """Stop being a holder and let everything go.  Closing again does nothing."""
