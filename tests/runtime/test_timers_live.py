"""Timers fire what is due in an asyncio loop, and from a thread, beside other threads that step and close."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

import pytest

from fsm import Chart, Refused, Session, State, Step, row
from fsm.runtime import AsyncTimers, Timers
from fsm.runtime.clock import ScheduledCall
from fsm.testing.loop import run
from tests.runtime.bell import Bell, GuardedBell, Log
from tests.runtime.test_timers import Broken


def test_in_asyncio_they_fire_in_the_loop_by_its_time() -> None:
    async def main() -> tuple[list[str], float]:
        session = Bell()
        log = session.listen(Log())
        async with AsyncTimers() as timers:
            timers.attach(session)
            session.fire("push")
            await asyncio.sleep(29)
            assert timers.due(session) == ((1.0, "timeout"),)
            async for step in session.steps():
                if step.event == "reset":
                    break
        await asyncio.sleep(1_000)
        return log.steps, asyncio.get_running_loop().time()

    steps, seconds = run(main())
    assert steps == ["push:ringing", "warn:ringing", "timeout:missed", "blink:missed", "reset:silent"]
    assert seconds == pytest.approx(1_035)


def test_in_asyncio_an_error_reaches_the_hook_or_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def main(told: list[object] | None) -> None:
        timers = AsyncTimers(on_error=None if told is None else lambda *what: told.append(what[2]))
        session = timers.attach(Bell())
        session.fire("push")
        session.listen(Broken())
        await asyncio.sleep(31)

    told: list[object] = []
    run(main(told))
    assert told == ["timeout"]
    with caplog.at_level(logging.ERROR, "fsm.runtime"):
        run(main(None))
    assert "the lamp is broken" in caplog.text


def test_in_asyncio_another_thread_may_step_a_guarded_session() -> None:
    async def main() -> list[str]:
        session = GuardedBell()
        log = session.listen(Log())
        async with AsyncTimers() as timers:
            timers.attach(session)
            await asyncio.to_thread(session.fire, "push")
            await asyncio.sleep(31)
        return log.steps

    assert run(main()) == ["push:ringing", "warn:ringing", "timeout:missed"]


def test_a_session_may_live_longer_than_the_loop_of_its_timers() -> None:
    async def main() -> Session:
        session = AsyncTimers().attach(Bell())
        session.fire("push")
        return session

    session = run(main())
    session.fire("answer")
    session.fire("push")
    assert session.state == "ringing"


def test_outside_of_a_loop_there_are_no_asyncio_timers() -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        AsyncTimers()


QUICK = Chart(
    "quick", states=[State("waiting", after={0.01: "go"}), State("held", after={1_000: "back"}), State("done", final=True)],
    events=["go", "hold", "back", "end"],
    rows=[row("go", "waiting", "go", target="done"), row("hold", "waiting", "hold", target="held"),
          row("back", "held", "back", target="waiting"), row("end", "held", "end", target="done")],
)
Quick = type("Quick", (Session.of(QUICK),), {"__slots__": ()}, guarded=True)


def test_one_thread_fires_for_many_sessions() -> None:
    threads: set[int] = set()
    left = threading.Semaphore(0)

    class Done:
        def on_enter_done(self, step: Step) -> None:
            threads.add(threading.get_ident())
            left.release()

    with Timers() as timers:
        done, held = Done(), []
        for place in range(200):
            session = Quick()
            with session.lock:
                timers.attach(session)
                session.listen(done)
                if place % 2:
                    session.fire("hold")
                    held.append(session)
        for _ in range(100):
            assert left.acquire(timeout=60)
        assert {session.state for session in held} == {"held"}
    assert len(threads) == 1
    assert threads != {threading.get_ident()}


def test_a_thread_that_steps_at_the_same_moment_never_sees_a_time_out_in_another_state() -> None:
    wrong: list[object] = []
    with Timers(on_error=lambda *what: wrong.append(what)) as timers:
        for _ in range(50):
            session = timers.attach(Quick())
            try:
                session.fire("hold")
                assert session.state == "held"
            except Refused as refusal:
                assert refusal.verdict.state == "done"
    assert wrong == []


def test_a_time_that_is_over_while_another_thread_leaves_the_state_fires_nothing() -> None:
    class ByHand:
        """A clock whose calls are made by the test."""

        def __init__(self) -> None:
            self.now, self.calls = 0.0, list[Any]()

        def monotonic(self) -> float:
            return self.now

        def call_later(self, seconds: float, callback: Any) -> ScheduledCall:
            self.calls.append(callback)
            return ScheduledCall(callback)

    clock = ByHand()
    timers, session = Timers(clock), GuardedBell()
    timers.attach(session)
    session.fire("push")
    clock.now = 10.0
    with session.lock:
        thread = threading.Thread(target=clock.calls[0])
        thread.start()
        while timers._queue:  # until the clock's thread waits for the lock, with the entry in its hand
            pass
        session.fire("again")
    thread.join()
    assert session.configuration == ("ringing", 1, 0)
    assert timers.due(session) == ((10.0, "warn"), (30.0, "timeout"))


def test_closing_does_not_wait_for_a_step_that_hangs() -> None:
    entered, release = threading.Event(), threading.Event()

    class Hanging:
        def on_enter_done(self, step: Step) -> None:
            entered.set()
            assert release.wait(60)

    timers, session = Timers(), Quick()
    session.listen(Hanging())
    timers.attach(session)
    assert entered.wait(60)
    timers.close()
    release.set()
    with session.lock:
        assert session.state == "done"


def test_a_listener_may_close_the_timers_that_call_it() -> None:
    closed = threading.Event()

    class Closing:
        def on_enter_done(self, step: Step) -> None:
            timers.close()
            closed.set()

    timers, session = Timers(), Quick()
    session.listen(Closing())
    timers.attach(session)
    assert closed.wait(60)


def test_a_session_without_a_lock_is_not_fired_from_another_thread() -> None:
    with pytest.raises(ValueError, match=r"Bell must be guarded: class Bell\(\.\.\., guarded=True\)"):
        Timers().attach(Bell())
    with Timers() as timers:
        assert timers.attach(GuardedBell()).state == "silent"
