"""The shortest path from a configuration to a state or an output.

Theory.  The search goes through the configurations breadth first, each step taken by a real session, so that the first
path found is a shortest one.  A machine that counts may have no last configuration: the search ends at a limit, and the
result says whether it looked everywhere.  Of events with data it tries those within the chart's bounds; a number
without a bound counts as limited to what the guards speak of.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final, NamedTuple

from fsm.analysis.bounds import bounds_of
from fsm.analysis.calls import Calls
from fsm.analysis.divergence import greatest_number
from fsm.analysis.trace import Call, found_by
from fsm.chart import Chart, Configuration
from fsm.condition import Compare
from fsm.session import Session
from fsm.stepper.text import printable
from fsm.verdict import Refused

__all__ = ["LIMIT", "NEAR", "ShortestPath", "find_shortest_path"]

LIMIT: Final = 5_000
"""Configurations looked at by default: a fraction of a second."""
MOST: Final = 20
"""The greatest value that is tried of a number without a bound."""
NEAR: Final = 1_000
"""Configurations looked at in search of the goal between two keys: some hundredths of a second."""


class ShortestPath(NamedTuple):
    """The result of a search for a goal.

    `events` is a shortest path, empty when the goal is already reached, None when the `looked` nearest configurations
    have none; `everywhere` is True when those are all that can be reached, so that there is none at all.
    """

    goal: str
    events: tuple[str, ...] | None
    looked: int
    everywhere: bool

    def __str__(self) -> str:
        if self.events is None:
            among = f"all {self.looked:,}" if self.everywhere else f"the {self.looked:,} nearest"
            can = "cannot be reached from here" if self.everywhere else "was not found"
            return f"{printable(self.goal)} {can} ({among} configurations looked at)"
        return f"shortest way to {printable(self.goal)}: {printable(','.join(self.events)) or 'already there'}"


def _calls(chart: Chart) -> tuple[Call, ...]:
    """The events to try."""
    bounds = bounds_of(chart, ())
    unbounded = Calls(chart, bounds).unbounded
    most = min(greatest_number(chart) + 1, MOST)
    calls = Calls(chart, (*bounds, *(Compare(((name, 1),), "<=", most) for name in unbounded)))
    return tuple(one for event in chart.events for one in calls.of(event))


def find_shortest_path(session: type[Session], here: Configuration, goal: str, limit: int = LIMIT) -> ShortestPath:
    """Find a shortest path from a configuration to the state or output named `goal`."""
    calls = _calls(session.chart)
    came: dict[Configuration, tuple[Configuration, str] | None] = {here: None}
    queue = deque((here,))
    if _reached(session, here, goal):
        return ShortestPath(goal, (), 1, False)
    while queue:
        before = queue.popleft()
        for event, after in _steps(session, before, calls):
            if after in came:
                continue
            if len(came) >= limit:
                return ShortestPath(goal, None, len(came), False)
            came[after] = before, event
            if _reached(session, after, goal):
                return ShortestPath(goal, found_by(came, after), len(came), False)
            queue.append(after)
    return ShortestPath(goal, None, len(came), True)


def _steps(session: type[Session], here: Configuration, calls: tuple[Call, ...]) -> Iterator[tuple[str, Configuration]]:
    one = session.unchecked(here)
    for event in calls:
        try:
            one.fire(event.event, **event.data)
        except Refused:
            continue
        yield event, one.configuration
        one = session.unchecked(here)


def _reached(session: type[Session], configuration: Configuration, goal: str) -> bool:
    chart = session.chart
    return configuration[0] == goal or goal in chart.flag_names(chart.flags(configuration))
