"""The fonts a reader may have, each family alone, and the fonts of the screenshots.

Fontconfig is pointed at a folder with these files and no other (`FONTCONFIG_FILE`), so that neither the tests nor the
screenshots depend on what else is installed.
"""

from __future__ import annotations

import shutil
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Final

PLACES: Final = ("/usr/share/fonts", "/usr/local/share/fonts", "~/.local/share/fonts", "~/.fonts")
SANS: Final = ("DejaVuSans", "DejaVuSans-Bold")
MONO: Final = ("DejaVuSansMono", "DejaVuSansMono-Bold")
LIBERATION: Final = ("LiberationSans-Regular", "LiberationSans-Bold")
SETS: Final = {
    "DejaVu": SANS, "Liberation": LIBERATION, "Noto": ("NotoSans-Regular", "NotoSans-Bold"), "monospace": MONO,
}  # fmt: skip
"""The fonts of readers, by family."""
USUAL: Final = (*LIBERATION, *SANS, *MONO)
"""The fonts of the screenshots, and of all tests that name no others."""


@cache
def _files() -> dict[str, Path]:
    return {file.stem: file for place in PLACES for file in sorted(Path(place).expanduser().rglob("*.ttf"))}


def missing() -> list[str]:
    """Return the names of those fonts that are not installed."""
    return [name for name in dict.fromkeys((*USUAL, *(name for one in SETS.values() for name in one))) if name not in _files()]


def digest(names: tuple[str, ...]) -> str:
    """Return a short hash of these fonts."""
    return sha256(b"".join(_files()[name].read_bytes() for name in names)).hexdigest()[:12]


def configured(names: tuple[str, ...], folder: Path) -> Path:
    """Write a fontconfig file with these fonts only to that folder and return its path."""
    fonts = folder / "fonts"
    fonts.mkdir()
    for name in names:
        shutil.copy(_files()[name], fonts)
    file = folder / "fonts.conf"
    file.write_text(
        '<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd">'
        f"<fontconfig><dir>{fonts}</dir><cachedir>{folder / 'cache'}</cachedir></fontconfig>"
    )
    return file
