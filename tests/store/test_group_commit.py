"""Group commit: one order, several tasks in one transaction, all or nothing, and nobody fails for another's sake."""

from __future__ import annotations

import sqlite3
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fsm.logoff import Logoff
from fsm.store import Spooler, StorageError, Store, group_commit
from fsm.store.claims import VAIN
from fsm.store.group_commit import SILENCE
from fsm.store.message import Message, new_id
from fsm.store.sql import Database, read_journal
from fsm.store.step import PendingStep
from fsm.store.storage import News
from fsm.verdict import Refused
from tests.store.contract.driven import next_item, scheduled


class Counted(Database):
    """A real database that counts its transactions, and can be held up before one."""

    def __init__(self, where: Path) -> None:
        super().__init__(where)
        self.commits = 0
        self.rings: list[News] = []
        self.gate = threading.Event()
        self.gate.set()

    @contextmanager
    def transaction(self, *, fenced: bool = True) -> Iterator[Any]:
        self.gate.wait(60)
        with super().transaction(fenced=fenced) as tx:
            yield tx
        self.commits += 1

    def ring(self, news: News) -> None:
        self.rings.append(news)
        super().ring(news)


@pytest.fixture
def storage(tmp_path: Path) -> Counted:
    return Counted(tmp_path / "store.db")


@pytest.fixture
def store(storage: Counted) -> Iterator[Store]:
    store = Store(storage)
    yield store
    storage.gate.set()
    store.let_go()


def submit(content: bytes = b"x") -> Any:
    def decide(step: PendingStep) -> str:
        message = Message(new_id(), content)
        step.fire("submit", message=message.id)
        step.tx.submit(step.handle, message)
        return message.id

    return decide


def test_what_waits_is_one_transaction_and_is_done_in_order(store: Store, storage: Counted) -> None:
    scheduled(store, submit()).result(60)
    storage.gate.clear()
    first = scheduled(store, submit())  # this one may be under way by itself
    futures = [first, *(scheduled(store, submit()) for _ in range(20))]
    before = storage.commits
    storage.gate.set()
    ids = [future.result(60) for future in futures]
    assert ids == sorted(ids)
    assert storage.commits - before <= 2
    assert [message.id for message in store.messages()][1:] == ids
    assert store.session.ready == 22


def test_the_session_steps_after_the_commit(store: Store, storage: Counted) -> None:
    seen: list[int] = []

    class Looks:
        def on_transition(self, step: Any) -> None:
            seen.append(len(store.messages()))

    store.session.listen(Looks())
    storage.gate.clear()
    future = scheduled(store, submit())
    assert store.session.ready == 0
    storage.gate.set()
    future.result(60)
    assert seen == [1]


def bad(step: PendingStep) -> None:
    step.fire("submit")
    raise ValueError("no")


def full(step: PendingStep) -> None:
    step.fire("submit")
    step.tx.submit(step.handle, Message("ill", b"x"))
    raise StorageError("the disk is full")


@pytest.mark.parametrize(("wrong", "error"), [(bad, ValueError), (full, StorageError), (lambda step: step.fire("outbound_sent"), Refused)])
def test_one_that_fails_takes_nothing_with_it(store: Store, storage: Counted, wrong: Any, error: type[Exception]) -> None:
    scheduled(store, submit()).result(60)
    storage.gate.clear()
    futures = [scheduled(store, task) for task in (submit(), submit(), wrong, submit())]
    storage.gate.set()
    with pytest.raises(error):
        futures[2].result(60)
    for future in (futures[0], futures[1], futures[3]):
        future.result(60)
    assert store.session.ready == 4
    assert len(store.messages()) == 4


def test_a_task_that_was_cancelled_before_its_turn_is_left_out(store: Store, storage: Counted) -> None:
    storage.gate.clear()
    first = scheduled(store, submit())
    while not first.running():
        first.done()  # its batch is made up now, and waits at the gate
    future = scheduled(store, submit())
    assert future.cancel()
    storage.gate.set()
    scheduled(store, lambda step: None).result(60)
    assert [message.id for message in store.messages()] == [first.result(60)]


def test_the_journal_tells_what_the_session_did(store: Store, storage: Counted, tmp_path: Path) -> None:
    from fsm.journal import replay
    from fsm.logoff import LOGOFF

    for _ in range(3):
        scheduled(store, submit()).result(60)
    journal = tmp_path / "journal.jsonl"
    journal.write_bytes(b"".join(read_journal(tmp_path / "store.db")))
    with journal.open("rb") as file:
        assert replay(LOGOFF, file) is None
    assert journal.read_text().count('"submit"') == 3


def test_after_closing_nothing_is_taken(store: Store) -> None:
    future = scheduled(store, submit())
    store.let_go()
    assert future.result(0)
    with pytest.raises(StorageError, match="let go"):
        scheduled(store, submit()).result(0)
    store.let_go()


def test_in_memory_a_task_asked_in_the_middle_of_another_comes_after_it() -> None:
    store = Store()
    order: list[str] = []

    class Asks:
        def on_transition(self, step: Any) -> None:
            order.append(step.event)
            if step.event == "submit":
                assert store._core.commit.is_current_thread
                assert not scheduled(store, lambda step: step.fire("abort_submit")).done()
                order.append("asked")

    store.session.listen(Asks())
    scheduled(store, submit()).result(0)
    assert order == ["submit", "asked", "abort_submit"]
    assert not store._core.commit.is_current_thread
    store.let_go()


def test_a_message_that_somebody_waits_for_is_submitted_and_claimed_in_one_commit(store: Store, storage: Counted) -> None:
    waiting = next_item(store)
    scheduled(store).result(60)
    before = storage.commits
    id = store.submit(b"x")
    item = waiting.result(60)
    assert storage.commits == before + 1
    assert (item.id, item.message.content, item.message.attempts) == (id, b"x", 1)
    assert [(message.id, message.state) for message in store.messages()] == [(id, "claimed")]
    store._core.abandon(item)


def test_a_batch_of_several_stores_is_one_commit(storage: Counted) -> None:
    with Spooler(storage) as spooler:
        stores = spooler.open_many(f"store {n}" for n in range(20))
        storage.gate.clear()
        first = stores[0]._core.outbox.submit(b"x", "", ())
        futures = [first, *(store._core.outbox.submit(b"x", "", ()) for store in stores)]
        before = storage.commits
        storage.gate.set()
        assert len({future.result(60) for future in futures}) == 21
        assert storage.commits - before <= 2
        assert [store.session.ready for store in stores] == [2] + 19 * [1]
        spooler.close("ORDERLY 0s")


def test_when_a_store_fails_the_others_of_its_batch_do_not(storage: Counted) -> None:
    """Its mistakes are its own: of a task, of a listener, and of whoever claims a message."""
    with Spooler(storage) as spooler:
        good, bad_one, asks = spooler.open_many(("good", "bad", "asks"))
        bad_one.session.listen(type("Bad", (), {"on_transition": lambda self, step: 1 / 0})())
        storage.gate.clear()
        futures = [scheduled(one, submit()) for one in (good, good, bad_one)]
        wrong = scheduled(asks, bad)
        storage.gate.set()
        for future in futures:
            future.result(60)
        with pytest.raises(ValueError, match="no"):
            wrong.result(60)
        assert [store.session.ready for store in (good, bad_one, asks)] == [2, 1, 0]
        with next_item(good).result(60) as item:
            assert item.message.content == b"x"
        spooler.close("ORDERLY 0s")


@pytest.mark.parametrize("durable", [False, True])
@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_who_causes_a_step_gets_the_exit_that_a_listener_raises_and_the_store_goes_on(
    storage: Counted, durable: bool, error: type[BaseException]
) -> None:
    store = Store(storage if durable else None)

    class Exits:
        def on_transition(self, step: Any) -> None:
            if step.event == "submit":
                raise error("now")

    listener = store.session.listen(Exits())
    with pytest.raises(error):
        store.submit(b"x")
    store.session.forget(listener)
    store.submit(b"y")
    assert store.session.ready == len(store.messages()) == 2
    store.on_released(lambda: sys.exit("released"))
    with pytest.raises(SystemExit):
        store.logoff(Logoff.ORDERLY)
    assert store.state == "released"
    store.let_go()


def test_a_storage_that_takes_no_transaction_now_fails_everybody_at_once(store: Store, storage: Counted) -> None:
    tried: list[int] = []
    scheduled(store).result(60)
    storage.gate.clear()
    futures = [scheduled(store, lambda step: tried.append(1)) for _ in range(6)]
    opened, storage._opened = storage._opened, None
    storage.gate.set()
    for future in futures:
        with pytest.raises(StorageError, match="is not open"):
            future.result(60)
    storage._opened = opened
    assert tried == []
    assert scheduled(store, submit()).result(60)
    assert store.session.ready == 1


def test_only_the_time_of_the_storages_own_calls_is_its_silence(
    store: Store, storage: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program's own slowness, in a listener or in many tasks together, is not the storage's."""
    commit, now, silent = store._core.commit, [0.0], list[bool]()
    monkeypatch.setattr(group_commit, "monotonic", lambda: now[0])

    def is_slow(_: object = None) -> None:
        now[0] += 2 * SILENCE

    def looks(_: object = None) -> None:
        silent.append(commit.silent or commit.in_the_way is not None)

    class Slow:
        def on_transition(self, step: Any) -> None:
            is_slow()
            looks()

    store.session.listen(Slow())
    storage.gate.clear()
    futures = [scheduled(store, task) for task in (submit(), is_slow, looks)]
    for _ in range(60_000):
        if commit.silent:
            break
        is_slow()
        threading.Event().wait(0.001)
    assert commit.silent, "it was asked for a transaction, and has not answered"
    assert commit.in_the_way is not None
    storage.gate.set()
    for future in futures:
        future.result(60)
    scheduled(store, is_slow).result(60)
    looks()
    assert silent == [False, False, False]


def test_what_is_counted_and_not_there_is_not_claimed_at_full_speed(
    store: Store, storage: Counted, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever deletes messages behind a store's back makes it count what is not there; it pauses, and goes on."""
    store.submit(b"deleted")
    with sqlite3.connect(str(storage.url.database)) as other:
        other.execute("DELETE FROM fsm_messages")
    other.close()
    waiting = next_item(store)
    for _ in range(60_000):
        if any("1 are counted as ready, and none is found" in one for one in caplog.messages):
            break
        threading.Event().wait(0.001)
    else:
        pytest.fail("it says nothing")
    assert storage.commits < 5 * VAIN
    id = store.submit(b"x")
    assert waiting.result(60).id == id
    store._core.abandon(waiting.result(0))


def test_stores_that_close_together_are_one_transaction_one_ring_and_one_turn_for_their_outcomes(storage: Counted) -> None:
    with Spooler(storage) as spooler:
        stores = spooler.open_many(f"s{number}" for number in range(20))
        storage.gate.clear()
        first = scheduled(stores[0])
        while not first.running():
            first.done()  # its batch is made up now, and waits at the gate
        closing = spooler.begin_closing("ORDERLY 60s")
        storage.rings.clear()
        commits = storage.commits
        storage.gate.set()
        assert len(closing.result(60).stores) == 20
        assert storage.commits - commits <= 3
        assert storage.rings == [News("peers", frozenset(store._state.handle.number for store in stores))]
        commits = storage.commits
    assert storage.commits - commits <= 1, "released stores have nothing to say when they are let go"


def test_what_follows_a_task_is_told_of_its_end_once_and_its_mistakes_are_its_own(
    store: Store, storage: Counted, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[BaseException | None] = []

    def then(error: BaseException | None) -> None:
        told.append(error)
        raise KeyError("mine")

    commit, state = store._core.commit, store._state
    for decide in (lambda _: None, bad, submit()):
        commit.enqueue(state, decide, then, "a task")
    scheduled(store).result(60)
    storage.gate.clear()
    commit.enqueue(state, lambda _: None, then, "one that is not answered")
    commit.abandon()
    storage.gate.set()
    store.let_go()
    kinds = [type(error) for error in told]
    assert sorted(map(str, kinds)) == sorted(map(str, [type(None), ValueError, type(None), StorageError]))
    assert "what follows a task failed" in caplog.text
