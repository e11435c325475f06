"""Parts of the page that several tests use."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

WAY = "submit,outbound_begin,logoff_orderly"


def state(page: Page) -> str:
    return page.locator("#state").inner_text()


def trail(page: Page) -> str:
    return ",".join(page.locator("#trail button:not(.undone)").all_inner_texts()[1:])


def stands_after(page: Page, place: int) -> None:
    """Wait until the walk is after that many events."""
    page.locator("#trail li").nth(place).locator("[aria-current]").wait_for()


def status(page: Page) -> str:
    return page.locator("#status").inner_text()


def event(page: Page, name: str) -> Locator:
    return page.locator(".event", has=page.get_by_text(name, exact=True))


def address(page: Page) -> str:
    return str(page.evaluate("location.hash"))
