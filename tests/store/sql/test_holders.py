"""The holders of a store as others see them; and transactions of holders that are killed or lose their server."""

from __future__ import annotations

import itertools
import json
import os
import sqlite3

import psycopg
import pytest

from fsm.store.errors import StorageError
from fsm.store.sql.messages import list_messages
from fsm.store.storage import Share
from tests.store.conftest import Place, Server
from tests.store.contract.test_storage import do, submitted
from tests.store.sql.callback import peers, watching

pytestmark = pytest.mark.usefixtures("sockets")


# ------------------------------------------------------------------------------------------------------- peers


def test_peers_are_those_of_the_same_store_and_profile(database: Place) -> None:
    a, b, c = database.new(), database.new(), database.new()
    first = a.open()
    second = b.open()
    assert [peer.id for peer in second.peers] == [first.holder]
    assert (second.peers[0].pid, second.peers[0].host) == (os.getpid(), os.uname().nodename)
    third = c.open()
    assert peers(a) == [second.holder, third.holder], "the longest there first"
    for other in ({"store": "other"}, {"profile": "other"}):
        alone = database.new(**other)
        assert alone.open().peers == ()
        submitted(alone)
        assert peers(alone) == []
        assert do(a, "adopt") == Share((), ())
        assert do(a, "take", 5) == []
        assert a.messages() == []
    b.close()
    assert peers(a) == [third.holder]


def test_messages_of_a_peer_stay_its_own_until_it_closes(database: Place) -> None:
    a, b = database.new(), database.new()
    a.open()
    b.open()
    ids = submitted(a, 3)
    assert do(b, "withdraw", ids[0]) == "theirs"
    assert do(b, "claim", ids) == []
    assert [one.id for one in do(b, "take", 1)] == ids[:1]
    assert do(a, "withdraw", ids[0]) == "claimed"
    assert [one.id for one in do(a, "claim", ids[:2])] == ids[1:2]
    a.close()
    assert do(b, "adopt").ready == (ids[1], ids[2])
    assert [one.uncertain for one in b.messages()] == [0, 1, 0]


def test_leaving_gives_up_queued_messages_and_keeps_claims(database: Place) -> None:
    a, b = database.new(), database.new()
    a.open()
    b.open()
    one, two, three, four = submitted(a, 4)
    do(a, "claim", [one, two])
    with a.transaction() as tx:
        assert len(tx.peers()) == 1
        tx.leave()
        assert tx.share() == Share((), ())
    assert peers(b) == [], "a holder that has left is no peer"
    assert do(b, "adopt").ready == (three, four)
    assert [m.id for m in b.messages("claimed")] == [one, two]
    assert len(peers(a)) == 1
    do(a, "sent", one)
    do(a, "deferred", two, 5.0, "later")
    assert do(b, "adopt") == Share((), ((two, 5.0),)), "and a message that it defers is unowned"


@pytest.mark.parametrize("rounds", [5])
def test_of_several_processes_leaving_together_exactly_one_is_the_last(database: Place, rounds: int) -> None:
    children = [database.child() for _ in range(4)]
    for _ in range(rounds):
        for child in children:
            assert "holder" in child.ask("open")
        for child in children:
            child.say("leave")
        seen = [child.hear() for child in children]
        assert sorted(map(len, seen)) == [0, 1, 2, 3]
        for child in children:
            assert child.ask("close") is None


def test_several_processes_may_make_the_database_together(database: Place) -> None:
    children = [database.child() for _ in range(6)]
    for child in children:
        child.say("open")
    opened = [child.hear() for child in children]
    assert sorted(len(one["peers"]) for one in opened) == list(range(6))


# ---------------------------------------------------------------------------------------------- all or nothing


def test_a_reader_reads_to_the_end_while_it_closes_and_leaves_no_connection_open(database: Place) -> None:
    storage = database.new()
    storage.open()
    submitted(storage)
    with storage._reading() as (connection, number):
        driver = connection.connection.driver_connection
        storage.close()
        assert len(list_messages(connection, number, ())) == 1
    with pytest.raises((sqlite3.ProgrammingError, psycopg.OperationalError), match=r"closed"):
        driver.execute("select 1")


def test_killed_in_the_middle_of_a_transaction_nothing_of_it_is_there(database: Place) -> None:
    child = database.child()
    child.ask("open")
    ids = child.ask("submit", count=2)
    assert child.ask("inside") == "inside"
    child.kill()
    storage = database.new()
    opening = storage.open()
    assert (opening.lapsed, opening.share.ready) == ((), tuple(ids))
    assert [one.attempts for one in storage.messages()] == [0, 0]


@pytest.mark.parametrize("after", [1, 7, 23])
def test_killed_while_it_writes_every_batch_is_whole_and_every_answer_was_kept(database: Place, after: int) -> None:
    child = database.child()
    child.ask("open")
    child.say("batches", count=4, size=20_000)
    answered = [child.hear() for _ in range(after)]
    child.kill()
    storage = database.new()
    storage.open()
    there = [one.id for one in storage.messages()]
    assert len(there) % 4 == 0
    assert there[: 4 * after] == list(itertools.chain(*answered))
    with storage._opened.engine.connect() as connection:
        entries = connection.exec_driver_sql("select entry from fsm_journal order by number").scalars().all()
    assert [json.loads(entry)["id"] for entry in entries] == there
    assert len(do(storage, "claim", there)) == len(there), "and each has its content"


# ------------------------------------------------------------------------------------------- a server that is away


def test_a_server_that_is_started_anew_is_found_again(server: Server, remote: Place) -> None:
    storage, callback = watching(remote)
    (id,) = submitted(storage)
    server.stop()
    try:
        for use in (lambda: do(storage, "share"), storage.messages):
            with pytest.raises(StorageError) as caught:
                use()
            assert caught.value.busy
        storage.notify_peers()
        callback.event.clear()
    finally:
        server.start()
    callback.wait()  # it has found the server again, by itself
    assert do(storage, "share").ready == (id,)
    watching(remote)
    callback.wait()
    assert len(peers(storage)) == 1


def test_a_transaction_that_loses_its_server_is_an_error_and_nothing_happened(server: Server, remote: Place) -> None:
    storage = remote.new()
    storage.open()
    (id,) = submitted(storage)
    with pytest.raises(StorageError) as caught, storage.transaction() as tx:  # noqa: PT012 - its end is what fails
        tx.claim([id])
        server.stop()
        server.start()
        tx.sent(id)
    assert caught.value.busy
    assert [one.id for one in do(storage, "claim", [id])] == [id]
