"""Checking logins: in a thread of its own, in a queue with a limit, and slower for who guesses.

Theory.
1. Comparing a password takes long by intention (`auth.py`).  One thread of low priority does it, so that neither the
   threads that store mail nor the event loop wait for it.
2. The queue is short: who comes when it is full is told to try again later, at once.
3. An address that has given wrong passwords lately waits for its next answers, longer each time, and has one login in
   the queue at a time.  It is forgotten after a minute without another one.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Final

from fsm.mail import replies
from fsm.mail.auth import Users

__all__ = ["Logins"]

QUEUE: Final = 64
"""Logins that may wait, of all addresses."""
QUEUE_OF_ONE: Final = 32
"""Logins of one address that may wait."""
FREE: Final = 5
"""Wrong passwords of an address within a minute that cost no time."""
SLOWEST: Final = 16.0
"""Seconds that the answer to a wrong password may take."""
LOW_PRIORITY: Final = 10
KNOWN: Final = 4096
"""Addresses to remember."""


class Logins:
    """Checks logins; `now` returns seconds that never go back.  Close it at the end."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._executor = ThreadPoolExecutor(1, "fsm passwords", _lower_priority)
        self._waiting: Counter[str] = Counter()
        self._wrong: dict[str, tuple[int, float]] = {}

    async def check(self, users: Users, peer: str, name: bytes, password: bytes) -> tuple[bool, str]:
        """Return whether the login is right, and the reply."""
        wrong = self._lately_wrong(peer)
        most = QUEUE_OF_ONE if wrong < FREE else 1
        if self._waiting.total() >= QUEUE or self._waiting[peer] >= most:
            return False, replies.LOGINS_BUSY
        self._waiting[peer] += 1
        try:
            right = await asyncio.get_running_loop().run_in_executor(self._executor, users.accepts, name, password)
        finally:
            self._waiting[peer] -= 1
            if not self._waiting[peer]:
                del self._waiting[peer]
        if right:
            return True, replies.LOGGED_IN
        wrong = self._lately_wrong(peer) + 1
        if len(self._wrong) >= KNOWN:
            self._wrong.clear()
        self._wrong[peer] = wrong, self._now()
        if wrong > FREE:
            await asyncio.sleep(min(SLOWEST, 2.0 ** (wrong - FREE - 1)))
        return False, replies.WRONG_LOGIN

    def close(self) -> None:
        """Check nothing any more."""
        self._executor.shutdown(cancel_futures=True)

    def _lately_wrong(self, peer: str) -> int:
        count, since = self._wrong.get(peer, (0, 0.0))
        return count if count and self._now() - since < 60 else 0


def _lower_priority() -> None:
    with suppress(OSError):  # on Linux this is of the thread alone
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOW_PRIORITY)
