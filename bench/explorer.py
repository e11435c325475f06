"""The duration of a step in the explorer page, in a real browser.

The page is that of the store logoff at bounds 5,5,1 (4,662 configurations).  A step lasts from a key press until the
page has been laid out again, without waiting for a frame of the screen.
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
    """The milliseconds of a step, the number of steps, the bytes of the page and the milliseconds to open it."""

    median: float
    slowest: float
    steps: int
    bytes: int
    opened: float


def page_step() -> PageStep | str:
    """Measure steps in the page at bounds 5,5,1; return what is missing when that is not possible."""
    from tests.browser.browsers import Watched, chromium, logoff_atlas, logoff_page, missing

    if (lack := missing()) is not None:
        return lack
    traces = [path.witness or () for path in logoff_atlas(5, 5, 1).paths[::9]]
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        file = Path(folder) / "page.html"
        file.write_bytes(logoff_page(5, 5, 1).encode())
        watched = Watched(browser)
        page = watched.open(file)
        opened = page.evaluate("performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd")
        spent: list[float] = []
        for trace in traces:
            page.evaluate("explorer.walk.restart()")
            spent += page.evaluate(STEPS, list(trace))
        watched.close()
        spent.sort()
        return PageStep(spent[len(spent) // 2], spent[-1], len(spent), file.stat().st_size, opened)


if __name__ == "__main__":
    found = page_step()
    print(found if isinstance(found, str) else json.dumps(found._asdict()))
