"""Delivery to a smarthost: whatever it does at any stage, each message is sent, deferred, uncertain, or failed and reported."""

from __future__ import annotations

import asyncio
import email
import email.policy
import os
import threading
from pathlib import Path

import pytest

from fsm.mail import link
from fsm.mail.config import Address, Smarthost
from fsm.mail.demo.samples import SAMPLES, Sample, fresh, large
from fsm.mail.demo.sink import Exchange, Reaction, SmtpSink
from fsm.store import Plan
from tests.mail.sink import CLOSE, CLOSE_KEPT, HANG_KEPT, RESET, RESET_KEPT, STALL, Faulty
from tests.mail.support import Client, counted, run, serving, texts, until

STAGES = ("connect", "ehlo", "mail", "rcpt", "data", "dot")
LATER, NEVER = "451 4.3.0 not now", "554 5.7.1 never"
UNSENT = {"connect", "ehlo"}
"""A refusal there is the smarthost's trouble, not the message's: it is tried again even after a 5xx."""
FAULTS = {
    "4xx": LATER, "5xx": NEVER, "close": CLOSE, "reset": RESET, "stall": STALL,
    "421": Reaction("421 4.3.2 closing", "close"), "nonsense": "hello there",
}  # fmt: skip


def expected(stage: str, fault: str) -> str:
    if fault == "5xx":
        return "deferred" if stage in UNSENT else "failed"
    if fault in ("close", "reset", "stall", "nonsense") and stage == "dot":
        return "uncertain"
    return "deferred"


WAIT = 1.0
"""Seconds after which a smarthost that stalls is given up; whatever else is to be answered is, on a slow machine too."""
PLAIN = {"ehlo": "250-sink\r\n250 8BITMIME"}
"""A smarthost that does not offer PIPELINING."""


@pytest.fixture
def no_longer_for_the_dot(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer to the final dot is waited for no longer than any other."""
    monkeypatch.setattr(link, "DOT_FACTOR", 1)


@pytest.mark.usefixtures("no_longer_for_the_dot")
@pytest.mark.parametrize("offers", [{}, PLAIN], ids=["pipelining", "plain"])
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("stage", STAGES)
def test_each_fault_at_each_stage_has_the_one_ending_it_must_have(
    stage: str, fault: str, offers: dict[str, str], tmp_path: Path
) -> None:
    async def work() -> None:
        ending = expected(stage, fault)
        async with Faulty(offers | {stage: FAULTS[fault]}) as sink, serving(tmp_path, sink=sink, timeout=WAIT) as server:
            await server.store.submit(b"Subject: x\r\n\r\nhello\r\n", "a@example.org", ["b@example.net"])
            now = await until(server, counted(**{ending: 1}))
            others = {name: now.counters[name] for name in ("sent", "failed", "uncertain", "held")}
            assert others == {"sent": 0, "failed": 0, "uncertain": 0, "held": 0} | ({ending: 1} if ending in others else {})
            assert (now.deferred, now.ready, now.outbound) == ((0 if ending == "failed" else 1), 0, 0)
            assert len(texts(server)) == (ending == "failed")
            assert sink.delivered == []
            for message in await server.store.messages():
                assert message.reason
                assert (message.state, message.uncertain) == ("deferred", int(ending == "uncertain"))

    run(work())


@pytest.mark.usefixtures("no_longer_for_the_dot")
@pytest.mark.parametrize("fault", [HANG_KEPT, CLOSE_KEPT, RESET_KEPT], ids=["hang", "close", "reset"])
@pytest.mark.parametrize("policy", ["resend", "hold"])
def test_taken_without_an_answer_is_uncertain_and_by_policy_sent_again_or_held(fault: Reaction, policy: str, tmp_path: Path) -> None:
    async def work() -> None:
        quickly = (0.001, 1.0, 0.001)
        async with Faulty({"dot": fault}, only=1) as sink, serving(tmp_path, sink=sink, timeout=WAIT, uncertain=policy, retry=quickly) as server:
            await server.store.submit(b"Message-ID: <x@x>\r\n\r\nhello\r\n", "a@example.org", ["b@example.net"])
            if policy == "resend":
                await until(server, counted(uncertain=1, sent=1))
                assert sink.message_ids == ["<x@x>", "<x@x>"]
            else:
                now = await until(server, counted(uncertain=1, held=1))
                assert (now.held, sink.message_ids) == (1, ["<x@x>"])

    run(work())


@pytest.mark.parametrize("offers", [{}, PLAIN], ids=["pipelining", "plain"])
def test_recipients_differ_and_only_those_who_are_to_wait_are_asked_again(offers: dict[str, str], tmp_path: Path) -> None:
    answers = {"never@": "550 5.1.1 no such user", "later@": "450 4.2.1 mailbox busy"}

    async def work() -> None:
        def rcpt(exchange: Exchange) -> str | None:
            waits = len(sink.delivered) == 0
            return next((reply for name, reply in answers.items() if name in exchange.command and (waits or name == "never@")), None)

        recipients = ["one@example.net", "never@example.net", "later@example.net", "two@example.net"]
        async with Faulty({**offers, "rcpt": rcpt}) as sink, serving(tmp_path, sink=sink, retry=(0.001, 1.0, 0.001)) as server:
            await server.store.submit(b"Message-ID: <m@x>\r\nSubject: s\r\n\r\nhello\r\n", "a@example.org", recipients)
            await until(server, counted(deferred=1, sent=1))
            assert [one.recipients for one in sink.delivered] == [("one@example.net", "two@example.net"), ("later@example.net",)]
            (notification,) = texts(server)
            assert b"Final-Recipient: rfc822; never@example.net" in notification
            assert b"Status: 5.1.1" in notification
            assert b"later@" not in notification.partition(b"message/rfc822")[0]
            assert await server.store.messages() == []

    run(work())


@pytest.mark.parametrize(("refusing", "connections"), [("rcpt", 1), ("mail", 2)])
def test_a_smarthost_that_wants_a_message_nobody_takes_gets_an_empty_one_for_nobody(refusing: str, connections: int, tmp_path: Path) -> None:
    # RFC 2920 3.1.  When it would take recipients after a refused sender, a lone dot would be a message to them, so the link is cut.
    async def work() -> None:
        script = {refusing: NEVER, "data": "354 go on"} | ({"rcpt": "250 OK"} if refusing == "mail" else {})
        async with Faulty(script, only=1) as sink, serving(tmp_path, sink=sink) as server:
            for _ in range(2):
                await server.store.submit(b"\r\nhello", "a@example.org", ["b@example.net", "c@example.net"])
            await until(server, counted(failed=1, sent=1))
            assert [message.content for message in sink.delivered] == [b"\r\nhello\r\n"]
            assert sink.connections == connections
            assert ("rset" in [exchange.stage for exchange in sink.seen]) == (connections == 1)

    run(work())


def test_a_failure_of_mail_without_a_sender_is_told_nobody_and_kept(tmp_path: Path) -> None:
    async def work() -> None:
        async with Faulty({"mail": NEVER}) as sink, serving(tmp_path, sink=sink) as server:
            await server.store.submit(b"Subject: x\r\n\r\n", "", ["b@example.net"])
            await until(server, counted(failed=1))
            assert texts(server) == []
            assert [message.state for message in await server.store.messages()] == ["failed"]

    run(work())


def test_a_report_that_cannot_be_stored_defers_the_failure(tmp_path: Path) -> None:
    async def work() -> None:
        async with Faulty({"mail": NEVER}) as sink, serving(tmp_path, sink=sink) as server:
            new = server.inbox.folder / "new"
            new.rmdir()
            new.touch()
            await server.store.submit(b"Subject: x\r\n\r\n", "a@example.org", ["b@example.net"])
            await until(server, counted(deferred=1))
            assert [message.state for message in await server.store.messages()] == ["deferred"]

    run(work())


def test_what_could_not_be_sent_for_days_goes_back(tmp_path: Path) -> None:
    async def work() -> None:
        for script in ({"mail": LATER}, {"connect": CLOSE}):
            folder = tmp_path / next(iter(script))
            async with Faulty(script) as sink, serving(folder, sink=sink, give_up=1e-9) as server:
                await server.store.submit(b"Subject: x\r\n\r\n", "a@example.org", ["b@example.net"])
                await until(server, counted(failed=1))
                (notification,) = texts(server)
                assert b"Status: 5.4.7" in notification

    run(work())


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_each_kind_of_message_arrives_byte_for_byte(sample: Sample, tmp_path: Path) -> None:
    async def work() -> None:
        async with SmtpSink() as sink, serving(tmp_path, sink=sink) as server:
            await server.store.submit(sample.content, sample.sender, sample.recipients)
            await sink.until(1)
            (message,) = sink.delivered
            assert (message.content, message.sender, message.recipients) == (sample.arrives, sample.sender, sample.recipients)
            assert message.message_id == sample.message_id

    run(work())


def test_megabytes_arrive_in_pieces(tmp_path: Path) -> None:
    async def work() -> None:
        sample = large(5_000_000, 7)
        async with SmtpSink() as sink, serving(tmp_path, sink=sink) as server:
            await server.store.submit(sample.content, sample.sender, sample.recipients)
            await sink.until(1)
            assert sink.delivered[0].content == sample.content

    run(work())


def test_a_link_lost_in_the_middle_of_megabytes_is_certain(tmp_path: Path) -> None:
    async def work() -> None:
        sample = large(5_000_000, 8)

        class Cutting(Faulty):
            def react(self, exchange: Exchange) -> Reaction | str | None:
                if exchange.stage == "data":  # whoever goes on reading nothing closes at last
                    self.conversations[-1].transport.pause_reading()
                return super().react(exchange)

        async with Cutting({}) as sink, serving(tmp_path, sink=sink) as server:
            await server.store.submit(sample.content, sample.sender, sample.recipients)
            await until(server, lambda now: any("sending" in blocker.note for blocker in now.blockers))
            sink.conversations[-1].transport.abort()
            now = await until(server, counted(deferred=1))
            assert now.counters["uncertain"] == 0

    run(work())


@pytest.mark.parametrize("reply", ["250 OK", "251 will forward", "252 perhaps", "254 so it is", "299 x"])
@pytest.mark.parametrize("offers", [{}, PLAIN], ids=["pipelining", "plain"])
def test_every_2yz_takes_a_recipient_and_he_gets_the_message(offers: dict[str, str], reply: str, tmp_path: Path) -> None:
    async def work() -> None:
        async with Faulty(offers | {"rcpt": reply}) as sink, serving(tmp_path, sink=sink) as server:
            await server.store.submit(b"Subject: x\r\n\r\nhello\r\n", "a@example.org", ["b@example.net"])
            await until(server, counted(sent=1))
            assert [one.content for one in sink.delivered] == [b"Subject: x\r\n\r\nhello\r\n"]

    run(work())


def test_addresses_beyond_ascii_need_smtputf8_and_fail_for_good_without(tmp_path: Path) -> None:
    sample = next(one for one in SAMPLES if one.name == "smtputf8")

    async def work() -> None:
        async with Faulty({"ehlo": "250-sink\r\n250 SIZE 10"}) as sink, serving(tmp_path, sink=sink) as server:
            await server.store.submit(b"Subject: x\r\n\r\nhello\r\n", sample.sender, sample.recipients)
            await until(server, counted(failed=1))
            (notification,) = texts(server)
            report = email.message_from_bytes(notification, policy=email.policy.default)
            assert "needs SMTPUTF8" in report.get_payload()[0].get_content()  # type: ignore[union-attr]
            assert "mail" not in [exchange.stage for exchange in sink.seen]

    run(work())


@pytest.mark.parametrize("as_it_is", [False, True])
def test_what_the_smarthost_does_not_offer_is_converted_or_sent_as_it_is(as_it_is: bool, tmp_path: Path) -> None:
    async def work() -> None:
        raw = "Subject: grüße\r\n\r\nwörld\r\n".encode()
        async with Faulty({"ehlo": "250 sink"}) as sink:
            there = Smarthost(Address.parse(sink.address, "the sink", listening=False), as_it_is=as_it_is)
            async with serving(tmp_path, smarthost=there) as server:
                await server.store.submit(raw, "a@example.org", ["b@example.net"])
                await until(server, counted(sent=1))
        assert (sink.delivered[0].content == raw) == as_it_is
        read = email.message_from_bytes(sink.delivered[0].content, policy=email.policy.default)
        assert as_it_is or (read["Subject"], read.get_content().strip()) == ("grüße", "wörld")  # type: ignore[attr-defined]

    run(work())


@pytest.mark.parametrize(("refusal", "failed"), [
    ("552 5.5.3 too many", 0), ("552 too many recipients", 0), ("452 4.5.3 too many", 0), ("552 5.2.2 mailbox full", 3), ("550 5.1.1 no", 3),
])  # fmt: skip
def test_too_many_recipients_are_no_failure_and_the_rest_is_sent(refusal: str, failed: int, tmp_path: Path) -> None:
    async def work() -> None:
        def rcpt(exchange: Exchange) -> str | None:
            taken[exchange.message] = taken.get(exchange.message, 0) + 1
            return refusal if taken[exchange.message] > 2 else None

        taken: dict[int, int] = {}
        recipients = [f"{name}@example.net" for name in "abcde"]
        async with Faulty({"rcpt": rcpt}) as sink, serving(tmp_path, sink=sink, retry=(0.001, 1.0, 0.001)) as server:
            await server.store.submit(b"Subject: x\r\n\r\nhello\r\n", "a@example.org", recipients)
            await until(server, counted(failed=1) if failed else counted(sent=1))
            assert sorted(one for message in sink.delivered for one in message.recipients) == recipients[: 5 - failed]
            assert len(texts(server)) == (failed > 0)

    run(work())


@pytest.mark.parametrize("reply", ["530 5.7.0 Authentication required", "530 Must issue a STARTTLS command first", "538 encryption required", "535 5.7.8 no"])
@pytest.mark.parametrize("stage", ["mail", "rcpt", "data"])
def test_a_login_that_is_not_configured_is_the_operators_trouble_and_said_once(
    stage: str, reply: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        async with Faulty({stage: reply}) as sink, serving(tmp_path, sink=sink) as server:
            for _ in range(3):
                await server.store.submit(b"Subject: x\r\n\r\nhello\r\n", "a@example.org", ["b@example.net"])
            await until(server, counted(deferred=3))
            assert (texts(server), {message.state for message in await server.store.messages()}) == ([], {"deferred"})
            assert [record.levelname for record in caplog.records if "not configured" in record.message] == ["ERROR"]

    run(work())


@pytest.mark.usefixtures("no_longer_for_the_dot")
@pytest.mark.parametrize("fault", [CLOSE_KEPT, HANG_KEPT], ids=["close", "hang"])
def test_what_may_have_arrived_each_time_is_given_up_with_one_report_that_says_so(fault: Reaction, tmp_path: Path) -> None:
    async def work() -> None:
        async with Faulty({"dot": fault}) as sink, serving(tmp_path, sink=sink, timeout=WAIT, give_up=1e-9) as server:
            await server.store.submit(b"Subject: x\r\n\r\nhello\r\n", "a@example.org", ["b@example.net"])
            await until(server, counted(failed=1))
            (notification,) = texts(server)
            assert b"may have arrived" in notification
            assert await server.store.messages() == []

    run(work())


@pytest.mark.parametrize(("stage", "reply"), [
    ("rcpt", Reaction("421 4.4.2 idle", "close")), ("mail", "450 4.7.1 enough for one connection"), ("mail", "421 4.7.0 enough"), ("data", Reaction("421 x", "close")),
])  # fmt: skip
@pytest.mark.parametrize("offers", [{}, PLAIN], ids=["pipelining", "plain"])
def test_an_exhausted_connection_is_replaced_at_once(offers: dict[str, str], stage: str, reply: Reaction | str, tmp_path: Path) -> None:
    async def work() -> None:
        def answer(exchange: Exchange) -> Reaction | str | None:
            return reply if exchange.message > 2 else None

        async with Faulty(offers | {stage: answer}) as sink, serving(tmp_path, sink=sink) as server:
            for _ in range(5):
                await server.store.submit(b"\r\nhello", "a@example.org", ["b@example.net"])
            now = await until(server, counted(sent=5))
            assert (sink.connections, now.counters["deferred"], len(sink.delivered)) == (3, 0, 5)

    run(work())


@pytest.mark.parametrize("stage", ["dot"])
def test_lmtp_answers_for_each_recipient(stage: str, tmp_path: Path) -> None:
    async def work() -> None:
        def dots(exchange: Exchange) -> str:
            return "250 taken\r\n550 5.2.2 full\r\n450 4.2.1 busy"

        async with Faulty({stage: dots}, only=1) as sink:
            there = Smarthost(Address.parse(sink.address, "the sink", listening=False), lmtp=True)
            async with serving(tmp_path, smarthost=there) as server:
                await server.store.submit(b"Subject: x\r\n\r\nhello\r\n", "a@example.org", ["b@x.net", "c@x.net", "d@x.net"])
                await until(server, counted(deferred=1))
                assert [message.recipients for message in await server.store.messages()] == [("d@x.net",)]
                (notification,) = texts(server)
                assert b"Final-Recipient: rfc822; c@x.net" in notification
                assert [one.command[:4] for one in sink.seen if one.stage == "ehlo"] == ["LHLO"]

    run(work())


def test_a_smarthost_that_cannot_be_found_yet_defers_and_mail_is_taken(tmp_path: Path) -> None:
    async def work() -> None:
        there = Smarthost(Address.parse("nowhere.invalid:25", "--smarthost", listening=False), "starttls")
        async with serving(tmp_path, smarthost=there) as server, await Client.at(server.addresses["submission"]) as client:
            await client.begin()
            assert (await client.end()).startswith("250")
            await until(server, counted(deferred=1))
            (message,) = await server.store.messages()
            assert "cannot connect to nowhere.invalid:25" in str(message.reason)

    run(work())


def test_a_kept_connection_is_used_again_and_its_loss_between_messages_is_no_attempt(tmp_path: Path) -> None:
    async def work() -> None:
        async with SmtpSink() as sink, serving(tmp_path, sink=sink) as server:
            for number in range(1, 6):
                await server.store.submit(b"\r\nhello", "a@example.org", ["b@example.net"])
                await sink.until(number)
                if number == 3:
                    await until(server, counted(sent=3))
                    sink.hang_up()
            now = await until(server, counted(sent=5))
            assert (sink.connections, now.counters["deferred"], now.counters["uncertain"]) == (2, 0, 0)

    run(work())


def test_a_kept_connection_that_is_answered_421_is_opened_again(tmp_path: Path) -> None:
    async def work() -> None:
        def mail(exchange: Exchange) -> Reaction | None:
            return Reaction("421 4.4.2 idle", "close") if exchange.message == 2 else None

        async with Faulty({"mail": mail}) as sink, serving(tmp_path, sink=sink) as server:
            for _ in range(3):
                await server.store.submit(b"\r\nhello", "a@example.org", ["b@example.net"])
            now = await until(server, counted(sent=3))
            assert (sink.connections, now.counters["deferred"]) == (3, 0)

    run(work())


@pytest.mark.parametrize(("stage", "uncertain"), [("connect", 0), ("mail", 0), ("rcpt", 0), ("data", 0), ("dot", 1)])
def test_the_cancel_step_ends_what_stalls_and_knows_whether_that_is_certain(stage: str, uncertain: int, tmp_path: Path) -> None:
    async def work() -> None:
        async with Faulty({stage: STALL}) as sink, serving(tmp_path, sink=sink, plan=Plan.parse("NO_WAIT 0s -> cancel 60s")) as server:
            id = await server.store.submit(b"\r\nhello", "a@example.org", ["b@example.net"])
            await sink.until_at(stage)
            server.close()
            outcome = await server.served()
            assert outcome
            assert [message.id for message in outcome.left] == [id]
            assert [message.id for message in outcome.uncertain] == [id] * uncertain

    run(work())


def test_a_worker_that_is_cancelled_while_a_report_is_written_sends_nothing_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is slow cannot be stopped: the report is finished, and then the worker ends."""
    writing, goes_on, sync = threading.Event(), threading.Event(), os.fsync

    def slow(descriptor: int) -> None:
        writing.set()
        goes_on.wait()
        sync(descriptor)

    async def work() -> None:
        async with Faulty({"rcpt": NEVER}) as sink, serving(tmp_path, sink=sink) as server:
            relay = server._relay
            assert relay is not None
            monkeypatch.setattr(os, "fsync", slow)
            id = await server.store.submit(b"\r\nhello", "a@example.org", ["b@example.net"])
            await asyncio.to_thread(writing.wait)
            sink.script.clear()
            relay.cancel()
            goes_on.set()
            await asyncio.gather(*relay.workers, return_exceptions=True)
            another = await server.store.submit(b"\r\nhello", "a@example.org", ["b@example.net"])
            assert [(one.id, one.state) for one in await server.store.messages()] == [(another, "ready")]
            assert [id.encode() in report for report in texts(server)] == [True]

    run(work())


def test_a_stalled_delivery_is_named_as_what_is_in_the_way(tmp_path: Path) -> None:
    async def work() -> None:
        async with Faulty({"dot": HANG_KEPT}) as sink, serving(tmp_path, sink=sink) as server:
            id = await server.store.submit(b"\r\nhello", "a@example.org", ["b@example.net"])
            await sink.until_at("dot")
            (blocker,) = server.store.blockers()
            assert (blocker.id, blocker.provider, blocker.note) == (id, f"smtp:{sink.address}", "waiting for the answer")
            sink.answer_all("dot")
            await until(server, counted(sent=1))

    run(work())


def test_many_messages_over_several_connections_arrive_once_each(tmp_path: Path) -> None:
    async def work() -> None:
        samples = list(fresh(120, large_every=40, size=400_000))
        async with SmtpSink() as sink, serving(tmp_path, sink=sink, connections=4) as server:
            for sample in samples:
                await server.store.submit(sample.content, sample.sender, sample.recipients)
            await until(server, counted(sent=len(samples)))
            assert sorted(sink.message_ids) == sorted(sample.message_id for sample in samples)
            assert sink.connections <= 4

    run(work())
