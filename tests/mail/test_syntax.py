"""Text in one line: whatever goes in, one line comes out.  Addresses that are refused."""

from __future__ import annotations

import pytest
from hypothesis import (
    given,
    strategies as st,
)

from fsm.mail.syntax import ascii_line, line, wrong_address


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


@pytest.mark.parametrize(("address", "utf8", "good"), [
    ("a@b.c", False, True), ("postmaster", False, True), ('"a b"@c', False, True), ('"a\\"b"@c', False, True), ("a@[127.0.0.1]", False, True),
    ("a@[IPv6:::1]", False, True), ("ä@b.c", True, True), ("ä@b.c", False, False), ("a b@c", False, False), ("a@b\r\nc", True, False),
    ("a@b>c", True, False), ("<a@b", True, False), ("a\0@b", True, False), ("a@b,c@d", True, False), ("a" * 300 + "@b", True, False),
    ("a\ud800@b", True, False), ("a@b\u2028", True, False), ('"a"b"@c', False, False), ("a\\b@c", False, False),
])  # fmt: skip
def test_addresses(address: str, utf8: bool, good: bool) -> None:
    assert (wrong_address(address, smtputf8=utf8) is None) == good
