"""What a server writes above a message that passes through it: where it came from, by which way, when (RFC 5321 4.4).

The lines also stop a message that goes in a circle: each server adds one, and one that has too many is refused.
This file knows no socket; what it is given may come from anywhere, so it goes through `sanitary` first.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.utils import formatdate
from functools import lru_cache

from fsm.mail.syntax import ascii_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

__all__ = ["MOST_HOPS", "Passage", "goes_in_a_circle", "header_of"]

MOST_HOPS: Final = 100
"""Received lines a message may have (RFC 5321 6.3 asks for at least 100)."""
_RECEIVED: Final = re.compile(rb"^received:", re.IGNORECASE | re.MULTILINE)


def header_of(content: bytes) -> bytes:
    """The header section, without the empty line that ends it."""
    if content.startswith((b"\r\n", b"\n")):
        return b""
    end = content.find(b"\r\n\r\n")
    bare = content.find(b"\n\n", 0, end if end >= 0 else len(content))
    return content[: bare if bare >= 0 else end] if bare >= 0 or end >= 0 else content


def goes_in_a_circle(content: bytes) -> bool:
    """Whether the message has passed through so many servers that it must be a loop."""
    return len(_RECEIVED.findall(header_of(content))) > MOST_HOPS


@dataclass(frozen=True, slots=True)
class Passage:
    """One message passing through one server.  `peer` is the client's address, `helo` what it calls itself."""

    peer: str
    helo: str
    host: str
    protocol: str

    def received(self, now: float) -> bytes:
        """The Received line."""
        helo, peer = _word(self.helo), _word(self.peer)
        way = f"from {helo} ([{peer}])\r\n\tby {_word(self.host)} with {self.protocol}"
        return f"Received: {way};\r\n\t{formatdate(now)}\r\n".encode()

    def delivered(self, now: float, sender: str) -> bytes:
        """The lines above a message that has arrived: its envelope's sender, then the Received line."""
        path = "".join(sender.split()).replace("<", "").replace(">", "")
        path = path if path.isprintable() else ascii_line(path)
        return f"Return-Path: <{path}>\r\n".encode() + self.received(now)


@lru_cache(maxsize=1024)
def _word(text: str) -> str:
    """One word of a Received line: nothing that would end it, open a comment or begin a date."""
    return re.sub(r"[\s();<>\\\"]+", "", ascii_line(text, 255)) or "unknown"
