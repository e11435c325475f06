"""What went wrong once, when the store was attacked: one case for each, made to happen and not waited for.

Invariant of every case: what is in flight or in the queue is what the session counts and the storage holds, whatever
fails meanwhile, and whoever closes the store comes back.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from threading import Event
from typing import Any

import pytest

from fsm.logoff import Logoff
from fsm.store import Retry, StorageError, Store, StoreClosing, aio
from fsm.store.claims import Claims
from fsm.store.memory import MemoryStorage
from fsm.store.sql import read_journal
from fsm.store.step import PendingStep
from fsm.testing.clock import SimulatedClock
from tests.store.conftest import Place
from tests.store.contract.driven import (
    IMPATIENT,
    LONG,
    MOST,
    agree,
    awaited,
    in_thread,
    next_item,
    one_batch,
    scheduled,
)

# --------------------------------------------------------------------------------------- messages, and who counts them


def test_a_message_withdrawn_while_it_was_about_to_be_claimed_takes_no_other_with_it(shared: Callable[..., Store]) -> None:
    store = shared()
    ids = [store.submit(b"%d" % n) for n in range(3)]
    with one_batch(store):
        gone = store._core.outbox.withdraw(ids[1])
        waiting = scheduled(store, lambda _: [next_item(store) for _ in ids]).result
    gone.result(MOST)
    items = [future.result(MOST) for future in waiting(MOST)[:2]]
    assert [item and item.id for item in items] == [ids[0], ids[2]]
    agree(store)
    assert (store.counters["withdrawn"], store.counters["taken_by_peers"]) == (1, 0)


def test_a_drain_whose_whole_queue_was_taken_is_released_and_has_left(shared: Callable[..., Store]) -> None:
    store = shared()
    later, now = store.submit(b"later"), store.submit(b"now")
    with next_item(store).result(MOST) as item:
        item.defer("451 later", after=3600)
    assert item.id == later
    assert (store.session.ready, store.session.deferred) == (1, 1)
    assert not store.logoff(Logoff.NO_WAIT).released
    other = shared()
    assert other.session.peers == 1
    other.withdraw(later)
    other.withdraw(now)
    in_thread(lambda: [*store.progress()])()
    assert store.state == "released"
    assert store.counters["taken_by_peers"] == 2
    next(p for p in other.progress() if p.peers == 0)
    assert other.messages() == []


def test_whoever_heard_of_peers_while_the_storage_was_locked_hears_of_them_later(file: Place) -> None:
    store = Store(file.new(patience=IMPATIENT))
    with closing(sqlite3.connect(file.where, isolation_level=None)) as other:
        scheduled(store).result(MOST)
        other.execute("BEGIN IMMEDIATE")
        looked = Event()
        log = store._core.peers._refreshed
        store._core.peers._refreshed = lambda error: (log(error), looked.set())  # type: ignore[method-assign]
        store._core.peers.refresh()
        assert looked.wait(MOST)
        other.execute("ROLLBACK")
    second = Store(file.new())
    result = in_thread(lambda: next(p.peers for p in store.progress() if p.peers))
    try:
        assert result() == 1
    finally:
        second.let_go()
        store.let_go()


def test_what_a_peer_left_while_the_storage_was_locked_is_taken_over_all_the_same(file: Place) -> None:
    """Nobody rings a second time: who could not look then looks again by itself."""
    store, second = Store(file.new(patience=IMPATIENT)), Store(file.new())
    next(p for p in store.progress() if p.peers == 1)
    second.submit(b"x")
    failed = Event()
    look = store._core.peers._refreshed
    store._core.peers._refreshed = lambda error: (look(error), failed.set() if error else None)  # type: ignore[method-assign]
    second.logoff(Logoff.ABORT)
    with closing(sqlite3.connect(file.where, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        while not failed.wait(0.1):
            store._core.peers.refresh()
        other.execute("ROLLBACK")
    try:
        assert in_thread(lambda: next(p.ready for p in store.progress() if p.ready))() == 1
    finally:
        second.let_go()
        store.let_go()


def test_a_deferred_message_on_a_storage_that_cannot_write_is_tried_with_rests(file: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    storage, forbidden = file.new(), True
    clock = SimulatedClock()
    store = Store(storage, clock=clock, retry=Retry(first=10))
    store.submit(b"x")
    with next_item(store).result(MOST) as item:
        item.defer("451 later")

    def reads_only(driver: Any, only: bool) -> Any:
        driver.run(f"PRAGMA query_only = {int(only)}")
        return driver

    # a real failure, at once and not after some patience
    connect = type(storage._opened).connect
    monkeypatch.setattr(type(storage._opened), "connect", lambda opened, patience: reads_only(connect(opened, patience), forbidden))
    tried: list[float] = []
    decide = store._core.deferred._fall_due
    store._core.deferred._fall_due = lambda moment: (tried.append(clock.monotonic()), decide(moment))  # type: ignore[method-assign,func-returns-value]
    for _ in range(30):
        for seconds in (1.0, 0.0, 0.0, 0.0):
            clock.advance(seconds)
            scheduled(store).exception(MOST)
    assert 5 <= len(tried) <= 25, tried
    forbidden = False
    for _ in range(3):
        clock.advance(1.0)
        scheduled(store).result(MOST)
    agree(store)
    assert store.session.ready == 1
    store.let_go()


def test_a_message_put_off_for_longer_than_the_schedule_s_longest_waits_so_long() -> None:
    clock = SimulatedClock()
    store = Store(clock=clock, retry=Retry(first=10, longest=100))
    store.submit(b"x")
    with next_item(store).result(MOST) as item:
        item.defer("tomorrow", after=86_400)
    clock.advance(86_000)
    assert (store.session.ready, store.session.deferred) == (0, 1)
    clock.advance(401)
    assert (store.session.ready, store.session.deferred) == (1, 0)
    store.let_go()


@pytest.mark.parametrize("after", [float("nan"), float("inf"), -1.0])
def test_a_time_that_is_none_is_refused_where_it_is_said(after: float) -> None:
    store = Store()
    store.submit(b"x")
    item = next_item(store).result(MOST)
    with pytest.raises(ValueError, match="seconds"), item:
        item.defer("later", after=after)
    assert (store.session.ready, store.session.deferred) == (0, 1)
    store.let_go()


def test_who_is_given_a_later_message_does_not_overtake_who_was_given_an_earlier_one(file: Place) -> None:
    async def case() -> None:
        store, began = aio.AsyncStore(file.new()), []

        async def work(name: str) -> None:
            async for item in store.outgoing():
                began.append((name, item.id))
                async with item:
                    return

        ask = store._core.next_item

        def answered(new: Any) -> Any:
            future = ask(new)
            future.result(MOST)  # before it is looked whether it is there
            return future

        first = asyncio.create_task(work("first"))
        await asyncio.sleep(0)
        ids = [store._core.outbox.submit(b"x", "", ()).result(MOST) for _ in range(2)]  # the loop stands still meanwhile
        store._core.next_item = answered  # type: ignore[method-assign]
        await asyncio.gather(first, asyncio.create_task(work("second")))
        assert began == [("first", ids[0]), ("second", ids[1])]
        store.let_go()

    awaited(case())


def test_an_item_that_was_given_back_cannot_be_sent_as_well(shared: Callable[..., Store]) -> None:
    store = shared()
    store.submit(b"x")
    outgoing = store.outgoing(provider="mx1")
    first = next(outgoing)
    waiting = next_item(store, "mx2")
    outgoing.close()  # not entered: the next in line has it now
    second = waiting.result(MOST)
    assert second.provider == "mx2"
    with pytest.raises(RuntimeError, match="given back"), first:
        raise AssertionError("it would have been sent twice")
    assert store.blockers()[0].provider == "mx2"
    store._core.abandon(second)


def test_an_iterator_that_is_not_kept_gives_its_item_back_and_the_error_says_how_to_write_it() -> None:
    store = Store()
    id = store.submit(b"x")
    with pytest.raises(RuntimeError, match=rf"^{id} was given back .* keep it: for item in store.outgoing"), next(store.outgoing()):
        raise AssertionError("it would have been sent")
    assert [message.state for message in store.messages()] == ["deferred"]
    store.let_go()


def test_a_block_is_entered_once_and_not_without_being_admitted() -> None:
    store = Store()
    item = store.inbound()
    with item:
        pass
    with pytest.raises(RuntimeError, match="was entered before; ask for another item"), item:
        pass
    late = store.inbound()
    with store.inbound():
        store.logoff(Logoff.ORDERLY)
        for _ in range(2):
            with pytest.raises(StoreClosing), late:
                raise AssertionError("it was not admitted")
        assert store.session.inbound == 1
    store.let_go()


# --------------------------------------------------------------------------------------------------- when it fails


def test_what_is_refused_or_taken_over_is_counted_once_also_when_its_transaction_is_made_again(file: Place) -> None:
    store = Store(file.new())
    item = store.inbound()
    item.__enter__()
    store.logoff(Logoff.ORDERLY)

    def broken(_: PendingStep) -> None:
        raise StorageError("not now")

    with one_batch(store):
        refused = store._core.outbox.submit(b"x", "", ())
        failing = scheduled(store, broken)
    assert isinstance(refused.exception(MOST), StoreClosing)
    assert isinstance(failing.exception(MOST), StorageError)
    assert store.counters["refused_new"] == 1
    store.let_go()


def test_a_claim_that_fails_in_the_middle_leaves_nothing_claimed(file: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(file.new())
    store.submit(b"x")
    claimed = Claims.claimed

    def fails(self: Claims, step: PendingStep, *args: Any, **more: Any) -> None:
        claimed(self, step, *args, **more)
        if len(failed) < 2:
            failed.append(1)
            raise RuntimeError("after the claim")

    failed: list[int] = []
    monkeypatch.setattr(Claims, "claimed", fails)
    item = next_item(store).result(MOST)
    agree(store)
    with item:
        pass
    agree(store)
    store.let_go()


def test_the_journal_begins_with_its_start_also_when_the_first_transaction_failed(file: Place) -> None:
    store = Store(file.new(patience=IMPATIENT))
    with closing(sqlite3.connect(file.where, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageError, match="locked"):
            store.submit(b"not yet")
        other.execute("ROLLBACK")
    store.submit(b"x")
    told = b"".join(read_journal(file.where)).decode()
    assert '"start"' in told
    assert told.index('"start"') < told.index('"submit"')
    store.let_go()


def test_a_store_that_cannot_be_opened_is_not_open() -> None:
    class Broken(MemoryStorage):
        broken = True

        def transaction(self, *, fenced: bool = True) -> Any:
            if self.broken:
                raise StorageError("not now")
            return super().transaction()

    storage = Broken()
    with pytest.raises(StorageError, match="not now"):
        Store(storage)
    storage.broken = False
    Store(storage).let_go()


def test_a_task_whose_item_was_stopped_is_not_left_cancelled_whatever_its_block_made_of_it() -> None:
    async def case() -> None:
        store = aio.AsyncStore(retry=LONG)
        await store.submit(b"x")
        began = asyncio.Event()
        left: list[int] = []

        async def send() -> None:
            task = asyncio.current_task()
            assert task is not None
            async for item in store.outgoing():
                with pytest.raises(OSError, match="hung up"):  # noqa: PT012 - the block is what is tested
                    async with item:
                        began.set()
                        try:
                            await asyncio.Event().wait()
                        except asyncio.CancelledError:
                            raise OSError("hung up") from None
                left.append(task.cancelling())

        task = asyncio.create_task(send())
        await began.wait()
        assert await store.close("cancel 30s")
        await task
        assert left == [0]
        store.let_go()

    awaited(case())


def test_a_store_whose_loop_has_ended_can_still_be_let_go(file: Place) -> None:
    async def case() -> Any:
        store = aio.AsyncStore(file.new(), retry=Retry(first=0.0))
        await store.submit(b"x")
        outgoing = store.outgoing()
        item = await anext(outgoing)
        await item.__aenter__()
        return store, item

    store, item = awaited(case())
    for end in [store._core.endings.end(item, item.ending(OSError("x"))), store._core.outbox.submit(b"y", "", ())]:
        assert end.exception(MOST) is None
    in_thread(lambda: [store.let_go()])()
    again = Store(file.new(), retry=LONG)
    assert again.session.ready + again.session.deferred == 2
    again.let_go()


def test_a_callback_that_is_added_while_an_item_is_stopped_is_called_once() -> None:
    store = Store()
    with store.inbound() as item:
        told: list[str] = []

        class Stops(list[Any]):
            def append(self, call: Any) -> None:
                super().append(call)
                stopping.append(in_thread(lambda: [store._core.stop([item], "now")]))
                stopped.wait(0.2)

        stopping: list[Any] = []
        stopped = Event()
        stop = item.stop
        item.stop = lambda reason: (stop(reason), stopped.set())[0]  # type: ignore[method-assign]
        item._on_cancel = Stops()
        item.on_cancel(told.append)
        stopping[0]()
        assert told == ["now"]
    store.let_go()
