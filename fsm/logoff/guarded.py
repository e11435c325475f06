"""GuardedStoreSession: a StoreSession that several threads may use at once."""

from __future__ import annotations

from fsm.logoff.session import StoreSession

__all__ = ["GuardedStoreSession"]


class GuardedStoreSession(StoreSession, guarded=True):
    """A StoreSession that several threads may use at once: every call waits for the one under way."""

    __slots__ = ("_lock",)
