"""A follower is told of every step of every process, once and in order of commits, and can go on where it was."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import islice
from typing import Any

import pytest

from fsm.store import Database
from fsm.store.sql import notify
from tests.store.test_transactional import by_sqlalchemy


def test_every_step_of_every_opening_once_in_order(shop: Any, open_shop: Callable[..., Any], where: str, key: str) -> None:
    other = open_shop(where)
    steps = shop.follow()
    told: list[Any] = []
    reader = threading.Thread(target=lambda: told.extend(islice(steps, 41)))
    reader.start()

    def write(place: Any, writer: int) -> None:
        for number in range(10):
            place.fire(f"{key} {number % 3}", "pay", amount=1, note=f"{writer} {number}")

    writers = [threading.Thread(target=write, args=(place, 2 * one + half)) for one, place in enumerate((shop, other)) for half in (0, 1)]
    for one in writers:
        one.start()
    for one in writers:
        one.join()
    with by_sqlalchemy(where) as there:
        other.fire(key, "pay", amount=1, note="own", connection=there.connection)
        there.end("commit")
    reader.join(120)
    assert not reader.is_alive()
    assert {one.note for one in told} == {f"{writer} {number}" for writer in range(4) for number in range(10)} | {"own"}
    for number in range(3):
        mine = [one for one in told if one.key == f"{key} {number}"]
        assert [one.seq for one in mine] == [*range(1, len(mine) + 1)]
    assert told[-1].note == "own"
    for place in (0, 17, 39):
        again = shop.follow(told[place].position)
        assert {next(again).note for _ in told[place + 1 :]} == {one.note for one in told[place + 1 :]}
        again.close()


def test_a_transaction_that_ends_late_is_not_missed(shop: Any, open_shop: Callable[..., Any], where: str, key: str) -> None:
    """Its numbers are lower than those that are committed before it."""
    steps = shop.follow()
    if "://" in where:
        with by_sqlalchemy(where) as there:
            shop.fire(f"{key} late", "pay", amount=1, connection=there.connection)
            shop.fire(key, "pay", amount=1)
            there.end("commit")
        assert {next(steps).key, next(steps).key} == {key, f"{key} late"}
    else:
        shop.fire(key, "pay", amount=1)
        assert next(steps).key == key


def test_who_opens_the_database_is_known_to_the_others_before_it_can_commit(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """So they notice its death whenever that comes, and followers look."""
    rung: list[str] = []
    for bell in (notify.SocketBell, notify.ListenBell):

        def ring(self: Any, me: int, news: Any, others: Any, ring: Any = bell.ring) -> None:
            news = list(news)
            ring(self, me, news, others)
            rung.extend(one.kind for one in news)

        monkeypatch.setattr(bell, "ring", ring)
    database: Any = Database(where)
    database.open()
    assert "peers" in rung
    database.close()


def test_it_ends_when_the_sessions_are_closed(open_shop: Callable[..., Any], where: str) -> None:
    orders = open_shop(where)
    steps = orders.follow()
    reader = threading.Thread(target=lambda: list(steps))
    reader.start()
    orders._core.close()
    reader.join(120)
    assert not reader.is_alive()


def test_what_is_no_position_is_refused(shop: Any) -> None:
    with pytest.raises(ValueError, match=r"'7' is no position of follow\(\): take that of an answer it has told of, or 0-0-0 for all"):
        shop.follow("7")
