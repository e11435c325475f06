"""Highlights: flags, compared with every path within bounds; counters, paths, traces and sessions."""

from __future__ import annotations

import re
from collections.abc import Iterable
from xml.etree import ElementTree

import pytest

from fsm import draw
from fsm.analysis.paths import Atlas
from fsm.analysis.reachability import Graph
from fsm.chart import Chart
from fsm.draw.highlight import MARKS, follow, position
from fsm.errors import DefinitionError
from fsm.logoff import LOGOFF, Logoff, StoreSession
from fsm.logoff.chart import FLAGS
from fsm.session import Session
from tests.draw.support import OPAQUE, SVG, TWICE, nasty_chart
from tests.small_charts import ACCOUNT, PLAIN

GRAPH = Graph(LOGOFF, ["inbound <= 2", "outbound + ready + deferred <= 2", "peers <= 1"])
REQUEST = LOGOFF.names.index("request") + 1


def closure(begin: Iterable[int], links: dict[int, list[int]]) -> set[int]:
    found, todo = set(begin), list(begin)
    while todo:
        for there in links.get(todo.pop(), ()):
            if there not in found:
                found.add(there)
                todo.append(there)
    return found


def on_the_paths(event: str) -> set[str]:
    """Return the rows on any walk from this event to the end on which the request keeps its value."""
    here = GRAPH.configurations
    sets = {row.id for row in LOGOFF.rows if any(effect.name == "request" for effect in row.effects)}
    begins = [s for s in GRAPH.edges if s.event == event and here[s.source][0] != "released"
              and (s.row in sets or here[s.source][0] != here[s.target][0])]  # fmt: skip
    keeping = [s for s in GRAPH.edges if here[s.source][REQUEST] == here[s.target][REQUEST]]
    forward: dict[int, list[int]] = {}
    for s in keeping:
        forward.setdefault(s.source, []).append(s.target)
    reached = closure([s.target for s in begins], forward)
    used = [s for s in keeping if s.source in reached and here[s.source][0] != "released"] + begins
    backward: dict[int, list[int]] = {}
    for s in used:
        backward.setdefault(s.target, []).append(s.source)
    home = closure(GRAPH.final, backward)
    return {s.row for s in used if s.target in home}


@pytest.mark.parametrize("event", [*FLAGS])
def test_a_flag_picks_out_what_lies_on_its_ways_and_nothing_else(event: str) -> None:
    highlight = draw.flag(LOGOFF, event)
    assert {row for row, mark in highlight.rows.items() if mark == "selected"} == on_the_paths(event)


def test_the_rows_that_only_ask_are_marked_apart() -> None:
    asked = {event: [r for r, mark in draw.flag(LOGOFF, event).rows.items() if mark == "enabled"] for event in FLAGS}
    assert {event: rows for event, rows in asked.items() if rows} == {
        "logoff_quiet": ["draining.logoff_quiet"], "release": ["draining.release", "released.release"],
    }  # fmt: skip


def test_every_row_that_enters_the_end_belongs_to_a_flag() -> None:
    highlights = [draw.flag(LOGOFF, event) for event in FLAGS]
    for row in LOGOFF.rows:
        if row.moves and row.target == "released":
            assert any(highlight.rows.get(row.id) == "selected" for highlight in highlights), row.id


def test_an_event_that_sets_nothing_picks_out_whatever_may_follow() -> None:
    assert list(draw.flag(PLAIN, "go").rows) == ["go", "jump", "back", "stay", "end", "quit"]
    assert list(draw.flag(PLAIN, "jump").rows) == ["jump"]
    assert list(draw.flag(TWICE, "set").rows) == ["ask", "set", "leave"]  # unset would take it back


def test_the_shared_store() -> None:
    highlight = draw.counter(LOGOFF, "peers")
    assert sorted(highlight.rows) == sorted(r.id for r in LOGOFF.rows if r.id.endswith(".peers") or "peer_" in r.id)
    assert len(highlight.rows) == 18 + 6


@pytest.mark.parametrize("name", ["request", "nobody"])
def test_only_a_counter_is_a_counter(name: str) -> None:
    with pytest.raises(KeyError, match=name):
        draw.counter(LOGOFF, name)


def test_every_path_and_its_witness() -> None:
    for path in Atlas(LOGOFF, ["inbound <= 1", "outbound + ready + deferred <= 2", "peers <= 1"]).paths:
        highlight = draw.path(LOGOFF, path.rows, name=path.id, witness=path.witness or ())
        assert [row for row, mark in highlight.rows.items() if mark == "selected"] == list(dict.fromkeys(path.rows))
        assert set(path.rows) <= {row.id for row, _ in follow(LOGOFF, path.witness or ())}
        assert tuple(highlight.states) == path.states


# -------------------------------------------------------------------------------------------- traces, sessions

TRACES = (
    ("", "open"), ("submit,outbound_begin,logoff_orderly", "draining"), ("submit,logoff_quiet", "blocked"),
    ("inbound_begin, logoff_no_wait ,inbound_received", "released"), ("release,release", "released"),
)  # fmt: skip


@pytest.mark.parametrize(("trace", "state"), TRACES)
def test_a_trace_is_followed_as_a_session_goes(trace: str, state: str) -> None:
    session = StoreSession()
    for event in filter(None, trace.split(",")):
        session.fire(event.strip())
    steps = follow(LOGOFF, trace)
    assert (steps[-1][1] if steps else LOGOFF.start()) == session.configuration
    highlight = draw.trace(LOGOFF, trace)
    assert highlight.states[state] == "current"
    assert highlight.rows == {row.id: "taken" for row, _ in steps}


@pytest.mark.parametrize(("trace", "place", "problem"), [
    ("outbound_sent", 1, "not legal in: open"), ("submit,subbmit", 2, "store-logoff has no event 'subbmit'; did you mean submit?"),
    ("release,submit", 2, "not legal in: released, request ABORT"), ("submit,,submit", 2, "nothing between two commas"),
])  # fmt: skip
def test_a_trace_that_is_not_legal_says_where(trace: str, place: int, problem: str) -> None:
    with pytest.raises(draw.TraceError, match=re.escape(problem)) as caught:
        draw.trace(LOGOFF, trace)
    assert caught.value.place == place


def test_what_a_session_accepts_is_marked() -> None:
    for configuration in GRAPH.configurations[::7]:
        session = StoreSession.unchecked(configuration)
        highlight = draw.position(LOGOFF, configuration)
        verdicts = [verdict for verdict in session.verdicts().values() if verdict.row is not None]
        assert [row for row, mark in highlight.rows.items() if mark == "enabled"] == [
            row.id for row in LOGOFF.rows if row in [verdict.row for verdict in verdicts]
        ]
        assert highlight.states == {session.state: "current"}


def test_a_session_is_drawn_with_the_way_it_came() -> None:
    session = StoreSession()
    session.submit()
    session.logoff(Logoff.QUIET)
    before = session.configuration
    text = draw.svg(session, came="submit,logoff_quiet", renderer="embedded")
    assert "came by submit, logoff_quiet" in text
    assert re.search(r'class="row taken" data-row="open.logoff_quiet"', text)
    assert re.search(r'class="row enabled" data-row="blocked.logoff_orderly.granted"', text)
    assert re.search(r'class="state current" data-state="blocked"', text)
    assert session.configuration == before
    with pytest.raises(draw.TraceError, match="the trace leads to: open, ready 1; the session is: blocked"):
        draw.svg(session, came="submit", renderer="embedded")


def test_a_callable_guard_is_asked_of_the_session_and_of_nobody_else() -> None:
    session = Session.of(OPAQUE)()
    highlight = draw.position(OPAQUE, session.configuration, subject=session)
    assert highlight.rows == {"a.go": "enabled", "a.ask": "enabled"}
    assert 'class="row enabled" data-row="a.go"' in draw.svg(session, renderer="embedded")
    with pytest.raises(DefinitionError, match="can be asked by a session"):
        draw.trace(OPAQUE, "go")


def test_a_session_class_is_drawn_as_its_chart() -> None:
    assert draw.svg(StoreSession, renderer="embedded") == draw.svg(LOGOFF, renderer="embedded")


# ---------------------------------------------------------------------------------------------- one layout


def highlights(chart: Chart) -> list[draw.Highlight]:
    events = [str(event) for event in chart.events][:8]
    return [draw.whole(chart), draw.position(chart, chart.start()), *(draw.flag(chart, event) for event in events)]


@pytest.mark.parametrize("chart", [LOGOFF, nasty_chart()], ids=["logoff", "nasty"])
@pytest.mark.parametrize("brief", [False, True])
def test_nothing_moves_between_pictures(chart: Chart, brief: bool) -> None:
    def places(text: str) -> list[str]:
        body = ElementTree.fromstring(text).find(f"{SVG}g[@transform]")
        assert body is not None
        names = ("transform", "x", "y", "d", "points", "cx", "cy", "rx", "ry")
        return [f"{name} {one.get(name)}" for one in body.iter() for name in names if one.get(name)]

    drawn = [places(draw.svg(chart, highlight, renderer="embedded", brief=brief)) for highlight in highlights(chart)]
    assert len(drawn[0]) > 10
    assert all(one == drawn[0] for one in drawn)


@pytest.mark.parametrize("highlight", highlights(LOGOFF), ids=lambda highlight: highlight.name)
def test_every_row_heading_and_arc_has_its_mark(highlight: draw.Highlight) -> None:
    text = draw.svg(LOGOFF, highlight, renderer="embedded")
    for row in LOGOFF.rows:
        mark = highlight.rows.get(row.id, highlight.rest)
        assert f'class="{f"row {mark}".strip()}" data-row="{row.id}"' in text
    for state in LOGOFF.states:
        assert f'class="{f"state {highlight.states.get(state, highlight.rest)}".strip()}" data-state="{state}"' in text
    for arc in {(row.source, row.target) for row in LOGOFF.rows if row.moves}:
        marks = [highlight.rows.get(r.id, highlight.rest) for r in LOGOFF.rows if (r.source, r.target) == arc]
        strongest = next((mark for mark in MARKS if mark in marks), "")
        assert f'id="e-{arc[0]}-to-{arc[1]}" class="{f"arc {strongest}".strip()}"' in text


def test_ids_carry_the_prefix() -> None:
    text = draw.svg(LOGOFF, prefix="one-", renderer="embedded")
    ids = re.findall(r' id="([^"]*)"', text)
    assert all(one.startswith("one-") for one in ids)
    assert 'aria-labelledby="one-title one-desc"' in text
    again = draw.svg(LOGOFF, prefix='"><x ', renderer="embedded")
    assert ' id="_x22__x3e__x3c_x_x20_title"' in again


def test_the_layout_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    chart = nasty_chart(("one", "two"))
    calls = []
    usual = draw.place
    monkeypatch.setattr(draw, "place", lambda *args: calls.append(args) or usual(*args))
    for highlight in highlights(chart) * 3:
        draw.svg(chart, highlight, renderer="embedded")
    assert len(calls) == 1
    draw.forget(chart)
    draw.svg(chart, renderer="embedded")
    assert len(calls) == 2


# ----------------------------------------------------------------------------------------- other formats, notebooks


def test_marks_are_in_dot_mermaid_and_the_table() -> None:
    highlight = draw.flag(LOGOFF, "logoff_orderly")
    source = draw.graph(LOGOFF, highlight).source
    assert source.count("» ") == len(highlight.rows) + 1, "each row once, and the legend"
    assert draw.mermaid(LOGOFF, highlight).count("» ") == len(highlight.rows)
    assert sum(line.startswith("| » |") for line in draw.table(LOGOFF, highlight).splitlines()) == len(highlight.rows)
    assert "»" not in draw.graph(LOGOFF).source + draw.mermaid(LOGOFF) + draw.table(LOGOFF)


def test_graph_is_what_people_of_graphmachine_expect() -> None:
    graph = draw.graph(StoreSession())
    assert type(graph).__module__.startswith("graphviz")
    assert graph.source.startswith("digraph")
    assert graph.pipe(format="svg").startswith(b"<?xml")


def test_a_notebook_gets_a_picture_or_the_source(monkeypatch: pytest.MonkeyPatch) -> None:
    session = StoreSession(ready=1)
    shown = draw.mimebundle(session)
    assert shown["text/plain"] == repr(session)
    assert 'id="store-logoff-open-None-0-0-1-0-0-t-open.submit"' in shown["image/svg+xml"]

    def fail(*args: object) -> bytes:
        raise draw.DrawingError("nothing here can draw", "digraph {}")

    draw.forget(LOGOFF)
    monkeypatch.setattr(draw, "place", fail)
    assert draw.mimebundle(session) == {
        "text/plain": f"{session!r}\n(nothing here can draw)", "text/vnd.graphviz": draw.graph(session).source,
    }  # fmt: skip
    with pytest.raises(draw.DrawingError) as caught:
        draw.svg(session)
    assert caught.value.dot == draw.graph(LOGOFF).source


def test_what_is_enabled_of_an_event_with_data_is_what_some_data_would_take() -> None:
    session = Session.of(ACCOUNT)()
    assert {row for row, mark in position(ACCOUNT, session.configuration).rows.items() if mark == "enabled"} == {
        "deposit", "freeze", "close",
    }  # fmt: skip
    session.fire("deposit", amount=2)
    assert {row for row, mark in position(ACCOUNT, session.configuration).rows.items() if mark == "enabled"} == {
        "deposit", "withdraw", "freeze",
    }  # fmt: skip
    picture = draw.svg(session, came="deposit(amount=2)", renderer="embedded")
    assert 'class="row enabled"' in picture.replace('id="t-withdraw" ', "")
    assert draw.trace(ACCOUNT, "deposit(amount=2),withdraw(amount=2),close").rows == dict.fromkeys(
        ("deposit", "withdraw", "close"), "taken"
    )
