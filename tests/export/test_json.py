"""JSON: written and read, a chart is the same; what does not fit the schema is refused with the place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import fsm
from fsm import Chart
from fsm.export import ReadError
from fsm.export.neutral import read
from fsm.export.schema import fit, schema
from fsm.logoff import LOGOFF
from tests.export.corpus import TILL, Case, cases

CASES = pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
JUDGE = jsonschema.Draft202012Validator(schema())


@CASES
def test_what_is_read_is_what_was_written(case: Case) -> None:
    text = fsm.export(case.chart, "json")
    back = read(text)
    assert back.fingerprint == case.chart.fingerprint
    assert fsm.export(back, "json") == text
    assert [one.progress for one in back.states] == [one.progress for one in case.chart.states]
    assert [one._replace(guard=str(one.guard), effects=one.effect_text) for one in back.rows] == [
        one._replace(guard=str(one.guard), effects=one.effect_text) for one in case.chart.rows
    ]


@CASES
def test_what_is_written_fits_the_schema(case: Case) -> None:
    JUDGE.validate(json.loads(fsm.export(case.chart, "json")))


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())


def changed(path: tuple[str | int, ...], value: Any, chart: Chart = TILL) -> dict[str, Any]:
    """The document of a chart with something else at a place; `...` takes it away."""
    document = json.loads(fsm.export(chart, "json"))
    place = document
    for step in path[:-1]:
        place = place[step]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return document


MISFITS: dict[str, tuple[tuple[str | int, ...], Any, str]] = {
    "another format": (("format",), "fsm.chart/2", 'format: expected "fsm.chart/1", not "fsm.chart/2"'),
    "no name": (("name",), ..., "the document: 'name' is missing"),
    "a name that is a number": (("name",), 7, "name: expected string, not 7"),
    "something unknown": (("colour",), "red", 'the document: "colour" is unknown; known are format, made_by'),
    "no states": (("states",), [], "states: expected 1 or more items, not 0"),
    "a state that is a name": (("states", 1), "paying", 'states[1]: expected object, not "paying"'),
    "final as a word": (("states", 0, "final"), "yes", 'states[0].final: expected boolean, not "yes"'),
    "a negative time": (("states", 0, "after", 0, "seconds"), -1, "states[0].after[0].seconds: expected more than 0, not -1"),
    "a negative start": (("variables", 0, "initial"), -1, "variables[0].initial: expected 0 or more, not -1"),
    "half a number": (("variables", 0, "initial"), 1.5, "variables[0].initial: expected integer, not 1.5"),
    "a type that there is not": (("events", 1, "data", 2, "type"), "bytes", 'events[1].data[2].type: expected one of str, int, float, bool, not "bytes"'),
    "a guard without an operator": (("rows", 2, "guard", "op"), ..., "rows[2].guard: 'op' is missing"),
    "an operator that there is not": (("rows", 2, "guard", "op"), "=>", 'rows[2].guard.op: expected one of ==, !=, <, <=, >, >=, not "=>"'),
    "a term without a factor": (("rows", 2, "guard", "terms", 0), ["paid"], "rows[2].guard.terms[0]: expected 2 items, not 1"),
    "a guard deep inside": (("rows", 0, "guard", "all", 0, "bound"), "0", 'rows[0].guard.all[0].bound: expected integer, not "0"'),
    "effects as an object": (("rows", 0, "effects"), {}, "rows[0].effects: expected array, not {}"),
    "true for a bit": (("outputs", 0, "bit"), True, "outputs[0].bit: expected integer, not true"),
    "null for a document": (("rows",), None, "rows: expected array, not null"),
}  # fmt: skip


@pytest.mark.parametrize(("path", "value", "problem"), MISFITS.values(), ids=MISFITS)
def test_a_misfit_is_refused_with_its_place(path: tuple[str | int, ...], value: Any, problem: str) -> None:
    document = changed(path, value)
    assert not JUDGE.is_valid(document)
    with pytest.raises(ReadError) as found:
        read(json.dumps(document))
    assert str(found.value).startswith(problem)


@pytest.mark.parametrize("document", [None, 0, True, "chart", [], {}, [[]], {"format": "fsm.chart/1"}], ids=repr)
def test_what_is_no_chart_at_all_is_refused(document: Any) -> None:
    assert not JUDGE.is_valid(document)
    with pytest.raises(ReadError):
        fit(document)


UNSOUND: dict[str, tuple[tuple[str | int, ...], Any, str]] = {
    "another behaviour": (("rows", 6, "guard", "all", 1, "bound"), 5, "fingerprint: it is .* for these rows, not .* leave it out"),
    "an unknown value": (("rows", 3, "effects", 4, "value"), "under", r"rows\[3\].effects\[4\].value: drawer has no value 'under'"),
    "an unknown variable": (("rows", 3, "effects", 4, "variable"), "dresser", r"rows\[3\].effects\[4\].variable: there is no enumerated variable 'dresser'"),
    "an unknown target": (("rows", 0, "target"), "nowhere", "row 'sell' leads to the unknown state 'nowhere'"),
    "an unknown initial state": (("initial",), "nowhere", "the initial state 'nowhere' is not one of its states"),
    "a start that is no value": (("variables", 4, "initial"), None, r"variables\[4\].initial: drawer has no value None"),
    "a name that is none": (("variables", 0, "counter"), "two words", "variable 'two words'"),
    "two rows at once": (("rows", 2, "guard"), {"all": []}, "rows 'part' and 'full' can be enabled together"),
}  # fmt: skip


@pytest.mark.parametrize(("path", "value", "problem"), UNSOUND.values(), ids=UNSOUND)
def test_what_fits_and_is_no_sound_chart_is_refused(path: tuple[str | int, ...], value: Any, problem: str) -> None:
    document = changed(path, value)
    assert JUDGE.is_valid(document)
    with pytest.raises(ReadError, match=problem):
        read(json.dumps(document))


@pytest.mark.parametrize(("text", "problem"), [
    ("", "line 1, column 1: not JSON: Expecting value"), ("{", "line 1, column 2: not JSON"), ("{} {}", "line 1, column 4: not JSON"),
    ('{"a": NaN}', "NaN is no number of JSON"), ('{"a": 1, "a": 2}', "'a' is there twice in one object"),
    ("[" * 100_000, "it is nested too deeply"), ('{"a": ' + "9" * 5_000 + "}", "a number in it has too many digits"),
], ids=lambda text: text[:12])  # fmt: skip
def test_what_is_no_json_is_refused(text: str, problem: str) -> None:
    with pytest.raises(ReadError) as found:
        read(text)
    assert str(found.value).startswith(problem)


def test_a_behaviour_that_was_meant_is_read_without_a_fingerprint() -> None:
    document = changed(("variables", 0, "initial"), 3)
    del document["fingerprint"]
    assert read(json.dumps(document)).start()[1] == 3


def test_the_file_is_laid_out_for_people_and_diffs(tmp_path: Path) -> None:
    lines = fsm.export(LOGOFF, "json").splitlines()
    assert sum(line.startswith(' {"id": ') for line in lines) == len(LOGOFF.rows)
