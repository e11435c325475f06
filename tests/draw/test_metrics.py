"""Widths of texts; `tests/browser/test_fonts.py` compares the table with a font."""

from __future__ import annotations

import pytest

from fsm.draw.metrics import text_width


@pytest.mark.parametrize(("text", "width"), [
    ("", 0), ("submit", 33), ("é", 6), ("e\u0301", 6), ("\u202e", 0), ("日本", 23), ("\u05d0", 7), ("→", 11),
])  # fmt: skip
def test_every_character_has_a_width(text: str, width: int) -> None:
    assert text_width(text) == width
