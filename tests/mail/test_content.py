"""The content of a message: the same whatever pieces it arrives in; only CR LF . CR LF ends it; its limits hold."""

from __future__ import annotations

import pytest
from hypothesis import (
    given,
    strategies as st,
)

from fsm.mail.content import Content, dot_stuffed, improper
from fsm.mail.syntax import MAX_LINE

LIMIT = 3000
LINES = st.lists(st.sampled_from([b"", b".", b"..", b".x", b"a", b"a.", b"\r", b"\n", b"\n.\n", b"x" * 600, b"\xff"]), max_size=8)


def fed(wire: bytes, cuts: list[int], limit: int = LIMIT) -> tuple[Content, bytes]:
    content, rest, start = Content(limit), b"", 0
    for end in [*sorted(cut % (len(wire) + 1) for cut in cuts), len(wire)]:
        piece, start = wire[start:end], end
        rest += piece if content.complete else content.feed(piece)
    return content, rest


@given(LINES, st.sampled_from([b"", b"NOOP\r\n", b".\r\n", b"\r\n.\r\n"]), st.lists(st.integers(0, 5000), max_size=6))
def test_whatever_the_pieces_the_content_and_what_follows_are_the_same(lines: list[bytes], after: bytes, cuts: list[int]) -> None:
    whole = b"".join(line + b"\r\n" for line in lines)
    stuffed = b"".join((b"." if line.startswith(b".") else b"") + line + b"\r\n" for line in lines)
    content, rest = fed(stuffed + b".\r\n" + after, cuts, limit=10_000)
    assert (content.complete, content.refusal, rest) == (True, improper(whole), after)
    assert content.octets == (b"" if improper(whole) else whole)


@given(LINES)
def test_what_is_sent_is_what_arrives(lines: list[bytes]) -> None:
    whole = b"".join(line.replace(b"\n", b"").replace(b"\r", b"") + b"\r\n" for line in lines)
    content, rest = fed(dot_stuffed(whole), [3, 9], limit=10_000)
    assert (content.octets, rest) == (whole, b"")


@pytest.mark.parametrize("wire", [b"a\r\n.\n", b"a\n.\r\n", b"a\r\n.\r", b"a\r.\r\n", b"a\r\n..\r\n", b"a\r\n. \r\n", b"", b"."])
def test_nothing_else_ends_it(wire: bytes) -> None:
    content, rest = fed(wire, [])
    assert (content.complete, rest) == (False, b"")


@pytest.mark.parametrize(("wire", "refused"), [
    (b"x" * MAX_LINE + b"\r\n", None),
    (b"x" * (MAX_LINE + 1) + b"\r\n", "500"),
    (b"x" * 100 * LIMIT + b"\r\n", "500"),
    (b"12345678\r\n" * (LIMIT // 10), None),
    (b"12345678\r\n" * (LIMIT // 10) + b"\r\n", "552"),
    (b"12345678\r\n" * LIMIT + b"x" * 5000 + b"\r\n", "552"),  # the first one counts
    (b"x" * 5000 + b"\r\n" + b"12345678\r\n" * LIMIT, "500"),
])  # fmt: skip
@pytest.mark.parametrize("size", [1, 7, 4096, 1 << 20])
def test_limits_are_kept_and_what_is_too_much_is_read_to_its_end(wire: bytes, refused: str | None, size: int) -> None:
    whole = wire + b".\r\nNOOP\r\n"
    content, rest, most = Content(LIMIT), b"", 0
    for start in range(0, len(whole), size):
        piece = whole[start : start + size]
        rest += piece if content.complete else content.feed(piece)
        most = max(most, content.size)
    assert content.complete
    assert (content.refusal or "")[:3] == (refused or "")
    assert content.octets == (b"" if refused else wire)
    assert rest == b"NOOP\r\n"
    assert most <= LIMIT + 10


@given(st.lists(st.binary(max_size=20).map(lambda part: part.replace(b"\r", b"").replace(b"\n", b"").replace(b"\0", b""))))
def test_lines_that_end_as_they_must_are_proper(lines: list[bytes]) -> None:
    assert improper(b"\r\n".join(lines)) is None


@pytest.mark.parametrize("content", [b"\n", b"\r", b"a\nb", b"\r\r\n", b"\n\r\n", b"\r\n\r", b"a\0", b"\r\n.\n", b"\n.\r\n"])
def test_a_cr_or_lf_alone_and_nul_are_improper(content: bytes) -> None:
    assert str(improper(content)).startswith("550 5.6.0")


@pytest.mark.parametrize(("content", "wire"), [
    (b"", b".\r\n"), (b".", b"..\r\n.\r\n"), (b"a\r\n.\r\nb", b"a\r\n..\r\nb\r\n.\r\n"), (b"a\n.\nb\r.\r\n", b"a\r\n..\r\nb\r\n..\r\n.\r\n"),
    (b".\r\n", b"..\r\n.\r\n"), (b"\r\n", b"\r\n.\r\n"),
])  # fmt: skip
def test_no_line_of_a_message_can_be_taken_for_its_end(content: bytes, wire: bytes) -> None:
    assert dot_stuffed(content) == wire
