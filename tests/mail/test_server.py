"""The server: it opens or says why not in one sentence, continues after a restart, and closes without cutting anything; TLS and logins."""

from __future__ import annotations

import asyncio
import smtplib
import socket
import sqlite3
import ssl
from base64 import b64encode
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import uvloop

from fsm.logoff.flags import Logoff
from fsm.mail.auth import new_entry
from fsm.mail.config import Address, Config, Limits, Smarthost
from fsm.mail.demo.samples import SAMPLES, fresh
from fsm.mail.demo.sink import SmtpSink
from fsm.mail.errors import CannotServe, ConfigError
from fsm.mail.server import MailServer
from fsm.store import Plan
from tests.mail.sink import HANG_KEPT, STALL, Faulty
from tests.mail.support import ANY, Client, counted, run, serving, settings, texts, until

PEM = Path(__file__).with_name("localhost.pem")


# -------------------------------------------------------------------------------------------------------- opening


def _a_file(folder: Path) -> dict[str, Any]:
    folder.touch()
    return {}


def _a_file_for_an_inbox(folder: Path) -> dict[str, Any]:
    folder.mkdir()
    (folder / "inbox").touch()
    return {}


def _no_database(folder: Path) -> dict[str, Any]:
    folder.mkdir()
    (folder / "outbox.db").write_bytes(b"this is no database at all, but a text" * 100)
    return {}


def _a_newer_database(folder: Path) -> dict[str, Any]:
    async def work() -> None:
        async with MailServer(Config(folder, inbound=ANY)):
            pass

    asyncio.run(work())
    with sqlite3.connect(folder / "outbox.db") as connection:
        connection.execute("UPDATE fsm_about SET version = 999")
    connection.close()
    return {}


def _no_users(folder: Path) -> dict[str, Any]:
    return {"users_file": folder / "none", "certificate": PEM}


def _no_certificate(folder: Path) -> dict[str, Any]:
    return {"certificate": folder / "none"}


@pytest.mark.parametrize(("wrong", "expected"), [
    (_a_file, "is a file, and a store is a folder"), (_a_file_for_an_inbox, "cannot store in the inbox"), (_no_database, "is not a SQLite database"),
    (_a_newer_database, "newer"), (_no_users, "cannot read the users file"), (_no_certificate, "cannot read the certificate"),
])  # fmt: skip
def test_what_cannot_be_opened_is_one_sentence_and_leaves_nothing_open(wrong: Any, expected: str, tmp_path: Path) -> None:
    config = Config(tmp_path / "store", inbound=ANY, submission=ANY, **wrong(tmp_path / "store"))

    async def work() -> None:
        with pytest.raises((CannotServe, ConfigError), match=expected) as caught:
            await MailServer(config).__aenter__()
        assert "\n" not in str(caught.value)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(work())


def test_a_port_in_use_is_one_sentence_and_the_store_is_free_again(tmp_path: Path) -> None:
    async def work() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            there = Address.parse(f"127.0.0.1:{taken.getsockname()[1]}", "x", listening=True)
            with pytest.raises(CannotServe, match=f"cannot listen for submission mail at {there}: it is in use"):
                await MailServer(settings(tmp_path, submission=there)).__aenter__()
        async with serving(tmp_path) as server:
            assert server.store.session.peers == 0

    run(work())


@pytest.mark.parametrize("left_out", ["inbound", "submission"])
def test_either_port_may_be_left_out(left_out: str, tmp_path: Path) -> None:
    async def work() -> None:
        async with serving(tmp_path, **{left_out: None}) as server:
            assert [*server.addresses] == [name for name in ("inbound", "submission") if name != left_out]

    run(work())


@pytest.mark.parametrize("host", ["[::1]", "127.0.0.1", "localhost"])
def test_every_way_to_write_the_loopback_works(host: str, tmp_path: Path) -> None:
    async def work() -> None:
        address = Address.parse(f"{host}:0", "x", listening=True)
        async with serving(tmp_path, inbound=address) as server, await Client.at(server.addresses["inbound"]) as client:
            assert (await client.send(SAMPLES[0])).startswith("250")

    run(work())


# ------------------------------------------------------------------------------------------------------- going on


def test_a_restart_goes_on_where_the_last_one_ended_and_in_the_same_order(tmp_path: Path) -> None:
    async def work() -> None:
        samples = list(fresh(100))
        async with serving(tmp_path) as server, await Client.at(server.addresses["submission"]) as client:
            for sample in samples:
                assert (await client.send(sample)).startswith("250")
        assert server.store.state == "released"
        async with SmtpSink() as sink, serving(tmp_path, sink=sink) as server:
            await until(server, counted(sent=100))
            assert sink.message_ids == [sample.message_id for sample in samples]

    run(work())


def test_what_was_uncertain_at_the_end_is_sent_again_after_the_restart(tmp_path: Path) -> None:
    async def work() -> None:
        quickly = (0.001, 1.0, 0.001)
        async with Faulty({"dot": HANG_KEPT}, only=1) as sink:
            async with serving(tmp_path, sink=sink, retry=quickly) as server:
                await server.store.submit(b"Message-ID: <m@x>\r\n\r\n", "a@b.c", ["d@e.f"])
                await sink.until(1)
            async with serving(tmp_path, sink=sink, retry=quickly) as server:
                await until(server, counted(sent=1))
            assert sink.message_ids == ["<m@x>"] * 2

    run(work())


def test_a_smarthost_that_is_away_is_tried_again(tmp_path: Path) -> None:
    async def work() -> None:
        async with SmtpSink() as first:
            port = first.port
        smarthost = Smarthost(Address.parse(f"127.0.0.1:{port}", "x", listening=False))
        async with serving(tmp_path, smarthost=smarthost, retry=(0.01, 1.0, 0.01)) as server:
            await server.store.submit(b"\r\n", "a@b.c", ["d@e.f"])
            await until(server, counted(deferred=3))
            sink = SmtpSink(port=port)
            async with sink:
                await sink.until(1)
                await until(server, counted(sent=1))

    run(work())


def test_two_servers_on_one_folder_share_the_queue_and_one_may_leave(tmp_path: Path) -> None:
    async def work() -> None:
        plan = Plan.parse("NO_WAIT 60s -> cancel 60s")
        async with AsyncExitStack() as all_of:
            stalled, sink = await all_of.enter_async_context(Faulty({"dot": STALL}, only=1)), await all_of.enter_async_context(SmtpSink())
            soon = (0.2, 1.0, 0.2)  # what was deferred before its server left is due for the other
            stays = await all_of.enter_async_context(serving(tmp_path, sink=sink, retry=soon))
            leaves = await all_of.enter_async_context(serving(tmp_path, sink=stalled, plan=plan, retry=soon))
            await until(stays, lambda now: now.peers == 1)
            samples = list(fresh(20))
            async with await Client.at(leaves.addresses["submission"]) as client:
                for sample in samples:
                    assert (await client.send(sample)).startswith("250")
            await leaves.store.logoff(Logoff.NO_WAIT)
            assert leaves.store.state == "released"  # at once: the rest is the other's work
            while leaves.store.current_step is None:
                await asyncio.sleep(0)
            leaves.store.next_step()
            outcome = await leaves.served()
            assert outcome.to_peers
            await sink.until(len(samples) - len(stalled.delivered) - len(outcome.uncertain))
            lost = {sample.message_id for sample in samples} - {*sink.message_ids} - {*stalled.message_ids}
            assert len(lost) <= len(outcome.uncertain)

    run(work())


# ------------------------------------------------------------------------------------------- TLS and logging in


def _secured(folder: Path, **changes: Any) -> dict[str, Any]:
    (folder / "users").write_text(new_entry("joe", "secret") + "\n")
    return {"certificate": PEM, "users_file": folder / "users", **changes}


def _trusting() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(PEM))


def test_with_users_nothing_goes_without_tls_and_a_password(tmp_path: Path) -> None:
    def talk(address: str) -> list[int]:
        host, port = address.split(":")
        codes = []
        with smtplib.SMTP(host, int(port), timeout=120) as client:
            codes += [client.ehlo("me")[0], client.docmd("MAIL FROM:<a@b.c>")[0], client.docmd("AUTH PLAIN AGpvZQBzZWNyZXQ=")[0]]
            assert not client.has_extn("auth")
            codes.append(client.docmd("STARTTLS")[0])
            client.sock = _trusting().wrap_socket(client.sock, server_hostname="localhost")
            client.file = None
            codes += [client.ehlo("me")[0], client.docmd("MAIL FROM:<a@b.c>")[0]]
            assert client.has_extn("auth")
            for password in ("wrong", "secret"):
                plain = b64encode(f"\0joe\0{password}".encode()).decode()
                codes.append(client.docmd(f"AUTH PLAIN {plain}")[0])
            client.sendmail("a@b.c", ["d@e.f"], "Subject: x\r\n\r\nhello")
        return codes

    async def work() -> None:
        async with serving(tmp_path, **_secured(tmp_path)) as server:
            assert await asyncio.to_thread(talk, server.addresses["submission"]) == [250, 530, 530, 220, 250, 530, 535, 235]
            assert server.store.counters["submitted"] == 1

    run(work())


def test_strangers_bring_the_owners_mail_with_tls_or_without_and_nothing_else(tmp_path: Path) -> None:
    def talk(port: int) -> list[int]:
        with smtplib.SMTP("127.0.0.1", port, timeout=120) as client:
            codes = [client.ehlo("me")[0], client.docmd("MAIL FROM:<a@b.c>")[0], client.docmd("RCPT TO:<d@e.f>")[0]]
            assert client.has_extn("starttls")
            client.rset()
            client.sendmail("a@b.c", ["me@example.org"], "Subject: x\r\n\r\nhello")
            client.starttls(context=_trusting())
            client.sendmail("a@b.c", ["me@example.org"], "Subject: x\r\n\r\nhello")
        return codes

    async def work() -> None:
        everywhere = Address.parse("0.0.0.0:0", "a port", listening=True)
        both = {"inbound": everywhere, "submission": everywhere, "owners": ("example.org",)}
        async with serving(tmp_path, **_secured(tmp_path, **both)) as server:
            port = int(server.addresses["inbound"].rpartition(":")[2])
            assert await asyncio.to_thread(talk, port) == [250, 250, 550]
            assert server.store.counters["received"] == 2
            async with await Client.at(server.addresses["submission"].replace("0.0.0.0", "127.0.0.1")) as client:
                assert (await client.say("MAIL FROM:<me@example.org>")).startswith("530")

    run(work())


def test_mail_is_read_no_further_in_clear_text_once_tls_begins(tmp_path: Path) -> None:
    async def work() -> None:
        async with serving(tmp_path, **_secured(tmp_path)) as server, await Client.at(server.addresses["submission"]) as client:
            await client.write(b"STARTTLS\r\nEHLO smuggled\r\nMAIL FROM:<a@b.c>\r\n")
            assert (await client.reply()).startswith("220")
            client.hang_up()
            assert server.store.counters["submitted"] == 0

    run(work())


def test_guessing_passwords_ends_the_session(tmp_path: Path) -> None:
    def guess(address: str) -> list[int]:
        with smtplib.SMTP("localhost", int(address.split(":")[1]), timeout=120) as client:
            client.starttls(context=_trusting())
            client.ehlo("me")
            return [client.docmd("AUTH PLAIN " + b64encode(b"\0joe\0%d" % number).decode())[0] for number in range(2)] + [client.getreply()[0]]

    async def work() -> None:
        async with serving(tmp_path, **_secured(tmp_path, limits=Limits(errors=10))) as server:
            assert await asyncio.to_thread(guess, server.addresses["submission"]) == [535, 535, 421]

    run(work())


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.parametrize("password", ["secret", "wrong"])
def test_the_way_out_can_be_tls_with_a_password(password: str, loop: Callable[[], asyncio.AbstractEventLoop], tmp_path: Path) -> None:
    async def work() -> None:
        async with SmtpSink() as sink, serving(tmp_path / "far", sink=sink, **_secured(tmp_path)) as far:
            there = replace(Address.parse(far.addresses["submission"], "x", listening=False), host="localhost")
            smarthost = Smarthost(there, "starttls", "joe", password, PEM)
            async with serving(tmp_path / "near", smarthost=smarthost) as near:
                await near.store.submit(b"Message-ID: <m@x>\r\n\r\n", "a@b.c", ["d@e.f"])
                if password == "secret":
                    await sink.until(1)
                    assert sink.message_ids == ["<m@x>"]
                else:
                    await until(near, counted(deferred=1))
                    (message,) = await near.store.messages()
                    assert str(message.reason).startswith("535 5.7.8")

    run(work(), loop)


def test_a_certificate_that_nobody_vouches_for_is_not_spoken_to(tmp_path: Path) -> None:
    async def work() -> None:
        async with serving(tmp_path / "far", **_secured(tmp_path)) as far:
            there = Address.parse(far.addresses["submission"], "x", listening=False)
            async with serving(tmp_path / "near", smarthost=Smarthost(there, "starttls")) as near:
                await near.store.submit(b"\r\n", "a@b.c", ["d@e.f"])
                await until(near, counted(deferred=1))
                (message,) = await near.store.messages()
                assert "CERTIFICATE_VERIFY_FAILED" in str(message.reason)

    run(work())


# --------------------------------------------------------------------------------------------------------- leaving


@pytest.mark.parametrize("flag", Logoff)
def test_a_logoff_from_outside_ends_the_server_when_it_is_granted(flag: Logoff, tmp_path: Path) -> None:
    async def work() -> None:
        async with SmtpSink() as sink, serving(tmp_path, sink=sink) as server:
            for sample in fresh(10):
                await server.store.submit(sample.content, sample.sender, sample.recipients)
            if flag is Logoff.QUIET:  # a question about now: it is not granted later
                await until(server, counted(sent=10))
            await server.store.logoff(flag)
            outcome = await server.served()
            assert outcome
            assert len(sink.delivered) + len(outcome.left) == 10
            assert flag in (Logoff.ABORT, Logoff.ORDERLY) or outcome.left == ()

    run(work())


def test_a_plan_that_ends_without_says_what_is_in_the_way_and_records_what_it_cuts(tmp_path: Path) -> None:
    async def work() -> None:
        async with Faulty({"dot": STALL}) as sink, serving(tmp_path, sink=sink, plan=Plan.parse("ORDERLY 0.05s")) as server:
            id = await server.store.submit(b"\r\n", "a@b.c", ["d@e.f"])
            await sink.until_at("dot")
            client = await Client.at(server.addresses["inbound"])
            await client.begin()
            server.close()
            outcome = await server.served()
            assert not outcome
            assert sorted(blocker.direction for blocker in outcome.blockers) == ["inbound", "outbound"]
            assert server.store.counters["uncertain"] == 1
            assert server.store.counters["refused_inbound"] == 1
            assert [(message.id, message.uncertain) for message in await server.store.messages()] == [(id, 1)]
            assert await client.rest() == ""

    run(work())


def test_nothing_in_flight_is_released_at_once_whatever_idles_on_the_ports(tmp_path: Path) -> None:
    async def work() -> None:
        async with serving(tmp_path, plan=Plan.parse("QUIET 60s")) as server:
            idle = [await Client.at(address) for address in [*server.addresses.values()] * 10]
            server.close()
            outcome = await server.served()
            assert outcome.steps
            assert outcome.steps[0].startswith("QUIET 60s: released")
            for client in idle:
                assert (await client.rest()).startswith("421 4.3.2")
            assert texts(server) == []

    run(work())
