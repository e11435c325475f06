"""The server's dialogue without a socket: whatever a client sends, in whatever pieces, it gets one reply for each command, and mail is whole."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace
from weakref import ref

import pytest
from hypothesis import (
    given,
    strategies as st,
)

from fsm.mail.content import Content
from fsm.mail.smtp.server_dialogue import Dialogue, Rules

RULES = Rules("here", 10_000, 100, 20, 200, lambda peer: True, lambda address: None, lambda octets: True, lambda: Content(10_000))
LOGIN = replace(RULES, tls=True, login=True)


class Talk:
    """A dialogue with the rest of a server that answers at once."""

    def __init__(self, rules: Rules = RULES, *, secure: bool = False, refusal: str | None = None) -> None:
        self.dialogue = Dialogue(rules, "peer", secure=secure)
        self.taken: list[tuple[str, tuple[str, ...], bytes]] = []
        self.refusal = refusal
        self.dialogue.greet()

    def say(self, data: bytes) -> list[str]:
        """Send it, and return the codes of the replies; a reply of several lines is one."""
        self.dialogue.receive(data)
        said = b""
        while True:
            wanted = self.dialogue.run()
            said += self.dialogue.take()
            if wanted in ("commands", "content", "nothing"):
                return [one[:3].decode() for one in said.split(b"\r\n") if one[3:4] != b"-" and one]
            if wanted != "turn":
                getattr(self, f"_{wanted}")()

    def _admission(self) -> None:
        if self.refusal is not None:
            self.dialogue.turn_away(self.refusal)
        else:
            self.dialogue.admit()

    def _storing(self) -> None:
        dialogue = self.dialogue
        assert dialogue.content is not None
        if dialogue.content.refusal is None:
            self.taken.append((dialogue.sender, tuple(dialogue.recipients), bytes(dialogue.content.octets)))
        dialogue.answer(dialogue.content.refusal or "250 2.0.0 taken")

    def _handshake(self) -> None:
        self.dialogue.secured()

    def _password(self) -> None:
        right = self.dialogue.credentials == (b"joe", b"secret")
        self.dialogue.log_in(right, "235 2.7.0 welcome" if right else "535 5.7.8 no")


MAIL = b"MAIL FROM:<a@b.c>\r\nRCPT TO:<d@e.f>\r\nDATA\r\n"
COMMANDS = st.sampled_from([
    b"EHLO x", b"HELO x", b"LHLO x", b"MAIL FROM:<a@b.c>", b"MAIL FROM:<>", b"RCPT TO:<d@e.f>", b"RCPT TO:<g@h.i>", b"DATA", b"RSET", b"NOOP", b"VRFY x",
    b"HELP", b"QUIT", b"STARTTLS", b"AUTH PLAIN AGpvZQBzZWNyZXQ=", b"AUTH LOGIN", b"am9l", b"*", b"hello", b"", b".", b"..", b"Subject: x", b"x\ry", b"\xff",
    b"MAIL FROM:<a b@c>", b"RCPT TO:<>", b"BDAT 3 LAST", b"auth plain", b"AGpvZQBzZWNyZXQ=",
])  # fmt: skip


@given(st.lists(COMMANDS, max_size=30), st.lists(st.integers(0, 600), max_size=5), st.booleans(), st.booleans())
def test_whatever_is_said_in_whatever_pieces_the_replies_and_the_mail_are_the_same(lines: list[bytes], cuts: list[int], login: bool, lmtp: bool) -> None:
    rules = replace(LOGIN if login else RULES, lmtp=lmtp, errors=1000)
    wire = b"".join(line + b"\r\n" for line in lines)
    if b"STARTTLS" in wire and login:  # what follows it in one piece is dropped, by intention
        return
    whole, cut, start = Talk(rules, secure=login), Talk(rules, secure=login), 0
    at_once, in_pieces = whole.say(wire), list[str]()
    for end in [*sorted(one % (len(wire) + 1) for one in cuts), len(wire)]:
        in_pieces += cut.say(wire[start:end])
        start = end
    assert (at_once, whole.taken, whole.dialogue.state) == (in_pieces, cut.taken, cut.dialogue.state)
    for sender, recipients, content in whole.taken:
        assert recipients
        assert sender in ("a@b.c", "")
        assert b"\r\n.\r\n" not in b"\r\n" + content.replace(b"\r\n.\r\n", b"")
    assert not login or not whole.taken or whole.dialogue.user == "joe" or not whole.dialogue.helo


@given(st.lists(COMMANDS, max_size=40))
def test_without_tls_and_a_login_nothing_is_taken_where_they_are_required(lines: list[bytes]) -> None:
    talk = Talk(LOGIN)
    for line in lines:
        if line != b"STARTTLS":
            talk.say(line + b"\r\n")
    assert (talk.taken, talk.dialogue.user) == ([], "")


@given(st.binary(max_size=300))
def test_no_octets_break_it(data: bytes) -> None:
    talk = Talk()
    talk.say(b"EHLO x\r\n" + data + b"\r\n")
    assert talk.dialogue.closed or talk.dialogue.receiving or talk.say(b"NOOP\r\n") == ["250"]


def test_a_message_is_taken_whole_and_another_follows() -> None:
    talk = Talk()
    assert talk.say(b"EHLO x\r\n" + MAIL) == ["220", "250", "250", "250", "354"]
    assert talk.say(b"Subject: x\r\n\r\n..a\r\n.\r\n" + MAIL + b"x\r\n.\r\nQUIT\r\n") == ["250", "250", "250", "354", "250", "221"]
    assert [content for _, _, content in talk.taken] == [b"Subject: x\r\n\r\n.a\r\n", b"x\r\n"]


def test_lmtp_has_a_reply_for_each_recipient() -> None:
    talk = Talk(replace(RULES, lmtp=True))
    assert talk.say(b"EHLO x\r\nHELO x\r\nLHLO x\r\nMAIL FROM:<a@b.c>\r\nRCPT TO:<d@e.f>\r\nRCPT TO:<g@h.i>\r\nDATA\r\n") == ["220", "500", "500", "250", "250", "250", "250", "354"]
    assert talk.say(b"x\r\n.\r\n") == ["250", "250"]
    talk.refusal = "421 4.3.2 closing"
    assert talk.say(MAIL) == ["250", "250", "421"]


def test_clear_text_behind_starttls_is_dropped_and_tls_begins_once() -> None:
    talk = Talk(replace(RULES, tls=True))
    assert talk.say(b"EHLO x\r\nSTARTTLS\r\nEHLO injected\r\n" + MAIL) == ["220", "250", "220"]
    assert (talk.dialogue.secure, talk.dialogue.helo) == (True, "")
    assert talk.say(b"MAIL FROM:<a@b.c>\r\nEHLO x\r\nSTARTTLS\r\n") == ["503", "250", "503"]
    assert (talk.dialogue.protocol, talk.dialogue.closed) == ("ESMTPS", False)


@pytest.mark.parametrize(("said", "replies"), [
    ([b"AUTH PLAIN " + b64encode(b"\0joe\0secret")], ["235"]), ([b"AUTH PLAIN", b64encode(b"\0joe\0secret")], ["334", "235"]),
    ([b"AUTH PLAIN " + b64encode(b"joe\0joe\0secret")], ["235"]), ([b"AUTH PLAIN " + b64encode(b"admin\0joe\0secret")], ["535"]),
    ([b"auth login", b64encode(b"joe"), b64encode(b"secret")], ["334", "334", "235"]), ([b"AUTH LOGIN " + b64encode(b"joe"), b64encode(b"secret")], ["334", "235"]),
    ([b"AUTH PLAIN " + b64encode(b"\0joe\0wrong")], ["535"]), ([b"AUTH PLAIN", b"*"], ["334", "501"]), ([b"AUTH PLAIN !!!"], ["501"]), ([b"AUTH PLAIN =", ], ["501"]),
    ([b"AUTH CRAM-MD5"], ["504"]), ([b"AUTH"], ["501"]), ([b"AUTH PLAIN " + b64encode(b"\0joe\0secret"), b"AUTH LOGIN"], ["235", "503"]),
    ([b"AUTH LOGIN", b"x" * 13_000], ["334", "500"]), ([b"AUTH PLAIN " + b64encode(b"a\0b")], ["501"]),
])  # fmt: skip
def test_logging_in(said: list[bytes], replies: list[str]) -> None:
    talk = Talk(LOGIN, secure=True)
    talk.say(b"EHLO x\r\n")
    assert [code for words in said for code in talk.say(words + b"\r\n")] == replies
    assert (talk.dialogue.user == "joe") == ("235" in replies)
    assert talk.dialogue.protocol == ("ESMTPSA" if "235" in replies else "ESMTPS")


def test_the_identity_in_mail_is_taken_where_logins_are() -> None:
    talk = Talk(LOGIN, secure=True)
    talk.say(b"EHLO x\r\nAUTH PLAIN " + b64encode(b"\0joe\0secret") + b"\r\n")
    for value in (b"<>", b"a@b.c", b"e+3Dmc2@example.com"):
        assert talk.say(b"MAIL FROM:<a@b.c> AUTH=" + value + b"\r\nRSET\r\n") == ["250", "250"]
    assert talk.say(b"MAIL FROM:<a@b.c> AUTH=a+zz\r\n") == ["555"]


@pytest.mark.parametrize("address", ['"a..b"@example.net', '"a b"@x.y', '"a\\"b"@x.y', "a+b@x.y", "a@[127.0.0.1]"])
def test_addresses_are_kept_to_the_letter(address: str) -> None:
    talk = Talk()
    talk.say(f"EHLO x\r\nMAIL FROM:<{address}>\r\nRCPT TO:<{address}>\r\nDATA\r\nx\r\n.\r\n".encode())
    assert [(sender, recipients) for sender, recipients, _ in talk.taken] == [(address, (address,))]


def test_the_replies_end_with_the_dialogue() -> None:
    talk = Talk()
    assert talk.say(b"EHLO x\r\nQUIT\r\nNOOP\r\n") == ["220", "250", "221"]
    assert (talk.dialogue.closed, talk.say(b"NOOP\r\n")) == (True, [])


def test_a_dialogue_is_freed_with_its_connection_and_not_by_the_garbage_collector() -> None:
    talk = Talk(LOGIN, secure=True)
    assert talk.say(b"EHLO x\r\nAUTH PLAIN\r\n*\r\nQUIT\r\n") == ["220", "250", "334", "501", "221"]
    dialogue = ref(talk.dialogue)
    del talk
    assert dialogue() is None
