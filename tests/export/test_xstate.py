"""XState 5: the module and the JSON are walked as the rows say, and times are delayed transitions."""

from __future__ import annotations

import json
from pathlib import Path

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


def said(words: XStateWords, values: Values) -> list[object]:
    return [words.states("state", str(values[0])), *values[1:]]


def walks(case: Case, words: XStateWords) -> list[list[object]]:
    return [
        [[words.events("event", c.event), {words.names("value", n): v for n, v in c.data.items()}, c.answer == "accepted", said(words, c.after), c.flags] for c in tour]
        for tour in tours(case)
    ]


def test_all_tours_are_walked(tmp_path: Path) -> None:
    printed = {}
    for number, case in enumerate(WALKED):
        folder = tmp_path / str(number)
        folder.mkdir()
        words = written(case, folder)
        corpus = {"names": [words.names("value", name) for name in case.chart.names], "tours": walks(case, words)}
        folder.joinpath("tours.json").write_text(json.dumps(corpus))
        printed[folder] = f"{2 * sum(map(len, tours(case)))} steps, 0 differ\n"
    assert node(HERE / "run_xstate.mjs", *printed, package="xstate") == "".join(printed.values())


def test_times_are_delayed_transitions(tmp_path: Path) -> None:
    written(Case(RINGING, up_to(0)), tmp_path)
    assert node(HERE / "wait_xstate.mjs", tmp_path, package="xstate") == "quiet ringing ringing over\n"


def test_json_has_its_host_beside_it() -> None:
    assert [*files(LOGOFF, "xstate", "a.json")] == ["a.json", "a.host.mjs"]
    assert [*files(LOGOFF, "xstate", "a.mjs")] == ["a.mjs"]
    document = json.loads(files(LOGOFF, "xstate", "a.json")["a.json"])
    assert sum(len(rows) for state in document["states"].values() for rows in state["on"].values()) == len(LOGOFF.rows)
    assert LOGOFF.fingerprint in document["description"]
