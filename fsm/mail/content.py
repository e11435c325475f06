"""The content of a message as it arrives after DATA: read up to its final dot, and checked.

Theory.
1. Only CR LF . CR LF ends the content; what follows belongs to the next command.
2. It is taken in the pieces in which it arrives, not line by line.  Once it is too long it is no longer kept, but still
   read to its end, because only there can it be answered (RFC 5321 4.2.5).
3. The sender puts a dot before each line that begins with one (RFC 5321 4.5.2); it is removed here.
4. A bare CR or LF is what SMTP smuggling is made of: one server takes `LF . CR LF` for the end of a message, the next
   does not.  Such content is refused rather than corrected, unless the operator trusts those who send it.  NUL is
   refused, because RFC 5322 forbids it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from fsm.mail import replies
from fsm.mail.limits import Budget
from fsm.mail.received import is_loop
from fsm.mail.syntax import has_bare_line_end, has_long_line

__all__ = ["Content", "dot_stuffed", "improper", "pieces"]

DOT: Final = b"\r\n."
END: Final = b"\r\n.\r\n"
PIECE: Final = 256 * 1024
"""Octets that are written at a time."""


class Content:
    """One message's content.  Call `feed` until it is `complete`; then `refusal` is a reply, or None.

    `octets` is the content, without the dots that were put before others; it is empty when it is refused.  `limit` is
    in octets.  `long_lines` takes lines of any length, and `mend` makes CR LF of a bare LF.  `memory` has the room for
    all that is being taken in: call `close` when the octets are not needed any more.
    """

    def __init__(
        self, limit: int, memory: Budget | None = None, *, long_lines: bool = False, mend: bool = False
    ) -> None:
        self.complete = False
        self.refusal: str | None = None
        self.octets = bytearray()
        self.received = 0
        self._limit, self._memory, self._long_lines, self._mend = limit, memory, long_lines, mend
        self._buffer = bytearray(b"\r\n")  # so that a dot in the first line is like any other
        self._searched = self._taken = 0
        self._dotted = False  # a line begins with a dot, and is not the end

    @property
    def size(self) -> int:
        """Octets that are kept at the moment."""
        return len(self._buffer) or len(self.octets)

    def feed(self, piece: bytes | bytearray | memoryview) -> bytes:
        """Take a piece.  Return what follows the final dot, which is empty until that has come."""
        buffer = self._buffer
        buffer += piece
        self.received += len(piece)
        end = buffer.find(DOT, self._searched)
        if end >= 0 and not buffer.startswith(END, end):
            self._dotted, end = True, buffer.find(END, end)
        if end < 0:
            if self.refusal is None and len(buffer) > self._limit + len(END) + 2:
                self.refusal = self._over_limit(buffer[2:])
            self._account()
            if self.refusal is not None:
                del buffer[: -len(END)]
                self._account()
            self._searched = max(0, len(buffer) - len(END) + 1)
            return b""
        rest = bytes(buffer[end + len(END) :])
        del buffer[end + 2 :]
        del buffer[:2]
        self.complete, self._buffer = True, bytearray()
        self.refusal = self.refusal or self._over_limit(buffer)
        if self.refusal is None:
            self.octets = self._unstuffed(buffer)
            self.refusal = replies.LOOP if is_loop(self.octets) else improper(self.octets)
        if self.refusal is not None:
            self.octets = bytearray()
            self.close()
        return rest

    def close(self) -> None:
        """Give the room back.  Does nothing the second time."""
        if self._memory is not None:
            self._memory.give(self._taken)
            self._taken = 0

    def _unstuffed(self, buffer: bytearray) -> bytearray:
        if self._dotted:
            buffer = buffer.removeprefix(b".").replace(DOT, b"\r\n")
        if self._mend and has_bare_line_end(buffer):
            buffer = bytearray(re.sub(rb"(?<!\r)\n", b"\r\n", buffer))
        return buffer

    def _account(self) -> None:
        """Take the room for what the buffer has grown by, or refuse the message."""
        if self._memory is None:
            return
        grown = self._buffer.__sizeof__() - self._taken
        if grown <= 0 or self._memory.take(grown):
            self._memory.give(max(0, -grown))
            self._taken += grown
        else:
            self.refusal = replies.NO_MEMORY

    def _over_limit(self, content: bytearray) -> str | None:
        """Return the reply for the limit that this much of the content exceeds first, or None."""
        if not self._long_lines and has_long_line(content if len(content) <= self._limit else content[: self._limit]):
            return replies.LINE_TOO_LONG
        return replies.TOO_LARGE if len(content) > self._limit else None


def improper(content: bytes | bytearray) -> str | None:
    """Return the reply that refuses content with NUL or a bare CR or LF, or None."""
    if b"\0" in content:
        return replies.NUL
    return replies.BARE_LINE_END if has_bare_line_end(content) else None


def dot_stuffed(content: bytes) -> bytes:
    """Return the content as it is sent: CR LF at each line end, dots before those that begin a line, the final dot."""
    return b"".join(piece for piece, _ in pieces(content))


def pieces(content: bytes) -> Iterator[tuple[bytes | memoryview, bool]]:
    """Yield the same in pieces, each with whether it is the last one, which holds the final dot.

    Nothing is copied where no dot is added.
    """
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
            yield b"".join((piece, end)), True
            return
        yield piece, False
        start = stop
