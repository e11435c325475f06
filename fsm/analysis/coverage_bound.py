"""How few events any set of walks must have that takes every row: the proof from below, made as strong as can be.

Theory.  Give every configuration a number, its *potential*, such that every step's *slack* 1 + p(source) - p(target) is
0 or more, and no end of a walk is below the start.  Added up along a walk the potentials cancel out, so a walk has
at least as many events as the slacks of its steps together.  Every row is taken somewhere; so every set of walks that
takes all rows has at least as many events as the least slacks of all rows together.  Any such potentials prove; which
prove most is a linear programme, and is approached from two sides:

1. The flow asks each row for one more unit over the step that has the least slack now, again and again.  What has grown
   too cheap becomes dear; the potentials of the flow are tried each time, and the best are kept.
2. From the best, all configurations that have something in common are raised or lowered together by 1, as long as
   that helps.

This file does not know how walks are found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from fsm.variable import Counter

if TYPE_CHECKING:
    from fsm.analysis.flow import Flow
    from fsm.analysis.reachability import Graph, Step

__all__ = ["least"]

ROUNDS: Final = 60
PATIENCE: Final = 8_000_000
"""How many arcs, then how many steps, the search for better potentials may look at."""


def least(graph: Graph, by_row: Mapping[str, Sequence[Step]], ends: Sequence[int], flow: Flow, enough: int) -> int:
    """A number of events that no set of walks can stay below; the search stops when it proves `enough`.

    The flow is changed: what it asks for afterwards is of no use to anyone.
    """
    rows = [sorted({(step.source, step.target) for step in steps}) for steps in by_row.values()]
    best, potential = len(rows), [0] * len(flow.potential)  # all potentials 0 prove that each row takes an event
    limit = flow.looked + PATIENCE
    for _ in range(ROUNDS):
        if best >= enough or flow.looked > limit:
            break
        proved = _proved(rows, ends, flow.potential)
        if proved > best:
            best, potential = proved, list(flow.potential)
        for pairs in rows:
            flow.require(*min(pairs, key=lambda pair: flow.potential[pair[0]] - flow.potential[pair[1]]))
        flow.settle()
    return _raised(graph, rows, ends, potential, best, enough)


def _proved(rows: list[list[tuple[int, int]]], ends: Sequence[int], potential: Sequence[int]) -> int:
    """What these potentials prove; -1 when they are none."""
    total = 0
    for pairs in rows:
        slack = 1 + min(potential[source] - potential[target] for source, target in pairs)
        if slack < 0:
            return -1
        total += slack
    return total if not ends or min(potential[end] for end in ends) >= potential[0] else -1


def _raised(
    graph: Graph, rows: list[list[tuple[int, int]]], ends: Sequence[int], potential: list[int], best: int, enough: int
) -> int:
    groups, size, looked, better = _groups(graph), sum(map(len, rows)), 0, True
    while better:
        better = False
        for group in groups:
            for by in (1, -1):
                if best >= enough or looked > PATIENCE:
                    return best
                for number in group:
                    potential[number] += by
                looked += size
                proved = _proved(rows, ends, potential)
                if proved > best:
                    best, better = proved, True
                else:
                    for number in group:
                        potential[number] -= by
    return best


def _groups(graph: Graph) -> list[tuple[int, ...]]:
    """Configurations with something in common: the state, a value, a counter of at least so much, two of these."""
    found: dict[object, list[int]] = {}
    for number, here in enumerate(graph.configurations):
        traits: list[object] = []
        choices: list[object] = []
        for variable, value in zip(graph.chart.variables, here[1:], strict=True):
            if isinstance(variable, Counter) and isinstance(value, int):
                traits += [(variable.name, least) for least in range(1, value + 1)] or [(variable.name, "none")]
            else:
                choices.append((variable.name, value))
        common = [(), (here[0],), (here[0], *choices)]
        for one in [number, *common, *((*some, trait) for some in common for trait in traits)]:
            found.setdefault(one, []).append(number)
    return list(dict.fromkeys(map(tuple, found.values())))
