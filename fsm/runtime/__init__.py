"""What runs around a session and needs a clock, a thread or a loop, so that the engine needs none.

    with Timers() as timers: timers.attach(session)          # states that say `after={30: "timeout"}`
    async for step in session.steps(): ...                   # the steps of a session, in asyncio
"""

from __future__ import annotations

from fsm.errors import missing
from fsm.runtime.stream import Stream
from fsm.runtime.timers import AsyncTimers, Timers

__all__ = ["AsyncTimers", "Stream", "Timers"]


def __getattr__(name: str) -> object:
    raise missing(__name__, name)
