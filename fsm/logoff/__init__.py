"""The orderly release of a message store: MAPI's StoreLogoffTransports as a machine one can embed.

    from fsm.logoff import LOGOFF, Logoff, LogoffStatus, MessageStore, StoreSession

`spec.md` in this folder is what the machine does, sentence by sentence.
"""

from __future__ import annotations

from fsm.logoff.chart import LOGOFF
from fsm.logoff.flags import Logoff, LogoffStatus, MapiError, Result
from fsm.logoff.session import GuardedStoreSession, StoreSession
from fsm.logoff.store import MessageStore, ReleaseStep, StoreHandle

__all__ = [
    "LOGOFF", "GuardedStoreSession", "Logoff", "LogoffStatus", "MapiError", "MessageStore", "ReleaseStep", "Result",
    "StoreHandle", "StoreSession",
]
