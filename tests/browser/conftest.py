"""The browsers of these tests.  Without them they are skipped, and fail where CI is set; `make test` reports it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.browsers import Watched, launched, logoff_page, missing

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Playwright


def needs(name: str) -> None:
    """Skip the tests in a browser that is not there."""
    if (lack := missing(name)) is not None:
        reason = f"the tests in a real browser (tests/browser): {lack}"
        with (Path(sys.prefix) / "skipped").open("a") as skipped:
            skipped.write(reason + "\n")
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.fixture(scope="package")
def playwright() -> Iterator[Playwright]:
    needs("chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as found:
        yield found


@pytest.fixture(scope="package")
def browser(playwright: Playwright) -> Iterator[Browser]:
    with launched(playwright) as found:
        yield found


@pytest.fixture(scope="package")
def firefox(playwright: Playwright) -> Iterator[Browser]:
    needs("firefox")
    with launched(playwright, name="firefox") as found:
        yield found


@pytest.fixture
def watched(request: pytest.FixtureRequest) -> Iterator[Callable[..., Watched]]:
    """Make watched pages; afterwards check that none reported an error or requested anything but its file."""
    browser: Browser = request.getfixturevalue(getattr(request, "param", "browser"))
    made: list[Watched] = []

    def make(**options: Any) -> Watched:
        made.append(Watched(browser, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()
        assert one.complaints == []
        assert [url for url in one.requests if not url.startswith("file:")] == []
        assert len(set(one.requests)) <= 1


@pytest.fixture(scope="package")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the store logoff, made now; `tests/draw/test_page.py` compares it with the committed one."""
    file = tmp_path_factory.mktemp("page") / "explorer.html"
    file.write_bytes(logoff_page().encode())
    return file


@pytest.fixture
def explorer(watched: Callable[..., Watched], fresh: Path) -> Callable[..., Page]:
    """Open that page with a trace in its address."""

    def open_it(trace: str = "", **options: Any) -> Page:
        return watched(**options).open(fresh, trace)

    return open_it
