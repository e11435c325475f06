"""The page answers as the engine does: every cell of the graph, every step of a large corpus, every text on the screen.

Invariant: for every configuration and event, what the page says is what a session says there.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from fsm.chart import Configuration
from fsm.logoff import LOGOFF, StoreSession
from fsm.snapshot import encode
from fsm.verdict import Refused
from tests.browser.browsers import logoff_atlas, logoff_graph

if TYPE_CHECKING:
    from playwright.sync_api import Page

CELLS = """() => explorer.data.configurations.map((_, n) => [
    explorer.snapshotOf(n), explorer.describe(n),
    explorer.data.events.map((_, event) => {
        const { kind, row, target, reason } = explorer.answer(n, event);
        return [kind, row < 0 ? null : explorer.data.rows[row][0], target < 0 ? null : explorer.describe(target), reason];
    }),
])"""


def cell(here: Configuration, event: str) -> list[object]:
    """The answer of the engine, in the words of the page."""
    session = StoreSession.unchecked(here)
    verdict = session.may(event)
    if verdict.row is None:
        return ["refused", None, None, verdict.reason]
    session.fire(event)
    there = session.configuration
    kind = "accepted" if there in set_of_configurations() else "beyond"
    return [kind, verdict.row.id, LOGOFF.describe(there), ""]


_known: set[Configuration] = set()


def set_of_configurations() -> set[Configuration]:
    if not _known:
        _known.update(logoff_graph().configurations)
    return _known


def test_every_cell_of_the_graph_is_what_the_engine_says(explorer: Callable[..., Page]) -> None:
    found = explorer().evaluate(CELLS)
    graph = logoff_graph()
    assert len(found) == len(graph.configurations) == 408
    beyond = 0
    for here, (snapshot, described, cells) in zip(graph.configurations, found, strict=True):
        assert snapshot == encode(LOGOFF, here)
        assert described == LOGOFF.describe(here)
        assert cells == [cell(here, event) for event in LOGOFF.events]
        beyond += sum(one[0] == "beyond" for one in cells)
    assert beyond == graph.cut.steps > 0


REPLAY = """(traces) => traces.map((events) => {
    const { walk, data } = explorer;
    walk.restart();
    return events.map((event) => {
        const { kind, reason } = walk.step(explorer.eventNumber(event));
        return [kind, explorer.describe(walk.here), reason];
    });
})"""


def corpus() -> list[list[str]]:
    """Shortest traces to every configuration, every witness of every path, and random walks with many refused events."""
    graph, dice = logoff_graph(), random.Random(4)
    traces = [list(graph.trace(number)) for number in range(len(graph.configurations))]
    traces += [list(trace) for path in logoff_atlas().paths for trace in path.flags.values()]
    mail = [str(event) for event in LOGOFF.events if not event.startswith(("logoff", "release", "peer"))]
    for _ in range(200):  # the logoffs are rare, so that a session lives
        traces.append([str(dice.choice(mail if dice.random() < 0.97 else LOGOFF.events)) for _ in range(120)])
    return traces


def replayed(events: list[str]) -> list[list[str]]:
    """Replay a trace: a session that refuses an event, or would leave the bounds, stays where it is."""
    session, answers = StoreSession(), []
    for event in events:
        before = session.configuration
        try:
            session.fire(event)
            kind, reason = "accepted", ""
        except Refused as refusal:
            kind, reason = "refused", str(refusal.verdict.reason)
        if session.configuration not in set_of_configurations():
            session, kind = StoreSession.unchecked(before), "beyond"
        answers.append([kind, LOGOFF.describe(session.configuration), reason])
    return answers


def test_every_step_of_a_large_corpus_is_the_same(explorer: Callable[..., Page]) -> None:
    traces = corpus()
    found = explorer().evaluate(REPLAY, traces)
    assert sum(map(len, traces)) > 25_000
    for events, answers in zip(traces, found, strict=True):
        assert answers == replayed(events)


SHOWN = """() => {
    const text = (id) => document.getElementById(id).textContent, all = (query) => [...document.querySelectorAll(query)];
    return explorer.data.configurations.map((_, n) => {
        explorer.openSnapshot(JSON.stringify(explorer.snapshotOf(n)));
        explorer.show();
        return {
            state: text("state"), values: all("#values dd").map((one) => one.textContent),
            outputs: all("#outputs .output").map((one) => one.textContent), word: text("outputs").match(/0x[0-9A-F]+/)[0],
            events: all("#list .event").map((one) => [one.querySelector(".name").textContent,
                one.getAttribute("aria-disabled") !== "true", one.querySelector(".detail").textContent]),
            rows: all("#rows tr.enabled th").map((one) => one.textContent),
            lines: all("#full .row.enabled").map((one) => one.id), here: all("#full .state.current").map((one) => one.id),
        };
    });
}"""


def test_everything_shown_is_what_the_engine_says(explorer: Callable[..., Page]) -> None:
    from fsm.condition import label

    found = explorer().evaluate(SHOWN)
    for here, seen in zip(logoff_graph().configurations, found, strict=True):
        flags = LOGOFF.flags(here)
        assert seen["state"] == here[0]
        assert seen["values"] == [label(value) for value in here[1:]]
        assert seen["outputs"] == list(LOGOFF.flag_names(flags))
        assert seen["word"] == f"0x{flags:X}"
        cells = {event: cell(here, event) for event in map(str, LOGOFF.events)}
        assert [event for event, _, _ in seen["events"]] == list(cells)
        assert [open_ for _, open_, _ in seen["events"]] == [one[0] == "accepted" for one in cells.values()]
        assert [text for (_, _, text), one in zip(seen["events"], cells.values(), strict=True) if one[0] == "refused"] == [
            one[3] for one in cells.values() if one[0] == "refused"
        ]
        taken = [one[1] for one in cells.values() if one[0] == "accepted"]
        assert sorted(seen["rows"]) == sorted(taken)
        assert sorted(seen["lines"]) == sorted(f"t-{row}" for row in taken)
        assert seen["here"] == [f"n-{here[0]}"]


WITNESSES = [p.witness for p in logoff_atlas().paths if p.witness and len(p.witness) in (3, 5)][::30]


@pytest.mark.parametrize("way", WITNESSES, ids=",".join)
@pytest.mark.parametrize("by", ["mouse", "keys"])
def test_a_way_taken_by_hand(explorer: Callable[..., Page], way: tuple[str, ...], by: str) -> None:
    page, session = explorer(), StoreSession()
    for event in way:
        button = page.locator(".event", has=page.get_by_text(event, exact=True))
        if by == "mouse":
            button.click()
        else:
            page.keyboard.press(button.locator("kbd").inner_text())
        session.fire(event)
        assert page.evaluate("explorer.describe(explorer.walk.here)") == LOGOFF.describe(session.configuration)
        assert page.locator("#state").inner_text() == session.state
    assert page.evaluate("location.hash") == "#" + ",".join(way)
    assert page.locator("#covered").inner_text().count("1 of 225") == 1


