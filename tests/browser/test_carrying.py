"""Carrying a walk in and out of the page: traces, links, snapshots, the clipboard, and a pytest case."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fsm.logoff import LOGOFF, StoreSession
from fsm.session import Session
from tests.browser.support import WAY, address, stands_after, state, trail
from tests.small_charts import PLAIN
from tests.support import run

if TYPE_CHECKING:
    from playwright.sync_api import Page


def opened(page: Page, text: str) -> str:
    page.locator("#pasted").fill(text)
    page.get_by_role("button", name="Open it").click()
    return page.locator("#opened").inner_text()


def test_a_trace_a_link_and_a_snapshot_are_opened(explorer: Callable[..., Page]) -> None:
    page = explorer()
    assert opened(page, f" {WAY}\n") == f"The trace leads to {LOGOFF.describe(run(WAY).configuration)}."
    assert trail(page) == WAY
    opened(page, "https://example.org/x/explorer.html#submit,release")
    assert trail(page) == "submit,release"
    there = run("peer_opened,submit,outbound_begin,outbound_deferred,inbound_begin")
    assert opened(page, json.dumps(there.snapshot())).startswith(f"The snapshot: {LOGOFF.describe(there.configuration)}.")
    assert run(trail(page)).configuration == there.configuration
    assert address(page) == f"#{trail(page)}"


SNAPSHOT = StoreSession().snapshot()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("submit,release,submit", "Event 3 of the trace, submit, is not possible: released is final."),
        ('{"snapshot": 1', "This is neither a trace nor a snapshot: it is no JSON."),
        ("[]", "This is no snapshot of store-logoff: it is no object."),
        (json.dumps(SNAPSHOT | {"snapshot": 2}), "its version is 2"),
        (json.dumps(Session.of(PLAIN)().snapshot()), 'it is of "plain" with another fingerprint'),
        (json.dumps(SNAPSHOT | {"state": "gone"}), "it names no state of the chart"),
        (json.dumps(SNAPSHOT | {"values": None}), "it has no values"),
        (json.dumps(SNAPSHOT | {"values": {**SNAPSHOT["values"], "ready": -1}}), "its ready is -1"),  # type: ignore[dict-item]
        (json.dumps(SNAPSHOT | {"values": {**SNAPSHOT["values"], "request": "NOPE"}}), 'its request is "NOPE"'),  # type: ignore[dict-item]
        (json.dumps(StoreSession(ready=40).snapshot()), "it lies beyond its bounds (inbound <= 2, outbound + ready"),
    ],
)  # fmt: skip
def test_what_cannot_be_opened_is_said(explorer: Callable[..., Page], text: str, expected: str) -> None:
    assert expected in opened(explorer(), text)


def test_pasting_anywhere_opens(explorer: Callable[..., Page]) -> None:
    page = explorer()
    page.evaluate("navigator.clipboard.writeText('submit,logoff_quiet')")
    page.keyboard.press("Control+v")
    stands_after(page, 2)
    assert state(page) == "blocked"


@pytest.mark.parametrize("way", ["", WAY, "inbound_begin,release,inbound_received"])
def test_what_is_copied_is_the_walk(explorer: Callable[..., Page], way: str) -> None:
    page, session = explorer(way), run(way)

    def copied(button: str) -> str:
        page.get_by_role("button", name=button).click()
        page.get_by_text("Copied the").wait_for()
        return str(page.evaluate("navigator.clipboard.readText()"))

    assert copied("Copy the trace") == way
    assert copied("Copy the link").partition("#")[2] == way
    assert json.loads(copied("Copy a snapshot")) == session.snapshot()
    case = copied("Copy as a pytest case")
    held: dict[str, Any] = {}
    exec(compile(case, "case", "exec"), held)
    tests = [name for name in held if name.startswith("test_")]
    assert len(tests) == 1
    held[tests[0]]()
    exec(compile(case.replace(f'state == "{session.state}"', 'state == "elsewhere"'), "case", "exec"), held)
    with pytest.raises(AssertionError):
        held[tests[0]]()


def test_a_copied_case_is_run_by_pytest(explorer: Callable[..., Page], tmp_path: Path) -> None:
    page = explorer(WAY)
    page.get_by_role("button", name="Copy as a pytest case").click()
    case = tmp_path / "test_copied.py"
    case.write_text(page.locator("#pasted").input_value())
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert "1 passed" in done.stdout
