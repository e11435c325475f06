"""Walks that together take every row of a chart: as few events as can be found, with a proof of how few there could be.

Theory of the walks.
1. A walk leads from the chart's start to a final state (or to where none can be reached any more; anywhere, in a chart
   without one).  Each row of the graph must be taken by some walk; the events of all walks are counted.
2. Name one edge of the graph for each row, its *deputy*.  A shortest set of walks that takes all deputies is a flow of
   least cost: one unit over each deputy, and as many units over other edges as it takes to join them.  A hub leads from
   the ends of the walks back to the start, at no cost.
3. The optimal flow gives each configuration a *potential* p, such that the *slack* 1 + p(source) - p(target) of an edge
   is never negative, and 0 where units flow.  Exchanging a deputy for another edge of its row can pay only when that
   edge has less slack.  Deputies are exchanged one at a time, unless the flow grows.
4. Units that run in a cycle, away from every walk, are joined to a walk by a path there and back.  An Euler tour over
   all units is cut into walks where it passes the hub.

Theory of the proof.  Take any potentials whose slacks are not negative, with no end of a walk below the start.  Along
a walk the potentials cancel, so a walk has at least as many events as the slacks of its edges together.  Every row is
taken somewhere; so a set of walks that takes all rows has at least as many events as the least slacks of all rows
together.  Finding the potentials that prove most is a linear programme, approached in two steps:
5. Fictitious play: in each round, every row adds a unit over the edge that has the least slack now, and the cheapest
   flow for all units so far gives new potentials.  The best of them are kept.
6. From these, the potentials of all configurations that have something in common are raised or lowered by 1, as long
   as that helps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from heapq import nsmallest
from itertools import pairwise
from typing import Final, NamedTuple, TypeAlias

try:
    import networkx as nx
except ModuleNotFoundError as missing:
    from fsm.install import install_command

    needs = f"walks that take every row need networkx: {install_command('paths')}"
    raise ModuleNotFoundError(needs, name=missing.name) from None

from fsm.analysis.reachability import Edge, Graph
from fsm.variable import Counter as CounterVariable

__all__ = ["Cover", "Walk", "cover"]

Arc: TypeAlias = tuple[int, int]
"""From a configuration to another one, by their numbers."""
ByRow: TypeAlias = "Mapping[str, Mapping[Arc, Edge]]"
HUB: Final = -1
CANDIDATES: Final = (1, 4, 16)
"""Edges of a row that are tried as its deputy, in each attempt until a set is proved shortest."""
LARGE: Final = 4_000
"""Graphs with more edges than this get only one attempt."""
IMPROVING: Final = 1_000_000
"""Limit on the search for better deputies, in arcs of all flows computed: about ten seconds."""
PROVING: Final = 400_000
"""Limit on fictitious play since its last success, in arcs of the flows computed."""
ROUNDS: Final = 12
"""Limit on fictitious play since its last success, in rounds."""
RAISING: Final = 8_000_000
"""Limit on raising and lowering potentials, in edges looked at."""


class Walk(NamedTuple):
    """One walk from the start: its events, and the ids of the rows they take."""

    events: tuple[str, ...]
    rows: tuple[str, ...]


class Cover(NamedTuple):
    """Walks that take every row of the graph.  `missing` are the rows that no edge takes within the bounds.

    No set of walks that takes the same rows has fewer than `least` events together.
    """

    walks: tuple[Walk, ...]
    missing: tuple[str, ...]
    least: int

    @property
    def events(self) -> int:
        """The number of events of all walks together."""
        return sum(len(walk.events) for walk in self.walks)

    @property
    def shortest(self) -> bool:
        """True when it is proved that no set of walks has fewer events."""
        return self.events == self.least


def cover(graph: Graph) -> Cover:
    """Return walks that take every row of the graph, and a proved lower bound of their events.  Deterministic."""
    search = _Search(graph)
    best = search.cover(CANDIDATES[0])
    for candidates in CANDIDATES[1:]:
        if best.shortest or graph.size > LARGE:
            break
        other = search.cover(candidates)
        walks = min(best, other, key=lambda found: found.events).walks
        best = Cover(walks, best.missing, max(best.least, other.least))
    return best


class _Flow(NamedTuple):
    cost: int
    units: Counter[Arc]


class _Solution(NamedTuple):
    """A deputy for each row, and the cheapest flow that joins them."""

    deputies: dict[str, Arc]
    flow: _Flow


class _Search:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        by_row: dict[str, dict[Arc, Edge]] = {row.id: {} for row in graph.chart.rows}
        self.moves = nx.DiGraph()
        self.moves.add_nodes_from(range(len(graph.configurations)))
        for edge in graph.edges:
            by_row[edge.row].setdefault((edge.source, edge.target), edge)
            if edge.source != edge.target and not self.moves.has_edge(edge.source, edge.target):
                self.moves.add_edge(edge.source, edge.target, weight=1, edge=edge)
        self.by_row = {row: edges for row, edges in by_row.items() if edges}
        self.missing = tuple(row for row, edges in by_row.items() if not edges)
        home = graph.leading_to(graph.final)
        self.ends = [n for n in range(len(graph.configurations)) if n in graph.final or n not in home]
        self.network = self.moves.copy()
        self.network.add_weighted_edges_from((end, HUB, 0) for end in self.ends)
        self.network.add_edge(HUB, 0, weight=0)
        self.budget = IMPROVING

    def cover(self, candidates: int) -> Cover:
        deputies = {row: next(iter(arcs)) for row, arcs in self.by_row.items()}
        solution = self._improved(deputies, self.by_row, candidates)
        edges = self._joined(solution)
        allowed, met = self.by_row, self._met(self._edges(solution))
        for row in self.by_row:
            near = {arc: edge for arc, edge in allowed[row].items() if arc[0] in met}
            if solution.deputies[row][0] not in met and near:
                restricted = {**allowed, row: near}
                other = self._improved({**solution.deputies, row: next(iter(near))}, restricted, candidates)
                if len(joined := self._joined(other)) < len(edges):
                    solution, edges, allowed = other, joined, restricted
                    met = self._met(self._edges(solution))
        walks = tuple(self._walks(edges))
        return Cover(walks, self.missing, self._least(solution.deputies, len(edges)))

    # ------------------------------------------------------------------------------------------------- flows

    def _flow(self, required: Mapping[Arc, int]) -> _Flow:
        """Compute the cheapest flow that joins these units; its cost does not include theirs."""
        demand = Counter[int]()
        for (source, target), units in required.items():
            demand[source] += units
            demand[target] -= units
        nx.set_node_attributes(self.network, {node: demand[node] for node in self.network}, "demand")
        cost, units_from = nx.network_simplex(self.network)
        return _Flow(cost, Counter({(a, b): n for a, onward in units_from.items() for b, n in onward.items() if n}))

    def _potential(self, units: Iterable[Arc]) -> dict[int, int]:
        """Return distances from the start in the residual network: no slack is negative, all are 0 where units flow."""
        residual = self.network.copy()
        residual.add_weighted_edges_from((b, a, -self.network.edges[a, b]["weight"]) for a, b in units)
        found: dict[int, int] = nx.single_source_bellman_ford_path_length(residual, 0)
        return found

    def _improved(self, deputies: Mapping[str, Arc], by_row: ByRow, candidates: int) -> _Solution:
        """Exchange deputies for other edges of their rows, as long as that lowers the cost of the flow."""
        best = _Solution(dict(deputies), self._flow(Counter(deputies.values())))
        slack = _slack(self._potential(best.flow.units))
        before = best.flow.cost + 1
        while best.flow.cost < before:
            before = best.flow.cost
            for row, arcs in by_row.items():
                for new in nsmallest(candidates, arcs, key=slack):
                    if slack(new) >= slack(best.deputies[row]) or self.budget < 0:
                        break
                    self.budget -= self.network.size()
                    other = {**best.deputies, row: new}
                    flow = self._flow(Counter(other.values()))
                    if flow.cost <= best.flow.cost:
                        best, slack = _Solution(other, flow), _slack(self._potential(flow.units))
        return best

    # -------------------------------------------------------------------------------------- from a flow to walks

    def _edges(self, solution: _Solution) -> list[Edge]:
        edges = [self.by_row[row][arc] for row, arc in solution.deputies.items()]
        return edges + [self.moves.edges[arc]["edge"] for arc in solution.flow.units.elements() if HUB not in arc]

    def _met(self, edges: Iterable[Edge]) -> set[int]:
        """Return the configurations that can be reached from the start by these edges."""
        units = nx.DiGraph([(edge.source, edge.target) for edge in edges])
        units.add_node(0)
        return {0, *nx.descendants(units, 0)}

    def _joined(self, solution: _Solution) -> list[Edge]:
        """Return its edges, and paths that join each cycle apart to a walk, there and back (or on to an end)."""
        edges = self._edges(solution)
        while True:
            met = self._met(edges)
            apart = [edge.source for edge in edges if edge.source not in met]
            if not apart:
                return edges
            there = self._path(sorted(met), apart)
            edges += there + self._path([there[-1].target], [there[0].source, *self.ends])

    def _path(self, sources: Iterable[int], targets: Iterable[int]) -> list[Edge]:
        """Return a shortest path from one of these to one of those, which can always be reached."""
        far, paths = nx.multi_source_dijkstra(self.moves, sources)
        nearest = min((target for target in targets if target in far), key=far.__getitem__)
        return [self.moves.edges[arc]["edge"] for arc in pairwise(paths[nearest])]

    def _walks(self, edges: list[Edge]) -> Iterator[Walk]:
        units = nx.MultiDiGraph()
        units.add_edges_from((edge.source, edge.target, {"edge": edge}) for edge in edges)
        over = {node: units.in_degree(node) - units.out_degree(node) for node in units}
        for node, more in over.items():
            units.add_edges_from([(node, HUB)] * more + [(HUB, node)] * -more)
        if not edges:
            return
        piece: list[Edge] = []
        for source, target, key in nx.eulerian_circuit(units, HUB if HUB in units else 0, keys=True):
            if HUB not in (source, target):
                piece.append(units.edges[source, target, key]["edge"])
            if target == HUB:
                yield _walk(piece)
                piece = []
        if piece:
            yield _walk(piece)

    # ------------------------------------------------------------------------------------------------- the proof

    def _least(self, deputies: Mapping[str, Arc], enough: int) -> int:
        """Return a number of events that every set of walks must have; stop the search when it proves `enough`."""
        best, best_potential = len(self.by_row), dict.fromkeys(self.network, 0)  # each row takes an event
        required = Counter(deputies.values())
        patience = rounds = max(1, min(ROUNDS, PROVING // self.network.size()))
        while best < enough and patience:
            potential = self._potential(self._flow(required).units)
            slack = _slack(potential)
            cheapest = [min(arcs, key=slack) for arcs in self.by_row.values()]
            proved = sum(map(slack, cheapest))
            patience -= 1
            if proved > best:
                best, best_potential, patience = proved, potential, rounds
            required.update(cheapest)
        return self._raised(best_potential, best, enough)

    def _proved(self, potential: Mapping[int, int]) -> int:
        """Return the number of events that these potentials prove; -1 when a slack is negative or an end too low."""
        total = 0
        slack = _slack(potential)
        for arcs in self.by_row.values():
            least = min(map(slack, arcs))
            if least < 0:
                return -1
            total += least
        return total if min(potential[end] for end in self.ends) >= potential[0] else -1

    def _raised(self, potential: dict[int, int], best: int, enough: int) -> int:
        groups, looked, better = _groups(self.graph), 0, True
        while better:
            better = False
            for group in groups:
                for by in (1, -1):
                    if best >= enough or looked > RAISING:
                        return best
                    for number in group:
                        potential[number] += by
                    looked += self.graph.size
                    proved = self._proved(potential)
                    if proved > best:
                        best, better = proved, True
                    else:
                        for number in group:
                            potential[number] -= by
        return best


def _slack(potential: Mapping[int, int]) -> Callable[[Arc], int]:
    return lambda arc: 1 + potential[arc[0]] - potential[arc[1]]


def _walk(edges: list[Edge]) -> Walk:
    return Walk(tuple(edge.event for edge in edges), tuple(edge.row for edge in edges))


def _groups(graph: Graph) -> list[tuple[int, ...]]:
    """Group the configurations that share a state, a value, a lower bound of a counter, or two of these."""
    found: dict[object, list[int]] = {}
    for number, here in enumerate(graph.configurations):
        traits: list[object] = []
        choices: list[object] = []
        for variable, value in zip(graph.chart.variables, here[1:], strict=True):
            if isinstance(variable, CounterVariable) and isinstance(value, int):
                traits += [(variable.name, least) for least in range(1, value + 1)] or [(variable.name, "none")]
            else:
                choices.append((variable.name, value))
        common = [(), (here[0],), (here[0], *choices)]
        for one in [number, *common, *((*some, trait) for some in common for trait in traits)]:
            found.setdefault(one, []).append(number)
    return list(dict.fromkeys(map(tuple, found.values())))
