"""The processes of a database as others see them; and transactions of processes that are killed or lose their server."""

from __future__ import annotations

import itertools
import json
import os
import re
import sqlite3
import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from fsm.store.errors import StorageError
from fsm.store.message import Message
from fsm.store.sql import parts
from fsm.store.sql.listing import list_messages
from fsm.store.sql.processes import this_process
from fsm.store.sql.schema import MESSAGES, PARTS, PROCESSES
from fsm.store.storage import Removed
from tests.store.conftest import Place, Server
from tests.store.contract.one import One
from tests.store.sql.callback import watching

pytestmark = pytest.mark.usefixtures("sockets")


def opened(place: Place, name: str = "default", **options: object) -> One:
    one = One(place.new(**options), name)
    one.open()
    return one


def test_peers_are_those_of_the_same_store_and_profile(database: Place) -> None:
    a, b = opened(database), opened(database)
    assert (b.peers, a.look().peers) == (1, 1)
    c = opened(database)
    assert (c.peers, a.look().peers) == (2, 2)
    for alone in (opened(database, "other"), opened(database, profile="other")):
        assert alone.peers == 0
        alone.submit()
        assert alone.look().peers == 0
        assert a.look().ready == 0
        assert a.do("take", 5) == []
        assert a.messages() == []
    b.close()
    assert a.look().peers == 1


def test_whoever_takes_or_withdraws_from_another_s_part_leaves_a_note(database: Place) -> None:
    a, b = opened(database), opened(database)
    one, two, three, four = a.submit(4)
    assert [message.id for message in b.do("take", 2)] == [one, two]
    assert a.claim() == [three]
    a.do("ended", three, "defer", "later", due=5.0, wait=1.0)
    a.deferred += 1
    assert b.do("withdraw", three) == ("deferred", False)
    assert b.do("withdraw", four) == ("ready", False)
    assert b.do("withdraw", one) == ("claimed", False)
    assert a.do("withdraw", one) == ("claimed", False)
    look = a.look(peers=False, adopt=False)
    assert (look.peers, look.taken_ready, look.taken_deferred) == (None, 3, 1)
    assert (a.ready, a.deferred) == (0, 0)
    assert a.look().taken_ready == 0


def test_leaving_gives_up_queued_messages_and_keeps_claims(database: Place) -> None:
    a, b = opened(database), opened(database)
    one, two, three, four = a.submit(4)
    assert a.claim(2) == [one, two]
    a.leave()
    assert b.look().peers == 0, "a process that has left is no peer"
    assert b.ready == 2
    assert [message.id for message in b.messages("claimed")] == [one, two]
    a.do("sent", one)
    a.do("ended", two, "defer", "later", due=5.0, wait=1.0)
    assert b.look().deferred == 1, "and a message that it defers is nobody's"
    assert b.claim(5) == [three, four]
    assert b.do("fall_due", 5.0, 5) == [two]


@pytest.mark.parametrize("rounds", [2])
def test_of_several_processes_leaving_together_exactly_one_is_the_last(database: Place, rounds: int) -> None:
    children = [database.child() for _ in range(4)]
    for _ in range(rounds):
        for child in children:
            assert "ready" in child.ask("open")
        for child in children:
            child.say("leave")
        assert sorted(child.hear() for child in children) == [0, 1, 2, 3]
        for child in children:
            assert child.ask("close") is None


def test_several_processes_may_make_the_database_together(database: Place) -> None:
    children = [database.child() for _ in range(6)]
    for child in children:
        child.say("open")
    assert sorted(child.hear()["peers"] for child in children) == list(range(6))


@pytest.mark.parametrize("clean", [True, False], ids=["left", "died"])
def test_what_others_take_from_a_part_that_nobody_holds_is_not_counted_when_it_is_adopted(database: Place, clean: bool) -> None:
    a, b = opened(database), opened(database)
    ids = a.submit(5)
    if clean:
        a.leave()
    a.close()
    assert [message.id for message in b.do("take", 2)] == ids[:2]
    b.do("withdraw", ids[2])
    assert (b.look().ready, b.ready) == (2, 2)
    assert b.look(peers=False, adopt=False).taken_ready == 0
    assert b.claim(5) == ids[3:]


def test_coming_and_going_changes_no_message(database: Place) -> None:
    a = opened(database)
    a.submit(3)
    with a.storage._opened.engine.connect() as connection:
        before = connection.execute(sa.text("select * from fsm_messages order by id")).all()
    a.leave()
    a.close()
    b = opened(database)
    assert b.ready == 3
    with b.storage._opened.engine.connect() as connection:
        assert connection.execute(sa.text("select * from fsm_messages order by id")).all() == before
        assert connection.scalar(sa.select(sa.func.count()).select_from(PARTS)) == 1


# ------------------------------------------------------------------------------------------------ dead or alive


def test_a_process_whose_name_is_not_text_can_open_a_store(tmp_path: Path) -> None:
    """The name is in /proc/PID/stat, as any bytes."""
    program = tmp_path.joinpath(os.fsdecode(b"n\xff\xfe) (me"))
    program.symlink_to(sys.executable)
    code = "from fsm.store.sql.processes import this_process; print(this_process().started.isdigit())"
    done = subprocess.run([program, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[3], env={**os.environ, "PYTHONHOME": ""})
    if done.returncode:  # an interpreter that finds its library by its own path
        code = f"import ctypes; ctypes.CDLL(None).prctl(15, {b'n' + bytes([255, 254])!r}, 0, 0, 0); {code}"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[3])
    assert done.stdout == "True\n", done.stderr
    assert this_process().started.isdigit()


def test_a_number_used_again_is_another_process(database: Place) -> None:
    a = opened(database)
    child = database.child()
    child.ask("open")
    assert a.look().peers == 1
    with a.storage._opened.engine.begin() as connection:
        connection.execute(sa.update(PROCESSES).where(PROCESSES.c.pid == child.pid).values(started="1"))
    assert a.look().peers == 0


def test_in_another_boot_or_namespace_the_lease_decides(database: Place) -> None:
    a = opened(database)
    child = database.child()
    child.ask("open")
    with a.storage._opened.engine.begin() as connection:
        connection.execute(sa.update(PROCESSES).where(PROCESSES.c.pid == child.pid).values(boot="another"))
    child.kill()
    assert a.look().peers == 1
    with a.storage._opened.engine.begin() as connection:
        connection.execute(sa.update(PROCESSES).where(PROCESSES.c.pid == child.pid).values(lease_until=1.0))
    assert a.look().peers == 0


def test_who_was_removed_cannot_commit_and_can_come_back(database: Place) -> None:
    time = 1000.0
    a = opened(database, clock=lambda: time, host="a", lease=5000.0)
    b = opened(database, clock=lambda: time, host="b")
    first, second = b.submit(2)
    assert b.claim() == [first]
    time = 2000.0
    look = a.look()
    assert (look.peers, look.ready, [message.id for message in look.lapsed]) == (0, 2, [first])
    with pytest.raises(Removed), b.transaction() as tx:
        tx.sent(first)
    assert [(message.id, message.uncertain) for message in a.messages("ready")] == [(first, 1), (second, 0)]
    with b.storage.transaction(fenced=False) as tx:
        (look,) = tx.revive([b.handle])
    assert (look.ready, look.deferred, look.peers) == (0, 0, 1)
    b.ready = 0
    b.submit()
    assert a.look().peers == 1


@pytest.mark.parametrize("few", [parts.FEW, 0], ids=["few messages", "many messages"])
def test_peers_that_come_and_go_leave_no_parts_behind(database: Place, few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are restarted again and again; few messages join the others, and a part goes when it has none."""
    monkeypatch.setattr(parts, "FEW", few)
    one = opened(database)

    def come_and_go(queued: int, *, orderly: bool) -> None:
        other = opened(database)
        other.submit(queued)
        if orderly:
            other.leave()
        other.close()
        assert one.look().ready == queued

    def held() -> int:
        with one.storage._opened.engine.connect() as connection:
            numbers = connection.scalars(sa.select(PARTS.c.number).order_by(PARTS.c.number)).all()
        assert one.handle.parts == tuple(numbers)
        return len(numbers)

    for queued in (0, 1, 2, 0):
        come_and_go(queued, orderly=queued < 2)
    assert (one.ready, held()) == (3, 1 if few else 3)
    first, *others = one.claim(5)
    one.do("ended", first, "defer", "later", due=5.0, wait=1.0)
    come_and_go(0, orderly=True)
    assert held() == (1 if few else 3)  # a claimed message may come back
    assert one.do("fall_due", 6.0, 5) == [first]
    for id in (*one.claim(), *others):
        one.do("sent", id)
    come_and_go(0, orderly=False)
    assert held() == 1


def test_the_messages_of_a_part_are_counted_in_its_index(file: Place) -> None:
    driver = opened(file).storage._opened.connect(5.0)
    plan = [row[-1] for row in driver.fetch(f"EXPLAIN QUERY PLAN {parts.COUNT}", [1], [1], [1])]
    assert [f"fsm_messages_{state}" in step for step in plan for state in ("ready", "deferred") if "COVERING" in step] == [True, False, False, True]


def test_whether_a_part_is_empty_is_seen_in_an_index(database: Place) -> None:
    (busy,), (empty,) = opened(database).handle.parts, opened(database).handle.parts
    driver = opened(database).storage._opened.connect(5.0)
    columns = "id, store, part, state, attempts, uncertain, submitted, sender, recipients"
    driver.insert(MESSAGES, columns, [(f"{n:020}", 1, busy, "ready", 0, 0, 0.0, "", "") for n in range(5000)])
    driver.run("ANALYZE")
    explain = "EXPLAIN" if driver.postgresql else "EXPLAIN QUERY PLAN"
    steps = [row[-1] for row in driver.fetch(f"{explain} {parts.DROP}", [empty], 1)]
    assert [step for step in steps if re.search(r"(Seq Scan on|SCAN) fsm_messages", step)] == []
    assert any("fsm_messages_ready" in step for step in steps)


@pytest.mark.parametrize("event", ["defer", "fail", "hold"])
def test_what_a_peer_has_done_with_a_message_is_known_to_who_claims_it_next(database: Place, event: str) -> None:
    a, b = opened(database), opened(database)
    (id,) = a.submit()
    (before,) = b.do("take")
    b.do("ended", id, event, "half done", due=5.0, wait=1.0, recipients=["q@z"], uncertain=event == "hold")
    b.close()
    a.look()
    if event == "defer":
        assert (a.deferred, a.do("fall_due", 5.0, 1)) == (1, [id])
    else:
        assert a.do("resume", id)
    assert a.do("claim", 1) == [
        replace(before, attempts=2, reason="half done", recipients=("q@z",), uncertain=int(event == "hold"))
    ]


def test_a_message_of_a_dead_process_can_be_withdrawn_before_anybody_has_noticed(database: Place) -> None:
    one, child = opened(database), database.child()
    child.ask("open")
    (id,) = child.ask("submit", count=1)
    child.kill()
    assert one.do("withdraw", id) == ("ready", False)
    assert (one.look().ready, one.messages()) == (0, [])


# ---------------------------------------------------------------------------------------------- all or nothing


def test_a_reader_reads_to_the_end_while_it_closes_and_leaves_no_connection_open(database: Place) -> None:
    one = opened(database)
    one.submit()
    with one.storage._reading() as connection:
        driver = connection.connection.driver_connection
        one.close()
        assert len(list_messages(connection, "default", "default", ())) == 1
    with pytest.raises((sqlite3.ProgrammingError, psycopg.OperationalError), match=r"closed"):
        driver.execute("select 1")


def test_killed_in_the_middle_of_a_transaction_nothing_of_it_is_there(database: Place) -> None:
    child = database.child()
    child.ask("open")
    ids = child.ask("submit", count=2)
    assert child.ask("inside") == "inside"
    child.kill()
    one = One(database.new())
    look = one.open()
    assert (look.lapsed, look.ready) == ([], 2)
    assert [(message.id, message.attempts) for message in one.messages()] == [(id, 0) for id in ids]


@pytest.mark.parametrize("after", [1, 7, 23])
def test_killed_while_it_writes_every_batch_is_whole_and_every_answer_was_kept(database: Place, after: int) -> None:
    child = database.child()
    child.ask("open")
    child.say("batches", count=4, size=20_000)
    answered = [child.hear() for _ in range(after)]
    child.kill()
    one = opened(database)
    there = [message.id for message in one.messages()]
    assert len(there) % 4 == 0
    assert one.ready == len(there)
    assert there[: 4 * after] == list(itertools.chain(*answered))
    with one.storage._opened.engine.connect() as connection:
        rows = connection.exec_driver_sql("select lines from fsm_journal order by number").scalars().all()
    written = [id for row in rows if row for line in zlib.decompress(row).splitlines() for id in json.loads(line)["ids"]]
    assert written == there
    assert len(one.claim(len(there))) == len(there), "and each has its content"


# ------------------------------------------------------------------------------------------- a server that is away


def test_a_server_that_is_started_anew_is_found_again(server: Server, remote: Place) -> None:
    one, callback = watching(remote)
    (id,) = one.submit()
    server.stop()
    try:
        for use in (one.look, one.messages):
            with pytest.raises(StorageError) as caught:
                use()
            assert caught.value.busy
        callback.event.clear()
    finally:
        server.start()
    callback.wait()  # it has found the server again, by itself
    assert [message.id for message in one.messages()] == [id]
    watching(remote)
    callback.wait()
    assert one.look().peers == 1


def test_a_transaction_that_loses_its_server_is_an_error_and_nothing_happened(server: Server, remote: Place) -> None:
    one = opened(remote)
    (id,) = one.submit()
    with pytest.raises(StorageError) as caught, one.transaction() as tx:  # noqa: PT012 - its end is what fails
        tx.claim()
        server.stop()
        server.start()
        tx.sent(id)
        tx.submit(Message("b" * 20, b"x"))
        tx.withdraw(id)
    assert caught.value.busy
    assert one.claim() == [id]
