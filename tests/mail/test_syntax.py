"""What may stand in a line: whatever goes in, one line comes out; and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import (
    given,
    strategies as st,
)

from fsm.mail.received import MOST_HOPS, Passage, goes_in_a_circle, header_of
from fsm.mail.syntax import ascii_line, improper, line, wrong_address


@given(st.text())
def test_a_line_is_one_line(text: str) -> None:
    for made in (line(text), ascii_line(text)):
        assert len(made.splitlines()) <= 1
        assert "\0" not in made
        made.encode()
    assert ascii_line(text).isascii()


@given(st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=100).map(str.strip))
def test_harmless_text_stays_as_it_is(text: str) -> None:
    assert line(text) == text


def test_a_line_is_cut() -> None:
    assert line("x" * 1000, 10) == "xxxxxxx..."


@given(st.lists(st.binary(max_size=20).map(lambda part: part.replace(b"\r", b"").replace(b"\n", b"").replace(b"\0", b""))))
def test_lines_that_end_as_they_must_are_proper(lines: list[bytes]) -> None:
    assert improper(b"\r\n".join(lines)) is None


@pytest.mark.parametrize("content", [b"\n", b"\r", b"a\nb", b"\r\r\n", b"\n\r\n", b"\r\n\r", b"a\0", b"\r\n.\n", b"\n.\r\n"])
def test_a_cr_or_lf_alone_and_nul_are_improper(content: bytes) -> None:
    assert str(improper(content)).startswith("550 5.6.0")


@pytest.mark.parametrize(("address", "utf8", "good"), [
    ("a@b.c", False, True), ("postmaster", False, True), ('"a b"@c', False, True), ('"a\\"b"@c', False, True), ("a@[127.0.0.1]", False, True),
    ("a@[IPv6:::1]", False, True), ("ä@b.c", True, True), ("ä@b.c", False, False), ("a b@c", False, False), ("a@b\r\nc", True, False),
    ("a@b>c", True, False), ("<a@b", True, False), ("a\0@b", True, False), ("a@b,c@d", True, False), ("a" * 300 + "@b", True, False),
    ("a\ud800@b", True, False), ("a@b\u2028", True, False), ('"a"b"@c', False, False), ("a\\b@c", False, False),
])  # fmt: skip
def test_addresses(address: str, utf8: bool, good: bool) -> None:
    assert (wrong_address(address, smtputf8=utf8) is None) == good


@pytest.mark.parametrize(("content", "head"), [
    (b"A: b\r\n\r\nbody\r\n\r\nmore", b"A: b"), (b"\r\nbody", b""), (b"\nbody", b""), (b"A: b\n\nbody", b"A: b"), (b"A: b", b"A: b"), (b"", b""),
    (b"A: b\n\nx\r\n\r\n", b"A: b"),
])  # fmt: skip
def test_the_header_ends_at_the_first_empty_line(content: bytes, head: bytes) -> None:
    assert header_of(content) == head


@pytest.mark.parametrize(("hops", "circle"), [(0, False), (MOST_HOPS, False), (MOST_HOPS + 1, True)])
def test_a_message_with_too_many_hops_goes_in_a_circle(hops: int, circle: bool) -> None:
    body = b"\r\n" + b"Received: in the body\r\n" * 200
    assert goes_in_a_circle(b"RECEIVED: x\r\n" * hops + body) == circle


@given(st.text(), st.text(), st.text())
def test_a_trace_is_two_headers_whatever_the_client_says(peer: str, helo: str, sender: str) -> None:
    text = Passage(peer, helo, "mail.example.org", "ESMTP").delivered(0.0, sender)
    lines = [one for one in text.split(b"\r\n") if not one.startswith(b"\t")]
    assert [one.split(b":")[0] for one in lines] == [b"Return-Path", b"Received", b""]
    assert b"\n" not in text.replace(b"\r\n", b"")
    assert b"\r" not in text.replace(b"\r\n", b"")
