"""What is due in a session is fired by whoever is alive, once, also after a restart."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from fsm.sessions.core import SessionsCore
from tests.sessions.conftest import Clock
from tests.sessions.shop import HOUR, MIGRATIONS, OldOrder
from tests.store.test_transactional import by_sqlalchemy

MOST = 120.0


class Seen:
    """Waits until a session has so many answers: it hears of every commit."""

    def __init__(self, orders: Any) -> None:
        self.orders, self.news = orders, threading.Event()
        orders._core.followers.add(self.news.set)

    def __call__(self, key: str, count: int) -> list[tuple[str, str, str | None]]:
        while len(found := [*self.orders.history(key)]) < count:
            assert self.news.wait(MOST), "nothing was fired"
            self.news.clear()
        return [(one.event, one.state, one.note) for one in found]


def test_what_is_due_is_fired_once_by_several_and_by_who_comes_later(open_shop: Callable[..., Any], where: str, key: str) -> None:
    clock = Clock()
    first = open_shop(where, clock=clock)
    second = open_shop(where, clock=clock)
    keys = [f"{key} {number}" for number in range(5)]
    for one in keys:
        first.fire(one, "pay", amount=1, by="express")
    assert [round(one.due - clock.time) for one in first.list("shipping") if one.key in keys] == [HOUR] * 5
    clock.time += HOUR
    seen = Seen(second)
    for one in keys:
        assert seen(one, 3)[2] == ("remind", "shipping", "due")
    assert [first.get(one).configuration for one in keys] == [("shipping", 1, 1)] * 5
    first.close()
    second.close()
    clock.time += 25 * HOUR
    third = open_shop(where, clock=clock)
    seen = Seen(third)
    for one in keys:
        assert seen(one, 4)[3] == ("lose", "gone", "due")
    assert not [one for one in third.list() if one.key in keys and one.due is not None]


def test_only_an_earlier_time_is_told_to_the_others(open_shop: Callable[..., Any], where: str, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """They know the first time of all, and read nothing until then."""
    clock = Clock()
    clock.time = 1e8  # before what other cases have left
    first, second = open_shop(where, clock=clock), open_shop(where, clock=clock)
    core, knows = second._core, threading.Condition()

    class Heard(type(core)):  # type: ignore[misc]
        def _find_due(self) -> None:
            super()._find_due()
            with knows:
                knows.notify()

    monkeypatch.setattr(core, "__class__", Heard)
    rung: list[str] = []
    ring = first._core.database.ring
    monkeypatch.setattr(first._core.database, "ring", lambda news: (rung.append(news.kind), ring(news)))
    first.fire(key, "pay", amount=1, by="express")
    with knows:
        assert knows.wait_for(lambda: core._due == clock.time + HOUR, MOST), "a commit of an earlier time wakes the others"
    for number in range(5):
        clock.time += 1
        first.fire(f"{key} {number}", "pay", amount=1, by="express")
    first.close()
    assert rung.count("times") == 1
    assert rung.count("steps") > 0
    clock.time += 2 * HOUR
    seen = Seen(second)
    for one in (key, *(f"{key} {number}" for number in range(5))):
        assert seen(one, 3)[2] == ("remind", "shipping", "due")


def test_a_time_that_a_callers_transaction_sets_is_known(open_shop: Callable[..., Any], where: str, key: str) -> None:
    clock = Clock()
    clock.time = 1e7
    orders = open_shop(where, clock=clock)
    with by_sqlalchemy(where) as there:
        orders.fire(key, "pay", amount=1, by="express", connection=there.connection)
        there.end("commit")
    clock.time += HOUR
    assert Seen(orders)(key, 3)[2] == ("remind", "shipping", "due")


def test_a_state_that_was_left_sends_nothing(open_shop: Callable[..., Any], where: str, key: str) -> None:
    clock = Clock()
    orders = open_shop(where, clock=clock)
    orders.fire(key, "pay", amount=1, by="express")
    orders.fire(f"{key} 2", "pay", amount=1, by="express")
    orders.fire(key, "arrive")
    clock.time += 2 * HOUR
    assert len(Seen(orders)(f"{key} 2", 3)) == 3
    assert len(list(orders.history(key))) == 3


def test_what_nobody_can_load_keeps_no_others(open_shop: Callable[..., Any], where: str, key: str, caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    orders = open_shop(where, clock=clock)
    orders.fire(key, "pay", amount=1, by="express")
    orders.fire(f"{key} 2", "pay", amount=1, by="express")
    core: SessionsCore[Any] = orders._core
    with core.database.transaction() as tx:
        tx.driver.run("UPDATE fsm_sessions SET fingerprint = '0123456789abcdef', due = due - 1 WHERE name LIKE ?", f'%{key[-30:]}"')
    clock.time += 2 * HOUR
    assert len(Seen(orders)(f"{key} 2", 3)) == 3
    assert "what is due cannot be fired: " in caplog.text
    assert core._stuck == {key}
    with core.database.transaction() as tx:
        tx.driver.run("UPDATE fsm_sessions SET due = NULL WHERE fingerprint = '0123456789abcdef'")


def test_times_count_on_after_a_migration(open_shop: Callable[..., Any], where: str, key: str) -> None:
    clock = Clock()
    old = open_shop(where, OldOrder, clock=clock)
    old.fire(key, "pay", amount=1)
    old.close()
    orders = open_shop(where, migrations=MIGRATIONS, clock=clock)
    orders.fire(key, "ship")
    clock.time += HOUR
    assert Seen(orders)(key, 4)[1:] == [("", "paid", None), ("ship", "shipping", None), ("remind", "shipping", "due")]
