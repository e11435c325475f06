"""The client's side of the SMTP dialogue (RFC 5321, 2920, 3207, 4954, LMTP of RFC 2033) as a chart.

Theory.
1. A state is what the client waits for: mostly the reply to its last command.  The events are what the client does, and
   what comes back: only the first digit of a reply decides (RFC 5321 4.2.1), so there are four kinds of replies, and
   421, which ends the dialogue wherever it comes.
2. Each kind of reply has a row wherever a reply may come, so no reply is unexpected.  One that makes no sense there
   ("354" to RCPT) leaves the state of the server unknown: the dialogue is closed, and nothing more is sent.
3. With pipelining, MAIL, each RCPT and DATA leave in one piece, and DATA may be accepted although nobody is to get the
   message.  Then `void` reads the replies.  A lone dot ends such content only if no recipient was accepted (RFC 2920
   3.1); otherwise a server that ignores its own refusals would deliver an empty message, so the dialogue is closed.
4. `content` is entered with at least one recipient accepted, and only from there is a message's final dot sent.

The states promise (`invariant`) what keeps messages whole, and the engine proves it for any number of recipients.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from fsm.analysis.properties import Always, EachConfiguration, Falls, Property, Situation
from fsm.chart import Chart, Event, Row, State, row
from fsm.condition import ALWAYS, Condition
from fsm.variable import Assignment, Choice, Counter

__all__ = ["BOUNDS", "CLIENT", "PROPERTIES", "REPLIES"]

# ------------------------------------------------------------------------------------------------ variables

SECURITY: Final = Choice("security", ("wanted", "settled"), "whether STARTTLS is still to be sent", "settled")
LOGIN: Final = Choice("login", ("wanted", "settled"), "whether AUTH is still to be sent", "settled")
SENDING: Final = Choice("sending", ("single", "pipelined"), "how the commands of an envelope are sent", "single")
UNANSWERED: Final = Counter("unanswered", "recipients whose RCPT is not answered yet")
ACCEPTED: Final = Counter("accepted", "recipients that were accepted, and have no final reply yet")
SEPARATE: Final = Choice("dots", ("one", "each"), "the replies to the final dot: one, or (LMTP) one for each", "one")

SECURE: Final = SECURITY == "settled"
PIPELINED: Final = SENDING == "pipelined"

# --------------------------------------------------------------------------------------------------- states

NOBODY: Final = (UNANSWERED == 0) & (ACCEPTED == 0)
SOMEBODY: Final = (UNANSWERED == 0) & (ACCEPTED > 0)

GREETING: Final = State("greeting", "connected; the server speaks first", invariant=NOBODY)
EHLO: Final = State("ehlo", "EHLO or LHLO is sent", invariant=NOBODY)
HELO: Final = State("helo", "EHLO was rejected, and HELO is sent", invariant=NOBODY & SECURE)
STARTTLS: Final = State("starttls", "STARTTLS is sent", invariant=NOBODY & (SECURITY == "wanted"))
HANDSHAKE: Final = State("handshake", "TLS begins", invariant=NOBODY & (SECURITY == "wanted"))
AUTH: Final = State("auth", "AUTH, or an answer to its challenge, is sent", invariant=NOBODY & SECURE)
READY: Final = State("ready", "a transaction may begin", invariant=(ACCEPTED == 0) & SECURE)
MAIL: Final = State("mail", "MAIL is sent", invariant=(UNANSWERED > 0) & (ACCEPTED == 0) & SECURE)
RCPT: Final = State("rcpt", "the sender is accepted; a reply to RCPT is due", invariant=(UNANSWERED > 0) & SECURE)
DATA: Final = State("data", "somebody is accepted; the reply to DATA is due", invariant=SOMEBODY & SECURE)
CONTENT: Final = State("content", "the message is being written", invariant=SOMEBODY & SECURE)
DOT: Final = State("dot", "the final dot is written: only the reply tells what happened", invariant=SOMEBODY & SECURE)
VOID: Final = State(
    "void", "nobody is to get the message; replies to what was pipelined are due", invariant=PIPELINED & SECURE
)
VOID_DOT: Final = State("void_dot", "a lone dot ended the content of a message for nobody", invariant=NOBODY & SECURE)
RSET: Final = State("rset", "RSET is sent", invariant=NOBODY & SECURE)
QUIT: Final = State("quit", "QUIT is sent", invariant=NOBODY)
CLOSED: Final = State("closed", "nothing can be sent any more", final=True)

# --------------------------------------------------------------------------------------------------- events

REPLIES: Final = ("completed", "continued", "postponed", "rejected", "closing")
"""The kinds of replies: 2yz, 3yz, 4yz, 5yz, and 421."""

EVENTS: Final = (
    Event("require_tls", "say nothing before TLS but EHLO and STARTTLS"),
    Event("require_login", "log in before the first transaction"),
    Event("speak_lmtp", "greet with LHLO, and expect a reply to the final dot for each recipient"),
    Event("completed", "a reply 2yz: the command is done"),
    Event("continued", "a reply 3yz: more is expected"),
    Event("postponed", "a reply 4yz: not now"),
    Event("rejected", "a reply 5yz: never"),
    Event("closing", "the reply 421: the server closes the connection"),
    Event("secured", "the TLS handshake is done"),
    Event("add_recipient", "the next message has another recipient"),
    Event("begin", "send MAIL, and the rest of the envelope command by command"),
    Event("begin_pipelined", "send MAIL, each RCPT and DATA in one piece"),
    Event("finish", "write the last piece of the message with its final dot"),
    Event("leave", "send QUIT"),
    Event("lost", "the connection is lost or given up: end, silence, a line that is no reply, nothing that fits"),
)

# ----------------------------------------------------------------------------------------------------- rows

REFUSED: Final = ("postponed", "rejected")
ANSWERED: Final = UNANSWERED.becomes(UNANSWERED - 1)
FORGET: Final = (UNANSWERED.becomes(0), ACCEPTED.becomes(0))
NONSENSE: Final = "it makes no sense here, so the state of the server is unknown"


def _row(
    source: State, event: str, target: State, why: str, *, tail: str = "", guard: Condition = ALWAYS,
    effects: tuple[Assignment, ...] = (), cites: str = "",
) -> Row:  # fmt: skip
    return row(
        f"{source}.{event}{tail}", source, event, guard=guard, effects=effects, target=target, cites=cites, why=why
    )


def _closes(source: State, why: str, *events: str) -> Iterator[Row]:
    for event in events:
        yield _row(source, event, CLOSED, why)


def _opening() -> Iterator[Row]:
    """From the connection to the first transaction."""
    for event, effect in (
        ("require_tls", SECURITY.becomes("wanted")), ("require_login", LOGIN.becomes("wanted")),
        ("speak_lmtp", SEPARATE.becomes("each")),
    ):  # fmt: skip
        yield _row(GREETING, event, GREETING, "so it is configured", effects=(effect,))
    yield _row(GREETING, "completed", EHLO, "the server is there", cites="RFC5321-3.1")
    yield from _closes(GREETING, "the server takes nobody now", "continued", *REFUSED)
    yield _row(EHLO, "completed", STARTTLS, "nothing else is said in clear text", tail=".secure", guard=~SECURE,
               cites="RFC3207-4")
    yield _row(EHLO, "completed", AUTH, "the client logs in", tail=".login", guard=SECURE & (LOGIN == "wanted"),
               cites="RFC4954-4")
    yield _row(EHLO, "completed", READY, "the server is ready", tail=".ready", guard=SECURE & (LOGIN == "settled"),
               cites="RFC5321-4.1.1.1")
    plain = SECURE & (LOGIN == "settled") & (SEPARATE == "one")
    yield _row(EHLO, "rejected", HELO, "an old server knows HELO alone", tail=".old", guard=plain, cites="RFC5321-3.2")
    yield _row(EHLO, "rejected", CLOSED, "without extensions there is no TLS, login or LMTP", guard=~plain)
    yield from _closes(EHLO, "the server takes nobody now", "continued", "postponed")
    yield _row(HELO, "completed", READY, "the server is ready", cites="RFC5321-4.1.1.1")
    yield from _closes(HELO, "the server takes nobody now", "continued", *REFUSED)
    yield _row(STARTTLS, "completed", HANDSHAKE, "the server awaits the handshake", cites="RFC3207-4")
    yield from _closes(STARTTLS, "without TLS nothing more is said", "continued", *REFUSED)
    yield _row(HANDSHAKE, "secured", EHLO, "what was said in clear text is forgotten", cites="RFC3207-4.2",
               effects=(SECURITY.becomes("settled"),))
    yield from _closes(HANDSHAKE, "clear text behind the reply to STARTTLS was put there by somebody else",
                       "completed", "continued", *REFUSED)
    yield _row(AUTH, "completed", READY, "the server knows who this is", cites="RFC4954-4",
               effects=(LOGIN.becomes("settled"),))
    yield _row(AUTH, "continued", AUTH, "a challenge, which is answered", cites="RFC4954-4")
    yield from _closes(AUTH, "without the login nothing is sent", *REFUSED)


def _envelope() -> Iterator[Row]:
    """MAIL, RCPT and DATA, as long as somebody may get the message."""
    yield _row(READY, "add_recipient", READY, "it is asked for with RCPT",
               effects=(UNANSWERED.becomes(UNANSWERED + 1),))
    for event, sending in (("begin", "single"), ("begin_pipelined", "pipelined")):
        yield _row(READY, event, MAIL, "there is somebody to send to", guard=UNANSWERED > 0,
                   effects=(SENDING.becomes(sending),), cites="RFC5321-3.3 RFC2920-3.1")
    yield _row(READY, "leave", QUIT, "there is nothing more to send", guard=UNANSWERED == 0, cites="RFC5321-4.1.1.10")
    yield from _closes(READY, "nothing was asked, so replies cannot be told apart any more",
                       "completed", "continued", *REFUSED)
    yield _row(MAIL, "completed", RCPT, "the sender is accepted")
    for event in REFUSED:
        yield _row(MAIL, event, VOID, "the rest of the envelope has left already", tail=".pipelined", guard=PIPELINED)
        yield _row(MAIL, event, RSET, "the rest of the envelope is not sent", guard=~PIPELINED, effects=FORGET)
    yield from _closes(MAIL, NONSENSE, "continued")
    last, more = UNANSWERED == 1, UNANSWERED > 1
    accepted = (ANSWERED, ACCEPTED.becomes(ACCEPTED + 1))
    yield _row(RCPT, "completed", DATA, "the last one, and it is accepted", tail=".last", guard=last, effects=accepted)
    yield _row(RCPT, "completed", RCPT, "a recipient is accepted", guard=more, effects=accepted)
    for event in REFUSED:
        yield _row(RCPT, event, RCPT, "this recipient is refused; others may be accepted", guard=more,
                   effects=(ANSWERED,))
        yield _row(RCPT, event, DATA, "the last one; others are accepted", tail=".last", guard=last & (ACCEPTED > 0),
                   effects=(ANSWERED,))
        nobody = last & (ACCEPTED == 0)
        yield _row(RCPT, event, VOID, "nobody is accepted, and DATA has left already", tail=".nobody.pipelined",
                   guard=nobody & PIPELINED, effects=(ANSWERED,), cites="RFC2920-3.1")
        yield _row(RCPT, event, RSET, "nobody is accepted, and DATA is not sent", tail=".nobody",
                   guard=nobody & ~PIPELINED, effects=(ANSWERED,))
    yield from _closes(RCPT, NONSENSE, "continued")
    yield _row(DATA, "continued", CONTENT, "the server awaits the message", cites="RFC5321-4.1.1.4")
    for event in REFUSED:
        yield _row(DATA, event, RSET, "the server does not want the message", effects=FORGET)
    yield from _closes(DATA, NONSENSE, "completed")


def _message() -> Iterator[Row]:
    """The content, and what is answered to it."""
    yield _row(CONTENT, "finish", DOT, "from here on only the reply tells what happened", cites="RFC5321-4.1.1.4")
    yield from _closes(CONTENT, "refused before its end; whatever follows would be taken for content", *REFUSED)
    yield from _closes(CONTENT, NONSENSE, "completed", "continued")
    one, each = SEPARATE == "one", SEPARATE == "each"
    for event in ("completed", *REFUSED):
        yield _row(DOT, event, READY, "the reply is for all recipients", tail=".all", guard=one,
                   effects=(ACCEPTED.becomes(0),), cites="RFC5321-6.1")
        yield _row(DOT, event, READY, "the reply is for the last recipient", tail=".last",
                   guard=each & (ACCEPTED == 1), effects=(ACCEPTED.becomes(0),), cites="RFC2033-4.2")
        yield _row(DOT, event, DOT, "the reply is for one recipient", guard=each & (ACCEPTED > 1),
                   effects=(ACCEPTED.becomes(ACCEPTED - 1),), cites="RFC2033-4.2")
    yield from _closes(DOT, NONSENSE, "continued")


def _nobody() -> Iterator[Row]:
    """What was pipelined for nobody is read to its end."""
    rcpt, data = UNANSWERED > 0, UNANSWERED == 0
    yield _row(VOID, "completed", VOID, "a recipient is accepted after a refused sender", guard=rcpt,
               effects=(ANSWERED, ACCEPTED.becomes(ACCEPTED + 1)))
    yield _row(VOID, "completed", CLOSED, NONSENSE, tail=".data", guard=data)
    yield _row(VOID, "continued", CLOSED, NONSENSE, tail=".rcpt", guard=rcpt)
    lone = (ACCEPTED == 0) & (SEPARATE == "one")
    yield _row(VOID, "continued", VOID_DOT, "a lone dot reaches nobody", guard=data & lone, cites="RFC2920-3.1")
    yield _row(VOID, "continued", CLOSED, "a lone dot would be a message to those accepted, and never answered in LMTP",
               tail=".somebody", guard=data & ~lone)
    for event in REFUSED:
        yield _row(VOID, event, VOID, "a recipient is refused", guard=rcpt, effects=(ANSWERED,))
        yield _row(VOID, event, RSET, "DATA is refused", tail=".data", guard=data, effects=FORGET)
    for event in ("completed", *REFUSED):
        yield _row(VOID_DOT, event, RSET, "whatever the server makes of it")
    yield from _closes(VOID_DOT, NONSENSE, "continued")
    yield _row(RSET, "completed", READY, "another transaction may begin", cites="RFC5321-4.1.1.5")
    yield from _closes(RSET, "the state of the server is unknown", "continued", *REFUSED)
    yield from _closes(QUIT, "the dialogue is over", "completed", "continued", *REFUSED)


STATES: Final = (
    GREETING, EHLO, HELO, STARTTLS, HANDSHAKE, AUTH, READY, MAIL, RCPT, DATA, CONTENT, DOT, VOID, VOID_DOT, RSET, QUIT,
    CLOSED,
)  # fmt: skip

CLIENT: Final = Chart(
    "smtp-client",
    doc="the client's side of the SMTP dialogue",
    proved="cb6c552c2b75ef56",
    states=STATES,
    events=EVENTS,
    variables=(SECURITY, LOGIN, SENDING, SEPARATE, UNANSWERED, ACCEPTED),
    rows=(
        *_opening(), *_envelope(), *_message(), *_nobody(),
        *(one for state in STATES if not state.final
          for one in _closes(state, "the server closes the connection", "closing")),
        *(one for state in STATES if not state.final for one in _closes(state, "nothing more can be said", "lost")),
    ),
)  # fmt: skip
"""The chart of the client's side."""

# ----------------------------------------------------------------------------------------------- properties

BOUNDS: Final = ("UNANSWERED <= 3", "ACCEPTED <= 3")


def _unexpected(here: Situation) -> str | None:
    missing = [event for event in (*REPLIES, "lost") if event not in here.legal]
    return f"no row for {', '.join(missing)}" if missing and here.state != CLOSED else None


PROPERTIES: Final[tuple[Property, ...]] = (
    EachConfiguration("every reply, and the loss of the connection, is expected in every state", _unexpected),
    Falls("each reply to RCPT leaves one fewer to wait for", {"unanswered": 1}, states=("rcpt", "void"),
          events=("completed", *REFUSED), when=UNANSWERED > 0),
    Falls("each reply to the final dot leaves fewer to wait for", {"accepted": 1}, states=("dot",),
          events=("completed", *REFUSED)),
    Always("a lone dot is never sent to a DATA for which a recipient was accepted", ACCEPTED == 0,
           states=("void_dot",)),
    Always("a message is sent only when a recipient was accepted and all are answered", SOMEBODY,
           states=("content", "dot")),
    Always("nothing of a message, and no password, is sent before TLS", SECURE,
           states=("ready", "mail", "rcpt", "data", "content", "dot", "void", "void_dot", "rset", "quit", "auth")),
)  # fmt: skip
"""What keeps messages whole, for `fsm check --chart fsm.mail.smtp.client_chart:CLIENT`."""
