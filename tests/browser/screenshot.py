"""The two screenshots of the README, light and dark, made from the page in `diagrams/`.

    python -m tests.browser.screenshot

A screenshot differs by a few pixels from machine to machine, so its bytes are not compared.  Each carries the hash of
the page it was made from, and a test compares that.
"""

from __future__ import annotations

import struct
import sys
import zlib
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.browser.chromium import COMMITTED, Watched, chromium, missing

if TYPE_CHECKING:
    from playwright.sync_api import Browser

FILES: Final = {"light": COMMITTED.with_suffix(".png"), "dark": COMMITTED.with_name("explorer-dark.png")}
TRACE: Final = "submit,outbound_begin,submit,logoff_orderly"
SIZE: Final = 1280, 800
KEY: Final = b"explorer\0"


def taken(browser: Browser, page: Path) -> dict[str, bytes]:
    """A screenshot for each colour scheme, as PNG that carries the hash of the page."""
    found = {}
    for scheme in FILES:
        watched = Watched(browser, viewport=dict(zip(("width", "height"), SIZE, strict=True)), color_scheme=scheme)
        shown = watched.open(page, TRACE)
        found[scheme] = _marked(shown.screenshot(), page.read_bytes())
        watched.close()
    return found


def mark(page: bytes) -> bytes:
    """What a screenshot of this page carries."""
    return sha256(page).hexdigest().encode()


def _marked(png: bytes, page: bytes) -> bytes:
    """The picture with a text chunk after its header (33 bytes: signature and IHDR)."""
    body = b"tEXt" + KEY + mark(page)
    return png[:33] + struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body)) + png[33:]


def mark_of(png: bytes) -> bytes:
    """The hash a screenshot carries; empty when it carries none."""
    place = png.find(b"tEXt" + KEY)
    return png[place + 4 + len(KEY) :][:64] if place >= 0 else b""


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
