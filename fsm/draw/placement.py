"""Where the boxes, arcs and labels of a picture go: sizes in, coordinates out.

Theory.
1. Graphviz only places boxes and labels.  It gets their sizes and no text, so that the layout does not depend on the
   fonts of the machine and no name can be taken for markup.
2. DOT has no attribute for the size of an edge's label.  `dot` gets an empty HTML table of a fixed size.  The embedded
   renderer has no HTML parser, and fixed metrics instead of fonts: it gets lines of small Courier letters, 0.6 of their
   size wide and 1.2 high.
3. In Graphviz y counts upwards; here it counts downwards, as in SVG.
4. Graphviz takes minutes over hundreds of arcs to cross few of them, which nobody could follow in the end.  Where there
   are many, the arrows are straight and the search for few crossings is short.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, NamedTuple

from fsm.draw.errors import DrawingError
from fsm.draw.labels import display_name, identifier
from fsm.draw.metrics import text_width
from fsm.draw.rendering import TIMEOUT, chosen, render

if TYPE_CHECKING:
    from fsm.draw.picture import Arc, Box, Line, Picture

__all__ = [
    "GAP", "LINE", "OUTER", "PAD", "START", "Placement", "Point", "Route", "box_size", "heading_of", "hurried",
    "label_size", "place",
]

START: Final = "n-"
"""The id of the dot at the start.  No state has it, since every state has a name."""
LINE: Final = 13.2
"""The height of a line."""
PAD: Final = 11.0, 5.0
"""The space between the outline of a box and its text: left and right, above and below."""
GAP: Final = 9.0
"""The space between an arrow and its label."""
OUTER: Final = 4.0
"""The space between the two outlines of a final state."""
LETTER: Final = LINE / 6
"""The size of the letters that fill a label for the embedded renderer: five of their lines are as high as LINE."""

MANY: Final = 150
"""Arcs above which a picture is laid out in haste."""
HASTE: Final = {"splines": "line", "nslimit": "1", "nslimit1": "1", "mclimit": "0.1"}
"""Graphviz's options for a picture with many arcs."""

Point = tuple[float, float]


class Route(NamedTuple):
    """The course of an arc: the points of its Bézier curve, the tip of its arrow, and the centre of its label."""

    curve: tuple[Point, ...]
    tip: Point
    label: Point


class Placement(NamedTuple):
    """The layout of a picture: its size, the centres of its boxes and of the dot at the start, the routes of its arcs.

    Keys are the ids of boxes and arcs; `e-` is the arrow from the dot to the initial state.
    """

    width: float
    height: float
    boxes: dict[str, Point]
    arcs: dict[str, Route]


def heading_of(box: Box) -> tuple[str, ...]:
    """Return the texts above the lines of a box: the name of its state, and its note."""
    return (display_name(box.state), *([box.note] if box.note else ()))


def box_size(box: Box) -> Point:
    """Return width and height of a box, with its outlines."""
    heading = heading_of(box)
    outer = OUTER if box.state.final else 0.0
    width = max(map(text_width, (*heading, *(line.text for line in box.lines))))
    height = (len(heading) + len(box.lines)) * LINE + PAD[1] * (4 if box.lines else 2)
    return width + 2 * (PAD[0] + outer), height + 2 * outer


def label_size(lines: Iterable[Line]) -> Point:
    """Return width and height of the label of an arc."""
    widths = [text_width(line.text) for line in lines]
    return max(widths) + GAP, len(widths) * LINE


def hurried(picture: Picture) -> dict[str, str]:
    """Return the further options of Graphviz for this picture: none, unless it has many arcs."""
    return HASTE if len(picture.arcs) > MANY else {}


def place(picture: Picture, renderer: str = "auto", timeout: float = TIMEOUT) -> Placement:
    """Lay out a picture.  Errors as of `render`."""
    renderer = chosen(renderer)
    source = _source(picture, renderer)
    answer = render(source, "json", renderer, timeout)
    try:
        return _read(json.loads(answer))
    except (ValueError, KeyError, TypeError) as error:
        raise DrawingError(f"the renderer answered with something that is no layout: {error!r}", source) from error


def _source(picture: Picture, renderer: str) -> str:
    haste = "".join(f"{name}={value} " for name, value in hurried(picture).items())
    lines = [
        (f"digraph {{ rankdir=TB nodesep=0.2 ranksep=0.45 {haste}"
        'node [shape=box fixedsize=true label=""] edge [arrowsize=0.8]'),
        f'"{START}" [id="{START}" shape=circle width=0.16 height=0.16]',
    ]
    for box in picture.boxes:
        width, height = box_size(box)
        lines.append(f'"{box.id}" [id="{box.id}" width={width / 72:.4f} height={height / 72:.4f}]')
    lines.append(f'"{START}" -> "n-{identifier(picture.chart.initial)}" [id="e-"]')
    for arc in picture.arcs:
        ends = f'"n-{identifier(arc.source)}" -> "n-{identifier(arc.target)}"'
        lines.append(f'{ends} [id="{arc.id}" {_label(arc, renderer)}]')
    return "\n".join([*lines, "}\n"])


def _label(arc: Arc, renderer: str) -> str:
    width, height = label_size(arc.lines)
    if renderer == "dot":
        size = f'BORDER="0" CELLBORDER="0" FIXEDSIZE="TRUE" WIDTH="{math.ceil(width)}" HEIGHT="{math.ceil(height)}"'
        return f"label=<<TABLE {size}><TR><TD></TD></TR></TABLE>>"
    letters = "x" * math.ceil(width / (LETTER * 0.6))
    lines = f"{letters}\\n" * round(height / LINE * 5)
    return f'label="{lines}" fontname=Courier fontsize={LETTER:g}'


def _read(found: dict) -> Placement:  # type: ignore[type-arg]  # as Graphviz answers
    _, _, width, height = map(float, found["bb"].split(","))

    def points(text: str) -> tuple[Point, ...]:
        pairs = (pair.split(",") for pair in text.split())
        return tuple((float(x), height - float(y)) for x, y in pairs)

    boxes = {node["id"]: points(node["pos"])[0] for node in found["objects"]}
    arcs = {}
    for edge in found["edges"]:
        end, _, curve = edge["pos"].removeprefix("e,").partition(" ")
        arcs[edge["id"]] = Route(points(curve), *points(end), *points(edge.get("lp", "0,0")))
    return Placement(width, height, boxes, arcs)
