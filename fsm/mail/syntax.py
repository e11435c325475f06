"""What may stand in one line of mail: text made harmless, and addresses checked.

Headers and SMTP replies end where their line ends, so text from elsewhere must not bring line ends of its own into them
(nor NUL, nor half a character).
"""

from __future__ import annotations

import re
from functools import lru_cache
from io import IncrementalNewlineDecoder
from typing import Final

from fsm.mail import replies

__all__ = [
    "MAX_LINE", "USUAL_PATH", "ascii_line", "has_bare_line_end", "has_long_line", "is_utf8", "line", "parsed_path",
    "wrong_address",
]  # fmt: skip

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_ATOMS: Final = r"[\w!#$%&'*+/=?^`{|}~-]+(?:\.[\w!#$%&'*+/=?^`{|}~-]+)*"
_USUAL: Final = rf"{_ATOMS}@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*"
_USUAL_ADDRESS: Final = re.compile(_USUAL, re.ASCII)
USUAL_PATH: Final = re.compile(rf"<({_USUAL})>((?: [ !-'*-~]*)?)", re.ASCII)
"""A path as nearly all are, with nothing quoted, commented or foreign in it: the address, and the parameters."""
MAX_LINE: Final = 999
"""Octets of a line without its end, with the dot put before it (RFC 5321 4.5.3.1.6)."""
MAX_ADDRESS: Final = 254
"""Octets of an address (RFC 5321 4.5.3.1.3: 256 with the angle brackets)."""


def line(text: str, longest: int = 400) -> str:
    """Return the text as part of one line, cut to `longest`: control characters and lone surrogates become blanks."""
    clean = _CONTROL.sub(" ", text).strip()
    return clean if len(clean) <= longest else clean[: longest - 3] + "..."


def ascii_line(text: str, longest: int = 400) -> str:
    r"""Return the same in ASCII, other characters as `\x{20AC}` (the form of addresses in 7-bit reports, RFC 6533)."""
    clean = line(text, longest)
    return clean if clean.isascii() else "".join(c if c.isascii() else f"\\x{{{ord(c):X}}}" for c in clean)


@lru_cache(maxsize=4096)
def wrong_address(address: str, *, smtputf8: bool) -> str | None:
    """Return the reply that refuses this address in an envelope, or None.  Do not ask about the null sender."""
    if len(address) <= MAX_ADDRESS and _USUAL_ADDRESS.fullmatch(address):
        return None
    if _CONTROL.search(address) or len(address.encode(errors="replace")) > MAX_ADDRESS:
        return replies.MALFORMED_ADDRESS
    bare = re.sub(r'^"(?:[^"\\]|\\.)*"', "", address, count=1)
    if re.search(r'[\s<>"(),:;\\]', re.sub(r"@\[[0-9A-Za-z.:-]+\]$", "@literal", bare)):
        return replies.MALFORMED_ADDRESS
    return None if smtputf8 or address.isascii() else replies.ADDRESS_NEEDS_SMTPUTF8


_QUOTED: Final = r'"(?:[^"\\]|\\.)*"'
_PATH: Final = re.compile(rf"<(?:@[^:<>\s]+:)?((?:{_QUOTED})?[^<>\" ]*)>((?: .*)?)", re.DOTALL)
_BARE: Final = re.compile(rf"((?:{_QUOTED})?[^<>\" ]+)((?: .*)?)", re.DOTALL)


def parsed_path(text: str) -> tuple[str, str] | None:
    """Return the address of a path, to the letter, and the parameters behind it; None if it is malformed.

    A route in it is left out (RFC 5321 appendix C), and the brackets may be missing.
    """
    found = _PATH.fullmatch(text) or _BARE.fullmatch(text)
    return (found[1], found[2]) if found else None


def has_bare_line_end(content: bytes | bytearray) -> bool:
    """Return True if a CR or LF stands alone."""
    decoder = IncrementalNewlineDecoder(None, translate=False)  # it notes which line ends it has seen, in one pass
    decoder.decode(str(content, "latin-1"), final=True)
    return decoder.newlines not in (None, "\r\n")


def has_long_line(content: bytes | bytearray, longest: int = MAX_LINE) -> bool:
    """Return whether a line has more octets than this without its CR LF."""
    start, length = 0, len(content)
    while length - start > longest:
        end = content.rfind(b"\n", start, start + longest + 2)
        if end < 0:
            return True
        start = end + 1
    return False


def is_utf8(octets: bytes) -> bool:
    """Return whether the octets are UTF-8."""
    try:
        octets.decode()
    except UnicodeDecodeError:
        return False
    return True
