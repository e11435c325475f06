"""A trace walked through the chart: legal ones have nothing wrong, and everything wrong is told."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from fsm.analysis.properties import Always, Changes, EachConfiguration, EachStep, Falls, Property
from fsm.analysis.trace import Call
from fsm.chart import Configuration
from fsm.condition import condition
from fsm.logoff import LOGOFF, StoreSession
from fsm.logoff.chart import INBOUND
from fsm.logoff.properties import PROPERTIES
from fsm.runtime import Timers
from fsm.session import Session, Step
from fsm.testing.clock import SimulatedClock
from fsm.testing.strategies import Wait, events
from fsm.testing.trace_check import time_problems, trace_problems
from fsm.verdict import Refused
from tests.runtime.bell import BELL, Bell
from tests.support import cases
from tests.testing.test_strategies import ACCOUNT


def walked(trace: str) -> tuple[Configuration, list[tuple[str, Configuration]]]:
    session = StoreSession()
    start, steps = session.configuration, []
    for event in trace.split(","):
        session.fire(event)
        steps.append((event, session.configuration))
    return start, steps


def test_a_trace_that_is_legal_has_nothing_wrong() -> None:
    @settings(max_examples=cases(150))
    @given(events(LOGOFF, max_size=25))
    def holds(trace: list[str]) -> None:
        if trace:
            assert [*trace_problems(LOGOFF, PROPERTIES, *walked(",".join(trace)))] == []

    holds()


def test_a_trace_that_is_illegal_or_leads_elsewhere_is_told() -> None:
    start, steps = walked("submit,outbound_begin,logoff_orderly,outbound_sent")
    assert [*trace_problems(LOGOFF, PROPERTIES, start, steps)] == []
    [illegal] = trace_problems(LOGOFF, PROPERTIES, start, [steps[0], steps[3]])
    assert illegal == "outbound_sent is not legal in open, ready 1"
    [elsewhere] = trace_problems(LOGOFF, PROPERTIES, start, [steps[0], (steps[1][0], steps[0][1])])
    assert elsewhere == "outbound_begin leads to open, outbound 1, not to open, ready 1"


BROKEN: list[tuple[Property, str]] = [
    (Always("it is never draining", condition(INBOUND > 5), states=("draining",)), "it is never draining: it does not hold that inbound > 5"),
    (Falls("every step lowers ready", {"ready": 1}, events=("submit",)), "every step lowers ready: submit changes the sum from 0 to 1"),
    (Changes("sending changes nothing", {"outbound": 1}), "sending changes nothing: outbound_begin changes the sum from 0 to 1"),
    (EachConfiguration("no place is good", lambda place: "bad" if place.state == "released" else None), "no place is good: bad"),
    (EachStep("no logoff", lambda step: "asked" if step.event == "logoff_orderly" else None), "no logoff: asked"),
]  # fmt: skip


@pytest.mark.parametrize(("broken", "told"), BROKEN, ids=lambda one: getattr(one, "sentence", ""))
def test_a_property_that_does_not_hold_is_told(broken: Property, told: str) -> None:
    assert told in [*trace_problems(LOGOFF, [broken], *walked("submit,outbound_begin,logoff_orderly,outbound_sent"))]


def test_a_trace_may_have_data() -> None:
    session = Session.of(ACCOUNT)()
    start, steps = session.configuration, []
    for event, amount in (("deposit", 5), ("withdraw", 2)):
        session.fire(event, amount=amount)
        steps.append((f"{event}(amount={amount})", session.configuration))
    assert [*trace_problems(ACCOUNT, (), start, steps)] == []
    [illegal] = trace_problems(ACCOUNT, (), start, [("withdraw(amount=1)", start)])
    assert illegal == "withdraw(amount=1) is not legal in open"
    [lacking] = trace_problems(ACCOUNT, (), start, [("withdraw", start)])
    assert "needs amount" in lacking
    [unknown] = trace_problems(ACCOUNT, (), start, [("nope", start)])
    assert "account has no event 'nope'" in unknown


@settings(max_examples=cases(100), deadline=None)
@given(events(BELL, waits=True, max_size=15))
def test_what_timers_do_keeps_the_times(trace: list[Call | Wait]) -> None:
    clock, session = SimulatedClock(), Bell()
    start, moments = session.configuration, list[tuple[float, str]]()

    class Moments:
        def on_step(self, step: Step) -> None:
            moments.append((clock.monotonic(), step.event))

        def on_refused(self, refused: Refused) -> None:
            moments.append((clock.monotonic(), refused.verdict.event))

    session.listen(Moments())
    Timers(clock).attach(session)
    for one in trace:
        clock.advance(one) if isinstance(one, Wait) else session.fire(one)
    assert [*time_problems(BELL, start, moments, tolerance=1e-5)] == []


RINGING = [(0.0, "push"), (10.0, "warn"), (30.0, "timeout"), (32.5, "blink"), (35.0, "reset")]
TIMES = [
    (RINGING, []),
    ([(1.0, "push"), (11.0, "warn"), (31.0, "timeout")], []),
    ([(0.0, "push"), (9.0, "warn")], ["warn comes 9 s after entering ringing, and is due after 10 s"]),
    ([(0.0, "push"), (13.0, "warn")], ["warn comes 13 s after entering ringing, and is due after 10 s"]),
    ([(0.0, "push"), (10.4, "warn"), (29.5, "timeout")], []),
    ([(0.0, "push"), (15.0, "push")], ["warn was due 10 s after entering ringing, and has not come when push does after 15 s"]),
    ([(0.0, "push"), (30.0, "timeout")], ["warn was due 10 s after entering ringing, and has not come when timeout does after 30 s"]),
    ([(0.0, "push"), (8.0, "again"), (18.0, "warn")], []),
    ([(0.0, "push"), (8.0, "answer"), (50.0, "push")], []),
    ([(5.0, "push"), (4.0, "answer")], ["answer comes at 4 s, before what was at 5 s"]),
    ([(0.0, "push"), (float("nan"), "warn")], ["warn comes at nan s, before what was at 0 s"]),
    ([(0.0, "nope")], ["bell has no event 'nope'; it has push, again, answer, warn, timeout, reset, blink, smash"]),
]


@pytest.mark.parametrize(("trace", "told"), TIMES)
def test_what_comes_early_late_or_never_is_told(trace: list[tuple[float, str]], told: list[str]) -> None:
    assert [*time_problems(BELL, BELL.start(), trace, tolerance=0.5)] == told
