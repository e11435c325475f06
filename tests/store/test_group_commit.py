"""The desk: one order, several tasks in one transaction, all or nothing, and nobody fails for another's sake."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import Any

import pytest

from fsm.logoff import StoreSession
from fsm.store import StorageError
from fsm.store.group_commit import Desk, Draft
from fsm.store.message import Message, new_id
from fsm.store.sql.database import Database, read
from fsm.verdict import Refused


class Counted(Database):
    """A real database that counts its transactions, and can be held up before one."""

    def __init__(self, where: Path) -> None:
        super().__init__(where)
        self.commits = 0
        self.gate = threading.Event()
        self.gate.set()

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        self.gate.wait(60)
        with super().transaction() as tx:
            yield tx
        self.commits += 1


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Counted]:
    storage = Counted(tmp_path / "store.db")
    storage.open()
    yield storage
    storage.close()


@pytest.fixture
def desk(storage: Counted) -> Iterator[Desk]:
    desk = Desk(StoreSession(), storage, "here", lock=RLock(), changed=lambda: None, thread=True)
    yield desk
    storage.gate.set()
    desk.close()


def submit(content: bytes = b"x") -> Any:
    def decide(draft: Draft) -> str:
        message = Message(new_id(), content)
        draft.fire("submit", message=message.id)
        draft.tx.submit(message)
        return message.id

    return decide


def test_what_waits_is_one_transaction_and_is_done_in_order(desk: Desk, storage: Counted) -> None:
    desk.ask(submit()).result(60)
    storage.gate.clear()
    first = desk.ask(submit())  # this one may be under way by itself
    futures = [first, *(desk.ask(submit()) for _ in range(20))]
    before = storage.commits
    storage.gate.set()
    ids = [future.result(60) for future in futures]
    assert ids == sorted(ids)
    assert storage.commits - before <= 2
    assert [message.id for message in storage.messages()][1:] == ids
    assert desk._session.ready == 22


def test_the_session_steps_after_the_commit(desk: Desk, storage: Counted) -> None:
    seen: list[int] = []

    class Looks:
        def on_transition(self, step: Any) -> None:
            seen.append(len(storage.messages()))

    desk._session.listen(Looks())
    storage.gate.clear()
    future = desk.ask(submit())
    assert desk._session.ready == 0
    storage.gate.set()
    future.result(60)
    assert seen == [1]


def bad(draft: Draft) -> None:
    draft.fire("submit")
    raise ValueError("no")


def full(draft: Draft) -> None:
    draft.fire("submit")
    draft.tx.submit(Message("ill", b"x"))
    raise StorageError("the disk is full")


@pytest.mark.parametrize(("wrong", "error"), [(bad, ValueError), (full, StorageError), (lambda draft: draft.fire("outbound_sent"), Refused)])
def test_one_that_fails_takes_nothing_with_it(desk: Desk, storage: Counted, wrong: Any, error: type[Exception]) -> None:
    desk.ask(submit()).result(60)
    storage.gate.clear()
    futures = [desk.ask(task) for task in (submit(), submit(), wrong, submit())]
    storage.gate.set()
    with pytest.raises(error):
        futures[2].result(60)
    for future in (futures[0], futures[1], futures[3]):
        future.result(60)
    assert desk._session.ready == 4
    assert len(storage.messages()) == 4


def test_a_task_that_was_cancelled_before_its_turn_is_left_out(desk: Desk, storage: Counted) -> None:
    storage.gate.clear()
    first = desk.ask(submit())
    while not first.running():
        first.done()  # its batch is made up now, and waits at the gate
    future = desk.ask(submit())
    assert future.cancel()
    storage.gate.set()
    desk.ask(lambda draft: None).result(60)
    assert [message.id for message in storage.messages()] == [first.result(60)]


def test_the_journal_tells_what_the_session_did(desk: Desk, storage: Counted, tmp_path: Path) -> None:
    from fsm.journal import replay
    from fsm.logoff import LOGOFF

    for _ in range(3):
        desk.ask(submit()).result(60)
    journal = tmp_path / "journal.jsonl"
    journal.write_bytes(b"".join(read(tmp_path / "store.db")))
    with journal.open("rb") as file:
        assert replay(LOGOFF, file) is None
    assert journal.read_text().count('"submit"') == 3


def test_after_closing_nothing_is_taken(desk: Desk) -> None:
    future = desk.ask(submit())
    desk.close()
    assert future.result(0)
    with pytest.raises(StorageError, match="let go"):
        desk.ask(submit()).result(0)
    desk.close()


def test_in_memory_a_task_asked_in_the_middle_of_another_comes_after_it() -> None:
    from fsm.store.memory import MemoryStorage

    storage = MemoryStorage()
    storage.open()
    desk = Desk(StoreSession(), storage, "here", lock=RLock(), changed=lambda: None, thread=False)
    order: list[str] = []

    class Asks:
        def on_transition(self, step: Any) -> None:
            order.append(step.event)
            if step.event == "submit":
                assert desk.inside
                assert not desk.ask(lambda draft: draft.fire("abort_submit")).done()
                order.append("asked")

    desk._session.listen(Asks())
    desk.ask(submit()).result(0)
    assert order == ["submit", "asked", "abort_submit"]
    assert not desk.inside


@pytest.mark.parametrize("thread", [True, False])
def test_what_follows_from_a_batch_is_in_its_transaction(storage: Counted, thread: bool) -> None:
    seen: list[list[str]] = []

    def last(draft: Draft) -> None:
        if draft.queued:
            (message,) = draft.tx.claim(draft.queued)
            draft.fire("outbound_begin", message=message.id)
            assert (message.content, message.attempts, message.state) == (b"x", 1, "claimed")
            seen.append([*draft.queued])

    def ask(draft: Draft) -> str:
        id: str = submit()(draft)
        draft.queued.append(id)
        return id

    session = StoreSession()
    desk = Desk(session, storage, "here", lock=RLock(), changed=lambda: None, last=last, thread=thread)
    try:
        desk.ask(lambda draft: None).result(60)
        before = storage.commits
        id = desk.ask(ask).result(60)
        assert storage.commits == before + 1
        assert seen == [[id]]
        assert (session.ready, session.outbound) == (0, 1)
        assert [(message.id, message.state, message.attempts) for message in storage.messages()] == [(id, "claimed", 1)]
    finally:
        desk.close()


@pytest.mark.parametrize("error", [StorageError("the claim cannot be"), ValueError("a mistake")])
def test_when_what_follows_cannot_be_the_batch_is_done_all_the_same(storage: Counted, error: Exception) -> None:
    def last(draft: Draft) -> None:
        draft.fire("submit")
        raise error

    session, missed = StoreSession(), list[Exception]()
    desk = Desk(session, storage, "here", lock=RLock(), changed=lambda: None, last=last, missed=missed.append, thread=True)
    try:
        id = desk.ask(submit()).result(60)
        assert [message.id for message in storage.messages("ready")] == [id]
        assert session.ready == 1
        assert missed
        assert all(str(error) in str(one) for one in missed)
    finally:
        desk.close()


def test_a_storage_that_takes_no_transaction_now_fails_everybody_at_once(storage: Counted) -> None:
    session, tried = StoreSession(), list[int]()
    desk = Desk(session, storage, "here", lock=RLock(), changed=lambda: None, thread=True)
    try:
        desk.ask(lambda draft: None).result(60)
        storage.gate.clear()
        first = desk.ask(lambda draft: tried.append(1))
        futures = [first, *(desk.ask(lambda draft: tried.append(1)) for _ in range(5))]
        connection, storage._connection = storage._connection, None
        engine, storage._engine = storage._engine, None
        storage.gate.set()
        for future in futures:
            with pytest.raises(StorageError, match="is not open"):
                future.result(60)
        storage._connection, storage._engine = connection, engine
        assert tried == []
        assert desk.ask(submit()).result(60)
        assert session.ready == 1
    finally:
        desk.close()
