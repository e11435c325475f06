"""What must always hold of the store-logoff machine: over its whole graph within bounds, and by chance without bounds."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import (
    settings,
    strategies as st,
)
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bench.handwritten import HandWrittenSession, NotAllowed
from fsm.logoff import LOGOFF, Logoff, LogoffStatus, StoreSession
from tests.support import after, cases, configurations, small, walk

REQUESTS = ("logoff_quiet", "logoff_abort", "logoff_orderly", "logoff_no_wait", "logoff_purge", "release")
MAIL = tuple(str(e) for e in LOGOFF.events if e not in REQUESTS and not e.startswith("peer"))
DRAINS = {Logoff.ORDERLY, Logoff.NO_WAIT, Logoff.PURGE, Logoff.ABORT}


@pytest.mark.parametrize(
    ("bounds", "sizes"), [((1, 1, 0), (53, 407)), ((1, 1, 1), (106, 898)), ((2, 2, 1), (408, 4334)), ((5, 5, 1), (4662, 60478))]
)
def test_the_sizes_of_the_specification(bounds: tuple[int, int, int], sizes: tuple[int, int]) -> None:
    found, steps = walk(LOGOFF, StoreSession, small(*bounds))
    assert (len(found), steps) == sizes


@pytest.mark.parametrize("bounds", [(2, 2, 1), (1, 4, 0), (3, 1, 2)])
def test_the_table_is_what_a_person_writes_by_hand(bounds: tuple[int, int, int]) -> None:
    """The hand-written class of the benchmark was made from the specification; both agree on every event everywhere."""
    for here in configurations(*bounds):
        for event in LOGOFF.events:
            other = HandWrittenSession()
            other.state, other.request, other.inbound, other.outbound, other.ready, other.deferred, other.peers = here  # type: ignore[assignment]
            try:
                getattr(other, event)()
                there: Any = (other.state, other.request, other.inbound, other.outbound, other.ready, other.deferred, other.peers)
            except NotAllowed:
                there = None
            assert after(StoreSession, here, event) == there


def check_step(here: Any, event: str, there: Any) -> None:
    """Section 5 of the specification, for one accepted step."""
    state, _, inbound, outbound, ready, deferred, peers = here
    new_state, new_request, *counts, new_peers = there
    flags = StoreSession.unchecked(there).status
    assert (LogoffStatus.COMPLETE in flags) is (new_state == "released")
    if new_state == "released" and state != "released" and not peers:
        assert counts[0] == counts[1] == 0, "without peers nothing is in flight at release"
    handed_over = event in REQUESTS and peers and state != "released"
    before, now = inbound + outbound + ready + deferred, sum(counts)
    if handed_over:
        assert (now, new_peers, flags) == (0, peers, LogoffStatus.COMPLETE)
    elif event in ("submit", "inbound_begin"):
        assert now == before + 1
    elif event in ("outbound_sent", "outbound_failed", "inbound_received", "inbound_failed", "abort_submit", "abort_deferred"):
        assert now == before - 1
    else:
        assert now == before, "no event makes a message vanish"
    if state == "draining":
        assert new_state in ("draining", "released"), "a drain never goes back"
        if event in MAIL:
            assert 3 * counts[2] + 2 * (counts[0] + counts[1]) + counts[3] < 3 * ready + 2 * (inbound + outbound) + deferred
        if event == "logoff_quiet" and not peers:
            assert there == here, "a question, not a revocation"
    if state == "released":
        assert (event, there) == ("release", here)
    if new_state == "blocked":
        assert flags & ~LogoffStatus.COMPLETE, "blocked always has something in the way, and the output names it"
        assert new_request in (Logoff.QUIET, Logoff.ABORT)
        if event in REQUESTS:
            assert counts == [inbound, outbound, ready, deferred], "nothing changes for the transports"
    if new_state == "draining":
        assert new_request in DRAINS
        sending = new_request in (Logoff.NO_WAIT, Logoff.PURGE)
        assert counts[0] + counts[1] or (sending and counts[2]), "no drain is ever stuck"
    if new_state == "open":
        assert new_request is None


def test_every_property_over_the_whole_graph() -> None:
    for here in configurations(2, 3, 1):
        for event in LOGOFF.events:
            there = after(StoreSession, here, event)
            if there is not None:
                check_step(here, event, there)
            enabled = [r for r in LOGOFF.rows_for(str(here[0]), event) if r.guard.holds(LOGOFF.values(here))]
            assert len(enabled) == (there is not None)


def test_complete_can_be_reached_from_everywhere_and_every_drain_ends() -> None:
    for here in configurations(2, 3, 1):
        session = StoreSession.unchecked(here)
        for _ in range(20):
            if session.state in ("open", "blocked"):
                session.logoff(Logoff.NO_WAIT)
            elif session.state == "draining":
                session.fire(next(e for e in ("outbound_begin", "outbound_sent", "inbound_received") if session.may(e)))
        assert session.complete


class AnyCounts(RuleBasedStateMachine):
    """Any legal life with any counts; the closing half is certain, since random walks seldom close."""

    @initialize(ready=st.integers(0, 50), deferred=st.integers(0, 50), peers=st.integers(0, 2))
    def start(self, ready: int, deferred: int, peers: int) -> None:
        self.session = StoreSession(ready=ready, deferred=deferred, peers=peers)

    def step(self, event: str) -> None:
        here = self.session.configuration
        verdict = self.session.may(event)
        assert self.session.configuration == here
        there = after(StoreSession, here, event)
        assert verdict.accepted is (there is not None)
        if there is not None:
            check_step(here, event, there)
            self.session.fire(event)
            assert self.session.configuration == there

    @rule(event=st.sampled_from(MAIL), times=st.integers(1, 12))
    def mail(self, event: str, times: int) -> None:
        for _ in range(times):
            self.step(event)

    @rule(event=st.sampled_from(("peer_opened", "peer_closed", "peer_closed")))
    def company(self, event: str) -> None:
        self.step(event)

    @rule(event=st.sampled_from(REQUESTS))
    @precondition(lambda self: self.session.inbound + self.session.outbound)
    def ask(self, event: str) -> None:
        self.step(event)

    @invariant()
    def is_where_it_promised(self) -> None:
        if hasattr(self, "session"):
            assert LOGOFF.complaint(self.session.configuration) is None

    def teardown(self) -> None:
        """However it stands, closing it takes as many steps as the specification's measure says, and no more."""
        if not hasattr(self, "session"):
            return
        if self.session.state in ("open", "blocked"):
            self.step("logoff_no_wait")
        left = 3 * self.session.ready + 2 * (self.session.inbound + self.session.outbound) + self.session.deferred
        while not self.session.complete:
            self.step(next(e for e in ("outbound_begin", "outbound_deferred", "inbound_failed") if self.session.may(e)))
            now = 3 * self.session.ready + 2 * (self.session.inbound + self.session.outbound) + self.session.deferred
            assert now < left
            left = now


AnyCounts.TestCase.settings = settings(max_examples=cases(120), stateful_step_count=40)
test_any_life_with_any_counts = AnyCounts.TestCase
