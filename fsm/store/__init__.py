"""Messages moving through the machine: stores for threads and asyncio, durable or in memory, closed by a plan.

    from fsm.store import Store, AsyncStore, Database, Plan, Outcome, StoreClosing, on_signals
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fsm.store.aio import AsyncStore
from fsm.store.errors import Stopped, StorageError, StoreClosing
from fsm.store.outcome import NotReleased, Outcome
from fsm.store.plan import Plan
from fsm.store.retry import Retry
from fsm.store.signals import on_signals
from fsm.store.sync import Store

if TYPE_CHECKING:
    from fsm.store.sql import Database

__all__ = [
    "AsyncStore", "Database", "NotReleased", "Outcome", "Plan", "Retry", "Stopped", "StorageError", "Store",
    "StoreClosing", "on_signals",
]  # fmt: skip


def __getattr__(name: str) -> object:
    if name != "Database":  # it loads SQLAlchemy, which a store in memory does not need
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from fsm.store.sql import Database

    return Database
