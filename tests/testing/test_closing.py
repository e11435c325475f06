"""Programs closed at each of their steps: those that lose mail are caught, and those that do not pass, in both faces."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress

import pytest

from fsm.store import Stopped, StoreClosing, aio, sync
from fsm.testing.closing import Checked, LostMail, NeverEnds, loses_nothing
from fsm.testing.ledger import Sink

PLANS = [
    "NO_WAIT 20s -> ORDERLY 5s -> cancel 3s", "ORDERLY 5s -> cancel 3s", "cancel 3s", "PURGE 10s -> cancel 1s",
    "notice 2s -> NO_WAIT 20s -> cancel 3s", "QUIET 1s -> ABORT 1s -> ORDERLY 1s -> cancel 1s", "ORDERLY 0s -> cancel 1s",
]  # fmt: skip

# ------------------------------------------------------------------------------------------ programs that are right


def submits(store: sync.Store) -> list[bytes]:
    kept = []
    for number in range(4):
        content = b"message %d" % number
        try:
            store.submit(content)
        except StoreClosing:
            kept.append(content)
    return kept


def forwards(store: sync.Store, sink: Sink) -> None:
    """What comes in is submitted inside the block of its source, so that a refusal goes back to the source."""
    for number in range(3):
        with store.inbound(peer=f"10.0.0.{number}"):
            store.submit(b"forwarded %d" % number)
    for item in store.outgoing(provider="mx1"):
        with item:
            assert item.message is not None
            sink(item.message)


def refuses_politely(store: sync.Store) -> None:
    with store.inbound(peer="10.0.0.7"):
        try:
            store.submit(b"polite")
        except StoreClosing as closing:
            raise ConnectionAbortedError(closing.smtp) from closing


def takes_back(store: sync.Store) -> None:
    store.withdraw(store.submit(b"a"))
    for number, item in zip(range(3), store.outgoing(), strict=False):
        with item:
            if number == 0:
                item.defer("451 later", after=5.0)
            else:
                item.fail("550 no", reported=True)
        store.submit(b"b")


def uncertain(store: sync.Store) -> None:
    store.submit(b"a")
    for item in store.outgoing():
        with suppress(ConnectionResetError), item:
            item.past_no_return()
            raise ConnectionResetError("link lost")


def with_workers(store: sync.Store, sink: Sink) -> None:
    def work() -> None:
        for item in store.outgoing():
            with item:
                assert item.message is not None
                sink(item.message)

    workers = [threading.Thread(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    with suppress(StoreClosing):
        for number in range(3):
            with store.inbound():
                store.submit(b"%d" % number)
    store.close("NO_WAIT 9s -> cancel 1s")
    for worker in workers:
        worker.join()


async def serves(store: aio.AsyncStore, sink: Sink) -> None:
    """A relay as they are: it takes in, sends slowly, and never ends by itself."""

    async def send(number: int) -> None:
        async for item in store.outgoing(provider=f"mx{number}"):
            with suppress(Stopped):
                async with item:
                    assert item.message is not None
                    await asyncio.sleep(4)
                    item.past_no_return()
                    sink(item.message)

    async def receive(number: int) -> None:
        with suppress(StoreClosing, Stopped):
            async with store.inbound(peer=f"10.0.0.{number}"):
                await asyncio.sleep(number)
                await store.submit(b"%d" % number)

    async with asyncio.TaskGroup() as group:
        for number in range(2):
            group.create_task(send(number))
        for number in range(3):
            group.create_task(receive(number))


async def ticks(store: aio.AsyncStore) -> None:
    while True:
        await store.submit(b"tick")
        await asyncio.sleep(1)


async def closes_itself(store: aio.AsyncStore) -> None:
    async with store:
        with suppress(StoreClosing):
            async with store.inbound():
                await store.submit(b"x")
        outcome = await store.close("ORDERLY 1s -> cancel 1s")
        assert outcome.raise_unless_released()


async def times_out(store: aio.AsyncStore) -> None:
    with suppress(StoreClosing, TimeoutError):
        async with asyncio.timeout(2), store.inbound():
            await asyncio.Event().wait()


RIGHT = [submits, forwards, takes_back, uncertain, with_workers, serves, ticks, closes_itself, times_out]


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("program", RIGHT, ids=lambda one: one.__name__)
def test_a_program_that_is_right_passes(program: Callable[..., object], plan: str) -> None:
    checked = loses_nothing(program, plan, limit=12)
    assert 0 < checked.steps <= 13
    assert checked.closings == checked.steps + 2


def test_the_steps_of_a_program_are_counted() -> None:
    assert loses_nothing(submits) == Checked(steps=4, closings=6)


def test_the_options_are_the_stores() -> None:
    seen = []

    def program(store: sync.Store) -> None:
        uncertain(store)
        seen.extend(store.messages("held"))

    loses_nothing(program, uncertain="hold")
    assert seen


# ------------------------------------------------------------------------------------------- programs that lose mail


def forgets(store: sync.Store) -> None:
    """It takes a message from its source, and swallows that the store is closing."""
    for number in range(2):
        with suppress(StoreClosing), store.inbound(), suppress(StoreClosing):
            store.submit(b"forgotten %d" % number)


def sends_after(store: sync.Store, sink: Sink) -> None:
    """It leaves the block, by which the message counts as sent, and sends it then."""
    store.submit(b"early")
    for item in store.outgoing():
        with item:
            message = item.message
        assert message is not None
        sink(message)


def leaves_open(store: sync.Store) -> None:
    """Its thread enters a block and never leaves it."""

    def work() -> None:
        with suppress(StoreClosing):
            item = store.inbound(peer="10.0.0.9")
            item.__enter__()
            held.append(item)

    held: list[sync.InFlight] = []
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


async def forgets_in_a_task(store: aio.AsyncStore) -> None:
    async def submit(number: int) -> None:
        await asyncio.sleep(number)
        await store.submit(b"forgotten %d" % number)

    await asyncio.gather(*map(submit, range(3)), return_exceptions=True)


async def sends_in_the_background(store: aio.AsyncStore, sink: Sink) -> None:
    """It hands the message to a task and says it is sent."""

    async def later(content: bytes) -> None:
        await asyncio.sleep(1)
        sink(content)

    tasks = []
    await store.submit(b"background")
    async for item in store.outgoing():
        async with item:
            assert item.message is not None
            tasks.append(asyncio.create_task(later(item.message.content)))


async def cannot_be_stopped(store: aio.AsyncStore) -> None:
    """It does not let its item be stopped by the plan's cancel step."""
    async with store.inbound(peer="10.0.0.9"):
        for _ in range(100):
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(10)


def breaks(store: sync.Store) -> None:
    try:
        store.submit(b"x")
        store.submit(b"y")
    except StoreClosing:
        raise KeyError("what a closing program trips over") from None


WRONG: list[tuple[Callable[..., object], str, int, str, str]] = [
    (forgets, PLANS[0], 1, "the message b'forgotten 0' was refused with StoreClosing, and the program forgot it",
     "inbound_begin,logoff_no_wait,inbound_received"),
    (sends_after, PLANS[0], 1, "b'early' counts as sent when close returns, and has not arrived",
     "submit,logoff_no_wait,outbound_begin,outbound_sent"),
    (leaves_open, PLANS[0], 1, "inbound in-1 from 10.0.0.9, 28.0 s, asked to end, which it does not notice (it has neither check() nor on_cancel())",
     "inbound_begin,logoff_no_wait,logoff_orderly,logoff_orderly"),
    (forgets_in_a_task, PLANS[0], 0, "the message b'forgotten 0' was refused with StoreClosing", "logoff_no_wait"),
    (sends_in_the_background, PLANS[1], 2, "b'background' counts as sent when close returns", "submit,outbound_begin,logoff_orderly,outbound_sent"),
    (cannot_be_stopped, PLANS[1], 1, "inbound in-1 from 10.0.0.9, 8.0 s is still in flight", "inbound_begin,logoff_orderly,logoff_orderly"),
    (breaks, PLANS[1], 0, "the program failed: KeyError: 'what a closing program trips over'", "logoff_orderly"),
]  # fmt: skip


@pytest.mark.parametrize(("program", "plan", "step", "problem", "trace"), WRONG, ids=lambda one: getattr(one, "__name__", ""))
def test_a_program_that_loses_mail_is_caught(
    program: Callable[..., object], plan: str, step: int, problem: str, trace: str
) -> None:
    with pytest.raises(LostMail) as caught:
        loses_nothing(program, plan)
    error = caught.value
    assert problem in str(error)
    assert ",".join(error.trace).startswith(trace), error
    assert str(error).endswith(f"trace: {','.join(error.trace)}")
    assert error.step == step, error


def test_a_program_that_is_broken_by_itself_says_so_itself() -> None:
    def program(store: sync.Store) -> None:
        store.submit("text")  # type: ignore[arg-type]

    with pytest.raises(TypeError, match="the content of a message is bytes, not str"):
        loses_nothing(program)


def test_a_plan_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="is no step of a plan"):
        loses_nothing(submits, "SOON 5s")


def test_a_polite_refusal_keeps_the_message_with_its_source() -> None:
    """The error it answers with is its own; what it was raised from is what counts."""
    with pytest.raises(LostMail, match=r"the program failed: ConnectionAbortedError: 421 4\.3\.2") as caught:
        loses_nothing(refuses_politely)
    assert caught.value.problems == (f"the program failed: ConnectionAbortedError: {StoreClosing.smtp}",)


# ------------------------------------------------------------------------------------------- programs that never rest


async def beats(store: aio.AsyncStore) -> None:
    """A server with a heartbeat, which takes no step of the store's session."""

    async def beat() -> None:
        while True:
            await asyncio.sleep(1)

    heart = asyncio.create_task(beat())
    with suppress(StoreClosing):
        async with store.inbound():
            await store.submit(b"x")
    await heart


async def polls(store: aio.AsyncStore) -> None:
    """It looks again and again, and never waits."""
    await store.submit(b"x")
    while True:
        await asyncio.sleep(0)


def rings(store: sync.Store) -> None:
    clock = store.clock

    def ring() -> None:
        clock.call_later(5, ring)

    ring()
    with suppress(StoreClosing):
        for item in store.outgoing():
            with item:
                pass


RESTLESS = [(beats, 3, "beats.<locals>.beat (test_closing.py:"), (polls, 1, "polls (test_closing.py:"), (rings, 0, "rings.<locals>.ring")]


@pytest.mark.parametrize(("program", "steps", "kept_going"), RESTLESS, ids=lambda one: getattr(one, "__name__", ""))
def test_a_program_that_never_rests_is_closed_after_some_time(program: Callable[..., object], steps: int, kept_going: str) -> None:
    checked = loses_nothing(program, "ORDERLY 5s -> cancel 3s", seconds=600)
    assert checked.steps == steps
    assert any(one.startswith(kept_going) for one in checked.kept_going), checked


async def clings(store: aio.AsyncStore) -> None:
    await store.submit(b"x")
    while True:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(1)


def test_a_program_that_cannot_be_ended_is_an_error_that_names_it() -> None:
    with pytest.raises(NeverEnds, match=r"still running: clings \(test_closing\.py:\d+\)$"):
        loses_nothing(clings, seconds=600)


def test_inside_a_running_loop_the_check_has_a_thread() -> None:
    async def test() -> Checked:
        with pytest.raises(RuntimeError, match=r"write `await loses_nothing\.in_loop\(program, …\)`"):
            loses_nothing(serves)
        with pytest.raises(LostMail):
            await loses_nothing.in_loop(forgets_in_a_task, PLANS[0])
        return await loses_nothing.in_loop(serves, PLANS[0], limit=5)

    assert asyncio.run(test()).steps > 0
