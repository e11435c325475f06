"""Layouts keep the sizes they are given; an answer that is no layout is an error."""

from __future__ import annotations

from pathlib import Path

import pytest

from fsm import draw
from fsm.draw.metrics import text_width
from fsm.draw.picture import picture
from fsm.draw.placement import GAP, LINE, box_size, label_size, place
from fsm.logoff import LOGOFF
from tests.draw.support import TWICE


@pytest.mark.parametrize("renderer", ["dot", "embedded"])
def test_nothing_is_placed_over_another(renderer: str) -> None:
    drawn = picture(LOGOFF)
    placed = place(drawn, renderer)
    areas = [(placed.boxes[box.id], box_size(box)) for box in drawn.boxes]
    areas += [(placed.arcs[arc.id].label, label_size(arc.lines)) for arc in drawn.arcs]
    spans = [(x - width / 2, y - height / 2, x + width / 2, y + height / 2) for (x, y), (width, height) in areas]
    for number, (left, top, right, bottom) in enumerate(spans):
        assert -1 <= left <= right <= placed.width + 1
        assert -1 <= top <= bottom <= placed.height + 1
        for other in spans[number + 1 :]:
            assert right <= other[0] + 1 or other[2] <= left + 1 or bottom <= other[1] + 1 or other[3] <= top + 1


def test_a_label_has_room_for_its_longest_line() -> None:
    (arc, *_) = picture(LOGOFF).arcs
    assert label_size(arc.lines) == (max(text_width(line.text) for line in arc.lines) + GAP, len(arc.lines) * LINE)


@pytest.mark.parametrize("answer", ["{}", "{ no json", '{"bb": "0,0,1", "objects": [], "edges": []}'])
def test_an_answer_that_is_no_layout_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answer: str) -> None:
    program = tmp_path / "dot"
    program.write_text(f"#!/bin/sh\nPATH=/bin:/usr/bin\ncat > /dev/null\necho '{answer}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    draw.forget(TWICE)
    with pytest.raises(draw.DrawingError, match="no layout") as caught:
        draw.svg(TWICE, renderer="dot")
    assert caught.value.dot == draw.graph(TWICE).source
