"""Which holders count as dead, how soon that is noticed, and what happens to their messages."""

from __future__ import annotations

import os
from typing import Any

import pytest
import sqlalchemy as sa

from fsm.store.sql.holders import Holders
from fsm.store.sql.schema import HOLDERS
from tests.store.conftest import Place
from tests.store.contract.test_storage import do, submitted
from tests.store.sql.callback import NEVER, Callback, peers, until_alone, watching

pytestmark = pytest.mark.usefixtures("sockets")


@pytest.mark.parametrize("policy", ["resend", "hold"])
def test_a_killed_process_is_noticed_at_once_and_what_it_was_sending_lapses(database: Place, policy: str) -> None:
    storage, callback = watching(database, policy=policy)
    child = database.child(lease=NEVER)
    child.ask("open")
    sending = child.ask("submit", count=2)
    child.ask("claim")
    waiting = child.ask("submit", count=1)
    until_peers = peers(storage)
    assert len(until_peers) == 1
    assert do(storage, "withdraw", waiting[0]) == "theirs"
    child.kill(reap=False)  # it is a zombie now, which counts as dead
    until_alone(storage, callback)
    state = "ready" if policy == "resend" else "held"
    assert [(m.id, m.state, m.uncertain, m.attempts) for m in storage.messages()] == [
        *((id, state, 1, 1) for id in sending), (waiting[0], "ready", 0, 0),
    ]  # fmt: skip
    adopted = (*sending, *waiting) if policy == "resend" else tuple(waiting)
    assert do(storage, "adopt").ready == adopted
    child.kill()


def test_opening_after_a_crash_returns_the_lapsed_claims(database: Place) -> None:
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


def until_its_lease_is_over(storage: Any, callback: Callback) -> None:
    """Wait until the only peer counts as dead, which must not be before its lease ends: it may be alive."""
    with storage._opened.engine.connect() as connection:
        until = connection.scalar(sa.select(sa.func.min(HOLDERS.c.lease_until)))  # ours runs longer
    until_alone(storage, callback)
    with storage._opened.engine.connect() as connection:
        assert Holders(connection, storage._opened.me).now() >= until


def test_a_holder_on_another_host_counts_as_dead_when_its_lease_ends(database: Place) -> None:
    """A killed process with the name of another host: only its lease tells."""
    storage, callback = watching(database)
    child = database.child(host="elsewhere", lease=1.0)
    child.ask("open")
    sending = child.ask("submit", count=1)
    child.ask("claim")
    child.ask("watch")
    child.kill()
    until_its_lease_is_over(storage, callback)
    assert [(m.id, m.uncertain) for m in storage.messages("ready")] == [(sending[0], 1)]


def test_a_lease_is_waited_for_also_when_the_process_has_our_number(database: Place) -> None:
    """In containers many processes are number 1."""
    storage, callback = watching(database)
    other = database.new(host="elsewhere", lease=1.0)
    other.open()
    until_its_lease_is_over(storage, callback)


def test_without_process_descriptors_the_lease_decides(database: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    storage, callback = watching(database)
    child = database.child(lease=1.0)
    child.ask("open")
    child.kill()
    until_its_lease_is_over(storage, callback)


def test_a_holder_that_has_left_and_counts_as_dead_does_not_register_again(database: Place) -> None:
    time = 1000.0

    def clock() -> float:
        return time

    a, b = database.new(clock=clock, host="a"), database.new(clock=clock, host="b", lease=0.3)
    a.open()
    b.open()
    callback = Callback()
    do(b, "leave")
    time = 2000.0
    assert peers(a) == []
    b.watch(callback)
    callback.wait()
    renewed = b._opened.watcher._renew_at
    while b._opened.watcher._renew_at == renewed:  # its next renewal: nothing has changed, so the callback is not called
        callback.event.wait(0.01)
    assert peers(a) == []


def test_leases_are_renewed_and_a_holder_whose_lease_ended_registers_again(database: Place) -> None:
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
    callback = Callback()
    b.watch(callback)
    callback.wait()  # it has looked, and renewed
    time = 1059.8
    assert peers(a) == [here]
    b.close()

    opening = b.open()
    assert opening.share.ready == (id,)
    do(b, "claim", [id])
    time = 1100.0
    assert peers(a) == []
    assert [(m.state, m.uncertain) for m in a.messages()] == [("ready", 2)]
    callback = Callback()  # calls of the last watcher do not count
    b.watch(callback)
    callback.wait()
    assert peers(a) == [opening.holder], "it is a holder again, with the same id"
    do(b, "sent", id)
    assert len(a.messages()) == 1, "but it has lost its claim"


def test_a_number_used_again_is_another_process(database: Place) -> None:
    """The process of that number lives, but it did not start when the holder did."""
    a = database.new()
    a.open()
    child = database.child(lease=NEVER)
    child.ask("open")
    assert len(peers(a)) == 1
    with a._opened.engine.begin() as connection:
        connection.execute(sa.update(HOLDERS).where(HOLDERS.c.pid == child.pid).values(started="1"))
    assert peers(a) == []


def test_in_another_boot_or_namespace_the_lease_decides(database: Place) -> None:
    a = database.new()
    a.open()
    child = database.child(lease=NEVER)
    child.ask("open")
    with a._opened.engine.begin() as connection:
        connection.execute(sa.update(HOLDERS).where(HOLDERS.c.pid == child.pid).values(boot="another"))
    child.kill()
    assert len(peers(a)) == 1
    with a._opened.engine.begin() as connection:
        connection.execute(sa.update(HOLDERS).where(HOLDERS.c.pid == child.pid).values(lease_until=1.0))
    assert peers(a) == []
