"""One layout as SVG, in as many looks as are wanted: colours change, nothing moves.

Theory.
1. Graphviz decides where things are, and nothing else: its SVG is read for coordinates, and the picture is written
   anew.  So both renderers give the same elements, and nothing but shapes and texts can come through.
2. A box has the id `n-STATE`, an arc `e-SOURCE-to-TARGET`, each row `t-ROW`, all behind the picture's prefix, so that
   several pictures fit on one page.  A row also has `data-row`, a box `data-state`: the names as they are.
3. Everything is coloured by class.  A look is put in by joining strings around the places where the classes stand.
4. Colours are Okabe and Ito's, which colour-blind readers can tell apart; what is picked out also differs in width or
   underlining.  The picture brings its own paper and follows the reader's light or dark setting.
5. The title stands above the drawing; caption, legend and meaning of the colours below it.

This file does not render and does not decide what is picked out.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree

from fsm.draw.dot import START
from fsm.draw.look import MARKS, Look
from fsm.draw.picture import row_ids
from fsm.draw.style import STYLE
from fsm.draw.words import broken, identifier, shown, shown_text

if TYPE_CHECKING:
    from fsm.draw.picture import Line, Picture

__all__ = ["Layout"]

SPACE: Final = "{http://www.w3.org/2000/svg}"
PREFIX: Final = "\0"
"""Stands for the prefix of ids in the template; XML cannot contain it."""
TOP, SIDE, STEP, SIZE = 40.0, 14.0, 15.0, 11.0
"""The height above the drawing, the margin, the height of a line and the size of a letter, in the drawing's units."""
CLASSES: Final = {"": "", **{mark: f" {mark}" for mark in MARKS}}


class Layout:
    """A picture with its places, ready to be coloured.  Raises ValueError when the SVG is not that of the picture.

    `width` and `height` are those of the drawing alone, in points.
    """

    def __init__(self, picture: Picture, svg: bytes) -> None:
        self.picture = picture
        self._parts: list[str] = []
        self._states: list[tuple[int, str]] = []
        self._rows: list[tuple[int, str]] = []
        self._several: list[tuple[int, tuple[str, ...]]] = []
        root = ElementTree.fromstring(svg)
        self.width, self.height = (float(word) for word in root.get("viewBox", "0 0 0 0").split()[2:])
        graph = root.find(f"{SPACE}g")
        if graph is None:
            raise ValueError("this is no SVG of Graphviz: it has no graph")
        shift = re.findall(r"translate\(([-\d.]+)[ ,]([-\d.]+)\)", graph.get("transform", ""))[0]
        self._shift = SIDE + float(shift[0]), TOP + float(shift[1])
        self._write({group.get("id", ""): group for group in graph.iter(f"{SPACE}g")})
        self._prefixed: tuple[str, list[str]] = PREFIX, self._parts
        self._letters = int(max(self.width, 420.0) / (SIZE * 0.52))
        self._legend = [line for text in picture.legend for line in broken(text, self._letters)]
        self._described = _escaped(" ".join(picture.legend))

    # ---------------------------------------------------------------------------------------- the template

    def _write(self, found: dict[str, ElementTree.Element]) -> None:
        self._parts.append(f'<g class="start">{_shapes(found[START])}{_shapes(found["e-"])}</g>\n')
        for arc in self.picture.arcs:
            group = found[arc.id]
            place = self._open(f"{PREFIX}{arc.id}", "arc")
            self._speaks_of(place, row_ids(arc.lines))
            self._add(">", _title(f"{shown(arc.source)} → {shown(arc.target)}"), _shapes(group))
            self._lines(arc.lines, _texts(group))
            self._add("</g>\n")
        for box in self.picture.boxes:
            group, texts = found[box.id], _texts(found[box.id])
            self._states.append((self._open(f"{PREFIX}{box.id}", "state"), str(box.state)))
            self._add(f' data-state="{_escaped(box.state)}">', _title(box.state.doc), _shapes(group))
            above = 2 if box.note else 1
            self._add(*(_text(text, ' class="note"' if place else "") for place, text in enumerate(texts[:above])))
            self._lines(box.lines, texts[above:])
            self._add("</g>\n")

    def _lines(self, lines: Sequence[Line], texts: Sequence[ElementTree.Element]) -> None:
        if len(lines) != len(texts):
            raise ValueError(f"this is the SVG of another picture: {len(texts)} texts for {len(lines)} lines")
        placed = zip(lines, texts, strict=True)
        for (rows, heading), group in groupby(placed, lambda one: (one[0].rows, one[0].heading)):
            place = self._open("" if heading else f"{PREFIX}t-{identifier(rows[0])}", "shared" if heading else "row")
            self._speaks_of(place, rows)
            self._add(">" if heading else self._told(rows))
            self._add(*(_text(text) for _, text in group), "</g>\n")

    def _told(self, rows: tuple[str, ...]) -> str:
        """What a line tells beside its text: the names of its rows, and why they are there."""
        found = [self.picture.chart.row(one) for one in rows]
        why = [part for row in found for part in (row.why, " ".join(row.cites)) if part]
        if len(rows) == 1:
            return f' data-row="{_escaped(rows[0])}">{_title(" · ".join(why))}'
        return f' data-rows="{" ".join(map(identifier, rows))}">'

    def _open(self, id: str, kind: str) -> int:
        """Begin a group; the place where its mark is put in."""
        self._parts.append(f'<g{f" id={chr(34)}{id}{chr(34)}" if id else ""} class="{kind}')
        self._parts += ["", '"']
        return len(self._parts) - 2

    def _speaks_of(self, place: int, rows: tuple[str, ...]) -> None:
        if len(rows) == 1:
            self._rows.append((place, rows[0]))
        else:
            self._several.append((place, rows))

    def _add(self, *texts: str) -> None:
        self._parts[-1] += "".join(texts)

    # ------------------------------------------------------------------------------------------ the looks

    def svg(self, look: Look, prefix: str = "") -> str:
        """The picture in this look; `prefix` comes before every id (letters, digits, `-`, `_` and `.`)."""
        if self._prefixed[0] != prefix:
            self._prefixed = prefix, [part.replace(PREFIX, prefix) for part in self._parts]
        parts = self._prefixed[1].copy()
        marks, rest = look.rows, look.rest
        usual = CLASSES[rest]
        for place, name in self._states:
            parts[place] = CLASSES[look.states.get(name, rest)]
        for place, row in self._rows:
            parts[place] = CLASSES[marks[row]] if row in marks else usual
        for place, rows in self._several:
            parts[place] = usual if marks.keys().isdisjoint(rows) else CLASSES[look.mark(rows)]
        below = self._below(look)
        return f"{self._head(look, prefix, below)}{''.join(parts)}{self._foot(below)}"

    def _below(self, look: Look) -> list[tuple[str, str]]:
        """The lines under the drawing with their marks: what is picked out, what colours mean, how it is read."""
        lines = [("", line) for text in look.caption for line in broken(shown_text(text), self._letters)]
        lines += look.legend
        return lines + [("", line) for line in self._legend]

    def _head(self, look: Look, prefix: str, below: Sequence[tuple[str, str]]) -> str:
        title = shown_text(look.title)
        widths = [_width(title, 16.0), *(_width(line, SIZE) + 24 for _, line in below)]
        width = round(max(self.width, *widths) + 2 * SIDE)
        height = round(TOP + self.height + 12 + STEP * len(below) + SIDE)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="fsm" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}" role="img" aria-labelledby="{prefix}title {prefix}desc">\n'
            f'<title id="{prefix}title">{_escaped(title)}</title>\n'
            f'<desc id="{prefix}desc">{_escaped(" ".join(map(shown_text, look.caption)))} {self._described}</desc>\n'
            f'<style>{STYLE}</style>\n<rect class="paper" width="{width}" height="{height}"/>\n'
            f'<text class="heading" x="{SIDE:g}" y="26">{_escaped(title)}</text>\n'
            f'<g transform="translate({self._shift[0]:g} {self._shift[1]:g})">\n'
        )

    def _foot(self, below: Sequence[tuple[str, str]]) -> str:
        parts, y = ["</g>\n"], TOP + self.height + 12 + SIZE
        for mark, line in below:
            text = _escaped(line)
            if mark:
                shape = f'<path class="line" d="M{SIDE:g} {y - 4:g}h18"/>'
                parts.append(f'<g class="{mark}">{shape}<text x="{SIDE + 24:g}" y="{y:g}">{text}</text></g>\n')
            else:
                parts.append(f'<text x="{SIDE:g}" y="{y:g}">{text}</text>\n')
            y += STEP
        parts.append("</svg>\n")
        return "".join(parts)


def _width(text: str, size: float) -> float:
    """More than the text can take in Arial."""
    if text.isascii():
        return len(text) * 0.58 * size
    return sum(1.05 if unicodedata.east_asian_width(c) in "WF" else 0.6 for c in text) * size


def _shapes(group: ElementTree.Element) -> str:
    """The shapes of a node or an edge, by what they are for: box, line, tip of an arrow, dot."""
    parts: list[str] = []
    node = "node" in group.get("class", "").split()
    for element in group.iter():
        tag = element.tag.removeprefix(SPACE)
        if tag == "path":  # of a node the first is its outline; one more is the second outline of a final state
            kind = "box" if node and not parts else "line"
            parts.append(f'<path class="{kind}" d="{_escaped(element.get("d", ""))}"/>')
        elif tag in ("polygon", "polyline"):
            kind = "line" if tag == "polyline" else "box" if node else "tip"
            parts.append(f'<{tag} class="{kind}" points="{_escaped(element.get("points", "").strip())}"/>')
        elif tag == "ellipse":
            measures = " ".join(f'{name}="{_escaped(element.get(name, "0"))}"' for name in ("cx", "cy", "rx", "ry"))
            parts.append(f"<ellipse {measures}/>")
    return "".join(parts)


def _texts(group: ElementTree.Element) -> list[ElementTree.Element]:
    return list(group.iter(f"{SPACE}text"))


def _text(element: ElementTree.Element, extra: str = "") -> str:
    """A text at its place; the hard blanks before it become distance, since some viewers drop them."""
    said = (element.text or "").rstrip("\u00a0")
    bare = said.lstrip("\u00a0")
    x = float(element.get("x", "0")) + (len(said) - len(bare)) * 0.278 * SIZE
    anchor = ' text-anchor="middle"' if element.get("text-anchor") == "middle" else ""
    return f'<text{extra}{anchor} x="{x:.1f}" y="{float(element.get("y", "0")):.1f}">{_escaped(bare)}</text>'


def _title(text: str) -> str:
    return f"<title>{_escaped(text)}</title>" if text else ""


FORBIDDEN: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
SPECIAL: Final = re.compile("[^\x20!#$%(-;=?-~]")
ENTITIES: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"})


def _escaped(text: str) -> str:
    """A text as XML, in an element or an attribute; what XML cannot hold at all is replaced."""
    return FORBIDDEN.sub("\ufffd", text).translate(ENTITIES) if SPECIAL.search(text) else text
