"""The content of a message as it comes over the wire: its end found, its limits kept, its dots put right.

Theory.
1. Only CR LF . CR LF ends it; what follows belongs to the next command.
2. It is taken in the pieces in which it comes, not line by line.  What is too much is no longer kept, but read on to
   its end, for only there can it be answered (RFC 5321 4.2.5).
3. A dot that a line begins with was put before it by the client (RFC 5321 4.5.2), and goes.

This file knows no socket.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

__all__ = ["LONGEST_LINE", "Content"]

LONGEST_LINE: Final = 999
"""Octets of a line, without its end and with the dot put before it (RFC 5321 4.5.3.1.6)."""
END: Final = b"\r\n.\r\n"
TOO_LONG: Final = "500 Line too long (see RFC5321 4.5.3.1.6)"
TOO_MUCH: Final = "552 Error: Too much mail data"


class Content:
    """One message's content.  `feed` it; when it is `complete`, `refused` is a reply, or None and `whole` is there.

    `limit` is in octets.
    """

    def __init__(self, limit: int) -> None:
        self.complete = False
        self.refused: str | None = None
        self.whole = b""
        self._limit = limit
        self._buffer = bytearray(b"\r\n")  # so that a dot in the first line is like any other
        self._searched = 0

    def feed(self, piece: bytes) -> bytes:
        """Take this in; what comes after the end, once that is there."""
        buffer = self._buffer
        buffer += piece
        end = buffer.find(END, self._searched)
        if end < 0:
            if self.refused is None and len(buffer) > self._limit + len(END) + 2:
                self.refused = self._wrong(bytes(buffer[2:]))
            if self.refused is not None:
                del buffer[: -len(END)]
            self._searched = max(0, len(buffer) - len(END) + 1)
            return b""
        rest = bytes(buffer[end + len(END) :])
        del buffer[end + 2 :]
        if self.refused is None:
            self.refused = self._wrong(bytes(buffer[2:]))
        if self.refused is None:
            self.whole = bytes(buffer.replace(b"\r\n.", b"\r\n"))[2:]
        self.complete, self._buffer = True, bytearray()
        return rest

    def _wrong(self, content: bytes) -> str | None:
        """What is wrong with so much of it; what came first."""
        if max(map(len, content[: self._limit].split(b"\r\n"))) > LONGEST_LINE:
            return TOO_LONG
        return TOO_MUCH if len(content) > self._limit else None
