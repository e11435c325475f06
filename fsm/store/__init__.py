"""Messages moving through the machine: stores for threads and asyncio, durable or in memory, closed by a plan.

    from fsm.store import Store, Spooler, AsyncStore, AsyncSpooler, Database, Plan, Outcome, StoreClosing, on_signals

The way of a message's octets, from a client to the database and from there to a smarthost (a test follows both):

    mail/smtp/server_dialogue -> mail/content -> mail/reception -> store/aio -> store/outbox -> store/sql/messages ->
    store/sql/driver
    store/sql/driver -> store/sql/messages -> store/claims -> store/state -> mail/relay -> mail/envelope -> mail/link

The client's 250, and what the smarthost answered, come back by futures: `store/group_commit` commits what `outbox`,
`claims` and `endings` decide, each a `task` on a `step`, of all stores of a spooler, in one transaction for all that
waits, and then answers each of them.  `state` is what a store is; the rules over it are connected in `core`, and the
stores in `spooler`.  What may become of a message is the chart in `life`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fsm.errors import missing
from fsm.store.aio import AsyncSpooler, AsyncStore
from fsm.store.errors import Stopped, StorageError, StoreClosing
from fsm.store.outcome import NotReleased, Outcome
from fsm.store.plan import Plan
from fsm.store.retry import Retry
from fsm.store.signals import on_signals
from fsm.store.sync import Spooler, Store

if TYPE_CHECKING:
    from fsm.store.sql import Database

__all__ = [
    "AsyncSpooler", "AsyncStore", "Database", "NotReleased", "Outcome", "Plan", "Retry", "Spooler", "Stopped",
    "StorageError", "Store", "StoreClosing", "on_signals",
]  # fmt: skip


def __getattr__(name: str) -> object:
    if name != "Database":  # it loads SQLAlchemy, which a store in memory does not need
        raise missing(__name__, name)
    from fsm.store.sql import Database

    return Database
