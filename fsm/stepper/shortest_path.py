"""Ways: how to get from here to a state or an output in the fewest events.

Theory.  The configurations are searched breadth first from the present one, each step taken by a real session, so that
the first way found is a shortest one.  A machine that counts has no last configuration: the search ends at a limit, and
the answer says whether it looked everywhere.

This file does not know the walk that led here, nor bounds, nor paths that are not shortest.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final, NamedTuple

from fsm.analysis.trace import found_by
from fsm.chart import Configuration
from fsm.session import Session
from fsm.stepper.text import printable
from fsm.verdict import Refused

__all__ = ["LIMIT", "ShortestPath", "find_shortest_path"]

LIMIT: Final = 5_000
"""Configurations looked at in search of a goal, unless told otherwise: a fraction of a second."""


class ShortestPath(NamedTuple):
    """The answer to "how do I get there from here?".

    `events` is a shortest way, empty when already there, None when none was found among the `looked` configurations
    nearest by; `everywhere` says that these are all that can be reached, so that there is none.
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


def find_shortest_path(session: type[Session], here: Configuration, goal: str, limit: int = LIMIT) -> ShortestPath:
    """A shortest way from a configuration to the state or output named `goal`."""
    came: dict[Configuration, tuple[Configuration, str] | None] = {here: None}
    queue = deque((here,))
    if _reached(session, here, goal):
        return ShortestPath(goal, (), 1, False)
    while queue:
        before = queue.popleft()
        for event, after in _steps(session, before):
            if after in came:
                continue
            if len(came) >= limit:
                return ShortestPath(goal, None, len(came), False)
            came[after] = before, event
            if _reached(session, after, goal):
                return ShortestPath(goal, found_by(came, after), len(came), False)
            queue.append(after)
    return ShortestPath(goal, None, len(came), True)


def _steps(session: type[Session], here: Configuration) -> Iterator[tuple[str, Configuration]]:
    one = session.at(here)
    for event in map(str, session.chart.events):
        try:
            one.fire(event)
        except Refused:
            continue
        yield event, one.configuration
        one = session.at(here)


def _reached(session: type[Session], configuration: Configuration, goal: str) -> bool:
    chart = session.chart
    return configuration[0] == goal or goal in chart.flag_names(chart.flags(configuration))
