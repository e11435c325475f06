"""A chart's own properties hold, or fail with the shortest trace."""

from __future__ import annotations

import pytest

from fsm.analysis.properties import Always, Changes, EachConfiguration, EachStep, Falls, Property, PropertyError
from fsm.analysis.report import check
from fsm.chart import Chart, row
from fsm.logoff.chart import READY
from tests import small_charts as small
from tests.small_charts import DONE, MODE, Mode, N, after

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
