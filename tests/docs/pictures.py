"""The pictures of README.md and of the tutorial, in `docs/pictures`: `make readme` draws them, a test compares.

The turnstiles are drawn from the pages' own code.  Bytes are the same everywhere, since the embedded renderer is pinned.
"""

from __future__ import annotations

from contextlib import redirect_stdout
from pathlib import Path

from fsm import Chart, draw
from fsm.draw.animation import animation
from fsm.logoff import LOGOFF
from tests.readme import BLOCK, DOCS, README, Runner

FOLDER = DOCS / "pictures"
WALK = (
    "inbound_begin,submit,outbound_begin,submit,logoff_no_wait,outbound_sent,outbound_begin,inbound_received,outbound_sent"
)


def turnstile(page: Path) -> Chart:
    block = next(one for one in BLOCK.finditer(page.read_text()) if one["file"] == "turnstile.py")
    runner = Runner(page)
    with runner.running(), redirect_stdout(None):
        runner.python(block["body"], None, 1)
    found = runner.module.__dict__["TURNSTILE"]
    assert isinstance(found, Chart)
    return found


def pictures() -> dict[str, str]:
    """Return the files and their contents."""
    brief = draw.layout(LOGOFF, brief=True, renderer="embedded")
    return {
        "stepped.svg": animation(brief, LOGOFF, WALK, "A store with mail in flight logs off"),
        "turnstile.svg": draw.svg(turnstile(README), brief=True, renderer="embedded"),
        "tutorial.svg": draw.svg(turnstile(DOCS / "tutorial" / "machine.md"), renderer="embedded"),
    }


if __name__ == "__main__":
    for name, text in pictures().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
