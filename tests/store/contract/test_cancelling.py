"""Cancelled at any await, hung up on, timed out: no item stays behind, and no message is anywhere but where it may be.

The program is run again and again, cancelled one step of the loop later each time, until it is no longer cut short.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from fsm.store import AsyncStore, Database, Retry, Stopped, StoreClosing
from fsm.store.memory import MemoryStorage
from tests.store.contract.driven import scheduled


async def program(store: AsyncStore, sent: list[str], received: list[int], submitted: list[str]) -> None:
    async def take_in() -> None:
        for number in range(3):
            async with store.inbound(peer="a peer") as item:
                await asyncio.sleep(0)
                item.progress("DATA")
                await asyncio.sleep(0)
                received.append(number)

    async def send() -> None:
        mine = 0
        async for item in store.outgoing(provider="mx"):
            async with item:
                await asyncio.sleep(0)
                sent.append(item.id)
            mine += 1
            if mine == 2:
                return

    async with asyncio.TaskGroup() as group:
        group.create_task(take_in())
        group.create_task(send())
        group.create_task(send())
        for _ in range(4):
            submitted.append(await store.submit(b"x"))


async def cut_after(steps: int, storage: Any) -> bool:
    """Cancel the program after so many steps of the loop; whether it was still running."""
    store = AsyncStore(storage, retry=Retry(first=3600))
    sent: list[str] = []
    received: list[int] = []
    submitted: list[str] = []
    task = asyncio.create_task(program(store, sent, received, submitted))
    for _ in range(steps):
        await asyncio.sleep(0)
        if task.done():
            break
    running = task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    outcome = await asyncio.wait_for(store.close("ORDERLY 30s"), 40)
    assert outcome, str(outcome)
    assert store.blockers() == ()
    kept = await store.messages()
    assert {message.state for message in kept} <= {"ready", "deferred"}
    counted = store.counters
    assert counted["submitted"] == counted["sent"] + len(kept)
    assert set(submitted) <= set(sent) | {message.id for message in kept}
    assert counted["received"] + counted["refused_inbound"] >= len(received) >= counted["received"]
    store.let_go()
    return running


def test_cancelled_at_every_step_of_the_loop_in_memory() -> None:
    async def all_of_them() -> int:
        steps = 0
        while await cut_after(steps, MemoryStorage()):
            steps += 1
        return steps

    assert asyncio.run(asyncio.wait_for(all_of_them(), 120)) >= 8


@pytest.mark.parametrize("steps", [*range(0, 40, 2), 60, 80, 120, 200, 400])
def test_cancelled_somewhere_on_a_real_database(tmp_path: Path, steps: int) -> None:
    asyncio.run(asyncio.wait_for(cut_after(steps, Database(tmp_path / "store.db")), 60))


def test_a_timeout_around_a_block_ends_its_item() -> None:
    async def case() -> None:
        store = AsyncStore()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0), store.inbound():
                await asyncio.Event().wait()
        assert store.counters["refused_inbound"] + store.counters["refused_new"] <= 1
        assert store.blockers() == ()
        assert await store.close("ABORT 30s")

    asyncio.run(case())


def test_an_item_that_is_stopped_leaves_its_block_by_stopped_and_the_task_goes_on() -> None:
    async def case() -> list[str]:
        store = AsyncStore(retry=Retry(first=3600))
        await store.submit(b"x")
        told: list[str] = []
        began = asyncio.Event()

        async def send() -> None:
            async for item in store.outgoing():
                try:
                    async with item:
                        began.set()
                        await asyncio.Event().wait()
                except Stopped as stopped:
                    told.append(stopped.reason)
            await asyncio.sleep(0)  # a task that was left cancelled would end here
            told.append("went on")

        task = asyncio.create_task(send())
        await began.wait()
        outcome = await store.close("cancel 30s")
        await task
        assert outcome
        assert [message.reason for message in outcome.left] == told[:1]
        return told

    assert asyncio.run(case()) == ["the store closes and its time is over", "went on"]


def test_somebody_else_s_cancelling_is_not_taken_for_ours() -> None:
    async def case() -> None:
        store = AsyncStore()
        began = asyncio.Event()

        async def take_in() -> None:
            async with store.inbound():
                began.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(take_in())
        await began.wait()
        closing = asyncio.create_task(store.close("cancel 30s"))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await closing
        with pytest.raises(StoreClosing):
            await store.submit(b"x")

    asyncio.run(case())


@pytest.mark.parametrize("shielded", [False, True])
def test_a_submission_that_is_cancelled_before_its_turn_is_taken_back_unless_it_is_shielded(tmp_path: Path, shielded: bool) -> None:
    async def case() -> None:
        store, began, may = AsyncStore(Database(tmp_path / "store.db")), Event(), Event()
        scheduled(store, lambda _: (began.set(), may.wait(60)))
        began.wait(60)  # otherwise the submission could be in the same batch, and under way when it is cancelled
        task = asyncio.create_task(store.submit(b"x", shielded=shielded))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()
        may.set()
        scheduled(store).result(60)
        assert [message.state for message in await store.messages()] == ["ready"] * shielded
        assert store.session.ready == shielded
        store.let_go()

    asyncio.run(case())
