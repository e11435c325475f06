"""The screenshots in the README are of the page as it is, pixel for pixel."""

from __future__ import annotations

import struct
from base64 import b64encode
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.browsers import COMMITTED, Watched
from tests.browser.screenshot import FILES, SIZE, drawn_by, notes_of, page_hash, taken

if TYPE_CHECKING:
    from playwright.sync_api import Browser

COMPARED = """async (pictures) => {
    const [one, other] = await Promise.all(pictures.map(async (text) => {
        const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
        const image = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
        const canvas = new OffscreenCanvas(image.width, image.height).getContext("2d");
        canvas.drawImage(image, 0, 0);
        return canvas.getImageData(0, 0, image.width, image.height).data;
    }));
    let any = 0, much = 0;
    for (let place = 0; place < one.length; place += 4) {
        const apart = Math.max(...[0, 1, 2].map((colour) => Math.abs(one[place + colour] - other[place + colour])));
        any += apart > 0;
        much += apart > 64;
    }
    return [any, much];
}"""


def differences(browser: Browser, one: bytes, other: bytes) -> tuple[int, int]:
    """How many pixels of two pictures differ at all, and how many by a quarter of the scale."""
    watched = Watched(browser)
    try:
        some, much = watched.page.evaluate(COMPARED, [b64encode(png).decode() for png in (one, other)])
        return some, much
    finally:
        watched.close()


def size(png: bytes) -> tuple[int, ...]:
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    return struct.unpack(">II", png[16:24])


@pytest.mark.parametrize("scheme", FILES)
def test_the_committed_screenshot_is_of_the_committed_page(scheme: str) -> None:
    png = FILES[scheme].read_bytes()
    assert size(png) == SIZE
    assert notes_of(png)["page"] == page_hash(COMMITTED), f"{FILES[scheme].name} is out of date: make diagrams"


def test_the_committed_screenshots_are_what_the_browser_shows(browser: Browser, fresh: Path) -> None:
    made = taken(browser, fresh)
    for scheme, png in made.items():
        assert size(png) == SIZE
        assert notes_of(png) == {"page": page_hash(fresh), "drawn by": drawn_by(browser)}
        committed = FILES[scheme].read_bytes()
        some, much = differences(browser, png, committed)
        if notes_of(committed)["drawn by"] == drawn_by(browser):
            assert some == 0
        assert much < SIZE[0] * SIZE[1] / 100
    assert differences(browser, made["light"], made["dark"])[1] > SIZE[0] * SIZE[1] / 2
