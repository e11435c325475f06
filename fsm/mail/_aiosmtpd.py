"""aiosmtpd's session with the hooks that this server needs, and a shorter way where every message passes.

aiosmtpd has no public way to do the following, so these private names of `aiosmtpd.smtp.SMTP` are used or overridden.
`tests/mail/test_libraries.py` names each of them, and fails when aiosmtpd changes one.

- `_handle_client`: the session's loop, overridden to admit a client before it is greeted, and to learn of the end.
- `_handler_coroutine`: its task.  It is cancelled after a reply 421, and an error in it is no error of the server's:
  asyncio would log each lost connection.
- `_cb_client_connected`: where aiosmtpd gets its reader; kept here under a public name.
- `_reset_timeout`, `_timeout_cb`, `_timeout_handle`, `_timeout_duration`: silence.  Overridden to decide what happens
  then, and to measure it by one timer that looks at the clock when it ends instead of a new timer for each command.
- `_getaddr`: parses a path.  One of the usual kind needs no parser of mail headers.

Two more things are worked around.  At the end of the input aiosmtpd drops what it has not read yet; here a session
reads on to the end of what its client sent before it hung up.  And `command_size_limits` is one dictionary for all
sessions.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Any

from aiosmtpd.smtp import SMTP

from fsm.mail._asyncio_streams import MessageReader
from fsm.mail.syntax import USUAL_PATH

__all__ = ["SmtpProtocol"]


class _MessageStream(asyncio.StreamReaderProtocol):
    """The class that SMTP's constructor calls in place of its own base class: with another reader."""

    def __init__(self, stream_reader: asyncio.StreamReader, client_connected_cb: Any, loop: Any) -> None:
        super().__init__(MessageReader(limit=SMTP.line_length_limit, loop=loop), client_connected_cb, loop)


class SmtpProtocol(SMTP, _MessageStream):
    """One connection.  Subclasses override `admit`, `ended` and `silence`."""

    reader: MessageReader
    _last_sign_of_life = 0.0
    _timer_runs = False

    def __init__(self, handler: object, **options: Any) -> None:
        self.command_size_limits = defaultdict(lambda: SMTP.command_size_limit)
        super().__init__(handler, **options)

    def admit(self) -> str | None:
        """Return the reply that turns this client away, or None; then `ended` is called at the end."""
        return None

    def ended(self) -> None:
        """The session of a client that was admitted is over."""

    def silence(self) -> None:
        """The client has sent nothing for the whole timeout."""

    def alive(self) -> None:
        """Begin the timeout anew."""
        self._last_sign_of_life = self.loop.time()
        if not self._timer_runs:
            self._timer_runs = True
            self._timeout_handle = self.loop.call_later(self._timeout_duration, self._look_at_the_clock)

    def close_with(self, reply: str) -> None:
        """Write this reply without being asked, and close the connection once it has left."""
        if isinstance(self.transport, asyncio.Transport):
            self.transport.write(f"{reply}\r\n".encode())
            self.transport.close()

    def end(self) -> None:
        """End the session and close the connection once everything written has left."""
        assert self._handler_coroutine is not None
        self._handler_coroutine.cancel()
        if self.transport is not None:
            self.transport.close()

    # --------------------------------------------------------------------------------------- what aiosmtpd calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A connection is open, or TLS on it."""
        super().connection_made(transport)
        assert self._handler_coroutine is not None
        self._handler_coroutine.add_done_callback(lambda done: done.cancelled() or done.exception())

    def eof_received(self) -> bool | None:
        """The client will send no more.  What it sent before is still read; TLS cannot wait for that."""
        if self.session is not None and self.session.ssl is not None:
            return super().eof_received()
        return asyncio.StreamReaderProtocol.eof_received(self)

    def _cb_client_connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        super()._cb_client_connected(reader, writer)
        assert isinstance(reader, MessageReader)
        self.reader = reader

    async def _handle_client(self) -> None:
        if (reply := self.admit()) is not None:
            await self.push(reply)
            return
        try:
            await super()._handle_client()
        finally:
            self.ended()
            if self.transport is not None:
                self.transport.close()

    def _getaddr(self, arg: str) -> tuple[str | None, str | None]:
        usual = USUAL_PATH.fullmatch(arg)
        return (usual[1], usual[2]) if usual else super()._getaddr(arg)

    def _reset_timeout(self, duration: float | None = None) -> None:
        self.alive()

    def _timeout_cb(self) -> None:
        self.silence()

    def _look_at_the_clock(self) -> None:
        left = self._last_sign_of_life + self._timeout_duration - self.loop.time()
        if left > 0:
            self._timeout_handle = self.loop.call_later(left, self._look_at_the_clock)
        else:
            self._timer_runs = False
            self._timeout_cb()
