"""The two ports: the replies to good clients, and that 250 means durable.  Bad clients are in `test_abuse.py`."""

from __future__ import annotations

import asyncio
import socket
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest

from fsm.mail.demo.samples import SAMPLES, Sample, large
from fsm.mail.demo.sink import SmtpSink
from fsm.mail.errors import MaildirError
from fsm.store import Plan
from tests.mail.sink import HANG_KEPT, Faulty
from tests.mail.support import Client, counted, run, serving, texts, until

GOOD = b"Subject: x\r\n\r\nhello\r\n"


# ------------------------------------------------------------------------------------------------- good clients


@pytest.mark.parametrize("lmtp", [False, True], ids=["smtp", "lmtp"])
def test_each_kind_of_message_is_in_the_inbox_when_it_is_answered_250(lmtp: bool, tmp_path: Path) -> None:
    async def work() -> None:
        async with serving(tmp_path, lmtp=lmtp) as server, await Client.at(
            server.addresses["inbound"], f"{'LHLO' if lmtp else 'EHLO'} client.example.org"
        ) as client:
            for number, sample in enumerate([*SAMPLES, large(1_000_000, 1)], 1):
                assert (await client.send(sample)).startswith("250 2.0.0 stored as "), sample.name
                for _ in sample.recipients[1:] if lmtp else ():
                    assert (await client.reply()).startswith("250 2.0.0 stored as ")  # LMTP: one for each recipient
                assert len(texts(server)) == number
                assert server.store.counters["received"] == number
                stored = texts(server)[-1]
                assert stored.endswith(sample.arrives.replace(b"\r\n", b"\n"))
                head = stored.removesuffix(sample.arrives.replace(b"\r\n", b"\n")).decode()
                assert head.startswith(f"Return-Path: <{sample.sender}>\nReceived: from client.example.org ([127.0.0.1])\n")
                assert f"with {'UTF8' if sample.smtputf8 else '' if lmtp else 'E'}{'LMTP' if lmtp else 'SMTP'} id " in head

    run(work())


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_each_kind_of_message_goes_through_from_submission_to_the_sink(sample: Sample, tmp_path: Path) -> None:
    async def work() -> None:
        async with SmtpSink() as sink, serving(tmp_path, sink=sink) as server:
            async with await Client.at(server.addresses["submission"]) as client:
                answer = await client.send(sample)
                assert answer.startswith("250 2.0.0 queued as ")
            await sink.until(1)
            (message,) = sink.delivered
            assert (message.sender, message.recipients) == (sample.sender, sample.recipients)
            head = message.content.removesuffix(sample.arrives)
            protocol = b"UTF8SMTP" if sample.smtputf8 else b"ESMTP"
            assert head.startswith(b"Received: from client.example.org ([127.0.0.1])\r\n\tby mail.example.org with %b id %b;\r\n" % (protocol, answer.split()[-1].encode()))

    run(work())


def test_a_submission_is_in_the_queue_when_it_is_answered_250(tmp_path: Path) -> None:
    async def work() -> None:
        async with serving(tmp_path) as server, await Client.at(server.addresses["submission"]) as client:
            for sample in SAMPLES:
                answer = await client.send(sample)
                assert answer.split()[-1] in [message.id for message in await server.store.messages("ready")]

    run(work())


def test_commands_may_be_sent_all_at_once(tmp_path: Path) -> None:
    async def work() -> None:
        async with serving(tmp_path) as server, await Client.at(server.addresses["inbound"], None) as client:
            assert "250-PIPELINING" in await client.say("EHLO me")
            one = b"MAIL FROM:<a@b.c>\r\nRCPT TO:<d@e.f>\r\nDATA\r\n"
            await client.write(one)
            assert [(await client.reply())[:3] for _ in range(3)] == ["250", "250", "354"]
            await client.write(GOOD + b".\r\n" + one)
            assert [(await client.reply())[:3] for _ in range(4)] == ["250", "250", "250", "354"]
            await client.write(GOOD + b".\r\nQUIT\r\n")
            assert [(await client.reply())[:3] for _ in range(2)] == ["250", "221"]
            assert len(texts(server)) == 2

    run(work())


def test_a_transaction_can_be_given_up_without_a_trace(tmp_path: Path) -> None:
    async def work() -> None:
        async with serving(tmp_path) as server, await Client.at(server.addresses["inbound"]) as client:
            assert (await client.say("MAIL FROM:<a@b.c>")).startswith("250")
            assert (await client.say("RSET")).startswith("250")
            assert (await client.say("RCPT TO:<a@b.c>")).startswith("503")
            assert (await client.say("QUIT")).startswith("221")
            assert await client.rest() == ""
            assert server.store.counters["refused_inbound"] == 0

    run(work())


# ------------------------------------------------------------------------------------------ clients that hang up


@pytest.mark.parametrize("rudely", [False, True])
@pytest.mark.parametrize("sent", [b"", b"Subject: x\r\n", GOOD, GOOD + b".\r", GOOD + b".\r\nx"[:2]])
def test_a_client_that_hangs_up_before_the_final_dot_keeps_its_message(sent: bytes, rudely: bool, tmp_path: Path) -> None:
    async def work() -> None:
        async with serving(tmp_path) as server:
            for port in ("inbound", "submission"):
                client = await Client.at(server.addresses[port])
                await client.begin()
                await client.write(sent)
                client.hang_up(rudely=rudely)
            now = await until(server, counted(refused_inbound=1))
            assert (now.inbound, now.counters["received"], now.counters["submitted"]) == (0, 0, 0)
            assert texts(server) == []
            assert list((server.inbox.folder / "tmp").iterdir()) == []

    run(work())


def test_a_client_that_hangs_up_after_its_final_dot_has_its_message_stored(tmp_path: Path) -> None:
    async def work() -> None:
        async with serving(tmp_path) as server:
            for port in ("inbound", "submission"):
                client = await Client.at(server.addresses[port])
                await client.begin()
                client.writer.write(GOOD + b".\r\n")  # the last words and the end of the stream arrive together
                client.hang_up()
            await until(server, counted(received=1, submitted=1))
            assert len(texts(server)) == 1

    run(work())


def test_a_client_that_is_cut_off_while_its_message_is_being_stored_changes_nothing(tmp_path: Path) -> None:
    async def work() -> None:
        async with serving(tmp_path) as server:
            storing, may, store = threading.Event(), threading.Event(), server.inbox.store

            def slowly(content: bytes, *, name: str | None = None, id: str = "") -> str:
                storing.set()
                may.wait(120)
                return store(content, name=name, id=id)

            server.inbox.store = slowly  # type: ignore[method-assign]
            client = await Client.at(server.addresses["inbound"])
            await client.begin()
            (session,) = server.ports["inbound"].sessions
            client.writer.write(GOOD + b".\r\n")
            await asyncio.to_thread(storing.wait)
            client.hang_up(rudely=True)
            await session.gone
            assert len(server.store.blockers()) == 1
            may.set()
            now = await until(server, counted(received=1))
            assert (now.inbound, len(texts(server))) == (0, 1)

    run(work())


def test_a_client_that_is_cut_off_while_its_message_is_being_submitted_changes_nothing(tmp_path: Path) -> None:
    async def work() -> None:
        async with serving(tmp_path) as server:
            submitting, store = asyncio.Event(), server.store.submit

            async def submit(*args: Any, **options: Any) -> str:
                submitting.set()
                return await store(*args, **options)

            server.store.submit = submit  # type: ignore[method-assign]
            lock = sqlite3.connect(server.config.folder / "outbox.db", isolation_level=None)
            lock.execute("BEGIN IMMEDIATE")  # nothing is decided before this ends
            client = await Client.at(server.addresses["submission"])
            await client.begin()
            (session,) = server.ports["submission"].sessions
            client.writer.write(GOOD + b".\r\n")
            await submitting.wait()
            client.hang_up(rudely=True)
            await session.gone
            lock.rollback()
            lock.close()
            await until(server, counted(submitted=1))
            assert len(await server.store.messages("ready")) == 1

    run(work())


def test_a_client_that_only_stops_sending_still_gets_its_answer(tmp_path: Path) -> None:
    async def work() -> None:
        async with serving(tmp_path) as server:
            for port in ("inbound", "submission"):
                async with await Client.at(server.addresses[port]) as client:
                    await client.write(b"MAIL FROM:<a@b.c>\r\nRCPT TO:<d@e.f>\r\nDATA\r\n" + GOOD + b".\r\n")
                    client.writer.write_eof()
                    assert [line[:3] for line in (await client.rest()).splitlines()] == ["250", "250", "354", "250"]

    run(work())


# -------------------------------------------------------------------------------------------- trouble of our own


@pytest.mark.parametrize(("full", "reply"), [(True, "452 4.3.1"), (False, "451 4.3.0")])
def test_an_inbox_in_trouble_keeps_the_message_with_its_source(full: bool, reply: str, tmp_path: Path) -> None:
    async def work() -> None:
        async with serving(tmp_path) as server, await Client.at(server.addresses["inbound"]) as client:
            if full:
                def store(content: bytes, *, name: str | None = None, id: str = "") -> str:  # the real one is in test_maildir.py
                    raise MaildirError("no room", full=True)

                server.inbox.store = store  # type: ignore[method-assign]
            else:
                new = server.inbox.folder / "new"
                new.rmdir()
                new.touch()
            await client.begin()
            assert (await client.end()).startswith(reply)
            assert (await client.say("NOOP")).startswith("250")
            await until(server, counted(refused_inbound=1))
            assert server.store.blockers() == ()

    run(work())


# ------------------------------------------------------------------------------------------------ while draining


def test_while_draining_what_begins_is_told_421_and_what_has_begun_is_finished(tmp_path: Path) -> None:
    async def work() -> None:
        plan = Plan.parse("NO_WAIT 60s")
        async with Faulty({"dot": HANG_KEPT}) as sink, serving(tmp_path, sink=sink, plan=plan) as server:
            inbound, submission = server.addresses["inbound"], server.addresses["submission"]
            coming, idle, waiting, sending = [await Client.at(a) for a in (inbound, inbound, submission, submission)]
            await coming.begin()
            await waiting.say("MAIL FROM:<a@b.c>")
            await sending.begin()
            await server.store.submit(b"\r\nfirst", "a@example.org", ["b@example.net"])
            await sink.until_at("dot")
            server.close()
            await until(server, lambda now: now.state == "draining")
            for address in (inbound, submission):
                assert (await Client.at(address, None)).greeting.startswith("421 4.3.2")
            assert (await waiting.say("RCPT TO:<d@e.f>")).startswith("421 4.3.2")
            assert await waiting.rest() == ""
            assert (await sending.end()).startswith("421 4.3.2")
            late = await Client.at(inbound, None)
            assert late.greeting.startswith("421 4.3.2")
            assert (await coming.end()).startswith("250 2.0.0 stored as ")
            assert (await coming.say("MAIL FROM:<a@b.c>")).startswith("421 4.3.2")
            assert server.store.state == "draining"
            sink.answer_all("dot")
            outcome = await server.served()
            assert outcome
            assert (await idle.rest()).startswith("421 4.3.2")
            assert (len(texts(server)), len(sink.delivered), outcome.left) == (1, 1, ())
            host, _, port = inbound.rpartition(":")
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((host, int(port)))

    run(work())


def test_the_last_answer_is_given_before_the_session_ends(tmp_path: Path) -> None:
    async def work() -> None:
        async with serving(tmp_path, plan=Plan.parse("NO_WAIT 60s")) as server:
            clients = [await Client.at(server.addresses["inbound"]) for _ in range(20)]
            for client in clients:
                await client.begin()
            server.close()
            await until(server, lambda now: now.state == "draining")
            for client in clients:
                await client.write(GOOD + b".\r\n")
            for client in clients:
                assert (await client.reply()).startswith("250 2.0.0")
                assert (await client.rest()).startswith("421 4.3.2")
            assert await server.served()
            assert len(texts(server)) == 20

    run(work())


def test_the_cancel_step_tells_the_client_and_its_source_keeps_the_message(tmp_path: Path) -> None:
    async def work() -> None:
        async with serving(tmp_path, plan=Plan.parse("ORDERLY 0s -> cancel 60s")) as server:
            client = await Client.at(server.addresses["inbound"])
            await client.begin()
            await client.write(b"Subject: never ends\r\n")
            server.close()
            assert (await client.rest()).startswith("421 4.3.2")
            outcome = await server.served()
            assert outcome
            assert (texts(server), server.store.counters["stopped"]) == ([], 1)

    run(work())
