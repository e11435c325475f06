"""Every path is listed, every witness is executed, and what is called impossible is."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import networkx as nx
import pytest
from hypothesis import (
    given,
    strategies as st,
)

from fsm.analysis.paths import Atlas, PathsError, elementary
from fsm.analysis.reachability import Explorer
from fsm.chart import Chart, State, row
from fsm.condition import label
from fsm.logoff.chart import LOGOFF
from fsm.logoff.properties import BOUNDS
from fsm.session import Session
from tests import small_charts as small
from tests.small_charts import NAMED, new, replay

FAMILIES = {
    ("open", "released"): 12, ("open", "draining", "released"): 42, ("open", "blocked", "released"): 45,
    ("open", "blocked", "draining", "released"): 126,
}

@cache
def logoff() -> Atlas:
    return Atlas(LOGOFF, BOUNDS)


# ----------------------------------------------------------------------------------------- which paths there are


def table(chart: Chart) -> nx.MultiDiGraph[str]:
    """The table without its guards: an edge for each row that changes the state."""
    found: nx.MultiDiGraph[str] = nx.MultiDiGraph()
    found.add_nodes_from(map(str, chart.states))
    found.add_edges_from((r.source, r.target, r.id) for r in chart.rows if r.moves)
    return found


def simple_paths(chart: Chart) -> Iterator[tuple[str, ...]]:
    final = [str(state) for state in chart.states if state.final]
    for one in final:
        for path in nx.all_simple_edge_paths(table(chart), chart.initial, one):
            if not any(target in final for _, target, _ in path[:-1]):
                yield tuple(key for _, _, key in path)


@NAMED
def test_networkx_lists_the_same_elementary_paths(chart: Chart, bounds: tuple[str, ...]) -> None:
    ours = [tuple(row.id for row in rows) for rows in elementary(chart)]
    assert len(ours) == len(set(ours))
    assert sorted(ours) == sorted(simple_paths(chart))
    assert sorted(path.rows for path in Atlas(chart, bounds).paths) == sorted(ours)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=14))
def test_networkx_lists_the_same_paths_of_any_table(moves: list[tuple[int, int]]) -> None:
    states = [State(f"s{n}", final=n in (4, 5)) for n in range(6)]
    rows = [row(f"r{n}", states[a], f"e{n}", target=states[b]) for n, (a, b) in enumerate(moves) if a < 4]
    chart = Chart.__new__(Chart)  # a table only: most of these would be refused for states that cannot be reached
    chart.states, chart.rows, chart.initial = tuple(states), tuple(rows), "s0"
    found = [tuple(r.id for r in path) for path in elementary(chart)]
    assert sorted(found) == sorted(simple_paths(chart))
    for longest in range(7):
        some = [tuple(r.id for r in path) for path in elementary(chart, longest)]
        assert some == [path for path in found if len(path) <= longest]


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=12))
def test_networkx_lists_the_same_rounds_of_any_table(moves: list[tuple[int, int]]) -> None:
    rows = [row(f"r{n}", f"s{a}", f"e{n}", target=f"s{b}") for n, (a, b) in enumerate(moves)]
    chart = Chart.__new__(Chart)
    chart.states, chart.rows, chart.initial = tuple(State(f"s{n}") for n in range(5)), tuple(rows), "s0"
    split = nx.MultiDiGraph()  # a round is a simple path to a second node for the state where it begins
    split.add_nodes_from(["s0", "again"])
    split.add_edges_from((r.source, "again" if r.target == "s0" else r.target, r.id) for r in rows if r.moves)
    found = [tuple(r.id for r in path) for path in elementary(chart)]
    assert sorted(found) == sorted(
        tuple(key for _, _, key in path) for path in nx.all_simple_edge_paths(split, "s0", "again")
    )
    assert [tuple(r.id for r in path) for path in elementary(chart, 3)] == [one for one in found if len(one) <= 3]


def test_the_paths_of_the_store_logoff_come_in_four_families() -> None:
    atlas = logoff()
    assert {states: len(paths) for states, paths in atlas.families.items()} == FAMILIES
    assert [path.id for path in atlas.paths] == [f"p{n:03}" for n in range(1, 226)]
    assert all(path.witness is not None for path in atlas.paths)
    assert list(atlas.by_flag) == ["NO_WAIT", "ORDERLY", "PURGE", "ABORT", "QUIET"]


def test_paths_are_listed_lazily_and_too_many_are_refused() -> None:
    states = [*(f"s{n}" for n in range(14)), State("end", final=True)]
    rows = [row(f"{a}-{b}", f"s{a}", f"to{b}", target=f"s{b}") for a in range(14) for b in range(14) if a != b]
    rows += [row(f"end{a}", f"s{a}", "end", target="end") for a in range(14)]
    chart = Chart("mesh", states=states, events=dict.fromkeys(r.event for r in rows), rows=rows)
    assert next(elementary(chart))
    with pytest.raises(PathsError, match="mesh has more than 500 elementary paths"):
        Atlas(chart, most=500)


def test_too_many_paths_can_be_listed_in_part_the_shortest_first() -> None:
    whole, part = Atlas(small.PLAIN), Atlas(small.PLAIN, most=2, partial=True)
    assert (len(whole.paths), whole.more, part.more) == (3, False, True)
    assert [path.rows for path in part.paths] == [path.rows for path in whole.paths[:2]]
    assert Atlas(small.PLAIN, most=3, partial=True).more is False


def test_a_chart_without_an_end_has_rounds_and_one_that_starts_at_its_end_has_one_path() -> None:
    lamp = Atlas(small.chart("lamp", [
        row("on", "a", "on", target="b"), row("dim", "b", "dim", target="c"), row("dark", "c", "off", target="a"),
        row("off", "b", "off", target="a"), row("bright", "c", "on", target="b"),
    ], ("a", "b", "c")))
    assert lamp.rounds
    assert [path.states for path in lamp.paths] == [("a", "b", "a"), ("a", "b", "c", "a")]
    assert [path.witness for path in lamp.paths] == [("on", "off"), ("on", "dim", "off")]
    assert lamp.reached == {"b": ("on",), "c": ("on", "dim"), "a": ("on", "off")}
    assert lamp.uses["bright"].reason == "no way by it from c back to a visits each state once"
    assert lamp.taken["bright"] == ("on", "dim", "on")
    there = Atlas(Chart("there", states=[small.DONE], events=["ask"], rows=[row("ask", "done", "ask")]))
    assert [(path.states, path.rows, path.witness) for path in there.paths] == [(("done",), (), ())]


# --------------------------------------------------------------------------------------------------- witnesses


@NAMED
def test_every_witness_is_executed_and_takes_exactly_the_rows_of_its_path(
    chart: Chart, bounds: tuple[str, ...]
) -> None:
    atlas = Atlas(chart, bounds)
    for path in atlas.paths:
        assert (path.witness is None) is (path.infeasible is not None)
        traces = {} if path.witness is None else {path.flag or "none": path.witness}
        for flag, trace in {**traces, **path.flags}.items():
            session, moves = replay(chart, trace)
            assert tuple(moves) == path.rows
            assert session.state == path.states[-1]
            if atlas.flag_name is not None:
                assert label(chart.values(session.configuration)[atlas.flag_name]) == flag
                assert path.with_flag(flag).witness == trace


def test_no_witness_could_be_shorter_with_any_counts() -> None:
    """Level by level through all traces without bounds, by the rows they take: none ends earlier than its witness."""
    longest = max(len(path.witness or ()) for path in logoff().paths)
    explorer = Explorer(LOGOFF, [f"{name} <= {longest}" for name in LOGOFF.names[1:]])
    first: dict[tuple[str, ...], int] = {}
    level = {((), 0)}
    for length in range(1, longest):
        onward = set()
        for rows, number in level:
            for step in explorer.edges(number):
                moved = LOGOFF.row(step.row).moves
                taken = (*rows, step.row) if moved else rows
                if explorer.configurations[step.target][0] == "released":
                    first.setdefault(taken, length)
                elif not moved or explorer.configurations[step.target][0] not in visited(rows):
                    onward.add((taken, step.target))
        level = onward
    shorter = [path for path in logoff().paths if first.get(path.rows, longest) < len(path.witness or ())]
    assert shorter == []
    assert sum(path.rows in first for path in logoff().paths) > 200


def visited(rows: tuple[str, ...]) -> set[str]:
    return {"open", *(LOGOFF.row(one).target for one in rows)}


def test_more_room_finds_no_shorter_witness_and_the_same_flags() -> None:
    roomy = Atlas(LOGOFF, ["inbound <= 2", "outbound + ready + deferred <= 3", "peers <= 2"])
    for one, other in zip(logoff().paths, roomy.paths, strict=True):
        assert {f: len(t) for f, t in one.flags.items()} == {f: len(t) for f, t in other.flags.items()}


@pytest.mark.parametrize("row_id", [row.id for row in LOGOFF.rows])
def test_every_row_is_on_an_executed_path_or_named_with_the_reason(row_id: str) -> None:
    use = logoff().uses[row_id]
    on = logoff().paths_with(row_id)
    if use.trace is None:
        assert LOGOFF.row(row_id).target == "open"
        assert (use.path, use.reason, on) == (None, "leads back to open, where every path begins", ())
        return
    path = next(path for path in logoff().paths if path.id == use.path)
    for one, trace in [(path, use.trace), *((p, t) for p in on for t in p.flags.values())]:
        session, moves = replay(LOGOFF, trace)
        assert tuple(moves) == one.rows
        assert session.state == "released"
        assert row_id in rows_of(trace)


def rows_of(trace: tuple[str, ...]) -> list[str]:
    session, rows = new(LOGOFF)(), []
    for event in trace:
        rows.append(session.may(event).row.id)  # type: ignore[union-attr]
        session.fire(event)
    return rows


def test_the_rows_that_are_on_no_path_say_why() -> None:
    lure, far = Atlas(small.LURE), Atlas(small.DISTANT, ["n <= 2"])
    assert lure.uses["never"].reason == f"no elementary path with it has a witness: {lure.paths[1].infeasible}"
    assert far.uses["far"].reason == (
        "no elementary path with it has a witness: no witness within n <= 2; greater counts are not excluded"
    )
    dead_end = small.chart("side", [
        row("in", "a", "in", target="b"), row("out", "b", "out", target="a"), row("end", "a", "end", target="done"),
        row("more", "b", "more"),
    ])
    uses = Atlas(dead_end).uses
    assert uses["in"].reason == "no way by it from a to done visits each state once"
    assert uses["out"].reason == "leads back to a, where every path begins"
    assert uses["more"].reason == "no executed trace of any path takes it"


def test_an_end_that_only_a_longer_way_reaches_is_reached() -> None:
    """The turnstile may be retired with coins in it only: no elementary path has a witness, and the end is near."""
    coins = small.N
    turnstile = Atlas(small.chart("turnstile", [
        row("pay", "locked", "coin", effects=[small.up(coins)], target="unlocked"),  # type: ignore[list-item]
        row("pass", "unlocked", "push", target="locked"),
        row("retire", "locked", "retire", guard=coins > 0, target="done"),
    ], ("locked", "unlocked", small.DONE), variables=(coins,)), ["n <= 3"])
    assert turnstile.reached == {"done": ("coin", "push", "retire")}
    assert [path.witness for path in turnstile.paths] == [None]
    assert turnstile.taken == {"pay": ("coin",), "pass": ("coin", "push"), "retire": ("coin", "push", "retire")}
    assert Atlas(small.DISTANT, ["n == 0"]).reached == {"done": None}


@NAMED
def test_the_trace_to_an_end_and_to_each_row_is_legal_and_no_witness_is_shorter(
    chart: Chart, bounds: tuple[str, ...]
) -> None:
    atlas = Atlas(chart, bounds)
    for end, trace in atlas.reached.items():
        if trace is not None:
            assert replay(chart, trace)[0].state == end
            assert len(trace) <= min((len(p.witness or ()) for p in atlas.paths if p.witness is not None), default=99)
        else:
            assert all(path.witness is None for path in atlas.paths if path.states[-1] == end)
    for name, trace in atlas.taken.items():
        session = new(chart)()
        for event in trace[:-1]:
            session.fire(event)
        verdict = session.may(trace[-1])
        assert verdict.row is not None
        assert verdict.row.id == name


def test_a_callable_guard_that_answers_differently_each_time_is_found_out() -> None:
    asked: list[Session] = []
    Atlas(small.opaque(lambda session: not asked.append(session)))
    last = len(asked)  # the call by which the witness is executed once more
    asked.clear()
    with pytest.raises(PathsError, match="ask cannot be executed twice alike on opaque: a callable guard"):
        Atlas(small.opaque(lambda session: asked.append(session) is None and len(asked) != last))
