"""Pictures as Mermaid draws them: whatever a name is, every row appears, and nothing in it is taken for a statement."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fsm import draw
from fsm.chart import Chart, Event, State, row
from fsm.data import Number
from fsm.draw.labels import display_name
from fsm.logoff import LOGOFF
from tests import small_charts as small

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

WORDS = ["direction", "note", "state", "end", "class", "classDef", "click", "style", "stateDiagram", "stateDiagram-v2", "title", "accTitle", "accDescr", "fork", "join", "choice", "default", "linkStyle", "subgraph", "graph", "flowchart", "scale", "hide", "as", "concurrent", "history", "root", "TB", "LR", "href", "constructor"]
KEYWORDS = [
    *WORDS, "direction LR", "direction  TB", "a direction BT b", "DIRECTION RL", "direction lr", "note left of a",
    "note right of b : x", "state x", "end note", "class a b", "click a", "style a fill:red", "classDef a b", "accTitle: x",
    "accDescr: y", "accDescr { x }", "%% c", "%%{init: {}}%%", "--> b", "a --> b", "[*]", "<<fork>>", "[[fork]]",
    "<<choice>>", "---", "--", "x:y", "a::: b", ":::", "{", "}", "#59;", ";", "hide empty description", 'href "x"',
    "title x", "scale 350 width", 'state "x" as y', "stateDiagram-v2 x", "s_a", "as b", "root", "__proto__",
]
"""Names that begin with a keyword of Mermaid's, or look like a statement."""
MARKUP = ["<b>x</b>", "a<br/>b", "$$x^2$$", "`**b**`", "_a_", "a__b__c", "*a*", "fa:fa-car", "1. a", "- a", "* a", "# a", "> a",
          "a\nb", "a;b", "a#b", "&amp;", "\\n", "\\", "'", '"', "end\u200b", "n\u00f8te", "\u7d42"]  # fmt: skip
DONE = State("done", final=True)

DRAWN = """async (text) => {
    const { svg } = await mermaid.render("drawn", text);
    document.body.innerHTML = svg;
    const box = document.querySelector("svg").viewBox.baseVal;
    return { text: document.body.innerText, arrows: document.querySelectorAll(".transition").length, upright: box.height > box.width,
             title: document.querySelector("svg > title")?.textContent ?? "" };
}"""


@pytest.fixture(scope="module")
def drawn(browser: Browser) -> Iterator[Callable[[str], dict[str, object]]]:
    files = sorted((Path(sys.prefix) / "interpreters").glob("mermaid-*.js"))
    if not files:
        reason = "the tests of Mermaid's own pictures: make test fetches it from npm where it can"
        with (Path(sys.prefix) / "skipped").open("a") as skipped:
            skipped.write(reason + "\n")
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    page: Page = browser.new_page()
    page.set_content("<body></body>")
    page.add_script_tag(content=files[-1].read_text())
    page.evaluate("mermaid.initialize({ startOnLoad: false })")
    yield lambda text: page.evaluate(DRAWN, text)
    page.close()


def seen(text: object) -> str:
    return re.sub(r"\s+", "", str(text))


@pytest.mark.parametrize("name", dict.fromkeys([*KEYWORDS, *MARKUP]))
def test_a_name_is_shown_wherever_it_stands(drawn: Callable[[str], dict[str, object]], name: str) -> None:
    rows = [
        row("alone", "go", name, target="on"), row("first", "on", "go", target=name), row("between", "on", name, target=name),
        row("inside", name, name), row("end", name, "go", target="done"),
    ]  # fmt: skip
    found = drawn(draw.mermaid(Chart(name, states=["go", "on", name, DONE], events=["go", name], rows=rows)))
    shown = seen(display_name(name))
    assert (seen(found["title"]), found["arrows"], found["upright"]) == (shown, 5, True)
    assert seen(found["text"]).count(shown) >= 4, "on an arrow alone, between others, inside a state, as a state"
    assert all(word in seen(found["text"]) for word in ("go", "on", "done"))


@pytest.mark.parametrize("chart", [LOGOFF, small.HOSTILE, small.PLAIN, small.ACCOUNT], ids=lambda chart: chart.name)
def test_every_row_appears(drawn: Callable[[str], dict[str, object]], chart: Chart) -> None:
    found = drawn(draw.mermaid(chart))
    assert found["arrows"] == len({(r.source, r.target) for r in chart.rows if r.leaves}) + 1 + sum(s.final for s in chart.states)
    assert all(seen(display_name(r.event)) in seen(found["text"]) for r in chart.rows)


def test_data_times_loops_and_absorbing_states_are_drawn(drawn: Callable[[str], dict[str, object]]) -> None:
    amount = Number("amount")
    chart = Chart("c", states=[State("a", after={30: "late"}), State("stuck", absorbing=True)], events=[Event("pay", data=(amount,)), "late", "again"], rows=[
        row("pay", "a", "pay", guard=amount > 3, target="stuck"), row("late", "a", "late", reenter=True), row("again", "a", "again", reenter=True),
    ])  # fmt: skip
    found = drawn(draw.mermaid(chart))
    assert found["arrows"] == 3
    for text in ("pay(amount)", "[amount > 3]", "after 30 s: late", "again", "absorbing"):
        assert seen(text) in seen(found["text"])
