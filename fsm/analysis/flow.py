"""The cheapest flow that passes where it must: whole units through a directed graph, with potentials that prove it.

`require(a, b)` asks for one unit to leave at `b` for every unit that is taken in at `a`: what a step from a to b that
must be taken does to the rest.  `settle` then sends units along the cheapest ways (successive shortest paths, where
a unit may also take back one that was sent before).  Afterwards, for every arc, cost + potential[source] -
potential[target] is 0 or more, and exactly 0 where units flow: no flow with the same requirements costs less.
Costs are 0 or more.  This file does not know what flows.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heappop, heappush

__all__ = ["Flow"]


class Flow:
    """A flow of least cost.  `units` are those on each arc, `cost` is that of all, `potential` is the proof."""

    def __init__(self, nodes: int, arcs: Iterable[tuple[int, int, int]]) -> None:
        self.arcs = {(source, target): cost for source, target, cost in arcs}
        self._onward: list[list[tuple[int, int]]] = [[] for _ in range(nodes)]
        for (source, target), cost in self.arcs.items():
            self._onward[source].append((target, cost))
        self._taken: list[dict[int, None]] = [{} for _ in range(nodes)]  # from where units come
        self.units: dict[tuple[int, int], int] = {}
        self.potential = [0] * nodes
        self.cost = 0
        self.looked = 0
        """How many arcs were looked at so far: a measure of the work that does not depend on the clock."""
        self._left = [0] * nodes

    def require(self, source: int, target: int) -> None:
        """One unit is to arrive at `source` and one to go on from `target`."""
        self._left[source] -= 1
        self._left[target] += 1

    def settle(self) -> None:
        """Send what is left over to where it is wanted.  ValueError when there is no way."""
        while any(over > 0 for over in self._left):
            self._send()

    def _send(self) -> None:
        far: dict[int, int] = {}
        came: dict[int, int] = {}
        heap: list[tuple[int, int]] = []
        for node, over in enumerate(self._left):
            if over > 0:
                far[node] = 0
                heappush(heap, (0, node))
        done: dict[int, int] = {}
        wanted = -1
        while heap:
            distance, node = heappop(heap)
            if node in done:
                continue
            done[node] = distance
            if self._left[node] < 0:
                wanted = node
                break
            here = distance + self.potential[node]
            self.looked += len(self._onward[node])
            for target, cost in self._onward[node]:
                new = here + cost - self.potential[target]
                if target not in done and new < far.get(target, new + 1):
                    far[target], came[target] = new, node
                    heappush(heap, (new, target))
            for target in self._taken[node]:
                new = here - self.arcs[target, node] - self.potential[target]
                if target not in done and new < far.get(target, new + 1):
                    far[target], came[target] = new, node
                    heappush(heap, (new, target))
        if wanted < 0:
            raise ValueError("what is left over has no way to where it is wanted")
        last = done[wanted]
        for node in range(len(self.potential)):
            self.potential[node] += min(done.get(node, last), last)
        self._left[wanted] += 1
        node = wanted
        while node in came:
            before = came[node]
            self._step(before, node)
            node = before
        self._left[node] -= 1

    def _step(self, source: int, target: int) -> None:
        """One unit more from source to target, taking one back where that is what the way does."""
        back = target, source
        slack = self.arcs.get((source, target))
        if back in self.units and (slack is None or -self.arcs[back] < slack):
            self.cost -= self.arcs[back]
            self.units[back] -= 1
            if not self.units[back]:
                del self.units[back]
                del self._taken[source][target]
            return
        assert slack is not None
        self.cost += slack
        self.units[source, target] = self.units.get((source, target), 0) + 1
        self._taken[target][source] = None
