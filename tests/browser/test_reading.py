"""Readers with a keyboard only, a screen reader, a phone, a dark screen, paper, or no JavaScript.  Hostile names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fsm.analysis.reachability import Graph
from fsm.chart import Chart, Event, Output, State, row
from fsm.session import Session
from fsm.snapshot import encode
from fsm.variable import Choice, Counter
from tests.browser.browsers import Watched, page_of
from tests.small_charts import HOSTILE, PLAIN

if TYPE_CHECKING:
    from playwright.sync_api import Page

WAY = "submit,outbound_begin,logoff_orderly"

# ----------------------------------------------------------------------------------------------------- accessibility

PHONE = {"viewport": {"width": 390, "height": 844}}


def opened_up(page: Page) -> None:
    page.locator("#help summary").click()
    page.get_by_text("Rows not taken yet").click()
    page.get_by_text("The picture as a table").click()


@pytest.mark.parametrize(
    ("way", "options", "view"),
    [
        ("", {}, "brief"), ("submit,submit,release", {}, "full"), (WAY, {}, "brief"), (WAY, {"color_scheme": "dark"}, "full"),
        (WAY, PHONE, "brief"), ("submit,nonsense", {**PHONE, "color_scheme": "dark"}, "full"),
    ],
)  # fmt: skip
def test_axe_finds_nothing(explorer: Callable[..., Page], way: str, options: dict[str, Any], view: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page = explorer(way, **options)
    opened_up(page)
    page.evaluate(f"view('{view}')")
    found = Axe().run(page)
    violations = [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in found.response["violations"]]
    assert violations == []
    assert len(found.response["passes"]) > 20


def test_a_walk_with_the_keyboard_alone(explorer: Callable[..., Page]) -> None:
    page = explorer()
    focused = "document.activeElement.querySelector?.('.name')?.textContent"
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate(focused) == "logoff_quiet":
            break
    for _ in range(6):
        page.keyboard.press("ArrowDown")
    assert page.evaluate(focused) == "submit"
    page.keyboard.press("Enter")
    assert page.evaluate("explorer.walk.place") == 1
    assert page.evaluate(focused) == "submit"  # the focus stays where the reader is
    page.keyboard.press("Space")
    assert page.evaluate("explorer.walk.place") == 2
    for _ in range(7):
        page.keyboard.press("ArrowUp")
    assert page.evaluate(focused) == "peer_closed"
    page.keyboard.press("Enter")
    assert page.get_by_role("status").first.inner_text() == "peer_closed is not possible: needs peers > 0; peers is 0."
    for _ in range(2):
        page.keyboard.press("u")
    page.get_by_role("button", name="Undo").focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "undo"  # not lost, although nothing is left to undo


def test_single_keys_can_be_turned_off(explorer: Callable[..., Page]) -> None:
    page = explorer()
    page.locator("#help summary").click()
    page.get_by_label("Single keys take steps").uncheck()
    page.keyboard.press("7")
    assert page.evaluate("explorer.walk.place") == 0
    page.locator("#filter").fill("7")  # and where something is typed they are letters
    page.get_by_label("Single keys take steps").check()
    page.locator("#filter").press("7")
    assert page.evaluate("explorer.walk.place") == 0
    page.locator("h1").click()
    page.keyboard.press("Control+7")
    assert page.evaluate("explorer.walk.place") == 0


def test_each_step_is_announced(explorer: Callable[..., Page]) -> None:
    page = explorer()
    status = page.get_by_role("status").first
    assert page.locator("#status").get_attribute("role") == "status"
    page.keyboard.press("7")
    assert status.inner_text() == "submit: now open, ready 1. Output OUTBOUND_QUEUE."
    page.keyboard.press("u")
    assert status.inner_text() == "Undid submit: open."


# ------------------------------------------------------------------------------------------------- screens and paper


@pytest.mark.parametrize("width", [320, 390, 760, 1100, 1280, 1920])
def test_nothing_is_cut_off_sideways(explorer: Callable[..., Page], width: int) -> None:
    page = explorer(WAY, viewport={"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.evaluate("view('full')")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_light_and_dark_follow_the_reader(explorer: Callable[..., Page]) -> None:
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    assert explorer().evaluate(ground) == "rgb(255, 255, 255)"
    dark = explorer(color_scheme="dark")
    assert dark.evaluate(ground) == "rgb(13, 17, 23)"
    dark.emulate_media(media="print", color_scheme="dark")
    assert dark.evaluate(ground) == "rgb(255, 255, 255)"


CONTRAST = """() => {
    const light = (text) => text.match(/[\\d.]+/g).slice(0, 3).map((n) => n / 255)
        .map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)).reduce((sum, c, n) => sum + c * [0.2126, 0.7152, 0.0722][n], 0);
    const ground = light(getComputedStyle(document.documentElement).backgroundColor);
    return [...document.querySelectorAll(".event, .event .detail, #brief text, #full text")].map((one) => {
        const style = getComputedStyle(one), ink = light(one.closest("svg") ? style.fill : style.color);
        return (Math.max(ink, ground) + 0.05) / (Math.min(ink, ground) + 0.05);
    });
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("way", ["", WAY, "submit,submit,release"])
def test_what_cannot_happen_and_the_picture_can_be_read(explorer: Callable[..., Page], way: str, scheme: str) -> None:
    """Contrast of disabled buttons and of pictures, which axe does not check."""
    assert min(explorer(way, color_scheme=scheme).evaluate(CONTRAST)) >= 4.5


def test_on_paper_there_are_no_controls(explorer: Callable[..., Page]) -> None:
    page = explorer(WAY)
    page.emulate_media(media="print")
    for id in ("help", "undo", "carry", "filter", "status"):
        assert not page.locator(f"#{id}").is_visible()
    for id in ("state", "trail", "list", "brief", "values"):
        assert page.locator(f"#{id}").is_visible()
    assert page.pdf(format="A4").startswith(b"%PDF")


def test_without_javascript_the_pictures_are_there(watched: Callable[..., Watched], fresh: Path) -> None:
    page = watched(java_script_enabled=False).open(fresh)
    assert "needs JavaScript" in page.inner_text("noscript")
    assert page.locator("#brief").is_visible()


def test_nothing_is_allowed_that_is_not_its_own(watched: Callable[..., Watched], fresh: Path) -> None:
    one = watched()
    page = one.open(fresh)
    assert page.evaluate("() => fetch('https://example.org/').then(() => 'went', () => 'stopped')") == "stopped"
    tried = """() => { const s = document.createElement('script'); s.textContent = 'window.got = 1'; document.body.append(s);
        const d = document.createElement('div'); d.innerHTML = '<img src=x onerror="window.got = 2">'; document.body.append(d);
        return new Promise((done) => setTimeout(() => done(window.got ?? 'nothing'), 50)); }"""
    assert page.evaluate(tried) == "nothing"
    assert len(one.complaints) >= 3
    assert all("Content Security Policy" in text for text in one.complaints)
    one.complaints.clear()
    one.requests.clear()  # they were begun, and stopped


# ----------------------------------------------------------------------------------------------------- hostile names

NASTY = [
    "<script>window.got=1</script>", '"><img src=x onerror=window.got=2>', "</script><script>window.got=3</script>",
    "</title><b>", "<!-- x", "]]>", "'\"`\\", "a;b", "a#b%41", "${window.got=4}", "{{data}}", "a\u2028\u2029line", "\u202egnol",
    "終わり", "עברית", "😀", "__proto__", "constructor", "toString", "a\tb\nc", "two  blanks", "\x00\x1b[31m", "%", "&lt;b&gt;", "@3",
]  # fmt: skip


def nasty() -> Chart:
    n, mode = Counter("n"), Choice("mode", (None, *NASTY[:5]))
    states = [State(f"{text}?", text) for text in NASTY] + [State("</svg>", "the end", final=True)]
    rows = [
        row(f"{text} row", state, text, target=to, effects=[n.becomes(n + 1)] if place == 0 else [],
            guard=(n >= 0) & (mode == None), why=f"{text} why", cites="S<1> " + "".join(text.split())[:9])
        for place, (text, state, to) in enumerate(zip(NASTY, states[:-1], states[1:], strict=True))
    ]  # fmt: skip
    outputs = [Output("<b>OUT</b>", 1, doc="<i>"), Output("</script>", 2, guard=n > 0)]
    return Chart('nasty </script><script>window.got=5</script> "{{style}}"', states=states, variables=(n, mode),
                 events=[Event(text, f"{text} told") for text in NASTY], rows=rows, outputs=outputs, doc="</p><h1>no</h1>")


def test_hostile_names_are_shown_as_they_are(watched: Callable[..., Watched], tmp_path: Path) -> None:
    chart = nasty()
    sentences = {"S<1>": "</ul><script>window.got=6</script>"}
    page = watched().open(page_of(chart, tmp_path, sentences=sentences, where='a:b"</script>', without="<b>none</b>"))
    session = Session.of(chart)()
    elements = page.evaluate("document.querySelectorAll('script, img, h1, b, svg').length")
    for place, name in enumerate(NASTY):
        buttons = page.locator(".event")
        buttons.nth(place).click()
        session.fire(name)
        assert page.evaluate("explorer.snapshotOf(explorer.walk.here)") == session.snapshot()
    assert page.evaluate("window.got ?? 'nothing'") == "nothing"
    assert page.evaluate("document.querySelectorAll('script, img, svg').length") <= elements
    shown = page.locator(".event .name").all_inner_texts()
    for plain in ("<script>window.got=1</script>", "</title><b>", "'\"`\\", "{{data}}", "__proto__", "&lt;b&gt;", "終わり"):
        assert plain in shown
    assert "\\u202egnol" in shown  # what would turn the line around is written out
    assert "a\\u2028\\u2029line" in shown
    assert page.title().startswith("</svg> · nasty </script>")
    trace = page.evaluate("location.href")
    page.goto("about:blank")
    page.goto(trace)
    assert page.evaluate("explorer.snapshotOf(explorer.walk.here)") == session.snapshot()
    assert page.evaluate("explorer.walk.trail.length") == len(NASTY)
    assert page.evaluate("window.got ?? 'nothing'") == "nothing"


def test_hostile_names_in_a_copied_case(watched: Callable[..., Watched], tmp_path: Path) -> None:
    import sys
    import types

    chart = nasty()
    page = watched().open(page_of(chart, tmp_path, where="nasty_module:CHART"))
    for place in range(len(NASTY)):
        page.locator(".event").nth(place).click()
    module = types.ModuleType("nasty_module")
    module.CHART = chart  # type: ignore[attr-defined]
    sys.modules["nasty_module"] = module
    try:
        held: dict[str, Any] = {}
        exec(page.evaluate("explorer.pytestOf(explorer.walk.events(), explorer.walk.here)"), held)
        next(held[name] for name in held if name.startswith("test_"))()
    finally:
        del sys.modules["nasty_module"]


@pytest.mark.parametrize("chart", [PLAIN, HOSTILE], ids=["plain", "hostile"])
def test_charts_of_all_kinds_make_a_page_that_walks(
    watched: Callable[..., Watched], tmp_path: Path, chart: Chart
) -> None:
    page = watched().open(page_of(chart, tmp_path))
    step = Graph(chart).out[0][0]
    page.locator(".event[data-kind=accepted]").first.click()
    there = Graph(chart).configurations[step.target]
    assert page.evaluate("explorer.snapshotOf(explorer.walk.here)") == encode(chart, there)
