"""The signal ladder: real signals, sent to this process, with both faces."""

from __future__ import annotations

import asyncio
import os
import queue
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from fsm.store import Outcome, StoreClosing, aio, on_signals, sync

TERM, INT = signal.SIGTERM, signal.SIGINT
PLAN = "NO_WAIT 1h -> ORDERLY 1h -> cancel 1h".replace("1h", "60m")
LADDER = [
    "relay: SIGTERM or SIGINT closes the store; each further one takes the next step at once:",
    "relay:   1. NO_WAIT 3600s  what is in flight and what is ready is sent, nothing new is taken in",
    "relay:   2. ORDERLY 3600s  what is in flight is finished, the queue stays",
    "relay:   3. cancel 3600s   what is in flight is stopped, and nothing new begins",
    "relay:   4. the plan ends, and what is in flight then is left as it is",
]
STEPS = [
    ("SIGTERM", "NO_WAIT 3600s: what is in flight and what is ready is sent, nothing new is taken in"),
    ("SIGINT", "ORDERLY 3600s: what is in flight is finished, the queue stays"),
    ("SIGTERM", "cancel 3600s: what is in flight is stopped, and nothing new begins"),
]
AFTER = [
    f"the next signal takes {STEPS[1][1]}", f"the next signal takes {STEPS[2][1]}",
    "with the next signal the plan ends, and what is in flight then is left as it is",
]  # fmt: skip
CLIMBED = [f"relay: {name}: {step}; {after}" for (name, step), after in zip(STEPS, AFTER, strict=True)]


class Said:
    """What was said, line by line; waiting for a line takes as long as it takes."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._new: queue.SimpleQueue[str] = queue.SimpleQueue()

    def __call__(self, line: str) -> None:
        self.lines.append(line)
        self._new.put(line)

    def next(self) -> str:
        return self._new.get(timeout=60)

    def skip(self, count: int) -> None:
        for _ in range(count):
            self.next()


def send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


def handlers() -> list[object]:
    return [signal.getsignal(number) for number in (TERM, INT)]


# ----------------------------------------------------------------------------------------------------- in threads


def test_threads_climb_the_ladder_and_everything_is_said() -> None:
    said, before = Said(), handlers()
    store = sync.Store(name="relay")
    item = store.inbound(peer="10.0.0.7")
    item.__enter__()
    with on_signals(store, PLAN, say=said, together=0) as ladder:
        assert said.lines == LADDER
        said.skip(len(LADDER))
        assert store.in_service
        for number, line in zip((TERM, INT, TERM), CLIMBED, strict=True):
            send(number)
            assert said.next() == line
        assert item.stopped == "the store closes and its time is over"
        send(TERM)
        outcome = ladder.outcome()
        assert (said.next(), said.next()) == ("relay: SIGTERM: the plan ends now", f"relay: {outcome}")
        assert not outcome
        assert [blocker.peer for blocker in outcome.blockers] == ["10.0.0.7"]
        send(INT)
        assert said.next() == f"relay: SIGINT: the plan is over already: {outcome}"
    assert handlers() == before
    item.__exit__(None, None, None)
    assert store.state == "released"
    store.let_go()


def test_threads_one_signal_is_enough_when_nothing_is_in_the_way() -> None:
    said = Said()
    with sync.Store(name="relay") as store, on_signals(store, PLAN, say=said, together=0) as ladder:
        store.submit(b"x")
        worker = threading.Thread(target=lambda: [item.__enter__() and item.__exit__(None, None, None) for item in store.outgoing()])  # type: ignore[func-returns-value]
        worker.start()
        send(TERM)
        outcome = ladder.outcome().raise_unless_released()
        worker.join()
        assert (outcome.left, store.counters["sent"]) == ((), 1)


def test_threads_a_step_that_comes_by_itself_is_announced_and_a_closing_under_way_is_joined() -> None:
    said = Said()
    store = sync.Store(name="relay")
    item = store.inbound()
    item.__enter__()
    with on_signals(store, "ORDERLY 60m", say=said) as ladder:
        said.skip(3)
        theirs = store.begin_closing("NO_WAIT 60m -> ORDERLY 60m -> cancel 60m")
        send(TERM)
        assert said.next() == CLIMBED[0].replace("SIGTERM:", "SIGTERM, joining a closing under way:")
        store.next_step()  # as the clock does, when the time of a step is over
        assert said.next() == CLIMBED[1].replace("SIGINT:", "time is up:")
        item.__exit__(None, None, None)
        assert ladder.outcome() is theirs.result()
    store.let_go()


def test_threads_leaving_the_block_puts_the_handlers_back_and_the_closing_goes_on() -> None:
    said, mine = Said(), Said()
    old = signal.signal(TERM, lambda number, frame: mine(f"mine {number}"))
    try:
        store = sync.Store(name="relay")
        item = store.inbound()
        item.__enter__()
        with on_signals(store, PLAN, signals=[TERM], say=said) as ladder:
            said.skip(5)
            send(TERM)
            said.next()
        send(TERM)
        assert mine.next() == f"mine {int(TERM)}"
        item.__exit__(None, None, None)
        assert ladder.outcome()
        store.let_go()
    finally:
        signal.signal(TERM, old)


def test_what_cannot_be_written_does_not_keep_the_store_from_closing(caplog: pytest.LogCaptureFixture) -> None:
    def broken(line: str) -> None:
        raise BrokenPipeError(line)

    with sync.Store() as store, on_signals(store, PLAN, say=broken) as ladder:
        send(INT)
        assert ladder.outcome()
    assert "cannot write" in caplog.text


def test_outside_the_main_thread_the_ladder_says_that_it_goes_without() -> None:
    said, store = Said(), sync.Store(name="relay")

    def elsewhere() -> None:
        with on_signals(store, PLAN, say=said):
            store.close("ORDERLY 5s")

    before = handlers()
    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert said.lines == [
        "relay: this is not the main thread, so SIGTERM and SIGINT are not handled; close the store in another way"
    ]
    assert handlers() == before
    store.let_go()


def test_a_ladder_needs_a_plan() -> None:
    before, store = handlers(), sync.Store()
    with pytest.raises(ValueError, match="is no step of a plan"):
        on_signals(store, "SOON")
    assert handlers() == before
    store.let_go()


def test_signals_that_arrive_together_count_once() -> None:
    said, store = Said(), sync.Store(name="relay")
    item = store.inbound()
    item.__enter__()
    with on_signals(store, PLAN, say=said, together=3_600) as ladder:
        said.skip(len(LADDER))
        for number in (TERM, INT, TERM):
            send(number)
        assert said.next() == CLIMBED[0]
        item.__exit__(None, None, None)
        outcome = ladder.outcome()
        assert said.next() == f"relay: {outcome}"
        assert said.lines == [*LADDER, CLIMBED[0], f"relay: {outcome}"]
    store.let_go()


class Mine(SystemExit):
    """Raised by a handler that was there before, as those of servers and of Python raise."""


def mine(number: int, frame: object) -> None:
    raise Mine(signal.Signals(number).name)


@pytest.fixture
def with_mine() -> Iterator[None]:
    old = signal.signal(TERM, mine)
    yield
    signal.signal(TERM, old)


@pytest.mark.usefixtures("with_mine")
def test_after_the_plan_the_handlers_of_before_get_the_signal() -> None:
    said, store = Said(), sync.Store(name="relay")
    store.submit(b"x")


    def serve() -> None:
        with on_signals(store, "ORDERLY 5s", say=said, then="previous"):
            send(TERM)
            threading.Event().wait()  # for ever, but for the handler

    with pytest.raises(Mine, match="SIGTERM"):
        serve()
    assert store.state == "released"
    assert signal.getsignal(TERM) is mine
    store.let_go()


@pytest.mark.usefixtures("with_mine")
def test_tasks_after_the_plan_the_handlers_of_before_get_the_signal() -> None:
    async def program() -> None:
        store = aio.AsyncStore(name="relay")
        try:
            with on_signals(store, "ORDERLY 5s", say=Said(), then="previous"):
                send(TERM)
                await asyncio.Event().wait()
        finally:
            assert store.state == "released"
            store.let_go()

    with pytest.raises(Mine, match="SIGTERM"):
        asyncio.run(program())
    assert signal.getsignal(TERM) is mine


def test_tasks_a_loop_that_handles_the_signal_itself_gets_it_after_the_plan() -> None:
    async def program() -> str:
        loop, got = asyncio.get_running_loop(), asyncio.Event()
        loop.add_signal_handler(TERM, got.set)
        store = aio.AsyncStore(name="relay")
        with on_signals(store, "ORDERLY 5s", say=Said(), then="previous"):
            send(TERM)
            await got.wait()
        loop.remove_signal_handler(TERM)
        store.let_go()
        return store.state

    assert asyncio.run(program()) == "released"


def test_a_handler_that_takes_the_place_later_is_said_and_stays() -> None:
    said, store = Said(), sync.Store(name="relay")
    old = signal.getsignal(TERM)
    try:
        with on_signals(store, PLAN, say=said):
            signal.signal(TERM, mine)
        assert said.lines[-1] == "relay: SIGTERM has another handler since, tests.store.test_signals.mine, which decides now"
        assert signal.getsignal(TERM) is mine
    finally:
        signal.signal(TERM, old)
        store.let_go()


def test_a_socket_that_is_replaced_later_does_not_keep_signals_away() -> None:
    """As a loop does that is started inside the block."""
    said, store = Said(), sync.Store(name="relay")

    async def loop_with_a_handler() -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, lambda: None)
        send(TERM)

    with on_signals(store, "ORDERLY 5s", say=said) as ladder:
        asyncio.run(loop_with_a_handler())
        assert ladder.outcome()
    store.let_go()


def test_several_stores_are_closed_by_one_signal() -> None:
    said = Said()
    one, two = sync.Store(name="orders"), sync.Store(name="receipts")
    item = two.inbound()
    item.__enter__()
    with on_signals(one, two, plan=PLAN, say=said) as ladder:
        assert said.lines[0] == "orders, receipts: SIGTERM or SIGINT closes the stores; each further one takes the next step at once:"
        said.skip(len(LADDER))
        send(TERM)
        assert said.next() == CLIMBED[0].replace("relay", "orders, receipts")
        with pytest.raises(StoreClosing):
            one.submit(b"x")
        item.__exit__(None, None, None)
        outcome = ladder.outcome()
    assert outcome
    assert (one.state, two.state) == ("released", "released")
    one.let_go()
    two.let_go()


# ----------------------------------------------------------------------------------------------------- in asyncio


def test_tasks_climb_the_ladder_and_everything_is_said() -> None:
    said = Said()

    async def program() -> tuple[Outcome, str]:
        store, reached = aio.AsyncStore(name="relay"), asyncio.Event()
        lines: asyncio.Queue[str] = asyncio.Queue()
        ends = ""

        async def stubborn() -> None:
            nonlocal ends
            async with store.inbound(peer="10.0.0.7") as item:
                reached.set()
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    ends = item.stopped or ""
                    await last.wait()

        last = asyncio.Event()
        task = asyncio.create_task(stubborn())
        await reached.wait()
        before = handlers()
        with on_signals(store, PLAN, say=lambda line: [said(line), lines.put_nowait(line)], together=0) as ladder:
            assert said.lines == LADDER
            for _ in LADDER:
                await lines.get()
            for number, line in zip((TERM, INT, TERM), CLIMBED, strict=True):
                send(number)
                assert await lines.get() == line
            send(TERM)
            outcome = await ladder.outcome()
            assert (await lines.get(), await lines.get()) == ("relay: SIGTERM: the plan ends now", f"relay: {outcome}")
            send(INT)
            assert await lines.get() == f"relay: SIGINT: the plan is over already: {outcome}"
        assert handlers() == before
        last.set()
        await task
        assert store.state == "released"
        store.let_go()
        return outcome, ends

    outcome, ends = asyncio.run(program())
    assert not outcome
    assert [blocker.peer for blocker in outcome.blockers] == ["10.0.0.7"]
    assert ends == "the store closes and its time is over"


def test_tasks_waiting_for_the_outcome_can_be_cancelled() -> None:
    async def program() -> Outcome:
        async with aio.AsyncStore() as store:
            with on_signals(store, PLAN, say=Said()) as ladder:
                waiting = asyncio.create_task(ladder.outcome())
                await asyncio.sleep(0)
                waiting.cancel()
                await asyncio.wait({waiting})
                assert waiting.cancelled()
                send(TERM)
                return await ladder.outcome()

    assert asyncio.run(program())


def test_the_faces_say_the_same(capfd: pytest.CaptureFixture[str]) -> None:
    """Left out, `say` writes to standard error."""
    store = sync.Store(name="relay")
    with on_signals(store, PLAN):
        assert capfd.readouterr().err.splitlines() == LADDER
    store.let_go()

    async def program() -> None:
        store = aio.AsyncStore(name="relay")
        with on_signals(store, PLAN):
            assert capfd.readouterr().err.splitlines() == LADDER
        store.let_go()

    asyncio.run(program())




def test_who_forgets_the_store_is_told_that_it_comes_first() -> None:
    wrong: Any = "NO_WAIT 20s"
    with pytest.raises(TypeError, match=r"the stores come first, each a Store or an AsyncStore, not 'NO_WAIT 20s'"):
        on_signals(wrong)
