"""What was submitted lately: messages that need not be read from the database when they are claimed.

Theory.
1. A message that a holder has submitted is as it was submitted for as long as it waits and stays that holder's.  So it
   is kept until it is claimed, withdrawn, or comes back from elsewhere; what is not kept is read.
2. The oldest goes out first, so when there is no room the newest is not kept.

This file knows no database.
"""

from __future__ import annotations

from collections.abc import Iterable

from fsm.store.message import Message

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

__all__ = ["ROOM", "Recent"]

ROOM: Final = 16 * 1024 * 1024
"""Octets that are usually kept."""
COST: Final = 1024
"""Octets a message takes besides its content, about."""


class Recent:
    """Messages by id, as they were submitted, in so many octets of room."""

    def __init__(self, room: int) -> None:
        self._messages: dict[str, Message] = {}
        self._room = room

    def keep(self, messages: Iterable[Message]) -> None:
        """These are durable now, and wait."""
        for message in messages:
            cost = len(message.content) + COST
            if cost <= self._room and message.id not in self._messages and message.attempts == 0:
                self._messages[message.id] = message
                self._room -= cost

    def only(self, ids: Iterable[str]) -> None:
        """Of all others nothing is kept."""
        for id in self._messages.keys() - set(ids):
            self.take(id)

    def take(self, id: str) -> Message | None:
        """It is kept no longer; it, when it was."""
        message = self._messages.pop(id, None)
        if message is not None:
            self._room += len(message.content) + COST
        return message
