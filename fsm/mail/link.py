"""A connection to the smarthost: the client's dialogue on a socket, with TLS and time-outs.

Theory.
1. A message is over when the dialogue is not busy any more; the task that sends it is woken once, then.
2. The last piece of a message holds the final dot.  `before_dot` is called when every piece before it has left this
   process, and right before it is written; until then nothing can have been delivered.
3. Each reply, each piece of a message that is written, and the whole of connecting and TLS may take `timeout` seconds,
   the reply to the final dot ten times as long (RFC 5321 4.5.3.2: ten minutes there).  Nothing that the server sends
   makes it longer but whole replies, of which there is one for each command.
4. There is one timer.  It is left alone when the deadline moves on, because it looks again when it ends.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterator
from typing import Final, cast

from fsm.mail.config import Smarthost
from fsm.mail.content import pieces
from fsm.mail.errors import LinkLost
from fsm.mail.smtp.client_dialogue import Dialogue, Transaction
from fsm.mail.syntax import line

__all__ = ["Link"]

DOT_FACTOR: Final = 10
"""The reply after the final dot may take this many times the timeout."""
GOODBYE: Final = 2.0
"""Seconds in which the server may answer QUIT."""
PATIENT: Final = frozenset({"dot", "void_dot"})


def _nothing(*_: object) -> None: ...


class Link(asyncio.Protocol):
    """One connection, for one message at a time.  `begun` counts the messages; `dialogue` has the server's replies."""

    def __init__(self, smarthost: Smarthost, context: ssl.SSLContext | None, hostname: str) -> None:
        login = None if smarthost.user is None else (smarthost.user, smarthost.password)
        starttls = smarthost.security == "starttls"
        self._smarthost, self._context = smarthost, context
        self.dialogue = Dialogue(hostname, tls=starttls, login=login, lmtp=smarthost.lmtp)
        self.begun = 0
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._over: asyncio.Future[None] | None = None
        self._pieces: Iterator[tuple[bytes | memoryview, bool]] = iter(())
        self._moved: Callable[[str], object] = _nothing
        self._before_dot: Callable[[], object] = _nothing
        self._paused = False
        self._deadline = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._handshake: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Connect, secure the connection and log in.  LinkLost, with the reply as `refusal` if there was one."""
        implicit = self._context if self._smarthost.security == "tls" else None
        address = self._smarthost.address
        host = address.ip if address.loopback else address.host
        name = address.host if implicit is not None else None
        try:
            async with asyncio.timeout(self._smarthost.timeout):
                await self._loop.create_connection(
                    lambda: self, host, address.port, ssl=implicit, server_hostname=name,
                    ssl_handshake_timeout=None if implicit is None else self._smarthost.timeout,
                )  # fmt: skip
        except TimeoutError:
            raise LinkLost(f"{address} did not accept the connection in time") from None
        except (OSError, ssl.SSLError) as error:
            raise LinkLost(f"cannot connect to {address}: {line(str(error) or type(error).__name__)}") from error
        await self._wait()
        if self.dialogue.closed:
            raise LinkLost(self.dialogue.problem, self.dialogue.refusal)

    async def send(
        self, transaction: Transaction, content: bytes,
        moved: Callable[[str], object] = _nothing, before_dot: Callable[[], object] = _nothing,
    ) -> None:  # fmt: skip
        """Send a message.  The transaction says what became of it; the link is closed if it was left unknown.

        `moved` is called with each stage that has to be waited for before the final dot.
        """
        self._moved, self._before_dot, self._pieces = moved, before_dot, pieces(content)
        self.begun += 1
        self.dialogue.begin(transaction)
        self._go_on()
        await self._wait()

    async def quit(self) -> None:
        """Say QUIT, wait shortly for the reply, and close the connection."""
        if self.usable:
            self.dialogue.leave()
            self._go_on()
            try:
                async with asyncio.timeout(GOODBYE):
                    await self._wait()
            except TimeoutError:
                pass
        self.abort("it is not needed any more")

    @property
    def usable(self) -> bool:
        """Whether a message can be sent."""
        return self._transport is not None and self.dialogue.ready and not self._transport.is_closing()

    def abort(self, reason: str) -> None:
        """Close the connection now; what has not left is dropped."""
        self.dialogue.lose(reason)
        if self._handshake is not None:
            self._handshake.cancel()
        if self._transport is not None:
            self._transport.abort()
        self._end()

    # ------------------------------------------------------------------------------------------------- progress

    async def _wait(self) -> None:
        """Wait until the dialogue is ready or closed."""
        if not self.dialogue.busy:
            return
        self._over = self._loop.create_future()
        try:
            await self._over
        except BaseException:
            self.abort("sending was stopped")
            raise
        finally:
            self._over = None

    def _end(self) -> None:
        """Nothing is waited for any more."""
        self._moved = _nothing
        if self.dialogue.closed and self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._over is not None and not self._over.done():
            self._over.set_result(None)

    def _go_on(self) -> None:
        """Write what is to be written, and do what the dialogue waits for."""
        dialogue, transport = self.dialogue, self._transport
        assert transport is not None
        if out := dialogue.take():
            transport.write(out)
        if dialogue.sending:
            self._write_content()
        elif dialogue.busy:
            self._watch()
            self._moved(dialogue.state)
            if dialogue.securing and self._handshake is None:
                self._handshake = self._loop.create_task(self._secure())
        else:
            if dialogue.closed:
                transport.close()
            self._end()

    def _write_content(self) -> None:
        """Write pieces until the transport has enough, or all is written."""
        dialogue, transport = self.dialogue, self._transport
        assert transport is not None
        while dialogue.sending:
            if self._paused:
                self._moved(dialogue.state)
                break
            piece, last = next(self._pieces)
            if last:
                self._before_dot()
                dialogue.finish()
            transport.write(piece)
        self._watch()

    async def _secure(self) -> None:
        assert self._transport is not None
        assert self._context is not None
        try:
            transport = await self._loop.start_tls(
                self._transport, self, self._context, server_hostname=self._smarthost.address.host,
                ssl_handshake_timeout=self._smarthost.timeout,
            )  # fmt: skip
        except (OSError, ssl.SSLError) as error:
            self._lose(f"TLS failed: {line(str(error) or type(error).__name__)}")
            return
        if transport is None:
            self._lose("the connection was lost during the TLS handshake")
            return
        self._use(transport)
        self.dialogue.secured()
        self._go_on()

    # ------------------------------------------------------------------------------------------------ time-outs

    def _watch(self) -> None:
        """Begin the time for what is waited for now."""
        factor = DOT_FACTOR if self.dialogue.state in PATIENT else 1
        self._deadline = self._loop.time() + self._smarthost.timeout * factor
        if self._timer is None or self._timer.when() > self._deadline:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_at(self._deadline, self._look_at_the_clock)

    def _look_at_the_clock(self) -> None:
        self._timer = None
        if not self.dialogue.busy:
            return
        if self._loop.time() < self._deadline:
            self._timer = self._loop.call_at(self._deadline, self._look_at_the_clock)
        else:
            self.abort(f"no reply came in time ({self.dialogue.state})")

    # ------------------------------------------------------------------------------------ what the transport calls

    def _use(self, transport: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.Transport", transport)  # uvloop has its own
        transport.set_write_buffer_limits(0)  # so that `resume_writing` means that all of it has left
        self._transport, self._paused = transport, False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is there; the server speaks first."""
        self._use(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Read replies, or pieces of them."""
        if self.dialogue.receive(data):
            self._go_on()

    def eof_received(self) -> bool:
        """The server will send no more."""
        self._lose("the server closed the connection")
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is closed."""
        self._lose(f"the connection was lost{f': {error}' if error is not None else ''}")

    def pause_writing(self) -> None:
        """Something has not left yet."""
        self._paused = True

    def resume_writing(self) -> None:
        """All that was written has left."""
        self._paused = False
        if self.dialogue.sending:
            self._write_content()

    def _lose(self, reason: str) -> None:
        self.dialogue.lose(reason)
        if self._transport is not None:
            self._transport.close()
        self._end()
