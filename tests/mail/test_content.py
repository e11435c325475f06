"""The content of a message: the same whatever pieces it comes in; only CR LF . CR LF ends it; its limits hold."""

from __future__ import annotations

import pytest
from hypothesis import (
    given,
    strategies as st,
)

from fsm.mail.content import LONGEST_LINE, Content
from fsm.mail.syntax import transparent

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
    assert (content.complete, content.refused, content.whole, rest) == (True, None, whole, after)


@given(LINES)
def test_what_is_sent_is_what_arrives(lines: list[bytes]) -> None:
    whole = b"".join(line.replace(b"\n", b"").replace(b"\r", b"") + b"\r\n" for line in lines)
    content, rest = fed(transparent(whole), [3, 9], limit=10_000)
    assert (content.whole, rest) == (whole, b"")


@pytest.mark.parametrize("wire", [b"a\r\n.\n", b"a\n.\r\n", b"a\r\n.\r", b"a\r.\r\n", b"a\r\n..\r\n", b"a\r\n. \r\n", b"", b"."])
def test_nothing_else_ends_it(wire: bytes) -> None:
    content, rest = fed(wire, [])
    assert (content.complete, rest) == (False, b"")


@pytest.mark.parametrize(("wire", "refused"), [
    (b"x" * LONGEST_LINE + b"\r\n", None),
    (b"x" * (LONGEST_LINE + 1) + b"\r\n", "500"),
    (b"x" * 100 * LIMIT + b"\r\n", "500"),
    (b"12345678\r\n" * (LIMIT // 10), None),
    (b"12345678\r\n" * (LIMIT // 10) + b"\r\n", "552"),
    (b"12345678\r\n" * LIMIT + b"x" * 5000 + b"\r\n", "552"),  # what came first is told
    (b"x" * 5000 + b"\r\n" + b"12345678\r\n" * LIMIT, "500"),
])  # fmt: skip
@pytest.mark.parametrize("size", [1, 7, 4096, 1 << 20])
def test_limits_are_kept_and_what_is_too_much_is_read_to_its_end(wire: bytes, refused: str | None, size: int) -> None:
    whole = wire + b".\r\nNOOP\r\n"
    content, rest, most = Content(LIMIT), b"", 0
    for start in range(0, len(whole), size):
        piece = whole[start : start + size]
        rest += piece if content.complete else content.feed(piece)
        most = max(most, len(content._buffer))
    assert content.complete
    assert (content.refused or "")[:3] == (refused or "")
    assert content.whole == (b"" if refused else wire)
    assert rest == b"NOOP\r\n"
    assert most <= LIMIT + 10
