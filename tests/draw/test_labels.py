"""Names are displayed, never interpreted: not by Graphviz, XML, Mermaid or Markdown, and not by the browser."""

from __future__ import annotations

import re
import unicodedata
from html import unescape
from xml.etree import ElementTree

import pytest
from hypothesis import (
    given,
    settings,
    strategies as st,
)

from fsm import draw
from fsm.chart import Chart, State, row
from fsm.draw.labels import LONGEST, display_name, identifier
from fsm.draw.markdown import code, prose
from fsm.draw.picture import picture
from fsm.draw.placement import place
from fsm.draw.rendering import render
from fsm.draw.svg_layout import Layout
from tests.draw.support import NASTY, SVG, in_dot, in_mermaid, in_table, nasty_chart, wanted
from tests.support import cases

ELEMENTS = {"svg", "title", "desc", "style", "rect", "text", "g", "path", "polygon", "circle"}
ATTRIBUTES = {
    "class", "width", "height", "viewBox", "role", "aria-labelledby", "id", "x", "y", "d", "points", "cx", "cy", "r", "rx",
    "transform", "text-anchor", "textLength", "lengthAdjust", "data-row", "data-rows", "data-state",
}  # fmt: skip


def chart_of(name: str) -> Chart:
    """One name for everything that has one and may have this one."""
    event = name.replace(",", "").strip() or "e"
    return Chart(
        name, states=(State(name, doc=name), State(name + "!", doc=name, final=True)), events=(event,), doc=name,
        rows=(row(name, name, event, target=name + "!", why=name, cites="S1"), row("stay", name + "!", event, why=name)),
    )  # fmt: skip


def texts(svg: str) -> list[str]:
    return ["".join(one.itertext()) for one in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def check(chart: Chart, svg: str) -> None:
    root = ElementTree.fromstring(svg)
    assert {one.tag.removeprefix(SVG) for one in root.iter()} <= ELEMENTS
    assert {name for one in root.iter() for name in one.attrib} <= ATTRIBUTES
    assert len(root.findall(f".//{SVG}style")) == 1
    drawn = texts(svg)
    for state in chart.states:
        assert display_name(state) in drawn
    style = root.find(f"{SVG}style")
    assert style is not None
    assert style.text == draw.svg(Chart("x", states=("a",), events=(), rows=()), renderer="embedded").split("style>")[1][:-2]


@pytest.mark.parametrize("renderer", ["dot", "embedded"])
@pytest.mark.parametrize("name", NASTY, ids=identifier)
def test_a_nasty_name_is_drawn_as_it_is(name: str, renderer: str) -> None:
    chart = chart_of(name)
    check(chart, draw.svg(chart, renderer=renderer))
    check(chart, draw.svg(chart, draw.trace(chart, [str(chart.events[0])], title=name), renderer=renderer, brief=True))


@pytest.mark.parametrize("renderer", ["dot", "embedded"])
def test_all_nasty_names_together(renderer: str) -> None:
    check(nasty_chart(), draw.svg(nasty_chart(), renderer=renderer))


@settings(max_examples=cases(150))
@given(st.text(min_size=1, max_size=40))
def test_any_name_is_drawn_as_it_is(name: str) -> None:
    chart = chart_of(name)
    drawn = picture(chart)
    highlight = draw.whole(chart)
    check(chart, Layout(drawn, place(drawn, "embedded")).svg(highlight))
    assert in_dot(draw.graph(chart).source) == in_mermaid(draw.mermaid(chart)) == wanted(chart)
    assert in_table(draw.table(chart)) == [display_name(one.id) for one in chart.rows]


@settings(max_examples=40)
@given(st.text(min_size=1, max_size=40))
def test_any_dot_text_is_one_dot_reads(name: str) -> None:
    """The complete text, title and legend included, by the strictest parser there is: dot, with warnings as errors."""
    source = draw.graph(chart_of(name)).source
    plain = render(source, "plain", "dot").decode()
    assert len([line for line in plain.splitlines() if line.startswith("node ")]) == 3
    assert len([line for line in plain.splitlines() if line.startswith("edge ")]) == 2


@pytest.mark.parametrize("name", NASTY, ids=identifier)
def test_no_attribute_of_the_dot_text_comes_from_a_name(name: str) -> None:
    source = draw.graph(chart_of(name)).source
    bare = re.sub(r'"(?:[^"\\]|\\.)*"', "", source)
    assert not re.search(r"\b(href|url|image|shapefile|target|tooltip|imagepath|fontpath|src)\b", bare, re.IGNORECASE)
    assert "<" not in bare  # no label is taken for HTML


@given(st.text(), st.text())
def test_two_names_never_share_an_id(one: str, other: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_.-]*", identifier(one))
    assert (identifier(one) == identifier(other)) is (one == other)


def test_the_nasty_names_have_an_id_each() -> None:
    names = [*NASTY, "a", "a_", "_a", "a_x41_", "a_x5f_x41_", "aA"]
    assert len({identifier(name) for name in names}) == len(names)


@given(st.text())
def test_what_is_shown_can_be_seen(name: str) -> None:
    text = display_name(name)
    assert text
    isolated = text.startswith("\u2068") and text.endswith("\u2069")
    inside = text[1:-1] if isolated else text
    assert len(inside) <= LONGEST
    assert not any(unicodedata.category(one) in ("Cc", "Cf", "Cs", "Zl", "Zp") for one in inside)
    assert isolated or not any(unicodedata.bidirectional(one) in ("R", "AL") for one in inside)
    text.encode()


# ---------------------------------------------------------------------------------------- Markdown and Mermaid


@given(st.text())
def test_code_holds_anything_in_one_cell(text: str) -> None:
    cell = code(display_name(text))
    assert "|" not in cell
    assert "\n" not in cell
    if cell.startswith("<code>"):
        inside = cell.removeprefix("<code>").removesuffix("</code>").replace("<span>@</span>", "@")
        assert not re.search(r"[^\w &#;@]|_", inside.replace("&#", "")) or not re.search(r"[<>`|\\*_\[\]]", inside)
        assert unescape(inside) == display_name(text)
    else:
        assert cell == f"`{display_name(text)}`"
        assert cell.count("`") == 2


@given(st.text())
def test_prose_is_no_markup(text: str) -> None:
    check_prose(text)


@pytest.mark.parametrize("text", NASTY, ids=identifier)
def test_nasty_prose_is_no_markup(text: str) -> None:
    check_prose(f"see {text} and {text}{text}")


def check_prose(text: str) -> None:
    markup = prose(text).replace("<span>@</span>", "\0")
    assert not re.search(r"[<>`|\\*\[\]!#&]", re.sub(r"&#\d+;", "", markup))
    assert "://" not in markup
    assert "www." not in markup
    assert "@" not in markup


@given(st.text())
def test_mermaid_text_is_no_syntax(text: str) -> None:
    chart = chart_of(text or "x")
    for line in draw.mermaid(chart).splitlines():
        if " : " in line:
            text = re.sub(r"#\d+;|<br/>", "", line.partition(" : ")[2])
            assert not re.search(r"[^\w .,+=()/·»-]", text)
    notes = [sum(bool(box.note) for box in picture(one).boxes) for one in (chart, chart_of("x"))]
    lines = [len(draw.mermaid(one).splitlines()) for one in (chart, chart_of("x"))]
    assert lines[0] - notes[0] == lines[1] - notes[1]
