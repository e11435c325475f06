"""The engine beyond a single step: whole lives with the making of the session, listeners, and large charts.

The clock is the time that this thread has computed, so that other programs disturb the race less.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from bench import rivals
from bench.handwritten import HandWrittenSession
from bench.result import Result, best
from fsm import Chart, Session, Step, row
from fsm.logoff import StoreSession

__all__ = ["engine"]


def whole(make: Callable[[], Any], many: list[list[str]]) -> float:
    """Nanoseconds for a life, the making of the session included."""
    start = time.thread_time_ns()
    for life in many:
        session = make()
        for event in life:
            getattr(session, event)()
    return (time.thread_time_ns() - start) / len(many)


def calls(function: Callable[..., object], *arguments: object, count: int = 20_000) -> Callable[[], float]:
    """A race over one call; nanoseconds each."""

    def race() -> float:
        start = time.thread_time_ns()
        for _ in range(count):
            function(*arguments)
        return (time.thread_time_ns() - start) / count

    return race


class Idle:
    """A listener that does as much as the callback it races: nothing."""

    def on_transition(self, step: Step) -> None: ...


def ring(size: int) -> Session:
    """A session in a ring of states, which one event goes round."""
    names = [f"s{place}" for place in range(size)]
    rows = [row(name, name, "go", target=names[(place + 1) % size]) for place, name in enumerate(names)]
    return Session.of(Chart(f"ring of {size}", states=names, events=["go"], rows=rows))()


def many_events(size: int) -> Session:
    events = [f"e{place}" for place in range(size)]
    rows = [row(event, "on", event) for event in events]
    return Session.of(Chart(f"{size} events", states=["on"], events=events, rows=rows))()


def engine(events: list[list[str]]) -> list[Result]:
    """The lines, from the events of many lives."""
    few, stock = events[:40], rivals.stock()
    ours, by_hand, slow = best(
        7, lambda: whole(StoreSession, events), lambda: whole(HandWrittenSession, events), lambda: whole(stock, few)
    )
    told = f"{ours / 1000:.1f} us a life"
    lines = [
        Result("whole lives with the making of the session, against stock transitions", told,
               f"{slow / 1000:.0f} us: {slow / ours:.0f} times as fast", ">= 35 times", slow / ours >= 35),
        Result("whole lives with the making of the session, against a hand-written class", told,
               f"{by_hand / 1000:.1f} us: {ours / by_hand:.2f} of its time", "<= 1.00", ours <= by_hand),
    ]  # fmt: skip
    made, made_by_hand = best(15, calls(StoreSession), calls(HandWrittenSession))
    lines.append(Result("making a session", f"{made:.0f} ns", f"a hand-written class {made_by_hand:.0f} ns", "", None))
    listened, called_back = best(9, lambda: _driven(_listened, events), lambda: _driven(rivals.listened(), few))
    lines.append(Result("a step with one listener, against transitions with one callback", f"{listened:.0f} ns an event",
                        f"{called_back / 1000:.1f} us: {called_back / listened:.0f} times as fast", ">= 10 times",
                        called_back / listened >= 10))  # fmt: skip
    start = time.thread_time()
    small, large = ring(10), ring(2_000)
    built = time.thread_time() - start
    one, other = best(15, calls(small.fire, "go"), calls(large.fire, "go"))
    lines.append(Result("a step in a ring of 2,000 states", f"{other:.0f} ns", f"a ring of 10 {one:.0f} ns: "
                        f"{other / one:.2f} times", "<= 1.5 times", other / one <= 1.5))  # fmt: skip
    lines.append(Result("building and compiling a ring of 2,000 states", f"{built:.2f} s", "", "<= 1 s", built <= 1))
    one, other = best(15, calls(many_events(10).fire, "e9"), calls(many_events(1_000).fire, "e999"))
    lines.append(Result("fire by name with 1,000 events", f"{other:.0f} ns", f"with 10 {one:.0f} ns: "
                        f"{other / one:.2f} times", "<= 1.5 times", other / one <= 1.5))  # fmt: skip
    return lines


def _listened() -> StoreSession:
    session = StoreSession()
    session.listen(Idle())
    return session


def _driven(make: Callable[[], Any], many: list[list[str]]) -> float:
    """Nanoseconds an event, the making left out."""
    spent = count = 0
    for life in many:
        session = make()
        triggers = [getattr(session, event) for event in life]
        start = time.thread_time_ns()
        for fire in triggers:
            fire()
        spent += time.thread_time_ns() - start
        count += len(triggers)
    return spent / count
