"""The two screenshots of the README, light and dark, made from the page in `diagrams/`.

    python -m tests.browser.screenshot

Each contains the hash of the page, the version of Chromium and the hash of the fonts.  When these are the same, every
pixel is the same, which a test checks.  Another version of Chromium may draw edges differently.
"""

from __future__ import annotations

import struct
import sys
import zlib
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.browser import fonts
from tests.browser.browsers import COMMITTED, Watched, chromium, missing

if TYPE_CHECKING:
    from playwright.sync_api import Browser

FILES: Final = {"light": COMMITTED.with_suffix(".png"), "dark": COMMITTED.with_name("explorer-dark.png")}
TRACE: Final = "submit,outbound_begin,submit,logoff_orderly"
SIZE: Final = 1280, 800


def taken(browser: Browser, page: Path) -> dict[str, bytes]:
    """Take a screenshot for each colour scheme, as PNG with notes on the page and the browser."""
    found = {}
    for scheme in FILES:
        watched = Watched(browser, viewport=dict(zip(("width", "height"), SIZE, strict=True)), color_scheme=scheme)
        png = watched.open(page, TRACE).screenshot()
        found[scheme] = _noted(png, {"page": page_hash(page), "drawn by": drawn_by(browser)})
        watched.close()
    return found


def page_hash(page: Path) -> str:
    """Return the note on the page."""
    return sha256(page.read_bytes()).hexdigest()


def drawn_by(browser: Browser) -> str:
    """Return the note on the browser: everything that the pixels depend on."""
    return f"Chromium {browser.version}, fonts {fonts.digest(fonts.USUAL)}"


def _noted(png: bytes, notes: dict[str, str]) -> bytes:
    """Insert a text chunk for each note after the header (33 bytes: signature and IHDR)."""
    chunks = b""
    for name, text in notes.items():
        body = b"tEXt" + name.encode() + b"\0" + text.encode()
        chunks += struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return png[:33] + chunks + png[33:]


def notes_of(png: bytes) -> dict[str, str]:
    """Return the notes of a picture; check that all its chunks are whole."""
    found, place = {}, 8
    while place < len(png):
        (length,) = struct.unpack(">I", png[place : place + 4])
        body = png[place + 4 : place + 8 + length]
        assert png[place + 8 + length : place + 12 + length] == struct.pack(">I", zlib.crc32(body))
        if body.startswith(b"tEXt"):
            name, _, text = body[4:].decode().partition("\0")
            found[name] = text
        place += 12 + length
    return found


def main() -> int:
    """Write both files; return the exit status."""
    if (lack := missing()) is not None:
        print(f"the screenshots were not made: {lack}", file=sys.stderr)
        return 1
    with chromium() as browser:
        for scheme, png in taken(browser, COMMITTED).items():
            FILES[scheme].write_bytes(png)
            print(f"{FILES[scheme].name}: {len(png):,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
