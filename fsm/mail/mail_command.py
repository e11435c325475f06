"""What opens a transaction with a smarthost: its MAIL command, with the extensions that the message needs.

A message that needs what the smarthost does not offer cannot be sent there at all; it is not converted, for that would
break its signatures.  This file knows no connection.
"""

from __future__ import annotations

from collections.abc import Callable

from fsm.mail.received import header_of
from fsm.mail.syntax import line, wrong_address
from fsm.store.message import Message

__all__ = ["opening"]


def opening(message: Message, offers: Callable[[str], bool]) -> tuple[bytes, str, str | None]:
    """The MAIL command, the encoding of addresses, and why the message cannot be sent at all (None: it can).

    `offers` says of an extension, in small letters, whether it is offered.
    """
    envelope = (message.sender, *message.recipients)
    words = [f"MAIL FROM:<{message.sender}>", *([f"SIZE={len(message.content)}"] if offers("size") else [])]
    for address in envelope:
        if address and (wrong := wrong_address(address, smtputf8=True)):
            return b"", "ascii", f"{wrong}: {line(address, 100)}"
    header = header_of(message.content)
    utf8 = not all(map(str.isascii, envelope)) or (not header.isascii() and _is_utf8(header))
    if utf8 and not offers("smtputf8"):
        return b"", "ascii", "550 5.6.7 the message needs SMTPUTF8, which the smarthost does not offer"
    if not message.content.isascii():
        if not offers("8bitmime"):
            return b"", "ascii", "550 5.6.3 the message needs 8BITMIME, which the smarthost does not offer"
        words.append("BODY=8BITMIME")
    encoding = "utf-8" if utf8 else "ascii"
    return " ".join([*words, "SMTPUTF8"] if utf8 else words).encode(encoding), encoding, None


def _is_utf8(header: bytes) -> bool:
    try:
        header.decode()
    except UnicodeDecodeError:
        return False
    return True
