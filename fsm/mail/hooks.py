"""What a port answers to MAIL, RCPT and the end of a message: aiosmtpd's hooks, one set for all sessions of a port.

Each answer is one reply; None of them waits but the last, for the message to be durable.  This file knows no
connection.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from aiosmtpd.smtp import (
    Envelope as Draft,
    Session as Client,
)

from fsm.mail.config import Config
from fsm.mail.limits import Gate
from fsm.mail.received import goes_in_a_circle
from fsm.mail.syntax import improper, line, wrong_address
from fsm.store.errors import StoreClosing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

__all__ = ["Door", "Hooks", "Server", "address_of"]

log: Final = logging.getLogger("fsm.mail")


class Server(Protocol):
    """A session, as far as it matters here."""

    async def take(self, content: bytes) -> str:
        """The whole message is there: the reply, once it is durable."""


class Door(Protocol):
    """A port, as far as it matters here."""

    inbound: bool
    config: Config
    gate: Gate

    @property
    def takes_new(self) -> Callable[[], bool]:
        """Whether the store takes new work."""


class Hooks:
    """aiosmtpd's hooks, the same for all sessions of a port."""

    def __init__(self, port: Door) -> None:
        self._port = port

    async def handle_EHLO(  # noqa: N802
        self, server: Server, session: Client, draft: Draft, hostname: str, responses: list[str]
    ) -> list[str]:
        """Offer PIPELINING, too: commands wait in the reader, and are answered in order."""
        session.host_name = hostname
        return [responses[0], "250-PIPELINING", *responses[1:]]

    async def handle_MAIL(  # noqa: N802
        self, server: Server, session: Client, draft: Draft, address: str, options: list[str]
    ) -> str:
        """A message begins, perhaps."""
        if not self._port.takes_new():
            return StoreClosing.smtp
        sender = "" if address == "<>" else address
        if sender and (wrong := wrong_address(sender, smtputf8=draft.smtp_utf8)):
            return wrong
        if not self._port.gate.message(address_of(session)):
            return "450 4.7.1 too many messages from you, try again in a minute"
        draft.mail_from = address  # aiosmtpd takes an empty one for none
        draft.mail_options.extend(options)
        return "250 2.1.0 OK"

    async def handle_RCPT(  # noqa: N802
        self, server: Server, session: Client, draft: Draft, address: str, options: list[str]
    ) -> str:
        """One more recipient."""
        config = self._port.config
        if not self._port.takes_new():
            return StoreClosing.smtp
        if len(draft.rcpt_tos) >= config.limits.recipients:
            return "452 4.5.3 too many recipients, send to the rest in another message"
        if wrong := wrong_address(address, smtputf8=draft.smtp_utf8) or (address == "<>" and "553 5.1.3 nobody"):
            return wrong
        if self._port.inbound and config.owners and not _owned(address, config.owners):
            return "550 5.1.1 this is not a mailbox here"
        draft.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: Server, session: Client, draft: Draft) -> str:  # noqa: N802
        """The whole message is there."""
        content = draft.original_content or b""
        if goes_in_a_circle(content):
            return "554 5.4.6 the message goes in a circle"
        return improper(content) or await server.take(content)

    async def handle_exception(self, error: Exception) -> str:
        """What nobody expected: told in the log, and to the client that it may try again."""
        log.error("a session failed: %s: %s", type(error).__name__, line(str(error)))
        return "451 4.3.0 that could not be handled here"


def address_of(session: Client) -> str:
    """The client's address, as text."""
    return str(session.peer[0]) if isinstance(session.peer, tuple) and session.peer else "local"


def _owned(address: str, owners: tuple[str, ...]) -> bool:
    domain = address.rpartition("@")[2].lower()
    return any(owner.lower() in (address.lower(), domain) for owner in owners)
