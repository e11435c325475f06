"""How long a step in the explorer page takes, in a real browser: for `make bench`.

The page is that of the store logoff at bounds 5,5,1 (4,662 configurations).  A step is taken as a key press takes it,
from the press until the page has been laid out again; the frames of the screen are not waited for.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import NamedTuple

FRAME = 16.0
"""Milliseconds: 60 frames a second."""

STEPS = """(events) => events.map((event) => {
    const start = performance.now();
    document.dispatchEvent(new KeyboardEvent("keydown", { key: KEYS[explorer.eventNumber(event)], bubbles: true }));
    document.body.getBoundingClientRect();
    return performance.now() - start;
})"""


class PageStep(NamedTuple):
    """Milliseconds of a step, of how many steps, and the page they were taken in."""

    median: float
    slowest: float
    steps: int
    bytes: int
    opened: float


def page_step() -> PageStep | str:
    """A step in the page at bounds 5,5,1; or, in words, what is missing to measure it."""
    from tests.browser.chromium import Watched, chromium, logoff_atlas, logoff_page, missing

    if (lack := missing()) is not None:
        return lack
    ways = [path.witness or () for path in logoff_atlas(5, 5, 1).paths[::9]]
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        file = Path(folder) / "page.html"
        file.write_bytes(logoff_page(5, 5, 1).encode())
        watched = Watched(browser)
        page = watched.open(file)
        opened = page.evaluate("performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd")
        spent: list[float] = []
        for way in ways:
            page.evaluate("explorer.walk.restart()")
            spent += page.evaluate(STEPS, list(way))
        watched.close()
        spent.sort()
        return PageStep(spent[len(spent) // 2], spent[-1], len(spent), file.stat().st_size, opened)


if __name__ == "__main__":
    found = page_step()
    print(found if isinstance(found, str) else json.dumps(found._asdict()))
