"""The served page follows a journal while it is written, until its reader takes a step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest

from fsm.commands.explore_server import make_server
from fsm.journal import Recorder
from fsm.logoff import LOGOFF, StoreSession
from fsm.verdict import Refused
from tests.browser.browsers import Watched, logoff_page

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


class Live:
    """A served page, its journal, and a session that is recorded there."""

    def __init__(self, page: Page, journal: Recorder, made: Any) -> None:
        self.page, self.journal, self.server = page, journal, made
        self.session = StoreSession()
        journal.attach(self.session, "a")

    def fire(self, session: StoreSession, *events: str) -> None:
        for event in events:
            with suppress(Refused):
                self.journal.fire(session, event)

    def shows(self, session: StoreSession) -> None:
        """Wait until the page shows the configuration of this session."""
        described = LOGOFF.describe(session.configuration)
        self.page.locator("#trail [aria-current]").and_(self.page.locator(f'[title="{described}"]')).wait_for()
        assert self.page.evaluate("explorer.snapshotOf(explorer.walk.here)") == session.snapshot()


@contextmanager
def living(browser: Browser, folder: Path) -> Iterator[Live]:
    path = folder / "journal.jsonl"
    with Recorder(LOGOFF, path) as journal:
        made = make_server(logoff_page(follows=path.name), LOGOFF, path)
        thread = Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        watched = Watched(browser)
        try:
            yield Live(watched.open(made.address), journal, made)
            assert watched.complaints == []
            assert [url for url in watched.requests if not url.startswith(made.address)] == []
        finally:
            watched.close()
            made.stopped.set()
            made.shutdown()
            thread.join()
            made.server_close()


@pytest.fixture
def live(browser: Browser, tmp_path: Path) -> Iterator[Live]:
    with living(browser, tmp_path) as found:
        yield found


def test_the_page_walks_with_the_session(live: Live) -> None:
    live.fire(live.session, "submit", "outbound_begin")
    live.shows(live.session)
    live.fire(live.session, "logoff_orderly")
    live.shows(live.session)
    assert live.page.evaluate("location.hash") == "#submit,outbound_begin,logoff_orderly"
    assert live.page.locator("#live").inner_text().strip().startswith("live · journal.jsonl")


def test_a_refusal_is_said(live: Live) -> None:
    live.fire(live.session, "submit", "inbound_received")
    live.page.get_by_text("inbound_received was refused: needs inbound > 0; inbound is 0.").wait_for()
    live.shows(live.session)


def test_who_steps_leaves_and_comes_back_by_a_button(live: Live) -> None:
    live.fire(live.session, "submit")
    live.shows(live.session)
    live.page.keyboard.press("h")  # inbound_begin
    assert "you stepped away" in live.page.locator("#live").inner_text()
    live.fire(live.session, "peer_opened")
    other = StoreSession()
    live.journal.attach(other, "b")
    live.page.locator("#live-session option", has_text="b").wait_for(state="attached")  # so the news has come
    assert live.page.evaluate("explorer.describe(explorer.walk.here)") == "open, inbound 1, ready 1"
    live.page.get_by_role("button", name="Follow again").click()
    live.shows(live.session)


def test_one_of_several_sessions_is_chosen(live: Live) -> None:
    other = StoreSession(ready=1, peers=1)
    live.journal.attach(other, "b")
    live.fire(live.session, "submit")
    live.fire(other, "outbound_begin")
    live.shows(live.session)
    live.page.locator("#live-session option", has_text="b").wait_for(state="attached")
    live.page.get_by_label("Session").select_option("b")
    live.shows(other)
    live.fire(other, "logoff_abort")
    live.shows(other)
    assert live.page.locator("#state").inner_text() == "released"


def test_a_session_beyond_the_page_is_said_and_found_again(live: Live) -> None:
    live.fire(live.session, *["submit"] * 4)
    live.page.get_by_text("The session stands beyond this page.").wait_for()
    live.fire(live.session, *["abort_submit"] * 3)
    live.shows(live.session)


def test_a_server_that_stops_is_said(live: Live) -> None:
    live.fire(live.session, "submit")
    live.shows(live.session)
    live.server.stopped.set()
    live.page.get_by_text("the server was stopped").wait_for()
    live.page.keyboard.press("h")
    assert live.page.evaluate("explorer.walk.place") == 2  # the page goes on by itself


def test_a_journal_that_diverges_is_said(live: Live) -> None:
    live.fire(live.session, "submit")
    live.shows(live.session)
    with live.journal.path.open("a") as file:
        file.write('{"session": "a", "event": "submit", "ready": 9}\n')
    live.page.get_by_text("comes out otherwise: ready is 2, not 9").wait_for()
