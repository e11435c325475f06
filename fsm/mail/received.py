"""The trace information that a server writes above a message: where it came from, how, and when (RFC 5321 4.4).

Each server adds one Received line, so a message with too many of them is in a loop.
"""

from __future__ import annotations

import re
from email.utils import formatdate
from functools import lru_cache
from typing import Final, NamedTuple, TypeVar

from fsm.mail.syntax import ascii_line

__all__ = ["MAX_HOPS", "Hop", "below_trace", "header_of", "is_loop"]

Octets = TypeVar("Octets", bytes, bytearray)

MAX_HOPS: Final = 100
"""Received lines a message may have (RFC 5321 6.3 asks for at least 100)."""
_FIELD: Final = re.compile(rb"[!-9;-~]+[ \t]*:")
"""The beginning of a header field."""
_RECEIVED: Final = re.compile(rb"^received:", re.IGNORECASE | re.MULTILINE)


def header_of(content: Octets) -> Octets:
    """Return the header section, without the empty line that ends it."""
    if content.startswith((b"\r\n", b"\n")):
        return content[:0]
    end = content.find(b"\r\n\r\n")
    bare = content.find(b"\n\n", 0, end if end >= 0 else len(content))
    return content[: bare if bare >= 0 else end] if bare >= 0 or end >= 0 else content


def is_loop(content: Octets) -> bool:
    """Return whether the message has passed through so many servers that it must be in a loop."""
    return len(_RECEIVED.findall(header_of(content))) > MAX_HOPS


def below_trace(content: bytes | bytearray) -> tuple[int, bytes]:
    """Return how many octets of the content to leave out, and what to put between it and the trace lines above it.

    Without a header of its own, or when it begins in the middle of one, the content would run into the trace lines: an
    empty line goes between.  The line `From ` of a mailbox file is no header, and is left out.
    """
    start = 0
    if content.startswith(b"From "):
        end = content.find(b"\r\n")
        start = end + 2 if end >= 0 else 0
    proper = content.startswith(b"\r\n", start) or len(content) == start or _FIELD.match(content, start)
    return start, b"" if proper else b"\r\n"


class Hop(NamedTuple):
    """A message's way from one client to this server.

    `peer` is the client's address, `helo` the name it gave, `host` this server's name, `protocol` such as ESMTP, and
    `id` the message's in this server's log.
    """

    peer: str
    helo: str
    host: str
    protocol: str
    id: str = ""

    def received(self, now: float) -> bytes:
        """Return the Received line; `now` is in seconds since the epoch."""
        known = f" id {self.id}" if self.id else ""
        return f"Received: {_way(*self[:4])}{known};\r\n\t{_date(int(now))}\r\n".encode()

    def delivered(self, now: float, sender: str) -> bytes:
        """Return the lines above a message in its mailbox: Return-Path, then Received."""
        path = sender if sender.isprintable() else ascii_line(sender, 1000)
        return f"Return-Path: <{path}>\r\n".encode() + self.received(now)


@lru_cache(maxsize=4)
def _date(now: int) -> str:
    return formatdate(now)


@lru_cache(maxsize=1024)
def _way(peer: str, helo: str, host: str, protocol: str) -> str:
    return f"from {_word(helo)} ([{_word(peer)}])\r\n\tby {_word(host)} with {protocol}"


def _word(text: str) -> str:
    """Return the text as one word of a Received line, without what would end it, open a comment or begin a date."""
    return re.sub(r"[\s();<>\\\"]+", "", ascii_line(text, 255)) or "unknown"
