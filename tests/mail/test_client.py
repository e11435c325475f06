"""The client's dialogue without a socket, against every smarthost: no message is delivered empty, to fewer, or to more than were accepted."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import (
    example,
    given,
    strategies as st,
)

from fsm.mail.content import dot_stuffed
from fsm.mail.smtp.client_dialogue import Answer, Dialogue, Transaction
from tests.mail.smarthost import CLOSE, NONSENSE, SILENT, Script, Smarthost

CONTENT = b"Subject: x\r\n\r\n.hello\r\n"
RECIPIENTS = ("a@x", "b@x", "c@x")


def transaction(*recipients: str) -> Transaction:
    return Transaction(b"MAIL FROM:<me@x>", [f"RCPT TO:<{one}>".encode() for one in recipients])


def talk(dialogue: Dialogue, smarthost: Smarthost, *, cut: int = 1000) -> None:
    """Carry what each says to the other, in pieces, until nothing moves; then nobody answers any more."""
    for _ in range(200):
        said = smarthost.take()
        for start in range(0, len(said), cut):
            dialogue.receive(said[start : start + cut])
        if dialogue.sending:
            dialogue.finish()
            smarthost.receive(dot_stuffed(CONTENT))
        elif out := dialogue.take():
            smarthost.receive(out)
        elif not smarthost.out:
            break
    else:
        raise AssertionError("the dialogue goes on for ever")
    if not dialogue.ready:
        dialogue.lose("no reply came in time")


def sent(smarthost: Smarthost, *recipients: str, lmtp: bool = False, cut: int = 1000) -> tuple[Dialogue, Transaction]:
    dialogue, message = Dialogue("me", lmtp=lmtp), transaction(*recipients)
    talk(dialogue, smarthost, cut=cut)
    if dialogue.ready:
        dialogue.begin(message)
        talk(dialogue, smarthost, cut=cut)
    return dialogue, message


def expected(smarthost: Smarthost, message: Transaction) -> list[str]:
    """The ending of each recipient, read off what the smarthost has answered."""
    said: dict[str, list[int | str]] = {}
    for stage, answer in smarthost.given:
        said.setdefault(stage, []).append(answer)

    def ending(answer: int | str) -> str:
        return {"2": "sent", "4": "deferred", "5": "failed"}.get(str(answer)[0], "undecided")

    (mail,) = said.get("mail", ["undecided"])
    if ending(mail) != "sent":
        return [ending(mail)] * len(message.recipients)
    endings = [ending(answer) for answer in said.get("rcpt", [])]
    endings += ["undecided"] * (len(message.recipients) - len(endings))
    broken = next((n for n, one in enumerate(said.get("rcpt", [])) if ending(one) == "undecided" or one == 421), None)
    last = ending(421) if broken is not None and said["rcpt"][broken] == 421 else "undecided"
    if broken is not None:
        return [one if one in ("deferred", "failed") and n <= broken else last for n, one in enumerate(endings)]
    data = said.get("data", ["undecided"])[0]
    final = ending(data) if str(data)[0] in "45" else "undecided"
    dots = iter(said.get("dot", []))
    left = [n for n, one in enumerate(endings) if one == "sent"]
    if str(data)[0] == "3" and left:
        final = ending(next(dots, "undecided"))
    for place, number in enumerate(left):
        endings[number] = final
        if smarthost.lmtp and place + 1 < len(left) and str(data)[0] == "3":
            answer = next(dots, None) if final != "undecided" else None  # nonsense ends it
            final = ending(answer) if answer is not None else ("deferred" if 421 in said.get("dot", []) else "undecided")
    return endings


def endings(message: Transaction) -> list[str]:
    def ending(answer: Answer | None) -> str:
        return "undecided" if answer is None else {2: "sent", 4: "deferred", 5: "failed"}[answer.code // 100]

    return list(map(ending, message.answers))


def judge(smarthost: Smarthost, dialogue: Dialogue, message: Transaction) -> None:
    for group, content in smarthost.delivered:
        assert content == (CONTENT if group else b"")  # a lone dot ends a DATA that was accepted for nobody (RFC 2920 3.1)
    assert endings(message) == expected(smarthost, message)
    reached = [one for group, _ in smarthost.delivered for one in group]
    taken = [command.partition("<")[2].rstrip(b">".decode()) for command, (_, answer) in
             zip([c for c in smarthost.commands if c.startswith("RCPT")], [g for g in smarthost.given if g[0] == "rcpt"], strict=True)
             if str(answer)[0] == "2"]  # fmt: skip
    assert sorted(reached) == sorted(set(reached))
    assert not reached or smarthost.lmtp or reached == taken  # to all that were accepted, and to nobody else
    assert message.committed or not reached
    told = {recipient for recipient, answer in zip(RECIPIENTS, message.answers, strict=False) if answer is not None and answer.code < 400}
    assert told <= set(reached)
    assert set(reached) - told == set() or dialogue.closed  # what is not known to be there is uncertain


ANSWERS = st.one_of(
    st.integers(200, 599), st.sampled_from([220, 250, 251, 354, 421, 450, 452, 550, 552]), st.sampled_from([CLOSE, SILENT, NONSENSE, 100, 199, 600, 999]),
)  # fmt: skip
USUALLY_GOOD = st.one_of(st.just(250), st.just(250), ANSWERS)


@given(
    st.fixed_dictionaries({"mail": st.lists(USUALLY_GOOD, max_size=1), "rcpt": st.lists(USUALLY_GOOD, max_size=3),
                           "data": st.lists(st.one_of(st.just(354), ANSWERS), max_size=1), "dot": st.lists(USUALLY_GOOD, max_size=3),
                           "rset": st.lists(USUALLY_GOOD, max_size=1)}),
    st.booleans(), st.booleans(), st.integers(1, 3), st.sampled_from([1, 3, 1000]),
)  # fmt: skip
@example({"mail": [], "rcpt": [400], "data": [], "dot": [], "rset": []}, True, False, 1, 1000)
def test_whatever_it_answers_each_recipient_has_its_ending_and_the_message_is_whole(
    script: Script, pipelining: bool, lmtp: bool, recipients: int, cut: int
) -> None:
    smarthost = Smarthost(script, *["PIPELINING"] * pipelining, lmtp=lmtp)
    dialogue, message = sent(smarthost, *RECIPIENTS[:recipients], lmtp=lmtp, cut=cut)
    judge(smarthost, dialogue, message)


CODES = [*range(200, 600, 49), 250, 251, 254, 299, 354, 421, 452, 552, CLOSE, SILENT, NONSENSE]


@pytest.mark.parametrize("pipelining", [True, False])
@pytest.mark.parametrize("stage", ["mail", "rcpt", "data", "dot"])
def test_each_answer_at_each_stage_with_each_answer_to_the_next(stage: str, pipelining: bool) -> None:
    after = {"mail": "rcpt", "rcpt": "data", "data": "dot", "dot": "rset"}[stage]
    for first, then in product(CODES, CODES):
        smarthost = Smarthost({stage: [first], after: [then]}, *["PIPELINING"] * pipelining)
        judge(smarthost, *sent(smarthost, "a@x", "b@x"))


@pytest.mark.parametrize("code", range(200, 300))
def test_every_2yz_takes_a_recipient(code: int) -> None:
    for pipelining in (True, False):
        smarthost = Smarthost({"rcpt": [code, code]}, *["PIPELINING"] * pipelining)
        sent(smarthost, "a@x", "b@x")
        assert smarthost.delivered == [(("a@x", "b@x"), CONTENT)]


def test_a_lone_dot_is_sent_for_nobody_only() -> None:
    nobody = Smarthost({"rcpt": [550, 550]}, "PIPELINING")
    dialogue, _ = sent(nobody, "a@x", "b@x")
    assert (nobody.delivered, dialogue.ready, nobody.commands[-1]) == ([((), b"")], True, "RSET")
    somebody = Smarthost({"mail": [550]}, "PIPELINING")
    dialogue, _ = sent(somebody, "a@x", "b@x")
    assert (somebody.delivered, dialogue.closed) == ([], True)


# ------------------------------------------------------------------------------------------------------ opening


def opened(script: Script, *offers: str, tls: bool = False, login: tuple[str, str] | None = None) -> tuple[Dialogue, Smarthost]:
    dialogue, smarthost = Dialogue("me", tls=tls, login=login), Smarthost(script, *offers)
    talk(dialogue, smarthost)
    return dialogue, smarthost


@pytest.mark.parametrize("answer", CODES)
@pytest.mark.parametrize("stage", ["connect", "ehlo", "helo"])
def test_a_greeting_counts_by_its_first_digit(stage: str, answer: int | str) -> None:
    dialogue, smarthost = opened({stage: [answer]} | ({"ehlo": [500]} if stage == "helo" else {}))
    old = stage == "ehlo" and str(answer)[0] == "5"
    assert dialogue.ready == (str(answer)[0] == "2" or old)
    assert (smarthost.commands[-1:] == ["HELO me"]) == (old or stage == "helo")
    assert dialogue.ready or dialogue.problem


@pytest.mark.parametrize(("offered", "said"), [
    ("PLAIN LOGIN CRAM-MD5", [b"AUTH PLAIN AGpvZQBzM2NyZXQ="]), ("CRAM-MD5 LOGIN", [b"AUTH LOGIN", b"am9l", b"czNjcmV0"]),
    ("CRAM-MD5", [b"AUTH CRAM-MD5", b"am9lIDAyNWVjNDFmNGQ5ZWQxNzdmNThhNTE1MTYwN2Y1NjU5"]), ("PLAIN", [b"AUTH PLAIN AGpvZQBzM2NyZXQ=", b"AGpvZQBzM2NyZXQ="]),
])  # fmt: skip
def test_it_logs_in_by_the_best_way_that_both_know(offered: str, said: list[bytes]) -> None:
    dialogue = Dialogue("me", login=("joe", "s3cret"))
    dialogue.receive(b"220 x\r\n")
    dialogue.take()
    dialogue.receive(f"250-x\r\n250 AUTH {offered}\r\n".encode())
    for step, words in enumerate(said):
        assert dialogue.take() == words + b"\r\n"
        dialogue.receive(b"235 welcome\r\n" if step == len(said) - 1 else b"334 PDE+\r\n")
    assert dialogue.ready


@pytest.mark.parametrize(("answer", "closed"), [(535, True), (454, True), (235, False), (354, True), (CLOSE, True)])
def test_without_the_login_nothing_is_sent(answer: int | str, closed: bool) -> None:
    dialogue, _ = opened({"auth": [answer]}, "AUTH PLAIN", login=("joe", "x"))
    assert dialogue.closed == closed
    assert (dialogue.refusal is not None) == (answer in (535, 454, 354))  # after a challenge too many it is refused


def test_without_a_way_to_log_in_or_tls_nothing_is_sent() -> None:
    assert opened({}, login=("joe", "x"))[0].problem == "it does not offer a way to log in"
    assert opened({}, "AUTH PLAIN", tls=True)[0].problem == "it does not offer STARTTLS"
    dialogue, smarthost = opened({"starttls": [454]}, "STARTTLS", "AUTH PLAIN", tls=True, login=("joe", "x"))
    assert (dialogue.closed, smarthost.commands) == (True, ["EHLO me", "STARTTLS"])


@pytest.mark.parametrize("behind", [b"250 x\r\n", b"2", b"250-x\r\n", b"\r\n"])
def test_clear_text_behind_the_reply_to_starttls_ends_it(behind: bytes) -> None:
    dialogue = Dialogue("me", tls=True)
    dialogue.receive(b"220 x\r\n250-x\r\n250 STARTTLS\r\n")
    dialogue.receive(b"220 go\r\n" + behind)
    assert dialogue.closed


def test_after_the_handshake_it_greets_again_and_believes_nothing_from_before() -> None:
    dialogue = Dialogue("me", tls=True)
    dialogue.receive(b"220 x\r\n250-x\r\n250-PIPELINING\r\n250 STARTTLS\r\n220 go\r\n")
    assert dialogue.securing
    dialogue.take()
    dialogue.secured()
    assert (dialogue.take(), dialogue.offers) == (b"EHLO me\r\n", {})
    dialogue.receive(b"250 x\r\n")
    assert (dialogue.ready, dialogue.offers) == (True, {})


# ------------------------------------------------------------------------------------------------------ replies


@pytest.mark.parametrize("reply", [
    b"hello\r\n", b"250_a\r\n", b"2\xb20 a\r\n", b"\r\n", b"250-a\r\n" * 12_000, b"x" * 70_000, b"250-a\r\n251 b\r\n", b"199 a\r\n", b"600 a\r\n", b"25 a\r\n",
])  # fmt: skip
def test_what_is_no_reply_ends_the_dialogue_and_the_replies_before_it_stand(reply: bytes) -> None:
    dialogue, message = Dialogue("me"), transaction("a@x", "b@x")
    dialogue.receive(b"220 x\r\n250-x\r\n250 PIPELINING\r\n")
    dialogue.begin(message)
    dialogue.receive(b"250 ok\r\n550 no\r\n" + reply + b"354 go\r\n")
    assert dialogue.closed
    assert endings(message) == ["failed", "undecided"]
    assert not message.started


@pytest.mark.parametrize("unasked", [b"421 idle\r\n", b"250 ok\r\n", b"550 no\r\n"])
def test_a_reply_nobody_asked_for_ends_it(unasked: bytes) -> None:
    dialogue, _ = opened({})
    dialogue.receive(unasked)
    assert dialogue.closed


def test_a_refusal_before_the_end_of_the_content_ends_it_and_counts() -> None:
    dialogue, message = opened({}, "PIPELINING")[0], transaction("a@x")
    dialogue.begin(message)
    dialogue.receive(b"250 ok\r\n250 ok\r\n354 go\r\n")
    assert dialogue.sending
    dialogue.receive(b"552 too much\r\n")
    assert (dialogue.closed, endings(message), message.committed) == (True, ["failed"], False)
