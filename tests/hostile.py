"""Charts with names and guards that are asking for trouble."""

from __future__ import annotations

from fsm import Chart, Counter, State, row

END = State("end", final=True)


def failing(session: object) -> bool:
    return bool(1 // 0)


FAILING = Chart("failing", states=["a", END], events=["go"], rows=[row("go", "a", "go", guard=failing, target="end")])

NAMES = ["state", "post", "may", "fire", "_begin", "__init__", "__class__", "configuration", "get_flags", "snapshot"]
TAKEN = Chart("taken", states=["a", END], events=[*NAMES, "go"], variables=[Counter("configuration"), Counter("chart")],
              rows=[row("go", "a", "go", target="end"), *(row(name, "a", name) for name in NAMES)])  # fmt: skip

WORDS = Chart("words", states=["a", END], events=["go"], variables=[Counter("flags")], rows=[row("go", "a", "go", target="end")])
