"""The graph is what the engine accepts, all of it within the bounds, in one order, and never endless in silence."""

from __future__ import annotations

import networkx as nx
import pytest
from hypothesis import (
    given,
    strategies as st,
)

from fsm.analysis.bounds import bounds_of
from fsm.analysis.reachability import ExploreError, Explorer, Graph, cut_text
from fsm.chart import Chart
from fsm.logoff.chart import LOGOFF
from fsm.session import Session
from fsm.verdict import judge
from tests import small_charts as small

SIZES = [((1, 1, 0), 53, 407), ((1, 1, 1), 106, 898), ((2, 2, 1), 408, 4_334), ((5, 5, 1), 4_662, 60_478)]


def within(i: int, m: int, p: int) -> tuple[str, ...]:
    return f"INBOUND <= {i}", f"OUTBOUND + READY + DEFERRED <= {m}", f"PEERS <= {p}"


# ------------------------------------------------------------------------------------------------- the graph


@pytest.mark.parametrize(("bounds", "configurations", "steps"), SIZES)
def test_the_sizes_of_the_specification_come_out(
    bounds: tuple[int, int, int], configurations: int, steps: int
) -> None:
    graph = Graph(LOGOFF, within(*bounds))
    assert (len(graph.configurations), graph.size) == (configurations, steps)


def rows_as_data(chart: Chart, bounds: tuple[str, ...]) -> nx.MultiDiGraph[object]:
    """The same graph made by interpreting the rows, with networkx holding it."""
    found: nx.MultiDiGraph[object] = nx.MultiDiGraph()
    conditions, todo = bounds_of(chart, bounds), [chart.start()]
    found.add_node(chart.start())
    while todo:
        here = todo.pop()
        for event in chart.events:
            verdict = judge(chart, here, event)
            if verdict.row is None:
                continue
            values = chart.values(here)
            new = {effect.name: effect.new(values) for effect in verdict.row.effects}
            there = (verdict.row.target, *(new.get(name, value) for name, value in values.items()))
            if all(bound.holds(chart.values(there)) for bound in conditions):
                if there not in found:
                    todo.append(there)
                found.add_edge(here, there, key=(str(event), verdict.row.id))
    return found


@pytest.mark.parametrize(
    ("chart", "bounds"),
    [(LOGOFF, within(1, 2, 1)), (LOGOFF, ("inbound + outbound + ready + deferred + peers <= 2",)), (small.PLAIN, ()),
     (small.LADDER, ()), (small.TOKENS, ()), (small.RESET, ()), (small.FULL, ("n <= 4",)), (small.HOSTILE, ())],
    ids=lambda one: one.name if isinstance(one, Chart) else "",
)
def test_networkx_holds_the_same_graph_made_from_the_rows(chart: Chart, bounds: tuple[str, ...]) -> None:
    graph, other = Graph(chart, bounds), rows_as_data(chart, bounds)
    assert set(graph.configurations) == set(other.nodes)
    named = graph.configurations
    ours = [(named[s.source], named[s.target], (s.event, s.row)) for s in graph.edges]
    assert len(ours) == other.number_of_edges()
    assert set(ours) == set(other.edges(keys=True))
    lengths = nx.single_source_shortest_path_length(other, chart.start())
    assert {here: len(graph.trace(n)) for n, here in enumerate(named)} == lengths


def test_every_trace_is_executed_to_its_configuration() -> None:
    graph, cls = Graph(LOGOFF, within(1, 2, 1)), Session.of(LOGOFF)
    for number, here in enumerate(graph.configurations):
        session = cls()
        for event in graph.trace(number):
            session.fire(event)
        assert session.configuration == here


def test_the_order_depends_on_the_chart_alone_and_is_breadth_first() -> None:
    one, two = Graph(LOGOFF, within(1, 1, 1)), Graph(LOGOFF, within(1, 1, 1))
    assert (one.configurations, one.out) == (two.configurations, two.out)
    lengths = [len(one.trace(n)) for n in range(len(one.configurations))]
    assert lengths == sorted(lengths)
    assert one.configurations[0] == LOGOFF.start()


def test_it_is_found_only_as_far_as_it_is_asked_for() -> None:
    explorer = Explorer(LOGOFF, within(50, 50, 50))
    for _, configuration in zip(range(20), explorer, strict=False):
        assert configuration in explorer.configurations
    assert len(explorer.configurations) < 400
    assert explorer.edges(0) is explorer.edges(0)


def test_final_configurations_and_what_is_legal() -> None:
    graph = Graph(LOGOFF, within(1, 1, 1))
    assert graph.final == {n for n, one in enumerate(graph.configurations) if one[0] == "released"}
    for number, here in enumerate(graph.configurations):
        assert graph.legal[number] == tuple(e for e in LOGOFF.events if judge(LOGOFF, here, e))


# ---------------------------------------------------------------------------------------------- what is cut off


def test_what_the_bounds_cut_is_counted_and_told() -> None:
    graph = Graph(small.ENDLESS, ["n <= 2"])
    assert graph.cut == (1, ("a", 2), "more", ("a", 3))
    assert graph.cut_from == {graph.configurations.index(("a", 2))}
    told = "within n <= 2: 1 step is cut off, the first is more in a, n 2 (to a, n 3)"
    assert cut_text(small.ENDLESS, graph.bounds, graph.cut) == told
    loose = Graph(small.LADDER, ["n <= 5"])
    assert cut_text(small.LADDER, loose.bounds, loose.cut) == "within n <= 5: nothing is cut off"
    assert cut_text(small.LADDER, (), loose.cut) == "without bounds: the graph is complete"


@given(st.integers(0, 2), st.integers(0, 2), st.integers(0, 1))
def test_cut_and_kept_steps_together_are_all_accepted_ones(i: int, m: int, p: int) -> None:
    graph = Graph(LOGOFF, within(i, m, p))
    assert graph.size + graph.cut.steps == sum(map(len, graph.legal))


def test_a_start_outside_the_bounds_and_a_guard_that_raises_are_told() -> None:
    with pytest.raises(ExploreError, match="tokens starts outside the bound n <= 2: a"):
        Graph(small.TOKENS, ["n <= 2"])
    with pytest.raises(ExploreError, match="asking 'ask' in a, n 2 raised ZeroDivisionError"):
        Graph(small.opaque(lambda session: 1 // 0 == 1))
