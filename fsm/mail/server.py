"""The mail server: a store over a database, an inbox, two ports, the relay and the control socket, wired together.

Theory.
1. The server is open when everything could be opened.  When one thing cannot, what was opened is closed again, and the
   reason is one sentence.  A restart on the same folder continues where the last run ended, because the store does.
2. Closing has one order.  The ports stay open while the store drains, so that new clients get 421 instead of nothing.
   What is under way ends; then the store is released; then each session gets 421 after the reply that is due, and only
   then ports and connections are closed.  The methods of asyncio and aiosmtpd for stopping a server are not used,
   because they close connections in the middle of a message.
3. A signal and a request over the control socket both ask the same store.  The server ends when the store is released,
   or when the plan is over.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import resource
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Final, Self

from fsm.mail.config import Address, Config
from fsm.mail.control import Control
from fsm.mail.dsn import Notifier
from fsm.mail.errors import CannotServe, ConfigError, MaildirError
from fsm.mail.limits import Budget
from fsm.mail.listener import Listener
from fsm.mail.logins import Logins
from fsm.mail.maildir import Maildir
from fsm.mail.port import GOODBYE, Port
from fsm.mail.reception import Receiver
from fsm.mail.relay import Relay
from fsm.store.aio import AsyncStore
from fsm.store.errors import StorageError
from fsm.store.outcome import Outcome
from fsm.store.retry import Retry
from fsm.store.sql import Database

__all__ = ["MailServer"]

log: Final = logging.getLogger("fsm.mail")
BACKLOG: Final = 1024
SPARE_FILES: Final = 64


class MailServer:
    """A mail server.  `async with` opens it, and at the end closes it by its plan unless it is closed already.

    CannotServe if it cannot be opened, ConfigError if a file named in the settings is missing or malformed.

    `store` is its store and `inbox` its Maildir; `ports` are by name, and `addresses` where they listen.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.addresses: dict[str, str] = {}
        self.ports: dict[str, Port] = {}
        self.store: AsyncStore
        self.inbox: Maildir
        self._listening: list[Listener] = []
        self._relay: Relay | None = None
        self._end: asyncio.Task[Outcome] | None = None
        self._opened = AsyncExitStack()

    # --------------------------------------------------------------------------------------------------- opening

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as opened:
            try:
                await self._open(opened)
            except (MaildirError, StorageError) as error:
                raise CannotServe(str(error)) from error
            except OSError as error:
                problem = f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error)
                raise CannotServe(problem) from error
            self._opened = opened.pop_all()
        return self

    async def _open(self, opened: AsyncExitStack) -> None:
        config, self._asked = self.config, asyncio.Event()
        tls, users, smarthost = config.tls, config.users, config.smarthost
        context = smarthost.context() if smarthost is not None else None
        if config.folder.exists() and not config.folder.is_dir():
            raise ConfigError(f"{config.folder} is a file, and a store is a folder; name another")
        config.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        executor = ThreadPoolExecutor(8, "fsm mail")
        opened.callback(executor.shutdown)
        logins, memory = Logins(asyncio.get_running_loop().time), Budget(config.limits.memory)
        opened.callback(logins.close)
        self.inbox = Maildir(config.folder / "inbox", executor)
        first, factor, longest = config.retry
        self.store = AsyncStore(
            Database(config.folder / "outbox.db"),
            name=config.store_name,
            uncertain=config.uncertain,
            retry=Retry(first, factor, longest),
        )
        opened.push_async_callback(self.store.gone)
        await self.store.opened()
        self._receiver = Receiver(self.store, self.inbox)
        self._loop = asyncio.get_running_loop()
        self.store.on_released(self._ask_to_close)
        self.store.on_notice(self._ask_to_close)
        sessions = _allowed_sessions(config)
        for name, address in (("inbound", config.inbound), ("submission", config.submission)):
            if address is not None:
                needed = users if name == "submission" or not address.loopback else None
                port = Port(name == "inbound", config, self._receiver, logins, memory, tls, needed, sessions)
                self.ports[name] = port
                self._listen(name, address, port, opened)
        control = Control(self.store, config, self.addresses, self.close)
        await control.open()
        opened.push_async_callback(control.close)
        if smarthost is not None:
            notifier = Notifier(self.inbox, config.hostname, smarthost.address.host)
            self._relay = Relay(self.store, config, smarthost, context, notifier.notify)

    def _listen(self, name: str, address: Address, port: Port, opened: AsyncExitStack) -> None:
        try:
            family = socket.AF_INET6 if ":" in address.ip else socket.AF_INET
            bound = socket.create_server((address.ip, address.port), family=family, backlog=BACKLOG)
        except OSError as error:
            reason = error.strerror or str(error)
            if error.errno == errno.EADDRINUSE:
                reason = "it is in use; stop what listens there, or take port 0 for a free one"
            raise CannotServe(f"cannot listen for {name} mail at {address}: {reason}") from error
        host, number = bound.getsockname()[:2]
        listener = Listener(bound, port)
        opened.callback(listener.close)
        self._listening.append(listener)
        self.addresses[name] = f"[{host}]:{number}" if ":" in host else f"{host}:{number}"

    def _ask_to_close(self) -> None:
        """Close the server, because its store is being closed or is released.  Called from any thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.close)

    # ---------------------------------------------------------------------------------------------------- closing

    def close(self) -> None:
        """Start the plan.  Nothing happens when it was started before."""
        if self._end is None:
            self._end = self._loop.create_task(self._close())
            self._asked.set()

    def reload(self) -> None:
        """Read the certificate and the users anew, for the connections that come.  If that fails, nothing changes."""
        try:
            tls, users = self.config.tls, self.config.users
        except ConfigError as error:
            log.error("the certificate and the users stay as they were: %s", error)
            return
        for port in self.ports.values():
            port.tls = tls
            port.users = users if port.users is not None else None
        log.warning("the certificate and the users were read anew")

    async def served(self) -> Outcome:
        """Wait until the store is released, or its plan is over, and everything is closed; return the outcome."""
        await self._asked.wait()
        assert self._end is not None
        return await asyncio.shield(self._end)

    async def _close(self) -> Outcome:
        outcome = await self.store.close(self.config.closing_plan)
        released = bool(outcome)
        for listening in self._listening:
            listening.close()
        for port in self.ports.values():
            port.close()
        if not released and self._relay is not None:
            self._relay.cancel()  # what is in flight becomes uncertain or deferred
        gone = [session.gone for port in self.ports.values() for session in port.sessions]
        if gone:
            await asyncio.wait(gone, timeout=GOODBYE if released else 0)
        for port in self.ports.values():
            port.abort()
        await self._receiver.finished()
        if self._relay is not None:
            await self._relay.finished()
        return outcome

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
            await self.served()
        finally:
            await self._opened.aclose()


def _allowed_sessions(config: Config) -> int:
    """Return how many sessions each port may have with the files this process may open, and raise its limit so far."""
    wanted, ports = config.limits.sessions, sum(port is not None for port in (config.inbound, config.submission))
    needed = wanted * ports + config.connections + SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        soft = most
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return wanted
    spare = min(SPARE_FILES, soft // 2) + min(config.connections, soft // 8)
    fits = max(1, (soft - spare) // max(1, ports))
    log.warning(
        "this process may open %d files, too few for %d sessions on each port: there are %d; raise `ulimit -n` to %d",
        soft, wanted, fits, needed,
    )  # fmt: skip
    return fits
