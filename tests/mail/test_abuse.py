"""The two ports and bad clients: smuggled messages, odd commands, floods, silence; the session goes on, or ends with a reply."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from fsm.mail.config import Limits
from tests.mail.support import Client, counted, run, serving, settings, texts, until

SMALL = Limits(size=64 * 1024, recipients=100)


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
    ("MAIL FROM:<>", "250"), ("MAIL FROM:<a b@c>", "501"), ('MAIL FROM:<"a b"@c>', "250"), ('MAIL FROM:<"a\\>', "501"), ("MAIL FROM:<@h,@g:u@x.y>", "250"), ("MAIL FROM: <a@b.c>", "250"), ("MAIL FROM:a", "250"), ("MAIL", "501"), ("MAIL FROM", "501"),
    ("MAIL FROM:<" + "a" * 300 + "@b.c>", "553"), ("MAIL FROM:<ä@b.c>", "553"), ("MAIL FROM:<ä@b.c> SMTPUTF8", "250"),
    (b"MAIL FROM:<\xff\xfe@b.c> SMTPUTF8", "553"), (b"MAIL FROM:<a\0@b.c>", "553"), (b"MAIL FROM:<a\r@b.c>", "553"),
    ("MAIL FROM:<a@b.c", "501"), ("MAIL FROM:" + "(" * 400 + "<a@b.c>", "553"),
    ("MAIL FROM:<a@b.c>\x1b[2J", "501"), ("DATA", "503"), ("RCPT TO:<a@b.c>", "503"), ("", "500"), (" ", "500"), (b"\xff\xff", "500"),
    ("MAIL FROM:<" + "a" * 5000 + ">", "500"), ("X" * 100_000, "500"), ("VRFY a\rb", "252"), ("EXPN list", "502"), ("ETRN x", "500"),
    ("AUTH PLAIN AAAA", "538"), ("STARTTLS", "454"), ("HELP", "250"), ("BDAT 10 LAST", "500"), ("\0\0\0", "500"),
    ("MAIL FROM:<a@b.c> AUTH=<>", "555"), ("STARTTLS now", "501"), ("RSET", "250"), ("AUTH", "538"), ("LHLO me", "500"), ("EHLO", "501"),
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
            answers = {"<postmaster>": "250", "<PostMaster@example.net>": "250", "<b@example.net>": "250", "<ME@Example.ORG>": "250", "<you@example.org>": "550", "<>": "553", "<ö@example.net>": "553"}
            for address, reply in answers.items():
                assert (await client.say(f"RCPT TO:{address}")).startswith(reply), address
            for number in range(96):
                assert (await client.say(f"RCPT TO:<{number}@example.net>")).startswith("250")
            assert (await client.say("RCPT TO:<more@example.net>")).startswith("452 4.5.3")
            assert (await client.say("DATA")).startswith("354")
            assert (await client.end()).startswith("250")

    run(work())


@pytest.mark.parametrize(("address", "good"), [
    ("postmaster", True), ("Postmaster@example.org", True), ("postmaster@mail.example.org", True), ("postmaster@elsewhere.net", False),
    ("me@example.org", True), ("me+tag@example.org", True), ("me+@example.org", True), ("+me@example.org", False), ("me-tag@example.org", False),
])  # fmt: skip
def test_the_postmaster_and_sub_addresses_are_ours(address: str, good: bool, tmp_path: Path) -> None:
    config = settings(tmp_path, owners=("me@example.org",), sub_addresses="+")
    assert (config.directory.of_recipient(address) is not None) == good
    assert not settings(tmp_path, owners=("me@example.org",)).directory.of_recipient("me+tag@example.org")


@pytest.mark.parametrize("nonsense", ["BOGUS", "RCPT TO:<a@b.c>", ""])
def test_a_client_that_only_makes_errors_is_sent_away(nonsense: str, tmp_path: Path) -> None:
    async def work() -> None:
        async with serving(tmp_path, limits=Limits(errors=7)) as server, await Client.at(server.addresses["submission"]) as client:
            await client.write(f"{nonsense}\r\n".encode() * 50)
            replies = (await client.rest()).splitlines()
            assert 5 <= len(replies) <= 8
            assert replies[-1].startswith("421 4.7.0")

    run(work())


@pytest.mark.parametrize("commands", ["HELP", "NOOP", "RSET", "VRFY x", "EHLO me", "MAIL FROM:<a@b.c>\r\nRSET", "X" * 5000])
def test_a_flood_of_commands_without_a_message_ends(commands: str, tmp_path: Path) -> None:
    async def work() -> None:
        async with serving(tmp_path, limits=Limits(commands=100)) as server, await Client.at(server.addresses["submission"]) as client:
            await client.write(f"{commands}\r\n".encode() * 300)
            assert "421 4.7.0" in (await client.rest()).splitlines()[-1]

    run(work())


def test_messages_and_recipients_are_no_flood(tmp_path: Path) -> None:
    async def work() -> None:
        async with serving(tmp_path, limits=Limits(commands=10)) as server, await Client.at(server.addresses["submission"]) as client:
            for _ in range(10):
                await client.begin("a@example.org", *(f"{n}@example.net" for n in range(50)))
                assert (await client.end()).startswith("250")

    run(work())


@pytest.mark.parametrize("request_line", ["GET / HTTP/1.1", "POST / HTTP/1.1", "CONNECT x:25 HTTP/1.1", "put /x HTTP/1.0"])
def test_a_browser_is_hung_up_on_and_what_its_form_holds_is_not_read(request_line: str, tmp_path: Path) -> None:
    smuggled = b"EHLO x\r\nMAIL FROM:<evil@example.org>\r\nRCPT TO:<b@example.net>\r\nDATA\r\nSubject: x\r\n\r\nx\r\n.\r\nQUIT\r\n"

    async def work() -> None:
        async with serving(tmp_path) as server:
            client = await Client.at(server.addresses["submission"], None)
            await client.write(f"{request_line}\r\nHost: x\r\n\r\n".encode() + smuggled)
            assert await client.rest() == ""
            assert await server.store.messages() == []

    run(work())


def test_a_client_that_reads_nothing_holds_nobody_up_and_is_read_no_further(tmp_path: Path) -> None:
    async def work() -> None:
        async with serving(tmp_path, limits=Limits(commands=10**9, idle=2.0)) as server:
            deaf = [await Client.at(server.addresses["submission"], None) for _ in range(5)]
            for client in deaf:
                client.writer.transport.pause_reading()  # type: ignore[attr-defined]
                client.writer.write(b"HELP\r\n" * 200_000)
            async with await Client.at(server.addresses["submission"]) as client:
                for _ in range(20):
                    await client.begin()
                    assert (await client.end()).startswith("250")
            unread = [session.dialogue.unread for session in server.ports["submission"].sessions if session.dialogue is not None]
            assert max(unread) < 400_000
            for session in list(server.ports["submission"].sessions):
                await session.gone  # those that read nothing are not waited for
            for client in deaf:
                client.writer.transport.abort()

    run(work())


def test_a_message_that_only_trickles_in_is_given_up(tmp_path: Path) -> None:
    async def work() -> None:
        async with serving(tmp_path, limits=Limits(idle=1.0)) as server, await Client.at(server.addresses["inbound"]) as client:
            await client.begin()
            said = asyncio.ensure_future(client.rest())
            while not said.done():
                client.writer.write(b"x")
                await asyncio.wait([said], timeout=0.2)
            assert said.result().startswith("421 4.4.2")
            assert server.ports["inbound"].sessions, "what still comes is read, so that nothing resets the connection"

    run(work())


def test_a_command_that_only_trickles_in_is_given_up(tmp_path: Path) -> None:
    async def work() -> None:
        async with serving(tmp_path, limits=Limits(idle=1.0)) as server, await Client.at(server.addresses["inbound"]) as client:
            (session,) = server.ports["inbound"].sessions
            while not session.gone.done():
                client.writer.write(b"x")
                await asyncio.wait([session.gone], timeout=0.2)

    run(work())


def test_open_messages_share_a_budget_of_memory(tmp_path: Path) -> None:
    async def work() -> None:
        limits = Limits(memory=4_000_000)
        async with serving(tmp_path, limits=limits) as server:
            clients = [await Client.at(server.addresses[port]) for port in ("inbound", "submission") * 4]
            for client in clients:
                await client.begin()
                await client.write(b"Subject: x\r\n\r\n" + (b"x" * 70 + b"\r\n") * 20_000)
            budget = server.ports["inbound"].memory
            answers = list[str]()
            for client in clients:
                await client.write(b".\r\n")
                answers.append((await client.reply())[:9])
                assert budget.used <= limits.memory
            assert set(answers) == {"250 2.0.0", "452 4.3.1"}
            assert budget.used == 0
            assert (await clients[0].say("MAIL FROM:<a@b.c> SIZE=5000000")).startswith("452 4.3.1")
            assert (await clients[1].say("MAIL FROM:<a@b.c> SIZE=3000000")).startswith("250")

    run(work())


def test_a_client_that_goes_gives_its_memory_back(tmp_path: Path) -> None:
    async def work() -> None:
        async with serving(tmp_path) as server:
            for port in ("inbound", "submission"):
                client = await Client.at(server.addresses[port])
                await client.begin()
                await client.write(b"x\r\n" * 100_000)
                (session,) = server.ports[port].sessions
                client.hang_up(rudely=True)
                await session.gone
                assert server.ports[port].memory.used == 0

    run(work())


@pytest.mark.parametrize(("option", "content", "stored"), [
    ({"long_lines": "take"}, b"Subject: x\r\n\r\n" + b"y" * 3000 + b"\r\n", b"y" * 3000 + b"\n"),
    ({"bare_lf": "mend"}, b"Subject: x\n\na\n.b\r\n", b"Subject: x\n\na\n.b\n"),
])  # fmt: skip
def test_the_operator_may_trust_senders_of_odd_lines(option: dict[str, str], content: bytes, stored: bytes, tmp_path: Path) -> None:
    async def work() -> None:
        async with serving(tmp_path, **option) as server, await Client.at(server.addresses["inbound"]) as client:
            await client.begin()
            await client.write(content + b".\r\n")
            assert (await client.reply()).startswith("250")
            assert texts(server)[0].endswith(stored)

    run(work())


def test_sessions_are_limited(tmp_path: Path) -> None:
    async def work() -> None:
        async with serving(tmp_path, limits=Limits(sessions=2)) as server:
            address = server.addresses["inbound"]
            first, second = await Client.at(address), await Client.at(address)
            assert (await Client.at(address, None)).greeting.startswith("421 4.3.2 too many connections")
            sessions = list(server.ports["inbound"].sessions)
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
