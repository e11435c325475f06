"""The orderly release of a message store: MAPI's StoreLogoffTransports as a machine one can embed.

    from fsm.logoff import LOGOFF, Logoff, LogoffStatus, MessageStore, StoreSession
    from fsm.logoff.spooler import Store    # a store with messages in flight, for threads
    from fsm.logoff.aio import Store        # the same for asyncio

`spec.md` in this folder is what the machine does, sentence by sentence.
"""

from __future__ import annotations

from fsm.logoff.chart import LOGOFF
from fsm.logoff.flags import Logoff, LogoffStatus, MapiError, Result
from fsm.logoff.session import StoreSession

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fsm.logoff.database import Database
    from fsm.logoff.deferred import Retry
    from fsm.logoff.guarded import GuardedStoreSession
    from fsm.logoff.item import Closing, Stopped
    from fsm.logoff.outcome import NotReleased, Outcome
    from fsm.logoff.plan import Plan
    from fsm.logoff.storage import StorageError
    from fsm.logoff.store import MessageStore, ReleaseStep, StoreHandle

_HOME = {
    "Closing": "item", "Database": "database", "GuardedStoreSession": "guarded", "MessageStore": "store",
    "NotReleased": "outcome", "Outcome": "outcome", "Plan": "plan", "ReleaseStep": "store", "Retry": "deferred",
    "Stopped": "item", "StorageError": "storage", "StoreHandle": "store",
}  # fmt: skip
"""What is loaded when it is asked for."""

__all__ = [
    "LOGOFF", "Closing", "Database", "GuardedStoreSession", "Logoff", "LogoffStatus", "MapiError", "MessageStore",
    "NotReleased", "Outcome", "Plan", "ReleaseStep", "Result", "Retry", "Stopped", "StorageError", "StoreHandle",
    "StoreSession",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'fsm.logoff' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"fsm.logoff.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
