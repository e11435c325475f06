"""The data of the page, decoded and compared with the engine for every configuration and event; and the page around it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from base64 import b64encode
from functools import cache
from hashlib import sha256
from typing import Any

import pytest

from fsm.analysis.paths import Atlas
from fsm.analysis.reachability import Graph
from fsm.chart import Chart, Configuration
from fsm.condition import label
from fsm.draw.labels import display_text
from fsm.draw.page import page
from fsm.draw.style import DARK, LIGHT
from fsm.logoff import LOGOFF
from fsm.session import Session
from fsm.variable import Choice
from tests import small_charts as small
from tests.browser.browsers import COMMITTED, logoff_graph, logoff_page

AGAIN = "make diagrams"
CHARTS = [small.PLAIN, small.LADDER, small.TOKENS, small.LURE, small.DISTANT, small.opaque(lambda s: s.n == 1)]


class Decoded:
    """The data of a page, decoded."""

    def __init__(self, text: str) -> None:
        found = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
        assert len(found) == 1
        self.data: dict[str, Any] = json.loads(found[0])
        self.width = 1 + len(self.data["variables"])

    def configuration(self, chart: Chart, number: int) -> Configuration:
        inside = self.data["configurations"]
        one = inside[number] if number < len(inside) else self.data["outside"][number - len(inside)]
        values = [v.values[n] if isinstance(v, Choice) else n for v, n in zip(chart.variables, one[1:], strict=False)]
        return (self.data["states"][one[0]][0], *values)

    def cells(self, chart: Chart, number: int) -> list[tuple[str | None, Configuration | None, str | None]]:
        """Return for every event the row and its target, or the reason."""
        one, reasons = self.data["configurations"][number], self.data["reasons"]
        targets = iter(one[self.width + 2 :])
        found: list[tuple[str | None, Configuration | None, str | None]] = []
        for code in self.data["patterns"][one[self.width + 1]]:
            if code < len(reasons):
                text, names = reasons[code]
                here = self.configuration(chart, number)
                now = ", ".join(f"{chart.names[n]} is {label(here[1 + n])}" for n in names)
                found.append((None, None, f"{text}; {now}" if names else text))
            else:
                found.append((chart.rows[code - len(reasons)].id, self.configuration(chart, next(targets)), None))
        assert list(targets) == []
        return found


sessions = cache(Session.of)


def engine(chart: Chart, here: Configuration, event: str) -> tuple[str | None, Configuration | None, str | None]:
    session = sessions(chart).unchecked(here)
    verdict = session.may(event)
    if verdict.row is None:
        return None, None, display_text(str(verdict.reason))
    session.fire(event)
    return verdict.row.id, session.configuration, None


@pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: chart.name)
def test_every_cell_of_small_charts(chart: Chart) -> None:
    for bounds in ((), ("n <= 1",)):
        if bounds and ("n" not in chart.names or chart is small.TOKENS) or not bounds and chart is small.DISTANT:
            continue
        graph = Graph(chart, bounds)
        decoded = Decoded(page(graph, renderer="embedded"))
        beyond = 0
        for number, here in enumerate(graph.configurations):
            assert decoded.configuration(chart, number) == here
            cells = decoded.cells(chart, number)
            assert cells == [engine(chart, here, event) for event in map(str, chart.events)]
            beyond += sum(there is not None and there not in graph.configurations for _, there, _ in cells)
        assert beyond == graph.cut.steps


def test_every_cell_of_the_store_logoff() -> None:
    graph, decoded = logoff_graph(), Decoded(logoff_page())
    for number, here in enumerate(graph.configurations):
        assert decoded.configuration(LOGOFF, number) == here
        assert decoded.cells(LOGOFF, number) == [engine(LOGOFF, here, event) for event in map(str, LOGOFF.events)]
        word, outputs = decoded.data["words"][decoded.data["configurations"][number][decoded.width]]
        assert word == LOGOFF.flags(here)
        assert tuple(decoded.data["outputs"][n][0] for n in outputs) == LOGOFF.flag_names(word)


def test_what_is_said_of_rows_is_the_charts() -> None:
    data = Decoded(logoff_page()).data
    for entry, row in zip(data["rows"], LOGOFF.rows, strict=True):
        id, source, event, target, guard, effects, why, cites = entry
        assert (id, data["states"][source][0], data["states"][target][0]) == (row.id, row.source, row.target)
        assert (data["events"][event][0], effects, data["whys"][why]) == (row.event, row.effect_text, row.why)
        assert tuple(data["sentences"][n][0] for n in cites) == row.cites
        assert all(data["sentences"][n][1] for n in cites)
        assert bool(guard) is (str(row.guard) != "always")


def test_paths_are_those_of_the_atlas() -> None:
    data, atlas = Decoded(logoff_page()).data, Atlas(LOGOFF, ("inbound <= 2", "outbound + ready + deferred <= 2", "peers <= 1"))
    for (id, witnesses), path in zip(data["paths"], atlas.paths, strict=True):
        traces = {data["flags"][flag]: tuple(data["events"][n][0] for n in events) for flag, events in witnesses}
        assert (id, traces) == (path.id, path.flags)


def test_a_path_without_a_witness_says_why() -> None:
    atlas = Atlas(small.LURE)
    data = Decoded(page(Graph(small.LURE), paths=atlas.paths, flag_name=atlas.flag_name, renderer="embedded")).data
    lost = [path for path in atlas.paths if path.witness is None]
    assert [path for path in data["paths"] if isinstance(path[1], str)] == [
        [path.id, path.infeasible, [[row.id for row in small.LURE.rows].index(id) for id in path.rows]] for path in lost
    ]
    assert lost


# ------------------------------------------------------------------------------------------------------ the page itself


def test_the_committed_page_is_made_from_the_chart() -> None:
    assert COMMITTED.read_bytes() == logoff_page().encode(), f"diagrams/explorer.html is out of date: {AGAIN}"


def test_the_page_is_small() -> None:
    assert len(logoff_page().encode()) < 150_000


def test_the_same_chart_makes_the_same_bytes_whatever_the_hash_seed() -> None:
    script = "from tests.browser.browsers import logoff_page; import hashlib; print(hashlib.sha256(logoff_page().encode()).hexdigest())"
    made = {
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True,
                       env={"PYTHONHASHSEED": seed, "PATH": ""}).stdout.strip()
        for seed in ("1", "2")
    }  # fmt: skip
    assert made == {sha256(logoff_page().encode()).hexdigest()}


def _policy(text: str) -> str:
    found = re.search(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', text)
    assert found is not None
    return found[1]


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


@pytest.mark.parametrize("follows", ["", "journal.jsonl"])
def test_the_policy_allows_the_pages_own_script_and_style_and_nothing_else(follows: str) -> None:
    text = logoff_page(follows=follows)
    scripts, styles = re.findall(r"<script>(.*?)</script>", text, re.DOTALL), re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    assert (len(scripts), len(styles)) == (1, 1)
    wanted = ["default-src 'none'", f"script-src {_hash(scripts[0])}", f"style-src {_hash(styles[0])}", "base-uri 'none'", "form-action 'none'"]
    assert _policy(text).split("; ") == wanted + (["connect-src 'self'"] if follows else [])
    assert "unsafe" not in _policy(text)
    assert ("EventSource" in text) is bool(follows)
    assert not re.search(r"\b(?:src|href|style|on\w+)=", re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL))


def test_names_cannot_leave_their_place() -> None:
    chart = small.chart('</script><script>x</script>{{script}}"', [
        small.row("r</svg><i>", "a", "</script>\u2028<!--", target="done", why="<b>{{data}}"),
    ], states=("a", small.DONE))  # type: ignore[arg-type]  # fmt: skip
    text = page(Graph(chart), where="<i>:x", without="<i>", sentences={"<i>": "<i>"}, renderer="embedded")
    assert text.count("</script>") == 2
    assert not set(re.findall(r'id="data">(.*?)</script>', text, re.DOTALL)[0]) & set("<>&")
    assert "<i>" not in text
    assert "<b>" not in text
    data = Decoded(text).data
    assert data["events"][0][0] == "</script>\u2028<!--"
    assert data["shown"][data["events"][0][0]] == "</script>\\u2028<!--"
    assert data["whys"] == ["<b>{{data}}"]


def test_every_row_is_found_in_both_pictures() -> None:
    brief, full = re.findall(r"<svg class=\"fsm\".*?</svg>", logoff_page(), re.DOTALL)
    for picture in (brief, full):
        numbers = [int(n) for found in re.findall(r'data-r="([\d ]+)"', picture) for n in found.split()]
        assert sorted(numbers) == list(range(len(LOGOFF.rows)))
        assert sorted(map(int, re.findall(r'data-s="(\d+)"', picture))) == list(range(len(LOGOFF.states)))
    assert [f'<g data-r="{n}">' in full for n in range(len(LOGOFF.rows))] == [True] * len(LOGOFF.rows)


def test_colours_that_are_alike_in_light_are_alike_in_dark() -> None:
    """The page writes the pictures' colours as variables, found by the light ones."""
    for one in LIGHT.keys() & DARK.keys():
        for other in LIGHT.keys() & DARK.keys():
            if LIGHT[one] == LIGHT[other] and "fsm" not in one:
                assert DARK.get(one) == DARK.get(other), (one, other)


def test_where_the_bounds_cut_is_said() -> None:
    data = Decoded(logoff_page()).data
    assert data["bounds"] == ["inbound <= 2", "outbound + ready + deferred <= 2", "peers <= 1"]
    assert data["cut"].startswith("within inbound <= 2, outbound + ready + deferred <= 2, peers <= 1: 347 steps are cut off")
    assert len(data["outside"]) == len({tuple(one) for one in data["outside"]}) > 0
