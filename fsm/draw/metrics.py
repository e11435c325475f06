"""How wide a text is in a picture, on every machine alike.

Theory.
1. Readers have different fonts, and a picture cannot bring one along: where it is shown as an image nothing else is
   loaded, and a font in each file would be larger than the picture.  So the pictures decide how wide a text is, every
   text says so (`textLength`), and whatever font there is is stretched or squeezed to it.
2. The widths are those of Arial and Helvetica, which Liberation Sans, Arimo and Nimbus Sans share, and 3 % more.  With
   one of these nobody sees that; DejaVu Sans, the widest of the usual ones, is squeezed by a tenth.
3. `font-size-adjust` in `style.py` gives every font the same height of small letters first, which is half the way.
"""

from __future__ import annotations

import unicodedata
from typing import Final

__all__ = ["ADVANCES", "ASPECT", "SIZE", "text_width"]

SIZE: Final = 11.0
"""The height of a letter, in the drawing's units."""
ASPECT: Final = 0.519
"""The height of an `x` in Arial, of that."""
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
"""Thousandths of the size by which a character of Arial moves the pen; others stand in for their base letter."""


def text_width(text: str, size: float = SIZE) -> int:
    """The width of a text of that size, in the drawing's units."""
    return round(sum(map(_advance, text)) * size * ROOM / 1000)


def _advance(character: str) -> int:
    if character in ADVANCES:
        return ADVANCES[character]
    if unicodedata.combining(character) or unicodedata.category(character) == "Cf":
        return 0
    if unicodedata.east_asian_width(character) in "WF":
        return WIDE
    return ADVANCES.get(unicodedata.normalize("NFD", character)[0], OTHER)
