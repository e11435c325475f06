"""A verdict says what an event would do and why not; asking changes nothing."""

from __future__ import annotations

import pickle

import pytest

from fsm import Refused, UnknownEvent, Verdict
from fsm.logoff import LOGOFF, StoreSession
from tests.support import after, configurations, run

CASES = [
    ("", "submit", "accepted", None, "open"),
    ("submit", "logoff_purge", "accepted", None, "draining"),
    ("", "outbound_begin", "refused", "needs ready > 0; ready is 0", None),
    ("submit,outbound_begin,logoff_orderly", "inbound_begin", "illegal", "not legal in draining", None),
    ("submit,outbound_begin,submit,logoff_orderly", "outbound_begin", "refused",
     "needs request in (NO_WAIT, PURGE); request is ORDERLY", None),
    ("submit,outbound_begin,logoff_orderly", "outbound_begin", "refused",
     "needs ready > 0 and request in (NO_WAIT, PURGE); request is ORDERLY, ready is 0", None),
    ("submit,outbound_begin,logoff_orderly", "inbound_received", "refused", "needs inbound > 0; inbound is 0", None),
    ("logoff_quiet", "submit", "finished", "released is final", None),
    ("logoff_quiet", "release", "accepted", None, "released"),
]  # fmt: skip


@pytest.mark.parametrize(("trace", "event", "kind", "reason", "target"), CASES)
def test_the_four_answers(trace: str, event: str, kind: str, reason: str | None, target: str | None) -> None:
    session = run(trace)
    before = session.configuration
    verdict = session.may(event)
    assert (verdict.kind, verdict.reason, verdict.target) == (kind, reason, target)
    assert verdict.accepted is bool(verdict) is (kind == "accepted")
    assert (verdict.event, verdict.state, verdict.configuration) == (event, session.state, before)
    assert session.configuration == before
    assert session.verdicts()[event] == verdict


def test_verdicts_tell_the_truth_everywhere() -> None:
    """Every configuration, every event: the verdict is what the trigger does, and each unmet condition is false."""
    for here in configurations():
        session = StoreSession.unchecked(here)
        values = LOGOFF.values(here)
        legal = []
        for event, verdict in session.verdicts().items():
            there = after(StoreSession, here, event)
            assert verdict.accepted is (there is not None)
            if there is not None:
                assert verdict.row is not None
                assert verdict.target == there[0]
                assert verdict.row.guard.holds(values)
                legal.append(event)
            else:
                assert verdict.reason
                assert not any(part.holds(values) for part in verdict.unmet)
                assert bool(verdict.unmet) is (verdict.kind == "refused")
        assert session.may("submit").legal == tuple(legal)
        assert session.configuration == here


def test_a_verdict_stays_true_of_its_moment() -> None:
    session = StoreSession()
    with pytest.raises(Refused) as caught:
        session.outbound_begin()
    session.submit()
    assert str(caught.value).startswith("cannot outbound_begin while open: needs ready > 0; ready is 0 (legal now: logoff_")
    assert "outbound_begin" not in caught.value.verdict.legal


def test_nothing_in_common_is_told_as_alternatives() -> None:
    from fsm.chart import Chart, State, row
    from fsm.session import Session
    from fsm.variable import Counter

    n, m = Counter("n"), Counter("m")
    chart = Chart("c", states=["a", State("z", final=True)], events=["go"], variables=[n, m], rows=[
        row("one", "a", "go", guard=(n == 1) & (m == 0), target="z"), row("two", "a", "go", guard=(n == 2) & (m > 0)),
    ])  # fmt: skip
    verdict = Session.of(chart)().may("go")
    assert verdict.reason == "needs (n == 1 or (n == 2 and m > 0)); n is 0, m is 0"


def test_verdicts_and_refusals_are_values() -> None:
    session = StoreSession()
    verdict = session.may("peer_closed")
    assert verdict == session.may("peer_closed")
    assert hash(verdict) == hash(session.may("peer_closed"))
    assert verdict != session.may("submit")
    assert verdict != "peer_closed"
    assert repr(verdict) == "<Verdict peer_closed: refused, needs peers > 0; peers is 0>"
    again = pickle.loads(pickle.dumps(verdict))
    assert isinstance(again, Verdict)
    assert (again, again.reason) == (verdict, verdict.reason)
    refusal = pickle.loads(pickle.dumps(Refused(verdict)))
    assert str(refusal) == str(Refused(verdict))


@pytest.mark.parametrize(("name", "hint"), [("submitt", "did you mean submit?"), ("zzz", "it has logoff_quiet, ")])
def test_an_unknown_event_is_an_error_and_not_an_answer(name: str, hint: str) -> None:
    with pytest.raises(UnknownEvent) as caught:
        StoreSession().may(name)
    assert str(caught.value).startswith(f"store-logoff has no event {name!r}; {hint}")
    assert (caught.value.chart, caught.value.event, caught.value.events) == (LOGOFF.name, name, LOGOFF.events)
