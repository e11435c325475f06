"""Messages as a store keeps them: what is to be sent, from whom, to whom, and what has become of it so far.

The content is bytes and nobody here looks into it; `sender` and `recipients` are what the transport needs (for mail,
the envelope).  This file knows no queue, no clock but the one that gives a message its id, and no transport.
"""

from __future__ import annotations

import secrets
import threading
import time
from dataclasses import dataclass, replace
from typing import Final

__all__ = ["Message", "new_id"]

_lock: Final = threading.Lock()
_last = 0


def new_id(after: str = "") -> str:
    """A name for a new message: names given later by this process sort later, also when the clock is set back.

    20 hexadecimal digits: 14 of microseconds since 1970, then 6 at random, so that other processes give other names.
    `after` is a name that must sort before it.
    """
    global _last
    with _lock:
        _last = max(_last + 1, time.time_ns() // 1000, int(after[:14], 16) + 1 if after else 0)
        return f"{_last:014x}{secrets.token_hex(3)}"


@dataclass(frozen=True, slots=True)
class Message:
    """One message.  `id` orders messages by submission; `submitted` and `due` are seconds since 1970.

    `state` is where it is: "ready", "deferred" (until `due`), "claimed" (being sent), "held" (uncertain, and put aside
    until someone decides), "failed" (for good, and not yet reported).  `attempts` counts how often sending began,
    `uncertain` how often nobody could tell whether it had arrived; `reason` is why it is not sent yet.
    """

    id: str
    content: bytes
    sender: str = ""
    recipients: tuple[str, ...] = ()
    submitted: float = 0.0
    state: str = "ready"
    due: float | None = None
    attempts: int = 0
    uncertain: int = 0
    reason: str | None = None

    def claimed(self) -> Message:
        """This message once it is claimed: another attempt has begun."""
        return replace(self, state="claimed", due=None, attempts=self.attempts + 1)

    def __str__(self) -> str:
        to = f" to {', '.join(self.recipients)}" if self.recipients else ""
        return f"{self.id}{to} ({self.state}{f': {self.reason}' if self.reason else ''})"
