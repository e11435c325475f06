"""What the libraries lose when they are closed in the obvious way, each beside the same scene here, which loses nothing.

The naive half asserts the loss: should a later version of a library no longer lose it, these tests say so.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
from pathlib import Path

import aiosmtplib
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP

from fsm.store import Plan
from tests.mail.sink import HANG_KEPT, Faulty
from tests.mail.support import Client, counted, run, serving, texts, until

GOOD = b"Subject: x\r\n\r\nhello\r\n"


class _Slow:
    """The handler of the examples: it takes a while until the message is stored."""

    def __init__(self) -> None:
        self.begun, self.stored = threading.Event(), list[bytes]()
        self.may, self.cancelled = asyncio.Event(), asyncio.Event()

    async def handle_DATA(self, server: object, session: object, envelope: object) -> str:  # noqa: N802
        self.begun.set()
        try:
            await self.may.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        self.stored.append(envelope.content)  # type: ignore[attr-defined]
        return "250 OK"


# ---------------------------------------------------------------------------- stopping in the middle of a message


def test_naive_controller_stop_cuts_a_message_and_says_nothing() -> None:
    handler = _Slow()
    controller = Controller(handler, hostname="127.0.0.1", port=0, loop=asyncio.new_event_loop())

    def there() -> tuple[str, int]:
        assert controller.server is not None
        return controller.server.sockets[0].getsockname()  # type: ignore[attr-defined, no-any-return]

    # it tries whether it can be reached, and would try port 0
    controller._trigger_server = lambda: socket.create_connection(there()).close()  # type: ignore[method-assign]
    controller.start()
    with socket.create_connection(there()) as client, client.makefile("rb") as replies:
        for command in (b"EHLO x\r\n", b"MAIL FROM:<a@b.c>\r\n", b"RCPT TO:<d@e.f>\r\n", b"DATA\r\n"):
            client.sendall(command)
        client.sendall(GOOD + b".\r\n")
        handler.begun.wait()
        controller.stop()
        last = replies.read().splitlines()[-1]
    assert last.startswith(b"354")  # no answer to the final dot, and no 421
    assert handler.stored == []


def test_here_a_message_in_the_middle_is_stored_and_answered(tmp_path: Path) -> None:
    async def work() -> None:
        async with serving(tmp_path, plan=Plan.parse("ORDERLY 60s")) as server:
            begun, may, store = threading.Event(), threading.Event(), server.inbox.store

            def slowly(content: bytes, *, name: str | None = None, id: str = "") -> str:
                begun.set()
                may.wait(120)
                return store(content, name=name, id=id)

            server.inbox.store = slowly  # type: ignore[method-assign]
            async with await Client.at(server.addresses["inbound"]) as client:
                await client.begin()
                await client.write(GOOD + b".\r\n")
                await asyncio.to_thread(begun.wait)
                server.close()
                await until(server, lambda now: now.state == "draining")
                may.set()
                assert (await client.reply()).startswith("250 2.0.0 stored")
                assert (await client.rest()).startswith("421 4.3.2")
            assert await server.served()
            assert len(texts(server)) == 1

    run(work())


# ------------------------------------------------------------------------------- cancelled after the final dot


def test_naive_cancelling_a_send_after_the_final_dot_says_cancelled_though_it_was_delivered() -> None:
    async def work() -> None:
        async with Faulty({"dot": HANG_KEPT}) as sink:
            async with asyncio.timeout(120):
                client = aiosmtplib.SMTP(hostname="127.0.0.1", port=sink.port, start_tls=False)
                await client.connect()
                sending = asyncio.create_task(client.sendmail("a@b.c", ["d@e.f"], GOOD))
                await sink.until(1)
                sending.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await sending
                client.close()
            assert len(sink.delivered) == 1  # and nothing tells the caller

    run(work())


def test_here_it_is_uncertain_and_counted(tmp_path: Path) -> None:
    async def work() -> None:
        async with Faulty({"dot": HANG_KEPT}) as sink, serving(tmp_path, sink=sink, plan=Plan.parse("cancel 20s")) as server:
            id = await server.store.submit(GOOD, "a@b.c", ["d@e.f"])
            await sink.until(1)
            server.close()
            outcome = await server.served()
            assert [message.id for message in outcome.uncertain] == [id]
            assert "may have arrived" in str(outcome)

    run(work())


# ----------------------------------------------------------------------------------- waiting for a server to close


def test_naive_wait_closed_waits_for_clients_or_does_not_by_the_version_of_python() -> None:
    async def work() -> None:
        accepted, may = asyncio.get_running_loop().create_future(), asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            accepted.set_result(asyncio.current_task())
            await may.wait()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        serving = await accepted
        server.close()
        closed = asyncio.create_task(server.wait_closed())
        for _ in range(10):
            await asyncio.sleep(0)
        assert closed.done() == (sys.version_info < (3, 12))
        may.set()
        await asyncio.wait([serving, closed])
        writer.close()

    run(work())


def test_here_closing_waits_for_what_is_under_way_and_for_nobody_who_idles(tmp_path: Path) -> None:
    async def work() -> None:
        async with serving(tmp_path, plan=Plan.parse("NO_WAIT 60s")) as server:
            idle, busy = [await Client.at(server.addresses["inbound"]) for _ in range(2)]
            await busy.begin()
            server.close()
            await until(server, lambda now: now.state == "draining")
            assert (await busy.end()).startswith("250")
            assert await server.served()
            assert (await idle.rest()).startswith("421")

    run(work())


# ----------------------------------------------------------------------- a client that goes after its final dot


def test_naive_a_client_that_hangs_up_after_its_final_dot_cancels_the_storing() -> None:
    async def work() -> None:
        handler, loop = _Slow(), asyncio.get_running_loop()
        server = await loop.create_server(lambda: SMTP(handler, hostname="x", loop=loop), "127.0.0.1", 0)
        client = await Client.at("{}:{}".format(*server.sockets[0].getsockname()))
        await client.begin()
        await client.write(GOOD + b".\r\n")
        await asyncio.to_thread(handler.begun.wait)
        client.hang_up()
        await handler.cancelled.wait()
        handler.may.set()
        server.close()
        assert handler.stored == []

    run(work())


@pytest.mark.parametrize("rudely", [False, True])
def test_here_it_is_stored(rudely: bool, tmp_path: Path) -> None:
    async def work() -> None:
        async with serving(tmp_path) as server:
            client = await Client.at(server.addresses["inbound"])
            await client.begin()
            await client.write(GOOD + b".\r\n")
            if rudely:
                assert (await client.reply()).startswith("250")
            client.hang_up(rudely=rudely)
            await until(server, counted(received=1))
            assert len(texts(server)) == 1

    run(work())
