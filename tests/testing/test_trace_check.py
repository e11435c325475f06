"""A trace walked through the chart: legal ones have nothing wrong, and everything wrong is told."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from fsm.analysis.properties import Always, Changes, EachConfiguration, EachStep, Falls, Property
from fsm.chart import Configuration
from fsm.condition import condition
from fsm.logoff import LOGOFF, StoreSession
from fsm.logoff.chart import INBOUND
from fsm.logoff.properties import PROPERTIES
from fsm.testing.strategies import events
from fsm.testing.trace_check import trace_problems


def walked(trace: str) -> tuple[Configuration, list[tuple[str, Configuration]]]:
    session = StoreSession()
    start, steps = session.configuration, []
    for event in trace.split(","):
        session.fire(event)
        steps.append((event, session.configuration))
    return start, steps


def test_a_trace_that_is_legal_has_nothing_wrong() -> None:
    @settings(max_examples=150)
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
