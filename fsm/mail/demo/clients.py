"""Clients that send real messages and remember what became of each: the tour's and the tests' side of a conversation.

A client keeps one connection, sends one message after the other, and writes down for each whether it was accepted (250
after the final dot), refused, or lost sight of: the link went after the final dot and before the answer.  It speaks
SMTP as far as that needs it, and knows no server but by its answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field

from fsm.mail.demo.samples import Sample
from fsm.mail.syntax import transparent

__all__ = ["Client", "Sent"]


@dataclass
class Sent:
    """What became of the messages of several clients, by Message-ID: accepted with the server's words, or not."""

    accepted: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    unknown: dict[str, str] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def until(self, count: int) -> None:
        """Wait until so many were accepted."""
        while len(self.accepted) < count:
            self.changed.clear()
            await self.changed.wait()


class _Refused(Exception):
    """The server said no; with its words."""


class Client:
    """One client of the server at `address` (HOST:PORT), that notes what happens in `sent`."""

    def __init__(self, address: str, sent: Sent) -> None:
        self._host, _, port = address.rpartition(":")
        self._port, self.sent = int(port), sent
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter | None = None

    async def send(self, samples: Iterable[Sample]) -> None:
        """Send these, one after the other; the rest is refused when the server says 421 or goes away."""
        waiting = list(samples)
        while waiting:
            sample = waiting.pop(0)
            words, dot = "the connection was closed", False
            try:
                words = await self._hand_over(sample)
                self.sent.accepted[sample.message_id] = words
                self.sent.changed.set()
                continue
            except _Refused as refusal:
                words = str(refusal)
                self.sent.refused[sample.message_id] = words
                if not words.startswith("421"):
                    continue
            except _AfterDot:
                dot = True
                self.sent.unknown[sample.message_id] = "the link was lost after the final dot"
            except OSError as error:
                words = f"the connection was lost: {error}"
                self.sent.refused[sample.message_id] = words
            if not dot:
                self.sent.refused |= {rest.message_id: words for rest in waiting}
            break
        if self._writer is not None:
            self._writer.close()

    async def _hand_over(self, sample: Sample) -> str:
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
            await self._hear()
            await self._say(b"EHLO client.example.org")
        more = " SMTPUTF8" * sample.smtputf8 + " BODY=8BITMIME" * (sample.eight_bit or sample.smtputf8)
        await self._say(f"MAIL FROM:<{sample.sender}>{more}".encode())
        for recipient in sample.recipients:
            await self._say(f"RCPT TO:<{recipient}>".encode())
        await self._say(b"DATA")
        writer = self._writer
        writer.write(transparent(sample.content))
        await writer.drain()
        try:
            return await self._hear()
        except OSError as error:
            raise _AfterDot from error

    async def _say(self, line: bytes) -> str:
        assert self._writer is not None
        self._writer.write(line + b"\r\n")
        return await self._hear()

    async def _hear(self) -> str:
        while True:
            line = (await self._reader.readline()).decode(errors="replace")
            if not line:
                raise ConnectionError("the server closed the connection")
            if line[3:4] != "-":
                break
        if line[:1] not in "23":
            raise _Refused(line.strip())
        return line.strip()


class _AfterDot(Exception):
    """The final dot was sent, and no answer came."""
