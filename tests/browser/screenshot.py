"""The two screenshots of the README, light and dark, made from the page in `diagrams/`.

    python -m tests.browser.screenshot

Each carries the hash of the page and the name of what drew it: the version of Chromium and the hash of the fonts.
Where these are the same, every pixel is the same; a test compares them.  Another Chromium may draw edges otherwise.
"""

from __future__ import annotations

import struct
import sys
import zlib
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.browser import fonts
from tests.browser.chromium import COMMITTED, Watched, chromium, missing

if TYPE_CHECKING:
    from playwright.sync_api import Browser

FILES: Final = {"light": COMMITTED.with_suffix(".png"), "dark": COMMITTED.with_name("explorer-dark.png")}
TRACE: Final = "submit,outbound_begin,submit,logoff_orderly"
SIZE: Final = 1280, 800


def taken(browser: Browser, page: Path) -> dict[str, bytes]:
    """A screenshot for each colour scheme, as PNG that says of which page it is and what drew it."""
    found = {}
    for scheme in FILES:
        watched = Watched(browser, viewport=dict(zip(("width", "height"), SIZE, strict=True)), color_scheme=scheme)
        png = watched.open(page, TRACE).screenshot()
        found[scheme] = _noted(png, {"page": page_hash(page), "drawn by": drawn_by(browser)})
        watched.close()
    return found


def page_hash(page: Path) -> str:
    """What a screenshot of this page says of it."""
    return sha256(page.read_bytes()).hexdigest()


def drawn_by(browser: Browser) -> str:
    """What decides about the pixels of a page."""
    return f"Chromium {browser.version}, fonts {fonts.digest(fonts.USUAL)}"


def _noted(png: bytes, notes: dict[str, str]) -> bytes:
    """The picture with a text chunk for each note after its header (33 bytes: signature and IHDR)."""
    chunks = b""
    for name, text in notes.items():
        body = b"tEXt" + name.encode() + b"\0" + text.encode()
        chunks += struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return png[:33] + chunks + png[33:]


def notes_of(png: bytes) -> dict[str, str]:
    """The text chunks of a picture, each of whose chunks must be whole."""
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
    """Make both; the exit status."""
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
