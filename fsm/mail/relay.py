"""Delivery to the smarthost: workers take messages from the store and send them over a few connections that are kept.

Theory.
1. A transaction is MAIL, RCPT for each recipient, DATA, the message, the final dot, the reply.  A reply of 4xx or 5xx
   is an answer whenever it comes: the outcome is certain.  4xx means later, 5xx never; recipients may differ.
2. Until the last piece of the message is written, which holds the final dot, nothing has been delivered, so after a
   lost connection the message is deferred.  Every piece before it has left this process when the last one is written.
   From then on only the reply tells what happened: without it (lost connection, silence, stopped) it is uncertain.
3. A kept connection may have been closed for idleness.  When its first command shows that, or is answered 421, that was
   no attempt: the transaction begins again on a new connection, once.
4. After anything but a reply the state of the conversation is unknown, so the connection is closed.
5. A failure is first reported to the sender and then recorded.  If it cannot be reported now, it is deferred.
6. A message that needs an extension the smarthost lacks cannot be sent there.  It is not converted, because that would
   break its signatures.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import aiosmtplib

from fsm.mail import replies
from fsm.mail.config import Config, Smarthost
from fsm.mail.dsn import Failure
from fsm.mail.errors import LinkLost
from fsm.mail.pipeline import Pipeline
from fsm.mail.received import header_of
from fsm.mail.syntax import line, wrong_address
from fsm.store.aio import AsyncStore
from fsm.store.errors import Stopped, StorageError
from fsm.store.in_flight import Item
from fsm.store.message import Message

__all__ = ["Connection", "Notify", "Relay", "mail_command"]

log: Final = logging.getLogger("fsm.mail")
DOT_FACTOR: Final = 10
"""The reply after the final dot may take this many times the timeout (RFC 5321 4.5.3.2: ten minutes there)."""
CLAIMS_PER_CONNECTION: Final = 3
"""Messages claimed at a time for each connection: one waits, one is sent, and the outcome of one is recorded."""

Notify = Callable[[Message, Sequence[Failure]], Awaitable[bool]]
"""Reports failures to the sender of a message; returns False when it has none."""


class Relay:
    """The workers and connections that deliver what is ready in the store.  They begin at once.

    `notify` is called with permanent failures.
    """

    def __init__(
        self, store: AsyncStore, config: Config, smarthost: Smarthost, context: ssl.SSLContext | None, notify: Notify
    ) -> None:
        self._store, self._provider = store, f"smtp:{smarthost.address}"
        self._connections = [
            Connection(smarthost, context, hostname=config.hostname, notify=notify, give_up=config.give_up)
            for _ in range(config.connections)
        ]
        self._free = [*self._connections]
        self._turns = asyncio.Semaphore(config.connections)  # unlike a queue's, its waiters go in the order they came
        # With "hold", a message that is claimed and not yet sent would be held as uncertain after a crash.
        claims = CLAIMS_PER_CONNECTION if config.uncertain == "resend" else 1
        self._workers = [asyncio.create_task(self._work()) for _ in range(config.connections * claims)]

    def cancel(self) -> None:
        """Cancel the workers.  What they are sending becomes uncertain or deferred."""
        for worker in self._workers:
            worker.cancel()

    async def finished(self) -> None:
        """Wait for the workers, which end when the store is released, and close the connections."""
        await asyncio.gather(*self._workers, return_exceptions=True)
        await asyncio.gather(*(connection.quit() for connection in self._connections))

    async def _work(self) -> None:
        async for item in self._store.outgoing(provider=self._provider):
            try:
                async with item:
                    if self._turns.locked():
                        item.progress("waiting for a connection")
                    async with self._turns:
                        connection = self._free.pop()
                        try:
                            await connection.deliver(item)
                        finally:
                            self._free.append(connection)
            except (LinkLost, Stopped, StorageError) as error:
                log.warning("message %s was not delivered: %s", item.id, error)
            except Exception:
                log.exception("message %s was not delivered", item.id)  # the error decides its outcome
            if (task := asyncio.current_task()) is not None and task.cancelling():
                return  # storing a report cannot be stopped, so it has withheld the cancellation


@dataclass(slots=True)
class _Results:
    """What became of each recipient, in the order of the envelope."""

    accepted: list[str] = field(default_factory=list)
    deferred: list[Failure] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)
    uncertain: bool = False
    """Whether the final dot may have been sent."""

    def refuse(self, recipients: Sequence[str], code: int, reason: str) -> None:
        (self.failed if code >= 500 else self.deferred).extend(Failure(one, reason) for one in recipients)


class Connection:
    """A connection to the smarthost, opened when it is needed and kept.  For one message at a time.

    `notify` is called with permanent failures; a message that could not be sent for `give_up` seconds is one.
    """

    def __init__(
        self, smarthost: Smarthost, context: ssl.SSLContext | None, *, hostname: str, notify: Notify, give_up: float
    ) -> None:
        self.smarthost, self._notify, self._give_up = smarthost, notify, give_up
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
        self._pipeline: Pipeline | None = None
        self._item: Item | None = None

    async def deliver(self, item: Item) -> None:
        """Send the item's message.  Its outcome is decided (`fail`, `defer`), or it was sent, or LinkLost is raised.

        After LinkLost, or when it is cancelled, the connection is closed; the next message opens it again.
        """
        message = item.message
        assert message is not None
        if not message.recipients:
            item.fail(replies.NO_RECIPIENTS)
            return
        self._item = item
        item.on_cancel(lambda reason: self.abort() if self._item is item else None)
        results = _Results()
        try:
            await self._transact(item, message, results)
        except aiosmtplib.SMTPResponseException as refusal:  # of the greeting, TLS or the login: not of the message
            self.abort()
            if results.uncertain:  # the reply after the final dot was malformed
                raise LinkLost(_text(refusal)) from refusal
            results.deferred = [Failure(one, _reply(refusal.code, refusal.message)) for one in message.recipients]
        except (aiosmtplib.SMTPException, OSError) as error:
            self.abort()
            if results.uncertain or not self._expired(message):
                raise LinkLost(_text(error)) from error
            results.deferred = [Failure(one, _text(error)) for one in message.recipients]
        except BaseException:
            self.abort()
            raise
        await self._conclude(item, message, results)

    def abort(self) -> None:
        """Close the connection now, without QUIT.  Nothing happens when it is closed."""
        if self._pipeline is not None:
            self._pipeline.abort()
            self._pipeline = None
        self._client.close()

    async def quit(self) -> None:
        """Close the connection with QUIT, in two seconds at most."""
        if self._pipeline is not None and not self._pipeline.closed:
            with suppress(aiosmtplib.SMTPException, TimeoutError):
                async with asyncio.timeout(2.0):
                    self._pipeline.send(b"QUIT")
                    await self._pipeline.reply()
        self.abort()

    # ---------------------------------------------------------------------------------------------- conversation

    async def _transact(self, item: Item, message: Message, results: _Results) -> None:
        for kept in (True, False):
            if self._pipeline is None or self._pipeline.closed:
                kept = False
                self.abort()
                item.progress(f"connecting to {self.smarthost.address}")
                self._pipeline = await self._connect()
            pipeline = self._pipeline
            mail, encoding, problem = mail_command(message, self._client.supports_extension)
            if problem is not None:
                results.refuse(message.recipients, 550, problem)
                return
            try:
                pipeline.send(mail, *(f"RCPT TO:<{one}>".encode(encoding) for one in message.recipients), b"DATA")
                item.progress("MAIL FROM")
                reply = await pipeline.reply()
            except (aiosmtplib.SMTPServerDisconnected, ConnectionError):
                if not kept:
                    raise
            else:
                if not (kept and reply.code == 421):
                    break
            self.abort()
        if reply.code == 250:
            await self._recipients(pipeline, item, message, results)
        else:
            results.refuse(message.recipients, reply.code, _reply(reply.code, reply.message))
            await self._abandon(pipeline, len(message.recipients))

    async def _connect(self) -> Pipeline:
        client = self._client
        await client.connect()
        if client.is_ehlo_or_helo_needed:  # a login has sent it
            try:
                await client.ehlo()
            except aiosmtplib.SMTPHeloError:
                await client.helo()
        if client.transport is None or client.transport.is_closing():
            raise aiosmtplib.SMTPServerDisconnected("Connection lost")
        assert isinstance(client.transport, asyncio.Transport)
        offered = client.supports_extension("pipelining")
        return Pipeline(client.transport, pipelining=offered, timeout=self.smarthost.timeout)

    async def _recipients(self, pipeline: Pipeline, item: Item, message: Message, results: _Results) -> None:
        for number, recipient in enumerate(message.recipients, 1):
            if not pipeline.has_reply:
                item.progress(f"RCPT TO {number} of {len(message.recipients)}")
            reply = await pipeline.reply()
            if reply.code in (250, 251):
                results.accepted.append(recipient)
                continue
            results.refuse([recipient], reply.code, _reply(reply.code, reply.message))
            if reply.code == 421:  # it is closing: do not ask for the rest
                results.refuse([*results.accepted, *message.recipients[number:]], 421, _reply(421, reply.message))
                results.accepted.clear()
                self.abort()
                return
        if results.accepted:
            await self._data(pipeline, item, message, results)
        else:
            await self._abandon(pipeline, 0)

    async def _data(self, pipeline: Pipeline, item: Item, message: Message, results: _Results) -> None:
        if not pipeline.has_reply:
            item.progress("DATA")
        reply = await pipeline.reply()
        if reply.code == 354:
            reply = await self._content(pipeline, item, message.content, results)
            if 200 <= reply.code < 300:
                return
        code = reply.code if 400 <= reply.code < 600 else 451
        results.refuse(results.accepted, code, _reply(reply.code, reply.message))
        results.accepted = []
        await self._reset(pipeline, reply)

    async def _content(
        self, pipeline: Pipeline, item: Item, content: bytes, results: _Results
    ) -> aiosmtplib.SMTPResponse:
        """Send the content with its final dot, and return the reply.  The item is past no return at its last piece."""

        def past_no_return() -> None:
            results.uncertain = True
            item.past_no_return()

        await pipeline.send_content(content, lambda: item.progress("sending the message"), past_no_return)
        return await pipeline.reply(patience=DOT_FACTOR)

    async def _abandon(self, pipeline: Pipeline, recipients: int) -> None:
        """End a transaction in which no recipient is accepted; that many RCPT, and DATA, are still to be answered.

        If DATA is answered 354 nevertheless, a lone dot ends a message without recipients (RFC 2920 3.1).  If the
        server has accepted recipients after all, the connection is closed instead.
        """
        reply = None
        if not pipeline.discard():
            with suppress(aiosmtplib.SMTPException):
                answers = [await pipeline.reply() for _ in range(recipients + 1)]
                reply = answers[-1]
                if reply.code == 354:
                    if any(one.code < 300 for one in answers):
                        self.abort()
                        return
                    pipeline.begin_content()
                    pipeline.send_last(b".\r\n")
                    reply = await pipeline.reply()
        await self._reset(pipeline, reply)

    async def _reset(self, pipeline: Pipeline, last: aiosmtplib.SMTPResponse | None) -> None:
        """Send RSET, so that another transaction can begin; close the connection when that fails."""
        with suppress(aiosmtplib.SMTPException):
            if last is None or last.code != 421:
                pipeline.send(b"RSET")
                if (await pipeline.reply()).code == 250:
                    return
        self.abort()

    # --------------------------------------------------------------------------------------------------- outcome

    async def _conclude(self, item: Item, message: Message, results: _Results) -> None:
        """Decide the outcome of the item: sent, failed, or deferred for those recipients that are to be tried again."""
        if results.deferred and self._expired(message):
            days = self._give_up / 86400
            results.failed += [
                Failure(one.recipient, replies.EXPIRED.format(days=days, reason=one.reason)) for one in results.deferred
            ]
            results.deferred = []
        reported = False
        if results.failed:
            item.progress("reporting a failure")
            tentative = results.deferred + results.failed  # should this task be cancelled now, they are tried again
            item.defer(_summary(tentative), recipients=[one.recipient for one in tentative])
            try:
                reported = await self._notify(message, results.failed)
            except Exception as error:
                log.warning("message %s is tried again: cannot report its failure now: %s", message.id, error)
                return
        if results.deferred:
            item.defer(_summary(results.deferred), recipients=[one.recipient for one in results.deferred])
        elif results.failed:
            recipients = [one.recipient for one in results.failed]
            item.fail(_summary(results.failed), reported=reported, recipients=recipients)

    def _expired(self, message: Message) -> bool:
        return time.time() - message.submitted > self._give_up


def mail_command(message: Message, offers: Callable[[str], bool]) -> tuple[bytes, str, str | None]:
    """Return the MAIL command, the encoding of addresses, and the reason why the message cannot be sent (or None).

    `offers` returns whether the smarthost offers an extension, whose name is in small letters.
    """
    envelope = (message.sender, *message.recipients)
    words = [f"MAIL FROM:<{message.sender}>", *([f"SIZE={len(message.content)}"] if offers("size") else [])]
    for address in envelope:
        if address and (refusal := wrong_address(address, smtputf8=True)):
            return b"", "ascii", f"{refusal}: {line(address, 100)}"
    header = header_of(message.content)
    utf8 = not all(map(str.isascii, envelope)) or (not header.isascii() and _is_utf8(header))
    if utf8 and not offers("smtputf8"):
        return b"", "ascii", replies.SMARTHOST_LACKS_SMTPUTF8
    if not message.content.isascii():
        if not offers("8bitmime"):
            return b"", "ascii", replies.SMARTHOST_LACKS_8BITMIME
        words.append("BODY=8BITMIME")
    encoding = "utf-8" if utf8 else "ascii"
    return " ".join([*words, "SMTPUTF8"] if utf8 else words).encode(encoding), encoding, None


def _is_utf8(header: bytes) -> bool:
    try:
        header.decode()
    except UnicodeDecodeError:
        return False
    return True


def _reply(code: int, text: str) -> str:
    return line(f"{code} {text}", 500)


def _text(error: BaseException) -> str:
    return line(str(error) or type(error).__name__)


def _summary(failures: Sequence[Failure]) -> str:
    return line("; ".join(dict.fromkeys(failure.reason for failure in failures)), 900)
