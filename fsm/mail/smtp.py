"""The two ports, as aiosmtpd sessions: what a client is let do, and what it is answered.

Theory.
1. aiosmtpd speaks the protocol; this file adds what keeps messages whole.  A session reads on to the end of what its
   client sent before it hung up (aiosmtpd would drop what it has not read yet), and a message's fate is an intake's
   (`reception.py`), which no lost connection cuts.
2. 421 ends a session, whoever says it: the store is closing, too many errors, silence.  While the store takes
   nothing new, every command that would begin something is answered so.
3. `depart` ends a session for good: at once when it owes no answer, after the answer otherwise.
4. What a client says is bounded: lines and commands by aiosmtpd, and here messages, recipients, errors and sessions.
   Content with bare CR, LF or NUL is refused (`syntax.py`), so what goes on from here cannot be taken for two
   messages.

LMTP answers once for each recipient (RFC 2033), which aiosmtpd does not.  This file knows no store but through intakes.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from aiosmtpd.lmtp import LMTP
from aiosmtpd.smtp import (
    SMTP,
    AuthResult,
    Envelope as Draft,
    LoginPassword,
    Session as Client,
)

from fsm.mail._aiosmtpd import QuickSMTP
from fsm.mail.config import Config
from fsm.mail.hooks import Hooks, address_of
from fsm.mail.limits import Gate
from fsm.mail.received import Passage
from fsm.mail.reception import Envelope, Inbound, Intake, Intakes, Submission
from fsm.mail.syntax import line
from fsm.store.errors import StoreClosing

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from typing import Any, Final

    from fsm.mail.auth import Users

__all__ = ["Port"]

log: Final = logging.getLogger("fsm.mail")
MANY: Final = 1_000_000
COMMANDS: Final = {"*": 200, "MAIL": MANY, "RCPT": MANY, "DATA": MANY, "RSET": MANY, "NOOP": MANY}
"""How often a command may come in one session; what is not named here has no use in such numbers."""
WRONG_LOGIN: Final = 5
"""A wrong login counts as so many errors."""


@dataclass(eq=False)
class Port:
    """One port: what its sessions share.  Called, it makes the protocol of a new connection.

    `takes_new` says whether the store takes new work; it is asked at each command that would begin some.
    """

    inbound: bool
    config: Config
    shared: Intakes
    takes_new: Callable[[], bool]
    tls: ssl.SSLContext | None = None
    users: Users | None = None
    sessions: dict[_Session, None] = field(default_factory=dict)
    closing: bool = False

    def __post_init__(self) -> None:
        limits, loop = self.config.limits, asyncio.get_running_loop()
        self.gate = Gate(limits.sessions, limits.rate, loop.time)
        self.hooks = Hooks(self)

    def __call__(self) -> asyncio.Protocol:
        """The protocol of a new connection."""
        return _LmtpSession(self) if self.inbound and self.config.lmtp else _Session(self)

    def depart(self) -> None:
        """End every session: 421 and closed, those that owe an answer after it; and whoever still comes in."""
        self.closing = True
        for session in list(self.sessions):
            session.depart()

    def cut(self) -> None:
        """End every session now, whatever it owes."""
        for session in list(self.sessions):
            session.cut()


class _Session(QuickSMTP):
    """One client's connection."""

    def __init__(self, port: Port) -> None:
        config, limits = port.config, port.config.limits
        self.command_size_limits = defaultdict(lambda: SMTP.command_size_limit)  # aiosmtpd shares one among all
        super().__init__(
            port.hooks,
            hostname=config.hostname,
            ident="fsm",
            data_size_limit=limits.size,
            enable_SMTPUTF8=True,
            timeout=limits.idle,
            tls_context=port.tls,
            require_starttls=port.users is not None,
            auth_required=port.users is not None,
            authenticator=self._note_login,
            command_call_limit=COMMANDS,
            loop=asyncio.get_running_loop(),
        )
        self.port = port
        self._intake: Intake | None = None
        self._owes = self._leaving = False
        self._errors = self._copies = 0
        self._login: tuple[bytes, bytes] | None = None
        self.gone: asyncio.Future[None] = self.loop.create_future()

    # ------------------------------------------------------------------------------------------- the connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A connection, or TLS on it."""
        super().connection_made(transport)
        task = self._handler_coroutine
        assert task is not None
        task.add_done_callback(lambda done: done.cancelled() or done.exception())  # a lost connection is no error

    def _cb_client_connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        super()._cb_client_connected(reader, writer)
        reader.readuntil = _cancelled_at_the_end(reader.readuntil)  # type: ignore[method-assign]

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is closed, all that was written has left."""
        super().connection_lost(error)
        self.port.sessions.pop(self, None)
        if not self.gone.done():
            self.gone.set_result(None)

    def data_received(self, data: bytes) -> None:
        """Something came: while a message is being sent, that is a sign of life."""
        if self._copies:
            self._reset_timeout()
        super().data_received(data)

    def eof_received(self) -> bool | None:
        """The client will send no more.  What it sent before is still read; TLS cannot wait for that."""
        if self.session is not None and self.session.ssl is not None:
            return super().eof_received()
        return asyncio.StreamReaderProtocol.eof_received(self)

    def _timeout_cb(self) -> None:
        if self._owes:  # it is the disk that keeps us waiting
            self._reset_timeout()
        else:
            self._say_last("421 4.4.2 nothing came for too long")

    async def _handle_client(self) -> None:
        if self.port.closing or not self.port.takes_new():
            await self.push(StoreClosing.smtp)
            return
        if not self.port.gate.enter():
            await self.push("421 4.3.2 too many connections, try again later")
            return
        self.port.sessions[self] = None
        try:
            await super()._handle_client()
        finally:
            self.port.gate.leave()
            self._writer.close()

    def depart(self) -> None:
        """End the session, after the answer it owes."""
        self._leaving = True
        if not self._owes and not (self._intake is not None and self._intake.committed):
            self._say_last(StoreClosing.smtp)

    def cut(self) -> None:
        """End the session now."""
        if self.transport is not None:
            self._writer.transport.abort()

    def _say_last(self, reply: str) -> None:
        if self.transport is not None:
            self._writer.write(f"{reply}\r\n".encode())
            self.transport.close()

    async def push(self, status: str | bytes) -> None:
        """Answer.  Errors are counted, and 421 ends the session."""
        text = status if isinstance(status, str) else status.decode("utf-8", "replace")
        text = text.encode("utf-8", "replace").decode()
        bad = text[:1] in "45"
        await super().push("\r\n".join([text] * self._copies) if self._copies > 1 and text[:3] != "354" else text)
        self._errors += bad
        if bad and self._errors >= self.port.config.limits.errors and text[:3] != "421":
            text = "421 4.7.0 too many errors"
            await super().push(text)
        if text[:3] == "421":
            self._end()

    def _end(self) -> None:
        assert self._handler_coroutine is not None
        self._handler_coroutine.cancel()
        if self.transport is not None:
            self.transport.close()

    # ------------------------------------------------------------------------------------------------ commands

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802
        """The message.  Its intake begins before the client is told to send it."""
        envelope = self.envelope
        if arg or envelope is None or not envelope.rcpt_tos or self.session is None or not self.session.host_name:
            await super().smtp_DATA(arg)  # it says what is wrong
            return
        kind = Inbound if self.port.inbound else Submission
        intake = self._intake = kind(self.port.shared, self._told(envelope), self._stopped)
        self._copies = len(envelope.rcpt_tos) if isinstance(self, LMTP) else 1
        try:
            refused = StoreClosing.smtp if not self.port.takes_new() else await intake.begin()
            if refused is not None:
                self._copies = 0  # one answer, to DATA itself
                await self.push(refused)
            else:
                await self.receive()
        finally:
            intake.hang_up()
            self._intake, self._copies, self._owes = None, 0, False
        if self._leaving:
            await self.push(StoreClosing.smtp)

    async def take(self, content: bytes) -> str:
        """The whole message is there: the reply, once it is durable."""
        assert self._intake is not None
        self._owes = True
        return await self._intake.finish(content)

    async def smtp_AUTH(self, arg: str) -> None:  # noqa: N802
        """Log in.  The password is checked in a thread, for that takes a while by intention."""
        self._login = None
        await super().smtp_AUTH(arg)
        if self._login is None or self.port.users is None or self.session is None:
            return
        users, login, self._login = self.port.users, self._login, None
        if await self.loop.run_in_executor(self.port.shared.executor, users.may_enter, *login):
            self.session.authenticated = True
            await self.push("235 2.7.0 welcome")
        else:
            self._errors += WRONG_LOGIN - 1
            await self.push("535 5.7.8 wrong name or password")

    async def smtp_VRFY(self, arg: str) -> None:  # noqa: N802
        """Whether there is such a user: that is nobody's business."""
        await self.push("252 2.5.2 cannot tell; send the message and see")

    def _note_login(self, server: SMTP, client: Client, draft: Draft, mechanism: str, login: Any) -> AuthResult:
        if isinstance(login, LoginPassword):
            self._login = (login.login, login.password)
        return AuthResult(success=False, handled=True)  # not yet: `smtp_AUTH` decides and answers

    def _told(self, draft: Draft) -> Envelope:
        session = self.session
        assert session is not None
        suffix = ("S" if session.ssl else "") + ("A" if session.authenticated else "")
        kind = "LMTP" if isinstance(self, LMTP) else "ESMTP" if session.extended_smtp else "SMTP"
        passage = Passage(address_of(session), session.host_name or "", self.port.config.hostname, kind + suffix)
        return Envelope("" if draft.mail_from == "<>" else draft.mail_from or "", tuple(draft.rcpt_tos), passage)

    def _stopped(self, reason: str) -> None:
        """The plan stops the message that is coming in."""
        self.loop.call_soon_threadsafe(self._say_stopped, f"421 4.3.2 {line(reason, 200)}")

    def _say_stopped(self, reply: str) -> None:
        if not self._owes:
            self._say_last(reply)


class _LmtpSession(_Session, LMTP):
    """The same in LMTP."""


def _cancelled_at_the_end(read: Callable[..., Any]) -> Callable[..., Any]:
    """Reading that ends its task at the end of the input, where aiosmtpd expects to be cancelled."""

    async def readuntil(separator: bytes = b"\n") -> Any:
        try:
            return await read(separator)
        except asyncio.IncompleteReadError:
            raise asyncio.CancelledError from None

    return readuntil
