"""The report sees what is wrong, and every counterexample leads there when it is replayed."""

from __future__ import annotations

import pytest

from fsm.analysis.reachability import ExploreError, Graph
from fsm.analysis.report import Finding, Report, check
from fsm.chart import Chart, State, row
from fsm.errors import DefinitionError
from fsm.logoff.chart import LOGOFF
from fsm.logoff.properties import BOUNDS, PROPERTIES
from fsm.session import Session
from fsm.verdict import Refused
from tests import small_charts as small
from tests.small_charts import DONE, N, after, down, up
from tests.test_http import http

TABLE = "every name in the table is known"
PROOF = "it can be proved that rows"
ROWS = "at most one row"
BROKEN = "no counter is ever negative"
REACH = "a final state can be reached"
DEAD = "no configuration is a dead end"
TAKEN = "every row of the table"


def finding(report: Report, sentence: str) -> Finding:
    return next(one for one in report.findings if one.sentence.startswith(sentence) or sentence in one.sentence)


# ------------------------------------------------------------------------------------------------ what is sound


def test_the_store_logoff_keeps_everything_it_promises() -> None:
    report = check(LOGOFF, BOUNDS, PROPERTIES)
    assert [one.sentence for one in report.findings if one.status != "holds"] == []
    assert (report.configurations, report.steps) == (268, 2_646)
    assert len(report.findings) == 11 + len(PROPERTIES)
    proved = [one.sentence for one in report.findings if one.known.startswith("proved for all counts")]
    for sentence in (PROOF, ROWS, BROKEN, REACH, "lowers 3 * ready", "no drain is stuck: something",
                     "no event makes a message vanish", "blocked always has something"):
        assert any(sentence in one for one in proved), sentence


@pytest.mark.parametrize("chart", [small.PLAIN, small.LADDER, small.TOKENS, small.RESET, small.HIGH, small.HOSTILE],
                         ids=lambda one: one.name[:7])
def test_sound_charts_have_nothing_to_complain_of(chart: Chart) -> None:
    assert check(chart).failed == ()


def test_an_endless_chart_needs_bounds() -> None:
    with pytest.raises(ExploreError, match="n can grow for ever"):
        check(small.ENDLESS)
    assert check(small.ENDLESS, ["n <= 3"]).failed == ()


# ------------------------------------------------------------------------- what a chart itself does not let happen

REFUSED_CHARTS: list[tuple[str, list[object], dict[str, object], str]] = [
    ("two rows at once", [row("more", "a", "more", effects=[up(N)]), row("one", "a", "go", target="done"),
                          row("two", "a", "go", guard=N > 0)], {"variables": (N,)}, ROWS),
    ("a negative count", [row("less", "a", "less", effects=[down(N)]), row("go", "a", "go", target="done")],
     {"variables": (N,)}, BROKEN),
    ("a broken promise", [row("go", "a", "go", target="b"), row("end", "b", "end", target="done")],
     {"variables": (N,), "states": ("a", State("b", invariant=N > 0), DONE)}, BROKEN),
    ("a way out of the end", [row("go", "a", "go", target="done"), row("back", "done", "back", target="a")], {}, TABLE),
    ("an unknown name", [row("go", "a", "go", target="nowhere")], {}, TABLE),
    ("a trap", [row("go", "a", "go", target="done"), row("fall", "a", "fall", target="b"), row("stay", "b", "stay")],
     {"states": ("a", "b", DONE)}, REACH),
]


def broken(monkeypatch: pytest.MonkeyPatch, rows: list[object], more: dict[str, object]) -> Chart:
    """A chart that says it was proved, and was not."""
    with monkeypatch.context() as patch:
        patch.setattr(Chart, "check", lambda self: None)
        return small.chart("broken", rows, **{"states": ("a", DONE), **more})  # type: ignore[arg-type]


@pytest.mark.parametrize(("rows", "more", "sentence"), [one[1:] for one in REFUSED_CHARTS], ids=[c[0] for c in REFUSED_CHARTS])
def test_what_a_chart_refuses_when_built_is_found_when_it_was_not_asked(
    monkeypatch: pytest.MonkeyPatch, rows: list[object], more: dict[str, object], sentence: str
) -> None:
    with pytest.raises(DefinitionError):
        small.chart("broken", rows, **{"states": ("a", DONE), **more})  # type: ignore[arg-type]
    chart = broken(monkeypatch, rows, more)
    report = check(chart, ["n <= 2"] if "variables" in more else [])
    found = finding(report, sentence)
    assert found.status == "fails"
    assert found in report.failed
    if sentence == TABLE:
        assert report.findings == (found,)
        assert found.detail
    else:
        assert finding(report, PROOF).status == "fails"
        assert found.trace is not None


def test_two_rows_at_once_are_shown_where_they_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [row("more", "a", "more", guard=N < 3, effects=[up(N)]), row("one", "a", "go", guard=N > 1, target="done"),
            row("two", "a", "go", guard=N > 2, effects=[up(N)])]
    chart = broken(monkeypatch, list(rows), {"variables": (N,)})
    found = finding(check(chart, ["n <= 5"]), ROWS)
    assert found.trace == ("more", "more", "more", "go")
    assert found.detail == "one and two are enabled together in a, n 3"
    assert after(chart, found.trace[:-1]) == ("a", 3)


# ------------------------------------------------------------------------- what only the graph knows

NEVER = small.chart("never", [row("go", "a", "go", target="done"), row("odd", "a", "odd", guard=N > 0)],
                    states=("a", DONE), variables=(N,))


def test_a_dead_end_is_found_and_its_trace_leads_there() -> None:
    report = check(small.DEADLOCK)
    assert [one.sentence[:30] for one in report.failed] == [s[:30] for s in (
        "a final state can be reached from every configuration",
        "no configuration is a dead end: it is final, or some event is accepted",
    )]
    lost, dead = report.failed
    assert (lost.trace, dead.trace) == (("take", "take"), ("take", "take", "go"))
    session = Session.of(small.DEADLOCK).unchecked(after(small.DEADLOCK, dead.trace or ()))
    assert not any(session.verdicts().values())


def test_a_row_that_is_never_taken_fails_when_the_graph_is_complete_and_is_unknown_when_it_is_not() -> None:
    assert finding(check(NEVER), TAKEN)[1:] == ("fails", "1 steps", "never taken: odd", None)
    cut = finding(check(small.DISTANT, ["n <= 3"]), TAKEN)
    assert (cut.status, cut.detail) == ("unknown", "never taken: far (within the bounds)")


def test_what_the_bounds_hide_is_unknown_and_what_they_do_not_hide_fails() -> None:
    far = small.chart("far", [
        row("more", "a", "more", effects=[up(N)]), row("end", "a", "end", guard=N > 30, target="done"),
    ], states=("a", DONE), variables=(N,))
    assert finding(check(far, ["n <= 2"]), REACH).status == "unknown"
    assert finding(check(far, ["n <= 31"]), REACH).status == "holds"
    near = finding(check(small.DISTANT, ["n <= 2"]), REACH)
    assert near.known.startswith("proved for all counts")
    lamp = small.chart("lamp", [row("on", "a", "on", target="b"), row("off", "b", "off", target="a")], ("a", "b"))
    found = finding(check(lamp), REACH)
    assert (found.status, found.detail) == ("unknown", "the chart has no final state")


def test_a_graph_is_what_the_refusals_leave() -> None:
    """The error the graph rests on is the one every trigger raises."""
    session = Session.of(small.LADDER)()
    with pytest.raises(Refused):
        session.fire("top")
    assert Graph(small.LADDER).legal[0] == ("climb",)


@pytest.mark.parametrize("role", ["client", "server"])
def test_a_second_protocol_holds_all_that_is_usual(role: str) -> None:
    """254 configurations with long guards: where all were looked at, nothing is proved at length."""
    report = check(http(role))
    assert {finding.status for finding in report.findings} == {"holds"}
