"""Messages taken by callbacks: in order, once each, ended without waiting, and given back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from fsm.logoff import Logoff
from fsm.store import AsyncStore, Database, Stopped
from fsm.store.aio import AsyncOutgoing

Taken = asyncio.Queue[AsyncOutgoing | None]
Work = Callable[[AsyncStore, Taken], Awaitable[None]]


@pytest.fixture(params=["memory", "sqlite"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Work], None]:
    """Run a piece of work with a store of three messages, and what was taken from it."""

    def run(work: Work) -> None:
        async def all_of_it() -> None:
            storage = Database(tmp_path / "mail.db") if request.param == "sqlite" else None
            async with AsyncStore(storage) as store:
                for n in range(3):
                    await store.submit(b"", id=str(n))
                async with asyncio.timeout(60):
                    await work(store, Taken())
                await store.close("ORDERLY 60s")

        asyncio.run(all_of_it())

    return run


async def item_of(taken: Taken) -> AsyncOutgoing:
    item = await taken.get()
    assert item is not None
    return item


async def states(store: AsyncStore) -> list[tuple[str, str]]:
    return [(message.id, message.state) for message in await store.messages()]


def test_each_call_gets_the_next_message_and_none_once_there_will_be_none(run: Callable[[Work], None]) -> None:
    async def work(store: AsyncStore, taken: Taken) -> None:
        for _ in range(5):
            store.take(taken.put_nowait)
        for n in range(3):
            async with await item_of(taken) as item:
                assert (item.id, item.message.id) == (str(n), str(n))
        await store.logoff(Logoff.NO_WAIT)
        assert [await taken.get() for _ in range(2)] == [None, None]
        assert (store.state, store.counters["sent"]) == ("released", 3)

    run(work)


def test_leaving_the_block_waits_for_nothing(run: Callable[[Work], None]) -> None:
    async def work(store: AsyncStore, taken: Taken) -> None:
        store.take(taken.put_nowait)
        item, turns = await item_of(taken), list[int]()
        asyncio.get_running_loop().call_soon(turns.append, 1)
        async with item:
            item.fail("550 no")
        assert (item.over, turns) == (True, [])
        async for _ in store.progress():
            if store.counters["failed"]:
                break
        assert await states(store) == [("0", "failed"), ("1", "ready"), ("2", "ready")]

    run(work)


def test_a_task_whose_item_is_stopped_goes_on_with_the_next(run: Callable[[Work], None]) -> None:
    async def work(store: AsyncStore, taken: Taken) -> None:
        for _ in range(2):
            store.take(taken.put_nowait)
        items = [await item_of(taken) for _ in range(2)]
        closing = store.begin_closing("ORDERLY 0s -> cancel 60s")
        for item in items:
            with pytest.raises(Stopped):
                async with item:
                    await asyncio.Event().wait()
        assert len((await asyncio.wrap_future(closing)).left) == 3

    run(work)


def test_who_has_left_the_line_gets_nothing_and_what_is_given_back_is_ready(run: Callable[[Work], None]) -> None:
    async def work(store: AsyncStore, taken: Taken) -> None:
        for _ in range(3):
            store.take(taken.put_nowait)
        items = [await item_of(taken) for _ in range(3)]
        store.take(taken.put_nowait)()
        store.give_back(items[0])
        async for now in store.progress():
            if now.ready:
                break
        assert ((await states(store))[0], taken.empty()) == (("0", "ready"), True)
        for item in items[1:]:
            async with item:
                pass

    run(work)


def test_a_callback_that_raises_is_logged_and_the_others_are_called(
    run: Callable[[Work], None], caplog: pytest.LogCaptureFixture
) -> None:
    async def work(store: AsyncStore, taken: Taken) -> None:
        def broken(item: AsyncOutgoing | None) -> None:
            taken.put_nowait(item)
            raise OSError("x")

        store.take(broken)
        store.take(taken.put_nowait)
        for n in range(2):
            async with await item_of(taken) as item:
                assert item.id == str(n)
        assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == ["a callback raised"]

    run(work)
