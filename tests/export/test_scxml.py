"""SCXML: three interpreters that others wrote run the document as the rows say."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
import statemachine
from statemachine.io import load

import fsm
from fsm import Chart, Counter, State, row
from fsm.export import ExportError
from fsm.export.lowered import lower
from fsm.export.scxml_words import ScxmlWords
from fsm.logoff import LOGOFF
from tests.export.corpus import (
    PLAIN_TILL,
    TILL,
    TURN,
    Case,
    Cell,
    Values,
    cases,
    cells,
    everything,
    examples,
    timeless,
    tours,
    up_to,
)
from tests.export.tools import debian_python, node
from tests.support import small

HERE = Path(__file__).parent
RINGING = Chart(
    "ringing", states=[State("quiet"), State("ringing", after={0.05: "enough"}), State("over", final=True)],
    events=["ring", "again", "enough"],
    rows=[
        row("ring", "quiet", "ring", target="ringing"), row("again", "ringing", "again", reenter=True),
        row("enough", "ringing", "enough", target="over"),
    ],
)  # fmt: skip
MACHINES = [Case(LOGOFF, small(1, 1, 1)), Case(TURN, up_to(3)), Case(PLAIN_TILL, up_to(3)), *(case for case in cases()[3:] if case not in examples())]
MACHINES += [Case(timeless(case.chart), case.within) for case in examples()]
WALKED = [case for case in MACHINES if not case.name.startswith("http")]


class Document:
    """A chart's document in a folder, and its cells in the document's own words."""

    def __init__(self, chart: Chart, folder: Path) -> None:
        self.chart, self.words = chart, ScxmlWords(lower(chart, "scxml"))
        self.file = folder / "chart.scxml"
        self.file.write_text(fsm.export(chart, "scxml"), "utf-8")
        self.names = [self.words.names("value", name) for name in chart.names]
        self.flags, self.accepted = "flags", "accepted"

    def said(self, values: Values) -> list[object]:
        found: list[object] = [self.words.names("state", str(values[0]))]
        for variable, value in zip(self.chart.variables, values[1:], strict=True):
            number = isinstance(value, int)
            found.append(int(value) if number else self.words.value(variable.name, value).strip("'"))  # type: ignore[call-overload, arg-type]
        return found

    def event(self, cell: Cell) -> tuple[str, dict[str, object]]:
        return self.words.events("event", cell.event), {self.words.names("value", n): v for n, v in cell.data.items()}

    def tours(self, case: Case, folder: Path) -> Path:
        walks = [
            [[*self.event(cell), cell.answer == "accepted", self.said(cell.after), cell.flags] for cell in tour] for tour in tours(case)
        ]
        file = folder / "tours.json"
        file.write_text(json.dumps({"names": self.names, "flags": self.flags, "accepted": self.accepted, "tours": walks}))
        return file


@pytest.mark.parametrize("case", MACHINES, ids=lambda case: case.name)
def test_python_statemachine_answers_every_cell(case: Case, tmp_path: Path) -> None:
    document = Document(case.chart, tmp_path)
    machine = load(document.file)()
    differ = []
    for cell in cells(case):
        if machine.is_terminated:
            machine = load(document.file)()
        found = asked(machine, document, cell)
        if found != (cell.answer == "accepted", document.said(cell.after), cell.flags):
            differ.append((cell, found))
    assert not differ, differ[:3]


def asked(machine: Any, document: Document, cell: Cell) -> tuple[bool, list[object], int]:
    state, *values = document.said(cell.here)
    machine.current_state_value = state
    for name, value in zip(document.names, values, strict=True):
        setattr(machine.model, name, value)
    machine.model.accepted, machine.model.flags = 0, cell.flags if cell.answer != "accepted" else -1
    event, data = document.event(cell)
    try:
        machine.send(event, **data)
    except statemachine.exceptions.TransitionNotAllowed:
        pass
    here = next(iter(machine.configuration)).id
    return machine.model.accepted == 1, [here, *(getattr(machine.model, name) for name in document.names)], machine.model.flags


@pytest.fixture(scope="module")
def walks(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, str]:
    """A folder for each chart with its document and tours, and what is printed about it: one process walks them all."""
    found = {}
    for case in WALKED:
        folder = tmp_path_factory.mktemp("walk")
        Document(case.chart, folder).tours(case, folder)
        found[folder] = f"{sum(map(len, tours(case)))} steps, 0 differ\n"
    return found


def test_scion_walks_all_tours(walks: dict[Path, str]) -> None:
    assert node(HERE / "run_scion.cjs", *walks, package="@scion-scxml/scxml") == "".join(walks.values())


def test_qt_walks_all_tours(walks: dict[Path, str]) -> None:
    assert debian_python("PySide2.QtScxml", HERE / "run_qt.py", *walks) == "".join(walks.values())


def test_times_are_timers_of_the_state(tmp_path: Path) -> None:
    document = Document(RINGING, tmp_path)
    assert '<onentry><send id="ringing_0" event="enough" delay="0.05s"/></onentry>' in document.file.read_text()
    assert node(HERE / "wait_scion.cjs", document.file, package="@scion-scxml/scxml") == "ringing ringing over\n"


def test_only_a_final_state_without_rows_ends_the_interpreter() -> None:
    root = ET.fromstring(fsm.export(LOGOFF, "scxml"))
    assert [child.get("id") for child in root if child.tag.endswith("final")] == []
    chart = Chart("ends", states=["a", State("b", final=True)], events=["go"], rows=[row("r", "a", "go", target="b")])
    assert '<final id="b"/>' in fsm.export(chart, "scxml")


@pytest.mark.parametrize("case", MACHINES, ids=lambda case: case.name)
def test_every_name_is_an_identifier_and_the_header_maps_it_back(case: Case) -> None:
    text = fsm.export(case.chart, "scxml")
    header = text.partition("-->")[0]
    named = dict(re.findall(r"^ +(\S+) is the (?:state|event|value) (\".*\")$", header, re.M))
    root = ET.fromstring(text)
    for tag, attribute, kind in (("state", "id", case.chart.states), ("transition", "event", case.chart.events)):
        for element in root.iter(f"{{http://www.w3.org/2005/07/scxml}}{tag}"):
            name = element.get(attribute)
            assert name is not None
            assert re.fullmatch(r"[A-Za-z]\w*", name, re.A)
            assert json.loads(named.get(name, json.dumps(name))) in kind


def test_a_default_of_a_datum_is_refused_by_name() -> None:
    with pytest.raises(ExportError, match="till: 1 cannot be written as scxml: event 'pay' brings tip with a default"):
        fsm.export(TILL, "scxml")


def test_a_number_that_javascript_cannot_count_is_refused() -> None:
    n = Counter("n")
    chart = Chart("large", states=["a"], events=["e"], variables=[n], rows=[row("r", "a", "e", guard=n < 2**53)])
    with pytest.raises(ExportError, match=r"large cannot be written as scxml: a number in it is larger than 2\*\*53 - 1"):
        fsm.export(chart, "scxml")
    assert everything(())
