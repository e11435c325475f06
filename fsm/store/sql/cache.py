"""Messages that this holder submitted lately, so that they need not be read from the database to be sent.

Theory.
1. A message that a holder submitted is as it was submitted for as long as it waits and is that holder's.  So it is
   cached until it is claimed, withdrawn, or comes back from elsewhere; what is not cached is read.
2. The oldest is sent first, so when the cache is full the newest is not cached.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from fsm.store.message import Message

__all__ = ["CACHE_SIZE", "SubmittedCache"]

CACHE_SIZE: Final = 16 * 1024 * 1024
"""Bytes of messages in the cache, by default."""
OVERHEAD: Final = 1024
"""Bytes that a message takes besides its content, about."""


class SubmittedCache:
    """Messages by id, as they were submitted.  `free` is how many bytes are left for more."""

    def __init__(self, size: int) -> None:
        self.free = size
        self._messages: dict[str, Message] = {}

    def __len__(self) -> int:
        return len(self._messages)

    def __contains__(self, id: str) -> bool:
        return id in self._messages

    def add(self, messages: Iterable[Message]) -> None:
        """Cache those of these ready messages that were never tried before and for which there is space."""
        for message in messages:
            cost = len(message.content) + OVERHEAD
            if cost <= self.free and message.id not in self._messages and message.attempts == 0:
                self._messages[message.id] = message
                self.free -= cost

    def pop(self, id: str) -> Message | None:
        """Remove a message and return it; None if it is not cached."""
        message = self._messages.pop(id, None)
        if message is not None:
            self.free += len(message.content) + OVERHEAD
        return message

    def retain(self, ids: Iterable[str]) -> None:
        """Remove all other messages."""
        for id in self._messages.keys() - set(ids):
            self.pop(id)
