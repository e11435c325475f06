"""The SMTP conversation with a smarthost: commands sent as many at a time as it takes, and its replies in their order.

Theory.
1. A server that offers PIPELINING gets the commands of a group in one piece (RFC 2920); any other gets each when the
   one before is answered.  Replies are asked for one by one, in the order of the commands, either way.
2. Replies belong to commands by their order alone.  An unsolicited reply, or a line that is none, leaves that order
   unknown, so it closes the connection; the replies that came before it stand.
3. aiosmtplib connects, starts TLS and logs in; then this protocol takes over its transport.

Errors are aiosmtplib's: SMTPServerDisconnected, SMTPReadTimeoutError, SMTPResponseException (a line that is no reply).
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Callable
from typing import Final

from aiosmtplib import SMTPException, SMTPReadTimeoutError, SMTPResponse, SMTPResponseException, SMTPServerDisconnected

from fsm.mail.syntax import has_bare_line_end

__all__ = ["Pipeline", "dot_stuffed"]

MAX_REPLY: Final = 64 * 1024
"""Octets of a reply."""
NO_CODE: Final = -1
PIECE: Final = 256 * 1024
"""Octets that are written at a time."""


class Pipeline(asyncio.Protocol):
    """One conversation.  `timeout` is how many seconds a reply may take."""

    def __init__(self, transport: asyncio.Transport, *, pipelining: bool, timeout: float) -> None:
        self.pipelining, self.timeout = pipelining, timeout
        self._transport, self._loop = transport, asyncio.get_running_loop()
        self._unsent: deque[bytes] = deque()
        self._unanswered = 0
        self._replies: deque[SMTPResponse] = deque()
        self._error: SMTPException | None = None
        self._buffer, self._lines, self._length = b"", list[str](), 0
        self._waiting: asyncio.Future[None] | None = None
        self._deadline = 0.0
        self._timer: asyncio.TimerHandle | None = None
        transport.set_write_buffer_limits(0)  # so that `resume_writing` means that all of it has left
        transport.set_protocol(self)

    @property
    def closed(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._error is not None or self._transport.is_closing()

    @property
    def has_reply(self) -> bool:
        """Whether the next reply is there already."""
        return bool(self._replies)

    # --------------------------------------------------------------------------------------------------- writing

    def send(self, *commands: bytes) -> None:
        """Send commands, given without line ends; each has one reply.  SMTPServerDisconnected."""
        if self.pipelining:
            self._unanswered += len(commands)
            self._write(b"\r\n".join((*commands, b"")))
        else:
            self._unsent.extend(commands)

    def discard(self) -> bool:
        """Drop the commands that are not sent yet.  False when others were sent and are still to be answered."""
        self._unsent.clear()
        return not (self._unanswered or self._replies)

    async def send_content(
        self, content: bytes, moved: Callable[[], object], before_last: Callable[[], object]
    ) -> None:
        """Send a message, dot-stuffed, in pieces, and its final dot.  SMTPException.

        `moved` is called before each piece but the last, `before_last` before that one.
        """
        stuffed = dot_stuffed(content)
        last = (len(stuffed) - 1) // PIECE * PIECE
        self.begin_content()
        for start in range(0, last, PIECE):
            moved()
            await self.send_piece(stuffed[start : start + PIECE])
        if self.closed:
            raise SMTPServerDisconnected("Connection lost")
        before_last()
        self.send_last(stuffed[last:])

    def begin_content(self) -> None:
        """A message follows: pieces, and one reply, which may be a refusal that does not wait for its end."""
        self._unanswered += 1

    async def send_piece(self, piece: bytes) -> None:
        """Send a piece of a message that is not its last, and return when it has left.  SMTPException."""
        self._write(piece)
        await self._wait(lambda: not self._transport.get_write_buffer_size())

    def send_last(self, piece: bytes) -> None:
        """Send the last piece of a message.  SMTPServerDisconnected."""
        self._write(piece)

    def abort(self) -> None:
        """Close the connection now; what has not left is dropped."""
        self._transport.abort()

    def _write(self, data: bytes) -> None:
        if self.closed:
            raise self._error or SMTPServerDisconnected("Connection lost")
        self._transport.write(data)

    # --------------------------------------------------------------------------------------------------- reading

    async def reply(self, *, patience: float = 1.0) -> SMTPResponse:
        """Return the reply to the next command; it may take `patience` times the timeout.  SMTPException."""
        if not self._replies:
            if self._unsent:
                self._unanswered += 1
                self._write(self._unsent.popleft() + b"\r\n")
            await self._wait(lambda: bool(self._replies), patience)
        return self._replies.popleft()

    async def _wait(self, over: Callable[[], bool], patience: float = 1.0) -> None:
        while not over():
            if self._error is not None:
                raise self._error
            self._waiting = self._loop.create_future()
            self._set_deadline(self._loop.time() + self.timeout * patience)
            try:
                await self._waiting
            finally:
                self._waiting = None

    def _set_deadline(self, deadline: float) -> None:
        """End the waiting then.  A timer that ends earlier is left to look again, as that costs less than a new one."""
        self._deadline = deadline
        if self._timer is None or self._timer.when() > deadline:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_at(deadline, self._look_at_the_clock)

    def _look_at_the_clock(self) -> None:
        self._timer = None
        if self._waiting is None:
            return
        if self._loop.time() < self._deadline:
            self._set_deadline(self._deadline)
        else:
            self._fail(SMTPReadTimeoutError("Timed out waiting for server response"))

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def _fail(self, error: SMTPException) -> None:
        self._error = self._error or error
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._transport.close()
        self._wake()

    # ------------------------------------------------------------------------------------ what the transport calls

    def data_received(self, data: bytes) -> None:
        """Read replies, or pieces of them."""
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            if self._error is None:
                self._read_line(line)
        if len(self._buffer) + self._length > MAX_REPLY:
            self._fail(SMTPResponseException(NO_CODE, "Response too long"))
        if self._replies:
            self._wake()

    def _read_line(self, line: bytes) -> None:
        text = line.strip().decode("utf-8", "surrogateescape")
        code, between = text[:3], text[3:4]
        well_formed = len(code) == 3 and code.isascii() and code.isdigit() and between in ("", " ", "-")
        if not self._unanswered or not well_formed:
            what = "Malformed SMTP response line" if self._unanswered else "Unasked"
            self._fail(SMTPResponseException(NO_CODE, f"{what}: {text}"))
            return
        self._lines.append(text[4:].strip())
        self._length += len(line)
        if between != "-":
            self._replies.append(SMTPResponse(int(code), "\n".join(self._lines)))
            self._unanswered, self._lines, self._length = self._unanswered - 1, [], 0

    def eof_received(self) -> bool:
        """The server will send no more."""
        self._fail(SMTPServerDisconnected("Unexpected EOF received"))
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is closed."""
        lost = SMTPServerDisconnected("Connection lost")
        lost.__cause__ = error
        self._fail(lost)

    def resume_writing(self) -> None:
        """All that was written has left."""
        self._wake()


def dot_stuffed(content: bytes) -> bytes:
    """Return the content as it is sent: CR LF at each line end, dots before those that begin a line, the final dot."""
    if has_bare_line_end(content):
        content = re.sub(rb"\r\n|\r|\n", b"\r\n", content)
    if content.startswith(b"."):
        content = b"." + content
    end = b".\r\n" if content.endswith(b"\r\n") or not content else b"\r\n.\r\n"
    return content.replace(b"\r\n.", b"\r\n..") + end
