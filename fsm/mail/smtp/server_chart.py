"""The server's side of the SMTP dialogue (RFC 5321, 3207, 4954, LMTP of RFC 2033) as a chart.

Theory.
1. The events are the commands that a client may get accepted, and what comes back from the rest of the server.  A
   command is an event only when it is well formed and nothing else speaks against it (a limit, an address).  What no
   row allows is a bad sequence of commands: 503, or 530 where TLS or a login is missing.
2. Commands are read in `new`, `ready` and `envelope`, and in `login` the answers to a challenge.  In every other state
   the client waits: what it has sent ahead (PIPELINING) stays unread until the reply is due no more.
3. After STARTTLS everything is forgotten that was said in clear text, the greeting too (RFC 3207 4.2).
4. A message is taken only from a client that has satisfied what the port requires, and for somebody: the states in
   which it arrives promise that, and the engine proves it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from fsm.analysis.properties import Always, EachConfiguration, Property, Situation
from fsm.chart import Chart, Event, Row, State, row
from fsm.condition import ALWAYS, Condition
from fsm.variable import Assignment, Choice, Counter

__all__ = ["BOUNDS", "PROPERTIES", "SERVER"]

# ------------------------------------------------------------------------------------------------ variables

TLS: Final = Choice("tls", ("absent", "offered", "required", "active"), "TLS on this connection", "absent")
USER: Final = Choice("user", ("unneeded", "required", "known"), "the login", "unneeded")
RECIPIENTS: Final = Counter("recipients", "recipients accepted for the message")

# --------------------------------------------------------------------------------------------------- states

SATISFIED: Final = (TLS != "required") & (USER != "required")
SOMEBODY: Final = SATISFIED & (RECIPIENTS > 0)
NOBODY: Final = RECIPIENTS == 0

NEW: Final = State("new", "the client has not said EHLO", invariant=NOBODY)
READY: Final = State("ready", "no transaction is under way", invariant=NOBODY)
ENVELOPE: Final = State("envelope", "the sender is accepted; recipients follow, then DATA", invariant=SATISFIED)
ADMITTING: Final = State("admitting", "DATA is asked; the store decides whether it takes a message", invariant=SOMEBODY)
CONTENT: Final = State("content", "the message is being read, up to its final dot", invariant=SOMEBODY)
STORING: Final = State("storing", "the message is there and is made durable", invariant=SOMEBODY)
HANDSHAKE: Final = State("handshake", "STARTTLS is answered; TLS begins", invariant=NOBODY & (TLS != "active"))
LOGGING_IN: Final = State("login", "the client answers a challenge", invariant=NOBODY & (TLS == "active"))
CHECKING: Final = State("checking", "the password is being checked", invariant=NOBODY & (TLS == "active"))
CLOSED: Final = State("closed", "nothing more is read", final=True)

# --------------------------------------------------------------------------------------------------- events

EVENTS: Final = (
    Event("offer_tls", "the port has a certificate"),
    Event("require_login", "the port takes mail only after TLS and a login"),
    Event("begin_in_tls", "the connection began with TLS"),
    Event("hello", "EHLO, HELO or LHLO"),
    Event("starttls", "STARTTLS"),
    Event("auth", "AUTH with a mechanism that is offered"),
    Event("mail", "MAIL with a sender that is accepted"),
    Event("rcpt", "RCPT with a recipient that is accepted"),
    Event("data", "DATA"),
    Event("rset", "RSET"),
    Event("aside", "a command that changes nothing: NOOP, HELP, VRFY, EXPN"),
    Event("quit", "QUIT"),
    Event("secured", "the TLS handshake is done"),
    Event("challenge", "the client is asked for more to log in"),
    Event("check", "the client has named itself, with its password"),
    Event("give_up", "the client does not log in after all"),
    Event("known", "the name and the password are right"),
    Event("unknown", "they are not"),
    Event("admit", "the store takes a message"),
    Event("turn_away", "the store takes none"),
    Event("complete", "the final dot has come"),
    Event("answer", "the message is stored or refused, and answered"),
    Event("lost", "the connection is lost, or ended by a reply 421"),
)

# ----------------------------------------------------------------------------------------------------- rows

NONE: Final = (RECIPIENTS.becomes(0),)
COMMANDS: Final = (NEW, READY, ENVELOPE)


def _row(
    source: State, event: str, target: State, why: str, *, tail: str = "", guard: Condition = ALWAYS,
    effects: tuple[Assignment, ...] = (), cites: str = "",
) -> Row:  # fmt: skip
    return row(
        f"{source}.{event}{tail}", source, event, guard=guard, effects=effects, target=target, cites=cites, why=why
    )


def _rows() -> Iterator[Row]:
    yield _row(NEW, "offer_tls", NEW, "so it is configured", guard=TLS == "absent", effects=(TLS.becomes("offered"),))
    yield _row(NEW, "require_login", NEW, "so it is configured", guard=TLS == "offered",
               effects=(TLS.becomes("required"), USER.becomes("required")))
    yield _row(NEW, "begin_in_tls", NEW, "so it is configured", guard=TLS.among("offered", "required"),
               effects=(TLS.becomes("active"),), cites="RFC8314-3")
    for state in COMMANDS:
        yield _row(state, "hello", READY, "a transaction under way is forgotten", effects=NONE,
                   cites="RFC5321-4.1.4")
        yield _row(state, "rset", NEW if state is NEW else READY, "a transaction under way is forgotten", effects=NONE,
                   cites="RFC5321-4.1.1.5")
        yield _row(state, "aside", state, "nothing changes", cites="RFC5321-4.1.1.9")
        yield _row(state, "quit", CLOSED, "the client has said all", cites="RFC5321-4.1.1.10")
    yield _row(READY, "starttls", HANDSHAKE, "the handshake follows the reply", guard=TLS.among("offered", "required"),
               cites="RFC3207-4")
    yield _row(HANDSHAKE, "secured", NEW, "what was said in clear text is forgotten", effects=(TLS.becomes("active"),),
               cites="RFC3207-4.2")
    yield _row(READY, "auth", LOGGING_IN, "passwords are taken over TLS only, and one login is enough",
               guard=(USER == "required") & (TLS == "active"), cites="RFC4954-4")
    yield _row(LOGGING_IN, "challenge", LOGGING_IN, "there is more to say", cites="RFC4954-4")
    yield _row(LOGGING_IN, "check", CHECKING, "that takes a while, by intention")
    yield _row(LOGGING_IN, "give_up", READY, "cancelled, or malformed", cites="RFC4954-4")
    yield _row(CHECKING, "known", READY, "the client may send", effects=(USER.becomes("known"),))
    yield _row(CHECKING, "unknown", READY, "the client may try again")
    yield _row(READY, "mail", ENVELOPE, "a transaction begins", guard=SATISFIED, cites="RFC5321-3.3")
    yield _row(ENVELOPE, "rcpt", ENVELOPE, "one more recipient", effects=(RECIPIENTS.becomes(RECIPIENTS + 1),),
               cites="RFC5321-3.3")
    yield _row(ENVELOPE, "data", ADMITTING, "there is somebody to take it for", guard=RECIPIENTS > 0,
               cites="RFC5321-3.3")
    yield _row(ADMITTING, "admit", CONTENT, "354: the client may send it", cites="RFC5321-4.1.1.4")
    yield _row(ADMITTING, "turn_away", READY, "the client keeps it", effects=NONE)
    yield _row(CONTENT, "complete", STORING, "it has arrived whole", cites="RFC5321-4.1.1.4")
    yield _row(STORING, "answer", READY, "the transaction is over", effects=NONE, cites="RFC5321-4.1.1.4")


STATES: Final = (NEW, READY, ENVELOPE, ADMITTING, CONTENT, STORING, HANDSHAKE, LOGGING_IN, CHECKING, CLOSED)

SERVER: Final = Chart(
    "smtp-server",
    doc="the server's side of the SMTP dialogue",
    proved="42af8a9030f2c02e",
    states=STATES,
    events=EVENTS,
    variables=(TLS, USER, RECIPIENTS),
    rows=(
        *_rows(),
        *(_row(state, "lost", CLOSED, "nothing more can be read") for state in STATES if not state.final),
    ),
)
"""The chart of the server's side."""

# ----------------------------------------------------------------------------------------------- properties

BOUNDS: Final = ("RECIPIENTS <= 3",)


def _helpless(here: Situation) -> str | None:
    return "the connection cannot be given up" if here.state != CLOSED and "lost" not in here.legal else None


def _stuck(here: Situation) -> str | None:
    commands = {"hello", "rset", "aside", "quit"}
    if here.state in COMMANDS and not commands <= set(here.legal):
        return f"no row for {', '.join(sorted(commands - set(here.legal)))}"
    return None


PROPERTIES: Final[tuple[Property, ...]] = (
    Always("no message is taken before the login that the port requires", USER != "required",
           states=("envelope", "admitting", "content", "storing")),
    Always("no message is taken before TLS where the port requires it", TLS != "required",
           states=("envelope", "admitting", "content", "storing")),
    Always("no password is taken in clear text", TLS == "active", states=("login", "checking")),
    Always("a message is taken for somebody", RECIPIENTS > 0, states=("admitting", "content", "storing")),
    Always("TLS begins once", TLS != "active", states=("handshake",)),
    EachConfiguration("a connection may be lost in every state", _helpless),
    EachConfiguration("wherever commands are read, EHLO, RSET, NOOP and QUIT are accepted", _stuck),
)  # fmt: skip
"""What is promised to the operator, for `fsm check --chart fsm.mail.smtp.server_chart:SERVER`."""
