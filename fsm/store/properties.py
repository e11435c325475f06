"""What must hold of a message's life, for `fsm check --chart fsm.store.properties:LIFE`."""

from __future__ import annotations

from typing import Final

from fsm.analysis.properties import EachConfiguration, EachStep, Property, Situation, StepView
from fsm.store.life import CLAIMED, GONE, LIFE, UNCERTAIN

__all__ = ["LIFE", "PROPERTIES"]


def _sent_unclaimed(step: StepView) -> str | None:
    unclaimed = step.event == "send" and step.before.state != CLAIMED.name
    return f"it is sent while it is {step.before.state}" if unclaimed else None


def _taken_back(now: Situation) -> str | None:
    may, claimed = "withdraw" in now.legal, now.state == CLAIMED.name
    return None if now.state == GONE.name or may != claimed else f"withdrawn while {now.state}: {may}"


def _forgotten(step: StepView) -> str | None:
    lost = step.after.state == GONE.name and step.event not in ("send", "withdraw")
    return f"{step.event} ends its life" if lost else None


def _undecided(now: Situation) -> str | None:
    uncertain = now.state == UNCERTAIN.name and not {"resend", "hold"} <= {*now.legal}
    return "no policy can decide about it" if uncertain else None


PROPERTIES: Final[tuple[Property, ...]] = (
    EachStep("a message is sent only by the process that has claimed it", _sent_unclaimed),
    EachConfiguration("a message can be withdrawn in every state but while somebody is sending it", _taken_back),
    EachStep("no message goes but by being sent, or reported, or withdrawn", _forgotten),
    EachConfiguration("whatever the policy, an uncertain message is decided about", _undecided),
)
