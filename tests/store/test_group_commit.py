"""Group commit: one order, several tasks in one transaction, all or nothing, and nobody fails for another's sake."""

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
from fsm.store.group_commit import GroupCommit, PendingStep
from fsm.store.message import Message, new_id
from fsm.store.sql import Database, read_journal
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
def commit(storage: Counted) -> Iterator[GroupCommit]:
    commit = started(StoreSession(), storage, thread=True)
    yield commit
    storage.gate.set()
    commit.close()


def started(session: StoreSession, storage: Any, *, thread: bool, **hooks: Any) -> GroupCommit:
    commit = GroupCommit(session, storage, "here", lock=RLock(), thread=thread)
    commit.start(lambda: None, **hooks)
    return commit


def submit(content: bytes = b"x") -> Any:
    def decide(step: PendingStep) -> str:
        message = Message(new_id(), content)
        step.fire("submit", message=message.id)
        step.tx.submit(message)
        return message.id

    return decide


def test_what_waits_is_one_transaction_and_is_done_in_order(commit: GroupCommit, storage: Counted) -> None:
    commit.schedule(submit()).result(60)
    storage.gate.clear()
    first = commit.schedule(submit())  # this one may be under way by itself
    futures = [first, *(commit.schedule(submit()) for _ in range(20))]
    before = storage.commits
    storage.gate.set()
    ids = [future.result(60) for future in futures]
    assert ids == sorted(ids)
    assert storage.commits - before <= 2
    assert [message.id for message in storage.messages()][1:] == ids
    assert commit._session.ready == 22


def test_the_session_steps_after_the_commit(commit: GroupCommit, storage: Counted) -> None:
    seen: list[int] = []

    class Looks:
        def on_transition(self, step: Any) -> None:
            seen.append(len(storage.messages()))

    commit._session.listen(Looks())
    storage.gate.clear()
    future = commit.schedule(submit())
    assert commit._session.ready == 0
    storage.gate.set()
    future.result(60)
    assert seen == [1]


def bad(step: PendingStep) -> None:
    step.fire("submit")
    raise ValueError("no")


def full(step: PendingStep) -> None:
    step.fire("submit")
    step.tx.submit(Message("ill", b"x"))
    raise StorageError("the disk is full")


@pytest.mark.parametrize(("wrong", "error"), [(bad, ValueError), (full, StorageError), (lambda step: step.fire("outbound_sent"), Refused)])
def test_one_that_fails_takes_nothing_with_it(commit: GroupCommit, storage: Counted, wrong: Any, error: type[Exception]) -> None:
    commit.schedule(submit()).result(60)
    storage.gate.clear()
    futures = [commit.schedule(task) for task in (submit(), submit(), wrong, submit())]
    storage.gate.set()
    with pytest.raises(error):
        futures[2].result(60)
    for future in (futures[0], futures[1], futures[3]):
        future.result(60)
    assert commit._session.ready == 4
    assert len(storage.messages()) == 4


def test_a_task_that_was_cancelled_before_its_turn_is_left_out(commit: GroupCommit, storage: Counted) -> None:
    storage.gate.clear()
    first = commit.schedule(submit())
    while not first.running():
        first.done()  # its batch is made up now, and waits at the gate
    future = commit.schedule(submit())
    assert future.cancel()
    storage.gate.set()
    commit.schedule(lambda step: None).result(60)
    assert [message.id for message in storage.messages()] == [first.result(60)]


def test_the_journal_tells_what_the_session_did(commit: GroupCommit, storage: Counted, tmp_path: Path) -> None:
    from fsm.journal import replay
    from fsm.logoff import LOGOFF

    for _ in range(3):
        commit.schedule(submit()).result(60)
    journal = tmp_path / "journal.jsonl"
    journal.write_bytes(b"".join(read_journal(tmp_path / "store.db")))
    with journal.open("rb") as file:
        assert replay(LOGOFF, file) is None
    assert journal.read_text().count('"submit"') == 3


def test_after_closing_nothing_is_taken(commit: GroupCommit) -> None:
    future = commit.schedule(submit())
    commit.close()
    assert future.result(0)
    with pytest.raises(StorageError, match="let go"):
        commit.schedule(submit()).result(0)
    commit.close()


def test_in_memory_a_task_asked_in_the_middle_of_another_comes_after_it() -> None:
    from fsm.store.memory import MemoryStorage

    storage = MemoryStorage()
    storage.open()
    commit = started(StoreSession(), storage, thread=False)
    order: list[str] = []

    class Asks:
        def on_transition(self, step: Any) -> None:
            order.append(step.event)
            if step.event == "submit":
                assert commit.is_current_thread
                assert not commit.schedule(lambda step: step.fire("abort_submit")).done()
                order.append("asked")

    commit._session.listen(Asks())
    commit.schedule(submit()).result(0)
    assert order == ["submit", "asked", "abort_submit"]
    assert not commit.is_current_thread


@pytest.mark.parametrize("thread", [True, False])
def test_what_follows_from_a_batch_is_in_its_transaction(storage: Counted, thread: bool) -> None:
    seen: list[list[str]] = []

    def last(step: PendingStep) -> None:
        if step.ready_ids:
            (message,) = step.tx.claim(step.ready_ids)
            step.fire("outbound_begin", message=message.id)
            assert (message.content, message.attempts, message.state) == (b"x", 1, "claimed")
            seen.append([*step.ready_ids])

    def ask(step: PendingStep) -> str:
        id: str = submit()(step)
        step.ready_ids.append(id)
        return id

    session = StoreSession()
    commit = started(session, storage, thread=thread, at_end=last)
    try:
        commit.schedule(lambda step: None).result(60)
        before = storage.commits
        id = commit.schedule(ask).result(60)
        assert storage.commits == before + 1
        assert seen == [[id]]
        assert (session.ready, session.outbound) == (0, 1)
        assert [(message.id, message.state, message.attempts) for message in storage.messages()] == [(id, "claimed", 1)]
    finally:
        commit.close()


@pytest.mark.parametrize("error", [StorageError("the claim cannot be"), ValueError("a mistake")])
def test_when_what_follows_cannot_be_the_batch_is_done_all_the_same(storage: Counted, error: Exception) -> None:
    def last(step: PendingStep) -> None:
        step.fire("submit")
        raise error

    session, missed = StoreSession(), list[Exception]()
    commit = started(session, storage, thread=True, at_end=last, on_failure=missed.append)
    try:
        id = commit.schedule(submit()).result(60)
        assert [message.id for message in storage.messages("ready")] == [id]
        assert session.ready == 1
        assert missed
        assert all(str(error) in str(one) for one in missed)
    finally:
        commit.close()


def test_a_storage_that_takes_no_transaction_now_fails_everybody_at_once(storage: Counted) -> None:
    session, tried = StoreSession(), list[int]()
    commit = started(session, storage, thread=True)
    try:
        commit.schedule(lambda step: None).result(60)
        storage.gate.clear()
        first = commit.schedule(lambda step: tried.append(1))
        futures = [first, *(commit.schedule(lambda step: tried.append(1)) for _ in range(5))]
        opened, storage._opened = storage._opened, None
        storage.gate.set()
        for future in futures:
            with pytest.raises(StorageError, match="is not open"):
                future.result(60)
        storage._opened = opened
        assert tried == []
        assert commit.schedule(submit()).result(60)
        assert session.ready == 1
    finally:
        commit.close()
