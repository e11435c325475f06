"""A stream reader of asyncio that reads commands and whole messages.

It uses one private name of asyncio: `StreamReader._limit`.  The limit keeps a command line short.  While a message is
read it would only make the transport pause and resume at every piece, two system calls each time, so it is raised until
the final dot.  `tests/mail/test_libraries.py` fails when asyncio changes this.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from fsm.mail.content import Content

__all__ = ["MessageReader"]

EVERYTHING: Final = 1 << 30
"""More than the buffer ever holds."""
CONTENT_LIMIT: Final = 64 * 1024
"""Octets of content in the buffer; the transport pauses at twice as many."""


class MessageReader(asyncio.StreamReader):
    """Reads lines, and the content of messages in the pieces in which it arrives."""

    async def readuntil(self, separator: Any = b"\n") -> bytes:
        """Read up to a separator.  CancelledError at the end of the input, from which aiosmtpd knows a lost client."""
        try:
            return await super().readuntil(separator)
        except asyncio.IncompleteReadError:
            raise asyncio.CancelledError from None

    async def read_content(self, content: Content) -> None:
        """Read up to the final dot; what follows it stays in the buffer.  CancelledError at the end of the input."""
        limit, self._limit = self._limit, CONTENT_LIMIT  # type: ignore[has-type]
        try:
            while not content.complete:
                piece = await self.read(EVERYTHING)
                if not piece:
                    raise asyncio.CancelledError
                if rest := content.feed(piece):
                    self.feed_data(rest)
        finally:
            self._limit = limit
