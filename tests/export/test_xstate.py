"""XState 5: the module and the JSON are walked as the rows say, and times are delayed transitions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fsm.export import files
from fsm.export.lowered import lower
from fsm.export.xstate import XStateWords
from fsm.logoff import LOGOFF
from tests.export.corpus import TILL, Case, Values, cases, tours, up_to
from tests.export.test_scxml import RINGING
from tests.export.tools import MODULES, node
from tests.support import small

HERE = Path(__file__).parent
WALKED = [Case(LOGOFF, small(1, 1, 1)), Case(TILL, up_to(3)), *(case for case in cases() if case.chart not in (LOGOFF, TILL) and not case.name.startswith("http"))]


def written(case: Case, folder: Path) -> XStateWords:
    for name in ("chart.mjs", "plain.json"):
        for file, text in files(case.chart, "xstate", name).items():
            folder.joinpath(file).write_text(text, "utf-8")
    folder.joinpath("node_modules").symlink_to(MODULES)
    return XStateWords(lower(case.chart, "xstate"))


@pytest.mark.parametrize("case", WALKED, ids=lambda case: case.name)
def test_all_tours_are_walked(case: Case, tmp_path: Path) -> None:
    words = written(case, tmp_path)

    def said(values: Values) -> list[object]:
        return [words.states("state", str(values[0])), *values[1:]]

    walks = [
        [[words.events("event", c.event), {words.names("value", n): v for n, v in c.data.items()}, c.answer == "accepted", said(c.after), c.flags] for c in tour]
        for tour in tours(case)
    ]
    names = [words.names("value", name) for name in case.chart.names]
    tmp_path.joinpath("tours.json").write_text(json.dumps({"names": names, "tours": walks}))
    steps = 2 * sum(map(len, walks))
    assert node(HERE / "run_xstate.mjs", tmp_path, tmp_path / "tours.json", package="xstate") == f"{steps} steps, 0 differ\n"


def test_times_are_delayed_transitions(tmp_path: Path) -> None:
    written(Case(RINGING, up_to(0)), tmp_path)
    assert node(HERE / "wait_xstate.mjs", tmp_path, package="xstate") == "quiet ringing ringing over\n"


def test_json_has_its_host_beside_it() -> None:
    assert [*files(LOGOFF, "xstate", "a.json")] == ["a.json", "a.host.mjs"]
    assert [*files(LOGOFF, "xstate", "a.mjs")] == ["a.mjs"]
    document = json.loads(files(LOGOFF, "xstate", "a.json")["a.json"])
    assert sum(len(rows) for state in document["states"].values() for rows in state["on"].values()) == len(LOGOFF.rows)
    assert LOGOFF.fingerprint in document["description"]
