"""The page on the standards of mail (docs/reference/smtp.md) says what is so: its tests exist, and nothing that is offered or cited is missing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fsm.mail import replies
from fsm.mail.content import Content
from fsm.mail.smtp.client_chart import CLIENT
from fsm.mail.smtp.server_chart import SERVER
from fsm.mail.smtp.server_dialogue import Dialogue, Rules

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "smtp.md").read_text()
FOLDER = Path(__file__).parent
WITHOUT_CODE = {"GREETING", "HELLO", "OFFER", "SAY_ANYTHING", "SAY_NAME", "SAY_PASSWORD", "SEND_CONTENT"}
"""RFC 2034 4: not in greetings, not in replies to EHLO, and not in 3yz."""
RFCS = {"SIZE": "1870", "PIPELINING": "2920", "8BITMIME": "6152", "SMTPUTF8": "6531", "ENHANCEDSTATUSCODES": "2034", "STARTTLS": "3207",
        "AUTH": "4954", "DSN": "3461", "HELP": "5321"}  # fmt: skip


@pytest.mark.parametrize(("file", "name"), re.findall(r"`(test_\w+\.py)::(\w+)`", PAGE))
def test_each_test_it_names_exists(file: str, name: str) -> None:
    assert f"def {name}(" in (FOLDER / file).read_text()


@pytest.mark.parametrize("line", [line for line in PAGE.splitlines() if line.startswith("|") and line.endswith("|")][2:])
def test_what_is_done_names_its_test_and_what_is_not_says_so(line: str) -> None:
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    if set(cells[0]) != {"-"} and "test" not in cells[-1:]:
        assert ("::" in cells[-1]) != ("not done" in cells[-2])


def test_every_section_that_a_row_of_the_charts_cites_is_there() -> None:
    cited = {one for chart in (CLIENT, SERVER) for row in chart.rows for one in row.cites}
    assert cited
    for rfc, section in (one.removeprefix("RFC").split("-") for one in sorted(cited)):
        found = rf"^\| {re.escape(section)} \|" if rfc == "5321" else rf"^\| {rfc} \| {re.escape(section)} \|"
        assert re.search(found, PAGE, re.MULTILINE), f"RFC {rfc}, section {section}"


def test_every_extension_that_is_offered_is_there() -> None:
    def yes(*_: object) -> bool:
        return True

    rules = Rules("x", 70000, 100, 20, 200, yes, lambda address: None, yes, lambda: Content(70000), tls=True, login=True, dsn=True)
    offered: set[str] = set()
    for secure in (False, True):
        dialogue = Dialogue(rules, "127.0.0.1", secure=secure)
        dialogue.receive(b"EHLO x\r\n")
        dialogue.run()
        offered |= {line[4:].split()[0] for line in dialogue.take().decode().splitlines()[1:]}
    assert offered == set(RFCS)
    assert [rfc for rfc in RFCS.values() if rfc not in PAGE] == []


def test_every_reply_has_its_enhanced_code() -> None:
    texts = {name: text for name, text in vars(replies).items() if name.isupper() and isinstance(text, str)}
    assert {name for name, text in texts.items() if not re.match(r"([245])[0-9]{2} \1\.[0-9]+\.[0-9]+ ", text)} == WITHOUT_CODE
