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
7. Where events bring data, `events` are the steps to choose from, each with its text, its event by number and its data,
   and `kinds` are the chart's events.  A chart without data has one step for each event.

No session runs.  A callable guard gets a session in the configuration it is asked about.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from fsm.analysis.paths import ends_of
from fsm.analysis.reachability import Graph, cut_text
from fsm.condition import ALWAYS, Condition, label
from fsm.draw.labels import Sums, display_name, display_text, guard_text
from fsm.session import Session
from fsm.snapshot import VERSION, jsonable
from fsm.variable import Choice
from fsm.verdict import Verdict, judge

if TYPE_CHECKING:
    from fsm.analysis.paths import Path
    from fsm.chart import Chart, Configuration, Output, Row, State
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
    texts = [*chart.states, *chart.events, *graph.calls, *chart.names, *(o.name for o in chart.outputs),
             *(r.id for r in chart.rows), chart.name,
             *(label(value) for v in chart.variables if isinstance(v, Choice) for value in v.values)]
    return {
        "chart": chart.name, "doc": display_text(chart.doc), "fingerprint": chart.fingerprint, "version": VERSION,
        "bounds": [display_text(str(bound)) for bound in graph.bounds],
        "cut": display_text(cut_text(chart, graph.bounds, graph.cut)),
        "sums": [[display_name(name), display_text(str(named))] for name, named in sums.items()],
        "states": [_state(chart, state, sums) for state in chart.states],
        **_events(graph),
        "variables": [_variable(variable) for variable in chart.variables],
        "outputs": [[o.name, o.bit, display_text(o.doc)] for o in _by_bit(chart)],
        "words": tables.words,
        "rows": [_row(chart, row, sums, whys, cited) for row in chart.rows],
        "whys": whys, "sentences": [[display_name(name), display_text(sentences.get(name, ""))] for name in cited],
        "reasons": tables.reasons, "patterns": tables.patterns,
        "configurations": configurations, "outside": tables.outside,
        "paths": [_path(graph, path, flags) for path in paths],
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
        steps = {step.event: step for step in self.graph.out[number]}
        subject = self._session.unchecked(here) if self.chart.opaque else None
        codes, targets = [], []
        for event in self.graph.calls:
            if event in steps:
                codes.append(self._rows[steps[event].row])
                targets.append(steps[event].target)
                continue
            verdict = judge(self.chart, here, event.event, subject, event.data)
            if verdict.after is not None and verdict.row is not None:
                codes.append(self._rows[verdict.row.id])
                targets.append(self._beyond(verdict.after))
            else:
                codes.append(-1 - _number(self._reasons, self._reason(verdict)))
        word = _number(self._words, self.chart.flags(here))
        return [*self._values(here), word, _number(self._patterns, tuple(codes)), *targets]

    def _beyond(self, there: Configuration) -> int:
        """Return the number of a configuration beyond the bounds."""
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


def _state(chart: Chart, state: State, sums: Sums) -> list[object]:
    """Return name, description, whether paths end here, the invariant and, for a chart with times, what is due when."""
    entry: list[object] = [state.name, display_text(state.doc), int(state in ends_of(chart))]
    entry.append(_guard(state.invariant, sums))
    if not any(one.after for one in chart.states):
        return entry
    return [*entry, [[seconds, chart.events.index(event)] for seconds, event in state.after.items()]]


def _events(graph: Graph) -> dict[str, object]:
    """Return the steps to choose from and, where events bring data, the events (rule 7)."""
    chart = graph.chart
    if not any(event.data for event in chart.events):
        return {"events": [[e.name, display_text(e.doc)] for e in chart.events]}
    docs = {event.name: display_text(event.doc) for event in chart.events}
    data = [[[one.name, display_text(one.doc), one.annotation] for one in event.data] for event in chart.events]
    return {
        "events": [[one, docs[one.event], chart.events.index(one.event), dict(one.data)] for one in graph.calls],
        "kinds": [[e.name, docs[e.name], brings] for e, brings in zip(chart.events, data, strict=True)],
    }


def _row(chart: Chart, row: Row, sums: Sums, whys: Sequence[str], cited: Sequence[str]) -> list[object]:
    return [
        row.id, chart.states.index(row.source), chart.events.index(row.event), chart.states.index(row.target),
        _guard(row.guard, sums), display_text(_effects(row)), whys.index(display_text(row.why)),
        [cited.index(name) for name in row.cites],
    ]  # fmt: skip


def _effects(row: Row) -> str:
    return ", ".join([*(["leaves and enters again"] if row.reenter else []), *map(str, row.effects)])


def _path(graph: Graph, path: Path, flags: Sequence[str]) -> list[object]:
    """Return id and a witness for each flag at the end; without any, id, reason, and rows."""
    if path.witness is None:
        rows = {row.id: number for number, row in enumerate(graph.chart.rows)}
        return [path.id, display_text(path.infeasible or ""), [rows[row] for row in path.rows]]
    witnesses = path.flags or {"": path.witness}
    steps = {str(one): number for number, one in enumerate(graph.calls)}
    return [path.id, [[flags.index(flag), [steps[one] for one in trace]] for flag, trace in witnesses.items()]]
