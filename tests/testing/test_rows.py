"""The rows that a test run has taken, told by pytest of a run of its own, alone and with several processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fsm.logoff import LOGOFF
from fsm.testing.rows import TakenRows

MACHINE = """
from fsm import Chart, Number, Counter, Event, Session, row

AMOUNT, TOTAL = Number("amount"), Counter("total")
ACCOUNT = Chart("account", states=["open", "closed"], events=[Event("pay", data=(AMOUNT,)), "close", "reopen"], variables=[TOTAL], rows=[
    row("small", "open", "pay", guard=AMOUNT < 10, effects=[TOTAL.becomes(TOTAL + AMOUNT)]),
    row("large", "open", "pay", guard=AMOUNT >= 10),
    row("close", "open", "close", target="closed"),
    row("reopen", "closed", "reopen", target="open"),
])
NewAccount = Session.of(ACCOUNT)
"""
TESTS = """
import pytest
from fsm import Refused
from machine import NewAccount

def test_a_direct_step():
    account = NewAccount()
    account.pay(amount=3)
    account.fire("pay", amount=4)

def test_a_listened_step_and_a_refused_one():
    class Listener:
        def after(self, step): ...
    account = NewAccount()
    account.listen(Listener())
    account.close()
    with pytest.raises(Refused):
        account.pay(amount=5)
"""
EXPECTED = """account: 2 of 4 rows taken, not
  large: open --pay--> open
  reopen: closed --reopen--> open
picture: rows.svg"""


def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "machine.py").write_text(MACHINE)
    (folder / "test_machine.py").write_text(TESTS)
    command = [str(Path(sys.executable).with_name("pytest")), "-q", "-p", "no:cacheprovider", "--rootdir", str(folder), "--import-mode=prepend", *options]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder)


@pytest.mark.parametrize("processes", [(), ("--numprocesses", "2")], ids=["alone", "xdist"])
def test_the_rows_of_a_run_are_told_and_drawn(tmp_path: Path, processes: tuple[str, ...]) -> None:
    ran = run(tmp_path, "--fsm-rows", "machine:ACCOUNT", "--fsm-rows-picture", "rows.svg", *processes)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert EXPECTED in ran.stdout
    picture = (tmp_path / "rows.svg").read_text()
    assert "account: taken by the tests" in picture
    assert "2 of 4 rows" in picture


WRONG = [
    (("--fsm-rows", "machine:NOTHING"), "--fsm-rows takes a chart as module:NAME, and 'machine:NOTHING' is none"),
    (("--fsm-rows", "nowhere:X"), "--fsm-rows takes a chart as module:NAME, and 'nowhere:X' is none (No module named 'nowhere')"),
    (("--fsm-rows", ""), "--fsm-rows takes a chart as module:NAME, and '' is none"),
    (("--fsm-rows", "machine:NewAccount"), "--fsm-rows takes a chart, and machine:NewAccount is type"),
    (("--fsm-rows-picture", "x.svg"), "--fsm-rows-picture needs --fsm-rows MODULE:CHART"),
]


@pytest.mark.parametrize(("options", "problem"), WRONG)
def test_what_is_no_chart_is_refused(tmp_path: Path, options: tuple[str, ...], problem: str) -> None:
    ran = run(tmp_path, *options)
    assert ran.returncode == 4
    assert f"ERROR: {problem}" in ran.stderr


def test_a_run_that_took_all_rows_says_only_that() -> None:
    rows = TakenRows(LOGOFF)
    rows.add({row.id: 1 for row in rows.chart.rows})
    assert str(rows) == f"{rows.chart.name}: {len(rows.chart.rows)} of {len(rows.chart.rows)} rows taken"
