"""The line of a command that takes its time: on a terminal only, and gone at the end."""

from __future__ import annotations

import re
import sys

import pytest

from fsm.commands.progress import progress
from tests.commands.terminal import terminal

SCRIPT = """
import re
import sys
from fsm.commands.progress import progress
with progress("fsm test: looking", patience=0):
    sys.stdin.readline()
print("done")
"""


def test_a_terminal_sees_the_line_and_it_is_erased() -> None:
    with terminal(sys.executable, "-c", SCRIPT) as shown:
        assert "done" not in shown.until("\rfsm test: looking, ")
        shown.type("\n")
        assert re.search(r"\r {22,}\rdone\r\n$", shown.until("done\r\n"))


def test_nobody_else_sees_it(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("fsm test", patience=0):
        pass
    assert capsys.readouterr() == ("", "")
