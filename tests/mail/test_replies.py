"""The replies, letter by letter; and that no other file of the mail server has one of its own."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from fsm.mail import replies

TABLE = {
    "STORE_CLOSING": "421 4.3.2 The store is closing, try again later",
    "STOPPED": "421 4.3.2 the store is closing and has stopped the message, send it again later",
    "STOPPED_BY_PLAN": "421 4.3.2 {reason}",
    "TOO_MANY_SESSIONS": "421 4.3.2 too many connections, try again later",
    "IDLE": "421 4.4.2 nothing came for too long",
    "TOO_MANY_ERRORS": "421 4.7.0 too many errors",
    "INTERNAL_ERROR": "451 4.3.0 that could not be handled here",
    "PIPELINING": "250-PIPELINING",
    "LOGGED_IN": "235 2.7.0 welcome",
    "WRONG_LOGIN": "535 5.7.8 wrong name or password",
    "CANNOT_VERIFY": "252 2.5.2 cannot tell; send the message and see",
    "SENDER_OK": "250 2.1.0 OK",
    "RECIPIENT_OK": "250 2.1.5 OK",
    "TOO_MANY_MESSAGES": "450 4.7.1 too many messages from you, try again in a minute",
    "TOO_MANY_RECIPIENTS": "452 4.5.3 too many recipients, send to the rest in another message",
    "NOT_OURS": "550 5.1.1 this is not a mailbox here",
    "MALFORMED_ADDRESS": "553 5.1.3 malformed address",
    "ADDRESS_NEEDS_SMTPUTF8": "553 5.6.7 an address beyond ASCII needs SMTPUTF8",
    "SEND_CONTENT": "354 End data with <CR><LF>.<CR><LF>",
    "LINE_TOO_LONG": "500 Line too long (see RFC5321 4.5.3.1.6)",
    "TOO_LARGE": "552 Error: Too much mail data",
    "LOOP": "554 5.4.6 the message goes in a circle",
    "NUL": "550 5.6.0 the message holds a NUL byte, which mail must not (RFC 5322)",
    "BARE_LINE_END": "550 5.6.0 the message holds a CR or LF alone; lines end with CR LF (RFC 5321 2.3.8)",
    "QUEUED": "250 2.0.0 queued as {id}",
    "STORED": "250 2.0.0 stored as {name}",
    "INCOMPLETE": "451 4.4.2 the message did not arrive whole",
    "STORAGE_ERROR": "451 4.3.0 the store cannot keep the message now, try again later",
    "CANNOT_WRITE": "451 4.3.0 the inbox cannot be written",
    "NO_ROOM": "452 4.3.1 no room in the inbox",
    "NO_RECIPIENTS": "554 5.1.3 the message has no recipients",
    "SMARTHOST_LACKS_SMTPUTF8": "550 5.6.7 the message needs SMTPUTF8, which the smarthost does not offer",
    "SMARTHOST_LACKS_8BITMIME": "550 5.6.3 the message needs 8BITMIME, which the smarthost does not offer",
    "EXPIRED": "451 4.4.7 not delivered for {days:g} days; the last answer was: {reason}",
    "EXPIRED_UNCERTAIN": "451 4.4.7 not delivered for certain for {days:g} days, but it may have arrived; the last answer was: {reason}",
    "LINES_TOO_LONG": "550 5.6.0 the message has lines of more than 998 octets, which cannot be folded",
}
MAIL = Path(replies.__file__).parent


def test_each_reply_is_as_it_was() -> None:
    assert {name: text for name, text in vars(replies).items() if name.isupper()} == TABLE


@pytest.mark.parametrize("file", sorted(MAIL.glob("*.py")), ids=lambda file: file.stem)
def test_no_reply_stands_outside_the_table(file: Path) -> None:
    texts = [node.value for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    found = [text for text in texts if text[:3].isdigit() and text[0] in "2345" and text[3:4] in (" ", "-")]
    assert not found or file.stem == "replies"
