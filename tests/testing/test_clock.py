"""Simulated time in threads: it jumps when everybody waits, and never before."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from fsm.store import Database, Retry, Store, StoreClosing
from fsm.store.clock import Clock
from fsm.testing.clock import START, NothingLeft, SimulatedClock


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock()


@pytest.fixture
def patient() -> SimulatedClock:
    """For threads that work for real, however slow the machine is."""
    return SimulatedClock(patience=60)


def later(clock: SimulatedClock, seconds: float, value: str) -> Future[str]:
    future: Future[str] = Future()
    clock.call_later(seconds, lambda: future.set_result(value))
    return future


def test_it_is_a_clock(clock: SimulatedClock) -> None:
    known: Clock = clock
    assert (known.time(), known.monotonic()) == (START, 0.0)


def test_waiting_takes_as_long_as_it_must_and_no_time_at_all(clock: SimulatedClock) -> None:
    assert clock.result(later(clock, 86_400.0, "tomorrow")) == "tomorrow"
    assert (clock.monotonic(), clock.time()) == (86_400.0, START + 86_400.0)


def test_calls_come_in_the_order_of_their_moments_and_then_of_their_making(clock: SimulatedClock) -> None:
    seen: list[tuple[str, float]] = []
    for name, seconds in (("c", 3.0), ("a", 1.0), ("b", 1.0), ("d", 3.0), ("now", -5.0)):
        clock.call_later(seconds, lambda name=name: seen.append((name, clock.monotonic())))  # type: ignore[misc]
    clock.result(later(clock, 3.0, "end"))
    assert seen == [("now", 0.0), ("a", 1.0), ("b", 1.0), ("c", 3.0), ("d", 3.0)]


def test_a_cancelled_call_does_not_come_and_takes_no_time(clock: SimulatedClock) -> None:
    seen: list[str] = []
    clock.call_later(50.0, lambda: seen.append("no")).cancel()
    clock.advance(10.0)
    with pytest.raises(NothingLeft):
        clock.result(Future())
    assert (seen, clock.monotonic()) == ([], 10.0)


def test_advancing_calls_what_falls_due_at_its_moment_and_what_that_asks_for(clock: SimulatedClock) -> None:
    seen: list[float] = []

    def again() -> None:
        seen.append(clock.monotonic())
        clock.call_later(2.0, again)

    again()
    clock.advance(5.0)
    assert (seen, clock.monotonic()) == ([0.0, 2.0, 4.0], 5.0)
    with pytest.raises(ValueError, match="cannot advance by -1 seconds"):
        clock.advance(-1)
    with pytest.raises(ValueError, match="nan"):
        clock.advance(float("nan"))


def test_the_clock_on_the_wall_jumps_and_nothing_else_does(clock: SimulatedClock) -> None:
    future = later(clock, 10.0, "ten")
    clock.advance(4.0)
    clock.set_time(5.0)
    assert (clock.time(), clock.monotonic(), future.done()) == (5.0, 4.0, False)
    clock.result(future)
    assert (clock.time(), clock.monotonic()) == (11.0, 10.0)


def test_what_cannot_happen_any_more_is_an_error(clock: SimulatedClock) -> None:
    with pytest.raises(NothingLeft, match="can no longer happen: no call is scheduled, and no thread works"):
        clock.result(Future())
    failed: Future[None] = Future()
    clock.call_later(1.0, lambda: failed.set_exception(KeyError("mine")))
    with pytest.raises(KeyError, match="mine"):
        clock.result(failed)


def test_whoever_finds_nothing_left_may_be_helped(clock: SimulatedClock) -> None:
    future: Future[str] = Future()
    answers = [True, False]

    def help_() -> bool:
        if answers[0]:
            clock.call_later(7.0, lambda: future.set_result("helped"))
        return answers.pop(0)

    clock.when_idle = help_
    assert clock.result(future) == "helped"
    with pytest.raises(NothingLeft):
        clock.result(Future())


def started(*targets: Callable[[], object]) -> list[threading.Thread]:
    threads = [threading.Thread(target=target) for target in targets]
    for thread in threads:
        thread.start()
    return threads


def test_time_stands_while_a_thread_works(patient: SimulatedClock) -> None:
    """The thread works for real; were time to jump meanwhile, the 20 seconds would be over first."""
    for _ in range(20):
        done: Future[str] = Future()
        call = patient.call_later(20.0, partial(done.set_result, "the clock was first"))
        [thread] = started(partial(_work, done))
        assert patient.result(done) == "the thread was first"
        call.cancel()
        thread.join()


def _work(done: Future[str]) -> None:
    assert sum(range(100_000))
    done.set_result("the thread was first")


def test_threads_wait_for_one_another_through_the_clock(patient: SimulatedClock) -> None:
    seen: list[tuple[str, float]] = []
    first, second = Future[None](), Future[None]()

    def one() -> None:
        patient.result(later(patient, 5.0, ""))
        seen.append(("one", patient.monotonic()))
        first.set_result(None)

    def two() -> None:
        patient.result(first)
        patient.result(later(patient, 5.0, ""))
        seen.append(("two", patient.monotonic()))
        second.set_result(None)

    threads = started(one, two)
    patient.result(second)
    assert seen == [("one", 5.0), ("two", 10.0)]
    for thread in threads:
        thread.join()


def test_a_thread_that_waits_for_something_else_is_given_up_after_some_patience() -> None:
    clock, never = SimulatedClock(patience=0.01), queue.SimpleQueue[None]()
    [thread] = started(never.get)
    assert clock.result(later(clock, 3600.0, "an hour")) == "an hour"
    with pytest.raises(NothingLeft):
        clock.result(Future())
    never.put(None)
    thread.join()


def test_a_thread_that_could_run_needs_no_patience() -> None:
    """It computes, as a thread seems to do that a busy machine gives no processor."""
    clock, seen = SimulatedClock(patience=0.0), list[float]()

    def compute() -> None:
        until = time.thread_time() + 0.1
        while time.thread_time() < until:
            pass
        seen.append(clock.monotonic())

    thread = threading.Thread(target=compute)
    clock.call_later(1.0, thread.start)
    clock.result(later(clock, 86_400.0, "tomorrow"))
    thread.join()
    assert seen == [1.0]


def test_joining_a_thread_that_waits_is_no_deadlock() -> None:
    clock = SimulatedClock(patience=0.01)
    store = Store(clock=clock)
    assert store.in_service  # this thread has come to the clock, and does something else now
    [thread] = started(lambda: clock.result(later(clock, 60.0, "")))
    thread.join()
    assert clock.monotonic() == 60.0


def test_a_pool_may_be_idle() -> None:
    clock = SimulatedClock(patience=0.01)
    with ThreadPoolExecutor(2) as pool:
        assert pool.submit(lambda: clock.result(later(clock, 5.0, "five"))).result() == "five"
        assert clock.result(later(clock, 5.0, "ten")) == "ten"
    assert clock.monotonic() == 10.0


# ------------------------------------------------------------------------------------------------------ with a store


def test_a_store_closes_by_its_plan_in_no_time(clock: SimulatedClock) -> None:
    with Store(clock=clock) as store:
        item = store.inbound(peer="10.0.0.7")
        item.__enter__()
        outcome = store.close("NO_WAIT 20s -> ORDERLY 5s -> cancel 3s")
        assert not outcome
        assert (outcome.seconds, clock.monotonic()) == (28.0, 28.0)
        assert [str(one.age) for one in outcome.blockers] == ["28.0"]
        item.__exit__(None, None, None)
        assert store.state == "released"


def test_deferred_mail_falls_due_when_its_time_has_come(clock: SimulatedClock) -> None:
    attempts: list[float] = []
    with Store(clock=clock, retry=Retry(first=60, factor=2)) as store:
        store.submit(b"x")
        for item in store.outgoing():
            with item:
                attempts.append(clock.monotonic())
                if len(attempts) < 4:
                    item.defer("451 later")
            if len(attempts) == 4:
                break
    assert attempts == [0.0, 60.0, 180.0, 420.0]


def test_a_worker_thread_and_a_closing_store(patient: SimulatedClock) -> None:
    sent: list[bytes] = []
    store = Store(clock=patient)

    def work() -> None:
        for item in store.outgoing():
            with item:
                assert item.message is not None
                patient.result(later(patient, 2.0, "the network"))
                sent.append(item.message.content)

    threads = started(work, work)
    for number in range(6):
        store.submit(b"%d" % number)
    outcome = store.close("NO_WAIT 20s -> cancel 3s")
    assert outcome.raise_unless_released().left == ()
    assert sorted(sent) == [b"0", b"1", b"2", b"3", b"4", b"5"]
    assert patient.monotonic() == 6.0, "two at a time, two seconds each"
    for thread in threads:
        thread.join()
    with pytest.raises(StoreClosing):
        store.submit(b"late")
    store.let_go()


def test_what_a_durable_store_writes_takes_no_time_however_slow_the_disk_is(tmp_path: Path) -> None:
    clock = SimulatedClock(patience=0)
    with Store(Database(tmp_path / "store.db"), clock=clock) as store:
        outgoing = store.outgoing()
        for number in range(5):
            store.submit(b"%d" % number)
            with next(outgoing):
                clock.result(later(clock, 2.0, "the network"))
        outcome = store.close("NO_WAIT 20s")
        assert outcome.raise_unless_released().left == ()
    assert clock.monotonic() == 10.0
