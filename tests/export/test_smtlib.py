"""SMT-LIB: z3 and cvc5 agree with each other about every claim, and with what the chart's own checks say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import z3

import fsm
from fsm import Chart
from fsm.analysis.invariants import proves_always, proves_change
from fsm.analysis.properties import Always, Changes, Falls
from fsm.chart import Row
from fsm.condition import ALWAYS, Compare, negated
from fsm.export.lowered import lower
from fsm.export.smtlib import claims
from fsm.logoff import LOGOFF
from fsm.logoff.properties import PROPERTIES
from fsm.validation import proof_problems
from fsm.variable import Assignment, Sum
from tests.export.corpus import Case, cases
from tests.export.tools import done

FALSE = Falls("(false on purpose) while blocked every event lowers the work", {"ready": 3, "inbound": 2, "outbound": 2, "deferred": 1}, states=("blocked",))
LOW = Always("(false on purpose) a drain has at most 5 ready", Compare((("ready", 1),), "<=", 5), states=("draining",))


def by_z3(text: str) -> list[str]:
    """The answers, one a claim; z3's own library reads the script claim by claim."""
    head, *parts = text.split("(push 1)\n")
    answers = []
    for part in parts:
        solver = z3.Solver()
        solver.from_string(head.partition("(echo")[0] + part.partition("(check-sat)")[0])
        answers.append(str(solver.check()))
    return answers


def by_cvc5(text: str, folder: Path) -> list[str]:
    file = folder / "claims.smt2"
    file.write_text(text, "utf-8")
    return [line for line in done("cvc5", "--incremental", file).splitlines() if line in ("sat", "unsat", "unknown")]


class Unchecked(Chart):
    def check(self) -> None:
        """Nothing is checked."""


def wrong(chart: Chart, changed: Callable[[Row], Row]) -> Chart:
    """The chart with its rows changed, as one that was not checked."""
    return Unchecked(
        chart.name, states=chart.states, events=chart.events, variables=chart.variables, rows=map(changed, chart.rows), outputs=chart.outputs,
        bounds=chart.bounds, initial=chart.initial,
    )  # fmt: skip


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_both_prove_what_was_proved_when_the_chart_was_built(case: Case, tmp_path: Path) -> None:
    text = fsm.export(case.chart, "smtlib")
    assert by_z3(text) == by_cvc5(text, tmp_path) == ["unsat"] * 3


def test_both_agree_with_the_check_about_the_properties(tmp_path: Path) -> None:
    properties = (*PROPERTIES, FALSE, LOW)
    text = fsm.export(LOGOFF, "smtlib", properties=properties)
    asked = [one for one in properties if isinstance(one, (Always, Falls, Changes))]
    known = [proves_always(LOGOFF, one) if isinstance(one, Always) else proves_change(LOGOFF, one) for one in asked]
    assert by_z3(text)[3:] == by_cvc5(text, tmp_path)[3:] == ["unsat" if proved else "sat" for proved in known]
    assert known.count(False) == 2
    assert [one.sentence for one in claims(lower(LOGOFF, "smtlib"), properties)][3:] == [one.sentence for one in asked]


def without_guard(row: Row) -> Row:
    return row._replace(guard=ALWAYS) if row.id == "open.outbound_begin" else row


def other_guard(row: Row) -> Row:
    return row._replace(guard=negated(row.guard)) if row.id == "blocked.logoff_quiet" else row


def one_less(row: Row) -> Row:
    effects = (Assignment("inbound", Sum((("inbound", 1),), -1)),)
    return row._replace(effects=effects) if row.id == "draining.inbound_received.last" else row._replace(effects=effects) if row.id == "open.inbound_begin" else row


def elsewhere(row: Row) -> Row:
    return row._replace(target="open") if row.id == "draining.logoff_orderly" else row


@pytest.mark.parametrize("change", [without_guard, other_guard, one_less, elsewhere])
def test_both_refute_what_the_check_refutes(change: Callable[[Row], Row], tmp_path: Path) -> None:
    chart = wrong(LOGOFF, change)
    assert proof_problems(chart)
    text = fsm.export(chart, "smtlib")
    assert by_z3(text) == by_cvc5(text, tmp_path) != ["unsat"] * 3
