"""What a race is, and what comes of it: shared by the files of the benchmark."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import NamedTuple


class Result(NamedTuple):
    """A line of the table: what was measured, against what, the aim, and whether it was met (None where there is none)."""

    what: str
    measured: str
    against: str
    aim: str
    met: bool | None


def best(rounds: int, *races: Callable[[], float]) -> list[float]:
    """The least of several rounds, the racers taking turns, so that a busy moment hurts all of them."""
    least = [float("inf")] * len(races)
    for _ in range(rounds):
        for place, race in enumerate(races):
            gc.collect()
            least[place] = min(least[place], race())
    return least


def timed(work: Callable[[], object]) -> Callable[[], float]:
    """A race that takes as long as the work, in seconds."""

    def race() -> float:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    return race
