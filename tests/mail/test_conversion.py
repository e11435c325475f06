"""Conversion for smarthosts that offer less: the same text comes out, nothing that need not change does, and every line is short."""

from __future__ import annotations

import email
import email.policy
from email.message import EmailMessage

import pytest
from hypothesis import (
    given,
    strategies as st,
)

from fsm.mail.conversion import converted
from fsm.mail.demo.samples import SAMPLES, Sample
from fsm.mail.envelope import envelope_of
from fsm.mail.syntax import MAX_LINE, has_long_line
from fsm.store.message import Message


def read(content: bytes) -> EmailMessage:
    message = email.message_from_bytes(content, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


RAW = "From: Zoë <zoe@example.org>\r\nSubject: grüße\r\nX-Kept: as   it\r\n is\r\n\r\nhallo wörld\r\n.\r\nx = y \r\n".encode()


def test_raw_utf_8_becomes_words_and_the_body_quoted_printable() -> None:
    made = converted(RAW, header=True, body=True)
    assert made is not None
    assert made.isascii()
    message = read(made)
    assert (message["Subject"], message["From"].addresses[0].display_name, message["From"].addresses[0].addr_spec) == ("grüße", "Zoë", "zoe@example.org")
    assert message.get_content() == "hallo wörld\r\n.\r\nx = y \r\n"
    assert b"X-Kept: as   it\r\n is\r\n" in made


def test_what_is_offered_stays() -> None:
    header_only, body_only = converted(RAW, header=True, body=False), converted(RAW, header=False, body=True)
    assert header_only is not None
    assert header_only.endswith(RAW.partition(b"\r\n\r\n")[2])
    assert body_only is not None
    assert body_only.startswith(RAW.partition(b"X-Kept")[0])
    assert converted(b"Subject: x\r\n\r\nhello\r\n", header=True, body=True) == b"Subject: x\r\n\r\nhello\r\n"


def test_an_address_beyond_ascii_in_the_header_has_no_other_form() -> None:
    assert converted(next(one for one in SAMPLES if one.name == "smtputf8").content, header=True, body=True) is None


@pytest.mark.parametrize("sample", [one for one in SAMPLES if one.name != "smtputf8"], ids=lambda sample: sample.name)
def test_each_kind_of_message_reads_the_same(sample: Sample) -> None:
    made = converted(sample.arrives, header=True, body=True)
    assert made is not None
    assert made.isascii()
    before, after = read(sample.arrives), read(made)
    assert [part.get_content_type() for part in after.walk()] == [part.get_content_type() for part in before.walk()]
    for one, other in zip(before.walk(), after.walk(), strict=True):
        if not one.is_multipart():
            assert other.get_payload(decode=True) == one.get_payload(decode=True)
    if sample.arrives.isascii():
        assert made.rstrip() == sample.arrives.rstrip()


@pytest.mark.parametrize("content", [
    b"Subject: x\r\n\r\n" + b"y" * 5000 + b"\r\n", b"Subject: " + b"word " * 1000 + b"\r\n\r\nx\r\n",
    b"Content-Type: image/png\r\n\r\n" + b"\xff" * 3000 + b"\r\n",
])  # fmt: skip
def test_long_lines_are_folded(content: bytes) -> None:
    made = converted(content, header=False, body=False)
    assert made is not None
    assert not has_long_line(made)
    before, after = read(content), read(made)
    assert (after["Subject"] or "").split() == (before["Subject"] or "").split()
    assert after.get_payload(decode=True).rstrip() == before.get_payload(decode=True).rstrip()  # type: ignore[union-attr]


@given(st.lists(st.sampled_from([b"Subject: \xe4\xc3\xa4\r\n", b"\r\n", b"--B\r\n", b"Content-Type: multipart/mixed; boundary=B\r\n", b"x\xff\r\n", b" a\r\n",
                                 b"Content-Transfer-Encoding: base64\r\n", b"Content-Type: message/rfc822\r\n", b"--B--\r\n", b"y" * 1200 + b"\r\n",
                                 b"To: \xff <\xff@b>\r\n", b"Content-Type: text/plain; charset=nowhere\r\n", b"=?x?=\r\n"]), max_size=12))  # fmt: skip
def test_whatever_comes_out_is_sendable_or_nothing_does(lines: list[bytes]) -> None:
    made = converted(b"".join(lines), header=True, body=True)
    assert made is None or (made.isascii() and not has_long_line(made))


@pytest.mark.parametrize(("line", "long"), [(MAX_LINE, False), (MAX_LINE + 1, True), (0, False), (5, False)])
@pytest.mark.parametrize("before", [b"", b"\r\n", b"x\r\n" * 500, b"z" * 998 + b"\r\n"])
@pytest.mark.parametrize("after", [b"", b"\r\n", b"\r\nx", b"\r\n" + b"x\r\n" * 700])
def test_a_long_line_is_found_wherever_it_is(line: int, long: bool, before: bytes, after: bytes) -> None:
    assert has_long_line(before + b"y" * line + after) == long


# ----------------------------------------------------------------------------------------------------- envelopes


@pytest.mark.parametrize(("sender", "content", "offers", "mail", "problem"), [
    ("a@b.c", b"\r\nx", {"size"}, "MAIL FROM:<a@b.c> SIZE=3", None),
    ("a@b.c", RAW, {"8bitmime", "smtputf8"}, "MAIL FROM:<a@b.c> BODY=8BITMIME SMTPUTF8", None),
    ("a@b.c", RAW, {"8bitmime"}, "MAIL FROM:<a@b.c> BODY=8BITMIME", None),
    ("a@b.c", RAW, set(), "MAIL FROM:<a@b.c>", None),
    ("ä@b.c", b"\r\nx", {"8bitmime"}, "", "550 5.6.7"), ("ä@b.c", b"\r\nx", {"smtputf8"}, "MAIL FROM:<ä@b.c> SMTPUTF8", None),
    ("a@bücher.example", b"\r\nx", set(), "MAIL FROM:<a@xn--bcher-kva.example>", None),
    ("", b"\r\nx", set(), "MAIL FROM:<>", None), ('"a..b"@b.c', b"\r\nx", set(), 'MAIL FROM:<"a..b"@b.c>', None),
    ("a b@c", b"\r\nx", set(), "", "553"),
])  # fmt: skip
def test_an_envelope_asks_for_what_the_message_needs(sender: str, content: bytes, offers: set[str], mail: str, problem: str | None) -> None:
    made = envelope_of(Message("1", content, sender, ("d@e.f",)), offers, as_it_is=False)
    assert (made.mail.decode(), (made.problem or "")[: len(problem or "")]) == (mail, problem or "")


def test_as_it_is_nothing_is_converted_or_asked_for() -> None:
    made = envelope_of(Message("1", RAW, "a@b.c", ("d@e.f",)), set(), as_it_is=True)
    assert (made.content, made.mail) == (RAW, b"MAIL FROM:<a@b.c>")
