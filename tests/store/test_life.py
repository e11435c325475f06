"""The chart of a message's life: what it promises is proved, and `diagrams/store/` shows it as it is."""

from __future__ import annotations

from pathlib import Path

from fsm import draw
from fsm.analysis.report import check
from fsm.store.properties import LIFE, PROPERTIES

FOLDER = Path(__file__).parents[2] / "diagrams" / "store"


def test_the_chart_keeps_what_it_promises() -> None:
    assert [one.sentence for one in check(LIFE, (), PROPERTIES).findings if one.status != "holds"] == []


def pictures() -> dict[str, str]:
    """Return the files of the chart and their contents."""
    return {"life.svg": draw.svg(LIFE, renderer="embedded"), "life.mmd": draw.mermaid(LIFE), "life.md": draw.table(LIFE)}


def test_its_pictures_are_up_to_date() -> None:
    different = [file for file, text in pictures().items() if not (FOLDER / file).is_file() or (FOLDER / file).read_text("utf-8") != text]
    assert not different, "run `make diagrams` and commit the folder"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for file, text in pictures().items():
        (FOLDER / file).write_text(text, encoding="utf-8")
