"""A chart is called endless only when its graph goes on, with the counter that grows."""

from __future__ import annotations

import pytest
from hypothesis import (
    given,
    strategies as st,
)

from fsm.analysis.bounds import BoundError
from fsm.analysis.reachability import ExploreError, Graph
from fsm.chart import Chart, State, row
from fsm.condition import Opaque
from fsm.logoff.chart import LOGOFF
from fsm.session import Session
from fsm.variable import Counter
from tests import small_charts as small


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


RACE = small.chart("race", [  # both grow, and their difference stays
    row("run", "a", "run", guard=small.M <= small.N, effects=[small.up(small.N), small.up(small.M)]),
    row("end", "a", "end", target="done"),
], states=("a", small.DONE), variables=(small.N, small.M))
SWAP = small.chart("swap", [  # what is taken from the one is added to the other, and one more
    row("there", "a", "there", guard=small.N > small.M, effects=[small.N.becomes(small.M), small.M.becomes(small.N + 1)]),
    row("here", "a", "here", guard=small.N < small.M, effects=[small.N.becomes(small.M), small.M.becomes(small.N)]),
    row("end", "a", "end", target="done"),
], states=("a", small.DONE), variables=(Counter("n", initial=1), small.M))
CATCH = small.chart("catch", [
    row("run", "a", "run", guard=small.M < small.N, effects=[small.M.becomes(2 * small.M + 1)]), row("end", "a", "end", target="done"),
], states=("a", small.DONE), variables=(Counter("n", initial=5), small.M))
GAP = small.chart("gap", [
    row("run", "a", "run", guard=small.N - small.M < 3, effects=[small.up(small.N)]), row("end", "a", "end", target="done"),
    row("back", "a", "back", guard=small.N > small.M, effects=[small.N.becomes(small.N - small.M - 1)]),
], states=("a", small.DONE), variables=(small.N, small.M))


def test_loops_under_linear_guards_are_endless_exactly_if_their_differences_allow_it() -> None:
    for chart, told in ((RACE, "n and m can grow for ever, by repeating run in a"), (SWAP, "n can grow for ever, by repeating there,here")):
        with pytest.raises(ExploreError, match=told):
            Graph(chart, limit=5_000)
    assert len(Graph(RACE, ["n <= 3"]).configurations) == 8
    assert [(here[1], here[2]) for here in Graph(CATCH).configurations if here[0] == "a"] == [(5, m) for m in (0, 1, 3, 7)]
    assert [here[1] for here in Graph(GAP).configurations if here[0] == "a"] == [0, 1, 2, 3]


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
