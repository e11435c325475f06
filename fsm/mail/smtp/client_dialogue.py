"""The client of an SMTP dialogue without a socket: replies go in, commands come out, each recipient has its answer.

    dialogue = Dialogue("mail.example.org")
    dialogue.receive(b"220 hello\r\n")           # from the socket; `take()` is what to write now
    dialogue.begin(transaction)                   # once it is `ready`; MAIL, RCPT and DATA follow by themselves
    dialogue.finish()                             # once `sending`: call it, then write the last piece with its dot

Theory.
1. The chart (`client_chart.py`) decides what a reply means; this file reads replies, writes commands, and notes which
   reply decides about which recipient (`DECIDES`).
2. Replies belong to commands by their order alone.  A line that is no reply leaves that order unknown, so it ends the
   dialogue; the replies before it stand.
3. A recipient without an answer at the end of a dialogue has not got the message unless the final dot was written.
"""

from __future__ import annotations

import hmac
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from fsm.mail.smtp.client_chart import CLIENT
from fsm.mail.syntax import line
from fsm.session import Session

__all__ = ["Answer", "Dialogue", "Transaction"]

MAX_REPLY: Final = 64 * 1024
"""Octets of a reply."""

LINE: Final = re.compile(rb"([2-5][0-9]{2})(?:([ -])([^\n]*))?\r?\n|([^\n]*)\n")
"""A line of a reply: its code, whether more lines follow, and its text; or what is no reply."""
KINDS: Final = {b"2": "completed", b"3": "continued", b"4": "postponed", b"5": "rejected", b"421": "closing"}
REFUSED: Final = ("postponed", "rejected")
DECIDES: Final = frozenset(
    {(to, kind) for to in ("mail", "rcpt", "data", "content", "dot") for kind in REFUSED} | {("dot", "completed")}
)
"""The replies that decide about recipients: to what, and of which kind.  421 decides about all that are left."""
ONE_BY_ONE: Final = frozenset({"rcpt"})
"""Where a reply is for one recipient; elsewhere it is for all that are left (in LMTP the final dot is, too)."""


class Answer(NamedTuple):
    """The reply that decided about a recipient, and to what it was the reply: a state of the chart."""

    code: int
    text: str
    to: str

    def __str__(self) -> str:
        return line(f"{self.code} {self.text}", 500)


@dataclass(slots=True)
class Transaction:
    """One message to send: the commands of its envelope without line ends, and what became of each recipient.

    `answers` is in the order of `recipients`; None is no answer (yet).  `started` is whether the server has asked for
    the content, `committed` whether the final dot was written.
    """

    mail: bytes
    recipients: Sequence[bytes]
    answers: list[Answer | None] = field(init=False)
    started: bool = False
    committed: bool = False

    def __post_init__(self) -> None:
        self.answers = [None] * len(self.recipients)


_ClientSession: Final = Session.of(CLIENT)


def _where(event: str) -> frozenset[str]:
    """The states that have a row for the event."""
    return frozenset(str(state) for state in CLIENT.states if CLIENT.rows_for(state, event))


READY, SECURING, SENDING, ALIVE = map(_where, ("begin", "secured", "finish", "lost"))
BUSY: Final = ALIVE - READY


class Dialogue:
    """One connection's dialogue.  `login` is a name and a password; `lmtp` greets with LHLO.

    `state` is the state of the chart: what is waited for.  `offers` are the extensions that the server offers, in
    small letters, with their parameters.  Once it is closed, `problem` says why, and `refusal` is the reply that ended
    it, if it was one.
    """

    def __init__(
        self, hostname: str, *, tls: bool = False, login: tuple[str, str] | None = None, lmtp: bool = False
    ) -> None:
        self._session: Any = _ClientSession()  # with the events of the chart as methods
        for event, wanted in (("require_tls", tls), ("require_login", login is not None), ("speak_lmtp", lmtp)):
            if wanted:
                self._session.fire(event)
        self.state: str = self._session.state
        self._hostname, self._login, self._lmtp = hostname.encode(), login, lmtp
        self.offers: dict[str, str] = {}
        self.problem, self.refusal = "", None
        self.transaction: Transaction | None = None
        self._says = SAYS
        self._out = b""
        self._buffer, self._code, self._lines, self._length = b"", b"", list[str](), 0
        self._challenges: Iterator[Callable[[bytes], bytes]] = iter(())

    refusal: Answer | None

    # --------------------------------------------------------------------------------------------------- to ask

    @property
    def ready(self) -> bool:
        """Whether a transaction may begin."""
        return self.state in READY

    @property
    def securing(self) -> bool:
        """Whether the TLS handshake is to be made now; then call `secured`."""
        return self.state in SECURING

    @property
    def sending(self) -> bool:
        """Whether the content of the message is to be written now."""
        return self.state in SENDING

    @property
    def busy(self) -> bool:
        """Whether something is under way: it is neither ready nor closed."""
        return self.state in BUSY

    @property
    def closed(self) -> bool:
        """Whether nothing can be sent any more."""
        return self.state not in ALIVE

    def take(self) -> bytes:
        """Return what is to be written now, once."""
        out, self._out = self._out, b""
        return out

    # -------------------------------------------------------------------------------------------------- to tell

    def receive(self, data: bytes) -> bool:
        """Read replies, or pieces of them.  Return whether a reply was complete, or the dialogue is closed."""
        data, complete = self._buffer + data, False
        end = data.rfind(b"\n") + 1
        self._buffer = data[end:]
        for code, between, octets, other in LINE.findall(data, 0, end):
            if self.closed:
                break
            if not code or (self._lines and code != self._code):
                self.lose(f"this line is no reply: {line(_text(other or code + between + octets), 200)}")
                break
            text = _text(octets)
            if between == b"-":
                self._code, self._length = code, self._length + len(octets) + len(b"250-\n")
                self._lines.append(text)
                continue
            answer = Answer(int(code), "\n".join((*self._lines, text)), self.state)
            self._lines, self._length, complete = [], 0, True
            self._reply(answer, KINDS.get(code) or KINDS[code[:1]])
        if len(self._buffer) + self._length > MAX_REPLY:
            self.lose("a reply has no end")
        if self.securing and (self._buffer or self._lines):
            self.lose("there is clear text behind the reply to STARTTLS")
        return complete or self.closed

    def secured(self) -> None:
        """TLS is there: greet again."""
        self.offers = {}
        self._step("secured")

    def begin(self, transaction: Transaction) -> None:
        """Send the envelope of a message, which has a recipient.  Refused unless the dialogue is ready."""
        self.transaction = transaction
        for _ in transaction.recipients:
            self._session.add_recipient()
        pipelined = "pipelining" in self.offers
        self._says = SAYS if pipelined else SAYS_SINGLY
        self._step("begin_pipelined" if pipelined else "begin")

    def finish(self) -> None:
        """The last piece of the message is about to be written, with the final dot."""
        assert self.transaction is not None
        self._step("finish")
        self.transaction.committed = True

    def leave(self) -> None:
        """Say QUIT."""
        self._step("leave")

    def lose(self, problem: str) -> None:
        """The connection is lost, or given up for this reason.  Does nothing when the dialogue is closed."""
        if not self.closed:
            self.problem = problem
            self._step("lost")

    # -------------------------------------------------------------------------------------------------- replies

    def _reply(self, answer: Answer, kind: str) -> None:
        if (answer.to, kind) in DECIDES or kind == "closing":
            self._decide(answer, kind)
        if answer.to in GREETS and kind == "completed" and (lacking := self._learn(answer)):
            self.lose(lacking)
            return
        self._step(kind, answer)
        if self.closed:
            self.refusal = answer if kind in (*REFUSED, "closing") else None
            nonsense = f"{answer} makes no sense as the reply to {answer.to.upper()}"
            self.problem = str(answer) if self.refusal is not None else nonsense

    def _decide(self, answer: Answer, kind: str) -> None:
        """Note the reply for the recipients about whom it decides."""
        transaction = self.transaction
        if transaction is None:
            return
        left = [n for n, given in enumerate(transaction.answers) if given is None]
        if kind != "closing" and answer.to in ONE_BY_ONE:
            left = [len(transaction.recipients) - self._unanswered]
        elif kind != "closing" and transaction.committed and self._lmtp:
            left = left[:1]
        for number in left:
            transaction.answers[number] = answer

    @property
    def _unanswered(self) -> int:
        unanswered: int = self._session.unanswered
        return unanswered

    def _learn(self, answer: Answer) -> str | None:
        """Note what the server offers, and return what it should and does not."""
        offers = (offer.lower().partition(" ") for offer in answer.text.split("\n")[1:])
        self.offers = {name: parameters for name, _, parameters in offers}
        if self._session.security == "wanted":
            return None if "starttls" in self.offers else "it does not offer STARTTLS"
        known = set(self.offers.get("auth", "").split()) & {"plain", "login", "cram-md5"}
        return "it does not offer a way to log in" if self._login is not None and not known else None

    # ------------------------------------------------------------------------------------------------- commands

    def _step(self, event: str, answer: Answer | None = None) -> None:
        """Take a step, and say what the state begins with."""
        getattr(self._session, event)()
        self.state = self._session.state
        if say := self._says.get(self.state):
            say(self, answer)

    def _send(self, *commands: bytes) -> None:
        self._out += b"\r\n".join((*commands, b""))

    def _say_hello(self, answer: Answer | None) -> None:
        self._send((b"LHLO " if self._lmtp else b"EHLO ") + self._hostname)

    def _say_login(self, answer: Answer | None) -> None:
        """AUTH with the first mechanism that both know, or the answer to a challenge."""
        assert self._login is not None
        assert answer is not None
        if answer.to not in GREETS:
            reply = next(self._challenges, None)
            if reply is None:
                self.lose("it asks more than there is to say when logging in")
            else:
                self._send(b64encode(reply(_unencoded(answer.text))))
            return
        offered, (name, password) = self.offers["auth"].split(), (one.encode() for one in self._login)
        if "plain" in offered:
            whole = b"\0" + name + b"\0" + password
            self._challenges = iter([lambda _: whole])
            self._send(b"AUTH PLAIN " + b64encode(whole))
        elif "login" in offered:
            self._challenges = iter([lambda _: name, lambda _: password])
            self._send(b"AUTH LOGIN")
        else:
            self._challenges = iter([lambda challenge: b"%b %b" % (name, _digest(password, challenge))])
            self._send(b"AUTH CRAM-MD5")

    def _say_envelope(self, answer: Answer | None) -> None:
        assert self.transaction is not None
        self._send(self.transaction.mail, *self.transaction.recipients, b"DATA")

    def _say_mail(self, answer: Answer | None) -> None:
        assert self.transaction is not None
        self._send(self.transaction.mail)

    def _say_rcpt(self, answer: Answer | None) -> None:
        assert self.transaction is not None
        self._send(self.transaction.recipients[-self._unanswered])

    def _start(self, answer: Answer | None) -> None:
        assert self.transaction is not None
        self.transaction.started = True


def _says(command: bytes) -> Callable[[Dialogue, Answer | None], None]:
    return lambda dialogue, answer: dialogue._send(command)


GREETS: Final = frozenset({"ehlo", "helo"})
SAYS: Final[dict[str, Callable[[Dialogue, Answer | None], None]]] = {
    "ehlo": Dialogue._say_hello,
    "helo": lambda dialogue, answer: dialogue._send(b"HELO " + dialogue._hostname),
    "starttls": _says(b"STARTTLS"),
    "auth": Dialogue._say_login,
    "mail": Dialogue._say_envelope,
    "content": Dialogue._start,
    "void_dot": _says(b"."),
    "rset": _says(b"RSET"),
    "quit": _says(b"QUIT"),
}  # fmt: skip
"""What is said when a state is entered, or stays after a reply."""
SAYS_SINGLY: Final = SAYS | {"mail": Dialogue._say_mail, "rcpt": Dialogue._say_rcpt, "data": _says(b"DATA")}
"""The same, to a server that takes one command at a time."""


def _text(octets: bytes) -> str:
    return octets.decode("utf-8", "surrogateescape").strip()


def _digest(password: bytes, challenge: bytes) -> bytes:
    return hmac.new(password, challenge, "md5").hexdigest().encode()


def _unencoded(challenge: str) -> bytes:
    try:
        return b64decode(challenge.encode(errors="replace"))
    except ValueError:
        return b""
