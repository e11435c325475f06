"""The explorer: a chart as one HTML file to step through, without server, network or installation.

Theory.
1. The page walks a graph of configurations (`page_data.py`); it has no rules of its own.  It shows where the bounds cut
   the graph.
2. The content security policy allows only the page's own style sheet and script, by their hashes, so that no name or
   text of a chart can become code.  A served page may also ask its own server for events.
3. The pictures are those of `svg_layout.py`.  The script finds rows by number in `data-r` and states in `data-s`.  Ids
   of arcs and states are kept in the full picture only, where the script gives each row its own (`t-ROW`).
4. The same chart, bounds and renderer give the same bytes.

Style sheet and script are the files in `explorer/`.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from functools import cache
from hashlib import sha256
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree

from fsm import draw
from fsm.draw.labels import Sums, display_name, display_text, identifier, sums_of
from fsm.draw.page_data import page_data
from fsm.draw.style import DARK, LIGHT, STYLE

if TYPE_CHECKING:
    from fsm.analysis.paths import Path
    from fsm.analysis.reachability import Graph
    from fsm.chart import Chart

__all__ = ["page"]

SCRIPTS: Final = ("walk.js", "text.js", "picture.js", "show.js", "act.js")
LIVE: Final = "live.js"
DATA: Final = "data.js"
SVG: Final = "{http://www.w3.org/2000/svg}"
MARGIN: Final = 8
"""The margin of a drawing, in its units."""


def page(
    graph: Graph,
    *,
    paths: Sequence[Path] = (),
    flag_name: str | None = None,
    more: bool = False,
    without: str = "",
    where: str = "",
    sentences: Mapping[str, str] | None = None,
    sums: Sums | None = None,
    follows: str = "",
    renderer: str = "auto",
    timeout: float = draw.TIMEOUT,
) -> str:
    """Return the page of a graph.

    `paths`, `flag_name` and `more` are those of an `Atlas` within the same bounds; `without` is the reason when there
    are none.
    `where` is the `module:NAME` of the chart, for the tests that the page writes.  `sentences` are the texts that rows
    cite.  `follows` is the name of a journal, whose events the page gets from its server at `events`.  `timeout` limits
    a `dot` process, in seconds.

    Raise DrawingError when no renderer is installed or it fails; ValueError for an unknown renderer.
    """
    chart = graph.chart
    named = sums_of(chart) if sums is None else sums
    data = page_data(graph, paths, flag_name, sentences or {}, named)
    data |= {"where": where, "without": display_text(without), "more": more, "follows": display_text(follows)}
    scripts = (*SCRIPTS, DATA) if any(event.data for event in chart.events) else SCRIPTS
    script = "".join(_file(name) for name in (*scripts, *([LIVE] if follows else [])))
    style = f"{_colours()}{_pictures_style()}\n{_file('page.css')}"
    parts = {
        "policy": _policy(script, style, served=bool(follows)),
        "title": escape(display_name(chart.name)),
        "style": style,
        "script": script,
        "data": _in_script(data),
        "brief": _drawing(chart, draw.layout(chart, brief=True, renderer=renderer, timeout=timeout), "brief-"),
        "full": _drawing(chart, draw.layout(chart, sums=named, renderer=renderer, timeout=timeout), ""),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], _file("page.html"))


@cache
def _file(name: str) -> str:
    text = (files("fsm.draw") / "explorer" / name).read_text(encoding="utf-8")
    # indentation, comments and empty lines are a fifth of the script; the files are there to be read
    return re.sub(r"(?m)^ *//.*\n|^ +| // .*$|^\n", "", text) if name.endswith(".js") else text


def _policy(script: str, style: str, *, served: bool) -> str:
    allowed = [f"script-src '{_hash(script)}'", f"style-src '{_hash(style)}'", "base-uri 'none'", "form-action 'none'"]
    return "; ".join(["default-src 'none'", *allowed, *(["connect-src 'self'"] if served else [])])


def _hash(text: str) -> str:
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"


def _in_script(data: object) -> str:
    """Return JSON that cannot end its script element, with a line for each table and configuration."""
    assert isinstance(data, dict)
    lines = [f'"{name}":{_json(value, name == "configurations")}' for name, value in data.items()]
    text = "{" + ",\n".join(lines) + "}"
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _json(value: object, broken: bool) -> str:
    if broken and isinstance(value, list):
        return "[" + ",\n".join(json.dumps(one, separators=(",", ":")) for one in value) + "]"
    return json.dumps(value, separators=(",", ":"))


def _colours() -> str:
    def names(colours: Mapping[str, str]) -> str:
        return ";".join(f"--{name}:{colour}" for name, colour in colours.items())

    return f":root{{{names(LIGHT)}}}@media screen and (prefers-color-scheme:dark){{:root{{{names(DARK)}}}}}"


def _pictures_style() -> str:
    """Return the style sheet of pictures, with the page's variables instead of colours."""
    usual = STYLE.partition("@media")[0]
    names = {colour: name for name, colour in LIGHT.items()}  # colours that are alike in light are alike in dark
    return re.sub(r"#[0-9a-f]{6}", lambda found: f"var(--{names[found[0]]})", usual)


# ---------------------------------------------------------------------------------------------- the pictures


def _drawing(chart: Chart, layout: draw.Layout, prefix: str) -> str:
    """Return a drawing without the parts that only a separate file needs: style, title, caption, tooltips."""
    root = ElementTree.fromstring(layout.svg(draw.whole(chart), prefix))
    inner = next(child for child in root if child.tag == f"{SVG}g")
    rows = {identifier(row.id): number for number, row in enumerate(chart.rows)}
    states = {f"{prefix}n-{identifier(state)}": number for number, state in enumerate(chart.states)}
    for element in inner.iter():
        for title in element.findall(f"{SVG}title"):
            element.remove(title)
        element.attrib.pop("lengthAdjust", None)  # the script adds it again: it would be a twentieth of the page
        id, several = element.get("id", ""), element.attrib.pop("data-rows", "")
        if element.attrib.pop("data-row", None) is not None:
            element.set("data-r", str(rows[id.removeprefix(f"{prefix}t-")]))
            del element.attrib["id"]  # the script sets it
        elif several:
            element.set("data-r", " ".join(str(rows[name]) for name in several.split()))
        if element.attrib.pop("data-state", None) is not None:
            element.set("data-s", str(states[id]))
        if "data-r" in element.attrib:
            del element.attrib["class"]  # the script sets it
        if prefix:
            element.attrib.pop("id", None)
    for element in root.iter():
        element.tag = element.tag.removeprefix(SVG)
    inner.set("transform", f"translate({MARGIN} {MARGIN})")
    width, height = round(layout.width + 2 * MARGIN), round(layout.height + 2 * MARGIN)
    text = ElementTree.tostring(inner, encoding="unicode").replace(" />", "/>")
    return f'<svg class="fsm" viewBox="0 0 {width} {height}" width="{width}" height="{height}">{text}</svg>'
