"""Walks that together take every row of the table: as short as can be found, with a proof of how short they could be.

Theory.
1. A walk starts at the start and ends in a final state (or where none can be reached any more; anywhere, in a chart
   without one).  Every row that the graph has is to be taken by some walk; the events of all walks count.
2. Name one step for each row, its *deputy*.  Then the least number of events is a flow through the graph: one unit
   over each deputy, and as many more as it takes to join them (`flow.py` finds the least).
3. A row whose deputy has more slack (`coverage_bound.py`) than another step of the row may have a better one.  Deputies
   are exchanged, one at a time, while that makes the flow less or keeps it.
4. Units that run in a circle of their own, away from every walk, are joined to one by a way there and back.

This file does not know paths, and takes guards as they come out of the graph.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from heapq import nsmallest
from typing import Final, NamedTuple

from fsm.analysis.coverage_bound import least
from fsm.analysis.flow import Flow
from fsm.analysis.reachability import Graph, Step

__all__ = ["Cover", "Walk", "cover"]

CANDIDATES: Final = (4, 16)
"""How many steps of a row are tried as its deputy, when one does not lead to a shortest set."""
LARGE: Final = 4_000
"""Graphs with more steps than this are tried only once."""
ROUNDS: Final = 12
"""How often all deputies are looked at for better ones."""
PATIENCE: Final = 20_000_000
"""How many arcs the search for better deputies may look at."""


class Walk(NamedTuple):
    """One walk from the start: its events, and the ids of the rows they take."""

    events: tuple[str, ...]
    rows: tuple[str, ...]


class Cover(NamedTuple):
    """Walks that take every row the graph has.  `missing` are the rows it has not, within its bounds.

    No set of walks that takes the same rows has fewer than `least` events together.
    """

    walks: tuple[Walk, ...]
    missing: tuple[str, ...]
    least: int

    @property
    def events(self) -> int:
        """How many events the walks have together."""
        return sum(len(walk.events) for walk in self.walks)

    @property
    def shortest(self) -> bool:
        """Whether it is proved that no set of walks has fewer events."""
        return self.events == self.least


def cover(graph: Graph) -> Cover:
    """Walks that take every row of the graph, with the proof from below.  Deterministic."""
    best = _Coverer(graph, 1).cover()
    for candidates in CANDIDATES:
        if best.shortest or graph.size > LARGE:
            break
        other = _Coverer(graph, candidates).cover()
        walks = min(best, other, key=lambda found: found.events).walks
        best = Cover(walks, best.missing, max(best.least, other.least))
    return best


class _Coverer:
    def __init__(self, graph: Graph, candidates: int) -> None:
        self.graph, self.candidates = graph, candidates
        self.hub = len(graph.configurations)
        self.by_row: dict[str, list[Step]] = {row.id: [] for row in graph.chart.rows}
        for step in graph.steps:
            self.by_row[step.row].append(step)
        self.missing = tuple(row for row, steps in self.by_row.items() if not steps)
        self.by_row = {row: steps for row, steps in self.by_row.items() if steps}
        self.between: dict[tuple[int, int], Step] = {}
        for step in graph.steps:
            if step.source != step.target:
                self.between.setdefault((step.source, step.target), step)
        self.ends = self._ends()
        arcs = [(source, target, 1) for source, target in self.between]
        arcs += [(self.hub, 0, 0), *((end, self.hub, 0) for end in self.ends)]
        self.flow = Flow(self.hub + 1, arcs)
        self.deputies = {row: steps[0] for row, steps in self.by_row.items()}
        self.met: set[int] = set()
        self.kept: set[str] = set()
        """The rows whose deputies stay, so that a walk meets them."""

    def _ends(self) -> list[int]:
        """Final configurations, and those that cannot reach one."""
        back: list[list[int]] = [[] for _ in range(self.hub)]
        for step in self.graph.steps:
            back[step.target].append(step.source)
        home = dict.fromkeys(sorted(self.graph.final))
        waiting = list(home)
        while waiting:
            for source in back[waiting.pop()]:
                if source not in home:
                    home[source] = None
                    waiting.append(source)
        return sorted({*self.graph.final, *(n for n in range(self.hub) if n not in home)})

    def cover(self) -> Cover:
        for step in self.deputies.values():
            self.flow.require(step.source, step.target)
        self.flow.settle()
        for _ in range(ROUNDS):
            if not self._improve():
                break
        self._rejoin()
        walks = tuple(self._walks(self._joined(self._steps())))
        enough = sum(len(walk.events) for walk in walks)
        return Cover(walks, self.missing, least(self.graph, self.by_row, self.ends, self.flow, enough))

    def _steps(self) -> list[Step]:
        steps = [*self.deputies.values()]
        for (source, target), units in self.flow.units.items():
            if self.hub not in (source, target):
                steps += [self.between[source, target]] * units
        return steps

    def _slack(self, step: Step) -> int:
        return 1 + self.flow.potential[step.source] - self.flow.potential[step.target]

    def _improve(self) -> bool:
        """Exchange deputies for others of their row that make the flow less; whether any exchange was made."""
        exchanged = False
        for row, steps in self.by_row.items():
            for new in () if row in self.kept else nsmallest(self.candidates, steps, key=self._slack):
                old = self.deputies[row]
                if new == old or self._slack(new) > self._slack(old) or self.flow.looked > PATIENCE:
                    continue
                before, slacker = self.flow.cost, self._slack(new) < self._slack(old)
                self._exchange(row, new)
                if self.flow.cost < before or (self.flow.cost == before and slacker):
                    exchanged = True
                else:
                    self._exchange(row, old)
        return exchanged

    def _exchange(self, row: str, new: Step) -> None:
        old = self.deputies[row]
        self.deputies[row] = new
        self.flow.require(old.target, old.source)  # takes the old requirement back
        self.flow.require(new.source, new.target)
        self.flow.settle()

    def _rejoin(self) -> None:
        """Exchange deputies on circles of their own for some that a walk meets, where the flow does not grow by it."""
        lost = self._apart(self._steps())
        for row, old in list(self.deputies.items()):
            if old in lost and self.deputies[row] == old:
                for new in [step for step in self.by_row[row] if step.source in self.met]:
                    if self.flow.looked > PATIENCE:
                        return
                    before, deputies = self.flow.cost, dict(self.deputies)
                    self.kept.add(row)
                    self._exchange(row, new)
                    if self.flow.cost > before:
                        self._improve()
                    fewer = self._apart(self._steps())
                    if self.flow.cost <= before and len(fewer) < len(lost):
                        lost = fewer
                        break
                    self.kept.discard(row)
                    for name, step in deputies.items():
                        if self.deputies[name] != step:
                            self._exchange(name, step)
                    self._apart(self._steps())

    # ---------------------------------------------------------------------------------------- flow into walks

    def _joined(self, steps: list[Step]) -> list[Step]:
        """The steps, with circles that no walk meets joined to one by a way there and back (or on to an end)."""
        while lost := self._apart(steps):
            there = self._way(sorted(self.met), {step.source for step in lost})
            steps += there + self._way([there[-1].target], {there[0].source, *self.ends})
        return steps

    def _apart(self, steps: list[Step]) -> list[Step]:
        """The steps that cannot be reached from the start by the steps there are."""
        onward: dict[int, list[int]] = {}
        for step in steps:
            onward.setdefault(step.source, []).append(step.target)
        met, waiting = {0}, [0]
        while waiting:
            for target in onward.get(waiting.pop(), ()):
                if target not in met:
                    met.add(target)
                    waiting.append(target)
        self.met = met
        return [step for step in steps if step.source not in met]

    def _way(self, starts: Iterable[int], ends: set[int]) -> list[Step]:
        """A shortest way from one of these to one of those; it exists, as the graph was found from the start."""
        came: dict[int, Step | None] = dict.fromkeys(starts)
        waiting = deque(came)
        while waiting:
            here = waiting.popleft()
            if here in ends:
                way = []
                while (step := came[here]) is not None:
                    way.append(step)
                    here = step.source
                return way[::-1]
            for step in self.graph.out[here]:
                if step.target not in came:
                    came[step.target] = step
                    waiting.append(step.target)
        raise AssertionError("every end of a walk is in reach")

    def _walks(self, steps: list[Step]) -> Iterator[Walk]:
        """One tour through all the steps and the hub, cut where it passes the hub (Hierholzer)."""
        onward: dict[int, list[Step | None]] = {}
        balance: dict[int, int] = {}
        for step in steps:
            onward.setdefault(step.source, []).append(step)
            balance[step.source] = balance.get(step.source, 0) - 1
            balance[step.target] = balance.get(step.target, 0) + 1
        for number, over in sorted(balance.items()):
            for _ in range(over):
                onward.setdefault(number, []).insert(0, None)  # on to the hub, when nothing else is left
        tour: list[Step | None] = []
        stack: list[tuple[int, Step | None]] = [(0, None)]
        while stack:
            here = stack[-1][0]
            if onward.get(here):
                by = onward[here].pop()
                stack.append((0, None) if by is None else (by.target, by))
            else:
                tour.append(stack.pop()[1])
        pieces: list[list[Step]] = [[]]
        for one in tour[-2::-1]:
            if one is None:
                pieces.append([])
            else:
                pieces[-1].append(one)
        if len(pieces) > 1:  # the tour is closed: what follows the last passing of the hub leads to the first walk
            pieces[0] = pieces.pop() + pieces[0]
        for piece in pieces:
            if piece:
                yield Walk(tuple(step.event for step in piece), tuple(step.row for step in piece))
