"""The two ports: what a client may do, and what it is answered.

Theory.
1. aiosmtpd speaks the protocol (`_aiosmtpd.py`); this file adds what keeps messages whole.  A lost connection ends its
   session, but not the reception of a message that has arrived whole (`reception.py`).
2. The reply 421 ends a session, for whatever reason: the store is closing, too many errors, silence.  While the store
   accepts nothing new, each command that would begin something is answered so.
3. `close` ends a session at once when no reply is due, and after the reply otherwise.
4. Everything a client sends is limited: lines and commands by aiosmtpd; messages, recipients, errors and sessions here.

LMTP replies once for each recipient (RFC 2033), which aiosmtpd does not.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any, Final

import aiosmtpd.smtp
from aiosmtpd.lmtp import LMTP

from fsm.mail import replies
from fsm.mail._aiosmtpd import SmtpProtocol
from fsm.mail.auth import Users
from fsm.mail.config import Config
from fsm.mail.content import Content
from fsm.mail.limits import Limiter
from fsm.mail.received import Hop
from fsm.mail.reception import Envelope, Receiver, Reception
from fsm.mail.syntax import line, wrong_address

__all__ = ["Port"]

log: Final = logging.getLogger("fsm.mail")
MANY: Final = 1_000_000
COMMANDS: Final = {"*": 200, "MAIL": MANY, "RCPT": MANY, "DATA": MANY, "RSET": MANY, "NOOP": MANY}
"""How often a command may be used in one session; '*' stands for all that are not named."""
WRONG_LOGIN_ERRORS: Final = 5
"""The number of errors as which a wrong login counts."""


@dataclass(eq=False)
class Port:
    """One port: its limits, its sessions, and aiosmtpd's hooks, which are the same for all of them.

    Calling it makes the protocol of a new connection.
    """

    inbound: bool
    config: Config
    receiver: Receiver
    executor: Executor
    tls: ssl.SSLContext | None = None
    users: Users | None = None
    sessions: dict[SmtpSession, None] = field(default_factory=dict)
    closing: bool = False

    def __post_init__(self) -> None:
        limits, loop = self.config.limits, asyncio.get_running_loop()
        self.limiter = Limiter(limits.sessions, limits.rate, loop.time)

    def __call__(self) -> asyncio.Protocol:
        """Return the protocol of a new connection."""
        return LmtpSession(self) if self.inbound and self.config.lmtp else SmtpSession(self)

    @property
    def accepting(self) -> bool:
        """Whether the store takes new work; asked at each command that would begin some."""
        return self.receiver.store.accepting

    def close(self) -> None:
        """End every session with 421, those to which a reply is due after it.  New clients get 421, too."""
        self.closing = True
        for session in list(self.sessions):
            session.close()

    def abort(self) -> None:
        """End every session now, whatever reply is due."""
        for session in list(self.sessions):
            session.abort()

    # --------------------------------------------------------------------------------------------- aiosmtpd's hooks

    async def handle_EHLO(  # noqa: N802
        self, server: object, session: aiosmtpd.smtp.Session, envelope: object, hostname: str, responses: list[str]
    ) -> list[str]:
        """Offer PIPELINING, too: commands wait in the reader, and are answered in order."""
        session.host_name = hostname
        return [responses[0], replies.PIPELINING, *responses[1:]]

    async def handle_MAIL(  # noqa: N802
        self,
        server: object,
        session: aiosmtpd.smtp.Session,
        envelope: aiosmtpd.smtp.Envelope,
        address: str,
        options: list[str],
    ) -> str:
        """Begin a message, or refuse it."""
        if not self.accepting:
            return replies.STORE_CLOSING
        sender = "" if address == "<>" else address
        if sender and (refusal := wrong_address(sender, smtputf8=envelope.smtp_utf8)):
            return refusal
        if not self.limiter.begin_message(_peer(session)):
            return replies.TOO_MANY_MESSAGES
        envelope.mail_from = address  # aiosmtpd takes an empty one for none
        envelope.mail_options.extend(options)
        return replies.SENDER_OK

    async def handle_RCPT(  # noqa: N802
        self, server: object, session: object, envelope: aiosmtpd.smtp.Envelope, address: str, options: list[str]
    ) -> str:
        """Add a recipient, or refuse it."""
        config = self.config
        if not self.accepting:
            return replies.STORE_CLOSING
        if len(envelope.rcpt_tos) >= config.limits.recipients:
            return replies.TOO_MANY_RECIPIENTS
        if refusal := wrong_address(address, smtputf8=envelope.smtp_utf8):
            return refusal
        if self.inbound and config.owners and not _owned(address, config.owners):
            return replies.NOT_OURS
        envelope.rcpt_tos.append(address)
        return replies.RECIPIENT_OK

    async def handle_exception(self, error: Exception) -> str:
        """Log an unexpected error.  The client may try again."""
        log.error("an SMTP session failed: %s: %s", type(error).__name__, line(str(error)))
        return replies.INTERNAL_ERROR


class SmtpSession(SmtpProtocol):
    """One client's connection.  `gone` is done when it is closed."""

    def __init__(self, port: Port) -> None:
        config, limits = port.config, port.config.limits
        super().__init__(
            port,
            hostname=config.hostname,
            ident="fsm",
            data_size_limit=limits.size,
            enable_SMTPUTF8=True,
            timeout=limits.idle,
            tls_context=port.tls,
            require_starttls=port.users is not None,
            auth_required=port.users is not None,
            authenticator=self._keep_login,
            command_call_limit=COMMANDS,
            loop=asyncio.get_running_loop(),
        )
        self.port = port
        self._reception: Reception | None = None
        self._reply_due = self._closing = False
        self._errors = self._replies_to_content = 0
        self._login: tuple[bytes, bytes] | None = None
        self.gone: asyncio.Future[None] = self.loop.create_future()

    # ------------------------------------------------------------------------------------------- the connection

    def admit(self) -> str | None:
        """Return the reply that turns the client away, or count its session."""
        if self.port.closing or not self.port.accepting:
            return replies.STORE_CLOSING
        if not self.port.limiter.open_session():
            return replies.TOO_MANY_SESSIONS
        self.port.sessions[self] = None
        return None

    def ended(self) -> None:
        """The session is over; its connection may still have something to send."""
        self.port.limiter.close_session()

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is closed, and all that was written has left."""
        super().connection_lost(error)
        self.port.sessions.pop(self, None)
        if not self.gone.done():
            self.gone.set_result(None)

    def data_received(self, data: bytes) -> None:
        """Take what has arrived.  While a message is being sent, that is a sign of life."""
        if self._replies_to_content:
            self.alive()
        super().data_received(data)

    def silence(self) -> None:
        """End an idle session.  While a reply is due it is the disk that takes its time."""
        if self._reply_due:
            self.alive()
        else:
            self.close_with(replies.IDLE)

    def close(self) -> None:
        """End the session, after the reply that is due."""
        self._closing = True
        if not self._reply_due and not (self._reception is not None and self._reception.begun):
            self.close_with(replies.STORE_CLOSING)

    def abort(self) -> None:
        """End the session now."""
        if isinstance(self.transport, asyncio.Transport):
            self.transport.abort()

    async def push(self, status: str | bytes) -> None:
        """Send a reply.  Errors are counted, and 421 ends the session."""
        text = status if isinstance(status, str) else status.decode("utf-8", "replace")
        text = text.encode("utf-8", "replace").decode()
        bad, times = text[:1] in "45", self._replies_to_content
        await super().push("\r\n".join([text] * times) if times > 1 and text[:3] != "354" else text)
        self._errors += bad
        if bad and self._errors >= self.port.config.limits.errors and text[:3] != "421":
            text = replies.TOO_MANY_ERRORS
            await super().push(text)
        if text[:3] == "421":
            self.end()

    # ------------------------------------------------------------------------------------------------ commands

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802
        """Receive a message.  Its reception begins before the client is asked to send it."""
        envelope = self.envelope
        if arg or envelope is None or not envelope.rcpt_tos or self.session is None or not self.session.host_name:
            await super().smtp_DATA(arg)  # it says what is wrong
            return
        begin = self.port.receiver.inbound if self.port.inbound else self.port.receiver.submission
        reception = self._reception = begin(self._received(envelope), self._stopped)
        self._replies_to_content = len(envelope.rcpt_tos) if isinstance(self, LMTP) else 1
        try:
            refusal = await reception.begin() if self.port.accepting else replies.STORE_CLOSING
            if refusal is not None:
                self._replies_to_content = 0  # one reply, to DATA itself
                await self.push(refusal)
            else:
                await self.push(replies.SEND_CONTENT)
                content = Content(self.port.config.limits.size)
                await self.reader.read_content(content)
                self._reply_due = content.refusal is None
                reply = content.refusal or await reception.finish(content.octets)
                self.envelope = aiosmtpd.smtp.Envelope()
                await self.push(reply)
        finally:
            reception.abandon()
            self._reception, self._replies_to_content, self._reply_due = None, 0, False
        if self._closing:
            await self.push(replies.STORE_CLOSING)

    async def smtp_AUTH(self, arg: str) -> None:  # noqa: N802
        """Log in.  The password is checked in a thread, because that takes a while by intention."""
        self._login = None
        await super().smtp_AUTH(arg)
        if self._login is None or self.port.users is None or self.session is None:
            return
        users, login, self._login = self.port.users, self._login, None
        if await self.loop.run_in_executor(self.port.executor, users.accepts, *login):
            self.session.authenticated = True
            await self.push(replies.LOGGED_IN)
        else:
            self._errors += WRONG_LOGIN_ERRORS - 1
            await self.push(replies.WRONG_LOGIN)

    async def smtp_VRFY(self, arg: str) -> None:  # noqa: N802
        """Do not tell whether there is such a user."""
        await self.push(replies.CANNOT_VERIFY)

    def _keep_login(
        self, server: object, session: object, envelope: object, mechanism: str, login: Any
    ) -> aiosmtpd.smtp.AuthResult:
        if isinstance(login, aiosmtpd.smtp.LoginPassword):
            self._login = (login.login, login.password)
        return aiosmtpd.smtp.AuthResult(success=False, handled=True)  # not yet: `smtp_AUTH` checks and replies

    def _received(self, envelope: aiosmtpd.smtp.Envelope) -> Envelope:
        session = self.session
        assert session is not None
        suffix = ("S" if session.ssl else "") + ("A" if session.authenticated else "")
        kind = "LMTP" if isinstance(self, LMTP) else "ESMTP" if session.extended_smtp else "SMTP"
        hop = Hop(_peer(session), session.host_name or "", self.port.config.hostname, kind + suffix)
        sender = "" if envelope.mail_from == "<>" else envelope.mail_from or ""
        return Envelope(sender, tuple(envelope.rcpt_tos), hop)

    def _stopped(self, reason: str) -> None:
        """The plan stops the message that is coming in; called from the store's thread."""
        reply = replies.STOPPED_BY_PLAN.format(reason=line(reason, 200))
        self.loop.call_soon_threadsafe(lambda: None if self._reply_due else self.close_with(reply))


class LmtpSession(SmtpSession, LMTP):
    """The same in LMTP."""


def _peer(session: aiosmtpd.smtp.Session) -> str:
    return str(session.peer[0]) if isinstance(session.peer, tuple) and session.peer else "local"


def _owned(address: str, owners: tuple[str, ...]) -> bool:
    domain = address.rpartition("@")[2].lower()
    return any(owner.lower() in (address.lower(), domain) for owner in owners)
