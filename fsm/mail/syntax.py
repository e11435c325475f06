"""What may stand in a line of mail: making text from elsewhere harmless, refusing it, and writing it for the wire.

Headers and SMTP replies end where a line ends, so text that came over a socket must never bring its own line ends (or a
NUL, or half a character) into them.  This file knows no message and no protocol.
"""

from __future__ import annotations

import re
from functools import lru_cache

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

__all__ = ["USUAL_PATH", "ascii_line", "improper", "line", "transparent", "wrong_address"]

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_ATOMS: Final = r"[\w!#$%&'*+/=?^`{|}~-]+(?:\.[\w!#$%&'*+/=?^`{|}~-]+)*"
_USUAL: Final = rf"{_ATOMS}@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*"
_USUAL_ADDRESS: Final = re.compile(_USUAL, re.ASCII)
USUAL_PATH: Final = re.compile(rf"<({_USUAL})>((?: [ !-'*-~]*)?)", re.ASCII)
"""A path as nearly all are, with nothing quoted, commented or foreign in it; the address, and the parameters."""
LONGEST_PATH: Final = 254
"""Octets of an address (RFC 5321 4.5.3.1.3: 256 with the angle brackets)."""


def line(text: str, longest: int = 400) -> str:
    """The text as part of one line, cut to `longest`: control characters and lone surrogates become blanks."""
    clean = _CONTROL.sub(" ", text).strip()
    return clean if len(clean) <= longest else clean[: longest - 3] + "..."


def ascii_line(text: str, longest: int = 400) -> str:
    r"""The same in ASCII, other characters as `\x{20AC}` (the form RFC 6533 gives addresses in 7-bit reports)."""
    clean = line(text, longest)
    return clean if clean.isascii() else "".join(c if c.isascii() else f"\\x{{{ord(c):X}}}" for c in clean)


def improper(content: bytes) -> str | None:
    """Why this cannot be taken as a message, or None.

    A CR or LF alone is what SMTP smuggling is made of (one server takes `LF . CR LF` for the end of the message, the
    next does not), so it is refused rather than mended; NUL is forbidden by RFC 5322.
    """
    if b"\0" in content:
        return "550 5.6.0 the message holds a NUL byte, which mail must not (RFC 5322)"
    if _bare(content):
        return "550 5.6.0 the message holds a CR or LF alone; lines end with CR LF (RFC 5321 2.3.8)"
    return None


def _bare(content: bytes) -> bool:
    """Whether there is a CR or LF alone in it."""
    pairs = content.count(b"\r\n")
    return content.count(b"\n") != pairs or content.count(b"\r") != pairs


@lru_cache(maxsize=4096)
def wrong_address(address: str, *, smtputf8: bool) -> str | None:
    """Why this cannot be an address of an envelope, or None.  The null sender is not asked about."""
    if len(address) <= LONGEST_PATH and _USUAL_ADDRESS.fullmatch(address):
        return None
    if _CONTROL.search(address) or len(address.encode(errors="replace")) > LONGEST_PATH:
        return "553 5.1.3 malformed address"
    bare = re.sub(r'^"(?:[^"\\]|\\.)*"', "", address, count=1)
    if re.search(r'[\s<>"(),:;\\]', re.sub(r"@\[[0-9A-Za-z.:-]+\]$", "@literal", bare)):
        return "553 5.1.3 malformed address"
    if not smtputf8 and not address.isascii():
        return "553 5.6.7 an address beyond ASCII needs SMTPUTF8"
    return None


def transparent(content: bytes) -> bytes:
    """The message as it is sent: CR LF everywhere, dots at line starts doubled, and the final dot."""
    if _bare(content):
        content = re.sub(rb"\r\n|\r|\n", b"\r\n", content)
    if content.startswith(b"."):
        content = b"." + content
    end = b".\r\n" if content.endswith(b"\r\n") or not content else b"\r\n.\r\n"
    return content.replace(b"\r\n.", b"\r\n..") + end
