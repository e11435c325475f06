"""Outcomes and progress in words: one sentence that names what is left, what is uncertain and what is in the way."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fsm.logoff import Logoff, LogoffStatus
from fsm.store.in_flight import Blocker
from fsm.store.message import Message
from fsm.store.outcome import NotReleased, Outcome, Progress

DONE = Outcome(True, "released", Logoff.ORDERLY, LogoffStatus.COMPLETE, 0, (), (), (), ("ORDERLY 5s: released after 1.2 s",), 1.23)
STUCK = Blocker("outbound", "m17", "", "smtp:mx1", 12.44, 3.2, "DATA")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, "released on ORDERLY (COMPLETE) after 1.2 s; nothing is in flight"),
        ({"steps": ()}, "released on ORDERLY (COMPLETE); nothing is in flight"),
        ({"queued": 1}, "released on ORDERLY (COMPLETE) after 1.2 s; 1 message in the queue; nothing is in flight"),
        ({"queued": 2300, "to_peers": True}, "released on ORDERLY (COMPLETE) after 1.2 s; the rest is the work of the other processes that have the store open; nothing is in flight"),
        ({"uncertain": (Message("m1", b""), Message("m2", b""))}, "released on ORDERLY (COMPLETE) after 1.2 s; 2 messages may have arrived or not: m1, m2; nothing is in flight"),
        ({"uncertain": tuple(Message(f"m{n}", b"") for n in range(7))}, "released on ORDERLY (COMPLETE) after 1.2 s; 7 messages may have arrived or not: m0, m1, m2, m3, m4 and 2 more; nothing is in flight"),
        ({"held": 2}, "released on ORDERLY (COMPLETE) after 1.2 s; 2 messages held until someone decides; nothing is in flight"),
        (
            {"released": False, "state": "draining", "status": LogoffStatus.OUTBOUND, "blockers": (STUCK,)},
            "not released, draining on ORDERLY (OUTBOUND) after 1.2 s; in the way: outbound m17 to smtp:mx1, 12.4 s, DATA for 3.2 s",
        ),
        ({"released": False, "state": "open", "request": None, "status": LogoffStatus(0), "steps": ()}, "not released, open (nothing to say); nothing is in flight"),
        ({"blockers": (STUCK,) * 7}, f"released on ORDERLY (COMPLETE) after 1.2 s; in the way: {'; '.join([str(STUCK)] * 5)}; and 2 more"),
    ],
)  # fmt: skip
def test_an_outcome_is_one_sentence(changes: dict[str, Any], says: str) -> None:
    assert str(replace(DONE, **changes)) == says


@pytest.mark.parametrize(
    ("changes", "good"),
    [({}, True), ({"released": False}, False), ({"blockers": (STUCK,)}, False), ({"queued": 3}, True), ({"to_peers": True}, True)],
)
def test_an_outcome_is_true_when_the_program_may_end(changes: dict[str, Any], good: bool) -> None:
    outcome = replace(DONE, **changes)
    assert bool(outcome) is good
    if good:
        assert outcome.raise_unless_released() is outcome
    else:
        with pytest.raises(NotReleased) as caught:
            outcome.raise_unless_released()
        assert caught.value.outcome is outcome
        assert str(caught.value) == str(outcome)


@pytest.mark.parametrize(
    ("blocker", "says"),
    [
        (STUCK, "outbound m17 to smtp:mx1, 12.4 s, DATA for 3.2 s"),
        (Blocker("inbound", "in-1", "10.0.0.7:2525", "", 0.0, 0.0, ""), "inbound in-1 from 10.0.0.7:2525, 0.0 s"),
        (Blocker("inbound", "in-2", "", "", 1.0, 0.5, "storing"), "inbound in-2, 1.0 s, storing for 0.5 s"),
    ],
)
def test_a_blocker_is_named(blocker: Blocker, says: str) -> None:
    assert str(blocker) == says


@pytest.mark.parametrize(
    ("message", "says"),
    [
        (Message("m1", b""), "m1 (ready)"),
        (Message("m1", b"", "a", ("b@c", "d@e"), state="deferred", reason="451 later"), "m1 to b@c, d@e (deferred: 451 later)"),
    ],
)
def test_a_message_is_named(message: Message, says: str) -> None:
    assert str(message) == says


def test_progress_in_words() -> None:
    at_rest = Progress("open", None, LogoffStatus(0), 1, 2, 3, 4, 0, 0, None, None, None, (), {"sent": 5})
    assert str(at_rest) == "open: in 1, out 2, ready 3, deferred 4, sent 5"
    closing = replace(at_rest, state="draining", step="NO_WAIT 20s", next_step="ORDERLY 5s", time_left=12.4)
    assert str(closing) == "draining: in 1, out 2, ready 3, deferred 4, sent 5, 12 s left of NO_WAIT 20s, then ORDERLY 5s"
