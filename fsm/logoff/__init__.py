"""The orderly release of a message store: MAPI's StoreLogoffTransports as a machine one can embed.

    from fsm.logoff import LOGOFF, Logoff, LogoffStatus, MessageStore, StoreSession

`spec.md` in this folder describes the machine sentence by sentence.  `fsm.store` moves messages through it.
"""

from __future__ import annotations

from fsm.errors import missing
from fsm.logoff.chart import LOGOFF
from fsm.logoff.flags import Logoff, LogoffStatus, MapiError, Result
from fsm.logoff.handles import MessageStore, ReleaseStep, StoreHandle
from fsm.logoff.session import GuardedStoreSession, StoreSession

__all__ = [
    "LOGOFF", "GuardedStoreSession", "Logoff", "LogoffStatus", "MapiError", "MessageStore", "ReleaseStep", "Result",
    "StoreHandle", "StoreSession",
]  # fmt: skip


def __getattr__(name: str) -> object:
    raise missing(__name__, name)
