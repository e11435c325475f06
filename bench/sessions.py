"""Durable sessions beside harel, xstate-statemachine and the same by hand in SQLAlchemy Core: events a second in a file.

    python -m bench.sessions [FOLDER]

Each engine keeps orders with two states.  An event with an amount begins a new order, under an id that is applied once, and is
on the disk before it is answered: SQLite's write-ahead log with `synchronous = FULL` for all.  (That is harel's setting;
xstate-statemachine chooses NORMAL, which a power failure can undo, and is set to FULL here.)

How often an event waits for the disk decides with one writer (counted by `strace -e trace=fdatasync`): here and by hand once;
with harel twice, since it makes an execution before its first event (later events once); with xstate-statemachine three times:
it claims the id, saves the session, and marks the id.  (Without its inbox of ids it waits once, and applies an event twice that
is delivered twice.)  So one writer cannot be three times as fast as a program that waits once, whoever has written it.

`FOLDER` is where the files are: in a folder in memory, such as /dev/shm, what is left is the work of the engines.  The two
engines are not installed by this project's extras, since one of them changes every run of pytest, and are left out where they are
not there: pip install harel==0.9.0 xstate-statemachine==0.11.0
"""

from __future__ import annotations

import json
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from threading import Thread, local
from typing import Any

import sqlalchemy as sa

from bench.result import Result
from fsm import Chart, Counter, Event, Number, Session, row
from fsm.sessions import Sessions
from fsm.sessions.sql.statements import session_id
from fsm.store import Database

ROUNDS = 3
EVENTS = 200
PAID, AMOUNT = Counter("paid"), Number("amount")
ORDER = Chart(
    "order", states=["open", "paid"], events=[Event("pay", data=(AMOUNT,)), "reopen"], variables=[PAID],
    rows=[
        row("pay", "open", "pay", effects=[PAID.becomes(PAID + AMOUNT)], target="paid"),
        row("reopen", "paid", "reopen", target="open"),
    ],
)  # fmt: skip
Fire = Callable[[str, str, str], object]
"""Fires an event, under an id, in the session of a key."""


def rate(fire: Fire, writers: int, events: int = EVENTS) -> float:
    """Return events a second; each writer has keys of its own."""

    def write(writer: int) -> None:
        for number in range(events // writers):
            fire(f"{time.time_ns()} {writer} {number % 10}", "pay", f"{writer} {number}")

    threads = [Thread(target=write, args=(one,)) for one in range(writers)]
    start = time.perf_counter()
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    return events // writers * writers / (time.perf_counter() - start)


def ours(where: Path, writers: int) -> float:
    """Our rate."""
    with Sessions(Database(where), Session.of(ORDER)) as orders:
        return rate(lambda key, event, name: orders.fire(key, event, amount=5, event_id=name), writers)


def by_hand(where: Path, writers: int) -> float:
    """The rate of a program that keeps the same in two tables, one transaction an event."""
    engine = sa.create_engine(f"sqlite:///{where}")

    @sa.event.listens_for(engine, "connect")
    def _settings(connection: Any, _: object) -> None:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")

    meta = sa.MetaData()
    orders = sa.Table("orders", meta, sa.Column("key", sa.String, primary_key=True), sa.Column("state", sa.String), sa.Column("vals", sa.String))
    steps = sa.Table(
        "steps", meta, sa.Column("number", sa.Integer, primary_key=True), sa.Column("key", sa.String), sa.Column("id", sa.String),
        sa.Column("event", sa.String), sa.Column("state", sa.String), sa.Column("vals", sa.String), sa.UniqueConstraint("key", "id"),
    )  # fmt: skip
    meta.create_all(engine)
    cls = Session.of(ORDER)

    def fire(key: str, event: str, id: str) -> None:
        with engine.begin() as connection:
            if connection.execute(sa.select(steps.c.state).where(steps.c.key == key, steps.c.id == id)).first() is not None:
                return
            found = connection.execute(sa.select(orders.c.state, orders.c.vals).where(orders.c.key == key)).first()
            session = cls() if found is None else cls.at(found.state, **json.loads(found.vals))
            session.fire(event, amount=5)
            snapshot = session.snapshot()
            stands = {"state": snapshot["state"], "vals": json.dumps(snapshot["values"])}
            if found is None:
                connection.execute(sa.insert(orders), {"key": key, **stands})
            else:
                connection.execute(sa.update(orders).where(orders.c.key == key).values(stands))
            connection.execute(sa.insert(steps), {"key": key, "id": id, "event": event, **stands})

    try:
        return rate(fire, writers)
    finally:
        engine.dispose()


HAREL = """
event Pay { amount: int }
event Reopen {}

machine order {
  initial Open
  state Open {}
  state Paid {}

  from Open to Paid on Pay
  from Paid to Open on Reopen
}
"""


def harel(where: Path, writers: int) -> float:
    """The rate of harel's durable runner in the caller's thread, a connection a writer."""
    from harel import (
        DurableRunner,
        Event as HarelEvent,
        ExecutionAlreadyExists,
        SqliteStore,
        definition_from_dsl,
    )

    definition, mine = definition_from_dsl(HAREL, "order"), local()

    def fire(key: str, event: str, id: str) -> None:
        if not hasattr(mine, "runner"):
            mine.runner = DurableRunner(SqliteStore(str(where)), {definition.id: definition}, execution="inline")
        try:
            mine.runner.create(definition.id, execution_id=key)
        except ExecutionAlreadyExists:
            pass
        mine.runner.process(key, HarelEvent(id=id, kind="Pay", data={"amount": 5}))

    return rate(fire, writers)


def xsm(where: Path, writers: int) -> float:
    """The rate of xstate-statemachine: a session loaded, sent an event and saved, with the ids in its inbox in the file."""
    from xstate_statemachine import create_machine
    from xstate_statemachine.persistence import IdempotencyPlugin, SQLiteInbox, SQLiteStore, persisted

    states = {"open": {"on": {"PAY": "paid"}}, "paid": {"on": {"REOPEN": "open"}}}
    machine = create_machine({"id": "order", "initial": "open", "context": {"paid": 0}, "states": states})
    store, mine = SQLiteStore(str(where)), local()
    once = IdempotencyPlugin(SQLiteInbox(store), principal=lambda event: "all")

    def fire(key: str, event: str, id: str) -> None:
        if not hasattr(mine, "full"):
            store._conn().execute("PRAGMA synchronous = FULL")
            mine.full = True
        with persisted(store, key.replace(" ", "-"), machine, plugins=[once]) as order:
            order.send("PAY", amount=5, id=id.replace(" ", "-"))

    return rate(fire, writers)


def many(folder: Path, count: int) -> float:
    """Return events a second of one writer in a database that has so many sessions."""
    where = folder / f"{count}.db"
    with Sessions(Database(where), Session.of(ORDER)) as orders:
        orders.fire("first", "pay", amount=5)
    with sqlite3.connect(where) as file:
        file.executemany(
            "INSERT INTO fsm_sessions (id, chart, name, fingerprint, seq, state, vals, entered, fired, due, made)"
            """ VALUES (?, 'order', ?, ?, 1, 'open', '{"paid":0}', 0, 0, ?, 0)""",
            ((session_id("order", str(number)), f'"{number}"', ORDER.fingerprint, 1e11 + number) for number in range(count)),
        )
    file.close()
    with Sessions(Database(where), Session.of(ORDER)) as orders:
        step = max(1, count // EVENTS)
        start = time.perf_counter()
        for number in range(EVENTS):
            orders.fire(str(number * step % count), "pay", amount=5, event_id="x")
        return EVENTS / (time.perf_counter() - start)


def sessions(folder: str | None = None, rounds: int = ROUNDS) -> list[Result]:
    """Run the race against the engines that are installed; of several rounds the best of each."""
    results: list[Result] = []
    racers: dict[str, Callable[[Path, int], float]] = {"ours": ours, "by hand": by_hand}
    engines = {"harel": harel, "xstate_statemachine": xsm}
    racers |= {name: race for name, race in engines.items() if find_spec(name) is not None}
    with tempfile.TemporaryDirectory(dir=folder) as place:
        for writers, aim in ((1, 3), (16, 15)):
            best = dict.fromkeys(racers, 0.0)
            for turn in range(rounds):
                for name, race in racers.items():
                    if writers > 1 and name == "by hand":
                        continue
                    best[name] = max(best[name], race(Path(place, f"{turn} {writers} {name}.db"), writers))
            what = f"durable events a second, {writers} writer{'s' * (writers > 1)}"
            rivals = {name: best[name] for name in racers if name in engines}
            if rivals:
                ratio = best["ours"] / max(rivals.values())
                told = ", ".join(f"{name} {one:,.0f}" for name, one in rivals.items())
                against = f"{told}: {ratio:.1f} times as fast"
                results.append(Result(what, f"{best['ours']:,.0f}", against, f">= {aim} times", ratio >= aim))
            else:
                results.append(Result(what, f"{best['ours']:,.0f}", "the other engines are not installed", f">= {aim} times", None))
            if writers == 1:
                ratio = best["by hand"] / best["ours"]
                results.append(Result("load, step and save", f"{1e6 / best['ours']:,.0f} µs", f"by hand {1e6 / best['by hand']:,.0f} µs: {ratio:.2f} times", "<= 1.5 times", ratio <= 1.5))
        few, lots = (max(many(Path(tempfile.mkdtemp(dir=place)), count) for _ in range(rounds)) for count in (1_000, 1_000_000))
        results.append(Result("events a second among 1,000,000 sessions", f"{lots:,.0f}", f"among 1,000: {few:,.0f}", ">= 0.9x", lots >= 0.9 * few))
    return results


if __name__ == "__main__":
    for line in sessions(sys.argv[1] if len(sys.argv) > 1 else None):
        print(*line, sep=" | ")
