"""A step that is decided and not committed yet: what it reads, changes, writes into the journal, and tells others.

Theory.
1. A `Place` is a store in a batch: a copy of its session, on which each of its tasks decides in turn.  The session
   itself is not touched before the commit.
2. A `PendingStep` is what a task is given to decide on; a task that is refused leaves nothing of it behind.
3. The group commit, and what it needs of a store and its rules, meet here; neither knows how the other works.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Protocol, TypeAlias

from fsm.chart import Configuration
from fsm.journal.encoder import ENCODE
from fsm.journal.reader import start
from fsm.logoff.chart import LOGOFF
from fsm.logoff.session import StoreSession
from fsm.store.errors import StoreClosing
from fsm.store.message import Message
from fsm.store.storage import Handle, Kind, Look, Storage, Transaction
from fsm.verdict import Refused

__all__ = ["Claimer", "Event", "Member", "PeerCounter", "PendingStep", "Place"]

MANY: Final = 1000
"""Messages that come into a session by events; more of them are a new start in the journal."""
Event: TypeAlias = tuple[str | None, Configuration, dict[str, object]]
"""An event, the configuration after it, and its details; None is a new start in this configuration."""


class Claimer(Protocol):
    """Who waits for the messages of a store."""

    def wanted(self, step: PendingStep) -> tuple[int, bool]:
        """Return how many messages are wanted at the end of a batch, and whether others may be asked for them."""

    def claimed(self, step: PendingStep, ids: Sequence[str], *, taken: bool, short: bool = False) -> None:
        """Begin with these messages; `taken` are those of others, `short` if fewer were there than are counted."""

    def distribute(self, messages: Sequence[Message]) -> None:
        """Give the messages to those who wait, after the commit.  With the lock held."""

    def failed(self, error: BaseException) -> None:
        """Note that no message could be claimed."""

    def interrupted(self, error: BaseException) -> None:
        """Keep what a listener raised at a claim to end the program."""


class PeerCounter(Protocol):
    """Who counts what came into a store from elsewhere, and what went."""

    def seen(self, step: PendingStep, look: Look, *, anew: bool = False) -> None:
        """Count what came and went.  With `anew` the look tells all that there is, as when a store is opened."""

    def refresh(self) -> None:
        """Have the store looked at soon, because it does not count what the storage has."""

    def expect(self) -> None:
        """Have it looked at when somebody's transaction, which has left a message, is committed."""


class Member(Protocol):
    """What the group commit needs of a store (`state.StoreState`)."""

    name: str
    session: StoreSession
    storage: Storage
    handle: Handle
    holder: str
    journal_head: str
    seq: int
    segment: int
    peers_may_have_mail: bool
    claims_rule: Claimer
    peers_rule: PeerCounter


class Place:
    """A store in a batch: a copy of its session as it will be, and what the batch writes into its journal.

    `fresh` are the ids of the messages that were submitted in the batch and not claimed yet.
    """

    __slots__ = ("fresh", "lines", "segment", "seq", "session", "starts", "state")

    def __init__(self, state: Member) -> None:
        self.state = state
        self.session = StoreSession.unchecked(state.session.configuration)
        self.seq, self.segment = state.seq, state.storage.segment
        self.starts = state.segment != self.segment
        self.lines: list[str] = []
        self.fresh: list[str] = []

    def write(self, events: Iterable[Event], before: Configuration) -> None:
        """Write the journal's lines of these events."""
        state = self.state
        for event, after, details in events:
            if event is None or self.starts:
                self.seq, self.starts = 0, False
                self.lines.append(ENCODE(start(LOGOFF, state.holder, after if event is None else before)))
            if event is not None:
                self.seq += 1
                more = "".join([f',"{key}":{ENCODE(value)}' for key, value in details.items() if value])
                self.lines.append(f'{state.journal_head}{self.seq},"event":"{event}"{more}}}')
            before = after


class PendingStep:
    """What a task decides on: a copy of its store's session as it will be, and the transaction.

    A task fires its events first and changes messages afterwards: if it raises one of the refusals, its events are
    undone.  `fresh` are the ids of the messages that were submitted in this batch.  `after_commit` holds the calls to
    make when the steps are taken, and `news` what the other processes are told then.  `answer` computes the task's
    result when the whole batch is done, if it is not known before.
    """

    __slots__ = ("_leaves", "after_commit", "answer", "events", "fresh", "handle", "news", "session", "state", "tx")

    def __init__(self, place: Place, tx: Transaction) -> None:
        self.session, self.fresh, self.state, self.handle = place.session, place.fresh, place.state, place.state.handle
        self.tx = tx
        self._leaves: tuple[int | None, int | None] | None = None
        self.events: list[Event] = []
        self.after_commit: list[Callable[[], object]] = []
        self.news: tuple[Kind, ...] = ()
        self.answer: Callable[[], Any] | None = None

    def fire(self, event: str, **details: object) -> None:
        """Let the event happen; `details` are written into the journal with it.  Raise Refused if it is not legal.

        The step that releases the store also leaves it, in the same transaction, after the task's changes of messages.
        """
        session = self.session
        state, ready, deferred, peers = session.state, session.ready, session.deferred, session.peers
        session.fire(event)
        self.events.append((event, session.configuration, details))
        if session.state != state and session.complete:
            if not peers:
                self._leaves = session.ready, session.deferred
            elif session.outbound == 0 and event.startswith(("logoff", "release", "peer")):
                self._leaves = ready, deferred
            else:
                self._leaves = None, None
            self.tell("peers")

    def tell(self, kind: Kind) -> None:
        """Tell the other processes of this store after the commit."""
        self.news = (*self.news, kind)

    def finish(self) -> None:
        """Leave the store if the step has released it; what is changed later is the others'."""
        if self._leaves is not None:
            self.tx.leave(self.handle, *self._leaves)

    def admit(self, event: str, **details: object) -> None:
        """Like `fire`, for new work.  Raise StoreClosing if the store takes none."""
        try:
            self.fire(event, **details)
        except Refused as refusal:
            raise StoreClosing(f"the store is closing: {refusal.verdict.reason}") from refusal

    def gain(self, ready: int, deferred: int, why: str) -> None:
        """Count so many messages more, which came into our parts.  Only for a store that takes new work.

        Deferred messages, and very many ready ones, have no events: the journal starts anew with them.
        """
        if ready <= MANY:
            for _ in range(ready):
                self.fire("submit", why=why)
            ready = 0
        if ready or deferred:
            state, request, inbound, outbound, were_ready, were_deferred, peers = self.session.configuration
            after = (state, request, inbound, outbound, were_ready + ready, were_deferred + deferred, peers)  # type: ignore[operator]
            self.session.compiled().write(self.session, after)
            self.events.append((None, after, {"why": why}))
