"""SMTP clients that send messages and log what became of each, as far as a client can know.

A client keeps one connection, sends one message after the other, and logs for each whether it was accepted (250 after
the final dot), refused, or has an unknown outcome: the connection was lost after the final dot and before the reply.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field

from fsm.mail.content import dot_stuffed
from fsm.mail.demo.samples import Sample

__all__ = ["Client", "SendLog"]


@dataclass
class SendLog:
    """The outcomes of messages by Message-ID: the reply when it was accepted or refused, else what happened."""

    accepted: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    unknown: dict[str, str] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def until(self, count: int) -> None:
        """Wait until so many messages are accepted."""
        while len(self.accepted) < count:
            self.changed.clear()
            await self.changed.wait()


class _Refused(Exception):
    """The server refused; the text is its reply."""


class Client:
    """A client of the server at `address` (HOST:PORT), which writes into `log`."""

    def __init__(self, address: str, log: SendLog) -> None:
        self._host, _, port = address.rpartition(":")
        self._port, self.log = int(port), log
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter | None = None

    async def send(self, samples: Iterable[Sample]) -> None:
        """Send these, one after the other.  After a 421 or a lost connection the rest counts as refused."""
        waiting = list(samples)
        while waiting:
            sample = waiting.pop(0)
            reply, dot = "the connection was closed", False
            try:
                reply = await self._transact(sample)
                self.log.accepted[sample.message_id] = reply
                self.log.changed.set()
                continue
            except _Refused as refusal:
                reply = str(refusal)
                self.log.refused[sample.message_id] = reply
                if not reply.startswith("421"):
                    continue
            except _AfterDot:
                dot = True
                self.log.unknown[sample.message_id] = "the connection was lost after the final dot"
            except OSError as error:
                reply = f"the connection was lost: {error}"
                self.log.refused[sample.message_id] = reply
            if not dot:
                self.log.refused |= {rest.message_id: reply for rest in waiting}
            break
        if self._writer is not None:
            self._writer.close()

    async def _transact(self, sample: Sample) -> str:
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
            await self._reply()
            await self._command(b"EHLO client.example.org")
        more = " SMTPUTF8" * sample.smtputf8 + " BODY=8BITMIME" * (sample.eight_bit or sample.smtputf8)
        await self._command(f"MAIL FROM:<{sample.sender}>{more}".encode())
        for recipient in sample.recipients:
            await self._command(f"RCPT TO:<{recipient}>".encode())
        await self._command(b"DATA")
        writer = self._writer
        writer.write(dot_stuffed(sample.content))
        await writer.drain()
        try:
            return await self._reply()
        except OSError as error:
            raise _AfterDot from error

    async def _command(self, line: bytes) -> str:
        assert self._writer is not None
        self._writer.write(line + b"\r\n")
        return await self._reply()

    async def _reply(self) -> str:
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
    """The final dot was sent, and no reply came."""
