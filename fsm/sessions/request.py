"""What can be asked of a session: fire an event, keep what a transaction did, fire what is due, or move it."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from contextvars import copy_context
from typing import Generic, TypeVar

from fsm.session import Session
from fsm.sessions.answer import Answer
from fsm.sessions.errors import Conflict
from fsm.sessions.place import Place

__all__ = ["Due", "Fire", "Keep", "Move", "Request"]

S = TypeVar("S", bound=Session)


class Request(Generic[S]):
    """Something that is asked of one session.  It is run in a transaction, perhaps several times until one commits."""

    event_id: str | None = None

    def __init__(self, key: str) -> None:
        self.key = key
        self.answer: Answer | None = None
        self.failure: Exception | None = None
        self.until = 0.0
        """When to stop waiting for a session that is locked elsewhere, in monotonic seconds."""
        self.future: Future[Answer | None] = Future()
        self.context = copy_context()
        """The context of whoever asks: listeners see its context variables."""

    def run(self, place: Place[S]) -> Place[S]:
        """Do it; return the session's place from now on."""
        raise NotImplementedError

    def settle(self) -> None:
        """Tell whoever waits what came of it."""
        if self.failure is not None:
            self.future.set_exception(self.failure)
        else:
            self.future.set_result(self.answer)


class Fire(Request[S]):
    """Fire an event."""

    def __init__(
        self, key: str, event: str, data: Mapping[str, object], event_id: str | None, note: str | None
    ) -> None:
        super().__init__(key)
        self.event, self.data, self.event_id, self.note = event, data, event_id, note

    def run(self, place: Place[S]) -> Place[S]:
        """See `Request`."""
        self.failure = None
        self.answer = place.fire(self.event, self.data, self.event_id, self.note)
        return place


class Keep(Request[S]):
    """Keep what a transaction did to a session that it had loaded before.  Conflict if that has changed since."""

    def __init__(self, own: Place[S]) -> None:
        super().__init__(own.key)
        self.own = own

    def run(self, place: Place[S]) -> Place[S]:
        """See `Request`."""
        self.failure = None
        if place.seq != self.own.loaded or place.dirty:
            raise Conflict(self.key, "was changed by another transaction")
        return self.own


class Due(Request[S]):
    """Fire what is due."""

    def run(self, place: Place[S]) -> Place[S]:
        """See `Request`."""
        self.failure = None
        place.fire_due()
        return place


class Move(Request[S]):
    """Move the session to the present chart; loading it has done that."""

    def run(self, place: Place[S]) -> Place[S]:
        """See `Request`."""
        self.failure = None
        return place
