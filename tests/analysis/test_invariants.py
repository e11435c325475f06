"""What is proved for all counts holds in larger graphs, and what does not hold is not proved."""

from __future__ import annotations

import pytest

from fsm.analysis.invariants import proves_always, proves_change
from fsm.analysis.properties import Always, Changes, Falls
from fsm.analysis.report import check
from fsm.analysis.traps import ends
from fsm.chart import Chart, row
from fsm.condition import Opaque
from fsm.logoff.chart import IN_FLIGHT, LOGOFF
from fsm.logoff.properties import BOUNDS, PROPERTIES, WORK
from fsm.session import Session
from tests import small_charts as small
from tests.small_charts import DONE, N, up


def doubtful(chart: Chart) -> tuple[dict[str, object], ...]:
    found = ends(chart)
    assert found is not None
    return found.doubtful


PROVED = [p for p in PROPERTIES if isinstance(p, (Always, Falls, Changes))]
RANKING = next(p for p in PROVED if isinstance(p, Falls))
WEIGHTS: list[tuple[dict[str, int], bool]] = [
    (WORK, True), ({"ready": 1, "inbound": 2, "outbound": 2, "deferred": 1}, False), ({**WORK, "deferred": 2}, False),
    ({"ready": 5, "inbound": 1, "outbound": 3, "deferred": 2}, True), ({"ready": 1}, False),
]


@pytest.mark.parametrize("one", PROVED, ids=lambda p: p.sentence)
def test_it_is_proved_of_the_store_logoff(one: Always | Falls | Changes) -> None:
    assert proves_always(LOGOFF, one) if isinstance(one, Always) else proves_change(LOGOFF, one)


def test_what_is_proved_of_the_store_logoff_holds_in_a_larger_graph() -> None:
    report = check(LOGOFF, ["inbound <= 2", "outbound + ready + deferred <= 2", "peers <= 1"], PROVED)
    assert {one.status for one in report.findings[-len(PROVED):]} == {"holds"}


def test_the_ranking_of_a_drain_is_proved_only_with_weights_that_rank() -> None:
    rankings = [Falls(f"by {weights}", weights, RANKING.states, RANKING.events) for weights, _ in WEIGHTS]
    assert [proves_change(LOGOFF, one) for one in rankings] == [ranks for _, ranks in WEIGHTS]
    found = check(LOGOFF, BOUNDS, rankings).findings[-len(rankings):]
    assert [one.status == "holds" for one in found] == [ranks for _, ranks in WEIGHTS]


def test_proofs_by_induction_and_their_limits() -> None:
    even = Always("b is entered with n above 0", N > 0, states=("b",))
    chart = small.chart("in", [
        row("more", "a", "more", effects=[up(N)]), row("go", "a", "go", guard=N > 0, target="b"),
        row("grow", "b", "grow", effects=[up(N)]), row("end", "b", "end", target="done"),
    ], variables=(N,))
    assert proves_always(chart, even)
    assert not proves_always(chart, Always("too much", N > 1, states=("b",)))
    assert not proves_always(chart, Always("not at the start", N > 0))
    assert doubtful(chart) == ()
    assert doubtful(LOGOFF) == ()
    assert doubtful(small.DEADLOCK)
    assert doubtful(small.chart("asked", [row("ask", "a", "ask", guard=lambda s: True, target="done")], ("a", DONE)))


def test_a_drain_that_could_hang_is_not_proved() -> None:
    assert not proves_always(LOGOFF, Always("x", IN_FLIGHT > 0, states=("draining",)))


def test_sums_that_depend_on_the_counts_are_not_proved() -> None:
    n, m = N, small.M
    chart = small.chart("moved", [
        row("clear", "a", "clear", effects=[n.becomes(0)]), row("copy", "a", "copy", guard=m > 0, effects=[n.becomes(m - 1)]),
        row("swap", "a", "swap", effects=[n.becomes(m + 0), m.becomes(n + 0)]), row("end", "a", "end", target="done"),
    ], states=("a", DONE), variables=(n, m))
    assert not proves_change(chart, Changes("n keeps", {"n": 1}, events=("clear",)))
    assert not proves_change(chart, Falls("n falls", {"n": 1}, events=("copy",)))
    assert not proves_change(chart, Falls("n falls", {"n": 1}, events=("clear",)))
    assert proves_change(chart, Changes("the sum keeps", {"n": 1, "m": 1}, events=("swap", "end")))


def test_callables_prove_no_way_to_the_end() -> None:
    """Together they would do, if they answered alike each time; but a callable may change its mind."""
    asked = small.chart("both", [
        row("yes", "a", "yes", guard=Opaque(few), target="done"), row("no", "a", "no", guard=~Opaque(few), target="done"),
    ], ("a", DONE))
    assert doubtful(asked)


def few(session: Session) -> bool:
    return session.configuration[0] == "a"
