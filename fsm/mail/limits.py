"""The gate of a port: how many sessions there are at a time, and how many messages a minute come from one peer.

Rates are token buckets: a peer may send `rate` messages at once after a quiet minute, and then one each 60/`rate`
seconds. What is remembered of a peer is forgotten when its bucket is full again, so the memory is that of the last
minute. This file knows no socket; time is given to it.
"""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Gate"]

_MANY = 1024


class Gate:
    """One port's gate.  `now` gives seconds that never go back; `rate` 0 lets any number of messages through."""

    def __init__(self, sessions: int, rate: int, now: Callable[[], float]) -> None:
        self.most, self.rate, self._now = sessions, rate, now
        self.sessions = 0
        self._buckets: dict[str, tuple[float, float]] = {}

    def enter(self) -> bool:
        """A session begins; False when there are too many.  Each that was let in leaves again."""
        if self.sessions >= self.most:
            return False
        self.sessions += 1
        return True

    def leave(self) -> None:
        """A session that was let in ends."""
        self.sessions -= 1

    def message(self, peer: str) -> bool:
        """A message from this peer begins; False when there were too many within a minute."""
        if not self.rate:
            return True
        now = self._now()
        left, since = self._buckets.get(peer, (float(self.rate), now))
        left = min(float(self.rate), left + (now - since) * self.rate / 60)
        if left < 1:
            return False
        if len(self._buckets) >= _MANY:
            self._buckets = {name: known for name, known in self._buckets.items() if now - known[1] < 60}
        self._buckets[peer] = (left - 1, now)
        return True
