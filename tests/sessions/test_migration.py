"""A session of an older chart is moved when it is loaded, or all of them at once; one of an unknown chart is refused."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest

from fsm import SnapshotError
from fsm.journal import replayed
from tests.sessions.shop import MIGRATIONS, OLD, ORDER, OldOrder


def test_it_is_moved_when_it_is_loaded(open_shop: Callable[..., Any], where: str, key: str) -> None:
    old = open_shop(where, OldOrder)
    old.fire(key, "pay", amount=5, event_id="a")
    blind = open_shop(where)
    for call in (lambda: blind.get(key), lambda: blind.fire(key, "ship"), lambda: blind.transaction(key).__enter__()):
        with pytest.raises(SnapshotError, match=rf"session '.*' cannot be loaded: its fingerprint is '{OLD.fingerprint}'"):
            call()
    with pytest.raises(SnapshotError, match=f"its fingerprint is '{OLD.fingerprint}'"):
        list(blind.journal(key))
    orders = open_shop(where, migrations=MIGRATIONS)
    assert orders.get(key).configuration == ("paid", 5, 0)
    assert orders.fire(key, "ship").seq == 3
    assert [(one.event, one.state, one.fingerprint) for one in orders.history(key)] == [
        ("pay", "settled", OLD.fingerprint), ("", "paid", ORDER.fingerprint), ("ship", "shipping", ORDER.fingerprint),
    ]  # fmt: skip
    for place in (orders, blind):  # one that knows no migration leaves out what it cannot read
        steps = [*replayed(ORDER, BytesIO(b"".join(place.journal(key))))]
        assert not any(one.divergence for one in steps)
        assert steps[-1].configuration == orders.get(key).configuration
    with pytest.raises(SnapshotError, match=f"its fingerprint is '{ORDER.fingerprint}'"):
        old.fire(key, "pay", amount=1)


def test_an_id_that_an_older_chart_has_answered_is_known(open_shop: Callable[..., Any], where: str, key: str) -> None:
    old = open_shop(where, OldOrder)
    old.fire(key, "pay", amount=5, event_id="a")
    orders = open_shop(where, migrations=MIGRATIONS)
    again = orders.fire(key, "pay", amount=5, event_id="a")
    assert (again.repeated, again.state) == (True, "settled"), "its data lacked a field that has a default"


def test_all_are_moved_at_once(open_shop: Callable[..., Any], where: str, key: str) -> None:
    old = open_shop(where, OldOrder)
    for number in range(10):
        old.fire(f"{key} {number}", "pay", amount=number + 1)
    orders = open_shop(where, migrations=MIGRATIONS)
    orders.migrate()
    assert orders.migrate() == 0
    mine = [one for one in orders.list("paid") if one.key.startswith(key)]
    assert {one.fingerprint for one in mine} == {ORDER.fingerprint}
    assert sorted(one.values["paid"] for one in mine) == [*range(1, 11)]
