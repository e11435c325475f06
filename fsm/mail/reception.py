"""Taking one message in at a port, from the moment the client may send it until it is durable and can be answered 250.

Theory.
1. The client's connection may go at any moment; what was begun ends by itself (an inbound message is a task of its
   own, a submission is in the store's hands), and what has arrived whole is stored whole.
2. An inbound message is an item of the store from DATA on.  Its client hangs up before the final dot: the item
   fails. The plan stops it: the client is told 421.  After the final dot nothing stops it.
3. A submission is nothing to the store until its final dot has come; then it is submitted, and that is durable or
   refused.
4. Whatever happens, the answer is one SMTP reply, and 250 means durable.

This file knows the store and the inbox, and no aiosmtpd.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Protocol

from fsm.mail.maildir import Inbox, InboxError
from fsm.mail.received import Passage
from fsm.mail.syntax import line
from fsm.store.aio import AsyncStore
from fsm.store.errors import Stopped, StorageError, StoreClosing
from fsm.store.in_flight import Item

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

__all__ = ["STOPPED", "Envelope", "Inbound", "Intake", "Intakes", "Submission", "unbroken"]

log: Final = logging.getLogger("fsm.mail")
STORAGE_TROUBLE: Final = "451 4.3.0 the store cannot keep the message now, try again later"
STOPPED: Final = "421 4.3.2 the store is closing and has stopped the message, send it again later"


@dataclass(frozen=True, slots=True)
class Envelope:
    """Who sends to whom, and which way it came."""

    sender: str
    recipients: tuple[str, ...]
    passage: Passage


class Intake(Protocol):
    """One message coming in."""

    @property
    def committed(self) -> bool:
        """Whether it has to be answered before the session may end."""

    async def begin(self) -> str | None:
        """The reply that refuses it, or None when the client may send it."""

    async def finish(self, content: bytes) -> str:
        """All of it is there: the reply, once it is durable.  Being cancelled here stops nothing."""

    def hang_up(self) -> None:
        """No content will come.  Nothing happens after `finish`."""


@dataclass(slots=True)
class Intakes:
    """What the intakes of a server share, and the tasks that are under way."""

    store: AsyncStore
    inbox: Inbox | None
    executor: Executor
    tasks: dict[asyncio.Task[str], None] = field(default_factory=dict)

    def spawn(self, work: Coroutine[object, object, str]) -> asyncio.Task[str]:
        """A task that is kept until it is done."""
        task = asyncio.get_running_loop().create_task(work)
        self.tasks[task] = None
        task.add_done_callback(lambda done: self.tasks.pop(done, None))
        return task

    async def finished(self) -> None:
        """Wait for those that are under way."""
        while self.tasks:
            await asyncio.wait(list(self.tasks))


class Submission:
    """A message that is to be sent: it goes to the outbox."""

    def __init__(self, shared: Intakes, envelope: Envelope, stop: Callable[[str], object]) -> None:
        self._shared, self._envelope = shared, envelope
        self.committed = False

    async def begin(self) -> str | None:
        """None: nothing is decided before the message is there."""
        return None

    def hang_up(self) -> None:
        """Nothing had begun."""

    async def finish(self, content: bytes) -> str:
        """Submit it; the reply once that is durable.  Being cancelled here stops nothing."""
        self.committed, envelope = True, self._envelope
        try:
            whole = envelope.passage.received(time.time()) + content
            id = await self._shared.store.submit(whole, envelope.sender, envelope.recipients, shielded=True)
        except StoreClosing as closing:
            return closing.smtp
        except StorageError as error:
            log.warning("a submission cannot be kept: %s", error)
            return STORAGE_TROUBLE
        return f"250 2.0.0 queued as {id}"


class Inbound:
    """A message for the owner: it goes to the inbox, and is in flight from DATA on."""

    def __init__(self, shared: Intakes, envelope: Envelope, stop: Callable[[str], object]) -> None:
        self._shared, self._envelope, self._stop = shared, envelope, stop
        self._begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._content: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
        self.committed = True

    async def begin(self) -> str | None:
        """Begin the item; the reply that refuses it, when the store takes nothing new in."""
        task = self._task = self._shared.spawn(self._receive())
        waiting: list[asyncio.Future[Any]] = [task, self._begun]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        except BaseException:  # the client is gone already
            self.hang_up()
            raise
        return None if self._begun.done() else task.result()

    async def finish(self, content: bytes) -> str:
        """AsyncStore it; the reply once it is in the inbox and recorded."""
        if not self._content.done():
            self._content.set_result(content)
        return await asyncio.shield(self._task)

    def hang_up(self) -> None:
        """The item fails: its source keeps the message."""
        if not self._content.done():
            self._content.set_result(None)

    async def _receive(self) -> str:
        envelope, stored = self._envelope, ""
        assert self._shared.inbox is not None
        try:
            what = f"MAIL FROM <{line(envelope.sender)}>"
            async with self._shared.store.inbound(peer=envelope.passage.peer, what=what) as item:
                self._begun.set_result(None)
                content = await self._arrived(item)
                item.progress("storing it")
                whole = envelope.passage.delivered(time.time(), envelope.sender) + content
                loop = asyncio.get_running_loop()
                stored = await unbroken(loop.run_in_executor(self._shared.executor, self._shared.inbox.store, whole))
        except StoreClosing as closing:
            return closing.smtp
        except _HungUp:
            return "451 4.4.2 the message did not arrive whole"
        except InboxError as trouble:
            log.warning("an inbound message cannot be stored: %s", trouble)
            return trouble.smtp
        except StorageError as error:
            if not stored:
                log.warning("an inbound message cannot begin: %s", error)
                return STORAGE_TROUBLE
            log.warning("%s is in the inbox; that cannot be recorded yet: %s", stored, error)
        except Stopped:
            return STOPPED
        return f"250 2.0.0 stored as {stored}"

    async def _arrived(self, item: Item) -> bytes:
        item.progress("receiving")
        item.on_cancel(self._stop)
        content = await self._content
        if content is None:
            raise _HungUp("the client hung up before the end of the message")
        return content


class _HungUp(Exception):
    """The client is gone, and the message has not arrived whole."""


async def unbroken(future: asyncio.Future[str]) -> str:
    """The future's result; being cancelled meanwhile changes nothing (a thread that writes cannot be stopped)."""
    while not future.done():
        try:
            await asyncio.shield(future)
        except asyncio.CancelledError:
            if future.cancelled():
                raise
        except Exception:
            break
    return future.result()
