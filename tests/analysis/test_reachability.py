"""The graph is what the engine accepts, all of it within the bounds, in one order, and never endless in silence."""

from __future__ import annotations

import networkx as nx
import pytest
from hypothesis import (
    given,
    strategies as st,
)

from fsm.analysis.bounds import BoundError, bounds_of, read_bound
from fsm.analysis.reachability import ExploreError, Explorer, Graph, cut_text
from fsm.chart import Chart, State, row
from fsm.condition import AnyOf, Compare, Opaque
from fsm.logoff.chart import INBOUND, LOGOFF, REQUEST
from fsm.logoff.flags import Logoff
from fsm.session import Session
from fsm.variable import Choice, Counter
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


# ----------------------------------------------------------------------------------------------- without end


@pytest.mark.parametrize(("chart", "size"), [
    (small.PLAIN, 3), (small.LADDER, 7), (small.TOKENS, 5), (small.RESET, 6), (small.SETTLED, 4), (small.HIGH, 302), (small.LURE, 3),
], ids=lambda one: getattr(one, "name", ""))
def test_a_finite_chart_needs_no_bound(chart: Chart, size: int) -> None:
    graph = Graph(chart)
    assert (len(graph.configurations), graph.cut.steps) == (size, 0)


@pytest.mark.parametrize(("chart", "bounds", "counters", "told"), [
    (small.ENDLESS, (), ("n",), "n can grow for ever, by repeating more in a; give a bound, such as 'n <= 2'"),
    (small.ROUND, (), ("m",), "by repeating go,back in a"),
    (small.ROUND, ("n <= 3",), ("m",), "within n <= 3: m can grow"),
    (small.PUMP, (), ("m",), "by repeating fill,pour in a"),
    (small.LATE, (), ("m",), "by repeating grow in b, n 3"),
    (small.FULL, ("mode == none",), (), ""),
    (LOGOFF, (), ("ready",), "such as 'ready <= 2'"),
    (LOGOFF, ("inbound <= 1", "ready <= 1", "peers <= 1"), ("outbound",), "by repeating submit,outbound_begin in open"),
    (LOGOFF, ("inbound + outbound <= 1 or peers <= 1",), ("ready",), ""),
], ids=str)
def test_an_endless_chart_is_refused_with_the_counter_that_grows(
    chart: Chart, bounds: tuple[str, ...], counters: tuple[str, ...], told: str
) -> None:
    if not counters:
        with pytest.raises(BoundError):
            Graph(chart, bounds)
        return
    with pytest.raises(ExploreError, match="configurations without end") as caught:
        Graph(chart, bounds, limit=5_000)
    assert caught.value.counters == counters
    assert told in str(caught.value)


def test_what_no_loop_shows_to_be_endless_runs_into_the_limit() -> None:
    with pytest.raises(ExploreError, match="spiral has more than 300 configurations, and the search stopped there"):
        Graph(small.SPIRAL, limit=300)
    assert Graph(small.SPIRAL, ["n + m <= 3"]).size


def test_a_loop_through_a_callable_guard_proves_nothing() -> None:
    chart = small.chart("asked", [
        row("more", "a", "more", guard=few, effects=[small.up(small.N)]), row("end", "a", "end", target="done"),
    ], states=("a", small.DONE), variables=(small.N,))
    assert len(Graph(chart).configurations) == 41 + 41
    later = small.chart("asked later", [
        row("low", "a", "more", guard=small.N < 3, effects=[small.up(small.N)]),
        row("high", "a", "more", guard=(small.N >= 3) & Opaque(few), effects=[small.up(small.N)]),
        row("end", "a", "end", target="done"),
    ], states=("a", small.DONE), variables=(small.N,))
    assert len(Graph(later).configurations) == 41 + 41


def few(session: Session) -> bool:
    return session.configuration[1] < 40  # type: ignore[operator]


@given(st.data())
def test_a_chart_is_called_endless_only_when_its_graph_goes_on(data: st.DataObject) -> None:
    """Random charts: what is refused outgrows any box of counts, what is explored has no step out of itself."""
    n, m = Counter("n"), Counter("m")
    effects = [
        [n.becomes(n + 1)], [n.becomes(0)], [m.becomes(m + n)], [n.becomes(m + 0), m.becomes(n + 0)],
        [m.becomes(m + 1), n.becomes(0)], [], [n.becomes(m + 1), m.becomes(0)], [n.becomes(2)],
    ]
    guards = [n < 3, m < 2, n + m < 4, n == 1, m > 1, n >= 0, n != 2]
    rows = [row("end", "a", "end", target="z")]
    for place in range(data.draw(st.integers(1, 4))):
        source, target = data.draw(st.sampled_from("ab")), data.draw(st.sampled_from("ab"))
        rows.append(row(f"r{place}", source, f"e{place}", target=target,
                        guard=data.draw(st.sampled_from(guards)), effects=data.draw(st.sampled_from(effects))))
    rows += [row("over", "a", "over", target="b"), row("out", "b", "end", target="z")]
    chart = Chart("random", states=("a", "b", State("z", final=True)), events=dict.fromkeys(r.event for r in rows),
                  rows=rows, variables=(n, m))
    try:
        graph = Graph(chart, limit=3_000)
    except ExploreError as error:
        if "without end" in str(error):
            limit = 12
            boxed = Graph(chart, [n <= limit, m <= limit])
            for name in error.counters:
                place = chart.names.index(name) + 1
                greatest = max(c[place] for c in boxed.configurations)  # type: ignore[type-var]
                assert boxed.cut.steps or greatest >= limit, "it grows past any box"
        return
    assert graph.cut.steps == 0
    known = set(graph.configurations)
    assert all(graph.configurations[step.target] in known for step in graph.edges)


def test_a_start_outside_the_bounds_and_a_guard_that_raises_are_told() -> None:
    with pytest.raises(ExploreError, match="tokens starts outside the bound n <= 2: a"):
        Graph(small.TOKENS, ["n <= 2"])
    with pytest.raises(ExploreError, match="asking 'more' in a, n 2 raised ZeroDivisionError"):
        Graph(small.opaque(lambda session: 1 // 0 == 1))


# -------------------------------------------------------------------------------------------------- bounds


@pytest.mark.parametrize(("text", "read"), [
    ("INBOUND <= 1", "inbound <= 1"), ("outbound+ready + Deferred <= 1", "outbound + ready + deferred <= 1"),
    ("1 >= inbound", "inbound <= 1"), ("inbound + 1 <= 3", "inbound <= 2"), ("2*ready + 3 < 9 - 2", "2 * ready < 4"),
    ("-inbound >= -2", "inbound <= 2"), ("inbound - 1 <= 1", "inbound <= 2"), ("0 <= peers <= 2", "peers >= 0 and peers <= 2"),
    ("inbound <= 1 and peers <= 1", "inbound <= 1 and peers <= 1"), ("not inbound > 1", "inbound <= 1"),
    ("inbound <= 1 or peers == 0", "inbound <= 1 or peers == 0"), ("inbound + inbound <= 2", "2 * inbound <= 2"),
    ("inbound <= 2 * 3", "inbound <= 6"), ("ready + inbound - ready <= 1", "inbound <= 1"),
    ("request == ORDERLY", "request == ORDERLY"), ("REQUEST != quiet", "request != QUIET"),
    ("request in (None, 'ABORT')", "request in (none, ABORT)"), ("none == request", "request == none"),
    ("request not in [PURGE]", "request != PURGE"), ("  inbound <= 1  ", "inbound <= 1"), ("ready <= outbound + 1 - outbound", "ready <= 1"),
])
def test_bounds_are_read_as_people_type_them(text: str, read: str) -> None:
    assert str(read_bound(LOGOFF, text)) == read


@pytest.mark.parametrize(("text", "told"), [
    ("", "it cannot be read"), ("inbound <=", "it cannot be read"), ("inbound <= 1)", "it cannot be read"),
    ("inbound", "'inbound' compares nothing"), ("INBOUNDS <= 1", "no variable 'INBOUNDS' (it has request, inbound"),
    ("inbound <= outbound", "compared with a whole number, not with other counters"),
    ("inbound * outbound <= 1", "not multiplied"), ("inbound <= 1.5", "'1.5' is no sum"), ("inbound <= True", "is no sum"),
    ("inbound ** 2 <= 1", "is no sum"), ("1 <= 2", "speaks of no counter"), ("inbound in (1, 2)", "not with in"),
    ("inbound is 1", "not with is"), ("request <= 1", "compared with ==, != or in, not with <="), ("request + 1 <= 1", "no counter"),
    ("request == LATER", "request has no value LATER (it has none, NO_WAIT"), ("__import__('os').system('x') <= 1", "is no sum"),
    ("(inbound <= 1) & (peers <= 1)", "joined with and, or, not"), ("inbound <= 1\x00", "it cannot be read"),
    ("ORDERLY in request", "not with in"), ("request == b'x'", "has no value"), ("(lambda: 1)() <= 1", "is no sum"),
    ("(" * 400 + "inbound" + ")" * 400 + " <= 1", "it cannot be read"),
    ("inbound <= 1 and " * 100 + "inbound <= 1", "characters long, and a bound has at most 1000"),
])
def test_a_bound_that_does_not_fit_is_refused_in_a_sentence(text: str, told: str) -> None:
    with pytest.raises(BoundError) as caught:
        read_bound(LOGOFF, text)
    assert told in str(caught.value)
    assert caught.value.bound == text


def test_conditions_are_bounds_too_unless_they_are_not_this_charts_or_callable() -> None:
    assert bounds_of(LOGOFF, INBOUND <= 1) == bounds_of(LOGOFF, "inbound <= 1") == (Compare((("inbound", 1),), "<=", 1),)
    assert bounds_of(LOGOFF, [REQUEST == Logoff.QUIET]) == bounds_of(LOGOFF, ["request == quiet"])
    with pytest.raises(BoundError, match="endless has no variable 'inbound'"):
        bounds_of(small.ENDLESS, [INBOUND <= 1])
    with pytest.raises(BoundError, match="a callable says nothing"):
        bounds_of(LOGOFF, [AnyOf(INBOUND <= 1, Opaque(few))])


def test_names_that_differ_in_case_alone_are_written_exactly() -> None:
    chart = small.chart("cases", [row("end", "a", "end", target="done")], states=("a", small.DONE),
                        variables=(Counter("n"), Counter("N"), Choice("mode", ("x", "X", "dark red", "Ω"), initial="x")))
    assert str(read_bound(chart, "n <= 1 and N <= 2")) == "n <= 1 and N <= 2"
    assert str(read_bound(chart, "mode in ('X', 'DARK RED', 'ω')")) == "mode in (X, dark red, Ω)"
    both = small.chart("both", [row("end", "a", "end", target="done")], states=("a", small.DONE),
                       variables=(Counter("aB"), Counter("Ab")))
    with pytest.raises(BoundError, match="'AB' could be aB or Ab; write it exactly"):
        read_bound(both, "AB <= 1")


@given(st.text(max_size=40))
def test_no_text_does_anything_but_be_read_or_refused(text: str) -> None:
    try:
        read_bound(LOGOFF, text)
    except BoundError:
        pass
