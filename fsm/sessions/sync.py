"""Durable sessions for threads.

    orders = Sessions(Database("shop.db"), Order)
    with orders.transaction("order-17") as order:
        order.pay(amount=5, event_id="evt-901")
        order.submit_message(b"paid", "shop@example.org", ["me@example.net"])
    answer = orders.fire("order-17", "pay", amount=5, event_id="evt-901")      # the same answer; nothing happens

`aio.py` is the same for asyncio.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from typing import Final, Self, TypeVar

from fsm.session import Session
from fsm.sessions.answer import Answer
from fsm.sessions.base import BaseSessions
from fsm.sessions.errors import EventRefused
from fsm.sessions.request import Fire, Keep
from fsm.sessions.sql.reading import Follower, Listed
from fsm.sessions.transaction import Transaction, only_refusals
from fsm.store.deposit import Connection, answered
from fsm.store.errors import StorageError

__all__ = ["Sessions"]

S = TypeVar("S", bound=Session)
SOON: Final = 0.02
"""Seconds until a follower looks again for steps that wait for another transaction."""


class Sessions(BaseSessions[S]):
    """The sessions of a class, by key, in a database.  All of it may be used from any thread."""

    def fire(
        self, key: str, event: str, /, *, event_id: str | None = None, note: str | None = None,
        connection: Connection | None = None, **data: object,
    ) -> Answer:  # fmt: skip
        """Fire an event in the session of this key, and return the answer once it is durable.

        A session is made at its first event.  A refused event is an answer, too: false, with its reason.  An event with
        an `event_id` is applied once: the same id again gets the same answer, and nothing happens.  A `note` is
        recorded with it.
        With a `connection` (or session) to the same database it is part of the transaction that is under way there.

        Nothing has changed after UnknownEvent, DataError, IdReused (an id of another event), SnapshotError (a session
        that no migration moves to this chart), Conflict (its session is locked; try again) and StorageError.  What a
        listener raises before the effects cancels the step; what it raises after them does not undo it.
        """
        request: Fire[S] = Fire(key, event, data, event_id, note)
        if connection is not None:
            return answered(self._core.over(request, connection))
        answer = self._core.ask(request).result()
        assert answer is not None
        return answer

    @contextmanager
    def transaction(self, key: str) -> Iterator[Transaction[S]]:
        """Load a session; commit what the block does to it and its messages, when the block is left normally.

        Nothing is locked meanwhile: Conflict at the end if somebody else has changed the session since it was loaded;
        then nothing of the block has happened, and it can be tried again.  If the block is left by an exception,
        nothing has happened.  (An EventRefused is recorded if nothing else happened in the block.)
        """
        place = self._core.load(key)
        try:
            yield Transaction(self._core, place)
        except EventRefused:
            if only_refusals(place):
                self._core.ask(Keep(place)).result()
            raise
        place.check()
        if place.dirty:
            self._core.ask(Keep(place)).result()

    def get(self, key: str) -> S | None:
        """Return a copy of a session as it is stored, or None.  SnapshotError if it cannot be moved to this chart."""
        return self._get(key)

    def history(self, key: str) -> Iterator[Answer]:
        """Yield all answers that are kept of a session, oldest first."""
        return self._core.reader.history(self.chart.name, key)

    def journal(self, key: str) -> Iterator[bytes]:
        """Yield the history of a session as the lines of a journal, for `fsm replay`, the stepper and the explorer."""
        return self._journal(key)

    def as_of(self, key: str, moment: float) -> Answer | None:
        """Return the last answer of a session up to a moment, in seconds since 1970, with the state after it.

        None if there was none, or none is kept.
        """
        return self._core.reader.as_of(self.chart.name, key, moment)

    def list(self, state: str | None = None) -> Iterator[Listed]:
        """Yield the sessions (in this state)."""
        return self._core.reader.sessions(self.chart.name, state)

    def migrate(self) -> int:
        """Move all sessions of older charts to the present one, and return how many there were.

        SnapshotError for the first that cannot be moved; those before it stay moved, and it can be called again.
        """
        return self._migrate()

    def follow(self, after: str | None = None) -> Iterator[Answer]:
        """Yield every step that is committed from now on, by any process, once and in order of commits; wait for more.

        Of two sessions whose transactions were under way at the same time either may come first.
        With `after`, the `position` of an answer, go on behind that one.  It ends when the sessions are closed.

        Nothing is polled: whoever commits tells the others.  A process that is killed between the two is noticed at
        once on the same machine, and when its lease has ended on another (`Database(lease=...)`); then its steps are
        read.  If what a process tells is lost, they are read within a third of the lease, 10 s.
        """
        return self._follow(Follower(self._core.reader, self.chart.name, after))

    def _follow(self, follower: Follower) -> Iterator[Answer]:
        core, woken = self._core, Event()
        core.followers.add(woken.set)
        try:
            while not core.closed:
                woken.clear()
                try:
                    found = follower.more()
                except StorageError:
                    if core.closed:  # meanwhile
                        return
                    raise
                yield from found
                if not found:
                    woken.wait(SOON if follower.pending else None)
        finally:
            core.followers.discard(woken.set)

    def close(self) -> None:
        """Commit what waits, and close the database.  It can be called again."""
        self._core.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
