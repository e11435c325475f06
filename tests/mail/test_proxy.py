"""The PROXY protocol, trusted networks, the Unix socket and TLS from the first octet: who a client is, and what it may do for that."""

from __future__ import annotations

import asyncio
import smtplib
import ssl
from ipaddress import ip_network
from pathlib import Path

import pytest

from fsm.mail import proxy
from fsm.mail.auth import new_entry
from fsm.mail.config import Address, Config
from fsm.mail.demo.samples import SAMPLES
from fsm.mail.errors import CannotServe, ConfigError
from fsm.mail.networks import contains, parsed_networks, plain
from fsm.mail.proxy import SIGNATURE, NoHeader, parsed_block, parsed_line
from tests.mail.support import ANY, Client, run, serving, texts

PEM = Path(__file__).with_name("localhost.pem")
ALL = (ip_network("127.0.0.0/8"),)
EVERYWHERE = Address.parse("0.0.0.0:0", "x", listening=True)
VERSION_2 = SIGNATURE + b"\x21\x11\x00\x0c" + bytes([192, 0, 2, 7, 192, 0, 2, 1, 4, 0, 0, 25])


# ------------------------------------------------------------------------------------------------------- headers


@pytest.mark.parametrize(("header", "peer"), [
    (b"PROXY TCP4 192.0.2.7 192.0.2.1 1024 25\r\n", "192.0.2.7"), (b"PROXY TCP6 2001:db8::1 2001:db8::2 1024 25\r\n", "2001:db8::1"),
    (b"PROXY UNKNOWN\r\n", None), (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", None),
])  # fmt: skip
def test_a_line_names_the_client(header: bytes, peer: str | None) -> None:
    assert parsed_line(header) == peer


@pytest.mark.parametrize("header", [
    b"EHLO x\r\n", b"PROXY\r\n", b"PROXY TCP4 192.0.2.7 192.0.2.1 1024\r\n", b"PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
    b"PROXY TCP4 192.0.2.7 192.0.2.1 70000 25\r\n", b"PROXY TCP4 x y 1 2\r\n", b"PROXY TCP5 1.1.1.1 1.1.1.1 1 2\r\n", b"\xff\r\n",
])  # fmt: skip
def test_any_other_line_is_none(header: bytes) -> None:
    with pytest.raises(NoHeader):
        parsed_line(header)


def test_a_block_names_the_client() -> None:
    assert parsed_block(VERSION_2[:16], VERSION_2[16:]) == "192.0.2.7"
    six = SIGNATURE + b"\x21\x21\x00\x24"
    assert parsed_block(six, bytes([0x20, 1, 0xD, 0xB8, *[0] * 11, 1, *[0] * 20, 9])) == "2001:db8::1"
    assert parsed_block(SIGNATURE + b"\x20\x00\x00\x00", b"") is None  # LOCAL
    assert parsed_block(SIGNATURE + b"\x21\x31\x00\x00", b"") is None  # a Unix socket
    for head, rest in ((SIGNATURE + b"\x11\x11\x00\x00", b""), (SIGNATURE + b"\x21\x11\x00\x02", b"xx"), (SIGNATURE + b"\x23\x11\x00\x00", b"")):
        with pytest.raises(NoHeader):
            parsed_block(head, rest)


@pytest.mark.parametrize("header", [b"PROXY TCP4 192.0.2.7 192.0.2.1 1024 25\r\n", VERSION_2])
def test_behind_a_proxy_the_client_is_who_it_names(header: bytes, tmp_path: Path) -> None:
    async def work() -> None:
        async with serving(tmp_path, proxies=ALL) as server:
            host, _, port = server.addresses["inbound"].rpartition(":")
            client = Client(*await asyncio.open_connection(host, int(port)))
            await client.write(header + b"EHLO me\r\n")
            assert (await client.reply()).startswith("220")
            assert (await client.reply()).startswith("250")
            assert (await client.send(SAMPLES[0])).startswith("250")
            assert b"from me ([192.0.2.7])" in texts(server)[0]
            client.hang_up()

    run(work())


def test_without_its_header_a_proxy_is_hung_up_and_from_others_a_header_is_no_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy, "PATIENCE", 0.2)

    async def work() -> None:
        async with serving(tmp_path, proxies=ALL) as server:
            host, _, port = server.addresses["inbound"].rpartition(":")
            for words in (b"EHLO me\r\nMAIL FROM:<a@b.c>\r\n", b"PROXY TCP4 1.2.3.4", b""):
                client = Client(*await asyncio.open_connection(host, int(port)))
                await client.write(words)
                assert await client.rest() == ""
                client.hang_up()
        async with serving(tmp_path) as server, await Client.at(server.addresses["inbound"], None) as client:
            assert (await client.say("PROXY TCP4 192.0.2.7 192.0.2.1 1024 25")).startswith("500")

    run(work())


# ----------------------------------------------------------------------------------------------- trusted networks


def test_networks_are_parsed_and_hold_mapped_addresses() -> None:
    found = parsed_networks(["10.0.0.0/8", "::1", "192.0.2.1"], "--trust")
    for peer, inside in (("10.1.2.3", True), ("::1", True), ("192.0.2.1", True), ("192.0.2.2", False), ("local", False), ("", False)):
        assert contains(found, peer) == inside
    assert (plain("::ffff:10.0.0.1"), plain("fe80::1%eth0"), plain("local")) == ("10.0.0.1", "fe80::1", "local")
    for wrong in ("10.0.0.1/8", "example.org", ""):
        with pytest.raises(ConfigError, match="--trust is an address or a network"):
            parsed_networks([wrong], "--trust")


def test_a_trusted_client_needs_no_login_and_another_one_is_turned_away(tmp_path: Path) -> None:
    async def work() -> None:
        async with serving(tmp_path, submission=EVERYWHERE, trust=ALL) as server:
            port = server.addresses["submission"].rpartition(":")[2]
            async with await Client.at(f"127.0.0.1:{port}") as client:
                assert (await client.send(SAMPLES[0])).startswith("250")
        async with serving(tmp_path, submission=EVERYWHERE, trust=(ip_network("192.0.2.0/24"),)) as server:
            port = server.addresses["submission"].rpartition(":")[2]
            async with await Client.at(f"127.0.0.1:{port}", None) as client:
                assert client.greeting.startswith("554 5.7.1")
        (tmp_path / "users").write_text(new_entry("joe", "secret") + "\n")
        secured = {"certificate": PEM, "users_file": tmp_path / "users"}
        for trust, code in ((ALL, "250"), ((), "530")):
            async with serving(tmp_path, trust=trust, **secured) as server, await Client.at(server.addresses["submission"]) as client:
                assert (await client.say("MAIL FROM:<a@b.c>")).startswith(code)

    run(work())


# ------------------------------------------------------------------------------------------------- other sockets


def test_programs_of_this_computer_submit_over_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "mail.sock"

    async def work() -> None:
        async with serving(tmp_path, submission=None, local=path) as server:
            assert path.stat().st_mode & 0o777 == 0o660
            reader, writer = await asyncio.open_unix_connection(str(path))
            client = Client(reader, writer)
            await client.reply()
            assert (await client.say("EHLO me")).startswith("250")
            assert (await client.send(SAMPLES[0])).startswith("250")
            assert len(await server.store.messages("ready")) == 1
            client.hang_up()
            with pytest.raises(CannotServe, match="somebody listens there"):
                async with serving(tmp_path / "other", local=path):
                    pass
        assert not path.exists()
        async with serving(tmp_path / "other", local=path):  # a socket that a killed server left behind is replaced
            pass

    run(work())


def test_a_port_may_begin_with_tls(tmp_path: Path) -> None:
    (tmp_path / "users").write_text(new_entry("joe", "secret") + "\n")

    def submit(port: int) -> None:
        with smtplib.SMTP_SSL("localhost", port, context=ssl.create_default_context(cafile=str(PEM)), timeout=120) as client:
            client.login("joe", "secret")
            client.sendmail("a@example.org", ["b@example.net"], "Subject: x\r\n\r\nx\r\n")

    async def work() -> None:
        async with serving(tmp_path, submissions=ANY, certificate=PEM, users_file=tmp_path / "users") as server:
            await asyncio.to_thread(submit, int(server.addresses["submissions"].rpartition(":")[2]))
            (message,) = await server.store.messages("ready")
            whole = await server.store.message(message.id)
            assert whole is not None
            assert b"with ESMTPSA" in whole.content

    run(work())
    with pytest.raises(ConfigError, match="--submissions begins with TLS"):
        Config(tmp_path, submissions=ANY)
