"""JavaScript: the module answers every cell as the rows do in node, and its types are right for TypeScript."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fsm import Chart, Counter, row
from fsm.export import ExportError, files
from fsm.export.ecmascript import JavaScript
from fsm.export.lowered import lower
from fsm.logoff import LOGOFF
from tests.export.corpus import TILL, Case, cases, cells
from tests.export.tools import node, typescript

HERE = Path(__file__).parent


def written(case: Case, folder: Path) -> JavaScript:
    for name, text in files(case.chart, "javascript", "chart.mjs").items():
        folder.joinpath(name).write_text(text, "utf-8")
    return JavaScript(lower(case.chart, "javascript"), "this")


def test_every_cell_is_answered_as_the_rows_do(tmp_path: Path) -> None:
    printed = {}
    for number, case in enumerate(cases()):
        folder = tmp_path / str(number)
        folder.mkdir()
        js = written(case, folder)
        names = ["state", *(js.names("value", name) for name in case.chart.names)]
        rows = [[c.here, c.event, {js.names("value", n): v for n, v in c.data.items()}, c.answer, c.after, c.flags] for c in cells(case)]
        folder.joinpath("cells.json").write_text(json.dumps({"cls": js.cls, "names": names, "cells": rows}))
        printed[folder] = f"{len(rows)} cells, 0 differ\n"
    assert node(HERE / "run_javascript.mjs", *printed) == "".join(printed.values())


USE = """
import { StoreLogoff, STATES, Output, type Answer, type Event } from "./chart0.mjs";
import { Till1 } from "./chart2.mjs";
declare const console: { log(...words: unknown[]): void };
const session = new StoreLogoff();
const answer: Answer = session.submit();
const event: Event = "logoff_quiet";
session.fire(event);
const request: "NO_WAIT" | "ORDERLY" | "PURGE" | "ABORT" | "QUIET" | null = session.request;
console.log(answer, request, STATES.length, session.flags & Output.OUTBOUND_QUEUE);
const till = new Till1();
till.pay({ amount: 1 });
till.pay({ amount: 1, tip: 2, note: "thanks" });
// @ts-expect-error
till.pay({ amount: "1" });
// @ts-expect-error
session.fire("nope");
// @ts-expect-error
session.nope();
"""


def test_the_types_are_right(tmp_path: Path) -> None:
    for number, case in enumerate(cases()):
        for name, text in files(case.chart, "javascript", f"chart{number}.mjs").items():
            tmp_path.joinpath(name).write_text(text, "utf-8")
    tmp_path.joinpath("use.mts").write_text(USE)
    declarations = [f"chart{number}.d.mts" for number in range(len(cases()))]
    typescript(tmp_path, "use.mts", *declarations)


@pytest.mark.parametrize(("name", "beside"), [("a.mjs", "a.d.mts"), ("a.js", "a.d.ts"), ("b/a.mjs", "b/a.d.mts")])
def test_the_types_stand_beside_the_module(name: str, beside: str) -> None:
    assert [*files(LOGOFF, "javascript", name)] == [name, beside]


SCRIPT = """
import { Till1, LIMIT } from "./chart.mjs";
const till = new Till1();
const tried = (run) => { try { return run(); } catch (error) { return error.message; } };
console.log(tried(() => till.sell({ amount: -1 })), "|", tried(() => till.sell()), "|", tried(() => till.fire("nope")));
console.log(till.sell({ amount: LIMIT }), till.sell({ amount: 1 }), till.due === LIMIT, till.sound);
console.log(JSON.stringify(till.delays), JSON.stringify(new Till1().delays));
"""


def test_counts_are_exact_and_data_are_checked(tmp_path: Path) -> None:
    written(Case(TILL, lambda here: True), tmp_path)
    tmp_path.joinpath("try.mjs").write_text(SCRIPT)
    first, second, third = node(tmp_path / "try.mjs").splitlines()
    problem = "amount must be a whole number from 0 to 4503599627370495, not"
    assert first == f"{problem} -1 | {problem} undefined | there is no event nope"
    assert second == "accepted full true true"
    assert third == '[] [["tick",2.5],["lock",30]]'


def test_what_javascript_cannot_count_is_refused() -> None:
    n = Counter("n")
    chart = Chart("large", states=["a"], events=["e"], variables=[n], rows=[row("r", "a", "e", guard=n < 2**53)])
    with pytest.raises(ExportError, match=r"large cannot be written as javascript: a number in it is larger than 2\*\*53 - 1"):
        files(chart, "javascript", "")
