"""What is due in a session is fired by whoever is alive, once, also after a restart."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from fsm.sessions.core import SessionsCore
from tests.sessions.conftest import Clock
from tests.sessions.shop import HOUR, MIGRATIONS, OldOrder

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
