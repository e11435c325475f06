"""A picture as Graphviz source for people and other programs, made with the `graphviz` package.

Theory.
1. Names of nodes and ids have only harmless characters (`labels.identifier`): no `:` becomes a port, no name a keyword.
   Each box and arc has `id`, `class` and `rows`, the ids of its rows in the order of their lines.
2. In every other text the characters that mean something to Graphviz (quotes, backslashes, angle brackets, braces,
   bars) are entities.  No attribute that names a file or a link is ever written.
3. Boxes are records, not HTML-like labels: the embedded renderer has no HTML parser and does not report it.
4. Graphviz measures this text with a font of the machine, so its layout may differ from that of `placement.py`.  `dot`
   draws PNG and PDF with the font it measured.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

import graphviz

from fsm.draw.labels import display_name, display_text, identifier, wrap_text
from fsm.draw.picture import beginnings, row_ids
from fsm.draw.placement import START, hurried
from fsm.draw.style import HUES, LIGHT

if TYPE_CHECKING:
    from fsm.draw.highlight import Highlight
    from fsm.draw.picture import Box, Line, Picture

__all__ = ["digraph"]

FONT: Final = {"fontname": "Arial", "fontsize": "11"}
GAP: Final = "\u00a0\u00a0\u00a0"
"""Put before each line of an arc, so that the label does not touch the arrow."""
SPECIAL: Final = {ord(c): f"&#{ord(c)};" for c in "{}|'`"} | {38: "&amp;", 60: "&lt;", 62: "&gt;", 34: "&quot;"} | {
    92: "&#92;&#92;",  # entities are resolved first; then a backslash escapes the next character
}


def escaped(text: str) -> str:
    """Return a text as it is written in a label, of a record or not."""
    return text.translate(SPECIAL).replace("\u00a0", "&#160;")


MARK: Final = "» "
"""Put before a highlighted row, since no single line of a label can be coloured."""


def digraph(picture: Picture, highlight: Highlight) -> graphviz.Digraph:
    """Return the highlighted picture as a `graphviz.Digraph`, with title and legend below."""
    chart = picture.chart
    graph = graphviz.Digraph(
        identifier(chart.name),
        graph_attr={"rankdir": "TB", "nodesep": "0.2", "ranksep": "0.45", "margin": "0", "pad": "0.05",
                    **hurried(picture), **FONT},
        node_attr={"shape": "Mrecord", "margin": "0.15,0.06", **FONT},
        edge_attr={"arrowsize": "0.8", **FONT},
    )
    graph.attr(label=_below(picture, highlight), labelloc="b", labeljust="l")
    graph.node(START, label="", shape="circle", style="filled", fillcolor="black", width="0.16", height="0.16",
               id=START, **{"class": "start"})
    for box in picture.boxes:
        final = {"shape": "box", "style": "rounded", "peripheries": "2"} if box.state.final else {}
        mark = highlight.states.get(box.state, highlight.rest)
        graph.node(identifier(box.state), label=_record(box, highlight), id=box.id, rows=_rows(box.lines),
                   **final, **_coloured(mark), **{"class": f"state {mark}".strip()})
    graph.edge(START, identifier(chart.initial), id="e-", **{"class": "start"})
    for arc in picture.arcs:
        mark = highlight.mark(row_ids(arc.lines))
        graph.edge(identifier(arc.source), identifier(arc.target), label=_left(arc.lines, highlight, GAP), id=arc.id,
                   rows=_rows(arc.lines), **_coloured(mark), **{"class": f"arc {mark}".strip()})
    return graph


def _coloured(mark: str) -> dict[str, str]:
    if not mark:
        return {}
    wide = {} if mark == "dimmed" else {"penwidth": "2"}
    return {"color": LIGHT[mark], "fontcolor": LIGHT[mark] if mark == "dimmed" else "black", **wide}


def _below(picture: Picture, highlight: Highlight) -> str:
    legend = [f"{HUES[mark]}: {text}" for mark, text in highlight.legend]
    legend += [f"{MARK}a row that is picked out"] if legend else []
    texts = [highlight.title, *highlight.caption, *legend, *picture.legend]
    return "".join(escaped(part) + r"\l" for text in texts for part in wrap_text(display_text(text), 100))


def _rows(lines: Iterable[Line]) -> str:
    return " ".join(identifier(row) for row in row_ids(lines))


def _record(box: Box, highlight: Highlight) -> str:
    title = r"\n".join(escaped(text) for text in (display_name(box.state), box.note) if text)
    if box.state.final:  # Graphviz gives a record no second outline
        return title + r"\n" + _left(box.lines, highlight)
    return f"{{{title}|{_left(box.lines, highlight)}}}" if box.lines else title


def _left(lines: Iterable[Line], highlight: Highlight, before: str = "") -> str:
    return "".join(escaped(before + _marked(line, begins, highlight)) + r"\l" for line, begins in beginnings(lines))


def _marked(line: Line, begins: bool, highlight: Highlight) -> str:
    if not begins or highlight.mark(line.rows) in ("", "dimmed"):
        return line.text
    bare = line.text.lstrip("\u00a0")
    return line.text[: len(line.text) - len(bare)] + MARK + bare
