"""The two ports: what is answered to good clients and to bad ones, and that 250 means durable."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path

import pytest

from fsm.logoff.plan import Plan
from fsm.mail.config import Limits
from fsm.mail.inbox import InboxError
from fsm.mail.samples import SAMPLES, Sample, large
from fsm.mail.sink import Sink
from tests.mail import Client, counted, run, serving, texts, until
from tests.sink import HANG_KEPT, Faulty

GOOD = b"Subject: x\r\n\r\nhello\r\n"
SMALL = Limits(size=64 * 1024, recipients=100)


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
                assert f"with {'LMTP' if lmtp else 'ESMTP'};" in head

    run(work())


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_each_kind_of_message_goes_through_from_submission_to_the_sink(sample: Sample, tmp_path: Path) -> None:
    async def work() -> None:
        async with Sink() as sink, serving(tmp_path, sink=sink) as server:
            async with await Client.at(server.addresses["submission"]) as client:
                assert (await client.send(sample)).startswith("250 2.0.0 queued as ")
            await sink.until(1)
            (message,) = sink.delivered
            assert (message.sender, message.recipients) == (sample.sender, sample.recipients)
            head = message.content.removesuffix(sample.arrives)
            assert head.startswith(b"Received: from client.example.org ([127.0.0.1])\r\n\tby mail.example.org with ESMTP;\r\n")

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

            def slowly(content: bytes, *, name: str | None = None) -> str:
                storing.set()
                may.wait(10)
                return store(content, name=name)

            server.inbox.store = slowly  # type: ignore[method-assign]
            client = await Client.at(server.addresses["inbound"])
            await client.begin()
            (session,) = server._ports[0].sessions
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
            submitting, may, core = asyncio.Event(), threading.Event(), server.store._core
            core.desk.ask(lambda _: may.wait(60))  # nothing is decided before it may
            ask = core.submit

            def submit(content: bytes, sender: str, recipients: Sequence[str]) -> Future[str]:
                submitting.set()
                return ask(content, sender, recipients)

            core.submit = submit  # type: ignore[method-assign]
            client = await Client.at(server.addresses["submission"])
            await client.begin()
            (session,) = server._ports[1].sessions
            client.writer.write(GOOD + b".\r\n")
            await submitting.wait()
            client.hang_up(rudely=True)
            await session.gone
            may.set()
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


# ------------------------------------------------------------------------------------------------------- abuse


@pytest.mark.parametrize("dot", [b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r.\r\n", b"\r\n.\n", b"\r\n.\r", b"\r\r\n.\r\r\n", b"\r\n\0.\r\n"])
@pytest.mark.parametrize("port", ["inbound", "submission"])
def test_nothing_but_cr_lf_dot_cr_lf_ends_a_message(dot: bytes, port: str, tmp_path: Path) -> None:
    smuggled = b"MAIL FROM:<evil@example.org>\r\nRCPT TO:<b@example.net>\r\nDATA\r\nSubject: smuggled\r\n\r\nhello"

    async def work() -> None:
        async with serving(tmp_path) as server, await Client.at(server.addresses[port]) as client:
            await client.begin()
            await client.write(b"Subject: x\r\n\r\nhello" + dot + smuggled + b"\r\n.\r\n")
            assert (await client.reply()).startswith("550 5.6.0 ")
            assert (await client.say("NOOP")).startswith("250")  # one answer, not two: it was one message
            assert (texts(server), await server.store.messages()) == ([], [])

    run(work())


@pytest.mark.parametrize(("content", "reply"), [
    (b"Subject: x\r\n\r\na\0b\r\n", "550 5.6.0 "),
    (b"Subject: x\r\n\r\na\nb\r\n", "550 5.6.0 "),
    (b"Subject: x\r\n\r\na\rb\r\n", "550 5.6.0 "),
    (b"Subject: x\r\n\r\n" + b"x" * 999 + b"\r\n", "250"),
    (b"Subject: x\r\n\r\n" + b"x" * 5000 + b"\r\n", "500 "),
    (b"Subject: x\r\n\r\n" + b"x" * 100_000 + b"\r\n", "500 "),
    (b"Subject: x\r\n\r\n" + b"0123456789\r\n" * 6000, "552 "),
    (b"Received: a\r\n" * 101 + b"\r\nx\r\n", "554 5.4.6 "),
])  # fmt: skip
@pytest.mark.parametrize("lmtp", [False, True], ids=["smtp", "lmtp"])
def test_content_that_is_refused_is_refused_whole(content: bytes, reply: str, lmtp: bool, tmp_path: Path) -> None:
    async def work() -> None:
        async with serving(tmp_path, limits=SMALL, lmtp=lmtp) as server, await Client.at(
            server.addresses["inbound"], "LHLO x" if lmtp else "EHLO x"
        ) as client:
            await client.begin("a@example.org", "b@example.net", "c@example.net")
            await client.write(content + b".\r\n")
            assert (await client.reply()).startswith(reply)
            if lmtp:
                assert (await client.reply()).startswith(reply)
            assert (await client.say("NOOP")).startswith("250")
            good = reply == "250"
            assert len(texts(server)) == good
            now = await until(server, counted(received=good, refused_inbound=not good))
            assert (now.counters["received"], now.counters["refused_inbound"]) == (good, not good)
            await client.begin()
            assert (await client.end()).startswith("250")

    run(work())


@pytest.mark.parametrize(("command", "reply"), [
    ("MAIL FROM:<a@b.c> SIZE=65537", "552"), ("MAIL FROM:<a@b.c> SIZE=65536", "250"), ("MAIL FROM:<a@b.c> SIZE=-1", "501"),
    ("MAIL FROM:<a@b.c> SIZE=" + "9" * 400, "552"), ("MAIL FROM:<a@b.c> BODY=9BIT", "501"), ("MAIL FROM:<a@b.c> X=1", "555"),
    ("MAIL FROM:<>", "250"), ("MAIL FROM:<a b@c>", "250"), ("MAIL FROM:a", "250"), ("MAIL", "501"), ("MAIL FROM", "501"),
    ("MAIL FROM:<" + "a" * 300 + "@b.c>", "553"), ("MAIL FROM:<ä@b.c>", "553"), ("MAIL FROM:<ä@b.c> SMTPUTF8", "250"),
    (b"MAIL FROM:<\xff\xfe@b.c> SMTPUTF8", "553"), (b"MAIL FROM:<a\0@b.c>", "553"), (b"MAIL FROM:<a\r@b.c>", "553"),
    ("MAIL FROM:<a@b.c", "250"), ("MAIL FROM:" + "(" * 400 + "<a@b.c>", "553"),
    ("MAIL FROM:<a@b.c>\x1b[2J", "501"), ("DATA", "503"), ("RCPT TO:<a@b.c>", "503"), ("", "500"), (" ", "500"), (b"\xff\xff", "500"),
    ("MAIL FROM:<" + "a" * 5000 + ">", "500"), ("X" * 100_000, "500"), ("VRFY a\rb", "252"), ("EXPN list", "502"), ("ETRN x", "500"),
    ("AUTH PLAIN AAAA", "538"), ("STARTTLS", "454"), ("HELP", "250"), ("BDAT 10 LAST", "500"), ("\0\0\0", "500"), ("GET / HTTP/1.1", "500"),
])  # fmt: skip
def test_each_odd_command_has_its_answer_and_the_session_goes_on(command: str | bytes, reply: str, tmp_path: Path) -> None:
    async def work() -> None:
        async with serving(tmp_path, limits=SMALL) as server, await Client.at(server.addresses["submission"]) as client:
            answer = await client.say(command)
            assert answer.startswith(reply)
            assert (await client.say("RSET")).startswith("250")
            await client.begin()
            assert (await client.end()).startswith("250")

    run(work())


def test_recipients_are_limited_and_checked(tmp_path: Path) -> None:
    async def work() -> None:
        owners = ("example.net", "me@example.org")
        async with serving(tmp_path, limits=SMALL, owners=owners) as server, await Client.at(server.addresses["inbound"]) as client:
            await client.say("MAIL FROM:<>")
            answers = {"<b@example.net>": "250", "<ME@Example.ORG>": "250", "<you@example.org>": "550", "<>": "553", "<ö@example.net>": "553"}
            for address, reply in answers.items():
                assert (await client.say(f"RCPT TO:{address}")).startswith(reply), address
            for number in range(98):
                assert (await client.say(f"RCPT TO:<{number}@example.net>")).startswith("250")
            assert (await client.say("RCPT TO:<more@example.net>")).startswith("452 4.5.3")
            assert (await client.say("DATA")).startswith("354")
            assert (await client.end()).startswith("250")

    run(work())


@pytest.mark.parametrize("nonsense", ["BOGUS", "RCPT TO:<a@b.c>", ""])
def test_a_client_that_only_makes_errors_is_sent_away(nonsense: str, tmp_path: Path) -> None:
    async def work() -> None:
        async with serving(tmp_path, limits=Limits(errors=7)) as server, await Client.at(server.addresses["submission"]) as client:
            await client.write(f"{nonsense}\r\n".encode() * 50)
            replies = (await client.rest()).splitlines()
            assert 5 <= len(replies) <= 8
            assert replies[-1].startswith("421 4.7.0" if nonsense != "BOGUS" else "502 5.5.1")

    run(work())


def test_a_flood_of_useless_commands_ends(tmp_path: Path) -> None:
    async def work() -> None:
        async with serving(tmp_path) as server, await Client.at(server.addresses["submission"]) as client:
            await client.write(b"HELP\r\n" * 300)
            assert "421 4.7.0" in (await client.rest()).splitlines()[-1]

    run(work())


def test_sessions_are_limited(tmp_path: Path) -> None:
    async def work() -> None:
        async with serving(tmp_path, limits=Limits(sessions=2)) as server:
            address = server.addresses["inbound"]
            first, second = await Client.at(address), await Client.at(address)
            assert (await Client.at(address, None)).greeting.startswith("421 4.3.2 too many connections")
            sessions = list(server._ports[0].sessions)
            await second.say("QUIT")
            await sessions[1].gone
            async with await Client.at(address) as third:
                await third.begin()
                assert (await third.end()).startswith("250")
            first.hang_up()

    run(work())


def test_messages_of_one_peer_are_limited(tmp_path: Path) -> None:
    async def work() -> None:
        async with serving(tmp_path, limits=Limits(rate=2)) as server, await Client.at(server.addresses["submission"]) as client:
            for reply in ("250", "250", "450 4.7.1"):
                assert (await client.say("MAIL FROM:<a@b.c>")).startswith(reply)
                await client.say("RSET")

    run(work())


def test_a_silent_client_is_told_421(tmp_path: Path) -> None:
    async def work() -> None:
        async with serving(tmp_path, limits=Limits(idle=1.0)) as server, await Client.at(server.addresses["inbound"]) as client:
            await client.begin()
            assert (await client.rest()).startswith("421 4.4.2")
            await until(server, counted(refused_inbound=1))

    run(work())


def test_a_thousand_clients_at_once(tmp_path: Path) -> None:
    async def work() -> None:
        async def one(address: str) -> str:
            async with await Client.at(address) as client:
                arrived.append(1)
                if len(arrived) == 1000:
                    everybody.set()
                await everybody.wait()
                await client.begin()
                return await client.end()

        arrived, everybody = list[int](), asyncio.Event()
        async with serving(tmp_path) as server:
            addresses = [server.addresses["inbound"], server.addresses["submission"]] * 500
            answers = await asyncio.gather(*(one(address) for address in addresses))
            assert {answer[:3] for answer in answers} == {"250"}
            assert len(texts(server)) == len(await server.store.messages()) == 500

    run(work())


# -------------------------------------------------------------------------------------------- trouble of our own


@pytest.mark.parametrize(("full", "reply"), [(True, "452 4.3.1"), (False, "451 4.3.0")])
def test_an_inbox_in_trouble_keeps_the_message_with_its_source(full: bool, reply: str, tmp_path: Path) -> None:
    async def work() -> None:
        async with serving(tmp_path) as server, await Client.at(server.addresses["inbound"]) as client:
            if full:
                def store(content: bytes, *, name: str | None = None) -> str:  # the real one: test_mail_inbox
                    raise InboxError("no room", full=True)

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
            sink.let_go()
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
        async with serving(tmp_path, plan=Plan.parse("ORDERLY 0s -> cancel 9s")) as server:
            client = await Client.at(server.addresses["inbound"])
            await client.begin()
            await client.write(b"Subject: never ends\r\n")
            server.close()
            assert (await client.rest()).startswith("421 4.3.2")
            outcome = await server.served()
            assert outcome
            assert (texts(server), server.store.counters["stopped"]) == ([], 1)

    run(work())
