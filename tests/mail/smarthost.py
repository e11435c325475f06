"""A smarthost without a socket that answers by a script, and believes its own answers: the worst a client can meet.

It takes every recipient it has answered with 2yz, whatever it answered to MAIL, and delivers what it gets after a 3yz to DATA, up to the
final dot, when it answers that with 2yz: also to nobody, and also nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

CLOSE, SILENT, NONSENSE = "close", "silent", "nonsense"
GOOD = {"connect": 220, "ehlo": 250, "helo": 250, "mail": 250, "rcpt": 250, "data": 354, "dot": 250, "rset": 250, "quit": 221, "auth": 235, "starttls": 220}
Script = dict[str, list[int | str]]


class Smarthost:
    """`script` has the answers by stage, in the order in which they are given; then come good ones."""

    def __init__(self, script: Script, *offers: str, lmtp: bool = False) -> None:
        self.script = {stage: list(answers) for stage, answers in script.items()}
        self.offers, self.lmtp = offers, lmtp
        self.given: list[tuple[str, int | str]] = []
        self.delivered: list[tuple[tuple[str, ...], bytes]] = []
        self.accepted: list[str] = []
        self.closed = self.silent = self.in_content = False
        self.buffer = b""
        self.commands: list[str] = []
        self.out = [self._answer("connect")]

    def take(self) -> bytes:
        out, self.out = b"".join(self.out), []
        return out

    def receive(self, data: bytes) -> None:
        self.buffer += data
        while not (self.closed or self.silent) and (self._content() if self.in_content else self._command()):
            pass

    def _command(self) -> bool:
        line, end, rest = self.buffer.partition(b"\r\n")
        if not end:
            return False
        self.buffer = rest
        self.commands.append(line.decode())
        stage = line[:4].decode().lower().replace("lhlo", "ehlo").replace("star", "starttls")
        if stage == "mail":
            self.accepted = []
        answer = self._answer(stage)
        self.out.append(answer)
        if stage == "rcpt" and answer.startswith(b"2"):
            self.accepted.append(line.decode().partition("<")[2].rstrip(">"))
        if stage == "rset" and answer.startswith(b"2"):
            self.accepted = []
        if stage == "data" and answer.startswith(b"3"):
            self.in_content, self.buffer = True, b"\r\n" + self.buffer
        return True

    def _content(self) -> bool:
        end = self.buffer.find(b"\r\n.\r\n")
        if end < 0:
            return False
        content, self.buffer = self.buffer[2 : end + 2].replace(b"\r\n.", b"\r\n"), self.buffer[end + 5 :]
        self.in_content = False
        for group in self._groups():
            answer = self._answer("dot")
            self.out.append(answer)
            if answer.startswith(b"2"):
                self.delivered.append((group, content))
            if self.closed or self.silent:
                break
        self.accepted = []
        return True

    def _groups(self) -> Iterator[tuple[str, ...]]:
        if self.lmtp:
            yield from ((one,) for one in self.accepted)
        else:
            yield tuple(self.accepted)

    def _answer(self, stage: str) -> bytes:
        answers = self.script.get(stage, [])
        answer = answers.pop(0) if answers else GOOD.get(stage, 500)
        self.given.append((stage, answer))
        if answer == SILENT:
            self.silent = True
            return b""
        if answer == CLOSE or answer == 421:
            self.closed = True
        if answer == NONSENSE:
            return b"what is this?\r\n"
        if answer == CLOSE:
            return b""
        if stage == "ehlo" and str(answer).startswith("2"):
            return b"".join(f"{answer}-{offer}\r\n".encode() for offer in ("me", *self.offers)) + f"{answer} HELP\r\n".encode()
        return f"{answer} so it is\r\n".encode()
