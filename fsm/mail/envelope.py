"""The envelope of a message for one smarthost: its commands, and its content as the smarthost can take it.

Theory.
1. What the message needs and the smarthost does not offer is converted away (`conversion.py`): raw UTF-8 in the header,
   8-bit bodies, long lines.  `as_it_is` sends it unchanged instead.
2. Addresses beyond ASCII need SMTPUTF8.  Only their domains have another form (RFC 5890), so a local part beyond ASCII
   cannot be sent without it.
3. The wishes for delivery status notifications go on to a smarthost that offers DSN (`parameters.py`).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from fsm.mail import replies
from fsm.mail.parameters import wishes
from fsm.mail.received import header_of
from fsm.mail.syntax import has_long_line, is_utf8, line, wrong_address
from fsm.store.message import Message

__all__ = ["Envelope", "envelope_of"]


class Envelope(NamedTuple):
    """The MAIL command, the RCPT commands, and the content; `problem` is why the message cannot be sent, or None."""

    mail: bytes
    recipients: tuple[bytes, ...]
    content: bytes
    problem: str | None = None


def envelope_of(message: Message, offers: Collection[str], *, as_it_is: bool) -> Envelope:
    """Return the envelope for a smarthost that offers these extensions, whose names are in small letters."""
    asked = [wishes(one) for one in (message.sender, *message.recipients)]
    addresses = tuple(one.address for one in asked)
    for address in addresses:
        if address and (refusal := wrong_address(address, smtputf8=True)):
            return _impossible(f"{refusal}: {line(address, 100)}")
    content = message.content
    if not as_it_is and (problem := _lacking(content, offers)) is not None:
        from fsm.mail.conversion import converted  # most messages need none

        made = converted(content, header="smtputf8" not in offers, body="8bitmime" not in offers)
        if made is None:
            return _impossible(problem)
        content = made
    plain = all(map(str.isascii, addresses))
    if not plain and "smtputf8" not in offers:
        addresses = tuple(map(_with_ascii_domain, addresses))
        if not all(map(str.isascii, addresses)):
            return _impossible(replies.SMARTHOST_LACKS_SMTPUTF8)
    mail = f"MAIL FROM:<{addresses[0]}>"
    if "size" in offers:
        mail += f" SIZE={len(content)}"
    if "8bitmime" in offers and not content.isascii():
        mail += " BODY=8BITMIME"
    if "smtputf8" in offers and not (plain and _header_is_plain(content)):
        mail += " SMTPUTF8"
    more = [one.words for one in asked] if "dsn" in offers else [""] * len(asked)
    recipients = tuple([f"RCPT TO:<{one}>{words}".encode() for one, words in zip(addresses[1:], more[1:], strict=True)])
    return Envelope((mail + more[0]).encode(), recipients, content)


def _impossible(problem: str) -> Envelope:
    return Envelope(b"", (), b"", problem)


def _lacking(content: bytes, offers: Collection[str]) -> str | None:
    """Return why the smarthost cannot take the content as it is; None if it can."""
    if not content.isascii():
        if "8bitmime" not in offers:
            return replies.SMARTHOST_LACKS_8BITMIME
        if "smtputf8" not in offers and not _header_is_plain(content):
            return replies.SMARTHOST_LACKS_SMTPUTF8
    return replies.LINES_TOO_LONG if has_long_line(content) else None


def _header_is_plain(content: bytes) -> bool:
    """Return whether the header does without SMTPUTF8, because it is ASCII, or no UTF-8 either."""
    if content.isascii():
        return True
    header = header_of(content)
    return header.isascii() or not is_utf8(header)


def _with_ascii_domain(address: str) -> str:
    local, at, domain = address.rpartition("@")
    try:
        return local + at + domain.encode("idna").decode("ascii")
    except UnicodeError:
        return address
