"""The exceptions of durable sessions."""

from __future__ import annotations

from fsm.sessions.answer import Answer

__all__ = ["Conflict", "EventRefused", "IdReused"]


class EventRefused(Exception):
    """An event was refused within a transaction.  The session is as it was, and the transaction can go on.

    If it leaves the transaction's block, the refusal is recorded, unless the block has done something else before it:
    then nothing of the block happens.  `answer` says why.
    """

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        super().__init__(answer)


class Conflict(Exception):
    """Another transaction has changed the session since it was loaded, or locks it.  Nothing has changed: try again.

    `key` is that of the session.
    """

    def __init__(self, key: str, problem: str) -> None:
        self.key = key
        super().__init__(f"session {key!r} {problem}; nothing has changed, try again")


class IdReused(ValueError):
    """An event id was given for two different events.  Nothing has changed.

    `key` and `event_id` name it; `first` is the event that was answered under the id, `second` the one refused now,
    both as text with their data.
    """

    def __init__(self, key: str, event_id: str, first: str, second: str) -> None:
        self.key, self.event_id, self.first, self.second = key, event_id, first, second
        super().__init__(
            f"event id {event_id!r} of session {key!r} belongs to {first}; it cannot be used for {second} as well"
        )

    def __reduce__(self) -> tuple[type[IdReused], tuple[str, str, str, str]]:
        return type(self), (self.key, self.event_id, self.first, self.second)
