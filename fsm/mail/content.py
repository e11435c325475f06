"""The content of a message as it arrives after DATA: read up to its final dot, and checked.

Theory.
1. Only CR LF . CR LF ends the content; what follows belongs to the next command.
2. It is taken in the pieces in which it arrives, not line by line.  Once it is too long it is no longer kept, but still
   read to its end, because only there can it be answered (RFC 5321 4.2.5).
3. The sender puts a dot before each line that begins with one (RFC 5321 4.5.2); it is removed here.
4. A bare CR or LF is what SMTP smuggling is made of: one server takes `LF . CR LF` for the end of a message, the next
   does not.  Such content is refused rather than corrected.  So is NUL, which RFC 5322 forbids.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from fsm.mail import replies
from fsm.mail.received import is_loop
from fsm.mail.syntax import MAX_LINE, has_bare_line_end

__all__ = ["Content", "dot_stuffed", "improper", "pieces"]

END: Final = b"\r\n.\r\n"
PIECE: Final = 256 * 1024
"""Octets that are written at a time."""


class Content:
    """One message's content.  Call `feed` until it is `complete`; then `refusal` is a reply, or None.

    `octets` is the content, without the dots that were put before others; it is empty when a limit was exceeded.
    `limit` is in octets.
    """

    def __init__(self, limit: int) -> None:
        self.complete = False
        self.refusal: str | None = None
        self.octets = b""
        self._limit = limit
        self._buffer = bytearray(b"\r\n")  # so that a dot in the first line is like any other
        self._searched = 0

    @property
    def size(self) -> int:
        """Octets that are kept at the moment."""
        return len(self._buffer) or len(self.octets)

    def feed(self, piece: bytes) -> bytes:
        """Take a piece.  Return what follows the final dot, which is empty until that has come."""
        buffer = self._buffer
        buffer += piece
        end = buffer.find(END, self._searched)
        if end < 0:
            if self.refusal is None and len(buffer) > self._limit + len(END) + 2:
                self.refusal = self._over_limit(bytes(buffer[2:]))
            if self.refusal is not None:
                del buffer[: -len(END)]
            self._searched = max(0, len(buffer) - len(END) + 1)
            return b""
        rest = bytes(buffer[end + len(END) :])
        del buffer[end + 2 :]
        if self.refusal is None:
            self.refusal = self._over_limit(bytes(buffer[2:]))
        if self.refusal is None:
            self.octets = bytes(buffer.replace(b"\r\n.", b"\r\n"))[2:]
            self.refusal = replies.LOOP if is_loop(self.octets) else improper(self.octets)
        self.complete, self._buffer = True, bytearray()
        return rest

    def _over_limit(self, content: bytes) -> str | None:
        """Return the reply for the limit that this much of the content exceeds first, or None."""
        if max(map(len, content[: self._limit].split(b"\r\n"))) > MAX_LINE:
            return replies.LINE_TOO_LONG
        return replies.TOO_LARGE if len(content) > self._limit else None


def improper(content: bytes) -> str | None:
    """Return the reply that refuses content with NUL or a bare CR or LF, or None."""
    if b"\0" in content:
        return replies.NUL
    return replies.BARE_LINE_END if has_bare_line_end(content) else None


def dot_stuffed(content: bytes) -> bytes:
    """Return the content as it is sent: CR LF at each line end, dots before those that begin a line, the final dot."""
    return b"".join(pieces(content))


def pieces(content: bytes) -> Iterator[bytes | memoryview]:
    """Yield the same in pieces, of which the last holds the final dot.  Nothing is copied where no dot is added."""
    if has_bare_line_end(content):
        content = re.sub(rb"\r\n|\r|\n", b"\r\n", content)
    view, start, length = memoryview(content), 0, len(content)
    end = b".\r\n" if content.endswith(b"\r\n") or not content else b"\r\n.\r\n"
    while True:
        stop = length if length - start <= PIECE else content.rfind(b"\n", start, start + PIECE) + 1 or start + PIECE
        piece: bytes | memoryview = view[start:stop]
        dotted = content.startswith(b".", start) and (start == 0 or content.startswith(b"\n", start - 1))
        if dotted or content.find(b"\n.", start, stop) >= 0:
            piece = b"." * dotted + bytes(piece).replace(b"\n.", b"\n..")
        if stop == length:
            yield b"".join((piece, end))
            return
        yield piece
        start = stop
