"""The link to the smarthost on real sockets: pieces, silence, TLS, and that waiting ends."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fsm.mail.config import Address, Security, Smarthost
from fsm.mail.errors import LinkLost
from fsm.mail.link import Link
from fsm.mail.smtp.client_dialogue import Transaction
from fsm.testing import loop as simulated
from tests.mail.support import run

PEM = Path(__file__).with_name("localhost.pem")
OPENING = [b"220 x\r\n", b"250-x\r\n250 PIPELINING\r\n"]


class Other:
    """The other end: it says what the test says."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def say(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()

    async def open(self) -> None:
        for piece in OPENING:
            await self.say(piece)
            if piece is OPENING[0]:
                await self.reader.readline()


@asynccontextmanager
async def linked(*, security: Security = "none", ready: bool = True) -> AsyncIterator[tuple[Link, Other, asyncio.Task[None]]]:
    """A link, the other end, and the task that opens it, which is done if it is `ready`."""
    came: asyncio.Future[Other] = asyncio.get_running_loop().create_future()
    server = await asyncio.start_server(lambda r, w: came.set_result(Other(r, w)), "127.0.0.1", 0, limit=1 << 24)
    address = Address("localhost", server.sockets[0].getsockname()[1], "127.0.0.1")
    link = Link(Smarthost(address, security, timeout=30.0), ssl.create_default_context(cafile=str(PEM)), "me")
    opening = asyncio.create_task(link.open())
    other = await came
    try:
        if ready:
            await other.open()
            await opening
        yield link, other, opening
    finally:
        link.abort("the test is over")
        await asyncio.gather(opening, return_exceptions=True)
        other.writer.close()
        server.close()


def transaction() -> Transaction:
    return Transaction(b"MAIL FROM:<a>", [b"RCPT TO:<b>"])


def test_an_envelope_is_sent_in_one_piece_and_the_content_when_it_is_asked_for() -> None:
    async def work() -> None:
        async with linked() as (link, other, _):
            stages = list[str]()
            message = transaction()
            sending = asyncio.create_task(link.send(message, b"hello", stages.append, lambda: stages.append("dot soon")))
            assert await other.reader.readexactly(34) == b"MAIL FROM:<a>\r\nRCPT TO:<b>\r\nDATA\r\n"
            await other.say(b"250 a\r\n25", b"0-b\r\n250 c\r\n")
            assert not message.started
            await other.say(b"354 go\r\n")
            assert await other.reader.readexactly(10) == b"hello\r\n.\r\n"
            await other.say(b"250 done\r\n")
            await sending
            assert [str(answer) for answer in message.answers] == ["250 done"]
            assert (stages[0], stages[-1]) == ("mail", "dot soon")
            assert link.usable

    run(work())


@pytest.mark.parametrize("at", ["greeting", "envelope", "content", "dot", "half a reply"])
def test_silence_ends_it_and_says_where(at: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In simulated time: both ends are in one loop, so it is silent as soon as nothing is ready there."""

    async def work() -> None:
        monkeypatch.setattr("fsm.mail.link.DOT_FACTOR", 1)
        async with linked(ready=False) as (link, other, opening):
            if at == "greeting":
                with pytest.raises(LinkLost, match="no reply came in time"):
                    await opening
                assert "no reply came in time" in link.dialogue.problem
                return
            await other.open()
            await opening
            message = transaction()
            sending = asyncio.create_task(link.send(message, b"x" * (50_000_000 if at == "content" else 10)))
            if at != "envelope":
                await other.say(b"250 a\r\n250 b\r\n" + (b"250-" * (at == "half a reply") or b"354 c\r\n"))
            await sending
            assert (link.dialogue.closed, message.answers, message.committed) == (True, [None], at == "dot")
            assert "no reply came in time" in link.dialogue.problem

    simulated.run(work(), patience=0.0)


def test_cancelling_closes_the_connection() -> None:
    async def work() -> None:
        async with linked() as (link, other, _):
            sending = asyncio.create_task(link.send(transaction(), b"x"))
            await other.reader.readline()
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
            assert not link.usable
            await other.reader.read()

    run(work())


def test_a_reply_nobody_asked_for_closes_it() -> None:
    async def work() -> None:
        async with linked() as (link, other, _):
            await other.say(b"421 idle\r\n")
            assert await other.reader.read() == b""
            assert not link.usable

    run(work())


@pytest.mark.parametrize("answer", [b"454 no\r\n", b"220 go\r\n250 injected\r\n", b"220 go\r\nnonsense"])
def test_tls_that_does_not_come_about_sends_nothing(answer: bytes) -> None:
    async def work() -> None:
        async with linked(security="starttls", ready=False) as (link, other, _):
            await other.say(b"220 x\r\n")
            await other.reader.readline()
            await other.say(b"250-x\r\n250 STARTTLS\r\n")
            assert await other.reader.readline() == b"STARTTLS\r\n"
            await other.say(answer)
            if answer.endswith(b"nonsense"):
                other.writer.write_eof()
            rest = await other.reader.read()
            assert b"MAIL" not in rest
            assert not link.usable

    run(work())


def test_a_name_that_cannot_be_resolved_is_one_sentence() -> None:
    async def work() -> None:
        link = Link(Smarthost(Address("nowhere.invalid", 25, "")), None, "me")
        with pytest.raises(LinkLost, match=r"cannot connect to nowhere.invalid:25: "):
            await link.open()

    run(work())
