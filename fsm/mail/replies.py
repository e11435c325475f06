"""The texts of all replies to clients, and of the reasons that this server itself puts into a bounce.

The first code is that of RFC 5321, the second that of RFC 3463.  Texts with a name in braces are filled in with
`format`.
"""

from __future__ import annotations

from typing import Final

from fsm.store.errors import StoreClosing

# ------------------------------------------------------------------------------------------------- the session

STORE_CLOSING: Final = StoreClosing.smtp
STOPPED: Final = "421 4.3.2 the store is closing and has stopped the message, send it again later"
STOPPED_BY_PLAN: Final = "421 4.3.2 {reason}"
TOO_MANY_SESSIONS: Final = "421 4.3.2 too many connections, try again later"
NOT_FROM_THERE: Final = "554 5.7.1 this server is not for clients at your address"
IDLE: Final = "421 4.4.2 nothing came for too long"
TOO_MANY_ERRORS: Final = "421 4.7.0 too many errors"
INTERNAL_ERROR: Final = "421 4.3.0 that could not be handled here"
GREETING: Final = "220 {host} {kind} ready"
HELLO: Final = "250 {text}"
OFFER: Final = "250-{text}"
OK: Final = "250 2.0.0 OK"
BYE: Final = "221 2.0.0 bye"
HELP: Final = "250 2.0.0 EHLO HELO LHLO MAIL RCPT DATA RSET NOOP VRFY STARTTLS AUTH QUIT"
NO_LISTS: Final = "502 5.5.1 mailing lists are not shown"
UNKNOWN_COMMAND: Final = "500 5.5.1 unknown command"
COMMAND_TOO_LONG: Final = "500 5.5.2 the line is too long"
TOO_MANY_COMMANDS: Final = "421 4.7.0 too many commands without a message"
SAY_LHLO: Final = "500 5.5.1 this is LMTP: say LHLO"
HELLO_SYNTAX: Final = "501 5.5.4 say your name, too"
NO_ARGUMENT: Final = "501 5.5.4 this command has no argument"
NEEDS_HELLO: Final = "503 5.5.1 say EHLO first"
BAD_SEQUENCE: Final = "503 5.5.1 bad sequence of commands"

# ------------------------------------------------------------------------------------------------ TLS and logins

BEGIN_TLS: Final = "220 2.0.0 begin TLS"
NO_TLS: Final = "454 4.7.0 TLS is not available"
NEEDS_TLS: Final = "530 5.7.0 say STARTTLS first"
NEEDS_LOGIN: Final = "530 5.7.0 log in first"
NO_CLEAR_PASSWORDS: Final = "538 5.7.11 passwords are taken over TLS only"
SAY_ANYTHING: Final = "334 "
SAY_NAME: Final = "334 VXNlcm5hbWU6"
SAY_PASSWORD: Final = "334 UGFzc3dvcmQ6"
AUTH_SYNTAX: Final = "501 5.5.4 say AUTH and a mechanism"
UNKNOWN_MECHANISM: Final = "504 5.5.4 mechanisms are PLAIN and LOGIN"
NOT_BASE64: Final = "501 5.5.2 that is not encoded as it should be"
LOGIN_CANCELLED: Final = "501 5.7.0 the login is cancelled"
NOT_FOR_ANOTHER: Final = "535 5.7.8 nobody logs in for another"
LOGINS_BUSY: Final = "454 4.7.0 too many logins at the moment, try again later"
LOGGED_IN: Final = "235 2.7.0 welcome"
WRONG_LOGIN: Final = "535 5.7.8 wrong name or password"
CANNOT_VERIFY: Final = "252 2.5.2 cannot tell; send the message and see"

# ------------------------------------------------------------------------------------------------ the envelope

SENDER_OK: Final = "250 2.1.0 OK"
RECIPIENT_OK: Final = "250 2.1.5 OK"
TOO_MANY_MESSAGES: Final = "450 4.7.1 too many messages from you, try again in a minute"
TOO_MANY_RECIPIENTS: Final = "452 4.5.3 too many recipients, send to the rest in another message"
NOT_OURS: Final = "550 5.1.1 this is not a mailbox here"
MAILBOX_CLOSING: Final = "451 4.3.2 this mailbox takes no mail at the moment, try again later"
NO_MAILBOX_OF_USER: Final = "550 5.7.1 no mailbox here is yours, so nothing is sent for you"
NO_MAILBOX_OF_SENDER: Final = "550 5.7.1 no mailbox here has this sender, so nothing is sent for it"
NO_MEMORY: Final = "452 4.3.1 too much mail is coming in at the moment, try again later"
PATH_SYNTAX: Final = "501 5.5.4 expected {word}<address>"
MALFORMED_PATH: Final = "501 5.1.3 malformed address"
BAD_PARAMETER: Final = "501 5.5.4 a parameter is malformed"
UNKNOWN_PARAMETER: Final = "555 5.5.4 a parameter is not known here"
MALFORMED_ADDRESS: Final = "553 5.1.3 malformed address"
ADDRESS_NEEDS_SMTPUTF8: Final = "553 5.6.7 an address beyond ASCII needs SMTPUTF8"

# ------------------------------------------------------------------------------------------------- the content

SEND_CONTENT: Final = "354 End data with <CR><LF>.<CR><LF>"
LINE_TOO_LONG: Final = "500 5.5.2 a line is too long (RFC 5321 4.5.3.1.6)"
TOO_LARGE: Final = "552 5.3.4 the message is too large"
LOOP: Final = "554 5.4.6 the message goes in a circle"
NUL: Final = "550 5.6.0 the message holds a NUL byte, which mail must not (RFC 5322)"
BARE_LINE_END: Final = "550 5.6.0 the message holds a CR or LF alone; lines end with CR LF (RFC 5321 2.3.8)"

# ------------------------------------------------------------------------------------------------- the outcome

QUEUED: Final = "250 2.0.0 queued as {id}"
STORED: Final = "250 2.0.0 stored as {id}"
INCOMPLETE: Final = "451 4.4.2 the message did not arrive whole"
STORAGE_ERROR: Final = "451 4.3.0 the store cannot keep the message now, try again later"
CANNOT_WRITE: Final = "451 4.3.0 the inbox cannot be written"
NO_ROOM: Final = "452 4.3.1 no room in the inbox"

# --------------------------------------------------------------------------------- reasons of failure in a bounce

RELAYED: Final = "250 2.0.0 the smarthost has taken it"
NO_RECIPIENTS: Final = "554 5.1.3 the message has no recipients"
SMARTHOST_LACKS_SMTPUTF8: Final = "550 5.6.7 the message needs SMTPUTF8, which the smarthost does not offer"
SMARTHOST_LACKS_8BITMIME: Final = "550 5.6.3 the message needs 8BITMIME, which the smarthost does not offer"
EXPIRED: Final = "451 4.4.7 not delivered for {days:g} days; the last answer was: {reason}"
EXPIRED_UNCERTAIN: Final = (
    "451 4.4.7 not delivered for certain for {days:g} days, but it may have arrived; the last answer was: {reason}"
)
LINES_TOO_LONG: Final = "550 5.6.0 the message has lines of more than 998 octets, which cannot be folded"
