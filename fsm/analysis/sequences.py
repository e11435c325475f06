"""How many legal sequences of events there are: exact numbers, by a dynamic programme over the graph.

A sequence is counted when its last event enters a final state for the first time.  In every configuration an event is
taken by at most one row, so sequences of events and walks through the graph are the same things.  One row of numbers,
one for each configuration, says how many sequences of n events lead there; the next row follows from the steps.
This file does not know paths.
"""

from __future__ import annotations

from collections import Counter

from fsm.analysis.reachability import Graph

__all__ = ["count_sequences"]


def count_sequences(graph: Graph, longest: int) -> tuple[int, ...]:
    """For each length from 0 to `longest`, how many legal sequences enter a final state with their last event.

    Exact within the graph's bounds.  ValueError for a negative length.
    """
    if longest < 0:
        raise ValueError(f"a sequence has 0 events or more, not {longest}")
    final = graph.final
    onward = [
        () if number in final else tuple(Counter(step.target for step in steps).items())
        for number, steps in enumerate(graph.out)
    ]
    here, totals = {0: 1}, []
    for length in range(longest + 1):
        if length:
            there: dict[int, int] = {}
            for number, ways in here.items():
                for target, times in onward[number]:
                    there[target] = there.get(target, 0) + times * ways
            here = there
        totals.append(sum(ways for number, ways in here.items() if number in final))
    return tuple(totals)
