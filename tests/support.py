"""What several test files need: configurations within bounds, running a trace, and programs in processes of their own."""

from __future__ import annotations

import os
import subprocess
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from fsm.chart import Chart, Configuration
from fsm.logoff import LOGOFF, StoreSession
from fsm.session import Session
from fsm.verdict import Refused


def cases(number: int) -> int:
    """How many random cases are tried: so many in `make soak`, a quarter of them in `make test`."""
    return number if "FSM_SOAK" in os.environ else number // 4


@contextmanager
def program(*command: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A program whose output is read; it ends with the block at the latest."""
    with subprocess.Popen(command, text=True, **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options) as process:
        try:
            yield process
        finally:
            process.kill()


def small(i: int, m: int, p: int) -> Callable[[Configuration], bool]:
    """At most i inbound, m outbound or queued, p peers: the bounds of the specification's section 5."""

    def within(c: Configuration) -> bool:
        _, _, inbound, outbound, ready, deferred, peers = c
        return inbound <= i and outbound + ready + deferred <= m and peers <= p  # type: ignore[operator]

    return within


def walk(chart: Chart, new: type[Session], within: Callable[[Configuration], bool]) -> tuple[list[Configuration], int]:
    """Every configuration reached within the bounds by the compiled triggers, and the accepted steps among them."""
    found, todo, steps = [chart.start()], deque([chart.start()]), 0
    seen = set(found)
    while todo:
        here = todo.popleft()
        for event in chart.events:
            there = after(new, here, event)
            if there is not None and within(there):
                steps += 1
                if there not in seen:
                    seen.add(there)
                    found.append(there)
                    todo.append(there)
    return found, steps


def after(new: type[Session], here: Configuration, event: str) -> Configuration | None:
    """Where the trigger leads, or None when it is refused; a refusal must have changed nothing."""
    session = new.unchecked(here)
    try:
        assert getattr(session, event)() is True
    except Refused as refusal:
        assert session.configuration == here
        assert refusal.verdict.event == event
        return None
    return session.configuration


@cache
def configurations(i: int = 2, m: int = 3, p: int = 1) -> tuple[Configuration, ...]:
    """The configurations of the store-logoff machine within bounds."""
    return tuple(walk(LOGOFF, StoreSession, small(i, m, p))[0])


def run(trace: str, **start: int) -> StoreSession:
    """A store session after a trace written `submit,outbound_begin`."""
    session = StoreSession(**start)
    for event in filter(None, trace.split(",")):
        session.fire(event)
    return session
