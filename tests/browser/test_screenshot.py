"""The screenshots in the README are of the page as it is."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.chromium import COMMITTED
from tests.browser.screenshot import FILES, SIZE, mark, mark_of, taken

if TYPE_CHECKING:
    from playwright.sync_api import Browser


def size(png: bytes) -> tuple[int, ...]:
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    return struct.unpack(">II", png[16:24])


@pytest.mark.parametrize("scheme", FILES)
def test_the_committed_screenshot_is_of_the_committed_page(scheme: str) -> None:
    png = FILES[scheme].read_bytes()
    assert size(png) == SIZE
    assert mark_of(png) == mark(COMMITTED.read_bytes()), f"{FILES[scheme].name} is out of date: make diagrams"


def test_screenshots_are_taken_as_they_should_be(browser: Browser, fresh: Path) -> None:
    made = taken(browser, fresh)
    assert [size(png) for png in made.values()] == [SIZE] * 2
    assert made["light"] != made["dark"]
    for png in made.values():
        assert mark_of(png) == mark(fresh.read_bytes())
        place = 8
        while place < len(png):  # every chunk is whole, the added one too
            (length,) = struct.unpack(">I", png[place : place + 4])
            body = png[place + 4 : place + 8 + length]
            assert png[place + 8 + length : place + 12 + length] == struct.pack(">I", zlib.crc32(body))
            place += 12 + length
