"""The mail server: mailboxes (stores and inboxes), ports, the relay and the control socket, wired together.

Theory.
1. The server is open when everything could be opened.  When one thing cannot, what was opened is closed again, and the
   reason is one sentence.  A restart on the same folder continues where the last run ended, because the store does.
2. Closing has one order.  The ports stay open while the store drains, so that new clients get 421 instead of nothing.
   What is under way ends; then the store is released; then each session gets 421 after the reply that is due, and only
   then ports and connections are closed.  The methods of asyncio and aiosmtpd for stopping a server are not used,
   because they close connections in the middle of a message.
3. A signal and a request over the control socket both ask the same stores.  The server ends when all of them are
   released, or when the plan is over.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import resource
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from fsm.mail.auth import Users
from fsm.mail.config import Address, Config
from fsm.mail.control import Control
from fsm.mail.errors import CannotServe, ConfigError, MaildirError
from fsm.mail.expiry import keep_expiring
from fsm.mail.http import StatusPage
from fsm.mail.limits import Budget
from fsm.mail.listener import Listener
from fsm.mail.logins import Logins
from fsm.mail.mailboxes import Mailbox, Mailboxes
from fsm.mail.maildir import Maildir
from fsm.mail.port import GOODBYE, Port
from fsm.mail.privileges import Identity
from fsm.mail.reception import Receiver
from fsm.mail.relay import Relay
from fsm.store.aio import AsyncSpooler, AsyncStore
from fsm.store.errors import StorageError
from fsm.store.outcome import Outcome, SpoolerOutcome

__all__ = ["MailServer"]

log: Final = logging.getLogger("fsm.mail")
BACKLOG: Final = 1024
SPARE_FILES: Final = 64


FIXED: Final = (
    "folder", "inbound", "submission", "submissions", "local", "http", "connections", "name", "plan", "uncertain",
    "retry", "run_as",
)  # fmt: skip
"""The settings that hold from the start to the end; all others are read anew."""


class MailServer:
    """A mail server.  `async with` opens it, and at the end closes it by its plan unless it is closed already.

    CannotServe if it cannot be opened, ConfigError if a file named in the settings is missing or malformed.

    `mailboxes` are its mailboxes; `store` and `inbox` those of the first one, which is often the only one.  `whole` is
    what is closed at the end: the only store, or the spooler of all.  `ports` are by name, and `addresses` where they
    listen.  `reread` returns the settings anew for `reload`.
    """

    def __init__(self, config: Config, reread: Callable[[], Config] | None = None) -> None:
        self.config, self._reread = config, reread
        self.addresses: dict[str, str] = {}
        self.ports: dict[str, Port] = {}
        self.mailboxes: Mailboxes
        self._listening: list[Listener] = []
        self._relay: Relay | None = None
        self._page: StatusPage | None = None
        self._end: asyncio.Task[Outcome | SpoolerOutcome] | None = None
        self._changes: dict[asyncio.Task[None], None] = {}
        self._opened = AsyncExitStack()

    @property
    def store(self) -> AsyncStore:
        """The store of the first mailbox."""
        return next(iter(self.mailboxes)).store

    @property
    def inbox(self) -> Maildir:
        """The inbox of the first mailbox."""
        return next(iter(self.mailboxes)).inbox

    @property
    def whole(self) -> AsyncStore | AsyncSpooler:
        """What is closed at the end: the only store, or the spooler of all."""
        return self.mailboxes.whole

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
        sockets = self._bind_all(opened)
        executor = ThreadPoolExecutor(8, "fsm mail")
        opened.callback(executor.shutdown)
        logins, self._memory = Logins(asyncio.get_running_loop().time), Budget(config.limits.memory)
        opened.callback(logins.close)
        if smarthost is not None:
            self._relay = Relay(config, smarthost, context)
            opened.push_async_callback(self._relay.finished)  # where something cannot be opened
        self._loop = asyncio.get_running_loop()
        self.mailboxes = Mailboxes(config, executor, self._begin)
        opened.push_async_callback(self.mailboxes.gone)
        await self.mailboxes.open(config)
        self._receiver = Receiver(self.mailboxes)
        sessions = _allowed_sessions(config)
        for name, bound in sockets.items():
            if name == "http":
                self._page = await StatusPage.drawn(self.mailboxes, self._gauges)
                self._listening.append(Listener(bound, self._page))
                opened.push_async_callback(self._page.close)
            else:
                port = Port(
                    name == "inbound", config, self.mailboxes, self._receiver, logins, self._memory, tls,
                    self._users(name, users), sessions, open_to_all=self._is_open(name),
                )  # fmt: skip
                self.ports[name] = port
                begins_with = partial(getattr, port, "tls") if name == "submissions" else lambda: None
                self._listening.append(Listener(bound, port, begins_with, config.proxies))
            opened.callback(self._listening[-1].close)
        control = Control(self.mailboxes, config, self.addresses, self.close_one)
        await control.open()
        opened.push_async_callback(control.close)
        expiring = asyncio.create_task(keep_expiring(self.mailboxes, lambda: self.config.expire))
        opened.callback(expiring.cancel)

    def _begin(self, mailbox: Mailbox) -> None:
        """A mailbox was opened: deliver what is ready in it, and close the server when no mailbox is left."""
        mailbox.store.on_released(self._look)
        mailbox.store.on_notice(self._look)
        if self._relay is not None:
            self._relay.serve(mailbox)

    def _bind_all(self, opened: AsyncExitStack) -> dict[str, socket.socket]:
        """Bind the sockets, create the store's folder, and give up root, if that is asked for."""
        config, identity = self.config, Identity.parse(self.config.run_as) if self.config.run_as else None
        sockets: dict[str, socket.socket] = {}
        named = {**config.ports, **({"http": config.http} if config.http is not None else {})}
        for name, address in named.items():
            bound = sockets[name] = opened.enter_context(_bound(name, address))
            host, number = bound.getsockname()[:2]
            self.addresses[name] = f"[{host}]:{number}" if ":" in host else f"{host}:{number}"
        if config.local is not None:
            sockets["local"] = opened.enter_context(_bound_path(config.local))
            opened.callback(config.local.unlink, missing_ok=True)
            self.addresses["local"] = str(config.local)
        there = config.folder.exists()
        config.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if identity is not None:
            for path in ([] if there else [config.folder]) + ([config.local] if config.local is not None else []):
                identity.own(path)
            identity.become()
        elif os.geteuid() == 0 and not all(address.loopback for address in config.ports.values()):
            log.warning("this server is reached by others, and runs as root; name another user with --run-as")
        return sockets

    def _gauges(self) -> dict[str, dict[str, float]]:
        """Return the numbers of the server for /metrics."""
        sessions = {name: float(len(port.sessions)) for name, port in self.ports.items()}
        return {"sessions": sessions, "incoming_bytes": {"all": float(self._memory.used)}}

    def _is_open(self, name: str) -> bool:
        """Return whether everybody who reaches a port may use it; the Unix socket is no port of the network."""
        address = self.config.ports.get(name)
        return address is None or address.loopback or (name == "inbound" and self.config.public)

    def _users(self, name: str, users: Users | None) -> Users | None:
        """Return who may use a port; None where nobody logs in: on the Unix socket, and to bring the owners' mail."""
        no_login = name == "local" or (name == "inbound" and self._is_open(name))
        return None if no_login else users

    def _look(self) -> None:
        """A store is being closed or is released; called from any thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._close_with_the_last)

    def _close_with_the_last(self) -> None:
        """Close the server if all is being closed, or no store is left that is not released."""
        if not self.whole.in_service or all(one.store.session.complete for one in self.mailboxes):
            self.close()

    # ---------------------------------------------------------------------------------------------------- closing

    def close(self) -> None:
        """Start the plan.  Nothing happens when it was started before."""
        if self._end is None:
            self._end = self._loop.create_task(self._close())
            self._asked.set()

    def close_one(self, mailbox: Mailbox) -> None:
        """Start the plan for one mailbox; the server goes on with the others, if there are any."""
        if len(self.mailboxes) > 1:
            mailbox.store.begin_closing(self.config.closing_plan)
        else:
            self.close()

    def reload(self) -> None:
        """Read certificate, users and configuration anew, for what comes.  If that fails, nothing changes."""
        before = self.config
        try:
            config = self._reread() if self._reread is not None else before
            kept = [name for name in FIXED if getattr(config, name) != getattr(before, name)]
            if (config.smarthost is None) != (before.smarthost is None):
                kept.append("smarthost")
            if bool(config.mailboxes) != bool(before.mailboxes):
                kept.append("mailboxes")
            config = replace(config, **{name: getattr(before, name) for name in kept})
            tls, users = config.tls, config.users
            context = config.smarthost.context() if config.smarthost is not None else None
        except ConfigError as error:
            log.error("the certificate, the users and the configuration stay as they were: %s", error)
            return
        self.config, self._memory.limit = config, config.limits.memory
        for name, port in self.ports.items():
            port.reload(config, tls, self._users(name, users), open_to_all=self._is_open(name))
        for listener in self._listening:
            listener.proxies = config.proxies
        if self._relay is not None and config.smarthost is not None:
            self._relay.reload(config, config.smarthost, context)
        log.warning("the certificate, the users and the configuration were read anew")
        change = self._loop.create_task(self.mailboxes.change(config))
        self._changes[change] = None
        change.add_done_callback(lambda done: self._changes.pop(done, None))
        if kept:
            log.warning("these changes need a restart: %s", ", ".join(kept))

    async def served(self) -> Outcome | SpoolerOutcome:
        """Wait until all stores are released, or the plan is over, and everything is closed; return the outcome."""
        await self._asked.wait()
        assert self._end is not None
        return await asyncio.shield(self._end)

    async def _close(self) -> Outcome | SpoolerOutcome:
        plan = self.config.closing_plan
        outcome = await self.whole.close(plan)
        released = bool(outcome)
        for listening in self._listening:
            listening.close()
        for port in self.ports.values():
            port.close()
        if not released and self._relay is not None:
            self._relay.cancel()  # what is in flight becomes uncertain or deferred
        gone = [session.gone for port in self.ports.values() for session in port.sessions]
        if gone:
            left = max(0.0, plan.budget - outcome.seconds) + 1.0
            await asyncio.wait(gone, timeout=min(GOODBYE, left) if released else 0)
        for port in self.ports.values():
            port.abort()
        await self._receiver.finished()
        for change in list(self._changes):
            change.cancel()
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


def _bound(name: str, address: Address) -> socket.socket:
    """Return a listening socket.  CannotServe."""
    try:
        if address.descriptor is not None:
            return socket.socket(fileno=os.dup(address.descriptor))
        family = socket.AF_INET6 if ":" in address.ip else socket.AF_INET
        return socket.create_server((address.ip, address.port), family=family, backlog=BACKLOG)
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno == errno.EADDRINUSE:
            reason = "it is in use; stop what listens there, or take port 0 for a free one"
        elif error.errno == errno.EACCES and address.port < 1024:
            reason += "; start it as root with --run-as USER, or have systemd hand the socket over"
        what = "requests" if name == "http" else "mail"
        raise CannotServe(f"cannot listen for {name} {what} at {address}: {reason}") from error


def _bound_path(path: Path) -> socket.socket:
    """Return a listening Unix socket that the group may use, in place of one that nobody listens at.  CannotServe."""
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if path.is_socket():
            with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as probe:
                if probe.connect_ex(str(path)) == 0:
                    raise CannotServe(f"cannot listen for local mail at {path}: somebody listens there")
            path.unlink()
        before = os.umask(0o117)
        try:
            bound.bind(str(path))
        finally:
            os.umask(before)
        bound.listen(BACKLOG)
    except BaseException as error:
        bound.close()
        if isinstance(error, OSError):
            raise CannotServe(f"cannot listen for local mail at {path}: {error.strerror or error}") from error
        raise
    return bound


def _allowed_sessions(config: Config) -> int:
    """Return how many sessions each port may have with the files this process may open, and raise its limit so far."""
    wanted, ports = config.limits.sessions, len(config.ports) + (config.local is not None)
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
