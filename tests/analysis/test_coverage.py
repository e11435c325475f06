"""The walks take every row, are executed, and no set of walks is shorter than the proof."""

from __future__ import annotations

from heapq import heappop, heappush

import networkx as nx
import pytest
from hypothesis import (
    given,
    settings,
    strategies as st,
)

from fsm.analysis.coverage import cover
from fsm.analysis.reachability import Graph
from fsm.chart import Chart, State, row
from fsm.errors import DefinitionError
from fsm.logoff.chart import LOGOFF
from fsm.logoff.properties import BOUNDS
from tests import small_charts as small
from tests.small_charts import NAMED, N, replay


@NAMED
def test_the_walks_take_every_row_and_are_not_below_their_proof(chart: Chart, bounds: tuple[str, ...]) -> None:
    graph = Graph(chart, bounds)
    found = cover(graph)
    taken: set[str] = set()
    for walk in found.walks:
        session, _ = replay(chart, walk.events)
        assert chart.state(session.state).final
        taken.update(walk.rows)
    assert taken == {step.row for step in graph.edges}
    assert set(found.missing) == {row.id for row in chart.rows} - taken
    assert found.events >= found.least >= len(taken)
    assert found.shortest is (found.events == found.least)


@pytest.mark.parametrize(("chart", "bounds", "walks", "events"), [
    (small.PLAIN, (), 3, 8), (small.LADDER, (), 1, 6), (small.TOKENS, (), 1, 6), (small.RESET, (), 1, 3), (LOGOFF, BOUNDS, 41, 220),
], ids=lambda one: getattr(one, "name", ""))
def test_these_sets_of_walks_are_proved_shortest(chart: Chart, bounds: tuple[str, ...], walks: int, events: int) -> None:
    found = cover(Graph(chart, bounds))
    assert (len(found.walks), found.events, found.shortest) == (walks, events, True)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=6), st.data())
@settings(max_examples=60)
def test_no_set_of_walks_is_shorter_than_the_proof(moves: list[tuple[int, int]], data: st.DataObject) -> None:
    """Random tables with a counter: the least total, found by trying all, lies between the proof and the walks."""
    guards = data.draw(st.lists(st.sampled_from([N >= 0, N > 0, N == 0, N < 2]), min_size=6, max_size=6))
    effects = data.draw(st.lists(st.sampled_from([(), (N.becomes(1),), (N.becomes(0),)]), min_size=6, max_size=6))
    rows = [row(f"r{n}", f"s{a}", f"e{n}", target=f"s{b}", guard=guards[n], effects=effects[n])
            for n, (a, b) in enumerate(moves) if a < 4]
    rows += [row("q", "s0", "q", target="s4")]
    used = {"s0", "s4", *(r.source for r in rows), *(r.target for r in rows)}
    try:
        chart = Chart("random", states=[State(f"s{n}", final=n == 4) for n in range(5) if f"s{n}" in used],
                      events=dict.fromkeys(r.event for r in rows), rows=rows, variables=(N,))
    except DefinitionError:  # states that nothing reaches, rows that can never be
        return
    graph = Graph(chart)
    found = cover(graph)
    assert {one for walk in found.walks for one in walk.rows} == {step.row for step in graph.edges}
    if stranded(graph):
        return
    least = by_trying(graph)
    assert found.least <= least <= found.events


def stranded(graph: Graph) -> bool:
    """Whether some configuration has no way to an end."""
    net = nx.MultiDiGraph([(s.source, s.target) for s in graph.edges])
    return any(not any(nx.has_path(net, n, end) for end in graph.final) for n in net)


def by_trying(graph: Graph) -> int:
    """The least events of a set of walks, by Dijkstra over (where, which rows are taken); a new walk costs nothing."""
    rows = {r: 1 << n for n, r in enumerate(dict.fromkeys(s.row for s in graph.edges))}
    everything, far, heap = (1 << len(rows)) - 1, {(0, 0): 0}, [(0, 0, 0)]
    while heap:
        length, here, taken = heappop(heap)
        if here in graph.final and taken == everything:
            return length
        onward = [(1, s.target, taken | rows[s.row]) for s in graph.out[here]]
        onward += [(0, 0, taken)] if here in graph.final else []
        for cost, target, more in onward:
            if length + cost < far.get((target, more), length + cost + 1):
                far[target, more] = length + cost
                heappush(heap, (length + cost, target, more))
    raise AssertionError("every row was found")


def test_a_chart_without_an_end_is_covered_too() -> None:
    lamp = small.chart("lamp", [row("on", "a", "on", target="b"), row("off", "b", "off", target="a")], ("a", "b"))
    found = cover(Graph(lamp))
    assert [walk.events for walk in found.walks] == [("on", "off")]
    assert found.shortest
