"""One layout as SVG, with any number of highlights: colours change, nothing moves.

Theory.
1. The coordinates come from `placement.py`, the width of every text from `metrics.py`; `textLength` fits the reader's
   font into it.  So both renderers give the same elements, and no text leaves its box.
2. A box has the id `n-STATE`, an arc `e-SOURCE-to-TARGET`, each row `t-ROW`, all behind the picture's prefix, so that
   several pictures fit on one page.  A row also has `data-row`, a box `data-state`: the exact names.
3. Classes colour everything.  The template is a list of strings with a place for each class; a highlight fills the
   places and joins them, which takes a hundredth of the time of a layout.
4. The picture brings its own paper and follows the reader's light or dark setting.
5. The title is above the drawing; caption, legend and the meaning of the colours are below.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Final

from fsm.draw.highlight import MARKS, Highlight
from fsm.draw.labels import display_name, display_text, identifier, wrap_text
from fsm.draw.metrics import SIZE, text_width
from fsm.draw.picture import row_ids
from fsm.draw.placement import GAP, LINE, OUTER, PAD, START, box_size, heading_of, label_size
from fsm.draw.style import STYLE

if TYPE_CHECKING:
    from fsm.draw.picture import Arc, Box, Line, Picture
    from fsm.draw.placement import Placement, Point, Route

__all__ = ["SIDE", "TOP", "Layout", "escaped"]

PREFIX: Final = "\0"
"""The prefix of ids in the template; XML cannot contain this character."""
TOP, SIDE, STEP, HEADING = 40.0, 14.0, 15.0, 16.0
"""The space above the drawing, the margin, the height of a line below it, and the size of the title."""
BASE: Final = 10.4
"""From the top of a line to its baseline."""
TIP: Final = 0.35
"""Half the width of an arrow's tip, in lengths of it."""
CLASSES: Final = {"": "", **{mark: f" {mark}" for mark in MARKS}}


class Layout:
    """A picture with its coordinates, ready to be coloured.

    `width` and `height` are those of the drawing without title and legend, in points.
    """

    def __init__(self, picture: Picture, placement: Placement) -> None:
        self.picture = picture
        self.width, self.height = placement.width, placement.height
        self._parts: list[str] = []
        self._states: list[tuple[int, str]] = []
        self._rows: list[tuple[int, str]] = []
        self._several: list[tuple[int, tuple[str, ...]]] = []
        self._write(placement)
        self._prefixed: tuple[str, list[str]] = PREFIX, self._parts
        self._letters = int(max(self.width, 420.0) / (SIZE * 0.52))
        self._legend = [line for text in picture.legend for line in wrap_text(text, self._letters)]
        self._described = escaped(" ".join(picture.legend))

    # ---------------------------------------------------------------------------------------- the template

    def _write(self, placement: Placement) -> None:
        x, y = placement.boxes[START]
        dot = f'<circle cx="{_number(x)}" cy="{_number(y)}" r="5.8"/>'
        self._parts.append(f'<g class="start">{dot}{_arrow(placement.arcs["e-"])}</g>\n')
        for arc in self.picture.arcs:
            self._arc(arc, placement.arcs[arc.id])
        for box in self.picture.boxes:
            self._box(box, placement.boxes[box.id])

    def _arc(self, arc: Arc, route: Route) -> None:
        self._mark_place(self._open(f"{PREFIX}{arc.id}", "arc"), row_ids(arc.lines))
        self._add(">", _title(f"{display_name(arc.source)} → {display_name(arc.target)}"), _arrow(route))
        width, height = label_size(arc.lines)
        self._lines(arc.lines, (route.label[0] - width / 2 + GAP, route.label[1] - height / 2))
        self._add("</g>\n")

    def _box(self, box: Box, centre: Point) -> None:
        outer = OUTER if box.state.final else 0.0
        width, height = (side - 2 * outer for side in box_size(box))
        left, y = centre[0] - width / 2, centre[1] - height / 2
        self._states.append((self._open(f"{PREFIX}{box.id}", "state"), str(box.state)))
        self._add(f' data-state="{escaped(box.state)}">', _title(box.state.doc))
        if outer:
            self._add(_outline("box", left - outer, y - outer, width + 2 * outer, height + 2 * outer))
        self._add(_outline("line" if outer else "box", left, y, width, height))
        y += PAD[1]
        for place, text in enumerate(heading_of(box)):
            self._add(_text(text, centre[0], y + BASE, kind="note" if place else "", anchor="middle"))
            y += LINE
        if box.lines:
            y += PAD[1]
            self._add(f'<path class="line" d="M{_number(left)} {_number(y)}h{_number(width)}"/>')
            self._lines(box.lines, (left + PAD[0], y + PAD[1]))
        self._add("</g>\n")

    def _lines(self, lines: Sequence[Line], corner: Point) -> None:
        """Write the lines of a box or an arc from that corner down; blanks before a text become distance."""
        x, y = corner[0], corner[1] + BASE
        for (rows, heading), group in groupby(lines, lambda line: (line.rows, line.heading)):
            place = self._open("" if heading else f"{PREFIX}t-{identifier(rows[0])}", "shared" if heading else "row")
            self._mark_place(place, rows)
            self._add(">" if heading else self._details(rows))
            for line in group:
                bare = line.text.lstrip("\u00a0")
                self._add(_text(bare, x + text_width(line.text[: len(line.text) - len(bare)]), y))
                y += LINE
            self._add("</g>\n")

    def _details(self, rows: tuple[str, ...]) -> str:
        """Return the names of the rows of a line, and the reason for a single one."""
        found = [self.picture.chart.row(one) for one in rows]
        why = [part for row in found for part in (row.why, " ".join(row.cites)) if part]
        if len(rows) == 1:
            return f' data-row="{escaped(rows[0])}">{_title(" · ".join(why))}'
        return f' data-rows="{" ".join(map(identifier, rows))}">'

    def _open(self, id: str, kind: str) -> int:
        """Begin a group; return the place of its mark."""
        self._parts.append(f'<g{f" id={chr(34)}{id}{chr(34)}" if id else ""} class="{kind}')
        self._parts += ["", '"']
        return len(self._parts) - 2

    def _mark_place(self, place: int, rows: tuple[str, ...]) -> None:
        if len(rows) == 1:
            self._rows.append((place, rows[0]))
        else:
            self._several.append((place, rows))

    def _add(self, *texts: str) -> None:
        self._parts[-1] += "".join(texts)

    # ------------------------------------------------------------------------------------------ the highlights

    def svg(self, highlight: Highlight, prefix: str = "") -> str:
        """Return the highlighted picture; `prefix`, put before every id, has letters, digits, `-`, `_` and `.`."""
        below = self._below(highlight)
        return f"{self._head(highlight, prefix, below)}{self.drawing(highlight, prefix)}{self._foot(below)}"

    def drawing(self, highlight: Highlight, prefix: str = "") -> str:
        """Return the highlighted drawing alone, without title and legend, as elements of SVG."""
        if self._prefixed[0] != prefix:
            self._prefixed = prefix, [part.replace(PREFIX, prefix) for part in self._parts]
        parts = self._prefixed[1].copy()
        marks, rest = highlight.rows, highlight.rest
        usual = CLASSES[rest]
        for place, name in self._states:
            parts[place] = CLASSES[highlight.states.get(name, rest)]
        for place, row in self._rows:
            parts[place] = CLASSES[marks[row]] if row in marks else usual
        for place, rows in self._several:
            parts[place] = usual if marks.keys().isdisjoint(rows) else CLASSES[highlight.mark(rows)]
        return "".join(parts)

    def _below(self, highlight: Highlight) -> list[tuple[str, str]]:
        """Return the lines below the drawing, each with its mark: caption, meaning of the colours, legend."""
        lines = [("", line) for text in highlight.caption for line in wrap_text(display_text(text), self._letters)]
        lines += highlight.legend
        return lines + [("", line) for line in self._legend]

    def _head(self, highlight: Highlight, prefix: str, below: Sequence[tuple[str, str]]) -> str:
        title, described = display_text(highlight.title), escaped(" ".join(map(display_text, highlight.caption)))
        widths = [text_width(title, HEADING), *(text_width(line) + (24 if mark else 0) for mark, line in below)]
        width = round(max(self.width, *widths) + 2 * SIDE)
        height = round(TOP + self.height + 12 + STEP * len(below) + SIDE)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="fsm" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}" role="img" aria-labelledby="{prefix}title {prefix}desc">\n'
            f'<title id="{prefix}title">{escaped(title)}</title>\n'
            f'<desc id="{prefix}desc">{described} {self._described}</desc>\n'
            f'<style>{STYLE}</style>\n<rect class="paper" width="{width}" height="{height}"/>\n'
            f'{_text(title, SIDE, 26, kind="heading", size=HEADING)}\n<g transform="translate({SIDE:g} {TOP:g})">\n'
        )

    def _foot(self, below: Sequence[tuple[str, str]]) -> str:
        parts, y = ["</g>\n"], TOP + self.height + 12 + SIZE
        for mark, line in below:
            if mark:
                shape = f'<path class="line" d="M{SIDE:g} {_number(y - 4)}h18"/>'
                parts.append(f'<g class="{mark}">{shape}{_text(line, SIDE + 24, y)}</g>\n')
            else:
                parts.append(f"{_text(line, SIDE, y)}\n")
            y += STEP
        parts.append("</svg>\n")
        return "".join(parts)


def _arrow(route: Route) -> str:
    """Return the curve of an arc and the tip of its arrow."""
    (x, y), (tip_x, tip_y) = route.curve[-1], route.tip
    across, down = (tip_x - x) * TIP, (tip_y - y) * TIP
    corners = ((x - down, y + across), route.tip, (x + down, y - across))
    return (
        f'<path class="line" d="M{_points(route.curve[:1])}C{_points(route.curve[1:])}"/>'
        f'<polygon class="tip" points="{_points(corners)}"/>'
    )


def _outline(kind: str, x: float, y: float, width: float, height: float) -> str:
    size = f'width="{_number(width)}" height="{_number(height)}"'
    return f'<rect class="{kind}" x="{_number(x)}" y="{_number(y)}" {size} rx="8"/>'


def _text(text: str, x: float, y: float, *, kind: str = "", anchor: str = "", size: float = SIZE) -> str:
    """Return a text element of a fixed width."""
    width = text_width(text, size)
    given = {
        "class": kind, "text-anchor": anchor, "x": _number(x), "y": _number(y),
        "textLength": str(width or ""), "lengthAdjust": "spacingAndGlyphs" if width else "",
    }  # fmt: skip
    attributes = "".join(f' {name}="{value}"' for name, value in given.items() if value)
    return f"<text{attributes}>{escaped(text)}</text>"


def _points(points: Iterable[Point]) -> str:
    return " ".join(f"{_number(x)},{_number(y)}" for x, y in points)


def _number(number: float) -> str:
    """Return a coordinate, rounded to a tenth."""
    return f"{number:.1f}".removesuffix(".0")


def _title(text: str) -> str:
    return f"<title>{escaped(text)}</title>" if text else ""


FORBIDDEN: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
SPECIAL: Final = re.compile("[^\x20!#$%(-;=?-~]")
ENTITIES: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"})


def escaped(text: str) -> str:
    """Return a text as XML, for an element or an attribute; characters that XML forbids are replaced."""
    return FORBIDDEN.sub("\ufffd", text).translate(ENTITIES) if SPECIAL.search(text) else text
