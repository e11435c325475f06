"""The limits of a port over all its clients: sessions at a time, messages a minute from one address, memory.

Rates are token buckets: after a quiet minute a client may send `rate` messages at once, and then one every 60/`rate`
seconds.  A client is forgotten when its bucket is full again, so the memory holds the last minute.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

__all__ = ["Budget", "Limiter"]

SWEEP_AT: Final = 1024
"""Buckets there may be before the full ones are removed."""


class Limiter:
    """The limiter of one port.  `now` returns seconds that never go back.  `rate` 0 means any number of messages."""

    def __init__(self, sessions: int, rate: int, now: Callable[[], float]) -> None:
        self.max_sessions, self.rate, self._now = sessions, rate, now
        self.sessions = 0
        self.buckets: dict[str, tuple[float, float]] = {}

    def open_session(self) -> bool:
        """Count a session; False when there are too many.  Each that was counted must be closed."""
        if self.sessions >= self.max_sessions:
            return False
        self.sessions += 1
        return True

    def close_session(self) -> None:
        """A session that was counted has ended."""
        self.sessions -= 1

    def begin_message(self, peer: str) -> bool:
        """Count a message from this address; False when there were too many within a minute."""
        if not self.rate:
            return True
        now = self._now()
        left, since = self.buckets.get(peer, (float(self.rate), now))
        left = min(float(self.rate), left + (now - since) * self.rate / 60)
        if left < 1:
            return False
        if len(self.buckets) >= SWEEP_AT:
            self.buckets = {name: known for name, known in self.buckets.items() if now - known[1] < 60}
        self.buckets[peer] = (left - 1, now)
        return True


class Budget:
    """The memory, in octets, for all messages that are being taken in; of all ports together."""

    def __init__(self, limit: int) -> None:
        self.limit, self.used = limit, 0

    def has_room(self, octets: int) -> bool:
        """Return whether so many more would fit."""
        return self.used + octets <= self.limit

    def take(self, octets: int) -> bool:
        """Count so many octets; False if there is no room."""
        if not self.has_room(octets):
            return False
        self.used += octets
        return True

    def give(self, octets: int) -> None:
        """Count so many octets no longer."""
        self.used -= octets
