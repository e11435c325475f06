"""The charts of the dialogue: what they promise is proved, and `diagrams/mail/` shows them as they are."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from fsm import draw
from fsm.analysis.report import check
from fsm.chart import Chart
from fsm.mail.smtp import client_chart, server_chart

FOLDER = Path(__file__).parents[2] / "diagrams" / "mail"
CHARTS = {
    "client": (client_chart.CLIENT, client_chart.BOUNDS, client_chart.PROPERTIES),
    "server": (server_chart.SERVER, server_chart.BOUNDS, server_chart.PROPERTIES),
}


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_keeps_what_it_promises(name: str) -> None:
    chart, bounds, properties = CHARTS[name]
    text = Path(inspect.getfile(client_chart)).with_name(f"{name}_chart.py").read_text()
    assert f'proved="{chart.fingerprint}"' in text, "otherwise it is proved anew at each import"
    assert [one.sentence for one in check(chart, bounds, properties).findings if one.status != "holds"] == []


def pictures(chart: Chart, name: str) -> dict[str, str]:
    """Return the files of a chart and their contents."""
    return {f"{name}.svg": draw.svg(chart, brief=True, renderer="embedded"), f"{name}.mmd": draw.mermaid(chart), f"{name}.md": draw.table(chart)}


@pytest.mark.parametrize("name", CHARTS)
def test_its_pictures_are_up_to_date(name: str) -> None:
    made = pictures(CHARTS[name][0], name)
    different = [file for file, text in made.items() if not (FOLDER / file).is_file() or (FOLDER / file).read_text("utf-8") != text]
    assert not different, "run `make diagrams` and commit the folder"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, (chart, _, _) in CHARTS.items():
        for file, text in pictures(chart, name).items():
            (FOLDER / file).write_text(text, encoding="utf-8")
