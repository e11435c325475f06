"""The mail server: a store over a database, an inbox, two ports into it and some connections out of it.

Theory.
1. It is open when everything could be opened; when one thing cannot, what was opened is closed again and the reason
   is one sentence.  A restart on the same folder goes on where the last one was cut, for the store does.
2. Closing has one order.  The ports stay open while the store drains, so that who comes is told 421 instead of
   nothing; what is under way ends; then the store is released; then each session is told 421 after the answer it is
   owed, and only then the ports and connections go.  asyncio's and aiosmtpd's own ways of stopping are not used:
   they cut.
3. Whoever asks, a signal or a request over the control socket, asks the same store; the server ends when it is
   released, or when the plan is over without.

This file knows no SMTP: `smtp.py` and `relay.py` speak it.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from functools import lru_cache
from types import TracebackType

from fsm.chart import Configuration
from fsm.logoff import LOGOFF
from fsm.mail.config import Address, Config, ConfigError
from fsm.mail.control import Control
from fsm.mail.dsn import Failure, report, report_name
from fsm.mail.maildir import Inbox, InboxError
from fsm.mail.reception import Intakes, unbroken
from fsm.mail.relay import Connection, LinkLost
from fsm.mail.smtp import Port
from fsm.store.aio import AsyncStore
from fsm.store.errors import Stopped, StorageError
from fsm.store.message import Message
from fsm.store.outcome import Outcome
from fsm.store.retry import Retry
from fsm.store.sql.database import Database
from fsm.verdict import judge

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, Self

__all__ = ["CannotServe", "MailServer"]

log: Final = logging.getLogger("fsm.mail")
BACKLOG: Final = 1024
GOODBYE: Final = 5.0
"""Seconds in which a client must have read its last answer; then its connection is cut."""
SPARE_FILES: Final = 64
HANDS: Final = 3
"""Messages taken from the queue at a time, for each connection: one waits, one is being sent, one's end is recorded."""


class CannotServe(Exception):
    """The server cannot be opened: one sentence.  Everything is closed again."""


class MailServer:
    """A mail server over `config`.  `async with` opens it, and closes it by its plan if nobody has.

    CannotServe when it cannot be opened, ConfigError when a file that the settings name is not what it should be.

    `addresses` are where it really listens, by port name; `store` is its store and `inbox` its inbox.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.addresses: dict[str, str] = {}
        self.store: AsyncStore
        self.inbox: Inbox
        self._ports: list[Port] = []
        self._listening: list[asyncio.Server] = []
        self._workers: list[asyncio.Task[None]] = []
        self._connections: list[Connection] = []
        self._free: asyncio.LifoQueue[Connection] = asyncio.LifoQueue()
        self._end: asyncio.Task[Outcome] | None = None
        self._opened = AsyncExitStack()

    # --------------------------------------------------------------------------------------------------- opening

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as opened:
            try:
                await self._open(opened)
            except (InboxError, StorageError) as error:
                raise CannotServe(str(error)) from error
            except OSError as error:
                told = f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error)
                raise CannotServe(told) from error
            self._opened = opened.pop_all()
        return self

    async def _open(self, opened: AsyncExitStack) -> None:
        config, self._asked = self.config, asyncio.Event()
        tls, users = config.tls, config.users
        context = config.smarthost.context() if config.smarthost is not None else None
        if config.folder.exists() and not config.folder.is_dir():
            raise ConfigError(f"{config.folder} is a file, and a store is a folder; name another")
        config.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.inbox = Inbox(config.folder / "inbox")
        executor = self._executor = ThreadPoolExecutor(8, "fsm mail")
        opened.callback(executor.shutdown)
        first, factor, longest = config.retry
        self.store = AsyncStore(
            Database(config.folder / "outbox.db"),
            name=config.store_name,
            uncertain=config.uncertain,
            retry=Retry(first, factor, longest),
        )
        opened.callback(self.store.let_go)
        self._shared = Intakes(self.store, self.inbox, executor)
        self._loop = asyncio.get_running_loop()
        self.store.on_released(self._ask_to_close)
        self.store.on_notice(self._ask_to_close)
        _allow_files(config)
        for name, address in (("inbound", config.inbound), ("submission", config.submission)):
            if address is not None:
                needs = name == "submission" or not address.loopback
                port = Port(name == "inbound", config, self._shared, self._takes_new, tls, users if needs else None)
                self._ports.append(port)
                await self._listen(name, address, port, opened)
        control = Control(self)
        await control.open()
        opened.push_async_callback(control.close)
        if config.smarthost is not None:
            for _ in range(config.connections):
                there, own, limit = config.smarthost, config.hostname, config.give_up
                connection = Connection(there, context, hostname=own, report=self._report, give_up=limit)
                self._connections.append(connection)
                self._free.put_nowait(connection)
            provider = f"smtp:{config.smarthost.address}"
            hands = HANDS if config.uncertain == "resend" else 1  # after a crash what was not begun is not to be held
            for _ in range(config.connections * hands):
                self._workers.append(asyncio.create_task(self._work(provider)))

    async def _listen(self, name: str, address: Address, port: Port, opened: AsyncExitStack) -> None:
        try:
            listening = await self._loop.create_server(port, address.ip, address.port, backlog=BACKLOG)
        except OSError as error:
            told = error.strerror or str(error)
            if "in use" in str(error):
                told = "it is in use; stop what listens there, or take port 0 for a free one"
            raise CannotServe(f"cannot listen for {name} mail at {address}: {told}") from error
        opened.callback(listening.close)
        self._listening.append(listening)
        host, number = listening.sockets[0].getsockname()[:2]
        self.addresses[name] = f"[{host}]:{number}" if ":" in host else f"{host}:{number}"

    def _takes_new(self) -> bool:
        return _takes_new(self.store.session.configuration)

    def _ask_to_close(self) -> None:
        """Somebody closes the store, or it is released: the server joins that."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.close)

    # --------------------------------------------------------------------------------------------------- delivery

    async def _work(self, provider: str) -> None:
        """Deliver one message after the other, over whatever connection is free, until the store is released."""
        async for item in self.store.outgoing(provider=provider):
            try:
                async with item:
                    if self._free.empty():
                        item.progress("waiting for a connection")
                    connection = await self._free.get()
                    try:
                        await connection.deliver(item)
                    finally:
                        self._free.put_nowait(connection)
            except (LinkLost, Stopped, StorageError) as error:
                log.warning("%s was not delivered: %s", item.id, error)
            except Exception:
                log.exception("%s was not delivered", item.id)  # its ending is decided all the same

    async def _report(self, message: Message, failures: Sequence[Failure]) -> bool:
        """Put a report of these failures into the inbox; whether there is a sender to be told.  InboxError."""
        if not message.sender:
            return False
        host, smarthost = self.config.hostname, self.config.smarthost
        there = smarthost.address.host if smarthost is not None else ""
        content = report(message, failures, host=host, smarthost=there, now=time.time())
        name = report_name(message, failures)
        await unbroken(self._loop.run_in_executor(self._executor, lambda: self.inbox.store(content, name=name)))
        log.info("%s failed for %s: reported", message.id, ", ".join(failure.recipient for failure in failures))
        return True

    # ---------------------------------------------------------------------------------------------------- closing

    def close(self) -> None:
        """Start the plan.  When it is under way already, nothing happens."""
        if self._end is None:
            self._end = self._loop.create_task(self._close())
            self._asked.set()

    @property
    def closing(self) -> bool:
        """Whether the plan was started, or the store is released."""
        return self._asked.is_set()

    async def served(self) -> Outcome:
        """Wait until the store is released, or its plan is over, and everything is closed; the outcome."""
        await self._asked.wait()
        assert self._end is not None
        return await asyncio.shield(self._end)

    async def _close(self) -> Outcome:
        outcome = await self.store.close(self.config.way_down)
        await self._depart(cut=not outcome)
        return outcome

    async def _depart(self, *, cut: bool) -> None:
        """End what is left, in order.  Without a release what is in flight is cut here, and recorded so."""
        for listening in self._listening:
            listening.close()
        for port in self._ports:
            port.depart()
        if cut:
            for worker in self._workers:
                worker.cancel()
        gone = [session.gone for port in self._ports for session in port.sessions]
        if gone:
            await asyncio.wait(gone, timeout=0 if cut else GOODBYE)
        for port in self._ports:
            port.cut()
        await self._shared.finished()
        await asyncio.gather(*self._workers, return_exceptions=True)
        await asyncio.gather(*(connection.quit() for connection in self._connections))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
            await self.served()
        finally:
            await self._opened.aclose()


@lru_cache(maxsize=4096)
def _takes_new(configuration: Configuration) -> bool:
    return judge(LOGOFF, configuration, "submit").accepted


def _allow_files(config: Config) -> None:
    """Raise this process's own limit of open files to what the limits of the ports can need, as far as it may."""
    needed = config.limits.sessions * 2 + config.connections + SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
