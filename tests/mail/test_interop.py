"""Other people's clients: each submits over STARTTLS with a login, and what it sent is in the queue."""

from __future__ import annotations

import asyncio
import shutil
import smtplib
import ssl
from collections import Counter
from pathlib import Path

import pytest

from fsm.mail.auth import new_entry
from fsm.mail.config import Address, Smarthost
from fsm.mail.demo.samples import SAMPLES, Sample, large
from fsm.mail.demo.sink import SmtpSink
from tests.mail import opensmtpd, postfix
from tests.mail.support import Client, counted, run, serving, texts, until

PEM = Path(__file__).with_name("localhost.pem")
MESSAGE = "Subject: x\r\n\r\nhello\r\n.dot\r\n"
PROGRAMS = {
    "curl": f"curl -sS --cacert {PEM} --ssl-reqd --user joe:secret smtp://localhost:{{port}} --mail-from a@example.org"
            " --mail-rcpt b@example.net --mail-rcpt c@example.net -T -",
    "swaks, LOGIN": "swaks --silent 2 --server localhost --port {port} --tls --auth LOGIN --auth-user joe --auth-password secret --from a@example.org"
                    " --to b@example.net,c@example.net --data -",
    "swaks, pipelined": "swaks --silent 2 --server localhost --port {port} --tls --auth PLAIN --auth-user joe --auth-password secret --pipeline"
                        " --from a@example.org --to b@example.net,c@example.net --data -",
    "msmtp": f"msmtp --host=localhost --port={{port}} --tls=on --tls-starttls=on --tls-trust-file={PEM} --auth=on --user=joe"
             " --passwordeval='echo secret' --from=a@example.org b@example.net c@example.net",
}  # fmt: skip


def secured(folder: Path) -> dict[str, Path]:
    (folder / "users").write_text(new_entry("joe", "secret") + "\n")
    return {"certificate": PEM, "users_file": folder / "users"}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_submits(name: str, tmp_path: Path) -> None:
    program = PROGRAMS[name].split()[0]
    if shutil.which(program) is None:
        pytest.skip(f"a mail client of other people (apt-get install {program})")

    async def work() -> None:
        async with serving(tmp_path, **secured(tmp_path)) as server:
            port = server.addresses["submission"].rpartition(":")[2]
            client = await asyncio.create_subprocess_shell(
                PROGRAMS[name].format(port=port), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
            )
            out, _ = await client.communicate(MESSAGE.encode())
            assert client.returncode == 0, out
            (message,) = await server.store.messages("ready")
            assert (message.sender, message.recipients) == ("a@example.org", ("b@example.net", "c@example.net"))
            whole = await server.store.message(message.id)
            assert whole is not None
            assert whole.content.rstrip().endswith(b"\r\n\r\nhello\r\n.dot")
            assert b"with ESMTPSA" in whole.content

    run(work())


def test_smtplib_submits(tmp_path: Path) -> None:
    def submit(port: int) -> None:
        with smtplib.SMTP("localhost", port, timeout=120) as client:
            client.starttls(context=ssl.create_default_context(cafile=str(PEM)))
            client.login("joe", "secret")
            client.sendmail("a@example.org", ["b@example.net"], MESSAGE, mail_options=["BODY=8BITMIME"])

    async def work() -> None:
        async with serving(tmp_path, **secured(tmp_path)) as server:
            await asyncio.to_thread(submit, int(server.addresses["submission"].rpartition(":")[2]))
            assert len(await server.store.messages("ready")) == 1

    run(work())


def test_postfix_takes_our_mail_and_brings_it_to_our_door(tmp_path: Path) -> None:
    if (lack := postfix.missing()) is not None:
        pytest.skip(lack)

    async def work() -> None:
        async with serving(tmp_path / "inbound", submission=None) as door:
            with postfix.postfix(door.addresses["inbound"]) as other:
                smarthost = Smarthost(Address.parse(other.address, "x", listening=False))
                async with serving(tmp_path / "outbound", smarthost=smarthost) as server, await Client.at(server.addresses["submission"]) as client:
                    for sample in SAMPLES:
                        assert (await client.send(sample)).startswith("250")
                    assert (await client.say("MAIL FROM:<a@example.org> ENVID=here")).startswith("250")
                    for recipient in ("<never@example.net>", "<b@example.net> NOTIFY=SUCCESS"):
                        assert (await client.say(f"RCPT TO:{recipient}")).startswith("250")
                    assert (await client.say("DATA")).startswith("354")
                    assert (await client.end()).startswith("250")
                    await until(server, counted(sent=len(SAMPLES), failed=1))
                    (report,) = texts(server)
                    assert b"Final-Recipient: rfc822; never@example.net" in report
                    assert b"Diagnostic-Code: smtp; 550 5.1.1" in report
                # Postfix itself tells the sender that it relayed the message, since our inbound port has no DSN
                await until(door, counted(received=len(SAMPLES) + 2))
        arrived = texts(door)
        for sample in SAMPLES:
            assert sum(sample.arrives.replace(b"\r\n", b"\n").partition(b"\n\n")[2] in one for one in arrived) >= 1, sample.name
        assert sum(b"by postfix.example.org (Postfix) with ESMTP" in one for one in arrived) == len(arrived) - 1
        (relayed,) = (one for one in arrived if b"Action: relayed" in one)
        assert b"Original-Envelope-Id: here" in relayed

    run(work())


SERVERS = {"Postfix": (postfix.missing, postfix.postfix, True), "OpenSMTPD": (opensmtpd.missing, opensmtpd.opensmtpd, False)}
"""What is missing to run it, how it is run, and whether it offers SMTPUTF8."""


@pytest.mark.parametrize("name", SERVERS)
def test_through_another_server_each_recipient_gets_just_what_was_sent(name: str, tmp_path: Path) -> None:
    """From one of ours to the other server, which is its smarthost, and from there to another of ours, whose client it is."""
    missing, started, smtputf8 = SERVERS[name]
    if (lack := missing()) is not None:
        pytest.skip(lack)
    refused = Sample("refused", "one recipient is refused", MESSAGE.encode(), recipients=("b@example.net", "never@example.net", "c@example.net"))
    sent = [*SAMPLES, refused, large(5_000_000, 1)]
    passed = [sample for sample in sent if smtputf8 or not sample.smtputf8]
    failed = len(sent) - len(passed) + 1  # all of a message, or one recipient
    expected = Counter((one.sender, recipient, body(one.arrives)) for one in passed for recipient in one.recipients if recipient != "never@example.net")
    expected["a@example.org", "d@example.net", body(MESSAGE.encode())] += 1

    async def work() -> None:
        async with SmtpSink() as sink, serving(tmp_path / "second", sink=sink) as second:
            with started(second.addresses["submission"]) as other:
                smarthost = Smarthost(Address.parse(other.address, "x", listening=False))
                async with serving(tmp_path / "first", smarthost=smarthost, connections=4) as first:
                    async with await Client.at(first.addresses["submission"]) as client:
                        for sample in sent:
                            assert (await client.send(sample)).startswith("250")
                        assert (await client.say("MAIL FROM:<a@example.org> ENVID=here")).startswith("250")
                        assert (await client.say("RCPT TO:<d@example.net> NOTIFY=SUCCESS")).startswith("250")
                        assert (await client.say("DATA")).startswith("354")
                        assert (await client.end(MESSAGE.encode())).startswith("250")
                    await until(first, counted(sent=len(sent) + 1 - failed, failed=failed))
                    reports = texts(first)
                await until(second, counted(sent=len(passed) + 1))
                (relayed,) = texts(second)
        assert Counter((one.sender, recipient, body(one.content)) for one in sink.delivered for recipient in one.recipients) == expected
        assert len(reports) == failed
        (report,) = (one for one in reports if b"Final-Recipient: rfc822; never@example.net" in one)
        assert b"Diagnostic-Code: smtp; 550 " in report
        assert b"Original-Envelope-Id: here" in relayed

    run(work())


def body(content: bytes) -> bytes:
    return content.partition(b"\r\n\r\n")[2]
