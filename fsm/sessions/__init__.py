"""Durable sessions: any chart's sessions in a database by key, each event applied exactly once.

    from fsm.sessions import AsyncSessions, DurableSession, Sessions

The way of an event: sync -> core (a thread that commits what waits together) -> sql/statements, which yields the
statements of a transaction -> place (the session, its answers and messages) -> sql/runner -> store/sql/driver.
What a kill -9 may find, and which test kills there, is in `crashes.md`.
"""

from __future__ import annotations

from fsm.sessions.aio import AsyncSessions
from fsm.sessions.answer import Answer
from fsm.sessions.durable import DurableSession
from fsm.sessions.errors import Conflict, EventRefused, IdReused
from fsm.sessions.sync import Sessions
from fsm.sessions.transaction import AsyncTransaction, Transaction

__all__ = [
    "Answer", "AsyncSessions", "AsyncTransaction", "Conflict", "DurableSession", "EventRefused", "IdReused", "Sessions",
    "Transaction",
]  # fmt: skip
