"""One contract for spoolers, for threads and asyncio, in memory and on both databases: many stores, closed together."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from fsm.logoff import Logoff
from fsm.store import AsyncSpooler, Database, NotReleased, Retry, Spooler, StorageError, Store, StoreClosing
from fsm.store.message import Message
from fsm.testing.clock import SimulatedClock
from tests.store.conftest import Place
from tests.store.contract.driven import MOST, in_thread, next_item, one_batch
from tests.store.contract.faces import run


def test_each_store_is_a_session_of_its_own(place: Place) -> None:
    with Spooler(place.new()) as spooler:
        a, b = spooler.open_many(("a", "b"))
        ids = [a.submit(b"a"), b.submit(b"b")]
        assert ([m.id for m in a.messages()], [m.id for m in b.messages()]) == ([ids[0]], [ids[1]])
        for item in a.outgoing():
            with item:
                assert item.message is not None
                assert item.message.content == b"a"
            break
        assert a.logoff(Logoff.NO_WAIT)
        assert (a.state, b.state, b.session.ready) == ("released", "open", 1)
        a.let_go()
        assert spooler.names == ("b",)
        again = spooler.open("a", uncertain="hold", retry=Retry(first=1))
        assert again.state == "open"
        with pytest.raises(StorageError, match="the store 'b' is open already in this spooler; use that one"):
            spooler.open("b")
        spooler.close("ORDERLY 0s")
    assert not spooler.in_service


@pytest.mark.parametrize("ends", ["before", "after"])
def test_what_ends_too_late_is_uncertain_while_the_spooler_goes_on(place: Place, ends: str) -> None:
    """A store was let go while it sent a message; whether its storage has heard of that when the message ends is chance."""
    with Spooler(place.new()) as spooler:
        store = spooler.open("a")
        id = store.submit(b"x")
        item = next_item(store).result(MOST)
        item.__enter__()
        if ends == "before" and spooler._core.storage.durable:
            with one_batch(store):
                going = in_thread(store.let_go)
                while not store.closed:
                    pass
                item.__exit__(None, None, None)
            going()
        else:
            store.let_go()
            item.__exit__(None, None, None)
        assert "counts as uncertain" in str(item.unrecorded)
        again = spooler.open("a")
        assert [(one.id, one.state, one.uncertain) for one in again.messages()] == [(id, "ready", 1)]
        assert again.close("ABORT 10s")


def test_closing_all_is_one_outcome_for_each_store_and_one_sentence(place: Place) -> None:
    clock = SimulatedClock()
    with Spooler(place.new(), clock=clock) as spooler:
        stores = spooler.open_many(f"s{n}" for n in range(5))
        stores[1].submit(b"x")
        item = stores[2].inbound(peer="10.0.0.7")
        item.__enter__()
        assert spooler.blockers == {"s2": stores[2].blockers()}
        noticed: list[int] = []
        stores[0].on_notice(lambda: noticed.append(sum(store.in_service for store in stores)))
        done = spooler.begin_closing("ORDERLY 30s")
        for store in stores:  # nothing new begins, in any store
            with pytest.raises(StoreClosing):
                store.submit(b"late")
        with pytest.raises(StoreClosing, match="the spooler is closing and opens no more stores"):
            spooler.open("late")
        assert noticed == [4]
        clock.advance(29)
        assert not done.done()
        clock.advance(2)
        outcome = clock.result(done)
        assert [(name, bool(one)) for name, one in outcome.stores.items()] == [(f"s{n}", n != 2) for n in range(5)]
        assert not outcome
        assert list(outcome.blockers) == ["s2"]
        assert "4 of 5 stores released" in str(outcome)
        assert "1 message in the queues; in the way: s2: inbound in-1 from 10.0.0.7" in str(outcome)
        with pytest.raises(NotReleased, match="s2"):
            outcome.raise_unless_released()
        item.__exit__(None, None, None)
        assert clock.result(spooler.begin_closing("ORDERLY 30s"))


def test_a_signal_takes_the_next_step_in_all_stores(place: Place) -> None:
    with Spooler(place.new()) as spooler:
        stores = spooler.open_many("abc")
        items = [store.inbound() for store in stores]
        for item in items:
            item.__enter__()
        stopped: list[str] = []
        for item in items:
            item.on_cancel(stopped.append)
        done = spooler.begin_closing("ORDERLY 60s -> cancel 60s")
        spooler.next_step()
        while len(stopped) < 3:
            stores[0]._spooler.commit.schedule(stores[0]._state, lambda _: None).result(60)
        for item in items:
            item.__exit__(None, None, None)
        assert done.result(60)


def test_asyncio_opens_and_closes_without_blocking_its_loop(place: Place) -> None:
    async def case() -> None:
        async with AsyncSpooler(place.new()) as spooler:
            stores = await spooler.open_many(f"s{n}" for n in range(20))
            await asyncio.gather(*(store.submit(b"x") for store in stores))
            one = await spooler.open("one")
            async with one.inbound():
                pass
            outcome = await spooler.close("ORDERLY 30s")
            assert outcome
            assert sum(one.queued for one in outcome.stores.values()) == 20
            with pytest.raises(StoreClosing):
                await spooler.open("late")

    run(case())


def test_if_one_cannot_be_opened_none_stays_open(database: Place) -> None:
    with Spooler(database.new()) as spooler:
        spooler.open("b")
        with pytest.raises(StorageError, match="open already"):
            spooler.open_many("abc")
        spooler.open("c")
        spooler.open("d")  # after "a" was let go again
        assert spooler.names == ("b", "c", "d")


def test_what_stays_is_told_at_once_and_read_when_it_is_looked_at(place: Place) -> None:
    with Spooler(place.new()) as spooler:
        store = spooler.open("a")
        ids = [store.submit(b"%d" % n) for n in range(5)]
        outcome = spooler.close("ORDERLY 30s").stores["a"]
        assert len(outcome.left) == 5
        assert repr(outcome.left) == "<5 messages>"
        assert [message.id for message in outcome.left] == ids
        assert outcome.left[1:3][0].id == ids[1]


def test_the_last_message_that_is_deferred_while_a_store_drains_is_counted_once(database: Place) -> None:
    with Store(database.new()) as store:
        store.submit(b"x")
        store.logoff(Logoff.NO_WAIT)
        for item in store.outgoing():
            with item:
                item.defer("not now", after=3600)
        assert store.session.complete
    for _ in range(2):
        with Store(database.new()) as again:
            assert (again.session.ready, again.session.deferred) == (0, 1)
            assert len(again.close("ORDERLY 30s").left) == 1


def test_many_stores_cost_few_threads_connections_and_files(database: Place) -> None:
    threads, files = threading.active_count(), len([*Path("/proc/self/fd").iterdir()])
    with Spooler(database.new()) as spooler:
        stores = spooler.open_many(f"store {n}" for n in range(3000))
        assert len({store.holder for store in stores}) == 3000
        assert threading.active_count() - threads <= 5
        assert len([*Path("/proc/self/fd").iterdir()]) - files <= 30
        storage: Any = database.made[0]
        assert storage._opened.engine.pool.checkedout() <= 5
        assert spooler.close("ABORT 60s")


def test_the_length_of_a_queue_is_not_in_memory(file: Place) -> None:
    content = b"in the queue"
    with Spooler(file.new()) as spooler:
        store = spooler.open("a")
        for _ in range(20):
            futures = [store._core.outbox.submit(content, "", ()) for _ in range(250)]
            for future in futures:
                future.result(60)
        gc.collect()
        found = [one for one in gc.get_objects() if isinstance(one, Message) and one.content == content]
        assert not found
        assert store.session.ready == 5000
        spooler.close("ORDERLY 0s")


# ------------------------------------------------------------------------------------------------- closing ends


@pytest.mark.parametrize("plan", ["ORDERLY 0.2s", "NO_WAIT 0.1s -> ORDERLY 0.1s -> cancel 0.1s"])
def test_closing_ends_while_the_file_is_locked_and_names_it(tmp_path: Path, plan: str) -> None:
    """Also for a store that is idle, and whatever the patience of the database is."""
    where = tmp_path / "store.db"
    spooler = Spooler(Database(where, patience=60.0))
    stores = spooler.open_many("ab")
    with closing(sqlite3.connect(where, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        outcome = spooler.close(plan)
        assert not outcome
        assert [blocker.direction for found in outcome.blockers.values() for blocker in found] == ["storage", "storage"]
        assert f"in the way: storage {where}" in str(outcome)
        assert "no answer to: logoff_" in str(outcome)
        assert stores[0].state == "open"
        spooler.let_go()
        other.execute("ROLLBACK")
    with Spooler(Database(where)) as again:
        assert again.open("a").state == "open"


def test_nobody_waits_for_ever_for_a_storage_that_was_let_go(tmp_path: Path) -> None:
    where = tmp_path / "store.db"
    spooler = Spooler(Database(where, patience=60.0))
    store = spooler.open("a")
    with closing(sqlite3.connect(where, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        waiting: list[Callable[[], Any]] = [store._core.outbox.submit(b"x", "", ()).result for _ in range(3)]
        spooler.let_go()
        for result in waiting:
            with pytest.raises(StorageError, match="does not answer, and the store was let go: the change may have been made") as caught:
                result()
            assert not caught.value.certain
        other.execute("ROLLBACK")
