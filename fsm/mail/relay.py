"""The way out: handing one message after the other to the smarthost, over a connection that is kept.

Theory.
1. A transaction is MAIL, RCPT for each recipient, DATA, the message, the final dot, the answer.  A reply of 4xx or
   5xx is an answer whenever it comes: the ending is certain.  4xx means later, 5xx never; recipients may differ.
2. Until the last piece of the message is written, which holds the final dot, nothing has been delivered, so a lost
   link means: again later.  Every piece before it has left this process when the last one is written.  From then on
   only the answer says what happened: without it (lost link, silence, stopped) the message is uncertain.
3. A kept connection may have died of idleness.  When its first command finds it so, or is answered 421, that was no
   attempt: the transaction begins again on a new connection, once.
4. After anything but a reply the connection is in an unknown place of the conversation, so it is closed.
5. A failure is reported to the sender first, and recorded then.  What cannot be reported now is not failed now.

Where PIPELINING is offered, all that precedes the message is said at once (`pipeline.py`).  This file knows no queue.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import aiosmtplib

from fsm.mail.config import Smarthost
from fsm.mail.dsn import Failure
from fsm.mail.mail_command import opening
from fsm.mail.pipeline import Wire
from fsm.mail.syntax import line, transparent
from fsm.store.in_flight import Item
from fsm.store.message import Message

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from typing import Final

__all__ = ["Connection", "LinkLost", "Report"]

log: Final = logging.getLogger("fsm.mail")
PIECE: Final = 256 * 1024
"""Bytes written at a time."""
DOT_FACTOR: Final = 10
"""The answer after the final dot may take this many times the timeout (RFC 5321 4.5.3.2: ten minutes there)."""

Report = Callable[[Message, Sequence[Failure]], Awaitable[bool]]
"""Tells the sender of failures; answers whether the sender has been told (False: there is none to tell)."""


class LinkLost(Exception):
    """The connection is gone, or nothing was answered in time."""


@dataclass(slots=True)
class _Verdicts:
    """What became of each recipient, in the order of the envelope."""

    taken: list[str] = field(default_factory=list)
    later: list[Failure] = field(default_factory=list)
    never: list[Failure] = field(default_factory=list)
    beyond: bool = False

    def refuse(self, recipients: Sequence[str], code: int, reason: str) -> None:
        (self.never if code >= 500 else self.later).extend(Failure(one, reason) for one in recipients)


class Connection:
    """One connection to the smarthost, opened when it is needed and kept.  For one message at a time.

    `report` is called with permanent failures; a message that could not be sent for `give_up` seconds is one.
    """

    def __init__(
        self, smarthost: Smarthost, context: ssl.SSLContext | None, *, hostname: str, report: Report, give_up: float
    ) -> None:
        self.smarthost, self._report, self._give_up = smarthost, report, give_up
        self._client = aiosmtplib.SMTP(
            hostname=smarthost.address.host,
            port=smarthost.address.port,
            username=smarthost.user,
            password=smarthost.password if smarthost.user is not None else None,
            local_hostname=hostname,
            timeout=smarthost.timeout,
            use_tls=smarthost.security == "tls",
            start_tls=smarthost.security == "starttls",
            tls_context=context,
        )
        self._wire: Wire | None = None
        self._item: Item | None = None

    async def deliver(self, item: Item) -> None:
        """Send the item's message.  Its ending is decided (`fail`, `defer`), or normal, or an exception: LinkLost.

        After LinkLost, or when it is cancelled, the connection is closed; the next message opens it again.
        """
        message = item.message
        assert message is not None
        if not message.recipients:
            item.fail("554 5.1.3 the message has no recipients")
            return
        self._item = item
        item.on_cancel(lambda reason: self.abort() if self._item is item else None)
        verdicts = _Verdicts()
        try:
            await self._hand_over(item, message, verdicts)
        except aiosmtplib.SMTPResponseException as refusal:  # of the greeting, of TLS, of the login: not of the message
            self.abort()
            if verdicts.beyond:  # the answer after the final dot was none
                raise LinkLost(_words(refusal)) from refusal
            verdicts.later = [Failure(one, _reply(refusal.code, refusal.message)) for one in message.recipients]
        except (aiosmtplib.SMTPException, OSError) as error:
            self.abort()
            if verdicts.beyond or not self._expired(message):
                raise LinkLost(_words(error)) from error
            verdicts.later = [Failure(one, _words(error)) for one in message.recipients]
        except BaseException:
            self.abort()
            raise
        await self._conclude(item, message, verdicts)

    def abort(self) -> None:
        """Close the connection now, without a word.  Nothing happens when it is closed."""
        if self._wire is not None:
            self._wire.cut()
            self._wire = None
        self._client.close()

    async def quit(self) -> None:
        """Close the connection politely, in two seconds at most."""
        if self._wire is not None and not self._wire.closed:
            with suppress(aiosmtplib.SMTPException, TimeoutError):
                async with asyncio.timeout(2.0):
                    self._wire.say(b"QUIT")
                    await self._wire.reply()
        self.abort()

    # ---------------------------------------------------------------------------------------------- conversation

    async def _hand_over(self, item: Item, message: Message, verdicts: _Verdicts) -> None:
        for kept in (True, False):
            if self._wire is None or self._wire.closed:
                kept = False
                self.abort()
                item.progress(f"connecting to {self.smarthost.address}")
                self._wire = await self._connected()
            wire = self._wire
            mail, encoding, problem = opening(message, self._client.supports_extension)
            if problem is not None:
                verdicts.refuse(message.recipients, 550, problem)
                return
            try:
                wire.say(mail, *(f"RCPT TO:<{one}>".encode(encoding) for one in message.recipients), b"DATA")
                item.progress("MAIL FROM")
                reply = await wire.reply()
            except (aiosmtplib.SMTPServerDisconnected, ConnectionError):
                if not kept:
                    raise
            else:
                if not (kept and reply.code == 421):
                    break
            self.abort()
        if reply.code == 250:
            await self._recipients(wire, item, message, verdicts)
        else:
            verdicts.refuse(message.recipients, reply.code, _reply(reply.code, reply.message))
            await self._back(wire, len(message.recipients))

    async def _connected(self) -> Wire:
        client = self._client
        await client.connect()
        if client.is_ehlo_or_helo_needed:  # the login asks itself
            try:
                await client.ehlo()
            except aiosmtplib.SMTPHeloError:
                await client.helo()
        if client.transport is None or client.transport.is_closing():
            raise aiosmtplib.SMTPServerDisconnected("Connection lost")
        assert isinstance(client.transport, asyncio.Transport)
        together = client.supports_extension("pipelining")
        return Wire(client.transport, pipelining=together, timeout=self.smarthost.timeout)

    async def _recipients(self, wire: Wire, item: Item, message: Message, verdicts: _Verdicts) -> None:
        for number, recipient in enumerate(message.recipients, 1):
            if not wire.answered:
                item.progress(f"RCPT TO {number} of {len(message.recipients)}")
            reply = await wire.reply()
            if reply.code in (250, 251):
                verdicts.taken.append(recipient)
                continue
            verdicts.refuse([recipient], reply.code, _reply(reply.code, reply.message))
            if reply.code == 421:  # it is closing: the rest need not be asked
                verdicts.refuse([*verdicts.taken, *message.recipients[number:]], 421, _reply(421, reply.message))
                verdicts.taken.clear()
                self.abort()
                return
        if verdicts.taken:
            await self._content(wire, item, message, verdicts)
        else:
            await self._back(wire, 0)

    async def _content(self, wire: Wire, item: Item, message: Message, verdicts: _Verdicts) -> None:
        if not wire.answered:
            item.progress("DATA")
        reply = await wire.reply()
        if reply.code == 354:
            reply = await self._send(wire, item, transparent(message.content), verdicts)
            if 200 <= reply.code < 300:
                return
        code = reply.code if 400 <= reply.code < 600 else 451
        verdicts.refuse(verdicts.taken, code, _reply(reply.code, reply.message))
        verdicts.taken = []
        await self._reset(wire, reply)

    async def _send(self, wire: Wire, item: Item, content: bytes, verdicts: _Verdicts) -> aiosmtplib.SMTPResponse:
        """The message and its final dot; the answer.  Past no return between the two writes, and not before."""
        wire.expect()
        last = (len(content) - 1) // PIECE * PIECE
        for start in range(0, last, PIECE):
            item.progress("sending the message")
            await wire.content(content[start : start + PIECE])
        if wire.closed:
            raise aiosmtplib.SMTPServerDisconnected("Connection lost")
        verdicts.beyond = True
        item.past_no_return()
        wire.end(content[last:])
        return await wire.reply(patience=DOT_FACTOR)

    async def _back(self, wire: Wire, asked: int) -> None:
        """Nobody takes the message: back to the beginning of the conversation, past what was said already.

        So many recipients are still to be answered, and DATA.  Should that be told to go on, a lone dot ends a message
        that goes to nobody (RFC 2920 3.1); when it would go to somebody nevertheless, the connection ends.
        """
        reply = None
        if not wire.unsay():
            with suppress(aiosmtplib.SMTPException):
                replies = [await wire.reply() for _ in range(asked + 1)]
                reply = replies[-1]
                if reply.code == 354:
                    if any(one.code < 300 for one in replies):
                        self.abort()
                        return
                    wire.expect()
                    wire.end(b".\r\n")
                    reply = await wire.reply()
        await self._reset(wire, reply)

    async def _reset(self, wire: Wire, last: aiosmtplib.SMTPResponse | None) -> None:
        """Back to the beginning of the conversation; if that cannot be had, the connection goes."""
        with suppress(aiosmtplib.SMTPException):
            if last is None or last.code != 421:
                wire.say(b"RSET")
                if (await wire.reply()).code == 250:
                    return
        self.abort()

    # ---------------------------------------------------------------------------------------------- what came of it

    async def _conclude(self, item: Item, message: Message, verdicts: _Verdicts) -> None:
        """Say how the item ends: sent, failed, or deferred for those who are to be tried again."""
        if verdicts.later and self._expired(message):
            days = self._give_up / 86400
            verdicts.never += [
                Failure(one.recipient, f"451 4.4.7 not delivered for {days:g} days; the last answer was: {one.reason}")
                for one in verdicts.later
            ]
            verdicts.later = []
        told = False
        if verdicts.never:
            item.progress("reporting a failure")
            tentative = verdicts.later + verdicts.never  # should this task be cancelled now: they are asked again
            item.defer(_summary(tentative), recipients=[one.recipient for one in tentative])
            try:
                told = await self._report(message, verdicts.never)
            except Exception as error:
                log.warning("%s: the failure cannot be reported now (%s), so it is tried again", message.id, error)
                return
        if verdicts.later:
            item.defer(_summary(verdicts.later), recipients=[one.recipient for one in verdicts.later])
        elif verdicts.never:
            failed = [one.recipient for one in verdicts.never]
            item.fail(_summary(verdicts.never), reported=told, recipients=failed)

    def _expired(self, message: Message) -> bool:
        return time.time() - message.submitted > self._give_up


def _reply(code: int, text: str) -> str:
    return line(f"{code} {text}", 500)


def _words(error: BaseException) -> str:
    return line(str(error) or type(error).__name__)


def _summary(failures: Sequence[Failure]) -> str:
    return line("; ".join(dict.fromkeys(failure.reason for failure in failures)), 900)
