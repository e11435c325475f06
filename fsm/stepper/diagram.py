"""A chart in characters: states as boxes under each other, and a lane for each state that others move to.

     ┌──────────┐
     │ open     │◄────────┐        an arrow ends at the name of the state it leads to
     └──────────┴──●──●   │        a state's moves leave at its lower edge, and join the lane of
     ╔══════════╗  │  │   │        the state they lead to: at a dot, or where the line ends
    ▶║ draining ║◄─┘  │   │
     ...

Theory.  All moves to a state share one lane, so that a chart of n states needs at most n lanes, whatever its rows are.
A lane runs from the highest to the lowest state it touches; short lanes are nearer to the boxes, so that few lines
cross.  A crossing without a dot joins nothing.  Where the boxes do not fit, a list says the same.

A diagram is made of lines of pieces (text, kind); the caller chooses the style of each kind.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from fsm.chart import Chart
from fsm.stepper.text import columns, cut, printable

__all__ = ["Kind", "Line", "as_text", "moves", "text_diagram"]

Kind: TypeAlias = Literal["box", "here", "lane", "lit"]
"""A state, the present state, a lane, and the lane of a state the present one can move to."""
Line: TypeAlias = list[tuple[str, Kind]]

UP, DOWN, LEFT, RIGHT, DOT, LIT = 1, 2, 4, 8, 16, 32
STROKES: Final = {
    0: " ", UP: "╵", DOWN: "╷", LEFT: "╴", RIGHT: "╶", UP | DOWN: "│", LEFT | RIGHT: "─",
    UP | LEFT: "┘", DOWN | LEFT: "┐", UP | RIGHT: "└", DOWN | RIGHT: "┌", UP | DOWN | LEFT: "┤",
    UP | DOWN | RIGHT: "├", LEFT | RIGHT | UP: "┴", LEFT | RIGHT | DOWN: "┬", UP | DOWN | LEFT | RIGHT: "┼",
}
PITCH: Final = 3
"""Columns from one lane to the next."""
LONGEST: Final = 24
"""Characters of a name in a box; longer ones are cut."""


def moves(chart: Chart) -> dict[tuple[str, str], tuple[str, ...]]:
    """Return the events that lead from one state to another, by (from, to), in the chart's order."""
    found: dict[tuple[str, str], dict[str, None]] = {}
    for one in chart.rows:
        if one.moves:
            found.setdefault((one.source, one.target), {})[one.event] = None
    return {pair: tuple(events) for pair, events in found.items()}


def text_diagram(chart: Chart, present: str, width: int, height: int) -> list[Line]:
    """Draw the chart in at most `width` columns and `height` lines, with the present state lit.

    Where the boxes do not fit, the result is a list of states, the present one first.
    """
    lines = _boxes(chart, present)
    if len(lines) <= height and all(sum(columns(piece) for piece, _ in line) <= width for line in lines):
        return lines
    return _list(chart, present, width)[:height]


def as_text(lines: list[Line]) -> str:
    """Return a diagram as plain text."""
    return "\n".join("".join(piece for piece, _ in line).rstrip() for line in lines)


def _boxes(chart: Chart, present: str) -> list[Line]:
    states = [str(state) for state in chart.states]
    place = {state: at for at, state in enumerate(states)}
    sources: dict[int, list[int]] = {}
    for source, target in moves(chart):
        sources.setdefault(place[target], []).append(place[source])
    lanes = sorted(sources, key=lambda to: (_span(to, sources[to]), to))
    grid = [[0] * (PITCH * len(lanes)) for _ in range(3 * len(states))]
    for lane, to in enumerate(lanes):
        leaving = place[present] if place[present] in sources[to] else None
        _draw(grid, PITCH * lane + PITCH - 1, to, sources[to], leaving)
    names = [cut(printable(state), LONGEST) for state in states]
    wide = max(map(columns, names))
    lines: list[Line] = []
    for at, name in enumerate(names):
        here = states[at] == present
        for part, cells in zip(_box(name + " " * (wide - columns(name)), here), grid[3 * at : 3 * at + 3], strict=True):
            lines.append([(part, "here" if here else "box"), *_strokes(cells, arrow=part.startswith(("▶", " │")))])
    return lines


def _span(target: int, sources: list[int]) -> int:
    return max(target, *sources) - min(target, *sources)


def _draw(grid: list[list[int]], column: int, target: int, sources: list[int], present: int | None) -> None:
    """Draw a lane: the arrow into its target, a line from each source, and the upright that joins them.

    The path from the present state's line to the target is lit, where there is one.
    """
    arrow = 3 * target + 1
    ends = [arrow, *(3 * source + 2 for source in sources)]
    own = {arrow, 3 * present + 2} if present is not None else set[int]()
    for row in range(min(ends), max(ends) + 1):
        on_path = own and min(own) <= row <= max(own)
        grid[row][column] |= UP * (row > min(ends)) | DOWN * (row < max(ends)) | LIT * bool(on_path)
    for row in ends:
        for passed in range(column):
            grid[row][passed] |= LEFT | RIGHT | LIT * (row in own)
        through = grid[row][column] & (UP | DOWN) == UP | DOWN
        grid[row][column] |= LEFT | DOT * through


def _strokes(cells: list[int], *, arrow: bool) -> Line:
    line: Line = []
    for at, cell in enumerate(cells):
        stroke = STROKES[cell & 15]
        if cell & DOT or (cell & LEFT and cell & RIGHT and (cell & (UP | DOWN)).bit_count() == 1):
            stroke = "●"
        if arrow and at == 0 and cell & LEFT:
            stroke = "◄"
        kind: Kind = "lit" if cell & LIT else "lane"
        if line and line[-1][1] == kind:
            stroke = line.pop()[0] + stroke
        line.append((stroke, kind))
    return line


def _box(name: str, here: bool) -> tuple[str, str, str]:
    """Draw a box; the present state's has double lines and an arrow, so that it needs no colour."""
    if here:
        return f" ╔{'═' * (columns(name) + 2)}╗", f"▶║ {name} ║", f" ╚{'═' * (columns(name) + 2)}╝"
    return f" ┌{'─' * (columns(name) + 2)}┐", f" │ {name} │", f" └{'─' * (columns(name) + 2)}┘"


def _list(chart: Chart, present: str, width: int) -> list[Line]:
    reached: dict[str, list[str]] = {str(state): [] for state in chart.states}
    for source, target in moves(chart):
        reached[source].append(target)
    lines: list[Line] = []
    for state in sorted(reached, key=lambda state: state != present):  # stable: the others in the chart's order
        here = state == present
        to = ", ".join(map(printable, reached[state])) or "nothing else"
        line = cut(f"{'▶' if here else ' '}[{printable(state)}] → {to}", width)
        lines.append([(line, "here" if here else "box")])
    return lines
