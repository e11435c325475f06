"""Plans: how a store is to be closed, as steps that share one time budget.

    NO_WAIT 20s -> ORDERLY 5s -> cancel 3s

Theory.
1. A step asks for a flag and gives it so many seconds; a step that is over before its time passes the rest on to
   nobody: the store is released then.  So the whole plan never takes longer than the sum, which is its budget.
2. `cancel` asks for ORDERLY, so that nothing new begins, and stops each item that is still in flight, each with a
   reason. Stopping messages is a separate act (CANCEL_MESSAGE); no flag does it.
3. `notice` comes first, if at all: readiness flips, nothing is refused yet.

This file knows no clock.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final, Literal, Self

from fsm.logoff.flags import Logoff

__all__ = ["DEFAULT", "Plan", "PlanStep"]

_STEP: Final = re.compile(r"\s*([A-Za-z_]+)\s+([0-9]+(?:\.[0-9]+)?)\s*(ms|s|m)?\s*")
_ACTS: Final[dict[str, Logoff | Literal["notice", "cancel"]]] = {
    **Logoff.__members__,
    "NOTICE": "notice",
    "CANCEL": "cancel",
}
_UNIT: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, None: 1.0}


@dataclass(frozen=True, slots=True)
class PlanStep:
    """A step: a flag to ask for, "notice" or "cancel", and its seconds."""

    act: Logoff | Literal["notice", "cancel"]
    seconds: float

    def __str__(self) -> str:
        name = self.act.name if isinstance(self.act, Logoff) else self.act
        return f"{name} {self.seconds:g}s"


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in order.  ValueError, one sentence, for a plan that cannot be meant."""

    steps: tuple[PlanStep, ...]

    def __post_init__(self) -> None:
        acts = [step.act for step in self.steps]
        if not any(act != "notice" for act in acts):
            raise ValueError("a plan needs a step that closes, for example: NO_WAIT 20s -> ORDERLY 5s -> cancel 3s")
        for place, step in enumerate(self.steps):
            if not (math.isfinite(step.seconds) and step.seconds >= 0):
                raise ValueError(f"the step {step} cannot take {step.seconds} seconds")
            if step.act == "notice" and place:
                raise ValueError("notice comes first in a plan, or not at all")
            if step.act == "cancel" and place != len(acts) - 1:
                raise ValueError(
                    "cancel comes last in a plan: after it nothing is in flight that a flag could wait for"
                )

    @property
    def budget(self) -> float:
        """Seconds that the whole plan can take."""
        return sum(step.seconds for step in self.steps)

    @classmethod
    def parse(cls, text: str) -> Self:
        """A plan as it is written: steps `FLAG SECONDS` (also 500ms, 2m) between arrows.  ValueError, one sentence."""
        steps = []
        for part in re.split(r"->|→|,", text):
            found = _STEP.fullmatch(part)
            name = found[1].upper() if found else ""
            if found is None or name not in _ACTS:
                acts = ", ".join([*Logoff.__members__, "cancel", "notice"])
                raise ValueError(
                    f"{part.strip()!r} is no step of a plan; a step is like NO_WAIT 20s, with one of {acts}"
                )
            steps.append(PlanStep(_ACTS[name], float(found[2]) * _UNIT[found[3]]))
        return cls(tuple(steps))

    def __str__(self) -> str:
        return " -> ".join(map(str, self.steps))


DEFAULT: Final = Plan.parse("NO_WAIT 20s -> ORDERLY 5s -> cancel 3s")
"""28 seconds: two less than the 30 that Kubernetes, gunicorn and others give before they kill."""
