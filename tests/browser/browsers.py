"""Headless Chromium and Firefox, driven by Playwright, and the pages that the tests open in them.

Firefox is that of the distribution, driven through WebDriver BiDi (Playwright's channel `moz-firefox`).  It is dark, and
Chromium light, unless a test asks otherwise: through BiDi it cannot be told of another reader.

A watched page keeps every request, every console message and every error.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsm.analysis.paths import Atlas
from fsm.analysis.reachability import Graph
from fsm.chart import Chart
from fsm.draw.page import page
from fsm.logoff import LOGOFF
from fsm.logoff.citations import SENTENCES
from fsm.logoff.gallery import SUMS
from tests.browser import fonts

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Playwright

ROOT = Path(__file__).parents[2]
COMMITTED = ROOT / "diagrams" / "explorer.html"
SWITCHES = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--font-render-hinting=none", "--disable-lcd-text",
    "--force-color-profile=srgb",
)
NAMES = {
    "chromium": ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"),
    "firefox": ("firefox-esr", "firefox"),
}
DARK: dict[str, str | float | bool] = {"layout.css.prefers-color-scheme.content-override": 0}


@cache
def missing(name: str = "chromium") -> str | None:
    """Return what the tests in a browser lack on this machine, or None."""
    if lacking := [name for name in ("playwright", "axe_playwright_python") if find_spec(name) is None]:
        return f"{' and '.join(lacking)} not installed (pip install 'fsm-logoff[test]')"
    if not program(name):
        return f"there is no {name.capitalize()} (apt-get install {NAMES[name][0]})"
    if lacking := fonts.missing():
        packages = "fonts-dejavu-core fonts-liberation fonts-noto-core"
        return f"there is no {', '.join(lacking)} (apt-get install {packages})"
    return None


def program(name: str) -> str | None:
    """Return the path of a browser, if it is installed."""
    return next((found for one in NAMES[name] if (found := shutil.which(one))), None)


@contextmanager
def launched(playwright: Playwright, names: tuple[str, ...] = fonts.USUAL, name: str = "chromium") -> Iterator[Browser]:
    """Run a browser that has these fonts and no others."""
    with tempfile.TemporaryDirectory() as folder:
        environment: dict[str, str | float | bool] = {**os.environ, "FONTCONFIG_FILE": str(fonts.configured(names, Path(folder)))}
        if name == "firefox":
            browser = playwright.firefox.launch(channel="moz-firefox", executable_path=program(name), firefox_user_prefs=DARK, env=environment)
        else:
            browser = playwright.chromium.launch(executable_path=program(name), args=list(SWITCHES), env=environment)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run a browser with the usual fonts."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright, launched(playwright) as browser:
        yield browser


class Watched:
    """A page with all its requests, console messages and errors."""

    def __init__(self, browser: Browser, **options: Any) -> None:
        options = {"viewport": {"width": 1280, "height": 800}} | options
        self.context = browser.new_context(**options)
        self.context.grant_permissions(["clipboard-read", "clipboard-write"])
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(120_000)
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))

    def open(self, where: Path | str, trace: str = "") -> Page:
        """Open a file or an address, with a trace after the `#`."""
        url = where.as_uri() if isinstance(where, Path) else where
        self.page.goto(f"{url}#{trace}" if trace else url)
        return self.page

    def close(self) -> None:
        self.context.close()


def logoff_bounds(i: int, m: int, p: int) -> tuple[str, ...]:
    """Return the bounds: at most i inbound, m outbound or queued, p peers."""
    return f"inbound <= {i}", f"outbound + ready + deferred <= {m}", f"peers <= {p}"


@cache
def logoff_graph(i: int = 2, m: int = 2, p: int = 1) -> Graph:
    """Return the graph of the store logoff within bounds."""
    return Graph(LOGOFF, logoff_bounds(i, m, p))


@cache
def logoff_atlas(i: int = 2, m: int = 2, p: int = 1) -> Atlas:
    """Return the paths of the store logoff within bounds."""
    return Atlas(LOGOFF, logoff_bounds(i, m, p))


def logoff_page(i: int = 2, m: int = 2, p: int = 1, *, follows: str = "") -> str:
    """Return the page of the store logoff within bounds, made like the committed one."""
    atlas = logoff_atlas(i, m, p)
    return page(
        logoff_graph(i, m, p), paths=atlas.paths, flag_name=atlas.flag_name, where="fsm.logoff:LOGOFF",
        sentences=SENTENCES, sums=SUMS, follows=follows, renderer="embedded",
    )  # fmt: skip


def page_of(chart: Chart, folder: Path, *bounds: str, **more: Any) -> Path:
    """Write the page of a chart to that folder and return its path."""
    file = folder / "page.html"
    file.write_bytes(page(Graph(chart, bounds), renderer="embedded", **more).encode())
    return file
