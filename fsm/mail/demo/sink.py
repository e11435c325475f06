"""An SMTP server that accepts everything: the smarthost of the tour, the tests and the benchmark, over real sockets.

It keeps the sender, the recipients, the Message-ID, the content and its digest of each message, and replies at once, or
`pace` seconds after each final dot.  `react` is called at every stage to choose the reply, a refusal, a stall or a lost
connection; by default all is well.  It speaks SMTP as far as a client of good will needs it, and checks nothing.
"""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from types import TracebackType
from typing import Final, Literal, Self, cast

__all__ = ["Delivered", "Exchange", "Reaction", "SmtpSink", "Stage"]

Stage = Literal["connect", "ehlo", "mail", "rcpt", "data", "dot", "rset", "quit"]

MESSAGE_ID: Final = re.compile(rb"^message-id:[ \t]*(?:\r\n[ \t]+)?(\S+)", re.IGNORECASE | re.MULTILINE)
REPLIES: Final[dict[Stage, str]] = {
    "connect": "220 sink",
    "ehlo": "250-sink\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 PIPELINING",
    "mail": "250 OK",
    "rcpt": "250 OK",
    "data": "354 go on",
    "dot": "250 taken",
    "rset": "250 OK",
    "quit": "221 bye",
}
STAGES: Final[dict[bytes, Stage]] = {
    b"EHLO": "ehlo", b"HELO": "ehlo", b"LHLO": "ehlo", b"MAIL": "mail", b"RCPT": "rcpt", b"DATA": "data",
    b"RSET": "rset", b"NOOP": "rset", b"QUIT": "quit",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Delivered:
    """A message that was delivered.  `digest` is the SHA-256 of its content."""

    message_id: str
    sender: str
    recipients: tuple[str, ...]
    digest: str
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Exchange:
    """A stage of a conversation: the numbers of its connection and of its message there, from 1, and the command."""

    stage: Stage
    connection: int
    message: int
    command: str


@dataclass(frozen=True, slots=True)
class Reaction:
    """What to do at a stage: send `reply` (None: no reply), then perhaps close or reset the connection.

    `keep` decides whether a message counts as delivered after its final dot; by default it does if the reply is good.
    """

    reply: str | None
    end: Literal["", "close", "reset"] = ""
    keep: bool | None = None


class SmtpSink:
    """The server.  `async with` opens it on the loopback, at `port` or a free one; `address` is HOST:PORT."""

    def __init__(
        self, *, port: int = 0, pace: float = 0.0, react: Callable[[Exchange], Reaction | str | None] | None = None
    ) -> None:
        self.port, self.pace = port, pace
        self.delivered: list[Delivered] = []
        self.connections = 0
        self.conversations: list[Conversation] = []
        if react is not None:
            self.react = react  # type: ignore[assignment,method-assign]
        self._server: asyncio.Server | None = None
        self._arrivals: list[tuple[int, asyncio.Future[None]]] = []

    def react(self, exchange: Exchange) -> Reaction | str | None:
        """Return what to do at this stage: a Reaction, a reply, or None to go on."""
        return None

    def keep(self, message: Delivered) -> None:
        """Keep a message that was delivered."""
        self.delivered.append(message)
        arrived = [one for one in self._arrivals if len(self.delivered) >= one[0]]
        for one in arrived:
            self._arrivals.remove(one)
            if not one[1].done():
                one[1].set_result(None)

    async def until(self, count: int) -> None:
        """Wait until so many messages have been delivered in all."""
        if len(self.delivered) < count:
            future = asyncio.get_running_loop().create_future()
            self._arrivals.append((count, future))
            await future

    @property
    def message_ids(self) -> list[str]:
        """The Message-IDs of what was delivered, in the order of arrival."""
        return [message.message_id for message in self.delivered]

    @property
    def address(self) -> str:
        """HOST:PORT."""
        return f"127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Conversation(self), "127.0.0.1", self.port, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for conversation in list(self.conversations):
            conversation.transport.abort()

    def answer_all(self, stage: Stage) -> None:
        """Send the good reply of this stage on every connection, such as one that was held back."""
        for conversation in list(self.conversations):
            conversation.answer(Reaction(REPLIES[stage]))

    def hang_up(self) -> None:
        """Close every connection, as a server does with idle ones."""
        for conversation in list(self.conversations):
            conversation.transport.close()


class Conversation(asyncio.Protocol):
    """One connection."""

    transport: asyncio.Transport

    def __init__(self, sink: SmtpSink) -> None:
        self.sink = sink
        self.buffer = bytearray()
        self.number = self.message = 0
        self.in_data = self.mute = False
        self.searched = 0
        self.sender, self.recipients = "", list[str]()
        self.begun = False
        self.replies: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet a client."""
        transport = cast("asyncio.Transport", transport)  # uvloop has its own
        self.transport = transport
        self.sink.conversations.append(self)
        self.sink.connections += 1
        self.number = self.sink.connections
        self._react("connect", "")
        self._flush()

    def connection_lost(self, error: Exception | None) -> None:
        """Forget a client that has gone."""
        self.sink.conversations.remove(self)

    def data_received(self, data: bytes) -> None:
        """Read commands, or pieces of a message."""
        self.buffer += data
        while not self.mute and (self._dot() if self.in_data else self._command()):
            pass
        self._flush()

    def _command(self) -> bool:
        end = self.buffer.find(b"\n")
        if end < 0:
            return False
        command = bytes(self.buffer[:end]).rstrip(b"\r")
        del self.buffer[: end + 1]
        stage = STAGES.get(command[:4].upper())
        text = command.decode("utf-8", "replace")
        if stage is None:
            self._write("500 what?")
            return True
        if stage == "mail":
            self.message += 1
            self.sender, self.recipients, self.begun = _path(text), [], False
        went_well = self._react(stage, text)
        if stage in ("mail", "rset"):
            self.begun = went_well and stage == "mail"
        if stage == "rcpt" and went_well:
            self.recipients.append(_path(text))
        if stage == "data" and went_well:
            self.in_data, self.searched = True, 0
            self.buffer[:0] = b"\r\n"  # so that a dot in the first line is like any other
        return True

    def _dot(self) -> bool:
        end = self.buffer.find(b"\r\n.\r\n", max(0, self.searched - 4))
        if end < 0:
            self.searched = len(self.buffer)
            return False
        content = bytes(self.buffer[2 : end + 2] if end else b"").replace(b"\r\n.", b"\r\n")
        content = content[1:] if content.startswith(b".") else content
        del self.buffer[: end + 5]
        self.in_data = False
        self._react("dot", "", content)
        return True

    def answer(self, reaction: Reaction) -> None:
        """React now, whatever the client does."""
        self._answer(reaction)
        self._flush()

    def _react(self, stage: Stage, command: str, content: bytes = b"") -> bool:
        """React at this stage; return whether the reply was good."""
        reaction = self.sink.react(Exchange(stage, self.number, self.message, command))
        if not isinstance(reaction, Reaction):
            reply = reaction or REPLIES[stage]
            asked_too_early = not self.begun if stage == "rcpt" else stage in ("data", "dot") and not self.recipients
            if reaction is None and asked_too_early:
                reply = "503 not now"
            reaction = Reaction(reply, "close" if stage == "quit" else "")
        went_well = reaction.reply is not None and reaction.reply[0] in "23"
        if stage == "dot" and (went_well if reaction.keep is None else reaction.keep):
            found = MESSAGE_ID.search(content)
            name = found[1].decode("ascii", "replace") if found else ""
            digest = sha256(content).hexdigest()
            self.sink.keep(Delivered(name, self.sender, tuple(self.recipients), digest, content))
        if stage == "dot" and self.sink.pace and reaction.reply is not None:
            self.mute = True
            asyncio.get_running_loop().call_later(self.sink.pace, self.answer, reaction)
        else:
            self._answer(reaction)
        return went_well

    def _answer(self, reaction: Reaction) -> None:
        self.mute = reaction.reply is None or bool(reaction.end)
        if reaction.reply is not None:
            self._write(reaction.reply)
        if reaction.end:
            self._flush()
        if reaction.end == "close":
            self.transport.close()
        elif reaction.end == "reset":
            link = self.transport.get_extra_info("socket")
            link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # RST, not FIN
            self.transport.abort()
        elif self.buffer and not self.mute:
            asyncio.get_running_loop().call_soon(self.data_received, b"")

    def _write(self, reply: str) -> None:
        self.replies.append(f"{reply}\r\n".encode())

    def _flush(self) -> None:
        """Send the replies to what came in one piece in one piece."""
        if self.replies and not self.transport.is_closing():
            self.transport.write(b"".join(self.replies))
        self.replies.clear()


def _path(command: str) -> str:
    found = re.search(r"<([^>]*)>", command)
    return found[1] if found else ""
