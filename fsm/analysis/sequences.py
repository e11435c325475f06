"""How many legal sequences of events there are: exact numbers, by dynamic programming over the graph.

A sequence is counted when its last event enters a final or absorbing state for the first time; in a chart without
such states every sequence is.  In every configuration at most one
row takes an event, so sequences of events correspond to walks through the graph.  A list of numbers, one for each
configuration, says how many sequences of n events lead there; the list for n + 1 follows from the edges.
"""

from __future__ import annotations

from collections import Counter

from fsm.analysis.paths import ends_of
from fsm.analysis.reachability import Graph

__all__ = ["count_sequences"]


def count_sequences(graph: Graph, longest: int) -> tuple[int, ...]:
    """Count, for each length from 0 to `longest`, the legal sequences that enter an end with their last event.

    Exact within the graph's bounds.  ValueError for a negative length.
    """
    if longest < 0:
        raise ValueError(f"a sequence has 0 events or more, not {longest}")
    names = ends_of(graph.chart)
    ends = {n for n, here in enumerate(graph.configurations) if here[0] in names or not names}
    onward = [
        () if names and number in ends else tuple(Counter(edge.target for edge in edges).items())
        for number, edges in enumerate(graph.out)
    ]
    here, totals = {0: 1}, []
    for length in range(longest + 1):
        if length:
            there: dict[int, int] = {}
            for number, count in here.items():
                for target, times in onward[number]:
                    there[target] = there.get(target, 0) + times * count
            here = there
        totals.append(sum(count for number, count in here.items() if number in ends))
    return tuple(totals)
