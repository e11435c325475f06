"""A chart in characters: states as boxes under each other, and a lane for each state that others move to.

     ┌──────────┐
     │ open     │◄────────┐        an arrow ends at the name of the state it leads to
     └──────────┴──●──●   │        a state's moves leave at its lower edge, and join the lane of
     ╔══════════╗  │  │   │        the state they lead to: at a dot, or where the line ends
    ▶║ draining ║◄─┘  │   │
     ...

Theory.  All moves to a state share one lane, so that a chart of n states needs at most n lanes, whatever its rows are.
A lane runs from the highest to the lowest state it touches; short lanes are nearer to the boxes, so that few lines
cross.  A crossing without a dot joins nothing.  Where there is room, a box names the events that lead away from its
state; where not even the boxes fit, a list says where each state leads.

A diagram is made of lines of pieces (text, kind); the caller chooses the style of each kind.
"""

from __future__ import annotations

from itertools import accumulate
from typing import Final, Literal, TypeAlias

from fsm.chart import Chart
from fsm.stepper.text import columns, cut, printable, wrapped

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
ROOM: Final = 24, 60
"""The columns for the events in a box: fewer are not worth it, and more are not used."""


def moves(chart: Chart) -> dict[tuple[str, str], tuple[str, ...]]:
    """Return the events that lead from one state to another, by (from, to), in the chart's order."""
    found: dict[tuple[str, str], dict[str, None]] = {}
    for one in chart.rows:
        if one.moves:
            found.setdefault((one.source, one.target), {})[one.event] = None
    return {pair: tuple(events) for pair, events in found.items()}


def text_diagram(chart: Chart, present: str, width: int, height: int) -> list[Line]:
    """Draw the chart in at most `width` columns and `height` lines, with the present state lit.

    Where there is room, the boxes name the events that lead away; where not even the boxes fit, the result is a list of
    states, the present one first.
    """
    room = min(width - PITCH * len({target for _, target in moves(chart)}) - len(" │  │"), ROOM[1])
    for events in (_events(chart, room) if room >= ROOM[0] else {}, {}):
        lines = _boxes(chart, present, events)
        if len(lines) <= height and all(sum(columns(piece) for piece, _ in line) <= width for line in lines):
            return lines
    return _list(chart, present, width)[:height]


def as_text(lines: list[Line]) -> str:
    """Return a diagram as plain text."""
    return "\n".join("".join(piece for piece, _ in line).rstrip() for line in lines)


def _events(chart: Chart, width: int) -> dict[str, list[str]]:
    """Return for each state lines of at most `width` columns: the events that lead to each other state."""
    found: dict[str, list[str]] = {}
    for (source, target), events in moves(chart).items():
        first, *more = wrapped(f"→ {printable(target)}: {','.join(map(printable, events))}", width - 2)
        found.setdefault(source, []).extend([first, *(f"  {line}" for line in more)])
    return found


def _boxes(chart: Chart, present: str, events: dict[str, list[str]]) -> list[Line]:
    states = [str(state) for state in chart.states]
    texts = [[cut(printable(state), LONGEST), *events.get(state, [])] for state in states]
    wide = max(columns(line) for text in texts for line in text)
    tops = list(accumulate((len(text) + 2 for text in texts), initial=0))
    place = {state: at for at, state in enumerate(states)}
    sources: dict[int, list[int]] = {}
    for source, target in moves(chart):
        sources.setdefault(place[target], []).append(place[source])
    lanes = sorted(sources, key=lambda to: (_span(to, sources[to]), to))
    grid = [[0] * (PITCH * len(lanes)) for _ in range(tops[-1])]
    for lane, to in enumerate(lanes):
        leaving = {source: tops[source + 1] - 1 for source in sources[to]}
        _draw(grid, PITCH * lane + PITCH - 1, tops[to] + 1, list(leaving.values()), leaving.get(place[present]))
    lines: list[Line] = []
    for at, text in enumerate(texts):
        here = states[at] == present
        box = _box([line + " " * (wide - columns(line)) for line in text], here)
        for part, cells in zip(box, grid[tops[at] : tops[at + 1]], strict=True):
            lines.append([(part, "here" if here else "box"), *_strokes(cells, arrow=part.startswith(("▶", " │")))])
    return lines


def _span(target: int, sources: list[int]) -> int:
    return max(target, *sources) - min(target, *sources)


def _draw(grid: list[list[int]], column: int, arrow: int, sources: list[int], present: int | None) -> None:
    """Draw a lane: the arrow in the row of its target, a line in that of each source, and the upright that joins them.

    The path from the present state's row to the arrow is lit, where there is one.
    """
    ends = [arrow, *sources]
    own = {arrow, present} if present is not None else set[int]()
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


def _box(text: list[str], here: bool) -> list[str]:
    """Draw a box; the present state's has double lines and an arrow, so that it needs no colour."""
    (first, *more), edge = text, columns(text[0]) + 2
    if here:
        return [f" ╔{'═' * edge}╗", f"▶║ {first} ║", *(f" ║ {line} ║" for line in more), f" ╚{'═' * edge}╝"]
    return [f" ┌{'─' * edge}┐", *(f" │ {line} │" for line in text), f" └{'─' * edge}┘"]


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
