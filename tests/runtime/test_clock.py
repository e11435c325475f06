"""The computer's clock makes each call in time, in whatever order they were asked for."""

from __future__ import annotations

import threading

from fsm.runtime.clock import SystemClock


def test_a_call_that_is_asked_for_later_and_due_sooner_is_not_late() -> None:
    clock, waits, made = SystemClock(), threading.Event(), threading.Event()
    clock.call_later(0.0, waits.set)
    assert waits.wait(60)
    last = clock.call_later(3600, lambda: None)
    clock.call_later(0.0, made.set)
    assert made.wait(60)
    last.cancel()
