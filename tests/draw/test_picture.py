"""Every row of a chart is in every picture of it exactly once, and both renderers give the same elements."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from fsm import draw
from fsm.chart import Chart
from fsm.draw.labels import conditions, display_name, guard_text, identifier
from fsm.draw.picture import overview, picture, row_ids
from fsm.logoff import LOGOFF
from fsm.logoff.gallery import SUMS
from tests.draw.support import (
    ALONE,
    CHARTS,
    OPAQUE,
    SVG,
    TIMED,
    TWICE,
    in_dot,
    in_mermaid,
    in_svg,
    in_table,
    nasty_chart,
    wanted,
)

each_chart = pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: identifier(chart.name))
each_size = pytest.mark.parametrize("brief", [False, True], ids=["full", "brief"])
each_renderer = pytest.mark.parametrize("renderer", ["dot", "embedded"])


def svg(chart: Chart, renderer: str, *, brief: bool = False) -> str:
    return draw.svg(chart, renderer=renderer, brief=brief)


@each_chart
@each_size
@each_renderer
def test_every_row_is_in_the_svg_once(chart: Chart, brief: bool, renderer: str) -> None:
    text = svg(chart, renderer, brief=brief)
    # a name with characters that XML cannot hold is shown by its id alone
    ids = [one.get("id") for one in ElementTree.fromstring(text).iter() if one.get("id")]
    assert len(ids) == len(set(ids))
    if not brief:
        assert sorted(one[2:] for one in ids if one.startswith("t-")) == wanted(chart)
    if chart in (LOGOFF, OPAQUE, TWICE):
        assert in_svg(text) == wanted(chart)


@each_chart
@each_size
def test_every_row_is_in_the_dot_text_once(chart: Chart, brief: bool) -> None:
    assert in_dot(draw.graph(chart, brief=brief).source) == wanted(chart)


@each_chart
@each_size
def test_every_row_is_in_the_mermaid_text_once(chart: Chart, brief: bool) -> None:
    assert in_mermaid(draw.mermaid(chart, brief=brief)) == wanted(chart)


@each_chart
def test_every_row_is_in_the_table_once(chart: Chart) -> None:
    assert in_table(draw.table(chart)) == [display_name(one.id) for one in chart.rows]


@each_chart
@each_size
def test_every_row_is_in_the_picture_once(chart: Chart, brief: bool) -> None:
    drawn = overview(chart) if brief else picture(chart)
    found = [one for part in (*drawn.boxes, *drawn.arcs) for one in row_ids(part.lines)]
    assert sorted(found) == sorted(one.id for one in chart.rows)
    for box in drawn.boxes:
        assert all(chart.row(one).source == box.state and not chart.row(one).moves for one in row_ids(box.lines))
    for arc in drawn.arcs:
        assert {(r.source, r.target) for r in map(chart.row, row_ids(arc.lines))} == {(arc.source, arc.target)}


def test_the_logoff_machine_has_all_its_rows() -> None:
    assert len(in_svg(svg(LOGOFF, "embedded"))) == 102


@each_chart
@each_size
def test_both_renderers_give_the_same_elements(chart: Chart, brief: bool) -> None:
    def bare(text: str) -> list[tuple[str, dict[str, str], str | None]]:
        placed = {"x", "y", "d", "points", "cx", "cy", "viewBox"}
        found = [
            (one.tag, {k: v for k, v in one.attrib.items() if k not in placed}, (one.text or "").strip())
            for one in ElementTree.fromstring(text).iter()
        ]
        return [one for one in found if one[0] != f"{SVG}style"]

    def without_breaks(found: list[tuple[str, dict[str, str], str | None]]) -> list[object]:
        # the paper, and the legend below, which is broken to the width of the drawing, differ by some points
        last = max(place for place, one in enumerate(found) if one[0] == f"{SVG}g" and "state" in one[1].get("class", ""))
        return list(found[4:last])

    assert without_breaks(bare(svg(chart, "dot", brief=brief))) == without_breaks(bare(svg(chart, "embedded", brief=brief)))


# ---------------------------------------------------------------------------------- nothing of a row is lost


@pytest.mark.parametrize(("chart", "sums"), [(LOGOFF, SUMS), *((chart, {}) for chart in CHARTS), (ALONE, {})])
def test_a_heading_and_its_row_together_are_the_whole_row(chart: Chart, sums: dict[str, object]) -> None:
    drawn = picture(chart, sums)  # type: ignore[arg-type]
    for part in (*drawn.boxes, *drawn.arcs):
        for one in row_ids(part.lines):
            row = chart.row(one)
            drawn_text = " ".join(line.text for line in part.lines if one in line.rows).replace("\u00a0", "")
            for text in (guard_text(part, sums) for part in conditions(row.guard)):  # type: ignore[arg-type]
                assert text in drawn_text, (one, text, drawn_text)
            for effect in row.effects:
                assert str(effect) in drawn_text, (one, effect, drawn_text)
            assert display_name(row.event) in drawn_text
            if chart in (LOGOFF, ALONE):
                assert len(re.findall(r"(?<=/ )|, (?=\w+ [-+]?=)", drawn_text)) == len(row.effects), (one, drawn_text)


def test_the_words_of_a_guard_are_the_charts_own() -> None:
    for row in LOGOFF.rows:
        guard = row.guard
        same = str(guard) if len(set(conditions(guard))) == max(len(guard.parts()), 1) else None
        assert guard_text(guard, {}) == {"always": ""}.get(str(guard), same or guard_text(guard, {}))


@pytest.mark.parametrize(("guard", "text"), [
    (SUMS["in flight"] == 0, "in flight == 0"),
    (SUMS["in the way"] > 1, "in the way > 1"),
    (SUMS["in flight"] + LOGOFF.variable("ready") > 1, "in flight + ready > 1"),  # type: ignore[operator]
    (LOGOFF.variable("ready") + LOGOFF.variable("deferred") > 0, "ready + deferred > 0"),  # type: ignore[operator]
    (SUMS["in flight"] + SUMS["in flight"] > 1, "2 * inbound + 2 * outbound > 1"),
])  # fmt: skip
def test_a_sum_with_a_name_is_written_by_it(guard: object, text: str) -> None:
    assert guard_text(guard, SUMS) == text  # type: ignore[arg-type]


def test_a_callable_guard_is_drawn_by_its_name() -> None:
    assert "[_guess()]" in draw.svg(OPAQUE, renderer="embedded")
    assert "`_guess()`" in draw.table(OPAQUE)


def test_data_times_loops_and_absorbing_states_are_in_every_format() -> None:
    words = {
        "pay": ("pay(amount, reason)", "amount > 2 * tries + 1", "not ready", "tries += amount"),
        "tick": ("after 0.5 s: tick",), "late-idle": ("after 30 s: late",),
        "retry": ("after 30 s: late", "tries < limit", "tries += 1", "ready = true"),
    }  # fmt: skip
    dot, mermaid, table = draw.graph(TIMED).source, draw.mermaid(TIMED), draw.table(TIMED)
    shown = "".join(ElementTree.fromstring(svg(TIMED, "embedded")).itertext())
    for texts in words.values():
        for text in texts:
            assert text in shown
            assert text.replace(">", "&gt;").replace("<", "&lt;") in dot
            assert text.replace("<", "#60;").replace(">", "#62;").replace(":", "#58;").replace("*", "#42;") in mermaid
            assert text in table
    assert "absorbing" in shown
    assert "absorbing" in dot
    assert "s_broken : absorbing" in mermaid
    arrows = {(arc.source, arc.target): row_ids(arc.lines) for arc in picture(TIMED).arcs}
    assert arrows["busy", "busy"] == ("retry", "again")
    assert arrows["idle", "idle"] == ("tick",)
    assert {box.state: row_ids(box.lines) for box in picture(TIMED).boxes}["idle"] == ("late-idle",)
    assert {(arc.source, arc.target) for arc in overview(TIMED).arcs} == set(arrows)
    assert "  s_busy --> s_busy : " in mermaid
    assert "| `tick` | `idle` | `after 0.5 s: tick` |  |  | `idle` |" in table
    assert "An absorbing state" not in "".join(picture(LOGOFF).legend)


def test_start_and_end_are_marked() -> None:
    for renderer in ("dot", "embedded"):
        root = ElementTree.fromstring(draw.svg(TWICE, renderer=renderer))
        states = {one.get("data-state"): one for one in root.iter(f"{SVG}g") if one.get("data-state")}
        outlines = {name: len([p for p in one if p.tag == f"{SVG}rect"]) for name, one in states.items()}
        assert outlines == {"a": 1, "yes": 2, "no": 2}
        assert len(list(root.iter(f"{SVG}circle"))) == 1
        assert [one.text for one in states["yes"] if one.get("class") == "note"] == ["granted"]
        assert [one.get("class") for one in states["no"] if one.text == "no" or one.get("class") == "note"] == [None]
    text = draw.mermaid(TWICE)
    assert "[*] --> s_a\n" in text
    assert "s_yes --> [*]\n" in text


def test_the_same_chart_is_the_same_picture() -> None:
    again = nasty_chart()
    for one in (draw.graph(again).source, draw.mermaid(again), draw.table(again), svg(again, "embedded")):
        assert one in (draw.graph(nasty_chart()).source, draw.mermaid(nasty_chart()), draw.table(nasty_chart()),
                       svg(nasty_chart(), "embedded"))  # fmt: skip
