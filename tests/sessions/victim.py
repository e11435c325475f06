"""A process whose children are killed at a given instruction: it imports everything once, and forks for each.

Each line of standard input is a JSON list: the scenario, the place, the key, the event id, and at which instruction to die
(0: never).  The answer is a JSON list: the instruction after which it died (empty: it came to its end).
An instruction is a statement of the transaction, the commit, the ring for the others, or the answer.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any, NoReturn

import psycopg  # noqa: F401 - before the forks
import sqlalchemy as sa

from fsm import Step
from fsm.sessions import Sessions
from fsm.sessions.request import Request
from fsm.store import Database
from fsm.store.sql import driver
from tests.sessions.shop import HOUR, Order

NAMES = {
    "SELECT one, pg_try_advisory": "lock", "SELECT pg_advisory": "lock", "SELECT name, due": "find what is due",
    "SELECT id, fingerprint": "load the session", "SELECT session, seq": "look for the event id",
    "INSERT INTO fsm_sessions ": "write the session", "INSERT INTO fsm_session_steps": "write the answer",
    "SELECT number FROM fsm_stores": "find the store", "INSERT INTO fsm_messages": "write the message",
    "INSERT INTO fsm_contents": "write its content", "INSERT INTO fsm_journal": "mark the commit",
    "SELECT pg_notify": "notify", "INSERT INTO payments": "write a row of one's own",
}  # fmt: skip
LOOK = "find what is due"
"""Happens at any time, and counts only where it is what matters, the first time."""


class Witness(Order):
    """Sends a message with each payment."""

    def after_pay(self, step: Step) -> None:
        super().after_pay(step)
        self.submit_message(str(step.data["by"]).encode(), "shop@example.org", ["me@example.net"])


class Death:
    """Kills this process after so many instructions."""

    def __init__(self, at: int, tell: int, scenario: str) -> None:
        self.left, self.tell = at, tell
        self.armed = self.looks = scenario == "due"
        self.alone = scenario == "own"
        """Whether the thread of the sessions does not count: it only tells others of what was committed."""

    def __call__(self, instruction: str) -> None:
        if not self.armed:
            return
        self.left -= 1
        if self.left == 0:
            os.write(self.tell, instruction.encode())
            os.kill(os.getpid(), signal.SIGKILL)

    def statement(self, text: str) -> None:
        for begins, name in NAMES.items():
            if text.startswith(begins) and (self.looks or name != LOOK):
                self.looks = self.looks and name != LOOK
                self(name)

    def watch(self) -> None:
        for cls in (one for one in vars(driver).values() if isinstance(one, type) and "begin" in vars(one)):
            for name in ("begin", "run", "fetch", "each", "insert", "commit"):
                setattr(cls, name, self.after(getattr(cls, name), name))
        Database.ring = self.after(Database.ring, "ring")  # type: ignore[method-assign]
        Request.settle = self.after(Request.settle, "answer")  # type: ignore[method-assign]

    def after(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            result = function(*args, **options)
            if threading.current_thread().name == "fsm sessions" and not self.alone:
                if name in ("begin", "commit", "ring", "answer"):
                    self(name)
                else:
                    self.statement(args[1] if isinstance(args[1], str) else f"INSERT INTO {args[1].name}")
            return result

        return call


def fire(orders: Sessions[Witness], death: Death, where: str, key: str, id: str) -> None:
    orders.fire(key, "pay", amount=1, by=id, event_id=id)


def block(orders: Sessions[Witness], death: Death, where: str, key: str, id: str) -> None:
    with orders.transaction(key) as order:
        order.pay(amount=1, by=id, event_id=id)


def own(orders: Sessions[Witness], death: Death, where: str, key: str, id: str) -> None:
    engine = sa.create_engine(where if "://" in where else f"sqlite:///{where}")
    sa.event.listen(engine, "after_cursor_execute", lambda c, cursor, text, *_: death.statement(text))
    with engine.connect() as connection:
        connection.execute(sa.text("INSERT INTO payments VALUES (:id)"), {"id": id})
        orders.fire(key, "pay", amount=1, by=id, event_id=id, connection=connection)
        connection.commit()
        death("commit")


def due(orders: Sessions[Witness], death: Death, where: str, key: str, id: str) -> None:
    for one in orders.follow("0-0-0"):
        if (one.key, one.event) == (key, "remind"):
            return


SCENARIOS: dict[str, Callable[..., None]] = {"fire": fire, "block": block, "own": own, "due": due}


def live(scenario: str, where: str, key: str, id: str, at: int, tell: int) -> None:
    death = Death(at, tell, scenario)
    death.watch()
    clock = (lambda: 1e9 + HOUR) if scenario == "due" else (lambda: 1e9)
    orders = Sessions(Database(where), Witness, clock=clock)
    death.armed = True
    SCENARIOS[scenario](orders, death, where, key, id)
    orders.close()


def main() -> NoReturn:
    for line in sys.stdin:
        reader, writer = os.pipe()
        pid = os.fork()
        if not pid:
            try:
                live(*json.loads(line), tell=writer)
            except BaseException as error:
                os.write(writer, f"{type(error).__name__}: {error}".encode())
            finally:
                os._exit(0)
        os.close(writer)
        _, status = os.waitpid(pid, 0)
        with os.fdopen(reader, "rb") as file:
            died = file.read().decode()
        print(json.dumps([died, os.WIFSIGNALED(status)]), flush=True)
    sys.exit()


if __name__ == "__main__":
    main()
