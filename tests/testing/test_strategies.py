"""Event sequences for any chart: accepted, shrinking well, reaching everything."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import (
    Phase,
    find,
    given,
    settings,
    strategies as st,
)

from fsm.analysis.trace import Call, parse_trace
from fsm.chart import Chart, Event, State, row
from fsm.data import Field, Number
from fsm.logoff import LOGOFF, Logoff, LogoffStatus, StoreSession
from fsm.runtime import Timers
from fsm.session import Session
from fsm.testing.clock import SimulatedClock
from fsm.testing.strategies import Wait, events
from fsm.variable import Counter
from fsm.verdict import Refused
from tests.runtime.bell import BELL, Bell
from tests.small_charts import CHARTS, PLAIN, opaque
from tests.support import cases, run

ALL = [chart for chart, _ in CHARTS]
EACH = pytest.mark.parametrize("chart", ALL, ids=lambda one: one.name)
QUICK = settings(max_examples=40)
SHRINK = settings(max_examples=5_000, database=None, phases=[Phase.generate, Phase.shrink])


@EACH
def test_every_event_of_a_legal_trace_is_accepted(chart: Chart) -> None:
    new = Session.of(chart)

    @QUICK
    @given(events(chart, max_size=30))
    def holds(trace: list[str]) -> None:
        assert len(trace) <= 30
        session = new()
        for event in trace:
            assert session.fire(event)

    holds()


@EACH
def test_a_mixture_has_refused_events_that_change_nothing(chart: Chart) -> None:
    new = Session.of(chart)
    seen: set[bool] = set()

    @settings(QUICK, max_examples=cases(100))
    @given(events(chart, max_size=30, legal=False))
    def holds(trace: list[str]) -> None:
        session = new()
        for event in trace:
            assert event in chart.events
            before = session.configuration
            try:
                session.fire(event)
                seen.add(True)
            except Refused:
                assert session.configuration == before
                seen.add(False)

    holds()
    assert seen == {True, False}


def test_the_traces_take_most_rows_of_the_store_logoff_machine() -> None:
    taken: set[str] = set()
    longest = 0

    @settings(QUICK, max_examples=300, derandomize=True)
    @given(events(LOGOFF, min_size=10, max_size=40))
    def walk(trace: list[str]) -> None:
        nonlocal longest
        session = StoreSession()
        for before, event in enumerate(trace):
            verdict = session.may(event)
            assert verdict.row is not None
            taken.add(verdict.row.id)
            if not session.complete:
                longest = max(longest, before + 1)
            session.fire(event)

    walk()
    assert longest >= 20, "a trace is not over before it has begun"
    assert len(taken) >= 60, sorted({row.id for row in LOGOFF.rows} - taken)


SIMPLEST = [
    ("a message is deferred", lambda s: s.deferred > 0, "submit,outbound_begin,outbound_deferred"),
    ("released, and mail stays behind", lambda s: s.complete and s.status & LogoffStatus.OUTBOUND_QUEUE, "submit,logoff_orderly"),
    ("draining under PURGE", lambda s: s.state == "draining" and s.request is Logoff.PURGE, "submit,logoff_purge"),
    ("two come in", lambda s: s.inbound == 2, "inbound_begin,inbound_begin"),
    ("anything", lambda s: True, ""),
]  # fmt: skip


@pytest.mark.parametrize(("what", "wanted", "simplest"), SIMPLEST, ids=[one[0] for one in SIMPLEST])
@pytest.mark.parametrize("legal", [True, False])
def test_a_trace_shrinks_to_the_shortest_one(what: str, wanted: object, simplest: str, legal: bool) -> None:
    found = find(events(LOGOFF, max_size=20, legal=legal), lambda trace: bool(wanted(_after(trace))), settings=SHRINK, random=Random(5))  # type: ignore[operator]
    assert len(found) == len([*filter(None, simplest.split(","))]), found
    assert wanted(_after(found))  # type: ignore[operator]
    assert wanted(run(simplest))  # type: ignore[operator]


def _after(trace: list[str]) -> StoreSession:
    session = StoreSession()
    for event in trace:
        if session.may(event):
            session.fire(event)
    return session


def test_a_trace_ends_where_nothing_is_accepted() -> None:
    final = {state for state in PLAIN.states if state.final}

    @QUICK
    @given(events(PLAIN, max_size=30))
    def holds(trace: list[str]) -> None:
        session = Session.of(PLAIN)()
        for event in trace:
            assert session.state not in final
            session.fire(event)

    holds()


def test_a_chart_where_hardly_anything_is_accepted_still_gives_long_traces() -> None:
    names = [f"s{n}" for n in range(120)]
    ring = Chart(
        "ring", states=names, events=[f"e{n}" for n in range(120)],
        rows=[row(f"r{n}", names[n], f"e{n}", target=names[(n + 1) % 120]) for n in range(120)],
    )  # fmt: skip
    lengths: list[int] = []

    @settings(QUICK, max_examples=100, derandomize=True)
    @given(events(ring, max_size=30))
    def holds(trace: list[str]) -> None:
        assert trace == [f"e{n}" for n in range(len(trace))]
        lengths.append(len(trace))

    holds()
    assert max(lengths) == 30


def test_a_trace_may_begin_elsewhere_and_a_wrong_beginning_is_an_error() -> None:
    @QUICK
    @given(events(LOGOFF, start={"ready": 2, "peers": 1}, min_size=1))
    def holds(trace: list[str]) -> None:
        session = StoreSession(ready=2, peers=1)
        for event in trace:
            session.fire(event)
        assert trace

    holds()
    with pytest.raises(ValueError, match="has no variable 'redy'"):
        events(LOGOFF, start={"redy": 2})


def test_a_guard_that_changes_its_mind_is_no_trouble() -> None:
    answers = [True, False, False]

    def fickle(session: object) -> bool:
        answers.append(answers.pop(0))
        return answers[-1]

    @QUICK
    @given(st.data())
    def holds(data: st.DataObject) -> None:
        answers[:] = [True, False, False]
        assert set(data.draw(events(opaque(fickle), max_size=9))) <= set(opaque(fickle).events)

    holds()


# -------------------------------------------------------------------------------------------------- data, and time

BALANCE, AMOUNT = Counter("balance"), Number("amount")
ACCOUNT = Chart(
    "account", states=["open", State("closed", final=True)], variables=[BALANCE],
    events=[
        Event("deposit", data=(AMOUNT, Field("note", str | None, default=None))), Event("withdraw", data=AMOUNT),
        Event("rate", data=(Field("percent", float), Field("fixed", bool), Field("code", int))), "close",
    ],
    rows=[
        row("in", "open", "deposit", guard=AMOUNT > 0, effects=[BALANCE.becomes(BALANCE + AMOUNT)]),
        row("out", "open", "withdraw", guard=(AMOUNT > 0) & (AMOUNT <= BALANCE), effects=[BALANCE.becomes(BALANCE - AMOUNT)]),
        row("rate", "open", "rate", guard=lambda session, fixed: not fixed),
        row("close", "open", "close", guard=BALANCE == 100, target="closed"),
    ],
    bounds={"amount": 5},
)


@settings(max_examples=cases(100))
@given(events(ACCOUNT, max_size=20))
def test_events_bring_data_with_which_they_are_accepted(trace: list[Call]) -> None:
    session = Session.of(ACCOUNT)()
    for step in trace:
        assert session.fire(step.event, **step.data)
    assert parse_trace(ACCOUNT, ",".join(trace)) == tuple(trace)


def test_refused_data_are_replaced_by_what_the_solver_finds() -> None:
    far = Chart(
        "far", states=["a", State("b", final=True)], variables=[Counter("n")],
        events=[Event("hit", data=AMOUNT), "more"],
        rows=[row("hit", "a", "hit", guard=Counter("n") + 1_000 == AMOUNT, target="b"),
              row("more", "a", "more", effects=[Counter("n").becomes(Counter("n") + 1)])],
    )
    trace = find(events(far), lambda trace: any(step.event == "hit" for step in trace), settings=SHRINK)
    assert [str(step) for step in trace] == ["hit(amount=1000)"]


def test_data_shrink_to_the_simplest() -> None:
    def rich(trace: list[Call]) -> bool:
        session = Session.of(ACCOUNT)()
        for step in trace:
            session.fire(step.event, **step.data)
        return session.configuration[1] > 6  # type: ignore[operator]

    found = find(events(ACCOUNT), rich, settings=SHRINK)
    assert {step.event for step in found} == {"deposit"}
    assert sum(step.data["amount"] for step in found) == 7  # type: ignore[misc]  # in how many deposits is Hypothesis's luck


def test_with_refusals_the_data_may_be_any_but_are_of_their_types() -> None:
    seen: set[bool] = set()

    @settings(QUICK, max_examples=cases(100))
    @given(events(ACCOUNT, legal=False))
    def holds(trace: list[Call]) -> None:
        session = Session.of(ACCOUNT)()
        for step in trace:
            before = session.configuration
            try:
                session.fire(step.event, **step.data)
                seen.add(True)
            except Refused:
                assert session.configuration == before
                seen.add(False)

    holds()
    assert seen == {True, False}


@settings(max_examples=cases(100), deadline=None)
@given(events(BELL, waits=True, max_size=15))
def test_a_trace_with_waits_is_legal_while_timers_fire_what_is_due(trace: list[Call | Wait]) -> None:
    clock = SimulatedClock()
    timers = Timers(clock)
    session = timers.attach(Bell())
    for step in trace:
        if isinstance(step, Wait):
            clock.advance(step)
        else:
            assert step.event not in session.due.values()
            session.fire(step.event, **step.data)


def test_waits_reach_what_only_time_brings() -> None:
    def missed(trace: list[Call | Wait]) -> bool:
        clock = SimulatedClock()
        session = Timers(clock).attach(Bell())
        for step in trace:
            clock.advance(step) if isinstance(step, Wait) else session.fire(step)
        return session.state == "missed"

    first, *waits = find(events(BELL, waits=True), missed, settings=SHRINK)
    assert (first, sum(float(one) for one in waits)) == ("push", 30)
    assert repr(Wait(30)) == "Wait(30)"


def test_a_chart_without_times_has_no_waits() -> None:
    @QUICK
    @given(events(PLAIN, waits=True))
    def holds(trace: list[Call | Wait]) -> None:
        assert not any(isinstance(step, Wait) for step in trace)

    holds()
