"""The contract of a storage: who has it open, how one hears of it, and what becomes of what the dead were doing."""

from __future__ import annotations

import itertools
import json
import logging
import os
import stat
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from fsm.logoff.message import Message, new_id
from fsm.logoff.registry import HOLDERS
from fsm.logoff.storage import Share, StorageError
from tests.contract.child import PATIENCE
from tests.contract.conftest import Place, Server
from tests.contract.test_storage import do, submitted

NEVER = 3600.0
"""A lease so long that only a bell or a death can be what was heard of."""


class Heard:
    """What `watch` calls; `next()` waits until it was called since the last time."""

    def __init__(self) -> None:
        self.event = threading.Event()

    def __call__(self) -> None:
        self.event.set()

    def next(self) -> None:
        assert self.event.wait(PATIENCE), "nothing was heard"
        self.event.clear()


@pytest.fixture(autouse=True)
def bells(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of the test's own, with a path short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="fsm-") as folder:
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        yield Path(folder, "fsm")


def peers(storage: Any) -> list[str]:
    return [peer.id for peer in do(storage, "peers")]


def watching(place: Place, **options: Any) -> tuple[Any, Heard]:
    """A storage that has told its watcher what it tells at the beginning."""
    storage, heard = place.new(lease=NEVER, **options), Heard()
    storage.open()
    storage.watch(heard)
    heard.next()
    return storage, heard


def until_alone(storage: Any, heard: Heard) -> None:
    while peers(storage):
        heard.next()


# ------------------------------------------------------------------------------------------------ who is there


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


def test_what_is_counted_by_a_peer_is_left_to_it_until_it_goes(database: Place) -> None:
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


def test_leaving_gives_away_what_waits_and_shields_what_is_being_sent(database: Place) -> None:
    a, b = database.new(), database.new()
    a.open()
    b.open()
    one, two, three, four = submitted(a, 4)
    do(a, "claim", [one, two])
    with a.transaction() as tx:
        assert len(tx.peers()) == 1
        tx.leave()
        assert tx.share() == Share((), ())
    assert peers(b) == [], "who has left is nobody's peer"
    assert do(b, "adopt").ready == (three, four)
    assert [m.id for m in b.messages("claimed")] == [one, two]
    assert len(peers(a)) == 1
    do(a, "sent", one)
    do(a, "deferred", two, 5.0, "later")
    assert do(b, "adopt") == Share((), ((two, 5.0),)), "and what it puts back is nobody's"


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


# ------------------------------------------------------------------------------------------------------- death


@pytest.mark.parametrize("policy", ["resend", "hold"])
def test_a_killed_process_is_noticed_at_once_and_what_it_was_sending_lapses(database: Place, policy: str) -> None:
    storage, heard = watching(database, policy=policy)
    child = database.child(lease=NEVER)
    child.ask("open")
    sending = child.ask("submit", count=2)
    child.ask("claim")
    waiting = child.ask("submit", count=1)
    until_peers = peers(storage)
    assert len(until_peers) == 1
    assert do(storage, "withdraw", waiting[0]) == "theirs"
    child.kill(reap=False)  # nobody has waited for it yet: it is a zombie, and counts as dead
    until_alone(storage, heard)
    state = "ready" if policy == "resend" else "held"
    assert [(m.id, m.state, m.uncertain, m.attempts) for m in storage.messages()] == [
        *((id, state, 1, 1) for id in sending), (waiting[0], "ready", 0, 0),
    ]  # fmt: skip
    adopted = (*sending, *waiting) if policy == "resend" else tuple(waiting)
    assert do(storage, "adopt").ready == adopted
    child.kill()


def test_who_opens_after_a_crash_finds_what_had_lapsed(database: Place) -> None:
    child = database.child(lease=NEVER)
    child.ask("open")
    sending = child.ask("submit", count=2)
    child.ask("claim")
    child.ask("leave")  # also after leaving
    child.kill()
    opening = database.new().open()
    assert opening.lapsed == tuple(sending)
    assert opening.share.ready == tuple(sending)
    assert opening.peers == ()


def test_a_message_of_a_dead_peer_that_nobody_swept_can_be_withdrawn(database: Place) -> None:
    storage = database.new()
    storage.open()
    child = database.child()
    child.ask("open")
    (id,) = child.ask("submit", count=1)
    assert do(storage, "withdraw", id) == "theirs"
    child.kill()
    assert do(storage, "withdraw", id) == "ready"


def test_another_host_is_taken_for_dead_when_its_lease_ends(database: Place) -> None:
    """A real process under another host's name, killed: its lease is what is waited for."""
    storage, heard = watching(database)
    child = database.child(host="elsewhere", lease=1.0)
    child.ask("open")
    sending = child.ask("submit", count=1)
    child.ask("claim")
    child.ask("watch")
    child.kill()
    assert len(peers(storage)) == 1, "it may well live"
    until_alone(storage, heard)
    assert [(m.id, m.uncertain) for m in storage.messages("ready")] == [(sending[0], 1)]


def test_a_lease_is_waited_for_also_when_the_process_has_our_number(database: Place) -> None:
    """In containers many a process is number 1."""
    storage, heard = watching(database)
    other = database.new(host="elsewhere", lease=1.0)
    other.open()
    heard.next()
    assert len(peers(storage)) == 1
    until_alone(storage, heard)


def test_without_process_descriptors_the_lease_decides(database: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    storage, heard = watching(database)
    child = database.child(lease=1.0)
    child.ask("open")
    heard.next()
    assert len(peers(storage)) == 1
    child.kill()
    until_alone(storage, heard)


def test_who_has_left_and_is_taken_for_dead_does_not_come_back(database: Place) -> None:
    time = 1000.0

    def clock() -> float:
        return time

    a, b = database.new(clock=clock, host="a"), database.new(clock=clock, host="b", lease=0.3)
    a.open()
    b.open()
    heard = Heard()
    do(b, "leave")
    time = 2000.0
    assert peers(a) == []
    b.watch(heard)
    heard.next()
    renewed = b._watch._renew_at
    while b._watch._renew_at == renewed:  # its next renewal: nobody is told of that
        heard.event.wait(0.01)
    assert peers(a) == []


def test_leases_are_renewed_and_one_that_ended_is_begun_again(database: Place) -> None:
    time = 1000.0

    def clock() -> float:
        return time

    a, b = database.new(clock=clock, host="a", lease=30), database.new(clock=clock, host="b", lease=30)
    a.open()
    here = b.open().holder
    (id,) = submitted(b)
    do(b, "claim", [id])
    time = 1029.9
    assert peers(a) == [here]
    heard = Heard()
    b.watch(heard)
    heard.next()  # it has looked, and renewed
    time = 1059.8
    assert peers(a) == [here]
    b.close()

    opening = b.open()
    assert opening.share.ready == (id,)
    do(b, "claim", [id])
    time = 1100.0
    assert peers(a) == []
    assert [(m.state, m.uncertain) for m in a.messages()] == [("ready", 2)]
    b.watch(heard)
    heard.next()
    assert peers(a) == [opening.holder], "it is a holder again, under its own name"
    do(b, "sent", id)
    assert len(a.messages()) == 1, "but what it was sending is no longer its own"


def test_a_number_used_again_is_another_process(database: Place) -> None:
    """The process of that number lives, but it did not start when the holder did."""
    a = database.new()
    a.open()
    child = database.child(lease=NEVER)
    child.ask("open")
    assert len(peers(a)) == 1
    with a._engine.begin() as connection:
        connection.execute(sa.update(HOLDERS).where(HOLDERS.c.pid == child.pid).values(started="1"))
    assert peers(a) == []


def test_in_another_boot_or_namespace_the_lease_decides(database: Place) -> None:
    a = database.new()
    a.open()
    child = database.child(lease=NEVER)
    child.ask("open")
    with a._engine.begin() as connection:
        connection.execute(sa.update(HOLDERS).where(HOLDERS.c.pid == child.pid).values(boot="another"))
    child.kill()
    assert len(peers(a)) == 1
    with a._engine.begin() as connection:
        connection.execute(sa.update(HOLDERS).where(HOLDERS.c.pid == child.pid).values(lease_until=1.0))
    assert peers(a) == []


# ---------------------------------------------------------------------------------------------- all or nothing


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
    with storage._engine.connect() as connection:
        entries = connection.exec_driver_sql("select entry from fsm_journal order by number").scalars().all()
    assert [json.loads(entry)["id"] for entry in entries] == there
    assert len(do(storage, "claim", there)) == len(there), "and each has its content"


# ------------------------------------------------------------------------------------------------------ hearing


@pytest.mark.parametrize("what", ["open", "close", "leave"])
def test_coming_and_going_is_heard(database: Place, what: str) -> None:
    storage, heard = watching(database)
    child = database.child(lease=NEVER)
    child.ask("open")
    heard.next()
    assert len(peers(storage)) == 1
    if what != "open":
        heard.event.clear()
        child.ask(what)
        heard.next()
        until_alone(storage, heard)


def test_a_ring_is_heard_by_the_others(database: Place) -> None:
    (a, heard_a), (b, heard_b), (c, heard_c) = (watching(database) for _ in range(3))
    for heard in (heard_a, heard_b, heard_c):
        while heard.event.wait(0):  # their opening
            heard.event.clear()
    for storage, others in ((a, (heard_b, heard_c)), (b, (heard_a, heard_c)), (c, (heard_a, heard_b))):
        for heard in others:
            heard.event.clear()
        storage.ring()
        for heard in others:
            heard.next()


def test_an_error_of_who_is_told_does_not_end_the_watch(database: Place, caplog: pytest.LogCaptureFixture) -> None:
    storage, other = database.new(lease=NEVER), database.new(lease=NEVER)
    storage.open()
    other.open()
    calls: list[int] = []
    heard = Heard()

    def changed() -> None:
        calls.append(1)
        heard()
        if len(calls) == 1:
            raise KeyError("mine")

    with caplog.at_level(logging.ERROR, "fsm.logoff"):
        storage.watch(changed)
        heard.next()
        other.ring()
        heard.next()
    assert "who was told of the peers" in caplog.text


def test_closing_stops_the_thread_and_leaves_nothing_open(database: Place) -> None:
    before = len([*Path("/proc/self/fd").iterdir()])
    for _ in range(3):
        storage, _ = watching(database)
        assert any(thread.name.startswith("fsm-watch-") for thread in threading.enumerate())
        submitted(storage)
        storage.messages()
        storage.close()
    assert not any(thread.name.startswith("fsm-watch-") for thread in threading.enumerate())
    assert len([*Path("/proc/self/fd").iterdir()]) <= before


def test_a_watcher_may_close_the_storage(database: Place) -> None:
    storage, closed = database.new(lease=NEVER), threading.Event()

    def changed() -> None:
        storage.close()
        closed.set()

    storage.open()
    storage.watch(changed)
    assert closed.wait(PATIENCE)
    with pytest.raises(StorageError, match="not open"):
        storage.messages()


def test_bells_are_in_a_folder_of_this_user_alone_and_are_tidied_up(file: Place, bells: Path) -> None:
    child = file.child()
    child.ask("open")
    assert stat.S_IMODE(bells.stat().st_mode) == 0o700
    (left,) = bells.iterdir()
    child.kill()
    assert left.exists()
    storage = file.new()
    opening = storage.open()
    assert [path.name for path in bells.iterdir()] == [opening.holder]
    storage.close()
    assert [*bells.iterdir()] == []


@pytest.fixture(params=["a link", "writable by others", "another user's"])
def strange_folder(request: pytest.FixtureRequest, bells: Path, tmp_path: Path) -> Path:
    if request.param == "a link":
        (tmp_path / "elsewhere").mkdir()
        bells.symlink_to(tmp_path / "elsewhere")
    else:
        bells.mkdir()
        bells.chmod(0o777 if request.param == "writable by others" else 0o700)
        if request.param == "another user's" and os.getuid() == 0:
            os.chown(bells, 12345, 12345)
        elif request.param == "another user's":
            bells.rmdir()
            bells.symlink_to("/root")
    return bells


def test_a_folder_that_is_not_ours_alone_has_no_bell(file: Place, strange_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "fsm.logoff"):
        storage = file.new()
        storage.open()
    assert "is not a folder of this user's alone" in caplog.text
    assert strange_folder.is_symlink() or [*strange_folder.iterdir()] == []
    do(storage, "submit", Message(new_id(), b""))
    storage.ring()


# ------------------------------------------------------------------------------------------- a server that is away


def test_a_server_that_is_started_anew_is_found_again(server: Server, remote: Place) -> None:
    storage, heard = watching(remote)
    (id,) = submitted(storage)
    server.stop()
    try:
        for use in (lambda: do(storage, "share"), storage.messages):
            with pytest.raises(StorageError) as caught:
                use()
            assert caught.value.busy
        storage.ring()
        heard.event.clear()
    finally:
        server.start()
    heard.next()  # it has found the server again, by itself
    assert do(storage, "share").ready == (id,)
    watching(remote)
    heard.next()
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
