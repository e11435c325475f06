"""Delivery status notifications on request (RFC 3461): what is asked for is kept, passed on, or done here; delays are told once."""

from __future__ import annotations

import email
import email.policy
from pathlib import Path

import pytest
from hypothesis import (
    given,
    strategies as st,
)

from fsm.mail.config import Address, Smarthost
from fsm.mail.expiry import expire
from fsm.mail.parameters import Wishes, address_of, joined, unencoded, wishes
from fsm.mail.relay import Pace
from fsm.store import Plan
from tests.mail.sink import Faulty
from tests.mail.support import Client, counted, run, serving, texts, until

LATER, NEVER = "451 4.3.0 not now", "550 5.1.1 no such user"
WITH_DSN = {"ehlo": "250-sink\r\n250-PIPELINING\r\n250 DSN"}
QUICKLY = (0.001, 1.0, 0.001)
ADDRESSES = st.sampled_from(['"a b NOTIFY=NEVER"@x.net', "a@x.net", "", '"a RET=FULL"@x.net', "ä@x.net"])
PARAMETERS = st.dictionaries(st.sampled_from(["NOTIFY", "ORCPT", "RET", "ENVID"]), st.text("ABC,;=+20@.", min_size=1))


@given(ADDRESSES, PARAMETERS)
def test_what_is_kept_can_be_read_again(address: str, parameters: dict[str, str]) -> None:
    assert wishes(joined(address, parameters)) == Wishes(address, parameters)
    assert address_of(address) == address


def test_what_is_encoded_is_decoded() -> None:
    assert unencoded("a+2Bb+3D") == "a+b="
    assert wishes("a@b NOTIFY=NEVER").without_delay() == "a@b NOTIFY=NEVER"
    assert wishes("a@b").without_delay() == "a@b NOTIFY=FAILURE"
    assert wishes("a@b NOTIFY=DELAY ORCPT=rfc822;x").without_delay() == "a@b NOTIFY=NEVER ORCPT=rfc822;x"


@pytest.mark.parametrize(("command", "code"), [
    ("MAIL FROM:<a@b.c> RET=HDRS ENVID=QQ+3D1", "250"), ("MAIL FROM:<a@b.c> RET=SOME", "501"), ("MAIL FROM:<a@b.c> ENVID=a+b", "501"),
    ("MAIL FROM:<a@b.c> RET=FULL RET=FULL", "501"), ("RCPT TO:<d@e.f> NOTIFY=success,DELAY ORCPT=rfc822;d@e.f", "250"), ("RCPT TO:<d@e.f> NOTIFY=NEVER,DELAY", "501"),
    ("RCPT TO:<d@e.f> NOTIFY=DELAY,DELAY", "501"), ("RCPT TO:<d@e.f> NOTIFY=", "501"), ("RCPT TO:<d@e.f> ORCPT=d@e.f", "501"), ("RCPT TO:<d@e.f> COLOUR=red", "555"),
])  # fmt: skip
def test_parameters_are_checked(command: str, code: str, tmp_path: Path) -> None:
    async def work() -> None:
        async with serving(tmp_path) as server:
            async with await Client.at(server.addresses["submission"]) as client:
                assert "250-DSN" in await client.say("EHLO me")
                if command.startswith("RCPT"):
                    await client.say("MAIL FROM:<a@b.c>")
                assert (await client.say(command)).startswith(code)
            async with await Client.at(server.addresses["inbound"]) as client:  # whose mail goes no further
                assert "DSN" not in await client.say("EHLO me")

    run(work())


async def sent(client: Client, *recipients: str, mail: str = "<a@example.org> RET=HDRS ENVID=Q+2B1") -> None:
    assert (await client.say(f"MAIL FROM:{mail}")).startswith("250")
    for recipient in recipients:
        assert (await client.say(f"RCPT TO:{recipient}")).startswith("250")
    assert (await client.say("DATA")).startswith("354")
    assert (await client.end()).startswith("250")


def test_a_smarthost_with_dsn_gets_what_was_asked_for_and_reports_itself(tmp_path: Path) -> None:
    async def work() -> None:
        async with Faulty({**WITH_DSN}) as sink, serving(tmp_path, sink=sink) as server:
            async with await Client.at(server.addresses["submission"]) as client:
                await sent(client, "<b@x.net> NOTIFY=SUCCESS ORCPT=rfc822;o@x.net", "<c@x.net>")
            await until(server, counted(sent=1))
            commands = [one.command for one in sink.seen if one.stage in ("mail", "rcpt")]
            assert commands[0].endswith(" RET=HDRS ENVID=Q+2B1")
            assert commands[1:] == ["RCPT TO:<b@x.net> NOTIFY=SUCCESS ORCPT=rfc822;o@x.net", "RCPT TO:<c@x.net>"]
            assert texts(server) == []

    run(work())


def test_to_another_smarthost_it_is_reported_that_the_message_was_relayed(tmp_path: Path) -> None:
    async def work() -> None:
        async with Faulty({}) as sink, serving(tmp_path, sink=sink) as server:
            async with await Client.at(server.addresses["submission"]) as client:
                await sent(client, "<b@x.net> NOTIFY=SUCCESS ORCPT=rfc822;o+2B@x.net", "<c@x.net>")
            await until(server, counted(sent=1))
            assert [one.recipients for one in sink.delivered] == [("b@x.net", "c@x.net")]
            (report,) = texts(server)
            parsed = email.message_from_bytes(report, policy=email.policy.default)
            _, status, returned = parsed.iter_parts()
            whole, *recipients = status.get_payload()
            assert whole["Original-Envelope-Id"] == "Q+1"
            assert [(one["Final-Recipient"], one["Action"], one["Status"]) for one in recipients] == [("rfc822; b@x.net", "relayed", "2.0.0")]
            assert recipients[0]["Original-Recipient"] == "rfc822;o+@x.net"
            assert returned.get_content_type() == "text/rfc822-headers"

    run(work())


def test_failures_are_reported_to_whom_they_are_of_use(tmp_path: Path) -> None:
    async def work() -> None:
        async with Faulty({"rcpt": NEVER}) as sink, serving(tmp_path, sink=sink) as server:
            async with await Client.at(server.addresses["submission"]) as client:
                await sent(client, "<b@x.net> NOTIFY=NEVER", "<c@x.net> NOTIFY=FAILURE", "<d@x.net>", "<e@x.net> NOTIFY=SUCCESS")
                await sent(client, "<f@x.net> NOTIFY=NEVER")
            await until(server, counted(failed=2))
            (report,) = texts(server)
            assert [name for name in "bcdef" if b"rfc822; %b@x.net" % name.encode() in report] == ["c", "d"]
            assert b"text/rfc822-headers" in report  # RET=HDRS
            assert await server.store.messages() == []  # who does not want to know needs nothing kept

    run(work())


@pytest.mark.parametrize("script", [{"mail": LATER}, {"connect": "421 4.3.2 away"}], ids=["put off", "no connection"])
def test_a_delay_is_told_once_and_to_those_who_want_to_know(script: dict[str, str], tmp_path: Path) -> None:
    async def work() -> None:
        async with Faulty({**script}) as sink:
            for number in (3, 2):  # and not again after a restart
                async with serving(tmp_path, sink=sink, retry=QUICKLY, delay_warning=1e-9, plan=Plan.parse("ORDERLY 60s")) as server:
                    if number == 3:
                        async with await Client.at(server.addresses["submission"]) as client:
                            await sent(client, "<b@x.net> NOTIFY=FAILURE", "<c@x.net>", mail="<a@example.org>")
                            await sent(client, "<d@x.net>", mail="<>")
                    await until(server, counted(deferred=2 * number))
                    (report,) = texts(server)
                    assert b"Action: delayed" in report
                    assert b"Subject: Delayed mail" in report
                    assert [name for name in "bcd" if b"rfc822; %b@x.net" % name.encode() in report] == ["c"]

    run(work())


def test_a_smarthost_that_counts_gets_so_many_messages_over_a_connection(tmp_path: Path) -> None:
    async def work() -> None:
        async with Faulty({}) as sink:
            there = Smarthost(Address.parse(sink.address, "x", listening=False), messages=2)
            async with serving(tmp_path, smarthost=there) as server:
                for _ in range(5):
                    await server.store.submit(b"Subject: x\r\n\r\nx\r\n", "a@example.org", ["b@x.net"])
                await until(server, counted(sent=5))
            assert sink.connections == 3
            assert [one.stage for one in sink.seen].count("quit") == 3

    run(work())


def test_a_smarthost_that_counts_gets_so_many_messages_a_minute(tmp_path: Path) -> None:
    async def work() -> None:
        async with Faulty({}) as sink:
            there = Smarthost(Address.parse(sink.address, "x", listening=False), rate=1)
            async with serving(tmp_path, smarthost=there, connections=2) as server:
                for _ in range(2):
                    await server.store.submit(b"Subject: x\r\n\r\nx\r\n", "a@example.org", ["b@x.net"])
                waits = "waiting, for no more than 1 messages are sent a minute"
                now = await until(server, lambda now: now.counters["sent"] == 1 and any(waits in one.note for one in now.blockers))
                assert (now.outbound, len(sink.delivered)) == (1, 1)

    run(work())


def test_so_many_a_minute_leave_evenly() -> None:
    now = 1000.0
    pace = Pace(60, lambda: now)
    assert [pace.wait(), pace.wait()] == [0.0, 1.0]
    now = 1001.0
    assert pace.wait() == 0.0
    now = 1005.0  # what was not used is not saved
    assert [pace.wait(), pace.wait()] == [0.0, 1.0]
    assert [Pace(0, lambda: now).wait() for _ in range(3)] == [0.0] * 3


def test_what_was_put_aside_is_deleted_when_it_is_old(tmp_path: Path) -> None:
    async def work() -> None:
        async with Faulty({"rcpt": NEVER}) as sink, serving(tmp_path, sink=sink) as server:
            await server.store.submit(b"Subject: x\r\n\r\nx\r\n", "", ["b@x.net"])
            await until(server, counted(failed=1))
            assert await expire(server.store, 3600.0) == 0
            assert len(await server.store.messages("failed")) == 1
            assert await expire(server.store, -1.0) == 1
            assert await server.store.messages() == []

    run(work())
