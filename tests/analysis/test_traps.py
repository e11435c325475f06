"""A trap is found wherever its counts are, and where none is that is proved for all counts."""

from __future__ import annotations

import pytest

from fsm.analysis.report import Finding, check
from fsm.analysis.trace import parse_trace
from fsm.analysis.traps import ends
from fsm.chart import Chart, Event, State, row
from fsm.data import Number
from fsm.errors import DefinitionError
from fsm.logoff.chart import LOGOFF
from fsm.session import Session
from fsm.variable import Boolean
from tests import small_charts as small
from tests.small_charts import DONE, M, N, down, up

AMOUNT = Number("amount")
PAID = Boolean("paid")
SENTENCE = "a final state can be reached from every configuration"


def doubtful(chart: Chart) -> tuple[dict[str, object], ...]:
    found = ends(chart)
    assert found is not None
    return found.doubtful


def reached(chart: Chart, *bounds: str) -> Finding:
    return next(one for one in check(chart, bounds).findings if one.sentence == SENTENCE)


FAR = small.chart("far", [  # left only by `leave`, which needs n == 12, and nothing changes n in b
    row("more", "a", "more", effects=[up(N)]), row("enter", "a", "enter", guard=N > 9, target="b"),
    row("peek", "b", "peek"), row("leave", "b", "leave", guard=N == 12, target="done"), row("end", "a", "end", target="done"),
], variables=(N,))
OWING = small.chart("owing", [  # whoever owes more than he has cannot leave, and in b he gets nothing
    row("earn", "a", "earn", effects=[up(N)]), row("borrow", "a", "borrow", effects=[up(M)]),
    row("enter", "a", "enter", target="b"), row("pay", "b", "pay", guard=(M > 0) & (N > 0), effects=[down(M), down(N)]),
    row("leave", "b", "leave", guard=M == 0, target="done"),
], variables=(N, M))
LOCKED = small.chart("locked", [
    row("go", "a", "go", target="b", guard=N > 4), row("up", "a", "up", effects=[up(N)]), row("pay", "a", "pay", effects=[PAID.becomes(True)]),
    row("out", "b", "out", guard=PAID, target="done"),
], variables=(N, PAID))
FROZEN = Chart("frozen", states=["a", DONE], variables=[N, PAID],  # who pays in goes on for ever: no bound shows the trap whole
               events=[Event("pay", data=[AMOUNT]), Event("draw", data=[AMOUNT]), Event("freeze"), Event("close")],
               rows=[row("pay", "a", "pay", effects=[N.becomes(N + AMOUNT)]), row("freeze", "a", "freeze", unless=PAID, effects=[PAID.becomes(True)]),
                     row("draw", "a", "draw", guard=(AMOUNT <= N) & ~PAID, effects=[N.becomes(N - AMOUNT)]),
                     row("close", "a", "close", guard=N == 0, target="done")])  # fmt: skip
TRAPS = [
    (FROZEN, ("n <= 2", "amount <= 2"), "from a, n 1, paid true no final state can be reached"),
    (FAR, ("n <= 3",), "from b, n 10 no final state can be reached"), (OWING, ("n + m <= 0",), "from b, m 1 no final state can be reached"),
    (LOCKED, ("n <= 2",), "from b, n 5 no final state can be reached"), (small.DEADLOCK, (), "from a, n 2 no final state can be reached"),
]  # fmt: skip


@pytest.mark.parametrize(("chart", "bounds", "told"), TRAPS, ids=lambda one: getattr(one, "name", ""))
def test_a_trap_is_named_with_its_counts_and_a_trace_also_beyond_the_bounds(
    chart: Chart, bounds: tuple[str, ...], told: str
) -> None:
    found = reached(chart, *bounds)
    assert (found.status, found.detail) == ("fails", told)
    assert found.trace is not None
    session = Session.of(chart)()
    for step in parse_trace(chart, found.trace):
        session.fire(step.event, **step.data)
    here = session.configuration
    assert f"from {chart.describe(here)} no final state" in told


DRAIN = small.chart("drain", [
    row("more", "a", "more", effects=[N.becomes(N + 2)]), row("go", "a", "go", target="b"),
    row("send", "b", "send", guard=N > 0, effects=[down(N)]), row("end", "b", "end", guard=N == 0, target="done"),
], variables=(N,))
CLIMB = small.chart("climb", [
    row("more", "a", "more", effects=[up(M)]), row("go", "a", "go", target="b"),
    row("step", "b", "step", guard=N < 5, effects=[up(N)]), row("end", "b", "end", guard=N == 5, target="done"),
], states=(State("a", invariant=N <= 5), State("b", invariant=N <= 5), DONE), variables=(N, M))
CHASE = small.chart("chase", [
    row("more", "a", "more", effects=[up(M)]), row("go", "a", "go", target="b"),
    row("run", "b", "run", guard=N < M, effects=[up(N)]), row("end", "b", "end", guard=N >= M, target="done"),
], variables=(N, M))
SPEND = Chart("spend", states=["a", DONE], variables=[N],
              events=[Event("earn"), Event("spend", data=[AMOUNT]), Event("close")],
              rows=[row("earn", "a", "earn", effects=[up(N)]), row("spend", "a", "spend", guard=AMOUNT <= N, effects=[N.becomes(N - AMOUNT)]),
                    row("close", "a", "close", guard=N == 0, target="done")])  # fmt: skip


@pytest.mark.parametrize("chart", [DRAIN, CHASE, SPEND, LOGOFF], ids=lambda one: one.name)
def test_that_there_is_no_trap_is_proved_for_all_counts(chart: Chart) -> None:
    assert doubtful(chart) == ()


def test_a_callable_leaves_open_whether_what_remains_is_a_trap() -> None:
    asked = small.chart("asked", [
        row("more", "a", "more", effects=[up(N)]), row("ask", "a", "ask", guard=lambda session: True, target="done"),
        row("end", "a", "end", guard=N == 0, target="done"),
    ], states=("a", DONE), variables=(N,))
    found = ends(asked)
    assert found is not None
    assert not found.exact
    assert reached(asked, "n <= 2").status == "holds"


def test_a_way_to_the_end_that_rises_to_a_limit_is_proved_within_its_invariant() -> None:
    assert doubtful(CLIMB) == ()
    found = reached(CLIMB, "m <= 1")
    assert (found.status, found.known[:21]) == ("holds", "proved for all counts")


def without(*ids: str) -> Chart:
    rows = [one for one in LOGOFF.rows if one.id not in ids]
    return Chart("m", states=LOGOFF.states, events=LOGOFF.events, variables=LOGOFF.variables, rows=rows, outputs=LOGOFF.outputs)


@pytest.mark.parametrize(("ids", "told"), [
    (("draining.outbound_begin",), "state 'draining' is stuck (when request NO_WAIT, inbound 0, outbound 0, ready 1)"),
    (("blocked.deferred_due",), "state 'blocked' is stuck (when request QUIET, inbound 0, outbound 0, ready 0, deferred 1)"),
    (("blocked.outbound_begin",), "state 'blocked' is stuck (when request QUIET"),
    (("draining.inbound_received", "draining.inbound_failed"), "state 'draining' is stuck (when request ORDERLY, inbound 2, outbound 0"),
])  # fmt: skip
def test_the_store_logoff_without_a_row_that_gets_it_on_is_refused_with_counts(ids: tuple[str, ...], told: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        without(*ids)
    assert any(told in problem for problem in caught.value.problems), caught.value.problems


WAITING = State("b", progress=("send", "pay"))
PAYING = (Event("send"), Event("pay", data=[AMOUNT]), Event("go"), Event("ask"))


def paying(*rows: object) -> Chart:
    return Chart("paying", states=["a", WAITING, DONE], events=PAYING, variables=[N, M], rows=[
        row("go", "a", "go", target="b", effects=[up(N)]), row("ask", "b", "ask", target="done"), *rows])  # type: ignore[list-item]  # fmt: skip


@pytest.mark.parametrize(("guard", "told"), [
    (AMOUNT <= N, ""), ((AMOUNT <= N) & (AMOUNT > 0), "state 'b' is stuck (when n 0, m 0): none of send, pay is accepted"),
    ((AMOUNT > N) & (AMOUNT < M), "state 'b' is stuck (when"), (AMOUNT == N + M, ""), (2 * AMOUNT == N, None),
])  # fmt: skip
def test_progress_by_an_event_with_data_needs_some_data_that_are_accepted(guard: object, told: str | None) -> None:
    rows = row("pay", "b", "pay", guard=guard), row("send", "b", "send", guard=M > 0, effects=[down(M)])  # type: ignore[call-overload]
    if told:
        with pytest.raises(DefinitionError) as caught:
            paying(*rows)
        assert told in str(caught.value)
        return
    first = check(paying(*rows), ["n <= 2", "m <= 2", "amount <= 3"]).findings[1]
    assert first.status == ("unknown" if told is None else "holds"), first
    if told is None:
        assert "whether one of send, pay is always accepted in 'b'" in first.detail


def test_progress_of_an_unknown_event_is_refused() -> None:
    with pytest.raises(DefinitionError, match="the progress of 'a' waits for the unknown event 'gone'"):
        small.chart("t", [row("end", "a", "end", target="done")], states=(State("a", progress=("end", "gone")), DONE))
