"""Plans: how to close a store, as steps that share one time budget.

    NO_WAIT 20s -> ORDERLY 5s -> cancel 3s

Theory.
1. A step asks for a flag and waits so many seconds for the release.  A step that is over before its time ends the
   plan, since the store is released then.  So the plan never takes longer than the sum of its steps, its budget.
2. `cancel` asks for ORDERLY, so that nothing new begins, and stops every item that is still in flight.  Stopping
   messages is a separate act (CANCEL_MESSAGE); no flag does it.
3. `notice` comes first, if at all: readiness flips, and nothing is refused yet.
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
    """A step: a flag to ask for, "notice" or "cancel", and the seconds it may take."""

    act: Logoff | Literal["notice", "cancel"]
    seconds: float

    def __str__(self) -> str:
        name = self.act.name if isinstance(self.act, Logoff) else self.act
        return f"{name} {self.seconds:g}s"


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in order.  Raise ValueError, in one sentence, for a plan that makes no sense."""

    steps: tuple[PlanStep, ...]

    def __post_init__(self) -> None:
        acts = [step.act for step in self.steps]
        if not any(act != "notice" for act in acts):
            raise ValueError("a plan needs a step that closes, for example: NO_WAIT 20s -> ORDERLY 5s -> cancel 3s")
        for position, step in enumerate(self.steps):
            if not (math.isfinite(step.seconds) and step.seconds >= 0):
                raise ValueError(f"the step {step} cannot take {step.seconds} seconds")
            if step.act == "notice" and position:
                raise ValueError("notice comes first in a plan, or not at all")
            if step.act == "cancel" and position != len(acts) - 1:
                raise ValueError(
                    "cancel comes last in a plan: after it nothing is in flight that a flag could wait for"
                )

    @property
    def budget(self) -> float:
        """The longest time the plan can take, in seconds."""
        return sum(step.seconds for step in self.steps)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a plan: steps `FLAG SECONDS` (also 500ms, 2m) between arrows.  Raise ValueError, in one sentence."""
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
"""28 seconds: two less than the 30 after which Kubernetes, gunicorn and others kill."""
