"""What the tests of real mail share: a server on real sockets, and a client that says exactly what the test says."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

from fsm.mail.config import Address, Config, Smarthost
from fsm.mail.content import dot_stuffed
from fsm.mail.demo.samples import Sample
from fsm.mail.demo.sink import SmtpSink
from fsm.mail.server import MailServer
from fsm.store import Plan
from fsm.store.outcome import Progress

ANY = Address.parse("127.0.0.1:0", "a port", listening=True)
QUICK = Plan.parse("ORDERLY 0s -> cancel 60s")
LATER = (3600.0, 2.0, 7200.0)
"""A retry schedule that never comes round within a test."""


CLIENTS: list[Client] = []


def run(work: Coroutine[Any, Any, None], loop: Callable[[], asyncio.AbstractEventLoop] | None = None) -> None:
    """Run it, for three minutes at most, in such an event loop (default: asyncio's own)."""

    async def within() -> None:
        try:
            async with asyncio.timeout(180):
                await work
        finally:
            for client in CLIENTS:
                client.hang_up()
            CLIENTS.clear()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(within())


def settings(folder: Path, *, sink: SmtpSink | None = None, timeout: float = 30.0, **changes: Any) -> Config:
    """Return the settings of a server in this folder that delivers to this sink."""
    there = None if sink is None else Smarthost(Address.parse(sink.address, "the sink", listening=False), timeout=timeout)
    defaults: dict[str, Any] = {"smarthost": there, "inbound": ANY, "submission": ANY, "retry": LATER, "connections": 1, "hostname": "mail.example.org"}
    return Config(folder / "store", **(defaults | changes))


@asynccontextmanager
async def serving(folder: Path, *, sink: SmtpSink | None = None, **changes: Any) -> AsyncIterator[MailServer]:
    """Run a server in this folder.  It is closed quickly at the end if the test has not closed it."""
    server = MailServer(settings(folder, sink=sink, **({"plan": QUICK} | changes)))
    async with server:
        yield server


async def until(server: MailServer, holds: Callable[[Progress], bool]) -> Progress:
    """Wait until this holds for the store."""
    async for progress in server.store.progress():
        if holds(progress):
            return progress
    raise AssertionError("the store was released before")


def counted(**counts: int) -> Callable[[Progress], bool]:
    """Return whether these counters have reached these numbers, as a condition for `until`."""
    return lambda progress: all(progress.counters[name] >= count for name, count in counts.items())


class Client:
    """A client with one connection, which sends what it is given."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.greeting = ""

    @classmethod
    async def at(cls, address: str, hello: str | None = "EHLO client.example.org") -> Self:
        """Connect, read the greeting, and greet."""
        host, _, port = address.rpartition(":")
        client = cls(*await asyncio.open_connection(host.strip("[]"), int(port), limit=1 << 20))
        CLIENTS.append(client)
        client.greeting = await client.reply()
        if hello is not None:
            assert (await client.say(hello))[:3] in ("250", "421"), hello
        return client

    async def reply(self) -> str:
        """Return one reply, all its lines; empty at the end of the connection."""
        lines = []
        while line := (await self.reader.readline()).decode():
            lines.append(line.rstrip("\r\n"))
            if line[3:4] != "-":
                break
        return "\n".join(lines)

    async def write(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def say(self, command: str | bytes) -> str:
        """Send a command, and return the reply."""
        await self.write((command.encode() if isinstance(command, str) else command) + b"\r\n")
        return await self.reply()

    async def begin(self, sender: str = "a@example.org", *recipients: str) -> None:
        """Begin a transaction, up to DATA."""
        assert (await self.say(f"MAIL FROM:<{sender}>")).startswith("250")
        for recipient in recipients or ("b@example.net",):
            assert (await self.say(f"RCPT TO:<{recipient}>")).startswith("250")
        assert (await self.say("DATA")).startswith("354")

    async def end(self, content: bytes = b"Subject: x\r\n\r\nhello\r\n") -> str:
        """Send the message and the final dot, and return the reply."""
        await self.write(dot_stuffed(content))
        return await self.reply()

    async def send(self, sample: Sample) -> str:
        """Send a whole message, and return the last reply."""
        options = (" BODY=8BITMIME" if sample.eight_bit else "") + (" SMTPUTF8" if sample.smtputf8 else "")
        replies = [await self.say(f"MAIL FROM:<{sample.sender}>{options}")]
        replies += [await self.say(f"RCPT TO:<{recipient}>") for recipient in sample.recipients]
        replies.append(await self.say("DATA"))
        if not replies[-1].startswith("354"):
            return replies[-1]
        return await self.end(sample.content)

    async def rest(self) -> str:
        """Return all that is still sent until the connection is closed."""
        try:
            return (await self.reader.read()).decode()
        except ConnectionResetError:
            return ""

    def hang_up(self, *, rudely: bool = False) -> None:
        """Close the connection; rudely, with a reset."""
        if rudely:
            link = self.writer.get_extra_info("socket")
            link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.writer.transport.abort()
        else:
            self.writer.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.hang_up()


def texts(server: MailServer) -> list[bytes]:
    """Return what is in the inbox."""
    return [file.read_bytes() for file in server.inbox.messages()]
