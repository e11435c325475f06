"""The pipeline: what is sent in one piece, and which reply belongs to what."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from aiosmtplib import SMTPException, SMTPReadTimeoutError, SMTPResponseException, SMTPServerDisconnected

from fsm.mail.pipeline import MAX_REPLY, Pipeline
from tests.mail.support import run


class Other:
    """The other end: what it was sent, in pieces, and a way to say something."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def say(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()


def talk(work: Callable[[Pipeline, Other], Awaitable[None]], *, pipelining: bool = True, timeout: float = 30.0) -> None:
    async def both() -> None:
        came: asyncio.Future[Other] = asyncio.get_running_loop().create_future()
        server = await asyncio.start_server(lambda r, w: came.set_result(Other(r, w)), "127.0.0.1", 0)
        transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, *server.sockets[0].getsockname()[:2])
        assert isinstance(transport, asyncio.Transport)
        pipeline, other = Pipeline(transport, pipelining=pipelining, timeout=timeout), await came
        try:
            await work(pipeline, other)
        finally:
            pipeline.abort()
            other.writer.close()
            server.close()

    run(both())


@pytest.mark.parametrize("pieces", [
    [b"250 a\r\n250-b\r\n250 c\r\n354 d\r\n"], [b"250 a\r\n25", b"0-b\r\n250 c", b"\r\n354 d\r\n"],
    [bytes([one]) for one in b"250 a\r\n250-b\r\n250 c\r\n354 d\r\n"],
], ids=["at once", "in pieces", "by bytes"])  # fmt: skip
def test_a_group_is_said_at_once_and_its_replies_are_read_in_order(pieces: list[bytes]) -> None:
    async def work(pipeline: Pipeline, other: Other) -> None:
        pipeline.send(b"MAIL FROM:<a>", b"RCPT TO:<b>", b"DATA")
        sent = await other.reader.readexactly(len(b"MAIL FROM:<a>\r\nRCPT TO:<b>\r\nDATA\r\n"))
        assert sent == b"MAIL FROM:<a>\r\nRCPT TO:<b>\r\nDATA\r\n"
        await other.say(*pieces)
        assert [tuple(await pipeline.reply()) for _ in range(3)] == [(250, "a"), (250, "b\nc"), (354, "d")]

    talk(work)


def test_without_pipelining_each_is_said_when_the_one_before_is_answered() -> None:
    async def work(pipeline: Pipeline, other: Other) -> None:
        pipeline.send(b"MAIL", b"RCPT", b"DATA")
        for number, command in enumerate((b"MAIL\r\n", b"RCPT\r\n")):
            waiting = asyncio.ensure_future(pipeline.reply())
            assert await other.reader.readuntil(b"\n") == command
            await other.say(b"25%d x\r\n" % number)
            assert (await waiting).code == 250 + number
        assert pipeline.discard()
        pipeline.send(b"RSET")
        waiting = asyncio.ensure_future(pipeline.reply())
        assert await other.reader.readuntil(b"\n") == b"RSET\r\n"  # and no DATA before it
        waiting.cancel()

    talk(work, pipelining=False)


def test_what_was_said_is_still_to_be_answered() -> None:
    async def work(pipeline: Pipeline, other: Other) -> None:
        assert pipeline.discard()
        pipeline.send(b"MAIL", b"DATA")
        assert not pipeline.discard()
        await other.say(b"250 a\r\n250 b\r\n")
        await pipeline.reply()
        assert not pipeline.discard()
        await pipeline.reply()
        assert pipeline.discard()

    talk(work)


@pytest.mark.parametrize(("sent", "error"), [
    (b"hello there\r\n", SMTPResponseException), (b"250_a\r\n", SMTPResponseException), (b"2\xb20 a\r\n", SMTPResponseException),
    (b"\r\n", SMTPResponseException), (b"250-a\r\n" * (MAX_REPLY // 4), SMTPResponseException), (b"x" * (MAX_REPLY + 1), SMTPResponseException),
    (None, SMTPServerDisconnected), (b"", SMTPReadTimeoutError),
])  # fmt: skip
def test_what_is_no_reply_ends_it_and_the_replies_before_it_stand(sent: bytes | None, error: type[SMTPException]) -> None:
    async def work(pipeline: Pipeline, other: Other) -> None:
        pipeline.send(b"MAIL", b"RCPT", b"DATA")
        await other.say(b"250 a\r\n")
        if sent is None:
            other.writer.close()
        else:
            await other.say(sent)
        assert (await pipeline.reply()).code == 250
        with pytest.raises(error):
            await pipeline.reply()
        assert pipeline.closed
        with pytest.raises(error):
            await pipeline.reply()
        with pytest.raises(SMTPException):
            pipeline.send(b"RSET")

    talk(work, timeout=0.05 if sent == b"" else 30.0)


def test_what_comes_unasked_closes_it() -> None:
    async def work(pipeline: Pipeline, other: Other) -> None:
        await other.say(b"421 idle\r\n")
        assert await other.reader.read() == b""  # closed by us
        assert pipeline.closed

    talk(work)


def test_a_piece_has_left_before_the_next_is_asked_for() -> None:
    async def work(pipeline: Pipeline, other: Other) -> None:
        pipeline.begin_content()
        piece = asyncio.ensure_future(pipeline.send_piece(b"x" * 20_000_000))
        await other.reader.readexactly(1)
        assert not piece.done()
        await other.reader.readexactly(19_999_999)
        await piece
        pipeline.send_last(b".\r\n")
        await other.say(b"250 ok\r\n")
        assert (await pipeline.reply()).code == 250

    talk(work)


def test_a_refusal_may_come_before_the_end_of_the_message() -> None:
    async def work(pipeline: Pipeline, other: Other) -> None:
        pipeline.begin_content()
        await pipeline.send_piece(b"x" * 100)
        await other.say(b"552 too much\r\n")
        await pipeline.send_piece(b"x" * 100)
        pipeline.send_last(b".\r\n")
        assert (await pipeline.reply()).code == 552
        assert not pipeline.closed

    talk(work)
