"""The wire to a smarthost: commands written as many at a time as it takes, and its replies, read in their order.

Theory.
1. Who offers PIPELINING is sent the commands of a group in one piece (RFC 2920); who does not is sent each when the
   one before is answered.  Replies are asked for one by one, in the order of the commands, either way.
2. Replies belong to commands by their order alone.  What comes unasked, or is no reply, leaves that order unknown, so
   it closes the connection; replies that came before it stand.
3. The link is made, secured and logged in by aiosmtplib; this takes its transport over from there.

Errors are aiosmtplib's: SMTPServerDisconnected, SMTPReadTimeoutError, SMTPResponseException (no reply is that).  This
file knows no message.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from aiosmtplib import SMTPException, SMTPReadTimeoutError, SMTPResponse, SMTPResponseException, SMTPServerDisconnected

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

__all__ = ["Wire"]

LONGEST: Final = 64 * 1024
"""Octets of a reply."""
NO_REPLY: Final = -1


class Wire(asyncio.Protocol):
    """One connection.  `timeout` is how many seconds a reply may take."""

    def __init__(self, transport: asyncio.Transport, *, pipelining: bool, timeout: float) -> None:
        self.pipelining, self.timeout = pipelining, timeout
        self._transport, self._loop = transport, asyncio.get_running_loop()
        self._unsent: deque[bytes] = deque()
        self._owed = 0
        self._replies: deque[SMTPResponse] = deque()
        self._wrong: SMTPException | None = None
        self._buffer, self._told, self._length = b"", list[str](), 0
        self._waiting: asyncio.Future[None] | None = None
        self._late_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        transport.set_write_buffer_limits(0)  # so that having written means that all of it has left
        transport.set_protocol(self)

    @property
    def closed(self) -> bool:
        """Whether nothing can be said here any more."""
        return self._wrong is not None or self._transport.is_closing()

    @property
    def answered(self) -> bool:
        """Whether the next reply is there already."""
        return bool(self._replies)

    # --------------------------------------------------------------------------------------------------- writing

    def say(self, *commands: bytes) -> None:
        """These commands, without line ends; each has one reply.  SMTPServerDisconnected."""
        if self.pipelining:
            self._owed += len(commands)
            self._write(b"\r\n".join((*commands, b"")))
        else:
            self._unsent.extend(commands)

    def unsay(self) -> bool:
        """Take back what has not been sent; False when something was sent and is still to be answered."""
        self._unsent.clear()
        return not (self._owed or self._replies)

    async def content(self, piece: bytes) -> None:
        """A piece of a message that is not its last; when this returns it has left.  SMTPException."""
        self._write(piece)
        await self._wait(lambda: not self._transport.get_write_buffer_size())

    def end(self, piece: bytes) -> None:
        """The last piece of a message.  SMTPServerDisconnected."""
        self._write(piece)

    def expect(self) -> None:
        """A message comes now: pieces, and one reply, which may be a refusal that does not wait for its end."""
        self._owed += 1

    def cut(self) -> None:
        """Close the connection now; what has not left stays here."""
        self._transport.abort()

    def _write(self, data: bytes) -> None:
        if self.closed:
            raise self._wrong or SMTPServerDisconnected("Connection lost")
        self._transport.write(data)

    # --------------------------------------------------------------------------------------------------- reading

    async def reply(self, *, patience: float = 1.0) -> SMTPResponse:
        """The reply to the next command; it may take `patience` times the timeout.  SMTPException."""
        if not self._replies:
            if self._unsent:
                self._owed += 1
                self._write(self._unsent.popleft() + b"\r\n")
            await self._wait(lambda: bool(self._replies), patience)
        return self._replies.popleft()

    async def _wait(self, over: Callable[[], bool], patience: float = 1.0) -> None:
        while not over():
            if self._wrong is not None:
                raise self._wrong
            self._waiting = self._loop.create_future()
            self._watch(self._loop.time() + self.timeout * patience)
            try:
                await self._waiting
            finally:
                self._waiting = None

    def _watch(self, late_at: float) -> None:
        """See to it that waiting ends then.  A timer that ends earlier looks again; it is not made anew each time."""
        self._late_at = late_at
        if self._timer is None or self._timer.when() > late_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_at(late_at, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._waiting is None:
            return
        if self._loop.time() < self._late_at:
            self._watch(self._late_at)
        else:
            self._fail(SMTPReadTimeoutError("Timed out waiting for server response"))

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def _fail(self, error: SMTPException) -> None:
        self._wrong = self._wrong or error
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._transport.close()
        self._wake()

    # ------------------------------------------------------------------------------------ what the transport calls

    def data_received(self, data: bytes) -> None:
        """Replies, or pieces of them."""
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            if self._wrong is None:
                self._line(line)
        if len(self._buffer) + self._length > LONGEST:
            self._fail(SMTPResponseException(NO_REPLY, "Response too long"))
        if self._replies:
            self._wake()

    def _line(self, line: bytes) -> None:
        text = line.strip().decode("utf-8", "surrogateescape")
        code, between = text[:3], text[3:4]
        if not self._owed or not (len(code) == 3 and code.isascii() and code.isdigit() and between in ("", " ", "-")):
            what = "Malformed SMTP response line" if self._owed else "Unasked"
            self._fail(SMTPResponseException(NO_REPLY, f"{what}: {text}"))
            return
        self._told.append(text[4:].strip())
        self._length += len(line)
        if between != "-":
            self._replies.append(SMTPResponse(int(code), "\n".join(self._told)))
            self._owed, self._told, self._length = self._owed - 1, [], 0

    def eof_received(self) -> bool:
        """Nothing more will come."""
        self._fail(SMTPServerDisconnected("Unexpected EOF received"))
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """The link is gone."""
        lost = SMTPServerDisconnected("Connection lost")
        lost.__cause__ = error
        self._fail(lost)

    def resume_writing(self) -> None:
        """All of it has left."""
        self._wake()
