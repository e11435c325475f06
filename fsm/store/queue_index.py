"""Which messages of the queue this process counts: what the session keeps as two numbers, by id and in order.

It knows no storage and no session.  One thread at a time.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from fsm.store.storage import Share

__all__ = ["Holding"]


class Holding:
    """The ready ids, oldest first, and the deferred with when they are due (seconds since 1970)."""

    def __init__(self, share: Share) -> None:
        self.become(share)

    def become(self, share: Share) -> None:
        """Be this share."""
        self.ready, self.deferred = set(share.ready), dict(share.deferred)
        self._oldest = sorted(share.ready)
        self._due = sorted((due, id) for id, due in share.deferred)

    def __contains__(self, id: str) -> bool:
        return id in self.ready or id in self.deferred

    def queue(self, ids: Iterable[str]) -> None:
        """These are ready now."""
        for id in ids:
            self.deferred.pop(id, None)
            if id not in self.ready:
                self.ready.add(id)
                heapq.heappush(self._oldest, id)

    def defer(self, id: str, due: float) -> None:
        """This one waits."""
        self.deferred[id] = due
        heapq.heappush(self._due, (due, id))

    def forget(self, id: str) -> None:
        """This one is no longer in the queue, or not ours."""
        self.ready.discard(id)
        self.deferred.pop(id, None)

    def oldest(self, count: int) -> list[str]:
        """The ids of so many ready messages (or all there are), oldest first."""
        found: list[str] = []
        while self._oldest and len(found) < count:
            id = heapq.heappop(self._oldest)
            if id in self.ready and (not found or found[-1] != id):  # others were forgotten, or are here twice
                found.append(id)
        for id in found:
            heapq.heappush(self._oldest, id)
        return found

    def first_due(self) -> float | None:
        """When the first of the deferred is due; None when none is deferred."""
        while self._due and self.deferred.get(self._due[0][1]) != self._due[0][0]:
            heapq.heappop(self._due)
        return self._due[0][0] if self._due else None

    def due_by(self, moment: float) -> list[str]:
        """The deferred that are due at this moment, oldest message first."""
        return sorted(id for id, due in self.deferred.items() if due <= moment)
