"""What stands out in a picture: the rows and states of a flag, a path, a trace or a session.

Theory.
1. A highlight gives rows and states one of five marks, `current`, `taken`, `enabled`, `selected`, `dimmed`; an arc or
   a heading has the strongest mark of its rows, in this order.
2. *The rows of a flag* (an event that sets an enumerated variable, as `logoff_orderly` sets `request`): the event's
   rows, and every row on a path from there to a final state on which that variable keeps its value.  If the event sets
   no variable, its rows and whatever can follow.  A row counts when its guard is possible there for some counts
   (`solver.impossible`); `tests/draw/test_highlight.py` compares this with all paths within bounds.
3. *The rows of a counter*: those that change nothing else, and those that need it to be above 0.
4. Traces are followed in the table, from a configuration; no session runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from fsm.analysis.calls import can_be_taken
from fsm.analysis.trace import TraceError, parse_trace
from fsm.condition import All, Compare, Condition
from fsm.solver import impossible
from fsm.validation import reachable
from fsm.variable import Choice, Sum

if TYPE_CHECKING:
    from fsm.chart import Chart, Configuration, Row
    from fsm.condition import Value

__all__ = ["MARKS", "Highlight", "counter", "flag", "follow", "path", "position", "rows", "trace", "whole"]

MARKS: Final = ("current", "taken", "enabled", "selected", "dimmed")
"""The strongest first."""
RANK: Final = {mark: place for place, mark in enumerate(MARKS)}


class Highlight(NamedTuple):
    """The marks of rows and states, with title, caption and legend; `rest` is the mark of all that are not named."""

    name: str
    title: str
    caption: tuple[str, ...] = ()
    rows: Mapping[str, str] = {}
    states: Mapping[str, str] = {}
    rest: str = ""
    legend: tuple[tuple[str, str], ...] = ()

    def mark(self, ids: Iterable[str]) -> str:
        """Return the strongest mark of these rows, or an empty string."""
        strongest = len(MARKS)
        for one in ids:
            mark = self.rows.get(one, self.rest)
            if mark and (rank := RANK[mark]) < strongest:
                strongest = rank
        return MARKS[strongest] if strongest < len(MARKS) else ""


def whole(chart: Chart, title: str | None = None) -> Highlight:
    """Highlight nothing: the whole machine."""
    return Highlight("whole", title or chart.name, (chart.doc,) if chart.doc else ())


def rows(chart: Chart, ids: Iterable[str], *, name: str, title: str, caption: Sequence[str] = (),
         meaning: str = "on the way") -> Highlight:
    """Highlight these rows and their states, and dim the rest.  KeyError for an id the chart does not have."""
    picked = [chart.row(one) for one in ids]
    states = dict.fromkeys(state for row in picked for state in (row.source, row.target))
    legend = (("selected", meaning), ("dimmed", "the rest of the machine"))
    return Highlight(name, title, tuple(caption), {row.id: "selected" for row in picked},
                     dict.fromkeys(states, "selected"), "dimmed", legend)


def path(chart: Chart, ids: Sequence[str], *, name: str, witness: Sequence[str] = (),
         title: str | None = None) -> Highlight:
    """Highlight a path: its rows, and the rows that its witness takes between them.

    KeyError for an id the chart does not have; TraceError when the witness is not legal.
    """
    steps = follow(chart, witness)
    states = dict.fromkeys([chart.row(ids[0]).source, *(chart.row(one).target for one in ids)] if ids else [])
    caption = [" → ".join(states)]
    if witness:
        caption.append("witness: " + ", ".join(witness))
    highlight = rows(chart, ids, name=name, title=title or f"{chart.name}: path {name}", caption=caption,
                meaning="the rows of the path")
    staying = {row.id: "enabled" for row, _ in steps if row.id not in highlight.rows}
    first, last = highlight.legend
    legend = (first, *([("enabled", "what else happens in the witness")] if staying else []), last)
    return highlight._replace(rows={**highlight.rows, **staying}, legend=legend)


# -------------------------------------------------------------------------------------------- flags, counters


def flag(chart: Chart, event: str, title: str | None = None) -> Highlight:
    """Highlight every path from this event to an end.  KeyError for an event the chart does not have."""
    chart.event(event)
    picked, asked = _rows_of(chart, event)
    highlight = rows(chart, [row.id for row in chart.rows if row.id in picked], name=event,
                title=title or f"{chart.name}: {event}", meaning=f"can lie between {event} and the end")
    caption = [chart.event(event).doc] if chart.event(event).doc else []
    legend = list(highlight.legend)
    if asked:
        legend.insert(1, ("enabled", f"{event} is accepted here and changes nothing"))
    marks = {**highlight.rows, **dict.fromkeys(asked, "enabled")}
    return highlight._replace(caption=tuple(caption), rows=marks, legend=tuple(legend))


def _rows_of(chart: Chart, event: str) -> tuple[frozenset[str], tuple[str, ...]]:
    """Return the rows on the paths of an event (rule 2), and its rows that neither set a variable nor move."""
    choices = tuple(v.name for v in chart.variables if isinstance(v, Choice))
    own = [row for row in chart.rows if row.event == event]
    setting = [row for row in own if any(e.name in choices for e in row.effects)]
    asked = tuple(row.id for row in own if setting and row not in setting and not row.moves)
    begins = [row for row in own if row.id not in asked]
    steps: list[tuple[Row, _Node, _Node]] = []
    reached: list[_Node] = []
    for row in begins:
        for source in _nodes(chart, row.source, choices):
            steps += [(row, source, target) for target in _targets(chart, row, source, {})]
    waiting = [target for _, _, target in steps]
    while waiting:
        node = waiting.pop()
        if node in reached:
            continue
        reached.append(node)
        kept = dict(node.choices)
        for row in chart.rows:
            if row.source == node.state:
                for target in _targets(chart, row, node, kept if setting else {}):
                    steps.append((row, node, target))
                    waiting.append(target)
    ends = (node for _, _, node in steps if chart.state(node.state).final)
    home = reachable(ends, ((target, source) for _, source, target in steps))
    final = {str(state) for state in chart.states if state.final}
    return frozenset(row.id for row, _, to in steps if to in home and row.source not in final), asked


class _Node(NamedTuple):
    """A state with the values of its enumerated variables; counts are left open."""

    state: str
    choices: tuple[tuple[str, Value], ...]


def _nodes(chart: Chart, state: str, choices: Sequence[str]) -> Iterable[_Node]:
    found: list[tuple[tuple[str, Value], ...]] = [()]
    for name in choices:
        variable = chart.variable(name)
        assert isinstance(variable, Choice)
        found = [(*one, (name, value)) for one in found for value in variable.values]
    for values in found:
        node = _Node(state, values)
        if not impossible(All(chart.state(state).invariant, *_are(chart, node)), chart):
            yield node


def _are(chart: Chart, node: _Node) -> Iterable[Condition]:
    for name, value in node.choices:
        variable = chart.variable(name)
        assert isinstance(variable, Choice)
        yield variable == value


def _targets(chart: Chart, row: Row, source: _Node, kept: Mapping[str, Value]) -> Iterable[_Node]:
    """Yield where the row leads from there, unless it cannot be taken or gives a kept variable another value."""
    if impossible(All(chart.state(row.source).invariant, row.guard, *_are(chart, source)), chart):
        return
    choices = dict(source.choices)
    for effect in row.effects:
        if not isinstance(effect.value, Sum):
            choices[effect.name] = effect.value[0]
    if all(choices[name] == value for name, value in kept.items()):
        yield _Node(row.target, tuple(choices.items()))


def counter(chart: Chart, name: str, title: str | None = None, caption: Sequence[str] = ()) -> Highlight:
    """Highlight the rows that need this counter above 0 or change nothing else.  KeyError when it is no counter."""
    if name not in chart.names or isinstance(chart.variable(name), Choice):
        raise KeyError(name)
    none = Compare(((name, 1),), "==", 0)
    picked = [
        row.id for row in chart.rows
        if {effect.name for effect in row.effects} == {name} or impossible(All(row.guard, none), chart)
    ]
    return rows(chart, picked, name=name, title=title or f"{chart.name}: {name}", caption=caption,
                meaning=f"needs {name}, or changes {name} alone")


# ------------------------------------------------------------------------------------------ traces, sessions


def follow(chart: Chart, events: str | Sequence[str], start: Configuration | None = None,
           ) -> tuple[tuple[Row, Configuration], ...]:
    """Return the rows a trace takes, each with the configuration after it.

    A trace is `submit,logoff_orderly` or a sequence of events.  TraceError at the first event that is not legal;
    DefinitionError for a callable guard, which needs a session.
    """
    now = chart.start() if start is None else start
    found = []
    for place, event in enumerate(parse_trace(chart, events), 1):
        values = {**chart.values(now), **event.data}
        row = next((row for row in chart.rows_for(str(now[0]), event.event) if row.guard.holds(values)), None)
        if row is None:
            raise TraceError(f"{event} is not legal in: {chart.describe(now)}", place)
        now = chart.after(now, row, event.data)
        found.append((row, now))
    return tuple(found)


def trace(chart: Chart, events: str | Sequence[str], title: str | None = None, *,
          start: Configuration | None = None) -> Highlight:
    """Highlight the rows a trace takes, and the state where it ends.  TraceError when it is not legal."""
    steps = follow(chart, events, start)
    end = steps[-1][1] if steps else chart.start() if start is None else start
    taken = ", ".join(f"{place} {row.event}" for place, (row, _) in enumerate(steps, 1))
    states = {state: "taken" for row, _ in steps for state in (row.source, row.target)}
    return Highlight(
        "trace", title or f"{chart.name}: a trace", (taken or "nothing happened", f"now {chart.describe(end)}"),
        {row.id: "taken" for row, _ in steps}, {**states, str(end[0]): "current"}, "dimmed",
        (("current", "where it stands"), ("taken", "the way it came"), ("dimmed", "not used")),
    )  # fmt: skip


def position(chart: Chart, now: Configuration, came: str | Sequence[str] = (), *, start: Configuration | None = None,
             subject: object = None, title: str | None = None) -> Highlight:
    """Highlight the present state, the rows that are enabled there, and the rows of the trace `came`.

    `subject` is passed to callable guards.  TraceError when `came` is not legal or leads somewhere else.
    """
    steps = follow(chart, came, start) if came else ()
    if steps and steps[-1][1] != now:
        problem = f"the trace leads to: {chart.describe(steps[-1][1])}; the session is: {chart.describe(now)}"
        raise TraceError(problem)
    state = str(now[0])
    marks = {row.id: "taken" for row, _ in steps}
    enabled = [row for row in chart.rows if row.source == state and can_be_taken(chart, row, now, subject)]
    can = dict.fromkeys((row.id for row in enabled), "enabled")
    states = {s: "taken" for row, _ in steps for s in (row.source, row.target)}
    outputs = " ".join(chart.flag_names(chart.flags(now)))
    caption: tuple[str, ...] = (f"now {chart.describe(now)}{f' · {outputs}' if outputs else ''}",)
    legend = [("current", "where it stands"), ("enabled", "accepted now"), ("dimmed", "not accepted now")]
    if steps:
        legend.insert(1, ("taken", "the way it came"))
        caption += ("came by " + ", ".join(row.event for row, _ in steps),)
    return Highlight("session", title or f"{chart.name}: {state}", caption, {**marks, **can},
                     {**states, state: "current"}, "dimmed", tuple(legend))
