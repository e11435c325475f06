"""A message as a store keeps it: its content, sender and recipients, and what has happened to it so far.

The content is opaque bytes; `sender` and `recipients` are what the transport needs (for mail, the envelope).  `headers`
are metadata beside the content, for whoever sends the message: a trace's context, a tenant.  They are kept with the
message, are no part of the content, and are not the header fields of a mail.
"""

from __future__ import annotations

import os
import random
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

__all__ = ["LONGEST_HEADERS", "Message", "checked_headers", "new_id", "no_id_before"]

LONGEST_HEADERS: Final = 8192
"""Characters of the names and values of a message's headers, all together: as much as W3C's baggage may have."""

_lock: Final = threading.Lock()
_last = 0
_dice: Final = random.Random()
os.register_at_fork(after_in_child=_dice.seed)


def new_id() -> str:
    """Return an id for a new message.  Ids of one process sort in order of creation, even if the clock is set back.

    An id has 20 hexadecimal digits: 14 of microseconds since 1970 and 6 at random, because other processes create ids,
    too.
    """
    global _last
    with _lock:
        _last = max(_last + 1, time.time_ns() // 1000)
        return f"{_last:014x}{_dice.getrandbits(24):06x}"


def checked_headers(headers: Mapping[str, str] | None) -> dict[str, str]:
    """Return a copy of these headers.  TypeError unless they are strings by name; ValueError if they are too long."""
    if headers is None:
        return {}
    if not isinstance(headers, Mapping):
        raise TypeError(f"headers are a mapping of strings to strings, such as {{'tenant': 'a'}}, not {headers!r}")
    for name, value in headers.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise TypeError(f"headers are a mapping of strings to strings, not {{{name!r}: {value!r}}}")
    if (length := sum(len(name) + len(value) for name, value in headers.items())) > LONGEST_HEADERS:
        limit = f"at most {LONGEST_HEADERS:,} characters together, not {length:,}"
        raise ValueError(f"the headers of a message have {limit}; put what is long into its content")
    return dict(headers)


def no_id_before(id: str) -> None:
    """Let all new ids sort after this one, also if the clock was set back since it was made."""
    global _last
    if re.fullmatch(r"[0-9a-f]{20}", id):
        with _lock:
            _last = max(_last, int(id[:14], 16))


@dataclass(frozen=True, slots=True)
class Message:
    """One message.  Ids sort in order of submission; `submitted` and `due` are in seconds since 1970.

    `state` is "ready", "deferred" (until `due`), "claimed" (being sent), "held" (it may have arrived: set aside until
    someone decides) or "failed" (permanently, and the sender has not been told).  `attempts` counts how often sending
    began, `uncertain` after how many of these attempts the outcome was unknown; `reason` is why it is not sent yet.
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
    headers: Mapping[str, str] = field(default_factory=dict, hash=False)

    def claimed(self) -> Message:
        """Return this message as it is when claimed: another attempt has begun."""
        return replace(self, state="claimed", due=None, attempts=self.attempts + 1)

    def __str__(self) -> str:
        to = f" to {', '.join(self.recipients)}" if self.recipients else ""
        return f"{self.id}{to} ({self.state}{f': {self.reason}' if self.reason else ''})"
