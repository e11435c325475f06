"""A cache of the messages that this holder has submitted, so that it need not read them from the database to send them.

Theory.
1. While a message waits and its holder owns it, it is as it was submitted.  It stays in the cache until it is claimed,
   withdrawn, or adopted from another holder; a message that is not in the cache is read.
2. The oldest message is sent first, so a message for which there is no space is not cached: nothing is evicted for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from fsm.store.message import Message

__all__ = ["CACHE_SIZE", "SubmittedCache"]

CACHE_SIZE: Final = 16 * 1024 * 1024
"""Default size in bytes."""
OVERHEAD: Final = 1024
"""Estimated bytes of a message without its content."""


class SubmittedCache:
    """Messages by id, as they were submitted.  `free` is the number of unused bytes."""

    def __init__(self, size: int) -> None:
        self.free = size
        self._messages: dict[str, Message] = {}

    def add(self, messages: Iterable[Message]) -> None:
        """Cache these ready messages, but for those without space and those that have been tried before."""
        for message in messages:
            cost = len(message.content) + OVERHEAD
            if cost <= self.free and message.id not in self._messages and message.attempts == 0:
                self._messages[message.id] = message
                self.free -= cost

    def pop(self, id: str) -> Message | None:
        """Remove a message and return it, or None if it is not cached."""
        message = self._messages.pop(id, None)
        if message is not None:
            self.free += len(message.content) + OVERHEAD
        return message

    def retain(self, ids: Iterable[str]) -> None:
        """Remove all other messages."""
        for id in self._messages.keys() - set(ids):
            self.pop(id)
