"""What others do with a message in the middle of a transaction: between two of its statements, or while one waits."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from fsm.store import Store
from fsm.store.sql.messages import FIND
from tests.store.conftest import Place, Server
from tests.store.contract.driven import LONG
from tests.store.contract.one import One

LOCKED = "SELECT 1 FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'"
WITHDRAW = ("withdraw",)
HOLD = ("set_aside", ("ready", "deferred"), "held")
RETRY = ("set_aside", ("deferred",), None)
DEFER, FAIL = ("defer", 1e12), ("fail", None)


def two(place: Place) -> tuple[One, One]:
    first, second = One(place.new()), One(place.new())
    first.open()
    second.open()
    return first, second


@pytest.mark.parametrize(
    ("call", "ending", "answer", "left"),
    [
        (WITHDRAW, DEFER, ("deferred", False), []),
        (WITHDRAW, FAIL, ("failed", False), []),
        (HOLD, DEFER, ("deferred", False), ["held"]),
        (HOLD, FAIL, ("failed", False), ["failed"]),
        (RETRY, DEFER, ("deferred", False), ["held"]),
    ],
)
def test_what_was_being_sent_and_comes_back_meanwhile_is_changed_if_the_answer_says_so(
    remote: Place, monkeypatch: pytest.MonkeyPatch, call: Any, ending: Any, answer: Any, left: list[str]
) -> None:
    ours, theirs = two(remote)
    (id,) = theirs.submit()
    assert theirs.claim() == [id]
    event, due = ending
    come_back = list[str]()
    with ours.transaction() as tx:
        driver = tx.tx.driver
        fetch = driver.fetch

        def meanwhile(text: str, *values: object) -> Any:
            if text == FIND and not come_back:  # nothing was changed, and now it is asked why
                come_back.append(id)
                theirs.do("ended", id, event, "later", due=due, wait=due)
            return fetch(text, *values)

        monkeypatch.setattr(driver, "fetch", meanwhile)
        method, *more = call
        assert getattr(tx, method)(id, *more) == answer
    assert come_back
    assert [message.state for message in ours.messages()] == left
    assert theirs.look().taken_deferred == (event == "defer")  # whose count it has left knows


def test_what_is_held_while_it_falls_due_stays_held(server: Server, remote: Place) -> None:
    ours, theirs = two(remote)
    (id,) = ours.submit()
    assert ours.claim() == [id]
    ours.do("ended", id, "defer", "later", due=1.0, wait=1.0)
    ours.deferred = 1
    with ThreadPoolExecutor(1) as pool:
        with theirs.transaction() as tx, psycopg.connect(host=str(server.folder), user="store", dbname="postgres", autocommit=True) as watching:
            assert tx.set_aside(id, ("deferred",), "a person wants it to wait") == ("deferred", False)
            falling = pool.submit(ours.do, "fall_due", 2.0, 10)
            while not watching.execute(LOCKED, [ours.storage.url.database]).fetchone():
                assert not falling.done()
        assert falling.result(60) == []
    assert [message.state for message in ours.messages()] == ["held"]
    ours.look()
    assert (ours.ready, ours.deferred) == (0, 0)


def test_what_is_withdrawn_while_the_queue_is_flushed_does_not_hold_up_the_logoff(server: Server, remote: Place) -> None:
    """PURGE counts the deferred message as ready while the flush waits for whoever withdraws it."""
    ours, theirs = Store(remote.new(), retry=LONG), One(remote.new())
    theirs.open()
    theirs.leave()  # who has been released may still withdraw, and is no peer
    id = ours.submit(b"")
    queue = ours.outgoing()
    with next(queue) as item:
        item.defer("later")
    with theirs.transaction() as tx, psycopg.connect(host=str(server.folder), user="store", dbname="postgres", autocommit=True) as watching:
        assert tx.withdraw(id) == ("deferred", False)
        purging = ours._core.logoff("logoff_purge")
        while not watching.execute(LOCKED, [theirs.storage.url.database]).fetchone():
            assert not purging.done()
    assert purging.result(60).released
    assert ours.progress_now().counters["taken_by_peers"] == 1
    ours.let_go()
    again = Store(remote.new())
    assert (again.session.ready, again.session.deferred, again.messages()) == (0, 0, [])
    again.let_go()


def test_a_message_that_falls_due_while_the_queue_is_read_is_there_once(database: Place) -> None:
    ours, theirs = two(database)
    (id,) = ours.submit()
    assert ours.claim() == [id]
    ours.do("ended", id, "defer", "later", due=1.0, wait=1.0)
    fallen = list[str]()

    def fall_due(_: object, __: object, statement: str, *___: object) -> None:
        if "FROM fsm_messages" in statement:  # there may be another
            fallen.extend(ours.do("fall_due", 2.0, 10))

    sa.event.listen(sa.Engine, "after_cursor_execute", fall_due)
    try:
        assert [message.id for message in theirs.messages()] == [id]
    finally:
        sa.event.remove(sa.Engine, "after_cursor_execute", fall_due)
    assert fallen == [id]
    assert [message.state for message in ours.messages()] == ["ready"]
