"""The numbers of legal sequences are those of trying them all."""

from __future__ import annotations

import pytest

from fsm.analysis.reachability import Graph
from fsm.analysis.sequences import count_sequences
from fsm.chart import Chart, Configuration, row
from fsm.logoff.chart import LOGOFF
from fsm.logoff.properties import BOUNDS
from fsm.verdict import judge
from tests import small_charts as small


def brute(chart: Chart, bounds: tuple[str, ...], longest: int) -> list[int]:
    """How many sequences enter a final state, by trying every event after every event."""
    conditions = Graph(chart, bounds).bounds
    totals = [0] * (longest + 1)

    def go(here: Configuration, length: int) -> None:
        if chart.state(str(here[0])).final:
            totals[length] += 1
            return
        for event in chart.events if length < longest else ():
            verdict = judge(chart, here, event)
            if verdict.row is not None:
                values = chart.values(here)
                new = {effect.name: effect.new(values) for effect in verdict.row.effects}
                onward = {**values, **new}
                if all(bound.holds(onward) for bound in conditions):
                    go((verdict.row.target, *onward.values()), length + 1)

    go(chart.start(), 0)
    return totals


@pytest.mark.parametrize(("chart", "bounds", "longest"), [
    (LOGOFF, BOUNDS, 4), (LOGOFF, ("inbound + outbound + ready + deferred + peers <= 1",), 5), (small.PLAIN, (), 8),
    (small.LADDER, (), 8), (small.TOKENS, (), 9), (small.RESET, (), 7), (small.FULL, ("n <= 4",), 7),
], ids=lambda one: getattr(one, "name", ""))
def test_the_number_of_sequences_is_that_of_trying_them_all(
    chart: Chart, bounds: tuple[str, ...], longest: int
) -> None:
    assert list(count_sequences(Graph(chart, bounds), longest)) == brute(chart, bounds, longest)


def test_numbers_are_exact_however_large() -> None:
    graph = Graph(LOGOFF, BOUNDS)
    numbers = count_sequences(graph, 60)
    assert numbers[:11] == (0, 6, 9, 70, 411, 2891, 20358, 150777, 1139910, 8781169, 68578753)
    assert numbers[60] > 2**64
    assert count_sequences(Graph(Chart("there", states=[small.DONE], events=["ask"], rows=[row("ask", "done", "ask")])), 2) == (1, 0, 0)
    with pytest.raises(ValueError, match="0 events or more, not -1"):
        count_sequences(graph, -1)
