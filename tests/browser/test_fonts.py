"""With any fonts, every text is inside its box and the paper, off the lines, and no text covers another."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fsm import draw
from fsm.draw import gallery
from fsm.draw.metrics import ADVANCES
from fsm.logoff import LOGOFF
from fsm.logoff.gallery import GALLERY, SUMS, atlas
from tests.browser import fonts, measure
from tests.browser.browsers import Watched, launched
from tests.draw.support import CHARTS, TWICE

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Playwright


@pytest.fixture(scope="module", params=fonts.SETS)
def reader(request: pytest.FixtureRequest, playwright: Playwright) -> Iterator[Browser]:
    """A browser with one family of fonts."""
    with launched(playwright, fonts.SETS[request.param]) as browser:
        yield browser


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[..., Page]]:
    """Open a text as a page, or a file with a trace."""
    made: list[Watched] = []

    def open_it(browser: Browser, page: str | Path, trace: str = "", **options: Any) -> Page:
        if isinstance(page, str):
            (tmp_path / "page.html").write_text(f'<!doctype html><meta charset="utf-8">{page}')
            page = tmp_path / "page.html"
        made.append(Watched(browser, **options))
        return made[-1].open(page, trace)

    yield open_it
    for one in made:
        one.close()


@pytest.fixture(scope="module")
def drawn() -> dict[str, str]:
    """Every picture of the gallery, and one of each chart by each renderer."""
    found = {}
    for place, chart in enumerate(CHARTS):
        for renderer in ("dot", "embedded"):
            for brief in (False, True):
                sums = SUMS if chart is LOGOFF else None
                found[f"{place}-{renderer}-{brief}"] = draw.svg(chart, renderer=renderer, brief=brief, sums=sums)
    found["unnamed"] = draw.svg(LOGOFF, renderer="embedded", sums={})
    found["session"] = draw.svg(LOGOFF, draw.position(LOGOFF, LOGOFF.start()), renderer="embedded")
    return found | {f"gallery-{place}": text for place, text in enumerate(gallery.svgs(LOGOFF, GALLERY, atlas())())}


def test_every_text_of_a_picture_is_where_it_belongs(
    reader: Browser, opened: Callable[..., Page], drawn: dict[str, str]
) -> None:
    found = dict(zip(drawn, measure.pictures(opened(reader, "".join(drawn.values()))), strict=True))
    assert all(one["texts"] > 3 for one in found.values())
    assert {name: one["wrong"] for name, one in found.items() if one["wrong"]} == {}


WAY = "submit,outbound_begin,submit,logoff_orderly"


@pytest.mark.parametrize("trace", ["", WAY])
def test_every_text_of_the_explorer_is_where_it_belongs(
    reader: Browser, opened: Callable[..., Page], fresh: Path, trace: str
) -> None:
    page = opened(reader, fresh, trace)
    page.evaluate("document.querySelectorAll('#untaken, #table').forEach(one => one.open = true)")
    for width, height in ((390, 844), (1100, 800), (1280, 800)):
        page.set_viewport_size({"width": width, "height": height})
        for view in ("brief", "full"):
            page.evaluate(f"view('{view}'); scrollTo(0, 0)")
            (picture,) = measure.pictures(page)
            words = measure.words(page)
            assert picture["texts"] > 20
            assert words["texts"] > 100
            assert (picture["wrong"], words["wrong"]) == ([], [])


def test_the_measuring_would_notice(browser: Browser, opened: Callable[..., Page], fresh: Path) -> None:
    def wrong(text: str) -> set[str]:
        (found,) = measure.pictures(opened(browser, text))
        return {one.partition(":")[0] for one in found["wrong"]}

    good = draw.svg(TWICE, renderer="embedded")
    assert wrong(good) == set()
    free = re.sub(r' textLength="\d+" lengthAdjust="\w+"', "", good)
    assert wrong(free.replace("font-size:11px", "font-size:19px")) >= {"out of its box", "over each other"}
    assert wrong(re.sub(r'(data-row="leave">.*?<text x=")[-\d.]+', r"\g<1>9999", good, flags=re.DOTALL)) >= {"off the paper"}
    begins = r'(data-row="leave">.*?<text x=")([-\d.]+)'
    crossed = re.sub(begins, lambda found: f"{found[1]}{float(found[2]) - 15}", good, flags=re.DOTALL)
    assert wrong(crossed) >= {"a line through"}

    page = opened(browser, fresh, WAY)
    for style, kind in (
        ("#values dd{white-space:nowrap;margin-left:6rem}", "out of its place"), ("#values dt{width:2rem}", "cut"),
        ("#state-doc{height:2px;min-height:0}", "over each other"),
    ):  # fmt: skip
        page.evaluate(STYLED, style)
        assert kind in {one.partition(":")[0] for one in measure.words(page)["wrong"]}


MEASURED = """(characters) => {
    const paper = new OffscreenCanvas(1, 1).getContext("2d");
    paper.font = "1000px 'Liberation Sans'";
    return characters.map((one) => paper.measureText(one).width);
}"""


def test_the_widths_that_are_kept_are_those_of_arial(browser: Browser, opened: Callable[..., Page]) -> None:
    """Liberation Sans has the same widths."""
    there = {one: advance for one, advance in ADVANCES.items() if one != "␣"}  # which it has not
    found = opened(browser, "").evaluate(MEASURED, list(there))
    assert {one: round(width) for one, width in zip(there, found, strict=True)} == there


STYLED = """style => {
    const one = new CSSStyleSheet(); one.replaceSync(style); document.adoptedStyleSheets = [one]; scrollTo(0, 0);
}"""
SCRIPT = """
import hashlib
from fsm import draw
from fsm.logoff import LOGOFF
text = "".join(draw.svg(LOGOFF, renderer=name, brief=brief) for name in ("dot", "embedded") for brief in (False, True))
print(hashlib.sha256(text.encode()).hexdigest())
"""


def test_the_fonts_of_the_machine_have_no_say_in_a_picture(playwright: Playwright, tmp_path: Path) -> None:
    answers = set()
    for name, files in fonts.SETS.items():
        (tmp_path / name).mkdir()
        environment = {**os.environ, "FONTCONFIG_FILE": str(fonts.configured(files, tmp_path / name))}
        ran = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, env=environment)
        answers.add(ran.stdout)
    assert len(answers) == 1
