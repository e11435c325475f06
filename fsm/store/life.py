"""The life of one message, as a chart: the states are what a storage keeps, and the rows are the changes it may make.

Theory.
1. A message is ready, claimed, deferred, held, failed or uncertain; or it is gone: sent, reported or withdrawn.
2. Only one process at a time has a message claimed, and only it says how that ended.  If it dies, or gives the store up
   before, the claim lapses and the message is uncertain: perhaps it has arrived.
3. The next process that looks decides by the policy of its store: an uncertain message is sent again or held.
4. While a message is claimed, nobody can withdraw it; in every other state anybody can.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from fsm.chart import Chart, Event, State, row

__all__ = ["CLAIMED", "DEFERRED", "FAILED", "GONE", "HELD", "LIFE", "READY", "UNCERTAIN", "sources", "target"]

READY: Final = State("ready", "in the queue, and can be sent now")
CLAIMED: Final = State("claimed", "a process is sending it")
DEFERRED: Final = State("deferred", "in the queue, and is tried again when it is due")
HELD: Final = State("held", "it may have arrived, or a person wants it to wait; a person decides")
FAILED: Final = State("failed", "it failed for good, and its sender does not know; a person decides")
UNCERTAIN: Final = State("uncertain", "its process stopped while it was sent; the policy of the store decides")
GONE: Final = State("gone", "it was sent, reported or withdrawn", final=True)

LIFE: Final = Chart(
    "message-life",
    doc="the life of a message in the queue of a store",
    states=(READY, CLAIMED, DEFERRED, HELD, FAILED, UNCERTAIN, GONE),
    events=(
        Event("claim", "a process takes it to send it"),
        Event("send", "it was sent, or it failed and its sender was told"),
        Event("defer", "it could not be sent now"),
        Event("fail", "it failed for good, and its sender was not told"),
        Event("hold", "it may have arrived, and the policy is to hold it"),
        Event("lapse", "its process died, or gave the store up"),
        Event("resend", "the policy is to send it again"),
        Event("fall_due", "its time has come, or the queue is flushed"),
        Event("set_aside", "a person wants it to wait"),
        Event("resume", "a person wants it to be sent"),
        Event("withdraw", "somebody takes it back"),
    ),
    rows=(
        row("ready.claim", READY, "claim", target=CLAIMED, why="the oldest message is sent first"),
        row("claimed.send", CLAIMED, "send", target=GONE, why="nothing has to be kept"),
        row("claimed.defer", CLAIMED, "defer", target=DEFERRED, why="it is tried again later"),
        row("claimed.fail", CLAIMED, "fail", target=FAILED, why="its sender still has to be told"),
        row("claimed.hold", CLAIMED, "hold", target=HELD, why="sending it again could send it twice"),
        row("claimed.lapse", CLAIMED, "lapse", target=UNCERTAIN, why="nobody knows whether it arrived"),
        row("uncertain.resend", UNCERTAIN, "resend", target=READY, why="better twice than never"),
        row("uncertain.hold", UNCERTAIN, "hold", target=HELD, why="better late than twice"),
        row("deferred.fall_due", DEFERRED, "fall_due", target=READY, why="it may be tried again"),
        *(
            row(f"{state}.set_aside", state, "set_aside", target=HELD, why="nobody is sending it")
            for state in (READY, DEFERRED)
        ),
        *(
            row(f"{state}.resume", state, "resume", target=READY, why="a person has decided")
            for state in (HELD, FAILED)
        ),
        *(
            row(f"{state}.withdraw", state, "withdraw", target=GONE, why="nobody is sending it")
            for state in (READY, DEFERRED, HELD, FAILED, UNCERTAIN)
        ),
    ),
)
"""The chart of a message's life."""


@cache
def sources(event: str) -> tuple[str, ...]:
    """Return the states in which this event may happen to a message."""
    return tuple(str(one.source) for one in LIFE.rows if one.event == event)


@cache
def target(event: str, source: str | None = None) -> str:
    """Return the state after this event, in this state (which may be left out if all lead to the same)."""
    (found,) = {str(one.target) for one in LIFE.rows if one.event == event and source in (None, one.source)}
    return found
