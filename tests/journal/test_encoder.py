"""Lines written quickly say what an entry says, key by key and in its order."""

from __future__ import annotations

import json
from enum import IntEnum

import pytest

from fsm.analysis.reachability import Explorer
from fsm.chart import Chart, row
from fsm.journal import encoder
from fsm.journal.encoder import Encoder
from fsm.journal.reader import entry
from fsm.logoff.chart import LOGOFF
from fsm.variable import Choice, Counter
from tests.small_charts import CHARTS


class One(IntEnum):
    ONE = 1


class Uno(IntEnum):
    UNO = 1


ALIKE = Chart(
    'al"ike', states=["a"], events=["é"], rows=[row("r", "a", "é")],
    variables=[Choice("one", (One.ONE, None), initial=One.ONE), Choice("uno", (Uno.UNO,), initial=Uno.UNO), Counter("n", initial=1)],
)  # fmt: skip


def pairs(line: str) -> list[tuple[str, object]]:
    return list(json.loads(line).items())


@pytest.mark.parametrize(("chart", "bounds"), [(LOGOFF, ["inbound <= 1", "outbound + ready + deferred <= 1", "peers <= 1"]), (ALIKE, []), *CHARTS])
def test_every_step_has_the_line_of_its_entry(chart: Chart, bounds: list[str]) -> None:
    graph, writer = Explorer(chart, bounds), Encoder(chart, 'a"\ud800')
    count = 0
    for place, before in enumerate(graph):
        for step in graph.edges(place):
            count += 1
            after = graph.configurations[step.target]
            more = {"message": "m", "why": 'é"\n'} if count % 2 else {}
            line = writer.line(count, step.event, before, after, chart.flags(after), more)
            assert pairs(line) == [*entry(chart, 'a"\ud800', count, step.event, before, after, None).items(), *more.items()]
            assert line.isascii()
            assert "\n" not in line
    assert count


def test_what_is_forgotten_is_encoded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder, "REMEMBERED", 2)
    writer = Encoder(LOGOFF, "a")
    graph = Explorer(LOGOFF, ["inbound <= 3", "outbound + ready + deferred <= 0", "peers <= 0"])
    for _ in range(2):
        for here in graph:
            assert pairs(writer.line(1, "submit", here, here, LOGOFF.flags(here), {})) == [*entry(LOGOFF, "a", 1, "submit", here, here, None).items()]
