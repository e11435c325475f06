"""Events that bring data, on the page: an input beside each, the same answers as the engine, and traces with data."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fsm.analysis.paths import Atlas
from fsm.analysis.reachability import Graph
from fsm.analysis.trace import parse_trace
from fsm.session import Session
from tests.browser.browsers import Watched, page_of
from tests.browser.support import status
from tests.small_charts import ACCOUNT

if TYPE_CHECKING:
    from playwright.sync_api import Page


@pytest.fixture
def account(watched: Callable[..., Watched], tmp_path: Path) -> Callable[..., Page]:
    file = page_of(ACCOUNT, tmp_path, paths=Atlas(ACCOUNT).paths, where="tests.small_charts:ACCOUNT")
    return lambda trace="", **options: watched(**options).open(file, trace)


def button(page: Page, name: str) -> str:
    return f"#list li:has(.name bdi:text-is('{name}'))"


def test_every_answer_is_the_engines(account: Callable[..., Page]) -> None:
    graph, session_class = Graph(ACCOUNT), Session.of(ACCOUNT)
    found = account().evaluate("""() => explorer.data.configurations.map((one, n) => explorer.data.events.map((_, event) => {
        const { kind, row, target, reason } = explorer.answer(n, event);
        return [kind, row < 0 ? null : explorer.data.rows[row][0], kind === "refused" ? reason : explorer.describe(target)];
    }))""")
    for here, answers in zip(graph.configurations, found, strict=True):
        for step, (kind, row, told) in zip(graph.calls, answers, strict=True):
            verdict = session_class.unchecked(here).may(step.event, **step.data)
            assert (row, kind != "refused") == (verdict.row.id if verdict.row else None, bool(verdict))
            assert told == (verdict.reason if verdict.after is None else ACCOUNT.describe(verdict.after))
            if verdict.after is not None:
                assert (kind == "accepted") is (verdict.after in graph.configurations)


def test_the_data_beside_an_event_go_with_it(account: Callable[..., Page]) -> None:
    page = account()
    amount = page.locator(f"{button(page, 'deposit')} input")
    assert amount.input_value() == "1", "the smallest that is accepted"
    amount.fill("2")
    page.locator(f"{button(page, 'deposit')} button").click()
    assert status(page).startswith("deposit(amount=2): now open, balance 2.")
    page.locator(f"{button(page, 'withdraw')} input").fill("1")
    page.keyboard.press("Enter")
    assert status(page).startswith("withdraw(amount=1): now open, balance 1.")
    assert page.evaluate("decodeURIComponent(location.hash)") == "#deposit(amount=2),withdraw(amount=1)"
    page.locator(f"{button(page, 'withdraw')} input").fill("2")
    told = page.locator(f"{button(page, 'withdraw')} .detail").inner_text()
    assert told == "needs amount <= balance; balance is 1, amount is 2 (possible: withdraw(amount=1))"
    page.locator(f"{button(page, 'withdraw')} input").fill("7")
    assert page.locator(f"{button(page, 'withdraw')} .detail").inner_text() == "this page holds amount from 0 to 2"
    page.locator(f"{button(page, 'withdraw')} button").click(force=True)
    assert status(page).startswith("withdraw: this page holds amount from 0 to 2.")
    assert page.locator(f"{button(page, 'close')} input").count() == 0


@pytest.mark.parametrize(("trace", "state"), [
    ("deposit(amount=2),freeze", "open, balance 2, frozen true"), ("deposit( amount = 1 )", "open, balance 1"),
    ('deposit(amount=2),withdraw(amount=1,reason="rent, may")', "open, balance 1"),
    ("deposit(amount=2),withdraw(amount=2,reason=rent),close", "closed"),
])  # fmt: skip
def test_a_trace_with_data_can_be_opened(account: Callable[..., Page], trace: str, state: str) -> None:
    page = account()
    assert page.evaluate("(trace) => explorer.openText(trace)", trace) == ""
    assert page.evaluate("explorer.describe(explorer.walk.here)") == state
    session = Session.of(ACCOUNT)()
    for step in parse_trace(ACCOUNT, trace):
        session.fire(step.event, **step.data)
    assert ACCOUNT.describe(session.configuration) == state
    again = page.evaluate("location.hash.slice(1)")
    page.goto("about:blank")
    page = account(again)
    assert page.evaluate("explorer.describe(explorer.walk.here)") == state


@pytest.mark.parametrize(("trace", "told"), [
    ("deposit", "Event 1 of the trace: there is no event “deposit”."),
    ("deposit(amount=9)", "Event 1 of the trace: there is no event “deposit(amount=9)”."),
    ("withdraw(amount=1)", "Event 1 of the trace, withdraw(amount=1), is not possible: needs amount <= balance"),
])  # fmt: skip
def test_a_trace_with_wrong_data_says_so(account: Callable[..., Page], trace: str, told: str) -> None:
    assert account().evaluate("(trace) => explorer.openText(trace)", trace).startswith(told)


def test_the_pytest_case_it_writes_passes(account: Callable[..., Page]) -> None:
    page = account("deposit(amount=2),freeze")
    held: dict[str, Callable[[], None]] = {}
    exec(page.evaluate("explorer.pytestOf(explorer.walk.events(), explorer.walk.here)"), held)
    held[next(name for name in held if name.startswith("test_"))]()


def test_a_record_of_a_journal_finds_its_step(account: Callable[..., Page]) -> None:
    page = account()
    for given, text in [({"amount": 1}, "deposit(amount=1)"), ({"amount": 9}, None)]:
        number = page.evaluate(f"explorer.eventNumber('deposit', {json.dumps(given)})")
        assert (None if number < 0 else page.evaluate(f"explorer.data.events[{number}][0]")) == text
    assert page.evaluate("explorer.eventNumber('withdraw', {amount: 2, reason: 'rent'})") >= 0
