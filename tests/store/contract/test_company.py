"""Several stores on one database: in one process, in several real ones, and as if on several hosts.

Invariant: whoever leaves, in whatever order, each message is sent by exactly one of them or stays in the queue.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from fsm.logoff import Logoff, LogoffStatus
from fsm.store import AsyncStore, StorageError, Store
from tests.store.conftest import Place
from tests.store.contract.driven import MOST, one_batch, scheduled
from tests.store.contract.faces import Trace, run
from tests.store.contract.one import One
from tests.store.contract.shop import Shop


async def until(store: AsyncStore, holds: Callable[[Any], bool]) -> Any:
    """The first news of which this holds."""
    async for progress in store.progress():
        if holds(progress):
            return progress
    raise AssertionError(f"it never came: {store}")


async def send_all(store: AsyncStore, sent: list[bytes], go: asyncio.Event | None = None) -> None:
    async for item in store.outgoing(provider="test"):
        async with item:
            if go is not None:
                await go.wait()
            assert item.message is not None
            sent.append(item.message.content)


@pytest.mark.parametrize("flag", Logoff)
def test_one_of_two_is_complete_at_once_and_the_other_sends_the_queue(database: Place, flag: Logoff) -> None:
    async def case() -> None:
        one, two = AsyncStore(database.new(host="a")), AsyncStore(database.new(host="b"))
        ids = [await one.submit(b"%d" % n) for n in range(3)]
        await until(one, lambda p: p.peers == 1)
        await until(two, lambda p: p.peers == 1)
        trace = Trace(two)
        outcome = await one.logoff(flag)
        assert (outcome.released, outcome.status, outcome.to_peers) == (True, LogoffStatus.COMPLETE, True)
        assert (outcome.request, outcome.queued, outcome.left) == (flag, 0, ())
        await until(two, lambda p: (p.ready, p.peers) == (3, 0))
        assert trace.events == ["peer_closed", "submit", "submit", "submit"]
        sent: list[bytes] = []
        worker = asyncio.create_task(send_all(two, sent))
        last = await two.close("NO_WAIT 30s")
        await worker
        assert sent == [b"0", b"1", b"2"]
        assert (last.status, last.to_peers, len(ids)) == (LogoffStatus.COMPLETE, False, 3)
        one.let_go()
        two.let_go()

    run(case())


def test_what_is_in_flight_ends_here_before_close_returns_and_no_longer_touches_the_session(database: Place) -> None:
    async def case() -> None:
        one, two = AsyncStore(database.new(host="a")), AsyncStore(database.new(host="b"))
        await one.submit(b"sent")
        await one.submit(b"deferred")
        began: list[Any] = []
        go = asyncio.Event()

        async def send() -> None:
            async for item in one.outgoing():
                async with item:
                    began.append(item)
                    await go.wait()
                    assert item.message is not None
                    if item.message.content == b"deferred":
                        item.defer("451 later", after=0.0)

        workers = [asyncio.create_task(send()) for _ in range(2)]
        await until(one, lambda p: p.outbound == 2 and p.peers == 1)
        closing = asyncio.create_task(one.close("QUIET 30s"))
        await until(one, lambda p: p.state == "released")
        assert not closing.done()
        assert len(one.blockers()) == 2
        trace = Trace(one)
        go.set()
        outcome = await closing
        await asyncio.gather(*workers)
        assert outcome.status is LogoffStatus.COMPLETE
        assert trace.events == []
        await until(two, lambda p: (p.ready, p.peers) == (1, 0))
        assert [m.reason for m in await two.messages("ready")] == ["451 later"]
        one.let_go()
        two.let_go()

    run(case())


def test_a_peer_with_free_hands_takes_what_waits(database: Place) -> None:
    async def case() -> None:
        one, two = AsyncStore(database.new(host="a")), AsyncStore(database.new(host="b"))
        await until(one, lambda p: p.peers == 1)
        trace, sent = Trace(one), []
        worker = asyncio.create_task(send_all(two, sent))
        await one.submit(b"x")
        await until(one, lambda p: p.ready == 0)
        assert trace.events == ["submit", "abort_submit"]
        assert one.counters["taken_by_peers"] == 1
        await until(two, lambda p: p.counters["sent"] == 1)
        assert sent == [b"x"]
        await one.close("QUIET 30s")
        assert await two.close("QUIET 30s")
        await worker
        one.let_go()
        two.let_go()

    run(case())


def test_a_note_about_what_is_not_counted_yet_is_read_when_it_is(database: Place) -> None:
    store, peer = Store(database.new(host="a")), One(database.new(host="b"))
    peer.open()
    scheduled(store).result(MOST)
    with store._state.lock:  # between the commit and the step
        submitted = store._core.outbox.submit(b"x", "", ())
        while not (taken := peer.do("take")):
            assert not submitted.done()
        store._core.peers.noted()
        assert store.session.ready == 0
    assert [message.id for message in taken] == [submitted.result(MOST)]
    scheduled(store).result(MOST)
    assert (store.session.ready, store.counters["taken_by_peers"]) == (0, 1)
    peer.close()
    store.let_go()


def test_who_counts_nothing_reads_no_notes(database: Place) -> None:
    store = Store(database.new())
    scheduled(store).result(MOST)
    with one_batch(store):
        store._core.peers.noted()
        assert not store._core.commit._queue.qsize()
    store.let_go()


def test_the_mail_of_a_killed_process_is_taken_over_and_what_it_was_sending_is_uncertain(database: Place, tmp_path: Path) -> None:
    shop = Shop(database.where)
    database.children.append(shop)
    first, second = shop.ask("submit", texts=["first", "second"])
    assert shop.ask("claim")

    async def case() -> None:
        store = AsyncStore(database.new())
        assert store.session.peers == 1
        shop.kill()
        await until(store, lambda p: (p.ready, p.peers) == (2, 0))
        sent: list[bytes] = []
        worker = asyncio.create_task(send_all(store, sent))
        kept = {message.id: message.uncertain for message in await store.messages()}
        outcome = await store.close("NO_WAIT 30s")
        await worker
        assert sent == [b"first", b"second"]
        assert kept.get(second, 0) == 0
        assert kept.get(first, 1) == 1
        assert outcome.released
        store.let_go()

    run(case())


def test_of_several_that_close_together_exactly_one_is_the_last(database: Place, tmp_path: Path) -> None:
    shops = [Shop(database.where, host=f"host{n}") for n in range(4)]
    database.children += shops
    for n, shop in enumerate(shops):
        shop.ask("submit", texts=[f"{n}a", f"{n}b"])
        shop.ask("send", path=str(tmp_path / "sent"))
    for shop in shops:
        shop.say("close", plan="NO_WAIT 30s")
    ends = [shop.hear() for shop in shops]
    assert [released for released, _, _ in ends] == [True] * 4
    assert [to_peers for _, to_peers, _ in ends].count(False) == 1
    for shop in shops:
        shop.ask("end")
    sent = sorted((tmp_path / "sent").read_text().split())
    assert sent == sorted(f"{n}{letter}" for n in range(4) for letter in "ab")


def test_a_storage_that_cannot_write_now_steps_nothing_and_endings_are_made_up_for(file: Place) -> None:
    async def case() -> None:
        store = AsyncStore(file.new(patience=1.0))
        await store.submit(b"x")
        trace = Trace(store)
        other = sqlite3.connect(file.where, isolation_level=None)
        async for item in store.outgoing():
            with pytest.raises(StorageError, match=r"locked|busy"):
                async with item:
                    other.execute("BEGIN IMMEDIATE")
            break
        with pytest.raises(StorageError):
            await store.submit(b"y")
        outcome = asyncio.create_task(store.close("NO_WAIT 30s"))
        blocker, storage = store.blockers()
        assert "not recorded" in str(blocker)
        assert storage.direction == "storage"
        assert "is locked by another program" in str(storage)
        assert trace.events == ["outbound_begin"]
        other.execute("ROLLBACK")
        assert await outcome
        assert sorted(trace.events) == ["logoff_no_wait", "outbound_begin", "outbound_sent"]  # whichever came first
        assert await store.messages() == []
        store.let_go()
        other.close()

    run(case())


def test_the_mail_of_the_last_time_is_there_the_next_time(database: Place) -> None:
    async def case() -> None:
        store = AsyncStore(database.new())
        ids = [await store.submit(b"%d" % n) for n in range(3)]
        async for item in store.outgoing():
            async with item:
                item.defer("451 later", after=3600)
            break
        outcome = await store.close("ORDERLY 30s")
        assert outcome.status == LogoffStatus.COMPLETE | LogoffStatus.OUTBOUND_QUEUE
        assert [message.id for message in outcome.left] == ids
        store.let_go()
        again = AsyncStore(database.new())
        assert (again.session.ready, again.session.deferred) == (2, 1)
        again.let_go()

    run(case())


HOUR: Final = 3600.0


def taken_for_dead(database: Place) -> list[str]:
    """Another host, by whose clock every lease has ended, adopts what others had, and goes; what it adopted."""
    peer = Store(database.new(host="b", clock=lambda: time.time() + HOUR))
    adopted = [message.id for message in peer.messages("ready")]
    peer.let_go()
    return adopted


def test_who_was_taken_for_dead_counts_what_it_takes_over_again_once(database: Place) -> None:
    """Its messages became a peer's, and then nobody's, before it heard of anything."""
    async def case() -> None:
        store = AsyncStore(database.new(host="a"))
        ids = [await store.submit(b"%d" % n) for n in range(3)]
        store._core.peers._scheduled = True  # it is just about to look around
        assert taken_for_dead(database) == ids
        sent: list[bytes] = []
        await store.logoff(Logoff.NO_WAIT)
        assert store.session.ready == 3
        await send_all(store, sent)
        assert sent == [b"0", b"1", b"2"]
        assert store.state == "released"
        store.let_go()

    run(case())


def test_a_message_in_flight_twice_since_its_process_was_taken_for_dead_is_in_the_way_until_both_end(database: Place) -> None:
    async def case() -> None:
        store = AsyncStore(database.new(host="a"))
        (id,) = [await store.submit(b"x")]
        (first, second) = [aiter(store.outgoing()) for _ in range(2)]
        async with await anext(first) as item:
            assert taken_for_dead(database) == [id]
            store._core.peers.refresh()  # as at its next renewal
            again = await anext(second)
            assert (again.id, again.message.attempts, again.message.uncertain) == (id, 2, 1)
            await again.__aenter__()
            assert item.message.attempts == 1
        assert [blocker.id for blocker in store.blockers()] == [id]
        assert store.session.outbound == 1
        await again.__aexit__(None, None, None)
        assert store.blockers() == ()
        assert await store.messages() == []
        assert await store.close("QUIET 10s")
        store.let_go()

    run(case())


def test_a_peer_with_free_hands_takes_all_that_waits(database: Place) -> None:
    async def case() -> None:
        one, two = AsyncStore(database.new()), AsyncStore(database.new())
        await until(one, lambda p: p.peers == 1)
        sent: list[bytes] = []
        worker = asyncio.create_task(send_all(two, sent))
        await asyncio.gather(*(one.submit(b"%d" % n) for n in range(100)))
        await until(two, lambda p: p.counters["sent"] == 100)
        assert sorted(sent, key=int) == [b"%d" % n for n in range(100)]
        await until(one, lambda p: p.ready == 0)
        one.let_go()
        assert await two.close("QUIET 30s")
        await worker
        two.let_go()

    run(case())
