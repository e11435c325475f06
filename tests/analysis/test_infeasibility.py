"""What is called impossible is, and names the conditions that contradict."""

from __future__ import annotations

import pytest

from fsm.analysis.infeasibility import Abstraction
from fsm.analysis.paths import Atlas, Path
from fsm.analysis.reachability import ExploreError, Graph
from fsm.chart import Chart, State, row
from fsm.logoff.chart import LOGOFF
from tests import small_charts as small
from tests.small_charts import NAMED


def named(atlas: Atlas, *rows: str) -> Path:
    return next(path for path in atlas.paths if path.rows == rows)


@pytest.mark.parametrize(("chart", "bounds", "rows", "proved", "reason"), [
    (small.LURE, (), ("go", "never"), True,
     "after go, in b it then always holds that mode == FAST; never needs mode == SLOW"),
    (small.FULL, ("n <= 3",), ("enter", "one"), True,
     "after enter, in b it then always holds that n > 1; one needs n == 1"),
    (small.DISTANT, ("n <= 2",), ("far",), False, "no witness within n <= 2; greater counts are not excluded"),
    (small.opaque(lambda session: False), (), ("ask",), False, "nothing can be proved of the callable guards: <lambda>()"),
], ids=str)
def test_an_impossible_path_names_the_conditions_that_contradict(
    chart: Chart, bounds: tuple[str, ...], rows: tuple[str, ...], proved: bool, reason: str
) -> None:
    path = named(Atlas(chart, bounds), *rows)
    assert path.witness is None
    assert path.flags == {}
    assert path.proved is proved
    assert reason in (path.infeasible or "")


def test_the_invariant_of_the_state_entered_is_named_where_it_is_what_contradicts() -> None:
    held = State("b", invariant=(small.MODE == small.Mode.FAST) & (small.N > 0))
    chart = small.chart("held", [
        row("more", "a", "more", effects=[small.up(small.N)]),
        row("go", "a", "go", guard=small.N > 0, effects=[small.MODE.becomes(small.Mode.FAST)], target=held),
        row("slow", held, "slow", effects=[small.MODE.becomes(small.Mode.FAST)]),
        row("end", held, "end", target="done"),
        row("other", "a", "other", guard=small.MODE == small.Mode.SLOW, target="done"),
    ], states=("a", held, small.DONE), variables=(small.MODE, small.N))
    path = named(Atlas(chart, ["n <= 1"]), "other")
    assert (path.infeasible, path.proved) == ("in a it then always holds that mode == none; other needs mode == SLOW", True)


def test_more_room_finds_the_witness_that_the_bounds_cut_off() -> None:
    assert named(Atlas(small.DISTANT, ["n <= 5"]), "far").witness == ("more",) * 5 + ("far",)
    with pytest.raises(ExploreError, match="without end"):
        Atlas(small.DISTANT)


@NAMED
def test_what_is_infeasible_for_all_counts_stays_so_with_more_room(chart: Chart, bounds: tuple[str, ...]) -> None:
    lost = {path.rows for path in Atlas(chart, bounds).paths if path.proved}
    if lost and bounds:
        roomy = Atlas(chart, [f"{name} <= 12" for name in chart.names])
        assert all(path.witness is None for path in roomy.paths if path.rows in lost)


def test_the_abstraction_can_do_whatever_the_machine_does() -> None:
    """All concrete steps, with counts far above the chart's numbers, are steps of the abstraction."""
    abstraction = Abstraction(LOGOFF)
    graph = Graph(LOGOFF, ["inbound <= 4", "outbound + ready + deferred <= 5", "peers <= 2"])
    for step in graph.edges:
        here, there = (abstraction._capped(graph.configurations[n]) for n in (step.source, step.target))
        assert (step.row, there) in abstraction.after(here)
    assert abstraction.top == 2
