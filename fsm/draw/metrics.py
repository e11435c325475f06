"""The width of a text in a picture, the same on every machine.

Theory.
1. Readers have different fonts.  A picture shown as an image loads no font, and a font inside each file would be as
   large as the picture.  So the width of a text is computed here, every text element carries it (`textLength`), and the
   reader's font is stretched or squeezed to it.
2. The widths are those of Arial and Helvetica, which Liberation Sans, Arimo and Nimbus Sans share, and 3 % more, which
   nobody notices.  DejaVu Sans, the widest of the common fonts, is squeezed by a tenth.
3. Before that, `font-size-adjust` in `style.py` gives the small letters of all fonts the same height.
"""

from __future__ import annotations

import unicodedata
from typing import Final

__all__ = ["ADVANCES", "ASPECT", "SIZE", "text_width"]

SIZE: Final = 11.0
"""The size of the font, in the drawing's units."""
ASPECT: Final = 0.519
"""The height of an `x` in Arial, as a fraction of the size."""
ROOM: Final = 1.03
WIDE: Final = 1000
OTHER: Final = 600

ADVANCES: Final = {
    character: advance
    for advance, characters in {
        191: "'", 222: "ijl", 260: "|", 278: " !,./:;I[\\]ft·\u00a0", 333: "()-`r", 334: "{}", 355: '"', 389: "*",
        469: "^", 500: "cksvxyzJ", 549: "≤≥≠", 556: "#$0123456789?L_abdeghnopqu»«", 584: "+<=>~", 611: "FTZ",
        667: "&ABEKPSVXY", 722: "CDHNRUw", 778: "GOQ", 833: "Mm", 889: "%", 944: "W", 1000: "→…␣", 1015: "@",
    }.items()
    for character in characters
}  # fmt: skip
"""Advance widths of Arial, in thousandths of the size.  Accented letters have the width of their base letter."""


def text_width(text: str, size: float = SIZE) -> int:
    """Return the width of a text of that size, in the drawing's units."""
    return round(sum(map(_advance, text)) * size * ROOM / 1000)


def _advance(character: str) -> int:
    if character in ADVANCES:
        return ADVANCES[character]
    if unicodedata.combining(character) or unicodedata.category(character) == "Cf":
        return 0
    if unicodedata.east_asian_width(character) in "WF":
        return WIDE
    return ADVANCES.get(unicodedata.normalize("NFD", character)[0], OTHER)
