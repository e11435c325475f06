"""The report sees what is wrong, and every counterexample leads there when it is replayed."""

from __future__ import annotations

import pytest

import fsm.compiler
import fsm.session
from fsm.analysis.properties import Always, Changes, EachConfiguration, EachStep, Falls, Property, PropertyError
from fsm.analysis.reachability import ExploreError, Graph
from fsm.analysis.report import Finding, Report, check
from fsm.chart import Chart, State, row
from fsm.condition import Opaque
from fsm.errors import DefinitionError
from fsm.logoff.chart import LOGOFF, READY
from fsm.logoff.properties import BOUNDS, PROPERTIES
from fsm.session import Session
from fsm.verdict import Refused
from tests import small_charts as small
from tests.small_charts import DONE, MODE, Mode, N, after, down, up
from tests.test_http import http

TABLE = "every name in the table is known"
PROOF = "it can be proved that rows"
ROWS = "at most one row"
BROKEN = "no counter is ever negative"
REFUSED = "a refused event changes nothing"
COMPILED = "the compiled triggers do"
RAW = "the transitions machine"
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
    assert len(report.findings) == 10 + len(PROPERTIES)
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
    session = Session.of(small.DEADLOCK).at(after(small.DEADLOCK, dead.trace or ()))
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


# ------------------------------------------------------------------- when the engine and the rows do not agree


def test_a_compiler_that_writes_a_wrong_effect_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fsm.compiler, "_new", lambda effect, words: "1")
    chart = Chart("wrong", states=("a", DONE), events=("more", "end"), variables=(N,), rows=[
        row("more", "a", "more", guard=N < 3, effects=[up(N)]), row("end", "a", "end", target="done"),
    ])
    report = check(chart)
    found = finding(report, COMPILED)
    assert (found.status, found.trace) == ("fails", ("more", "more"))
    assert found.detail == "more in a, n 1 should lead to a, n 2, and led to a, n 1"
    assert finding(report, RAW).status == "holds"


def test_a_transitions_machine_that_ignores_guards_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fsm.machine.GuardCondition.check", lambda self, data: True)
    found = finding(check(small.LADDER), RAW)
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


# ---------------------------------------------------------------------------------------- a chart's own properties

COUNT = {"n": 1}
WRONG: list[tuple[Property, Chart, tuple[str, ...], tuple[str, ...], str]] = [
    (Always("n stays low", N < 3), small.LADDER, (), ("climb",) * 3, "in a, n 3 it does not hold that n < 3"),
    (Always("n is 5 at the end", N == 4, states=("done",)), small.LADDER, (), (*("climb",) * 5, "top"),
     "in done, n 5 it does not hold that n == 4"),
    (Always("slow is empty", N > 0, when=MODE == Mode.FAST), small.chart("m", [
        row("go", "a", "go", effects=[MODE.becomes(Mode.FAST)], target="done")], ("a", DONE), variables=(MODE, N)),
     (), ("go",), "in done, mode FAST it does not hold that n > 0"),
    (Falls("n falls", COUNT, events=("climb",)), small.LADDER, (), ("climb",), "climb in a changes the sum from 0 to 1"),
    (Changes("nothing is lost", {"n": 1, "m": 1}, events=("here", "there", "end")), small.TOKENS, (), (), ""),
    (Changes("n keeps", COUNT), small.TOKENS, (), ("there",), "there in a changes the sum from 3 to 2"),
    (Changes("n is taken", COUNT, {"there": -1}, events=("there",)), small.TOKENS, (), (), ""),
    (EachConfiguration("even", lambda p: "odd" if p.values["n"] % 2 else None), small.LADDER, (), ("climb",),  # type: ignore[operator]
     "odd (in a, n 1)"),
    (EachStep("small steps", lambda s: "at the top" if s.after.state == "done" else None), small.LADDER, (),
     (*("climb",) * 5, "top"), "at the top (top in a, n 5)"),
    (EachConfiguration("it raises", lambda p: str(1 // len(p.legal))), small.RESET, (), ("set",), ""),
]


@pytest.mark.parametrize(("one", "chart", "bounds", "trace", "detail"), WRONG[:-1], ids=lambda x: getattr(x, "sentence", ""))
def test_a_property_fails_with_the_shortest_trace_or_holds(
    one: Property, chart: Chart, bounds: tuple[str, ...], trace: tuple[str, ...], detail: str
) -> None:
    found = check(chart, bounds, [one]).findings[-1]
    assert (found.sentence, found.status) == (one.sentence, "fails" if trace else "holds")
    assert (found.trace or (), found.detail) == (trace, detail)
    if trace:
        after(chart, trace)


def test_a_property_that_raises_has_not_held() -> None:
    found = check(small.PLAIN, (), [EachConfiguration("it raises", lambda place: str(1 // 0))]).findings[-1]
    assert (found.status, found.trace) == ("fails", ())
    assert found.detail == "the property raised ZeroDivisionError: integer division or modulo by zero (in a)"


@pytest.mark.parametrize(("one", "told"), [
    (Always("x", READY > 0), "variable 'ready'"), (Always("x", N > 0, states=("z",)), "state 'z'"),
    (Falls("x", {"mode": 1}), "counter 'mode'"), (Changes("x", COUNT, {"fly": 1}), "event 'fly'"),
    (Falls("x", COUNT, events=("fly",)), "event 'fly'"), (Changes("x", COUNT, when=READY > 0), "variable 'ready'"),
], ids=str)
def test_a_property_of_another_chart_is_refused(one: Property, told: str) -> None:
    with pytest.raises(PropertyError, match=f"the property 'x' does not fit ladder, which has no {told}"):
        check(small.LADDER, (), [one])


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
