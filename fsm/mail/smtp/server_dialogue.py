"""The server of an SMTP dialogue without a socket: commands go in, replies come out, the rest of it is asked.

    dialogue.receive(data)              # from the socket
    wanted = dialogue.run()             # a few commands; `take()` is what to write now
    if wanted == "admission":           # or "storing", "handshake", "password": call what answers it
        dialogue.admit()

Theory.
1. The chart (`server_chart.py`) decides which command is accepted when; this file parses commands, asks the port
   (`Rules`) about addresses and limits, and writes replies.
2. Each reply 4yz or 5yz is an error, and so many end the dialogue.  So does a number of commands without a message,
   whatever commands they are.
3. The reply 421 ends the dialogue, for whatever reason.  While the port takes nothing new, that is its reply to each
   sender and recipient.
4. A line that is too long is read to its end and refused.  A browser's request is not a dialogue: the connection ends,
   because a form can hold commands of SMTP.
"""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from fsm.chart import Configuration
from fsm.mail import replies
from fsm.mail.content import Content
from fsm.mail.parameters import joined, refused_of_mail, refused_of_rcpt
from fsm.mail.smtp.server_chart import SERVER
from fsm.mail.syntax import USUAL_PATH, parsed_path, wrong_address
from fsm.session import Session
from fsm.verdict import judge

__all__ = ["Dialogue", "Rules"]

MAX_COMMAND: Final = 4096
"""Octets of a command line, with what extensions add to it (RFC 5321 4.5.3.1.4: 512 without)."""
MAX_RESPONSE: Final = 12288
"""Octets of an answer to a challenge (RFC 4954 4)."""
WRONG_LOGIN_ERRORS: Final = 5
"""The number of errors as which a wrong login counts."""
HTTP: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PATCH"})

_ServerSession: Final = Session.of(SERVER)


def _where(event: str) -> frozenset[str]:
    """The states that have a row for the event."""
    return frozenset(str(state) for state in SERVER.states if SERVER.rows_for(state, event))


@lru_cache(maxsize=1024)
def _accepted(configuration: Configuration, event: str) -> bool:
    """Return the verdict, which is asked for at every command of every client."""
    return judge(SERVER, configuration, event).accepted


@lru_cache(maxsize=1024)
def _offers(rules: Rules, here: Configuration) -> str:
    """Return the reply to EHLO."""
    offers = [rules.hostname, "PIPELINING", f"SIZE {rules.size}", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES"]
    offers += ["DSN"] if rules.dsn else []
    offers += ["STARTTLS"] if _accepted(here, "starttls") else []
    offers += ["AUTH PLAIN LOGIN"] if _accepted(here, "auth") else []
    return "\r\n".join([*(replies.OFFER.format(text=offer) for offer in offers), replies.HELLO.format(text="HELP")])


COMMANDS, CHALLENGED, RECEIVING, ALIVE = map(_where, ("aside", "check", "complete", "lost"))
READING: Final = COMMANDS | CHALLENGED
WAITS_FOR: Final = {
    **dict.fromkeys(READING, "commands"), **dict.fromkeys(RECEIVING, "content"),
    "admitting": "admission", "storing": "storing", "handshake": "handshake", "checking": "password",
    "closed": "nothing",
}  # fmt: skip
"""What comes next, by state: something from the client, or an answer from the rest of the server."""


@dataclass(frozen=True, slots=True, eq=False)
class Rules:
    """What a port takes; one object for all clients that it holds for.

    `size` is in octets of a message, `recipients` of one message, `errors` and `commands` (without a message) of a
    dialogue.  The functions count a message of a client, return the reply that refuses a recipient or None, and tell
    whether there is room for so many octets.  `new_content` makes the reader of a message.  `refuses_sender` returns
    the reply that refuses mail of a user ("": none) with this sender, or None.
    `new_id` makes the id of a message, and `refused` is told of one that is refused, with the client's address, the id,
    the sender, the recipient and the reply.
    """

    hostname: str
    size: int
    recipients: int
    errors: int
    commands: int
    begin_message: Callable[[str], bool]
    refuses: Callable[[str], str | None]
    has_room: Callable[[int], bool]
    new_content: Callable[[], Content]
    lmtp: bool = False
    tls: bool = False
    login: bool = False
    refuses_sender: Callable[[str, str], str | None] = lambda user, sender: None
    new_id: Callable[[], str] = str
    refused: Callable[[str, str, str, str, str], object] = lambda *_: None
    dsn: bool = False
    """Whether the parameters of RFC 3461 are taken, because what they ask for is done."""


class Dialogue:
    """One client's dialogue.  `peer` is its address.

    `helo`, `sender`, `recipients`, `content` and `credentials` are what the client has said so far; `secure` and `user`
    how.  `id` is that of the message since its MAIL.  The sender and the recipients may have DSN parameters behind them
    (`fsm.mail.parameters`).
    """

    def __init__(self, rules: Rules, peer: str, *, secure: bool = False) -> None:
        self.rules, self.peer, self.secure = rules, peer, secure
        self._session: Any = _ServerSession()  # with the events of the chart as methods
        for event, wanted in (("offer_tls", rules.tls), ("require_login", rules.login), ("begin_in_tls", secure)):
            if wanted:
                self._session.fire(event)
        self.helo, self.sender, self.user, self.id = "", "", "", ""
        self.extended = self.smtputf8 = False
        self.recipients: list[str] = []
        self.content: Content | None = None
        self.credentials = (b"", b"")
        self._buffer, self._overlong = bytearray(), False
        self._out: list[bytes] = []
        self._errors = self._commands = 0
        self._login_name: bytes | None = None
        self._answer = Dialogue._answer_plain

    # --------------------------------------------------------------------------------------------------- to ask

    @property
    def state(self) -> str:
        """The state of the chart."""
        return str(self._session.state)

    @property
    def closed(self) -> bool:
        """Whether nothing more is read; what was said is still to be written."""
        return self._session.state not in ALIVE

    @property
    def receiving(self) -> bool:
        """Whether the content of a message is being read."""
        return self._session.state in RECEIVING

    @property
    def waits_for(self) -> str:
        """What comes next: "commands" or "content" of the client, or what the rest of the server has to answer."""
        return WAITS_FOR[self._session.state]

    @property
    def unread(self) -> int:
        """Octets that have come and are not read yet."""
        return len(self._buffer)

    @property
    def protocol(self) -> str:
        """The name of the protocol for a Received line (RFC 3848, with SMTPUTF8 RFC 6531 4.3)."""
        suffix = ("S" if self.secure else "") + ("A" if self.user else "")
        if self.smtputf8:
            return ("UTF8LMTP" if self.rules.lmtp else "UTF8SMTP") + suffix
        return ("LMTP" if self.rules.lmtp else "ESMTP" if self.extended else "SMTP") + suffix

    def take(self) -> bytes:
        """Return what is to be written now, once."""
        if not self._out:
            return b""
        out, self._out = self._out, []
        return b"".join(out)

    # -------------------------------------------------------------------------------------------------- to tell

    def greet(self) -> None:
        """Say the first words."""
        self._say(replies.GREETING.format(host=self.rules.hostname, kind="LMTP" if self.rules.lmtp else "ESMTP"))

    def receive(self, data: bytes | memoryview) -> None:
        """Take what has come from the client."""
        state = self._session.state
        if state in RECEIVING:
            self._read_content(data)
        elif state in ALIVE:
            self._buffer += data

    def run(self, most: int = 32) -> str:
        """Execute so many commands at most; return what the dialogue waits for, or "turn" if it could execute more."""
        session = self._session
        while self._buffer and session.state in READING:
            if not most:
                return "turn"
            most -= 1
            if (words := self._next_line()) is None:
                break
            self._execute(words)
        return WAITS_FOR[session.state]

    def admit(self) -> None:
        """The store takes the message: ask for it."""
        self._session.admit()
        self.content = self.rules.new_content()
        self._say(replies.SEND_CONTENT)
        if self._buffer:
            data, self._buffer = self._buffer, bytearray()
            self._read_content(data)

    def turn_away(self, reply: str) -> None:
        """The store takes no message, for the reason in the reply."""
        self._session.turn_away()
        self._forget()
        self._say(reply)

    def answer(self, reply: str) -> None:
        """The message is stored or refused: say so, in LMTP for each recipient."""
        times = len(self.recipients) if self.rules.lmtp else 1
        self._session.answer()
        self._forget()
        if reply[0] == "2":
            self._commands = 0
        self._say(reply, times)

    def secured(self) -> None:
        """TLS is there; all that was said before is forgotten."""
        self._session.secured()
        self.secure, self.helo, self.extended = True, "", False

    def log_in(self, accepted: bool, reply: str) -> None:
        """The password is checked."""
        self._session.fire("known" if accepted else "unknown")
        if accepted:
            self.user = self.credentials[0].decode("utf-8", "replace")
        else:
            self._errors += WRONG_LOGIN_ERRORS - 1
        self.credentials = (b"", b"")
        self._say(reply)

    def end(self, reply: str | None = None) -> None:
        """End the dialogue, with a last reply.  Does nothing when it has ended."""
        if not self.closed:
            if reply is not None:
                self._out.append(f"{reply}\r\n".encode())
            self._session.lost()

    # --------------------------------------------------------------------------------------------------- reading

    def _read_content(self, data: bytes | bytearray | memoryview) -> None:
        assert self.content is not None
        self._buffer += self.content.feed(data)
        if self.content.complete:
            self._session.complete()

    def _next_line(self) -> bytearray | None:
        """Return the next line without its end, or None if it has not come whole."""
        buffer = self._buffer
        end = buffer.find(b"\n")
        longest = MAX_RESPONSE if self._session.state in CHALLENGED else MAX_COMMAND
        if end < 0:
            if len(buffer) > longest:
                buffer.clear()
                self._overlong = True
            return None
        words = buffer[:end].rstrip(b"\r")
        del buffer[: end + 1]
        if len(words) > longest:
            self._overlong = True
        return words

    def _execute(self, words: bytearray) -> None:
        self._commands += 1
        if self._commands > self.rules.commands:
            self._say(replies.TOO_MANY_COMMANDS)
            return
        if self._overlong:
            self._overlong = False
            self._say(replies.COMMAND_TOO_LONG)
            return
        if self._session.state in CHALLENGED:
            self._answer(self, bytes(words))
            return
        verb, _, argument = words.decode("utf-8", "surrogateescape").partition(" ")
        command = VERBS.get(verb.upper())
        if command is not None:
            command(self, argument.strip(" "))
        elif verb.upper() in HTTP:
            self.end()
        else:
            self._say(replies.UNKNOWN_COMMAND)

    def _say(self, reply: str, times: int = 1) -> None:
        """Say a reply.  Errors are counted, and 421 ends the dialogue."""
        self._out.append(f"{reply}\r\n".encode("utf-8", "replace") * times)
        if reply[0] in "45":
            self._errors += 1
            if reply[:3] == "421":
                self._session.lost()
            elif self._errors >= self.rules.errors:
                self.end(replies.TOO_MANY_ERRORS)

    def _may(self, event: str) -> bool:
        """Whether the chart accepts the command; otherwise say why not."""
        if _accepted(self._session.configuration, event):
            return True
        self._say(self._reason(event))
        return False

    def _reason(self, event: str) -> str:
        """Return the reply to a command that the chart does not accept now."""
        tls, user = self._session.tls, self._session.user
        need_tls = replies.NEEDS_TLS if tls == "required" else None
        refusals = {
            "mail": need_tls or (replies.NEEDS_LOGIN if user == "required" else None),
            "auth": need_tls or (replies.NO_CLEAR_PASSWORDS if tls != "active" else None),
            "starttls": replies.NO_TLS if tls == "absent" else None,
        }
        if not self.helo:
            return replies.NEEDS_HELLO
        return refusals.get(event) or replies.BAD_SEQUENCE

    def _forget(self) -> None:
        self.sender, self.recipients, self.content, self.smtputf8 = "", [], None, False

    # ------------------------------------------------------------------------------------------- greeting, leaving

    def _hello(self, argument: str, *, extended: bool) -> None:
        if not argument:
            self._say(replies.HELLO_SYNTAX)
            return
        self._session.hello()
        self._forget()
        self.helo, self.extended = argument, extended
        rules, here = self.rules, self._session.configuration
        self._say(_offers(rules, here) if extended else replies.HELLO.format(text=rules.hostname))

    def _ehlo(self, argument: str) -> None:
        if self.rules.lmtp:
            self._say(replies.SAY_LHLO)
        else:
            self._hello(argument, extended=True)

    def _helo(self, argument: str) -> None:
        if self.rules.lmtp:
            self._say(replies.SAY_LHLO)
        else:
            self._hello(argument, extended=False)

    def _lhlo(self, argument: str) -> None:
        if self.rules.lmtp:
            self._hello(argument, extended=True)
        else:
            self._say(replies.UNKNOWN_COMMAND)

    def _quit(self, argument: str) -> None:
        self._say(replies.BYE)
        self._session.quit()

    def _rset(self, argument: str) -> None:
        self._session.rset()
        self._forget()
        self._say(replies.OK)

    def _aside(self, reply: str) -> None:
        self._session.aside()
        self._say(reply)

    # ------------------------------------------------------------------------------------------------ the envelope

    def _path(self, argument: str, word: str) -> tuple[str, list[str]] | None:
        """Return the address and the parameters of MAIL or RCPT, or say what is wrong."""
        if argument[: len(word)].upper() != word:
            self._say(replies.PATH_SYNTAX.format(word=word))
            return None
        text = argument[len(word) :].lstrip(" ")
        usual = USUAL_PATH.fullmatch(text)
        path = (usual[1], usual[2]) if usual else parsed_path(text)
        if path is None:
            self._say(replies.MALFORMED_PATH if len(text) <= MAX_PATH else replies.MALFORMED_ADDRESS)
            return None
        return path[0], path[1].split()

    def _mail(self, argument: str) -> None:
        if not self._may("mail"):
            return
        path = self._path(argument, "FROM:")
        if path is None:
            return
        sender, parameters = path
        self.smtputf8, self.id = False, self.rules.new_id()
        kept: dict[str, str] = {}
        refusal = self._parameters(parameters, kept)
        if refusal is None and sender:
            refusal = wrong_address(sender, smtputf8=self.smtputf8)
        if refusal is None:
            refusal = self.rules.refuses_sender(self.user, sender)
        if refusal is None and not self.rules.begin_message(self.peer):
            refusal = replies.TOO_MANY_MESSAGES
        if refusal is not None:
            self.rules.refused(self.peer, self.id, sender, "", refusal)
            self._say(refusal)
            return
        self._session.mail()
        self.sender = joined(sender, kept)
        self._say(replies.SENDER_OK)

    def _parameters(self, parameters: list[str], kept: dict[str, str]) -> str | None:
        """Take the parameters of MAIL; return the reply that refuses one, or None.  Those of DSN are `kept`."""
        for parameter in parameters:
            name, equals, value = parameter.partition("=")
            name = name.upper()
            if name == "SIZE":
                if not re.fullmatch(r"[0-9]{1,20}", value):
                    return replies.TOO_LARGE if re.fullmatch(r"[0-9]+", value) else replies.BAD_PARAMETER
                if int(value) > self.rules.size:
                    return replies.TOO_LARGE
                if not self.rules.has_room(int(value)):
                    return replies.NO_MEMORY
            elif name == "BODY":
                if value.upper() not in ("7BIT", "8BITMIME"):
                    return replies.BAD_PARAMETER
            elif name == "SMTPUTF8":
                if equals:
                    return replies.BAD_PARAMETER
                self.smtputf8 = True
            elif self.rules.dsn and (malformed := refused_of_mail(name, value)) is not None:
                if malformed or name in kept:
                    return replies.BAD_PARAMETER
                kept[name] = value
            elif name != "AUTH" or not self.rules.login or not XTEXT.fullmatch(value):
                return replies.UNKNOWN_PARAMETER
        return None

    def _rcpt(self, argument: str) -> None:
        if not self._may("rcpt"):
            return
        path = self._path(argument, "TO:")
        if path is None:
            return
        address, parameters = path
        kept: dict[str, str] = {}
        refusal = self._recipient_parameters(parameters, kept)
        if refusal is None and len(self.recipients) >= self.rules.recipients:
            refusal = replies.TOO_MANY_RECIPIENTS
        if refusal is None:
            refusal = replies.MALFORMED_ADDRESS if not address else wrong_address(address, smtputf8=self.smtputf8)
        if refusal is None:
            refusal = self.rules.refuses(address)
        if refusal is not None:
            self.rules.refused(self.peer, self.id, self.sender, address, refusal)
            self._say(refusal)
            return
        self._session.rcpt()
        self.recipients.append(joined(address, kept))
        self._commands -= 1  # a message may have many
        self._say(replies.RECIPIENT_OK)

    def _recipient_parameters(self, parameters: list[str], kept: dict[str, str]) -> str | None:
        """Take the parameters of RCPT; return the reply that refuses one, or None."""
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            name = name.upper()
            malformed = refused_of_rcpt(name, value) if self.rules.dsn else None
            if malformed is None:
                return replies.UNKNOWN_PARAMETER
            if malformed or name in kept:
                return replies.BAD_PARAMETER
            kept[name] = value.upper() if name == "NOTIFY" else value
        return None

    def _data(self, argument: str) -> None:
        if argument:
            self._say(replies.NO_ARGUMENT)
        elif self._may("data"):
            self._session.data()

    # ----------------------------------------------------------------------------------------------- TLS and AUTH

    def _starttls(self, argument: str) -> None:
        if argument:
            self._say(replies.NO_ARGUMENT)
        elif self._may("starttls"):
            self._session.starttls()
            self._buffer.clear()  # clear text behind STARTTLS was put there by somebody else
            self._out.append(f"{replies.BEGIN_TLS}\r\n".encode())

    def _auth(self, argument: str) -> None:
        if not self._may("auth"):
            return
        mechanism, _, initial = argument.partition(" ")
        answer = {"PLAIN": Dialogue._answer_plain, "LOGIN": Dialogue._answer_login}.get(mechanism.upper())
        if answer is None:
            self._say(replies.UNKNOWN_MECHANISM if mechanism else replies.AUTH_SYNTAX)
            return
        self._session.auth()
        self._answer, self._login_name = answer, None
        if initial:
            answer(self, b"" if initial == "=" else initial.encode("utf-8", "replace"))
        else:
            self._say(replies.SAY_ANYTHING if mechanism.upper() == "PLAIN" else replies.SAY_NAME)

    def _decoded(self, words: bytes) -> bytes | None:
        """Return an answer to a challenge, or give the login up and say why."""
        try:
            if words != b"*":
                return b64decode(words.strip(), validate=True)
        except (Error, ValueError):
            pass
        self._session.give_up()
        self._say(replies.LOGIN_CANCELLED if words == b"*" else replies.NOT_BASE64)
        return None

    def _answer_plain(self, words: bytes) -> None:
        decoded = self._decoded(words)
        if decoded is None:
            return
        parts = decoded.split(b"\0")
        if len(parts) != 3 or parts[0] not in (b"", parts[1]):
            self._session.give_up()
            self._say(replies.NOT_FOR_ANOTHER if len(parts) == 3 else replies.NOT_BASE64)
            return
        self._check(parts[1], parts[2])

    def _answer_login(self, words: bytes) -> None:
        decoded = self._decoded(words)
        if decoded is None:
            return
        if self._login_name is None:
            self._login_name = decoded
            self._session.challenge()
            self._say(replies.SAY_PASSWORD)
        else:
            self._check(self._login_name, decoded)

    def _check(self, name: bytes, password: bytes) -> None:
        self.credentials = (name, password)
        self._session.check()


MAX_PATH: Final = 256
XTEXT: Final = re.compile(r"<>|(?:[!-*,-<>-~]|\+[0-9A-F]{2})+")
"""The identity in MAIL … AUTH= (RFC 4954 5): taken, and not passed on."""
VERBS: Final[dict[str, Callable[[Dialogue, str], None]]] = {
    "EHLO": Dialogue._ehlo, "HELO": Dialogue._helo, "LHLO": Dialogue._lhlo, "MAIL": Dialogue._mail,
    "RCPT": Dialogue._rcpt, "DATA": Dialogue._data, "RSET": Dialogue._rset, "QUIT": Dialogue._quit,
    "STARTTLS": Dialogue._starttls, "AUTH": Dialogue._auth,
    "NOOP": lambda dialogue, argument: dialogue._aside(replies.OK),
    "HELP": lambda dialogue, argument: dialogue._aside(replies.HELP),
    "VRFY": lambda dialogue, argument: dialogue._aside(replies.CANNOT_VERIFY),
    "EXPN": lambda dialogue, argument: dialogue._aside(replies.NO_LISTS),
}  # fmt: skip
