"""The data of the explorer page: the configuration graph with all texts, as one small JSON value.

Theory.
1. The page decides nothing.  For every configuration and event the data has the engine's answer: the row and its
   target, or the reason.  The page looks up numbers and puts values into sentences.
2. Many configurations have the same answers, which are kept once, as a *pattern*: for each event the number of its
   reason or, above those of the reasons, of its row.  A configuration is `[state, value…, outputs, pattern, target…]`
   with the targets of the accepted events, in the order of the events.
3. A target beyond the bounds is kept in `outside`, numbered after the last configuration, so that the page can show
   where its edge is and what lies beyond.
4. A reason is a text and the variables whose present values are added to it.
5. Texts that many rows share (reasons, cited sentences) are kept once, by number.  The rows and states of a path follow
   from its trace.
6. Names are kept unchanged, for traces and snapshots; `shown` has those that are displayed differently.

No session runs.  A callable guard gets a session in the configuration it is asked about.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from fsm.analysis.reachability import Graph, cut_text
from fsm.condition import ALWAYS, Condition, label
from fsm.draw.labels import Sums, display_name, display_text, guard_text
from fsm.session import Session
from fsm.snapshot import VERSION, jsonable
from fsm.variable import Choice
from fsm.verdict import Verdict, judge

if TYPE_CHECKING:
    from fsm.analysis.paths import Path
    from fsm.chart import Chart, Configuration, Output, Row
    from fsm.condition import Value
    from fsm.variable import Variable

__all__ = ["page_data"]


def page_data(
    graph: Graph, paths: Sequence[Path], flag_name: str | None, sentences: Mapping[str, str], sums: Sums
) -> dict[str, object]:
    """Return the JSON value; its size grows with the graph."""
    chart = graph.chart
    tables = _Tables(graph)
    configurations = [tables.configuration(number) for number in range(len(graph.configurations))]
    cited = list(dict.fromkeys(name for row in chart.rows for name in row.cites))
    whys = list(dict.fromkeys(display_text(row.why) for row in chart.rows))
    flags = list(dict.fromkeys(flag for path in paths for flag in path.flags or ("",)))
    texts = [*chart.states, *chart.events, *chart.names, *(o.name for o in chart.outputs), *(r.id for r in chart.rows),
             *(label(value) for v in chart.variables if isinstance(v, Choice) for value in v.values), chart.name]
    return {
        "chart": chart.name, "doc": display_text(chart.doc), "fingerprint": chart.fingerprint, "version": VERSION,
        "bounds": [display_text(str(bound)) for bound in graph.bounds],
        "cut": display_text(cut_text(chart, graph.bounds, graph.cut)),
        "sums": [[display_name(name), display_text(str(named))] for name, named in sums.items()],
        "states": [[s.name, display_text(s.doc), int(s.final), _guard(s.invariant, sums)] for s in chart.states],
        "events": [[e.name, display_text(e.doc)] for e in chart.events],
        "variables": [_variable(variable) for variable in chart.variables],
        "outputs": [[o.name, o.bit, display_text(o.doc)] for o in _by_bit(chart)],
        "words": tables.words,
        "rows": [_row(chart, row, sums, whys, cited) for row in chart.rows],
        "whys": whys, "sentences": [[display_name(name), display_text(sentences.get(name, ""))] for name in cited],
        "reasons": tables.reasons, "patterns": tables.patterns,
        "configurations": configurations, "outside": tables.outside,
        "paths": [_path(chart, path, flags) for path in paths],
        "flags": [flag and display_name(flag) for flag in flags], "flag": flag_name or "",
        "shown": {text: display_name(text) for text in map(str, texts) if display_name(text) != text},
    }  # fmt: skip


class _Tables:
    """The tables that configurations refer to, filled as they are needed."""

    def __init__(self, graph: Graph) -> None:
        self.graph, self.chart = graph, graph.chart
        self._session = Session.of(graph.chart)
        self._outputs = _by_bit(graph.chart)
        self._places: dict[Configuration, int] = {one: n for n, one in enumerate(graph.configurations)}
        self._rows = {row.id: number for number, row in enumerate(graph.chart.rows)}
        self._patterns: dict[tuple[int, ...], int] = {}
        self._reasons: dict[tuple[str, tuple[int, ...]], int] = {}
        self._words: dict[int, int] = {}
        self.outside: list[list[int]] = []

    @property
    def patterns(self) -> list[list[int]]:
        """For each pattern and event the number of a reason or, above those, of a row."""
        rows = len(self._reasons)
        return [[-1 - code if code < 0 else rows + code for code in pattern] for pattern in self._patterns]

    @property
    def reasons(self) -> list[list[object]]:
        """Texts, each with the numbers of the variables whose values follow."""
        return [[text, list(names)] for text, names in self._reasons]

    @property
    def words(self) -> list[list[object]]:
        """Output words, each with the numbers of the outputs that are set in it."""
        return [[word, [n for n, o in enumerate(self._outputs) if word & o.bit]] for word in self._words]

    def configuration(self, number: int) -> list[int]:
        """Return the numbers of a configuration (rule 2)."""
        here = self.graph.configurations[number]
        steps = {step.event.event: step for step in self.graph.out[number]}
        legal = self.graph.legal[number]
        subject = self._session.unchecked(here) if self.chart.opaque else None
        codes, targets = [], []
        for event in map(str, self.chart.events):
            if event in steps:
                codes.append(self._rows[steps[event].row])
                targets.append(steps[event].target)
                continue
            verdict = judge(self.chart, here, event, subject)
            if event in legal and verdict.row is not None:
                codes.append(self._rows[verdict.row.id])
                targets.append(self._beyond(here, verdict.row))
            else:
                codes.append(-1 - _number(self._reasons, self._reason(verdict)))
        word = _number(self._words, self.chart.flags(here))
        return [*self._values(here), word, _number(self._patterns, tuple(codes)), *targets]

    def _beyond(self, here: Configuration, row: Row) -> int:
        """Return the number of a configuration beyond the bounds."""
        there = self.chart.after(here, row)
        if there not in self._places:
            self._places[there] = len(self.graph.configurations) + len(self.outside)
            self.outside.append(self._values(there))
        return self._places[there]

    def _values(self, configuration: Configuration) -> list[int]:
        state, *values = configuration
        return [self.chart.states.index(str(state)), *map(_place, self.chart.variables, values)]

    def _reason(self, verdict: Verdict) -> tuple[str, tuple[int, ...]]:
        reason = verdict.reason or ""
        values = self.chart.values(verdict.configuration)
        spoken = frozenset[str]().union(*(condition.names() for condition in verdict.unmet))
        names = tuple(n for n, name in enumerate(self.chart.names) if name in spoken)
        present = "; " + ", ".join(f"{self.chart.names[n]} is {label(values[self.chart.names[n]])}" for n in names)
        if names and reason.endswith(present):
            return display_text(reason.removesuffix(present)), names
        return display_text(reason), ()


def _number(table: dict, key: object) -> int:  # type: ignore[type-arg]  # tables of several kinds
    number: int = table.setdefault(key, len(table))
    return number


def _place(variable: Variable, value: Value) -> int:
    if isinstance(variable, Choice):
        return next(place for place, one in enumerate(variable.values) if one is value or one == value)
    assert isinstance(value, int)
    return value


def _by_bit(chart: Chart) -> list[Output]:
    return sorted(chart.outputs, key=lambda output: output.bit)


def _guard(guard: Condition, sums: Sums) -> str:
    return "" if guard == ALWAYS else guard_text(guard, sums)


def _variable(variable: Variable) -> list[object]:
    """Return name, description, number at the start and, for an enumerated variable, its values."""
    entry: list[object] = [variable.name, display_text(variable.doc), _place(variable, variable.initial)]
    return [*entry, list(map(jsonable, variable.values))] if isinstance(variable, Choice) else entry


def _row(chart: Chart, row: Row, sums: Sums, whys: Sequence[str], cited: Sequence[str]) -> list[object]:
    return [
        row.id, chart.states.index(row.source), chart.events.index(row.event), chart.states.index(row.target),
        _guard(row.guard, sums), display_text(row.effect_text), whys.index(display_text(row.why)),
        [cited.index(name) for name in row.cites],
    ]  # fmt: skip


def _path(chart: Chart, path: Path, flags: Sequence[str]) -> list[object]:
    """Return id and a witness for each flag at the end; without any, id, reason, and rows."""
    if path.witness is None:
        rows = {row.id: number for number, row in enumerate(chart.rows)}
        return [path.id, display_text(path.infeasible or ""), [rows[row] for row in path.rows]]
    witnesses = path.flags or {"": path.witness}
    events = chart.events
    return [path.id, [[flags.index(flag), [events.index(one) for one in trace]] for flag, trace in witnesses.items()]]
