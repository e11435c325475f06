"""The two ports: the server's dialogue on sockets, with TLS, time limits and everything that keeps clients apart.

Theory.
1. The dialogue (`smtp/server_dialogue.py`) reads and answers; this file carries its octets, and asks the store, the
   inbox and the passwords what it waits for.  A lost connection ends its session, but not the reception of a message
   that has arrived whole (`reception.py`).
2. No client makes another wait: a session executes a few commands and lets the others have their turn, and it reads
   nothing while its replies are unread or a reply is due.
3. Everything has its time: a command, and each silence, `idle` seconds; a message `idle` seconds and what its octets
   take at `SLOWEST` a second; reading a reply as long as a command; the last reply `GOODBYE` seconds.
4. A connection that is closed while something unread has come is reset by the kernel, and the client may never see
   the last reply.  So what still comes, and the rest of a message that is coming in, is read and dropped for that time.
5. `close` ends a session at once when no reply is due, and after the reply otherwise.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from functools import partial
from time import monotonic
from typing import Final, cast

from fsm.mail import replies
from fsm.mail.auth import Users
from fsm.mail.config import Config
from fsm.mail.content import Content
from fsm.mail.limits import Budget, Limiter
from fsm.mail.logins import Logins
from fsm.mail.logs import tell
from fsm.mail.mailboxes import Mailbox, Mailboxes
from fsm.mail.networks import contains
from fsm.mail.parameters import address_of, addresses
from fsm.mail.received import Hop
from fsm.mail.reception import Envelope, Receiver, Reception
from fsm.mail.smtp.server_dialogue import Dialogue, Rules
from fsm.mail.syntax import line
from fsm.store.message import new_id

__all__ = ["Port", "Session"]

log: Final = logging.getLogger("fsm.mail")
SLOWEST: Final = 500.0
"""Octets a second at which a message must arrive, on the whole."""
GOODBYE: Final = 5.0
"""Seconds in which a client must read its last reply; then its connection is closed."""
UNREAD_COMMANDS: Final = 16 * 1024
"""Octets of commands that may wait; then reading stops until they are executed."""
UNREAD_REPLIES: Final = 16 * 1024
"""Octets of replies that the client may leave unread; then nothing more is read from it."""
FROM_CLIENT: Final = ("commands", "content")
"""What the dialogue waits for when only its client can go on."""
PIECE: Final = 64 * 1024
"""Octets that are read at a time."""


@dataclass(eq=False)
class Port:
    """One port: its limits and its sessions.  Calling it makes the protocol of a new connection.

    `config`, `tls`, `users` and `open_to_all` may be replaced at any time (`reload`); they hold for the connections
    that come after.  Without users, a port that is not `open_to_all` is for the trusted networks only.
    """

    inbound: bool
    config: Config
    mailboxes: Mailboxes
    receiver: Receiver
    logins: Logins
    memory: Budget
    tls: ssl.SSLContext | None = None
    users: Users | None = None
    max_sessions: int | None = None
    open_to_all: bool = True
    sessions: dict[Session, None] = field(default_factory=dict)
    closing: bool = False

    def __post_init__(self) -> None:
        limits = self.config.limits
        self.limiter = Limiter(self.max_sessions or limits.sessions, limits.rate, monotonic)
        self.piece = memoryview(bytearray(PIECE))
        self.reload(self.config, self.tls, self.users, open_to_all=self.open_to_all)

    def __call__(self, peer: str) -> asyncio.BaseProtocol:
        """Return the protocol of a new connection from this address."""
        return Session(self, peer)

    def reload(
        self, config: Config, tls: ssl.SSLContext | None, users: Users | None, *, open_to_all: bool
    ) -> None:  # fmt: skip
        """Use these settings from now on."""
        self.config, self.tls, self.users, self.open_to_all = config, tls, users, open_to_all
        self.limiter.max_sessions = min(self.max_sessions or config.limits.sessions, config.limits.sessions)
        self.limiter.rate = config.limits.rate
        self.rules = self._rules(login=users is not None)
        self.rules_of_trusted = replace(self.rules, login=False)

    def trusts(self, peer: str) -> bool:
        """Return whether a client at this address needs neither TLS nor a login."""
        return contains(self.config.trust, peer)

    def _rules(self, *, login: bool) -> Rules:
        config, limits = self.config, self.config.limits
        new_content = partial(
            Content, limits.size, self.memory, long_lines=config.long_lines == "take", mend=config.bare_lf == "mend"
        )
        return Rules(
            config.hostname, limits.size, limits.recipients, limits.errors, limits.commands,
            self.limiter.begin_message, self._refuses, self.memory.has_room, new_content,
            lmtp=self.inbound and config.lmtp, tls=self.tls is not None, login=login,
            refuses_sender=self._refuses_sender, new_id=new_id, refused=_tell_refused, dsn=not self.inbound,
        )  # fmt: skip

    def close(self) -> None:
        """End every session with 421, those to which a reply is due after it.  New clients get 421, too."""
        self.closing = True
        for session in list(self.sessions):
            session.close()

    def abort(self) -> None:
        """End every session now, whatever reply is due."""
        for session in list(self.sessions):
            session.abort()

    def _closing(self) -> str | None:
        return None if self.mailboxes.accepting() else replies.STORE_CLOSING

    def _refuses(self, recipient: str) -> str | None:
        if not self.inbound:
            return self._closing()
        found = self.mailboxes.of_recipient(recipient)
        return found if isinstance(found, str) else found.refusal

    def _refuses_sender(self, user: str, sender: str) -> str | None:
        if self.inbound:
            return self._closing()
        found = self.mailboxes.of_sender(user, sender)
        return found if isinstance(found, str) else None

    def reception(self, envelope: Envelope, user: str, stop: Callable[[str], object]) -> Reception | str:
        """Return the reception of a message for the mailboxes that it belongs to, or the reply that refuses it."""
        if not self.inbound:
            sends = self.mailboxes.of_sender(user, address_of(envelope.sender))
            return sends if isinstance(sends, str) else self.receiver.submission(envelope, sends)
        found: dict[Mailbox, None] = {}
        for kept in envelope.recipients:
            one = self.mailboxes.of_recipient(address_of(kept))
            if isinstance(one, str):
                return one
            found[one] = None
        return self.receiver.inbound(envelope, list(found), stop)


class Session(asyncio.BufferedProtocol):
    """One client's connection.  `gone` is done when it is closed."""

    dialogue: Dialogue
    _transport: asyncio.Transport

    def __init__(self, port: Port, peer: str) -> None:
        self.port, self.peer = port, peer
        self._loop = asyncio.get_running_loop()
        self.gone: asyncio.Future[None] = self._loop.create_future()
        self._admitted = self._paused_writing = self._paused_reading = False
        self._at_end = self._closing = self._leaving = self._going_on = False
        self._asked: str | None = None
        self._reception: Reception | None = None
        self._tasks: dict[asyncio.Task[None], None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._since = self._began = 0.0
        self._turn: asyncio.Handle | None = None

    # ------------------------------------------------------------------------------------ what the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has come: greet it, or turn it away."""
        self._use(transport)
        port, trusted = self.port, self.port.trusts(self.peer)
        secure = self._transport.get_extra_info("ssl_object") is not None
        self.dialogue = Dialogue(port.rules_of_trusted if trusted else port.rules, self.peer, secure=secure)
        port.sessions[self] = None
        self._since = monotonic()
        if port.closing or not port.mailboxes.accepting():
            self._end(replies.STORE_CLOSING)
        elif not (port.open_to_all or port.users is not None or trusted):
            self._end(replies.NOT_FROM_THERE)
        elif not port.limiter.open_session():
            self._end(replies.TOO_MANY_SESSIONS)
        else:
            self._admitted = True
            self.dialogue.greet()
            self._timer = self._loop.call_later(port.config.limits.idle, self._look_at_the_clock)
            self._flush()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where to put what comes next: one place for all sessions, since it is taken from there at once."""
        return self.port.piece

    def buffer_updated(self, nbytes: int) -> None:
        """Octets have come."""
        if not self._leaving:
            self.dialogue.receive(self.port.piece[:nbytes])
            self._go_on()

    def eof_received(self) -> bool:
        """The client will send no more.  What it sent before is still answered; TLS cannot wait for that."""
        self._at_end = True
        if self._leaving:
            return False
        self._go_on()
        return not self._transport.is_closing()

    def pause_writing(self) -> None:
        """The client does not read what it is told."""
        self._paused_writing = True
        self._since = monotonic()

    def resume_writing(self) -> None:
        """The client has read what it was told."""
        self._paused_writing = False
        self._since = monotonic()
        self._go_on()

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is closed."""
        if self._timer is not None:
            self._timer.cancel()
        content = self.dialogue.content
        self.dialogue.end()
        if content is not None and self._asked != "storing":
            content.close()
        if self._reception is not None:
            self._reception.abandon()
        if self._admitted:
            self._admitted = False
            self.port.limiter.close_session()
        self.port.sessions.pop(self, None)
        if not self.gone.done():
            self.gone.set_result(None)

    # ---------------------------------------------------------------------------------------------------- going on

    def _go_on(self) -> None:
        """Execute a few commands, ask for what the dialogue waits for, and write the replies."""
        if self._turn is not None or self._going_on:
            return
        self._going_on = True
        try:
            wanted = self._run()
        finally:
            self._going_on = False
        self._flush()
        if wanted == "nothing" or (self._at_end and wanted in FROM_CLIENT and not self._paused_writing):
            self._hang_up()
            return
        if wanted == "turn":
            self._turn = self._loop.call_soon(self._next_turn)
        elif wanted == "content":
            self._since = monotonic()
        if self._paused_writing or self._paused_reading or wanted not in FROM_CLIENT:
            self._control_reading()

    def _run(self) -> str:
        """Execute commands and ask for what is wanted, while that is answered at once; return what is waited for."""
        while True:
            wanted = self.dialogue.waits_for if self._paused_writing else self.dialogue.run()
            if self._asked is not None or wanted not in ASK:
                return wanted
            self._asked = wanted
            ASK[wanted](self)
            if self._asked is not None:  # the answer comes later
                return wanted

    def _next_turn(self) -> None:
        self._turn = None
        self._go_on()

    def _flush(self) -> None:
        if (out := self.dialogue.take()) and not self._transport.is_closing():
            self._transport.write(out)
            self._since = monotonic()

    def _control_reading(self) -> None:
        """Read only what can be worked on soon."""
        pause = self._paused_writing or (
            self.dialogue.unread > UNREAD_COMMANDS and (self._turn is not None or self._asked is not None)
        )
        if pause != self._paused_reading and not self._transport.is_closing():
            self._paused_reading = pause
            if pause:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks[task] = None
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("an SMTP session failed: %s: %s", type(error).__name__, line(str(error)))
            self._end(replies.INTERNAL_ERROR)

    def _answered(self) -> bool:
        """What was asked is answered: go on, if the client is still there."""
        self._asked, self._since = None, monotonic()
        return not self.dialogue.closed

    # -------------------------------------------------------------------------------- what the dialogue waits for

    def _admit(self) -> None:
        dialogue, port = self.dialogue, self.port
        hop = Hop(dialogue.peer, dialogue.helo, port.config.hostname, dialogue.protocol, dialogue.id)
        envelope = Envelope(dialogue.sender, tuple(dialogue.recipients), hop)
        reception = port.reception(envelope, dialogue.user, self._stopped)
        if isinstance(reception, str):  # its store began to close since MAIL or RCPT
            self._admitted_with(reception)
        else:
            self._reception = reception
            reception.begin(self._admitted_with)

    def _admitted_with(self, refusal: str | None) -> None:
        if not self._answered():
            return
        self._began = self._since
        if refusal is None:
            self.dialogue.admit()
        else:
            self._reception = None
            self._tell_refused(refusal)
            self.dialogue.turn_away(refusal)
        self._go_on()

    def _store(self) -> None:
        reception, content = self._reception, self.dialogue.content
        assert reception is not None
        assert content is not None
        if content.refusal is not None:
            reception.abandon()
            self._stored_with(content.refusal)
        else:
            reception.finish(content.octets, self._stored_with)

    def _stored_with(self, reply: str) -> None:
        dialogue = self.dialogue
        assert dialogue.content is not None
        dialogue.content.close()
        self._reception = None
        if reply[0] != "2":
            self._tell_refused(reply)
        if not self._answered():
            return
        dialogue.answer(reply)
        if self._closing:
            dialogue.end(replies.STORE_CLOSING)
        self._go_on()

    def _tell_refused(self, reply: str) -> None:
        dialogue = self.dialogue
        _tell_refused(dialogue.peer, dialogue.id, dialogue.sender, addresses(dialogue.recipients), reply)

    def _secure(self) -> None:
        self._transport.pause_reading()  # what comes before the handshake is not read as if it came in TLS
        self._spawn(self._handshake())

    async def _handshake(self) -> None:
        port = self.port
        assert port.tls is not None
        try:
            transport = await self._loop.start_tls(
                self._transport, self, port.tls, server_side=True, ssl_handshake_timeout=port.config.limits.idle
            )
        except (OSError, ssl.SSLError) as error:
            log.debug("TLS failed: %s", error)
            self.abort()
            return
        if transport is None:
            self.abort()
            return
        self._use(transport)
        self._paused_reading = self._paused_writing = False
        if self._answered():
            self.dialogue.secured()
            self._go_on()

    def _check_password(self) -> None:
        self._spawn(self._check())

    async def _check(self) -> None:
        dialogue, users = self.dialogue, self.port.users
        assert users is not None
        accepted, reply = await self.port.logins.check(users, dialogue.peer, *dialogue.credentials)
        if self._answered():
            dialogue.log_in(accepted, reply)
            self._go_on()

    # ------------------------------------------------------------------------------------------------------- ending

    @property
    def _reply_due(self) -> bool:
        return self._asked in ("storing", "admission")

    def close(self) -> None:
        """End the session, after the reply that is due."""
        self._closing = True
        if not self._reply_due and not (self._reception is not None and self._reception.begun):
            self._end(replies.STORE_CLOSING)

    def abort(self) -> None:
        """End the session now."""
        self.dialogue.end()
        self._transport.abort()

    def _end(self, reply: str) -> None:
        """Say a last reply, unasked, and hang up."""
        receiving = self.dialogue.receiving
        self.dialogue.end(reply)
        self._flush()
        self._hang_up(more=receiving)

    def _hang_up(self, *, more: bool = False) -> None:
        """Close the connection once everything written has left, and soon in any case; `more` is still coming in."""
        if self._leaving or self._transport.is_closing():
            return
        self._leaving = True
        if (more or self.dialogue.unread) and not self._at_end and self._transport.can_write_eof():
            self._transport.write_eof()
            if self._paused_reading:
                self._transport.resume_reading()
        else:
            self._transport.close()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(GOODBYE, self._transport.abort)

    def _stopped(self, reason: str) -> None:
        """The plan stops the message that is coming in; called from the store's thread."""
        reply = replies.STOPPED_BY_PLAN.format(reason=line(reason, 200))

        def end() -> None:
            if not self._reply_due:
                self._tell_refused(reply)
                self._end(reply)

        self._loop.call_soon_threadsafe(end)

    def _look_at_the_clock(self) -> None:
        """End a session whose time is up.  While a reply is due it is the disk that takes its time."""
        now, idle = monotonic(), self.port.config.limits.idle
        until = now + idle
        if self._asked is None or self._paused_writing:
            until = self._since + idle
            dialogue = self.dialogue
            if dialogue.receiving and dialogue.content is not None:
                until = min(until, self._began + idle + dialogue.content.received / SLOWEST)
        if until > now:
            self._timer = self._loop.call_later(until - now, self._look_at_the_clock)
        elif self._paused_writing:
            self.abort()
        else:
            self._end(replies.IDLE)

    def _use(self, transport: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.Transport", transport)  # uvloop has its own
        transport.set_write_buffer_limits(UNREAD_REPLIES)
        self._transport = transport


def _tell_refused(peer: str, id: str, sender: str, recipients: str, reply: str) -> None:
    """Log that a message, or one of its recipients, was refused."""
    tell("refused", None, id, sender=f"<{address_of(sender)}>", recipients=recipients, client=peer, reply=reply)


ASK: Final[dict[str, Callable[[Session], None]]] = {
    "admission": Session._admit,
    "storing": Session._store,
    "handshake": Session._secure,
    "password": Session._check_password,
}
"""What to do for what the dialogue waits for."""
