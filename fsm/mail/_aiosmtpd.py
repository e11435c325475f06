"""aiosmtpd's SMTP with a shorter way where every message passes: the same answers, for less work.

Theory.
1. An address of the usual kind, between angle brackets, needs no parser of mail headers; any other goes to the parser.
2. Silence is measured by one timer that looks at the clock when it ends, not by a new timer for each command.
3. Content is read in the pieces in which it comes (`content.py`), not line by line.  The reader, which keeps a
   command short, may hold more of it before the connection is made to wait.

This file knows no store.
"""

from __future__ import annotations

import asyncio

from aiosmtpd.smtp import SMTP

from fsm.mail.content import Content
from fsm.mail.syntax import USUAL_PATH

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

__all__ = ["QuickSMTP"]

ALL: Final = 1 << 30
"""More than a reader ever holds: it is emptied."""
HOLDS: Final = 64 * 1024
"""Octets of content in the reader; at twice as many the connection waits."""


class QuickSMTP(SMTP):
    """A session.  `receive` is what DATA does once it is known to be in its place."""

    _moved = 0.0
    _watching = False

    async def receive(self) -> None:
        """Ask for the content, take it, and answer what the DATA hook says (or why it cannot be taken)."""
        await self.push("354 End data with <CR><LF>.<CR><LF>")
        reader, content = self._reader, Content(self.data_size_limit or ALL)
        limit = reader._limit  # type: ignore[attr-defined]
        reader._limit = HOLDS  # type: ignore[attr-defined]
        try:
            while not content.complete:
                piece = await reader.read(ALL)
                if not piece:  # the client is gone: what aiosmtpd does then
                    raise asyncio.CancelledError
                if rest := content.feed(piece):
                    reader.feed_data(rest)  # it is empty
        finally:
            reader._limit = limit  # type: ignore[attr-defined]
        status = content.refused
        if status is None:
            assert self.envelope is not None
            self.envelope.content = self.envelope.original_content = content.whole
            status = str(await self._call_handler_hook("DATA"))
        self.envelope = self._create_envelope()
        await self.push(status)

    def _getaddr(self, arg: str) -> tuple[str | None, str | None]:
        usual = USUAL_PATH.fullmatch(arg)
        return (usual[1], usual[2]) if usual else super()._getaddr(arg)

    def _reset_timeout(self, duration: float | None = None) -> None:
        self._moved = self.loop.time()
        if not self._watching:
            self._watching = True
            self._timeout_handle = self.loop.call_later(self._timeout_duration, self._look)

    def _look(self) -> None:
        left = self._moved + self._timeout_duration - self.loop.time()
        if left > 0:
            self._timeout_handle = self.loop.call_later(left, self._look)
        else:
            self._watching = False
            self._timeout_cb()  # type: ignore[no-untyped-call]
