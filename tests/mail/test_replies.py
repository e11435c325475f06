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
    "NOT_FROM_THERE": "554 5.7.1 this server is not for clients at your address",
    "IDLE": "421 4.4.2 nothing came for too long",
    "TOO_MANY_ERRORS": "421 4.7.0 too many errors",
    "INTERNAL_ERROR": "421 4.3.0 that could not be handled here",
    "GREETING": "220 {host} {kind} ready",
    "HELLO": "250 {text}",
    "OFFER": "250-{text}",
    "OK": "250 2.0.0 OK",
    "BYE": "221 2.0.0 bye",
    "HELP": "250 2.0.0 EHLO HELO LHLO MAIL RCPT DATA RSET NOOP VRFY STARTTLS AUTH QUIT",
    "NO_LISTS": "502 5.5.1 mailing lists are not shown",
    "UNKNOWN_COMMAND": "500 5.5.1 unknown command",
    "COMMAND_TOO_LONG": "500 5.5.2 the line is too long",
    "TOO_MANY_COMMANDS": "421 4.7.0 too many commands without a message",
    "SAY_LHLO": "500 5.5.1 this is LMTP: say LHLO",
    "HELLO_SYNTAX": "501 5.5.4 say your name, too",
    "NO_ARGUMENT": "501 5.5.4 this command has no argument",
    "NEEDS_HELLO": "503 5.5.1 say EHLO first",
    "BAD_SEQUENCE": "503 5.5.1 bad sequence of commands",
    "BEGIN_TLS": "220 2.0.0 begin TLS",
    "NO_TLS": "454 4.7.0 TLS is not available",
    "NEEDS_TLS": "530 5.7.0 say STARTTLS first",
    "NEEDS_LOGIN": "530 5.7.0 log in first",
    "NO_CLEAR_PASSWORDS": "538 5.7.11 passwords are taken over TLS only",
    "SAY_ANYTHING": "334 ",
    "SAY_NAME": "334 VXNlcm5hbWU6",
    "SAY_PASSWORD": "334 UGFzc3dvcmQ6",
    "AUTH_SYNTAX": "501 5.5.4 say AUTH and a mechanism",
    "UNKNOWN_MECHANISM": "504 5.5.4 mechanisms are PLAIN and LOGIN",
    "NOT_BASE64": "501 5.5.2 that is not encoded as it should be",
    "LOGIN_CANCELLED": "501 5.7.0 the login is cancelled",
    "NOT_FOR_ANOTHER": "535 5.7.8 nobody logs in for another",
    "LOGINS_BUSY": "454 4.7.0 too many logins at the moment, try again later",
    "LOGGED_IN": "235 2.7.0 welcome",
    "WRONG_LOGIN": "535 5.7.8 wrong name or password",
    "CANNOT_VERIFY": "252 2.5.2 cannot tell; send the message and see",
    "SENDER_OK": "250 2.1.0 OK",
    "RECIPIENT_OK": "250 2.1.5 OK",
    "TOO_MANY_MESSAGES": "450 4.7.1 too many messages from you, try again in a minute",
    "TOO_MANY_RECIPIENTS": "452 4.5.3 too many recipients, send to the rest in another message",
    "NOT_OURS": "550 5.1.1 this is not a mailbox here",
    "MAILBOX_CLOSING": "451 4.3.2 this mailbox takes no mail at the moment, try again later",
    "NO_MAILBOX_OF_USER": "550 5.7.1 no mailbox here is yours, so nothing is sent for you",
    "NO_MAILBOX_OF_SENDER": "550 5.7.1 no mailbox here has this sender, so nothing is sent for it",
    "NO_MEMORY": "452 4.3.1 too much mail is coming in at the moment, try again later",
    "PATH_SYNTAX": "501 5.5.4 expected {word}<address>",
    "MALFORMED_PATH": "501 5.1.3 malformed address",
    "BAD_PARAMETER": "501 5.5.4 a parameter is malformed",
    "UNKNOWN_PARAMETER": "555 5.5.4 a parameter is not known here",
    "MALFORMED_ADDRESS": "553 5.1.3 malformed address",
    "ADDRESS_NEEDS_SMTPUTF8": "553 5.6.7 an address beyond ASCII needs SMTPUTF8",
    "SEND_CONTENT": "354 End data with <CR><LF>.<CR><LF>",
    "LINE_TOO_LONG": "500 5.5.2 a line is too long (RFC 5321 4.5.3.1.6)",
    "TOO_LARGE": "552 5.3.4 the message is too large",
    "LOOP": "554 5.4.6 the message goes in a circle",
    "NUL": "550 5.6.0 the message holds a NUL byte, which mail must not (RFC 5322)",
    "BARE_LINE_END": "550 5.6.0 the message holds a CR or LF alone; lines end with CR LF (RFC 5321 2.3.8)",
    "QUEUED": "250 2.0.0 queued as {id}",
    "STORED": "250 2.0.0 stored as {id}",
    "INCOMPLETE": "451 4.4.2 the message did not arrive whole",
    "STORAGE_ERROR": "451 4.3.0 the store cannot keep the message now, try again later",
    "CANNOT_WRITE": "451 4.3.0 the inbox cannot be written",
    "NO_ROOM": "452 4.3.1 no room in the inbox",
    "RELAYED": "250 2.0.0 the smarthost has taken it",
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


@pytest.mark.parametrize("file", sorted([*MAIL.glob("*.py"), *MAIL.glob("smtp/*.py")]), ids=lambda file: file.stem)
def test_no_reply_stands_outside_the_table(file: Path) -> None:
    texts = [node.value for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    found = [text for text in texts if text[:3].isdigit() and text[0] in "2345" and text[3:4] in (" ", "-")]
    assert not found or file.stem == "replies"
