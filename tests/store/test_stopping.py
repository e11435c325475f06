"""An item in a thread is asked to end: it looks, or is called, or the outcome says that it does neither.  After its end it is freed."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from typing import cast
from weakref import ref

import pytest

from fsm.store import AsyncStore, Stopped, Store
from fsm.store.aio import AsyncOutgoing
from fsm.store.in_flight import DEAF, Item

PLAN = "cancel 60s"
AT_ONCE = "cancel 0s"


def in_flight(store: Store, work: Callable[[Item], object]) -> threading.Thread:
    """Begin to send a message in a thread; return once it is in flight."""
    began = threading.Event()

    def deliver() -> None:
        for item in store.outgoing():
            with suppress(Stopped), item:
                began.set()
                work(item)

    thread = threading.Thread(target=deliver)
    thread.start()
    store.submit(b"one")
    began.wait()
    return thread


def test_check_raises_stopped_and_the_message_stays() -> None:
    def work(item: Item) -> None:
        while True:
            item.check()

    with Store() as store:
        thread = in_flight(store, work)
        outcome = store.close(PLAN)
        thread.join()
        assert (bool(outcome), outcome.left[0].reason) == (True, "the store closes and its time is over")


Work = Callable[[Item], object]
LOOKS: dict[str, tuple[Work, bool]] = {
    "nothing": (lambda item: None, True),
    "progress": (lambda item: item.progress("DATA"), True),
    "check": (lambda item: item.check(), False),
    "stopped": (lambda item: item.stopped, False),
    "on_cancel": (lambda item: item.on_cancel(lambda reason: None), False),
}


@pytest.mark.parametrize("how", LOOKS)
def test_the_outcome_says_of_an_item_that_does_not_notice(how: str) -> None:
    looks, deaf = LOOKS[how]
    ready, goes_on = threading.Event(), threading.Event()

    def work(item: Item) -> None:
        looks(item)
        ready.set()
        goes_on.wait()
        raise Stopped("at last")

    store = Store()
    thread = in_flight(store, work)
    ready.wait()
    assert DEAF not in str(store.blockers()[0])
    outcome = store.close(AT_ONCE)
    assert (DEAF in str(outcome)) is deaf
    goes_on.set()
    thread.join()
    store.let_go()


def test_in_asyncio_an_item_always_notices() -> None:
    async def main() -> None:
        async with AsyncStore() as store:
            item = store.inbound()
            await item.__aenter__()
            store.begin_closing(AT_ONCE)
            assert DEAF not in str(store.blockers()[0])
            await item.__aexit__(None, None, None)

    asyncio.run(main())


def test_what_it_is_stays_beside_how_far_it_is() -> None:
    with Store() as store, store.inbound(what="work(2, 30)") as item:
        assert store.blockers()[0].note == "work(2, 30)"
        item.progress("15")
        item.progress()
        assert store.blockers()[0].note == "work(2, 30), 15"


def test_what_was_sent_is_freed_with_its_block() -> None:
    async def send() -> ref[AsyncOutgoing]:
        async with AsyncStore() as store:
            await store.submit(b"hello", recipients=("a@example.org",))
            stream = store.outgoing()
            item = await anext(stream)
            async with item:
                pass
            sent = ref(item)
            del item
            await cast("AsyncGenerator[AsyncOutgoing, None]", stream).aclose()
            return sent

    gc.disable()
    try:
        assert asyncio.run(send())() is None
    finally:
        gc.enable()
