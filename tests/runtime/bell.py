"""A bell with times: it rings, warns, gives up; what the tests of timers share."""

from __future__ import annotations

from typing import Final

from fsm import Chart, Counter, Session, State, Step, row

RINGS, WARNED = Counter("rings"), Counter("warned")
BELL: Final = Chart(
    "bell",
    states=[
        "silent", State("ringing", after={10: "warn", 30: "timeout"}), State("missed", after={5: "reset", 2.5: "blink"}),
        State("broken", final=True),
    ],
    events=["push", "again", "answer", "warn", "timeout", "reset", "blink", "smash"],
    variables=[RINGS, WARNED],
    rows=[
        row("push", "silent", "push", effects=[RINGS.becomes(RINGS + 1)], target="ringing"),
        row("stay", "ringing", "push", effects=[RINGS.becomes(RINGS + 1)]),
        row("again", "ringing", "again", reenter=True),
        row("answer", "ringing", "answer", target="silent"),
        row("warn", "ringing", "warn", effects=[WARNED.becomes(WARNED + 1)]),
        row("timeout", "ringing", "timeout", target="missed"),
        row("reset", "missed", "reset", target="silent"),
        row("blink", "missed", "blink", guard=RINGS < 3),
        row("smash", ("silent", "ringing", "missed"), "smash", target="broken"),
    ],
)
Bell = Session.of(BELL, "Bell")
GuardedBell = type("GuardedBell", (Bell,), {"__slots__": ()}, guarded=True)


class Log:
    """The steps, each as its event and the state after it."""

    def __init__(self) -> None:
        self.steps: list[str] = []

    def on_transition(self, step: Step) -> None:
        self.steps.append(f"{step.event}:{step.target}")
