"""The trace information that a server writes above a message: where it came from, how, and when (RFC 5321 4.4).

Each server adds one Received line, so a message with too many of them is in a loop.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.utils import formatdate
from functools import lru_cache
from typing import Final

from fsm.mail.syntax import ascii_line

__all__ = ["MAX_HOPS", "Hop", "header_of", "is_loop"]

MAX_HOPS: Final = 100
"""Received lines a message may have (RFC 5321 6.3 asks for at least 100)."""
_RECEIVED: Final = re.compile(rb"^received:", re.IGNORECASE | re.MULTILINE)


def header_of(content: bytes) -> bytes:
    """Return the header section, without the empty line that ends it."""
    if content.startswith((b"\r\n", b"\n")):
        return b""
    end = content.find(b"\r\n\r\n")
    bare = content.find(b"\n\n", 0, end if end >= 0 else len(content))
    return content[: bare if bare >= 0 else end] if bare >= 0 or end >= 0 else content


def is_loop(content: bytes) -> bool:
    """Return whether the message has passed through so many servers that it must be in a loop."""
    return len(_RECEIVED.findall(header_of(content))) > MAX_HOPS


@dataclass(frozen=True, slots=True)
class Hop:
    """A message's way from one client to this server.

    `peer` is the client's address, `helo` the name it gave, `host` this server's name, `protocol` such as ESMTP.
    """

    peer: str
    helo: str
    host: str
    protocol: str

    def received(self, now: float) -> bytes:
        """Return the Received line; `now` is in seconds since the epoch."""
        helo, peer = _word(self.helo), _word(self.peer)
        way = f"from {helo} ([{peer}])\r\n\tby {_word(self.host)} with {self.protocol}"
        return f"Received: {way};\r\n\t{formatdate(now)}\r\n".encode()

    def delivered(self, now: float, sender: str) -> bytes:
        """Return the lines above a message in its mailbox: Return-Path, then Received."""
        path = "".join(sender.split()).replace("<", "").replace(">", "")
        path = path if path.isprintable() else ascii_line(path)
        return f"Return-Path: <{path}>\r\n".encode() + self.received(now)


@lru_cache(maxsize=1024)
def _word(text: str) -> str:
    """Return the text as one word of a Received line, without what would end it, open a comment or begin a date."""
    return re.sub(r"[\s();<>\\\"]+", "", ascii_line(text, 255)) or "unknown"
