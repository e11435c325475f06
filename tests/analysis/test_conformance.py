"""Where the rows, the compiled triggers and the transitions machine do not agree, it is found out."""

from __future__ import annotations

import pytest

import fsm.compiler
import fsm.session
from fsm.analysis.report import Finding, Report, check
from fsm.chart import Chart, row
from fsm.condition import Opaque
from fsm.session import Session
from tests import small_charts as small
from tests.small_charts import DONE, N, up

REFUSED = "a refused event changes nothing"
COMPILED = "the compiled triggers do"
MACHINE = "the transitions machine"


def finding(report: Report, sentence: str) -> Finding:
    return next(one for one in report.findings if one.sentence.startswith(sentence))


def test_a_compiler_that_writes_a_wrong_effect_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fsm.compiler, "_new", lambda effect, words: "1")
    chart = Chart("wrong", states=("a", DONE), events=("more", "end"), variables=(N,), rows=[
        row("more", "a", "more", guard=N < 3, effects=[up(N)]), row("end", "a", "end", target="done"),
    ])
    report = check(chart)
    found = finding(report, COMPILED)
    assert (found.status, found.trace) == ("fails", ("more", "more"))
    assert found.detail == "more in a, n 1 should lead to a, n 2, and led to a, n 1"
    assert finding(report, MACHINE).status == "holds"


def test_a_transitions_machine_that_ignores_guards_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fsm.machine.GuardCondition.check", lambda self, data: True)
    found = finding(check(small.LADDER), MACHINE)
    assert (found.status, found.trace) == ("fails", ("top",))
    assert found.detail == "top in a should lead to a refusal, and led to done"


def test_a_refusal_that_changes_something_is_found_out() -> None:
    def meddle(session: Session) -> bool:
        session._n = 7  # type: ignore[attr-defined]
        return False

    chart = small.chart("meddler", [row("ask", "a", "ask", guard=Opaque(meddle), target="done"),
                                    row("end", "a", "end", target="done")], states=("a", DONE), variables=(N,))
    found = finding(check(chart), REFUSED)
    assert (found.status, found.trace) == ("fails", ("ask",))
    assert found.detail == "ask was refused in a, and left a, n 7"


def test_cells_with_callable_guards_are_asked_of_sessions_only() -> None:
    chart = small.opaque(lambda session: session.configuration[1] == 2)
    assert check(chart).failed == ()
