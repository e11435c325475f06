"""Receiving one message, from the moment the client may send it until it is durable and can be answered 250.

Theory.
1. The connection may be lost at any moment.  What has begun ends by itself (an inbound message in a task of its own, a
   submission in the store's thread), and what has arrived whole is stored whole.
2. An inbound message is an item of the store from DATA on.  When its client hangs up before the final dot, the item
   fails.  When the plan stops it, the client gets 421.  After the final dot nothing stops it.
3. A submission is unknown to the store until its final dot.  Then it is submitted, and is durable or refused.
4. A message for several mailboxes is an item of each of their stores, and is stored in all inboxes or in none: what
   was answered 4yz comes again.  A recipient whose inbox was in trouble, and still is, is put off at RCPT, so that the
   others get theirs.
5. Whatever happens, the answer is one SMTP reply, and 250 means durable.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Final, NamedTuple

from fsm.mail import replies
from fsm.mail.errors import MaildirError
from fsm.mail.logs import tell
from fsm.mail.mailboxes import Mailbox, Mailboxes
from fsm.mail.parameters import address_of, addresses
from fsm.mail.received import Hop, below_trace
from fsm.mail.syntax import line
from fsm.store.errors import Stopped, StorageError, StoreClosing
from fsm.store.in_flight import Item
from fsm.store.log import about

__all__ = ["Envelope", "Receiver", "Reception"]

log: Final = logging.getLogger("fsm.mail")


class Envelope(NamedTuple):
    """The sender, the recipients, and the client from which the message comes."""

    sender: str
    recipients: tuple[str, ...]
    hop: Hop


class Reception:
    """The reception of one message.  `begun` once the store has it, so that it is answered before the session ends."""

    begun = False

    def begin(self, then: Callable[[str | None], object]) -> None:
        """Call `then` with the reply that refuses the message, or with None as soon as the client may send it."""
        then(None)

    def finish(self, content: bytearray, then: Callable[[str], object]) -> None:
        """Store the whole message, and call `then` with the reply once it is durable.  Nothing stops that."""
        raise NotImplementedError

    def abandon(self) -> None:
        """No content will come.  Does nothing after `finish`."""


@dataclass(slots=True)
class Receiver:
    """Receives the messages of a server into its mailboxes.  `tasks` are the inbound messages under way."""

    mailboxes: Mailboxes
    tasks: dict[asyncio.Task[None], None] = field(default_factory=dict)

    def inbound(self, envelope: Envelope, mailboxes: Sequence[Mailbox], stop: Callable[[str], object]) -> Reception:
        """Return a reception into their inboxes.  `stop` is called with a reason when the plan of one stops it."""
        return _Inbound(self, envelope, mailboxes, stop)

    def submission(self, envelope: Envelope, mailbox: Mailbox) -> Reception:
        """Return a reception into the mailbox's outbox.  It cannot be stopped."""
        return _Submission(self, envelope, mailbox)

    def keep(self, task: asyncio.Task[None]) -> None:
        """Keep a task until it is done."""
        self.tasks[task] = None
        task.add_done_callback(self.tasks.pop)

    async def finished(self) -> None:
        """Wait for the inbound messages under way."""
        while self.tasks:
            await asyncio.wait(list(self.tasks))


class _Submission(Reception):
    """A message to be sent: it goes to the outbox."""

    def __init__(self, receiver: Receiver, envelope: Envelope, mailbox: Mailbox) -> None:
        self._receiver, self._envelope, self._mailbox = receiver, envelope, mailbox

    def finish(self, content: bytearray, then: Callable[[str], object]) -> None:
        self.begun = True
        self._task = _spawn(self._submit(content), then)

    async def _submit(self, content: bytearray) -> str:
        envelope, store = self._envelope, self._mailbox.store
        try:
            whole = _below(envelope.hop.received(time.time()), content)
            id = await store.submit(
                whole, envelope.sender, envelope.recipients, shielded=True, id=envelope.hop.id or None
            )
        except StoreClosing:
            return self._receiver.mailboxes.refusal
        except StorageError as error:
            log.warning("cannot store a submitted message: %s", error, extra=about(store.name, envelope.hop.id or None))
            return replies.STORAGE_ERROR
        tell("taken", store.name, id, sender=f"<{address_of(envelope.sender)}>",
             recipients=addresses(envelope.recipients), octets=len(whole), client=envelope.hop.peer,
             by=envelope.hop.protocol)  # fmt: skip
        return replies.QUEUED.format(id=id)


class _Inbound(Reception):
    """A message for the owner: it goes to the Maildir, and is in flight from DATA on."""

    begun = True

    def __init__(
        self, receiver: Receiver, envelope: Envelope, mailboxes: Sequence[Mailbox], stop: Callable[[str], object]
    ) -> None:  # fmt: skip
        self._receiver, self._envelope, self._mailboxes, self._stop = receiver, envelope, mailboxes, stop
        self._content: asyncio.Future[bytearray | None] = asyncio.get_running_loop().create_future()
        self._reply: str | None = None

    def begin(self, then: Callable[[str | None], object]) -> None:
        self._then: Callable[[str], object] | None = then
        self._receiver.keep(_spawn(self._receive(partial(then, None)), self._replied))

    def finish(self, content: bytearray, then: Callable[[str], object]) -> None:
        if self._reply is not None:
            then(self._reply)
            return
        self._then = then
        if not self._content.done():
            self._content.set_result(content)

    def _replied(self, reply: str) -> None:
        self._reply = reply
        if self._then is not None:
            self._then(reply)

    def abandon(self) -> None:
        if not self._content.done():
            self._content.set_result(None)

    async def _receive(self, ready: Callable[[], object]) -> str:
        envelope, stored, whole = self._envelope, "", b""
        stores = ", ".join(one.store.name for one in self._mailboxes)
        fields = about(stores, envelope.hop.id)
        try:
            what = f"MAIL FROM <{line(envelope.sender)}>"
            async with AsyncExitStack() as begun:
                items: list[Item] = [
                    await begun.enter_async_context(one.store.inbound(peer=envelope.hop.peer, what=what))
                    for one in self._mailboxes
                ]
                self._then = None
                ready()
                content = await self._arrival(items)
                for item in items:
                    item.progress("storing it")
                whole = _below(envelope.hop.delivered(time.time(), envelope.sender), content)
                stored = await self._deliver(whole)
        except StoreClosing:
            return self._receiver.mailboxes.refusal
        except _HungUp:
            return replies.INCOMPLETE
        except MaildirError as error:
            log.warning("cannot store an inbound message: %s", error, extra=fields)
            return error.smtp
        except StorageError as error:
            if not stored:
                log.warning("cannot begin an inbound message: %s", error, extra=fields)
                return replies.STORAGE_ERROR
            log.warning(
                "message %s is in the inbox, but cannot be recorded yet: %s", envelope.hop.id, error, extra=fields
            )
        except Stopped:
            return replies.STOPPED
        tell("received", stores, envelope.hop.id, sender=f"<{envelope.sender}>",
             recipients=", ".join(envelope.recipients), octets=len(whole), client=envelope.hop.peer,
             by=envelope.hop.protocol, file=stored)  # fmt: skip
        return replies.STORED.format(id=envelope.hop.id)

    async def _deliver(self, whole: bytes) -> str:
        """Store the message in each inbox, and return the name of its file in the last one.  MaildirError: in none."""
        stored: list[tuple[Mailbox, str]] = []
        try:
            for one in self._mailboxes:
                stored.append((one, await one.inbox.deliver(whole, id=self._envelope.hop.id)))
        except MaildirError:
            self._mailboxes[len(stored)].failed = True
            await asyncio.shield(asyncio.gather(*(one.inbox.take_back(name) for one, name in stored)))
            raise
        return stored[-1][1]

    async def _arrival(self, items: Sequence[Item]) -> bytearray:
        for item in items:
            item.progress("receiving")
            item.on_cancel(self._stop)
        content = await self._content
        if content is None:
            raise _HungUp("the client hung up before the end of the message")
        return content


def _spawn(work: Coroutine[object, object, str], then: Callable[[str], object]) -> asyncio.Task[None]:
    """Call `then` with the reply that the work returns; whatever fails in it, there is one."""
    return asyncio.get_running_loop().create_task(_answered(work, then))


async def _answered(work: Coroutine[object, object, str], then: Callable[[str], object]) -> None:
    try:
        reply = await work
    except Exception as error:
        log.error("a message could not be received: %s: %s", type(error).__name__, line(str(error)))
        reply = replies.INTERNAL_ERROR
    then(reply)


def _below(trace: bytes, content: bytearray) -> bytes:
    """Return the content below its trace lines, and forget it, so that there is one copy."""
    start, gap = below_trace(content)
    with memoryview(content) as view:
        whole = b"".join((trace, gap, view[start:]))
    content.clear()
    return whole


class _HungUp(Exception):
    """The client has gone, and the message has not arrived whole."""
