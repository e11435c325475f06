"""Delivery status notifications: their form, and that nothing from elsewhere can add a line to them."""

from __future__ import annotations

import email
import email.policy

import pytest
from hypothesis import (
    given,
    strategies as st,
)

from fsm.mail.demo.samples import SAMPLES
from fsm.mail.dsn import MAX_RETURNED, Failure, notification, notification_name
from fsm.store.message import Message

CONTENT = b"Subject: hello\r\nMessage-ID: <m@x>\r\n\r\nwords\r\n"
MESSAGE = Message("0001", CONTENT, "a@example.org", ("b@example.net",), submitted=1_700_000_000.0)
NEVER = Failure("b@example.net", "550 5.1.1 no such user")


def made(message: Message = MESSAGE, *failures: Failure) -> tuple[bytes, email.message.EmailMessage]:
    text = notification(message, failures or (NEVER,), host="mail.example.org", smarthost="mx.example.net", now=1_700_000_100.0)
    return text, email.message_from_bytes(text, policy=email.policy.default)  # type: ignore[return-value]


def test_it_is_a_report_of_rfc_3464() -> None:
    text, parsed = made()
    assert parsed.get_content_type() == "multipart/report"
    assert parsed.get_param("report-type") == "delivery-status"
    words, status, returned = parsed.iter_parts()
    assert "b@example.net" in words.get_content()
    whole, recipient = status.get_payload()
    assert (whole["Reporting-MTA"], recipient["Final-Recipient"]) == ("dns; mail.example.org", "rfc822; b@example.net")
    assert (recipient["Action"], recipient["Status"]) == ("failed", "5.1.1")
    assert recipient["Diagnostic-Code"] == "smtp; 550 5.1.1 no such user"
    assert returned.get_content()["Message-ID"] == "<m@x>"
    assert (parsed["Auto-Submitted"], parsed["Return-Path"], parsed["To"]) == ("auto-replied", "<>", "a@example.org")
    assert [part.defects for part in parsed.walk() if part.defects] == []
    assert b"\n" not in text.replace(b"\r\n", b"")


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_any_message_is_returned_as_it_was(sample) -> None:  # type: ignore[no-untyped-def]
    message = Message("0002", sample.content, "a@example.org", sample.recipients)
    text, parsed = made(message, Failure(sample.recipients[0], "554 no"))
    assert sample.arrives in text
    assert len(list(parsed.iter_parts())) == 3


def test_of_a_long_message_only_the_header_is_returned() -> None:
    text, parsed = made(Message("0003", CONTENT + b"x" * 70 * 1000 + b"\r\n" * MAX_RETURNED, "a@example.org", ("b",)))
    assert list(parsed.iter_parts())[2].get_content_type() == "text/rfc822-headers"
    assert len(text) < 3000


@pytest.mark.parametrize(("reason", "status"), [
    ("550 5.1.1 no", "5.1.1"), ("550-5.7.26 no", "5.7.26"), ("451 4.4.7 too long", "5.4.7"), ("550 no", "5.0.0"), ("gone", "5.0.0"),
    ("5505.1.1", "5.0.0"), ("250 2.0.0 fine", "5.0.0"),
])  # fmt: skip
def test_the_status_is_the_server_s_or_a_general_one(reason: str, status: str) -> None:
    assert Failure("b", reason).status == status


def test_the_same_failures_of_the_same_message_have_the_same_name() -> None:
    one, two = Failure("a@x", "550"), Failure("b@x", "550")
    assert notification_name(MESSAGE, [one, two]) == notification_name(MESSAGE, [two, one])
    assert len({notification_name(MESSAGE, chosen) for chosen in ([one], [two], [one, two])}) == 3
    assert notification_name(MESSAGE, [one]) != notification_name(Message("0002", b""), [one])


@pytest.mark.parametrize("message", [Message("1", b"", "", ("b",)), Message("1", b"", "<>"[:0], ())])
def test_nobody_is_told_of_mail_without_a_sender(message: Message) -> None:
    with pytest.raises(ValueError, match="a notification needs a sender and at least one failed recipient"):
        made(message)


EVIL = st.text(alphabet=st.sampled_from("ab@.<>:;\r\n\0\t \x85\u2028ä€\ud800-_=\"\\"), max_size=60) | st.sampled_from(
    ["\r\nBcc: evil@example.org", "x\r\n\r\n<html>", "a>\r\nSubject: no", "\n.\nMAIL FROM:<a>", "--=_report", "\x85Bcc: e", "\u2028X: y"]
)


@given(sender=EVIL, recipient=EVIL, reason=EVIL, content=st.binary(max_size=200) | EVIL.map(lambda text: text.encode(errors="replace")))
def test_nothing_from_elsewhere_adds_a_header_a_part_or_a_line(sender: str, recipient: str, reason: str, content: bytes) -> None:
    message = Message("0004", content, sender or "a", (recipient,))
    text, parsed = made(message, Failure(recipient, reason))
    assert parsed.keys() == made()[1].keys()
    _, status, _ = parsed.iter_parts()
    assert len(status.get_payload()) == 2
    assert {*status.get_payload()[1].keys()} <= {"Final-Recipient", "Action", "Status", "Remote-MTA", "Diagnostic-Code"}
    assert b"\0" not in text
    assert b"\n" not in text.replace(b"\r\n", b"")
    assert b"\r" not in text.replace(b"\r\n", b"")
