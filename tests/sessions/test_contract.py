"""What durable sessions promise, on both databases and with both faces."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from fsm import DataError, UnknownEvent
from fsm.journal import replayed
from fsm.sessions import AsyncSessions, Conflict, EventRefused, IdReused, Sessions
from fsm.sessions.request import Fire
from fsm.sessions.sql import reading
from fsm.sessions.sql.statements import KNOWN, LOAD
from fsm.store import Database, StorageError
from tests.sessions.shop import ORDER, WHO, Order
from tests.store.conftest import Server
from tests.store.test_transactional import awaiting, by_driver, by_session, by_sqlalchemy

ROOT = Path(__file__).parents[2]


def contents(where: str) -> list[bytes]:
    database = Database(where)
    found = [database.message("default", one.id) for one in database.messages()]
    return [one.content for one in found if one is not None]


# ------------------------------------------------------------------------------------------------- events and answers


def test_an_event_id_is_applied_once_and_answered_the_same(shop: Any, key: str) -> None:
    first = shop.fire(key, "pay", amount=5, event_id="evt-901")
    assert first
    assert (first.state, first.values, first.seq, first.repeated) == ("paid", {"paid": 5, "tries": 0}, 1, False)
    again = shop.fire(key, "pay", amount=5, event_id="evt-901")
    assert again == first
    assert again.repeated
    assert shop.fire(key, "pay", amount=2, event_id="evt-902", note="by phone").values["paid"] == 7
    assert shop.get(key).configuration == ("paid", 7, 0)
    assert [(one.event_id, one.note) for one in shop.history(key)] == [("evt-901", None), ("evt-902", "by phone")]
    assert shop.fire(f"{key}, another", "pay", amount=5, event_id="evt-901").seq == 1, "an id belongs to a session"


def test_a_refusal_is_an_answer_with_its_reason_and_recorded(shop: Any, key: str) -> None:
    refused = shop.fire(key, "pay", amount=0, event_id="a")
    assert not refused
    assert (refused.state, refused.reason) == ("open", "needs amount >= 1; amount is 0")
    assert shop.fire(key, "pay", amount=1)
    assert shop.fire(key, "pay", amount=0, event_id="a") == refused, "also when it would be accepted now"
    assert shop.fire(key, "arrive").reason == "not legal in paid"
    assert [one.accepted for one in shop.history(key)] == [False, True, False]


def test_an_id_of_another_event_is_refused_and_both_are_named(shop: Any, key: str) -> None:
    shop.fire(key, "pay", amount=5, event_id="a")
    for event, data in (("pay", {"amount": 6}), ("ship", {})):
        with pytest.raises(IdReused, match=rf"event id 'a' of session .* belongs to pay\(amount=5, by=None\); it cannot be used for {event}"):
            shop.fire(key, event, event_id="a", **data)
    assert len(list(shop.history(key))) == 1


@pytest.mark.parametrize(
    ("error", "says", "event", "data"),
    [
        (UnknownEvent, "order has no event 'pya'; did you mean pay", "pya", {}),
        (DataError, "cannot pay with these data: it needs amount", "pay", {}),
        (DataError, "amount must be a whole number, 0 or more, not -1", "pay", {"amount": -1}),
        (ValueError, r"an event id is a text of 1 to 255 characters, not ''", "pay", {"amount": 1, "event_id": ""}),
        (ValueError, r"an event id is a text of 1 to 255 characters, not 'xxx", "pay", {"amount": 1, "event_id": "x" * 256}),
        (ValueError, "nobody pays", "pay", {"amount": 1, "by": "nobody"}),
    ],
)
def test_what_is_wrong_is_said_and_changes_nothing(error: type[Exception], says: str, event: str, data: dict[str, Any], shop: Any, key: str) -> None:
    with pytest.raises(error, match=says):
        shop.fire(key, event, **data)
    with pytest.raises(error, match=says), shop.transaction(key) as order:
        order.fire(event, **data)
    assert shop.get(key) is None


def test_a_key_is_any_text(shop: Any, key: str) -> None:
    keys = [f"{key}{one}" for one in ("", "\0", "\ud800", "'; --", "é" * 10_000, "😀", "%s :x ?")]
    for number, one in enumerate(keys):
        shop.fire(one, "pay", amount=number + 1, event_id=one[-200:])
    assert [shop.get(one).configuration[1] for one in keys] == [1, 2, 3, 4, 5, 6, 7]
    assert {*keys} <= {one.key for one in shop.list("paid")}
    with pytest.raises(TypeError, match="the key of a session is a text, not 5"):
        shop.fire(5, "pay", amount=1)


def test_what_a_listener_posts_is_recorded_and_what_it_raises_afterwards_does_not_undo(shop: Any, key: str) -> None:
    shop.fire(key, "pay", amount=5, by="express", event_id="a")
    with pytest.raises(ValueError, match="paid, and then this"):
        shop.fire(f"{key} 2", "pay", amount=5, by="careless", event_id="a")
    assert shop.fire(f"{key} 2", "pay", amount=5, by="careless", event_id="a").repeated
    assert [(one.event, one.event_id, one.state) for one in shop.history(key)] == [("pay", "a", "paid"), ("ship", None, "shipping")]


# --------------------------------------------------------------------------------------------------------- transactions


def test_a_block_is_one_transaction_with_its_messages(shop: Any, key: str, where: str) -> None:
    with pytest.raises(KeyError), shop.transaction(key) as order:  # noqa: PT012
        order.pay(amount=5, event_id="a")
        order.submit_message(b"never")
        raise KeyError
    assert shop.get(key) is None
    for _ in range(2):
        with shop.transaction(key) as order:
            answer = order.pay(amount=5, event_id="a")
            sent = order.submit_message(key.encode(), "shop@example.org", ["me@example.net"], headers={"key": key})
            order.ship(event_id="b")
            assert (order.state, order.session.state, order.key) == ("shipping", "shipping", key)
        assert answer.repeated == (sent is None), "a repeated event sends no second message"
    found = contents(where)
    assert (found.count(key.encode()), found.count(f"{key} ships".encode()), found.count(b"never")) == (1, 1, 0)
    assert [one.headers for one in Database(where).messages()].count({"key": key}) == 1
    assert len(list(shop.history(key))) == 2


def test_a_listener_sees_the_context_variables_of_whoever_fires(shop: Any, key: str, where: str) -> None:
    token = WHO.set(f"clerk of {key}")
    shop.fire(key, "pay", amount=5)
    shop.fire(key, "ship")
    WHO.reset(token)
    assert [one.headers for one in Database(where).messages()].count({"who": f"clerk of {key}"}) == 1


def test_a_refusal_in_a_block_raises_and_is_recorded(shop: Any, key: str) -> None:
    for _ in range(2):
        with pytest.raises(EventRefused, match="needs amount >= 1"), shop.transaction(key) as order:
            order.pay(amount=0, event_id="a")
    with shop.transaction(key) as order:
        with pytest.raises(EventRefused):
            order.ship()
        order.pay(amount=1)
    with pytest.raises(EventRefused), shop.transaction(key) as order:  # noqa: PT012
        order.pay(amount=1)
        order.fire("arrive")
    assert [(one.event, one.accepted) for one in shop.history(key)] == [("pay", False), ("ship", False), ("pay", True)]


def test_of_two_blocks_one_is_told_to_try_again(shop: Any, key: str) -> None:
    with pytest.raises(Conflict, match="was changed by another transaction; nothing has changed, try again"), shop.transaction(key) as order:  # noqa: PT012
        order.pay(amount=5)
        shop.fire(key, "pay", amount=2)
    assert shop.get(key).configuration == ("paid", 2, 0)


def test_a_session_is_not_stepped_behind_the_transactions_back(shop: Any, key: str) -> None:
    with pytest.raises(RuntimeError, match=r"was fired itself; fire its events by the transaction"), shop.transaction(key) as order:
        order.session.pay(amount=5)
    assert shop.get(key) is None
    with pytest.raises(RuntimeError, match="this Order is in no database"):
        Order().submit_message(b"")


@pytest.mark.parametrize("way", [by_sqlalchemy, by_session, by_driver])
def test_it_shares_the_fate_of_the_callers_own_transaction(way: Any, shop: Any, key: str, where: str) -> None:
    with way(where) as there:
        assert shop.fire(key, "pay", amount=5, event_id="a", connection=there.connection)
        there.end("rollback")
        assert shop.get(key) is None
        for _ in range(2):
            assert shop.fire(key, "pay", amount=5, by="express", event_id="a", connection=there.connection).values["paid"] == 5
        with pytest.raises(UnknownEvent):
            shop.fire(key, "pya", connection=there.connection)
        there.end("commit")
    assert shop.fire(key, "pay", amount=5, by="express", event_id="a").repeated
    assert contents(where).count(f"{key} ships".encode()) == 1


def test_it_shares_the_fate_of_a_transaction_that_is_awaited(where: str, key: str) -> None:
    async def case() -> None:
        async with AsyncSessions(Database(where), Order) as orders:
            told = orders.follow()
            for way in ("a connection", "a session", *(("psycopg",) if "://" in where else ())):
                async with awaiting(way, where) as there:
                    one = f"{key} {way}"
                    assert await orders.fire(one, "pay", amount=5, event_id="a", connection=there.connection)
                    await there.end("rollback")
                    assert await orders.get(one) is None
                    for _ in range(2):
                        answer = await orders.fire(one, "pay", amount=5, by="express", event_id="a", connection=there.connection)
                        assert answer.values["paid"] == 5
                    with pytest.raises(UnknownEvent):
                        await orders.fire(one, "pya", connection=there.connection)
                    await there.end("commit")
                assert [(await anext(told)).event, (await anext(told)).event] == ["pay", "ship"]
                assert (await orders.fire(one, "pay", amount=5, by="express", event_id="a")).repeated
                assert contents(where).count(f"{one} ships".encode()) == 1
            await told.aclose()  # type: ignore[attr-defined]

    asyncio.run(case())


def test_another_database_is_refused(shop: Any, key: str, server: Server) -> None:
    with by_sqlalchemy(server.new()) as there:
        with pytest.raises(StorageError, match=r"leads to another database than the store's, .*: nothing was changed"):
            shop.fire(key, "pay", amount=5, connection=there.connection)
        there.execute("SELECT 1")


# ------------------------------------------------------------------------------------------------------ many at a time


def test_many_writers_of_one_key_lose_nothing(shop: Any, open_shop: Callable[..., Any], where: str, key: str) -> None:
    """Each event is delivered twice, at about the same time, to two openings of the database."""
    shops = [shop, open_shop(where)]
    failures: list[BaseException] = []

    def write(place: Any, writer: int) -> None:
        try:
            for number in range(10):
                place.fire(key, "pay", amount=1, event_id=f"{writer} {number}")
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(place, writer)) for place in shops for writer in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert not failures
    assert shop.get(key).configuration == ("paid", 40, 0)
    assert [one.seq for one in shop.history(key)] == [*range(1, 41)]


WRITER = """
import sys
from fsm.sessions import Sessions
from fsm.store import Database
from tests.sessions.shop import Order

with Sessions(Database(sys.argv[1]), Order) as orders:
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(20):
        orders.fire(sys.argv[2], "pay", amount=1, event_id=f"theirs {number}")
        orders.fire(sys.argv[2], "pay", amount=1, event_id=f"both {number}")
"""


def test_two_processes_write_one_key(where: str, key: str) -> None:
    """Each event of both is delivered by both of them, and applied once."""
    words = [sys.executable, "-c", WRITER, where, key]
    with subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other, Sessions(Database(where), Order) as orders:
        assert other.stdout is not None
        assert other.stdout.readline() == b"ready\n"
        assert other.stdin is not None
        other.stdin.write(b"go\n")
        other.stdin.flush()
        for number in range(20):
            orders.fire(key, "pay", amount=1, event_id=f"ours {number}")
            orders.fire(key, "pay", amount=1, event_id=f"both {number}")
        assert other.wait(120) == 0
        assert orders.get(key).configuration == ("paid", 60, 0)  # type: ignore[union-attr]
        history = list(orders.history(key))
        assert [one.seq for one in history] == [*range(1, 61)]
        for whose in ("ours", "theirs", "both"):
            mine = [one.event_id for one in history if str(one.event_id).startswith(whose)]
            assert mine == [f"{whose} {number}" for number in range(20)], "in the order in which they were fired"


def test_a_session_that_is_locked_is_waited_for_and_others_are_not_kept(server: Server, face: Any) -> None:
    where = server.new()
    with face(Database(where), Order, patience=0.05) as orders, face(Database(where), Order) as patient, by_sqlalchemy(where) as there:
        orders.fire("a", "pay", amount=1, connection=there.connection)
        waiting = threading.Thread(target=lambda: patient.fire("a", "pay", amount=2))
        waiting.start()
        assert patient.fire("b", "pay", amount=1), "another's step does not wait"
        with pytest.raises(Conflict, match="session 'a' is locked by another transaction; nothing has changed, try again"):
            orders.fire("a", "pay", amount=4)
        there.end("commit")
        waiting.join()
        assert orders.get("a").configuration == ("paid", 3, 0)


# ------------------------------------------------------------------------------------------------------------- history


def test_the_journal_replays_to_the_present_state(shop: Any, key: str) -> None:
    shop.fire(key, "pay", amount=5, event_id="a")
    shop.fire(key, "arrive")
    shop.fire(key, "ship", note="today")
    steps = [*replayed(ORDER, BytesIO(b"".join(shop.journal(key))))]
    assert not any(one.divergence for one in steps)
    assert steps[-1].configuration == shop.get(key).configuration
    last = json.loads([*shop.journal(key)][-1])
    assert (last["note"], last["state"]) == ("today", "shipping")
    moments = [one.at for one in shop.history(key)]
    assert shop.as_of(key, moments[0]).state == "paid"
    assert shop.as_of(key, moments[0] - 1) is None
    assert [*shop.journal("nobody")] == []


def test_answers_are_kept_as_long_as_configured(open_shop: Callable[..., Any], where: str, key: str) -> None:
    time = [1e9]
    orders = open_shop(where, keep=100.0, clock=lambda: time[0])
    orders.fire(key, "pay", amount=5, event_id="a")
    time[0] += 101
    orders._core._commits = 63
    orders.fire(f"{key} 2", "pay", amount=5)
    assert [*orders.history(key)] == []
    assert len(list(orders.journal(key))) == 2, "it begins where the session stands"
    assert not orders.fire(key, "pay", amount=5, event_id="a").repeated, "its id is forgotten"


def test_a_newer_version_is_refused(open_shop: Callable[..., Any], face: Any, where: str) -> None:
    engine = sa.create_engine(where if "://" in where else f"sqlite:///{where}")
    try:
        with engine.begin() as connection:
            connection.execute(sa.text("UPDATE fsm_sessions_about SET version = 7"))
        with pytest.raises(StorageError, match="have version 7, and this program supports 1; use a newer release"):
            face(Database(where), Order)
    finally:
        with engine.begin() as connection:
            connection.execute(sa.text("UPDATE fsm_sessions_about SET version = 1"))
        engine.dispose()


def test_what_are_no_sessions_is_refused(where: str) -> None:
    wrong: Any = ORDER
    with pytest.raises(TypeError, match=r"sessions are of a class with a chart, class Order\(Session, chart=ORDER\), not <Chart order"):
        Sessions(Database(where), wrong)
    with pytest.raises(ValueError, match="keep is a number of seconds above 0, not 0"):
        Sessions(Database(where), Order, keep=0)


def test_what_waits_is_committed_together(shop: Any, key: str) -> None:
    before = shop._core._commits
    futures = [shop._core.ask(Fire(f"{key} {number}", "pay", {"amount": 1}, None, None)) for number in range(200)]
    assert all(one.result(120) for one in futures)
    assert shop._core._commits - before < 100


@pytest.mark.parametrize(
    ("text", "values", "index"),
    [(reading.DUE, ("order", 1), "fsm_sessions_due"), (KNOWN, ('["a"]', '["b"]'), "fsm_session_steps_id"), (LOAD, ('["a"]',), "sqlite_autoindex_fsm_sessions_1")],
)  # fmt: skip
def test_nothing_is_searched_for(text: str, values: tuple[object, ...], index: str, tmp_path: Path) -> None:
    """However many sessions and times wait: what is asked at each event, or while time passes, is read off an index."""
    with Sessions(Database(tmp_path / "shop.db"), Order) as orders, orders._core.database.transaction() as tx:
        plan = " ".join(str(row[-1]) for row in tx.driver.fetch(f"EXPLAIN QUERY PLAN {text}", *values))
    assert "TEMP B-TREE" not in plan.replace("FOR IN", "")
    assert index in plan or "PRIMARY KEY" in plan
