"""Sketches: the arrows that a reader can follow are the moves of the chart, no more and no fewer."""

from __future__ import annotations

import pytest
from hypothesis import (
    given,
    strategies as st,
)

from fsm.chart import Chart, State, row
from fsm.logoff import LOGOFF
from fsm.stepper.diagram import as_text, moves, text_diagram
from fsm.stepper.text import columns

OPEN = """\
 ╔══════════╗
▶║ open     ║◄─┐
 ╚══════════╝──┼──●──●──┐
 ┌──────────┐  │  │  │  │
 │ draining │◄─┼──●  │  │
 └──────────┘──┼──┼──┼──●
 ┌──────────┐  │  │  │  │
 │ blocked  │◄─┼──┼──┘  │
 └──────────┘──●──●─────●
 ┌──────────┐           │
 │ released │◄──────────┘
 └──────────┘"""


@st.composite
def charts(draw: st.DrawFn) -> Chart:
    """A chart of up to six states with any moves between them."""
    states = [f"s{number}" * (1 + number % 3) for number in range(draw(st.integers(1, 6)))]
    pairs = draw(st.lists(st.tuples(st.sampled_from(states), st.sampled_from(states)), min_size=1))
    pairs += [(draw(st.sampled_from(states[:place])), states[place]) for place in range(1, len(states))]  # to get there
    left = {a for a, b in pairs if a != b}
    pairs += [(state, states[0]) for state in states[1:] if state not in left]  # no dead ends
    events = [f"e{number}" for number in range(len(pairs))]
    rows = [row(f"r{n}", a, f"e{n}", target=b) for n, (a, b) in enumerate(pairs)]
    return Chart("drawn", states=[State(s, final=len(states) == 1) for s in states], events=events, rows=rows)


def followed(picture: str, states: list[str]) -> set[tuple[str, str]]:
    """(from, to) as an eye reads them: from a lower edge to the right, at a dot or an end up or down, to an arrow."""
    lines = [line.ljust(120) for line in picture.split("\n")]
    names, leaving = ([y + more for y, line in enumerate(lines) if line[1] in edges] for edges, more in (("┌╔", 1), ("└╚", 0)))
    edge = next(at for at, c in enumerate(lines[leaving[0]]) if c in "┘╝") + 1
    found = set()
    for below, source in zip(leaving, states, strict=True):
        for column in joints(lines[below], edge):
            for name, target in zip(names, states, strict=True):
                if lines[name][edge] == "◄" and joints(lines[name], edge)[-1:] == [column]:
                    low, high = sorted((below, name))
                    assert all(lines[y][column] in "│┼●" for y in range(low + 1, high))
                    found.add((source, target))
    return found


def joints(line: str, edge: int) -> list[int]:
    """The columns where a line that starts at the edge joins an upright."""
    found = []
    for column in range(edge, len(line)):
        if line[column] in "●┐┘":
            found.append(column)
        if line[column] not in "─┼●◄":
            break
    return found


@given(charts(), st.data())
def test_the_arrows_are_the_moves(chart: Chart, data: st.DataObject) -> None:
    states = list(map(str, chart.states))
    present = data.draw(st.sampled_from(states))
    lines = text_diagram(chart, present, 200, data.draw(st.sampled_from((100, 3 * len(states)))))  # with and without events
    assert followed(as_text(lines), states) == set(moves(chart))
    lit = "".join(piece for line in lines for piece, kind in line if kind == "here")
    assert present in lit
    assert lit.count("▶") == 1


def test_the_flagship_is_drawn_like_this() -> None:
    assert as_text(text_diagram(LOGOFF, "open", 25, 12)) == OPEN
    assert followed(OPEN, list(map(str, LOGOFF.states))) == set(moves(LOGOFF))


def test_where_there_is_room_a_box_names_the_events_that_lead_away() -> None:
    lines = as_text(text_diagram(LOGOFF, "blocked", 60, 50)).split("\n")
    told = "".join(line.strip(" ║│").partition("║")[0] for line in lines if line.startswith((" ║", "▶║")))
    for (source, target), events in moves(LOGOFF).items():
        if source == "blocked":
            assert f"→ {target}: {events[0]}" in told
            assert all(event in told for event in events)


@pytest.mark.parametrize("present", LOGOFF.states)
def test_what_is_lit_is_where_the_present_state_can_move(present: str) -> None:
    """The lit pieces alone, read as a picture, lead from the present state to each state it moves to."""
    lines = text_diagram(LOGOFF, present, 80, 40)
    only = "\n".join("".join(p if kind in ("lit", "here", "box") else " " * len(p) for p, kind in line) for line in lines)
    found = {(source, target) for source, target in followed(only, list(map(str, LOGOFF.states))) if source == present}
    assert found == {pair for pair in moves(LOGOFF) if pair[0] == present}


@pytest.mark.parametrize(("width", "height"), [(24, 12), (25, 11), (10, 4), (60, 2)])
def test_what_does_not_fit_is_told_as_a_list_the_present_state_first(width: int, height: int) -> None:
    lines = as_text(text_diagram(LOGOFF, "draining", width, height)).split("\n")
    assert len(lines) == min(4, height)
    assert all(columns(line) <= width for line in lines)
    assert lines[0].startswith("▶[draini")
    assert "╔" not in "".join(lines)


def test_names_are_shown_literally_and_wide_ones_keep_the_boxes_straight() -> None:
    names = ["a\x1b[31mb", "[red]x[/]", "日本語", "x" * 60]
    ring = zip(names, names[1:] + names[:1], strict=True)
    chart = Chart("hostile", states=names, events=["go"], rows=[row(f"r{a}", a, "go", target=b) for a, b in ring])
    for height, wide in ((12, 28), (100, 62)):  # without and with the events
        picture = as_text(text_diagram(chart, names[0], 200, height))
        assert "\x1b" not in picture
        assert "a\\x1b[31mb" in picture
        assert "[red]x[/]" in picture
        assert "x" * 23 + "…" in picture
        edges = [line for line in picture.split("\n") if line[1] in "┌└╔╚"]
        assert {columns(line[: min(line.find(end) % 999 for end in "┐┘╗╝")]) for line in edges} == {wide}
