"""The orderly release of a message store: MAPI's StoreLogoffTransports as a machine one can embed.

    from fsm.logoff import LOGOFF, Logoff, LogoffStatus, MessageStore, StoreSession

`spec.md` in this folder is what the machine does, sentence by sentence.
"""

from __future__ import annotations

from fsm.logoff.chart import LOGOFF
from fsm.logoff.flags import Logoff, LogoffStatus, MapiError, Result
from fsm.logoff.session import StoreSession

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fsm.logoff.guarded import GuardedStoreSession
    from fsm.logoff.store import MessageStore, ReleaseStep, StoreHandle

_HOME = {"GuardedStoreSession": "guarded", "MessageStore": "store", "ReleaseStep": "store", "StoreHandle": "store"}
"""What is loaded when it is asked for."""

__all__ = [
    "LOGOFF", "GuardedStoreSession", "Logoff", "LogoffStatus", "MapiError", "MessageStore", "ReleaseStep", "Result",
    "StoreHandle", "StoreSession",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'fsm.logoff' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"fsm.logoff.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
