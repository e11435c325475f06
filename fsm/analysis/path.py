"""The words of paths, and the elementary paths of a table: sequences of state-changing rows that visit no state twice.

The table has finitely many of them, whatever the counts; guards play no part here.  `paths.py` finds out which can be
walked.  This file does not know the graph.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from fsm.chart import Chart, Row

__all__ = ["MOST_PATHS", "Path", "PathsError", "Use", "elementary", "listed"]

MOST_PATHS: Final = 100_000


class PathsError(ValueError):
    """A chart whose paths cannot be listed: it has no final state, or there are too many paths."""


@dataclass(frozen=True, slots=True)
class Path:
    """One elementary path.  `witness` is None when there is none; `infeasible` then says why.

    `states` are the states visited and `rows` the ids of the rows between them.  `flag` is the value of the chart's
    enumerated variable at the end of the witness; `flags` has a shortest witness for every value possible there.
    `proved` tells whether `infeasible` holds for all counts, or only within the bounds.
    """

    id: str
    states: tuple[str, ...]
    rows: tuple[str, ...]
    flag: str | None = None
    witness: tuple[str, ...] | None = None
    infeasible: str | None = None
    proved: bool = False
    flags: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def with_flag(self, flag: str) -> Path:
        """The same path with its shortest witness that ends with this flag.  KeyError when it has none."""
        return replace(self, flag=flag, witness=self.flags[flag])


@dataclass(frozen=True, slots=True)
class Use:
    """Where a row belongs: a path and an executed trace of it that takes the row; or, without, why it is on none."""

    row: str
    path: str | None = None
    trace: tuple[str, ...] | None = None
    reason: str | None = None


def elementary(chart: Chart) -> Iterator[tuple[Row, ...]]:
    """The elementary paths as sequences of rows, in the order of the table, whatever the guards say.

    Found one by one, so the first of very many can be had.  Guards play no part here.
    """
    moves: dict[str, list[Row]] = {}
    for row in chart.rows:
        if row.moves:
            moves.setdefault(row.source, []).append(row)
    final = {str(state) for state in chart.states if state.final}

    def walk(state: str, visited: tuple[str, ...], rows: tuple[Row, ...]) -> Iterator[tuple[Row, ...]]:
        if state in final:
            yield rows
            return
        home = _leads_home(moves, final, visited)
        for row in moves.get(state, ()):
            if row.target in home:
                yield from walk(row.target, (*visited, row.target), (*rows, row))

    yield from walk(chart.initial, (chart.initial,), ())


def _leads_home(moves: dict[str, list[Row]], final: set[str], visited: tuple[str, ...]) -> set[str]:
    """The states from which a final one can be reached without those visited, so that no search is in vain."""
    home = {state for state in final if state not in visited}
    grown = True
    while grown:
        grown = False
        for source, rows in moves.items():
            if source not in home and source not in visited and any(row.target in home for row in rows):
                home.add(source)
                grown = True
    return home


def listed(chart: Chart, most: int = MOST_PATHS) -> list[tuple[Row, ...]]:
    """The elementary paths by length, then states, then rows, in the order of the table.  PathsError above `most`."""
    found = []
    for rows in elementary(chart):
        found.append(rows)
        if len(found) > most:
            told = "elementary(chart) finds them one by one"
            raise PathsError(f"{chart.name} has more than {most:,} elementary paths; {told}")
    return _in_order(chart, found)


def _in_order(chart: Chart, found: list[tuple[Row, ...]]) -> list[tuple[Row, ...]]:
    states = {str(state): place for place, state in enumerate(chart.states)}
    rows = {row.id: place for place, row in enumerate(chart.rows)}
    return sorted(found, key=lambda path: (
        len(path), [states[row.target] for row in path], [rows[row.id] for row in path]
    ))
