"""What a program does to one session within a block: its events and messages are committed together when it is left."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Generic, TypeVar

from fsm.session import Session
from fsm.sessions.answer import Answer
from fsm.sessions.core import SessionsCore
from fsm.sessions.errors import EventRefused
from fsm.sessions.place import Place

__all__ = ["AsyncTransaction", "Transaction", "only_refusals"]

S = TypeVar("S", bound=Session)


class BaseTransaction(Generic[S]):
    """A session, loaded from the database, in the block of `transaction(key)`."""

    def __init__(self, core: SessionsCore[S], place: Place[S]) -> None:
        self._core, self._place = core, place

    @property
    def key(self) -> str:
        """The key of the session."""
        return self._place.key

    @property
    def state(self) -> str:
        """The name of the present state."""
        return self._place.session.state

    @property
    def session(self) -> S:
        """The session, to be asked what it is and what it may do.  Its events are fired by this transaction."""
        return self._place.session

    def submit_message(
        self, content: bytes, sender: str = "", recipients: Sequence[str] = (), *,
        headers: Mapping[str, str] | None = None,
    ) -> str | None:  # fmt: skip
        """Put a message into the queue of the store with this transaction, and return its id, which stays the same.

        None if the event that was fired before it had been answered in an earlier transaction: then its message is in
        the queue, or was sent, already.  `headers` are kept with the message; see `Store.submit`.
        """
        return self._place.submit(content, sender, recipients, headers)

    def _fire(self, event: str, data: dict[str, object], event_id: str | None, note: str | None) -> Answer:
        answer = self._place.fire(event, data, event_id, note)
        if not answer.accepted:
            raise EventRefused(answer)
        return answer


class Transaction(BaseTransaction[S]):
    """See `Sessions.transaction`."""

    def fire(
        self, event: str, /, *, event_id: str | None = None, note: str | None = None, **data: object
    ) -> Answer:
        """Fire an event; see `Sessions.fire`.  EventRefused if it is refused, or was refused under this id."""
        self._core.remember(self._place, event_id)
        return self._fire(event, data, event_id, note)

    def __getattr__(self, event: str) -> Callable[..., Answer]:
        """Return `fire` for the event of this name: `order.pay(amount=5, event_id="evt-901")`."""
        if event.startswith("_"):
            raise AttributeError(event)
        return lambda **data: self.fire(event, **data)


class AsyncTransaction(BaseTransaction[S]):
    """See `AsyncSessions.transaction`."""

    async def fire(
        self, event: str, /, *, event_id: str | None = None, note: str | None = None, **data: object
    ) -> Answer:
        """Fire an event; see `Sessions.fire`.  EventRefused if it is refused, or was refused under this id."""
        if event_id is not None:
            from asyncio import to_thread

            await to_thread(self._core.remember, self._place, event_id)
        return self._fire(event, data, event_id, note)

    def __getattr__(self, event: str) -> Callable[..., Awaitable[Answer]]:
        """Return `fire` for the event of this name: `await order.pay(amount=5, event_id="evt-901")`."""
        if event.startswith("_"):
            raise AttributeError(event)
        return lambda **data: self.fire(event, **data)


def only_refusals(place: Place[S]) -> bool:
    """Return whether nothing but refused events has happened to a session, so that these can be recorded alone."""
    return bool(place.answers) and not place.messages and not any(one.accepted for one in place.answers)
