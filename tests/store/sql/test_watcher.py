"""Which processes count as dead, how soon that is noticed, and what happens to their messages."""

from __future__ import annotations

import os
import subprocess
from time import monotonic

import pytest
import sqlalchemy as sa

from fsm.store.sql.processes import Processes, this_process
from fsm.store.sql.schema import PARTS, PROCESSES
from tests.store.conftest import Place
from tests.store.contract.child import PATIENCE
from tests.store.contract.one import One
from tests.store.sql.callback import NEVER, Callback, until_alone, watching

pytestmark = pytest.mark.usefixtures("sockets")


@pytest.mark.parametrize("policy", ["resend", "hold"])
def test_a_killed_process_is_noticed_at_once_and_what_it_was_sending_lapses(database: Place, policy: str) -> None:
    one, callback = watching(database)
    one.handle.policy = policy  # type: ignore[assignment]
    child = database.child(lease=NEVER)
    child.ask("open")
    sending = child.ask("submit", count=2)
    child.ask("claim")
    waiting = child.ask("submit", count=1)
    assert one.look().peers == 1
    child.kill(reap=False)  # it is a zombie now, which counts as dead
    until_alone(one, callback)
    state = "ready" if policy == "resend" else "held"
    assert [(m.id, m.state, m.uncertain, m.attempts) for m in one.messages()] == [
        *((id, state, 1, 1) for id in sending), (waiting[0], "ready", 0, 0),
    ]  # fmt: skip
    assert one.ready == (3 if policy == "resend" else 1)
    child.kill()


def test_the_death_of_a_process_that_never_rang_is_noticed_by_who_has_counted_it(database: Place) -> None:
    """It was killed, or stopped, between its opening and its ring."""
    one, callback = watching(database)
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as silent:
        process = this_process()._replace(pid=silent.pid, started="")
        with one.storage._opened.engine.begin() as connection:
            values = {**process._asdict(), "lease_until": 1e10, "bell": "", "number": 77}
            connection.execute(sa.insert(PROCESSES), values)
            part = {"store": one.handle.number, "process": 77, "ready": 0, "deferred": 0, "clean": 0}
            connection.execute(sa.insert(PARTS), part)
        assert one.look().peers == 1
        callback.wait()
        silent.kill()
        until_alone(one, callback)


def test_opening_after_a_crash_returns_the_lapsed_claims(database: Place) -> None:
    child = database.child(lease=NEVER)
    child.ask("open")
    sending = child.ask("submit", count=2)
    child.ask("claim")
    child.ask("leave")  # also after leaving
    child.kill()
    one = One(database.new())
    look = one.open()
    assert [message.id for message in look.lapsed] == sending
    assert (look.ready, look.peers) == (2, 0)


def first_end(one: One) -> float:
    """When the first lease ends."""
    with one.storage._opened.engine.connect() as connection:
        return float(connection.scalar(sa.select(sa.func.min(PROCESSES.c.lease_until))))


def until_its_lease_is_over(one: One, callback: Callback) -> None:
    """Wait until the only peer counts as dead, which must not be before its lease ends: it may be alive."""
    storage, until = one.storage, first_end(one)  # ours runs longer
    until_alone(one, callback)
    with storage.transaction() as tx:
        assert Processes(tx._driver, 0, storage._opened.process, storage._lease).now() >= until


def test_a_process_on_another_host_counts_as_dead_when_its_lease_ends(database: Place) -> None:
    """A killed process with the name of another host: only its lease tells."""
    one, callback = watching(database)
    child = database.child(host="elsewhere", lease=1.0)
    child.ask("open")
    sending = child.ask("submit", count=1)
    child.ask("claim")
    child.ask("watch")
    child.kill()
    until_its_lease_is_over(one, callback)
    assert [(m.id, m.uncertain) for m in one.messages("ready")] == [(sending[0], 1)]


def test_a_lease_is_waited_for_also_when_the_process_has_our_number(database: Place) -> None:
    """In containers many processes are number 1."""
    one, callback = watching(database)
    other = One(database.new(host="elsewhere", lease=1.0))
    other.open()
    one.look()
    other.storage._opened.watcher.close(PATIENCE)  # nobody renews its lease
    until_its_lease_is_over(one, callback)


def test_without_process_descriptors_the_lease_decides(database: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    one, callback = watching(database)
    child = database.child(lease=1.0)
    child.ask("open")
    child.kill()
    until_its_lease_is_over(one, callback)


def test_leases_are_renewed(database: Place) -> None:
    """By a thread of their own, long before they end: by a clock that stands still until it jumps."""
    time = 1000.0
    a, b = (One(database.new(clock=lambda: time, host=host, lease=1.5)) for host in "ab")
    a.open()
    b.open()
    time = 1001.4
    until = monotonic() + PATIENCE
    while first_end(a) != 1002.9:
        assert monotonic() < until, "they are not renewed"
    time = 1002.8
    assert a.look().peers == 1
