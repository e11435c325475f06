"""Messages made sendable to a smarthost that offers less: without 8-bit bodies, raw UTF-8 in the header, or long lines.

Theory.
1. Without SMTPUTF8 (RFC 6531) a header is ASCII: text beyond it becomes encoded words (RFC 2047).  Without 8BITMIME
   (RFC 6152) a body is ASCII, too: its parts become quoted-printable or base64.  So do parts with lines of more than
   998 octets, which no server has to take (RFC 5321 4.5.3.1.6).
2. Only what must change does: other header fields and parts keep their octets.  Conversion breaks a signature over what
   it changes; the operator may have messages sent as they are instead.
3. The standard library's `email` package parses and encodes.  What it cannot make sendable is not sent.
"""

from __future__ import annotations

from base64 import encodebytes
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.generator import BytesGenerator
from email.message import Message
from io import BytesIO
from quopri import encodestring
from typing import Final

from fsm.mail.received import header_of
from fsm.mail.syntax import has_long_line, is_utf8

__all__ = ["converted"]

AS_IT_IS: Final = policy.SMTP.clone(refold_source="none", utf8=True, cte_type="8bit", max_line_length=998)
"""Header fields that are not touched are written as they came (`utf8`: Python 3.13 would encode them)."""
ASCII: Final = policy.SMTP.clone(utf8=False, cte_type="7bit")
WHOLE: Final = ("7bit", "8bit", "binary", "")
"""The transfer encodings that encode nothing."""


def converted(content: bytes, *, header: bool, body: bool) -> bytes | None:
    """Return the message with an ASCII header and an ASCII body, as asked for, and no long lines.

    None if that is not possible.
    """
    try:
        made = _converted(content, header=header, body=body)
    except Exception:  # `email` raises many kinds of errors for malformed messages, also when it writes what it parsed
        return None
    head = header_of(made)
    sendable = (not header or head.isascii()) and (not body or made[len(head) :].isascii()) and not has_long_line(made)
    return made if sendable else None


def _converted(content: bytes, *, header: bool, body: bool) -> bytes:
    message: Message = message_from_bytes(content, policy=AS_IT_IS)
    for part in _parts(message):
        _convert_header(part, all_of_it=header)
        if part.is_multipart():
            if body and _encoding(part) in ("8bit", "binary"):
                _replace(part, "Content-Transfer-Encoding", "7bit")
        else:
            _convert_body(part, all_of_it=body)
    if "MIME-Version" not in message and "Content-Transfer-Encoding" in message:
        message["MIME-Version"] = "1.0"
    out = BytesIO()
    BytesGenerator(out, mangle_from_=False, policy=AS_IT_IS).flatten(message)  # type: ignore[arg-type]  # typeshed's
    return out.getvalue()


def _parts(message: Message) -> Iterator[Message]:
    yield message
    if message.is_multipart():
        for part in message.get_payload():
            if isinstance(part, Message):
                yield from _parts(part)


def _encoding(part: Message) -> str:
    return str(part.get("Content-Transfer-Encoding", "")).strip().lower()


def _replace(part: Message, name: str, value: str) -> None:
    if name in part:
        part.replace_header(name, value)
    else:
        part[name] = value


def _convert_header(part: Message, *, all_of_it: bool) -> None:
    """Encode the fields that are not ASCII, or have long lines."""
    fields = list(part.raw_items())
    for place, (name, value) in enumerate(fields):
        octets = _octets(value)
        if (all_of_it and not octets.isascii()) or has_long_line(octets):
            text = "".join((octets.decode() if is_utf8(octets) else octets.decode("latin-1")).splitlines())
            field = ASCII.header_factory(name, text)
            if not all(address.addr_spec.isascii() for address in getattr(field, "addresses", ())):
                raise ValueError(f"{name} has an address beyond ASCII, for which there are no encoded words")
            folded = field.fold(policy=ASCII)
            fields[place] = name, folded.partition(":")[2].strip()
    for name, _ in part.raw_items():
        del part[name]
    for name, value in fields:
        part.set_raw(name, value)


def _convert_body(part: Message, *, all_of_it: bool) -> None:
    """Encode a part that is not ASCII, or has long lines.  Text becomes quoted-printable, anything else base64."""
    if _encoding(part) not in WHOLE:
        return
    octets = part.get_payload(decode=True)
    assert isinstance(octets, bytes)
    if not ((all_of_it and not octets.isascii()) or has_long_line(octets)):
        return
    text = part.get_content_maintype() == "text"
    part.set_payload((encodestring(octets) if text else encodebytes(octets).rstrip()).decode("ascii"))
    if "Content-Type" not in part and not octets.isascii():
        part["Content-Type"] = f"text/plain; charset={'utf-8' if is_utf8(octets) else 'unknown-8bit'}"
    _replace(part, "Content-Transfer-Encoding", "quoted-printable" if text else "base64")


def _octets(text: object) -> bytes:
    return str(text).encode("utf-8", "surrogateescape")  # how the parser keeps what is not ASCII

