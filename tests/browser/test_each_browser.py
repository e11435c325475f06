"""What a reader does first, in Chromium and in Firefox; the other tests of this folder have Chromium alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from tests.browser.support import WAY, address, event, stands_after, state, status, trail

if TYPE_CHECKING:
    from playwright.sync_api import Page


@pytest.mark.parametrize("watched", ["browser", "firefox"], indirect=True, ids=["chromium", "firefox"])
def test_the_first_minute(explorer: Callable[..., Page]) -> None:
    page = explorer(WAY, color_scheme="dark")
    assert (state(page), trail(page)) == ("draining", WAY)
    assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") == "rgb(13, 17, 23)"
    page.keyboard.press("u")
    assert status(page) == "Undid logoff_orderly: open, outbound 1."
    page.keyboard.press("3")
    event(page, "outbound_sent").click()
    assert (state(page), address(page)) == ("released", f"#{WAY},outbound_sent")
    page.go_back()
    assert (state(page), address(page)) == ("draining", f"#{WAY}")
    page.locator("#brief .row.enabled", has_text="outbound_failed").locator("text").click()
    assert (state(page), trail(page)) == ("released", f"{WAY},outbound_failed")
    # Firefox paints a text of a given length letter by letter: a halo would cover the letter before
    halo = page.evaluate("getComputedStyle(document.querySelector('#brief .arc .row.last text')).stroke")
    assert (halo == "none") == page.evaluate("CSS.supports('-moz-appearance', 'none')")
    page.locator("#path-list li").first.get_by_role("button").click()
    stands_after(page, 1)
    assert (state(page), trail(page)) == ("released", "logoff_quiet")
