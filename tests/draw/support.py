"""Charts that are hard to draw, and the rows that a drawing shows."""

from __future__ import annotations

import re
from html import unescape
from itertools import pairwise
from xml.etree import ElementTree

from fsm.chart import Chart, Event, State, row
from fsm.data import Field, Number
from fsm.draw.labels import identifier
from fsm.logoff import LOGOFF
from fsm.variable import Boolean, Choice, Counter
from tests import small_charts

SVG = "{http://www.w3.org/2000/svg}"

SMALL = 'digraph { a [label="one"] a -> b }'
HEAVY = "digraph {" + "".join(f"n{i} -> n{(i * 7919 + j * 104729) % 300};" for i in range(300) for j in range(5)) + "}"
"""Graphviz sources: one that is drawn at once, one that takes long."""

NASTY = (
    'quo"te', "back\\slash", "co:lon", "<b>bold</b>", "a|b{c}d", "line\nend", "tab\tbed", "&amp;", "<>", "n1 -> n2",
    "node", "graph", "subgraph", "strict", "end", "state", "[*]", "x]y[", "`tick`", "a | b", "100%", "%%{init}%%", "#35;",
    "http://evil.example/", "www.evil.example", "me@evil.example", "javascript:alert(1)", "![i](x.png)", "[l](u)", "\\N",
    "\\l", "]]>", "<!--", "</svg>", "<script>alert(1)</script>", "'", "''", "--", "-->", ";", "  blank  ", "_x41_", "A",
    "\u05e9\u05dc\u05d5\u05dd", "\u0645\u0631\u062d\u0628\u0627", "\u65e5\u672c\u8a9e\u306e\u72b6\u614b", "\u202eabc",
    "e\u0301", "\U0001f600", "\ud800", "\x00", "\x1b[31m", "\ufeff", "\u2028", "x" * 200, "\xa0", "a\xa0", "\x7f",
)  # fmt: skip
"""Names that are hard to draw."""


def nasty_chart(names: tuple[str, ...] = NASTY) -> Chart:
    """A row of states with these names, each with a row that stays and a row that moves on."""
    states = [State(name, doc=name, final=place == len(names) - 1) for place, name in enumerate(names)]
    steps = Counter("steps")
    rows = [
        row(f"stay {name}", name, f"e{name.strip().replace(',', '')}", guard=steps < 3, why=name, cites="S1",
            effects=[steps.becomes(steps + 1)]) for name in names
    ]
    rows += [row(f"go {one}", one, "go", target=other, why=one) for one, other in pairwise(names)]
    events = list(dict.fromkeys(Event(one.event, doc=one.event) for one in rows))
    return Chart(names[0], states=states, events=events, rows=rows, variables=(steps,), doc=names[0])


def _guess(session: object) -> bool:
    return True


OPAQUE = Chart(
    "opaque", states=("a", State("b", final=True)), events=("go", "ask"),
    rows=(row("a.go", "a", "go", guard=_guess, target="b"), row("a.ask", "a", "ask", guard=~(Counter("n") > 1))),
    variables=(Counter("n"),),
)
ALONE = Chart(  # an arc with one row, which has its guard and its effects on lines of their own
    "alone", states=("a", State("b", final=True)), events=("go",), variables=(Counter("n", initial=2), Counter("m")),
    rows=(row("go", "a", "go", guard=(Counter("n") > 1) & (Counter("m") == 0), target="b",
              effects=[Counter("n").becomes(0), Counter("m").becomes(Counter("m") + 1)]),),
)  # fmt: skip
LONELY = Chart("lonely", states=("only",), events=(), rows=())
TWICE = Chart(  # two enumerated variables, two ends
    "twice", states=("a", State("yes", "granted; for ever", final=True), State("no", final=True)),
    events=("ask", "set", "unset", "leave"),
    variables=(Choice("one", (None, "x", "y")), Choice("other", ("p", "q"), initial="p")),
    rows=(
        row("ask", "a", "ask", guard=Choice("one", (None, "x", "y")) == "x", target="yes"),
        row("set", "a", "set", effects=[Choice("one", (None, "x", "y")).becomes("x")]),
        row("unset", "a", "unset", effects=[Choice("one", (None, "x", "y")).becomes(None)]),
        row("leave", "a", "leave", target="no"),
    ),
)
TRIES, LIMIT, AMOUNT, READY = Counter("tries"), Counter("limit", initial=2), Number("amount"), Boolean("ready")
TIMED = Chart(  # data, times, loops, an absorbing state, comparisons of counters, a true/false variable
    "timed", variables=(TRIES, LIMIT, READY), states=(
        State("idle", after={0.5: "tick", 30: "late"}), State("busy", after={30: "late"}), State("broken", absorbing=True),
        State("gone", final=True),
    ), events=(Event("pay", data=(AMOUNT, Field("reason", str))), "tick", "late", "quit"), rows=(
        row("pay", "idle", "pay", guard=(AMOUNT > 2 * TRIES + 1) & ~READY, effects=[TRIES.becomes(TRIES + AMOUNT)], target="busy"),
        row("tick", "idle", "tick", reenter=True), row("retry", "busy", "late", guard=TRIES < LIMIT, reenter=True,
                                                       effects=[TRIES.becomes(TRIES + 1), READY.becomes(True)]),
        row("fail", "busy", "late", guard=TRIES >= LIMIT, target="broken"), row("again", "busy", "pay", reenter=True),
        *row("late", ("idle",), "late"), *row("quit", ("idle", "busy"), "quit", target="gone"),
    ),
)  # fmt: skip
CHARTS = (
    LOGOFF, nasty_chart(), OPAQUE, LONELY, TWICE, TIMED, small_charts.PLAIN, small_charts.ROUND, small_charts.LURE,
    small_charts.ACCOUNT,
)  # fmt: skip


def in_svg(text: str) -> list[str]:
    """Return the ids of the rows in an SVG, sorted, once for each occurrence."""
    found: list[str] = []
    for group in ElementTree.fromstring(text).iter(f"{SVG}g"):
        if "row" not in group.get("class", "").split():
            continue
        texts = ["".join(one.itertext()) for one in group.iter(f"{SVG}text")]
        assert texts
        assert all(texts)
        one, several = group.get("data-row"), group.get("data-rows")
        assert (one is None) is not (several is None)
        if one is not None:
            assert group.get("id", "").endswith(f"t-{identifier(one)}")
        found += several.split(" ") if several is not None else [identifier(one or "")]
    return sorted(found)


def in_dot(text: str) -> list[str]:
    """Return the ids of the rows in a DOT text, sorted, once for each occurrence."""
    return sorted(one for found in re.findall(r'\brows=("[^"]*"|[\w.]+)', text) for one in found.strip('"').split())


def in_mermaid(text: str) -> list[str]:
    """Return the ids of the rows in a Mermaid text, sorted, once for each occurrence; each comment precedes a statement."""
    lines = text.splitlines()
    found = []
    for place, line in enumerate(lines):
        if line.startswith("  %% rows: "):
            assert " : " in lines[place + 1]
            found += line.removeprefix("  %% rows: ").split()
    return sorted(found)


def in_table(text: str) -> list[str]:
    """Return the text of the first cell of each row of a Markdown table."""
    cells = [line.split("|")[1][1:-1] for line in text.splitlines()[2:]]
    return [unescape(re.sub(r"</?\w+>", "", cell)) if cell.startswith("<code>") else cell.strip("`") for cell in cells]


def wanted(chart: Chart) -> list[str]:
    """Return the ids of all rows of a chart, sorted."""
    return sorted(identifier(one.id) for one in chart.rows)
