"""The properties of the store-logoff machine (section 5 of `spec.md`), as data for `fsm check`.

`BOUNDS` are the default bounds of `fsm check` and `fsm paths` for this chart: with one message coming in, two being
sent or queued and one peer, every row is taken and every elementary path has a witness.
"""

from __future__ import annotations

from typing import Final

from fsm.analysis.properties import Always, Changes, EachConfiguration, EachStep, Falls, Property, Situation, StepView
from fsm.logoff.chart import (
    ABORT,
    BLOCKED,
    DRAINING,
    ENDINGS,
    FLAGS,
    IN_FLIGHT,
    IN_THE_WAY,
    NO_WAIT,
    ORDERLY,
    PEERS,
    PURGE,
    QUIET,
    READY,
    RELEASED,
    REQUEST,
)
from fsm.logoff.flags import LogoffStatus

__all__ = ["BOUNDS", "PROPERTIES"]

BOUNDS: Final = ("INBOUND <= 1", "OUTBOUND + READY + DEFERRED <= 2", "PEERS <= 1")

COMPLETE, SOMETHING = int(LogoffStatus.COMPLETE), int(
    LogoffStatus.INBOUND | LogoffStatus.OUTBOUND | LogoffStatus.OUTBOUND_QUEUE
)
MAIL: Final = {"inbound": 1, "outbound": 1, "ready": 1, "deferred": 1}
WORK: Final = {"ready": 3, "inbound": 2, "outbound": 2, "deferred": 1}
"""What a drain has to do: a ready message is begun, sent or put aside, and in the end withdrawn or left."""
TRANSPORT: Final = (
    "submit", "abort_submit", "abort_deferred", "deferred_due", "outbound_begin", "inbound_begin", *ENDINGS,
)
GONE: Final = {
    event: -1 for event in ("abort_submit", "abort_deferred", *ENDINGS) if event != "outbound_deferred"
}


def _complete(here: Situation) -> str | None:
    released, complete = here.state == RELEASED, bool(here.flags & COMPLETE)
    return None if released is complete else f"released is {released}, and COMPLETE is {complete}"


def _named(here: Situation) -> str | None:
    if here.state != BLOCKED or here.flags & SOMETHING:
        return None
    return "blocked, and the output names no activity"


def _idle_at_release(step: StepView) -> str | None:
    if step.before.state == RELEASED or step.after.state != RELEASED or step.before.values["peers"]:
        return None
    left = {name: step.after.values[name] for name in ("inbound", "outbound") if step.after.values[name]}
    return f"released without peers, with {left} in flight" if left else None


def _handed_over(step: StepView) -> str | None:
    if step.event not in FLAGS or not step.before.values["peers"] or step.before.state == RELEASED:
        return None
    left = {name: step.after.values[name] for name in MAIL if step.after.values[name]}
    if step.after.state != RELEASED or step.after.flags != COMPLETE or left:
        return f"with peers it is not granted as exactly COMPLETE: {step.after.state} with {left}"
    return None


def _no_way_back(step: StepView) -> str | None:
    if step.before.state != DRAINING or step.after.state in (DRAINING, RELEASED):
        return None
    return f"a drain went back to {step.after.state}"


PROPERTIES: Final[tuple[Property, ...]] = (
    EachConfiguration("the store is released exactly when the output says COMPLETE (1)", _complete),
    EachStep("without peers nothing is in flight at release (1)", _idle_at_release),
    Changes("no event makes a message vanish: each is in exactly one count, or ended by the event that says so (1)",
            MAIL, {"submit": 1, "inbound_begin": 1, **GONE}, events=(*TRANSPORT, "peer_opened", "peer_closed")),
    Changes("without peers no request makes a message vanish (1)", MAIL, events=tuple(FLAGS), when=PEERS == 0),
    EachStep("with peers every request is granted at once, the mail is handed over, and the output is COMPLETE (1)",
             _handed_over),
    Falls("during a drain every legal transport event lowers 3 * ready + 2 * in flight + deferred (3)",
          WORK, states=(DRAINING,), events=TRANSPORT),
    Changes("during a drain no request without peers adds to it, PURGE apart (3)", WORK, states=(DRAINING,),
            events=tuple(event for event, flag in FLAGS.items() if flag is not PURGE), when=PEERS == 0),
    Always("no drain is stuck: something is in flight, or ready and free to be started (3)",
           (IN_FLIGHT > 0) | ((READY > 0) & REQUEST.among(NO_WAIT, PURGE)), states=(DRAINING,)),
    EachStep("a drain never goes back (3)", _no_way_back),
    Always("blocked always has something in the way of what was asked (4)",
           ((REQUEST == QUIET) & (IN_THE_WAY > 0)) | ((REQUEST == ABORT) & (IN_FLIGHT > 0)), states=(BLOCKED,)),
    EachConfiguration("while blocked the output names what is in the way (4)", _named),
    Always("a drain is ORDERLY, ABORT, NO_WAIT or PURGE", REQUEST.among(ORDERLY, ABORT, NO_WAIT, PURGE),
           states=(DRAINING,)),
)
"""The properties; the number at the end of a sentence is that of section 5."""
