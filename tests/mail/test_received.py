"""The trace information above a message: the header's end, loops, and lines that no client can break."""

from __future__ import annotations

import pytest
from hypothesis import (
    given,
    strategies as st,
)

from fsm.mail.received import MAX_HOPS, Hop, header_of, is_loop


@pytest.mark.parametrize(("content", "head"), [
    (b"A: b\r\n\r\nbody\r\n\r\nmore", b"A: b"), (b"\r\nbody", b""), (b"\nbody", b""), (b"A: b\n\nbody", b"A: b"), (b"A: b", b"A: b"), (b"", b""),
    (b"A: b\n\nx\r\n\r\n", b"A: b"),
])  # fmt: skip
def test_the_header_ends_at_the_first_empty_line(content: bytes, head: bytes) -> None:
    assert header_of(content) == head


@pytest.mark.parametrize(("hops", "loop"), [(0, False), (MAX_HOPS, False), (MAX_HOPS + 1, True)])
def test_a_message_with_too_many_hops_is_loop(hops: int, loop: bool) -> None:
    body = b"\r\n" + b"Received: in the body\r\n" * 200
    assert is_loop(b"RECEIVED: x\r\n" * hops + body) == loop


@given(st.text(), st.text(), st.text())
def test_a_trace_is_two_headers_whatever_the_client_says(peer: str, helo: str, sender: str) -> None:
    text = Hop(peer, helo, "mail.example.org", "ESMTP").delivered(0.0, sender)
    lines = [one for one in text.split(b"\r\n") if not one.startswith(b"\t")]
    assert [one.split(b":")[0] for one in lines] == [b"Return-Path", b"Received", b""]
    assert b"\n" not in text.replace(b"\r\n", b"")
    assert b"\r" not in text.replace(b"\r\n", b"")
