"""Which messages of the queue this process counts: the ids behind the session's two numbers, in order.

The index is kept beside the session and changes with it.  It is for one thread at a time.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from fsm.store.storage import Share

__all__ = ["QueueIndex"]


class QueueIndex:
    """The ready ids, oldest first, and the deferred ones with the times they are due (seconds since 1970)."""

    def __init__(self, share: Share) -> None:
        self.replace(share)

    def replace(self, share: Share) -> None:
        """Make this share the content of the index."""
        self.ready, self.deferred = set(share.ready), dict(share.deferred)
        self._oldest = sorted(share.ready)
        self._due = sorted((due, id) for id, due in share.deferred)

    def __contains__(self, id: str) -> bool:
        return id in self.ready or id in self.deferred

    def add_ready(self, ids: Iterable[str]) -> None:
        """Make these messages ready; they may have been deferred."""
        for id in ids:
            self.deferred.pop(id, None)
            if id not in self.ready:
                self.ready.add(id)
                heapq.heappush(self._oldest, id)

    def defer(self, id: str, due: float) -> None:
        """Add a deferred message."""
        self.deferred[id] = due
        heapq.heappush(self._due, (due, id))

    def remove(self, id: str) -> None:
        """Remove a message, if it is there."""
        self.ready.discard(id)
        self.deferred.pop(id, None)

    def oldest(self, count: int) -> list[str]:
        """Return the ids of the oldest ready messages, at most `count`."""
        found: list[str] = []
        while self._oldest and len(found) < count:
            id = heapq.heappop(self._oldest)
            if id in self.ready and (not found or found[-1] != id):  # removed ids and duplicates stay in the heap
                found.append(id)
        for id in found:
            heapq.heappush(self._oldest, id)
        return found

    def first_due(self) -> float | None:
        """Return the earliest time at which a deferred message is due, or None."""
        while self._due and self.deferred.get(self._due[0][1]) != self._due[0][0]:
            heapq.heappop(self._due)
        return self._due[0][0] if self._due else None

    def due_by(self, moment: float) -> list[str]:
        """Return the deferred messages that are due at this time, the oldest message first."""
        return sorted(id for id, due in self.deferred.items() if due <= moment)
