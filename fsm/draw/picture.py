"""A chart as a picture in no particular format: boxes for states, arcs between them, and a line for every row.

Theory.
1. A row that stays in its state is a line inside the state's box, as UML draws internal transitions: loops would hide
   each other.  Rows that leave a state and enter it again share one loop.
2. All rows between the same two states share one arc; each is a line of the arc's label.
3. Every row has exactly one line (wrapped when it is long), which carries its id.  A test counts them in every format.
   In the overview a line stands for all rows of an event; each row still belongs to one line.
4. Conditions and effects that several rows of a box or an arc share stand once, in a heading above them; the rows show
   only the rest.  Nothing is left out: a heading and its row together are the whole row.
5. Boxes, arcs and lines come in the chart's order, so that the same chart is always the same picture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Final, NamedTuple

from fsm.condition import ALWAYS
from fsm.draw.labels import Sums, conditions, display_name, event_text, guard_text, identifier, sums_of, wrap_row

if TYPE_CHECKING:
    from fsm.chart import Chart, Row, State

__all__ = ["Arc", "Box", "Line", "Picture", "beginnings", "overview", "picture", "row_ids"]

WIDTH: Final = 48
"""Characters of a line; longer ones are wrapped."""
WORTH: Final = 24
"""Characters that a heading must save; rows that would save fewer are easier to read in full."""
INDENT: Final = "\u00a0\u00a0\u00a0"


class Line(NamedTuple):
    """A line of a box or an arc: the ids of its rows, and its text.

    A heading has the ids of all rows below it.  A long row is several consecutive lines with the same id.
    """

    rows: tuple[str, ...]
    text: str
    heading: bool = False


class Box(NamedTuple):
    """A state: the note under its name, and a line for every row that stays in it."""

    state: State
    note: str
    lines: tuple[Line, ...]

    @property
    def id(self) -> str:
        """`n-open`."""
        return f"n-{identifier(self.state)}"


class Arc(NamedTuple):
    """All rows from one state to another."""

    source: str
    target: str
    lines: tuple[Line, ...]

    @property
    def id(self) -> str:
        """`e-open-to-released`."""
        return f"e-{identifier(self.source)}-to-{identifier(self.target)}"


class Picture(NamedTuple):
    """The picture of a chart; `legend` explains how to read it, a sentence or two each."""

    chart: Chart
    boxes: tuple[Box, ...]
    arcs: tuple[Arc, ...]
    legend: tuple[str, ...]


def row_ids(lines: Iterable[Line]) -> tuple[str, ...]:
    """Return the ids of the rows of these lines, each once."""
    return tuple(dict.fromkeys(row for line in lines if not line.heading for row in line.rows))


def beginnings(lines: Iterable[Line]) -> Iterator[tuple[Line, bool]]:
    """Yield each line, and whether a row begins with it."""
    last: tuple[str, ...] | None = None
    for line in lines:
        yield line, not line.heading and line.rows != last
        last = None if line.heading else line.rows


def picture(chart: Chart, sums: Sums | None = None) -> Picture:
    """Return the picture of a chart; `sums` are named sums of counters, by default those of the chart."""
    named = sums_of(chart) if sums is None else sums
    return _picture(chart, lambda rows: _lines(chart, rows, named), _legend(chart, named))


def overview(chart: Chart) -> Picture:
    """Return the same boxes and arcs with less text: an arc has a line for each event, a box the number of its rows."""
    return _picture(chart, lambda rows: _events(chart, rows), (BRIEF,))


def _picture(chart: Chart, lines: Callable[[list[Row]], tuple[Line, ...]], legend: tuple[str, ...]) -> Picture:
    boxes = tuple(
        Box(state, _note(chart, state), lines([r for r in chart.rows if r.source == state and not r.leaves]))
        for state in chart.states
    )
    arcs = tuple(
        Arc(source, target, lines([r for r in chart.rows if (r.source, r.target) == (source, target) and r.leaves]))
        for source, target in dict.fromkeys((r.source, r.target) for r in chart.rows if r.leaves)
    )
    return Picture(chart, boxes, arcs, legend)


def _note(chart: Chart, state: State) -> str:
    """Return the note of an absorbing state, or of a final one: the first clause of its description, or its outputs."""
    if state.absorbing:
        return "absorbing"
    if not state.final:
        return ""
    clause = state.doc.partition(";")[0].strip()
    if clause and len(clause) <= WIDTH:
        return display_name(clause)
    outputs = ", ".join(o.name for o in chart.outputs if o.guard == ALWAYS and state in (o.states or (state,)))
    return display_name(outputs) if outputs else ""


ENDS: Final = "The dot is the start, the double outline the end."
BRIEF: Final = f"An arrow lists the events that go this way, and how many rows when there are several. {ENDS}"


def _legend(chart: Chart, sums: Sums) -> tuple[str, ...]:
    form = "event [condition] / effect: the event happens, if the condition holds, with this effect."
    share = "Indented lines share the condition and the effect above them."
    where = f"A line inside a state stays there; a line on an arrow goes where the arrow goes. {ENDS}"
    named = "; ".join(f"{display_name(name)} = {one}" for name, one in sums.items())
    return (f"{form} {share}", where, *_further(chart), *([named] if named else []))


def _further(chart: Chart) -> Iterator[str]:
    """Explain what only some pictures have."""
    if any(event.data for event in chart.events):
        yield "Names in brackets behind an event are the data that it brings."
    if any(state.after for state in chart.states):
        yield "An event with a time before it is due when the machine has been in the state for so long."
    if any(row.reenter for row in chart.rows):
        yield "An arrow back to the same state leaves it and enters it again."
    if any(state.absorbing for state in chart.states):
        yield "An absorbing state is not an end, and has no way to one."


def _events(chart: Chart, rows: list[Row]) -> tuple[Line, ...]:
    if rows and not rows[0].leaves:
        text = f"{len(rows)} rows stay here" if len(rows) > 1 else "1 row stays here"
        return (Line(tuple(row.id for row in rows), text),)
    lines = []
    for event in dict.fromkeys(row.event for row in rows):
        ids = tuple(row.id for row in rows if row.event == event)
        lines.append(Line(ids, event_text(chart, rows[0].source, event) + (f" ({len(ids)})" if len(ids) > 1 else "")))
    return tuple(lines)


# ------------------------------------------------------------------------------------------- rows as lines


class _RowText(NamedTuple):
    """The texts of a row: its event, and what it may share with others, its conditions and its effects."""

    row: Row
    event: str
    guards: tuple[str, ...]
    effects: tuple[str, ...]

    def without(self, other: tuple[tuple[str, ...], tuple[str, ...]]) -> _RowText:
        guards = tuple(text for text in self.guards if text not in other[0])
        return _RowText(self.row, self.event, guards, tuple(text for text in self.effects if text not in other[1]))


def _lines(chart: Chart, rows: Sequence[Row], sums: Sums) -> tuple[Line, ...]:
    texts = [_row_text(chart, row, sums) for row in rows]
    if len(texts) == 1 and texts[0].row.leaves:
        return tuple(_alone(texts[0]))
    clusters: list[tuple[int, list[Line]]] = []
    rest = texts
    while (shared := _most_shared(rest)) is not None:
        inside = [one for one in rest if _has(one, shared)]
        rest = [one for one in rest if not _has(one, shared)]
        lines = [Line(tuple(one.row.id for one in inside), text, heading=True) for text in _heading(shared)]
        for one in inside:
            lines += _row_lines(one.without(shared), INDENT)
        clusters.append((texts.index(inside[0]), lines))
    clusters += [(texts.index(one), _row_lines(one, "")) for one in rest]
    return tuple(line for _, lines in sorted(clusters, key=lambda cluster: cluster[0]) for line in lines)


def _row_text(chart: Chart, row: Row, sums: Sums) -> _RowText:
    guards = [part for part in conditions(row.guard) if part != ALWAYS]
    event = event_text(chart, row.source, row.event)
    return _RowText(row, event, tuple(guard_text(part, sums) for part in guards), tuple(map(str, row.effects)))


def _has(one: _RowText, shared: tuple[tuple[str, ...], tuple[str, ...]]) -> bool:
    return all(text in one.guards for text in shared[0]) and all(text in one.effects for text in shared[1])


def _most_shared(rows: Sequence[_RowText]) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """Return the conditions and effects whose heading saves most; None when no heading is worth its line."""
    best, most = None, WORTH
    tried: dict[tuple[tuple[str, ...], tuple[str, ...]], None] = {}
    for one, other in combinations(rows, 2):
        guards = tuple(text for text in one.guards if text in other.guards)
        tried[guards, tuple(text for text in one.effects if text in other.effects)] = None
    for shared in tried:
        text = sum(len(part) + 5 for part in (*shared[0], *shared[1]))
        inside = [one for one in rows if _has(one, shared)]
        if max(len(_in_full(one)) for one in inside) <= WIDTH:
            continue  # they fit as they are
        saved = text * (len(inside) - 1)
        if saved > most:
            best, most = shared, saved
    return best


def _in_full(one: _RowText) -> str:
    return " ".join(part for part in (one.event, _guard(one.guards), _effect(one.effects)) if part)


def _guard(guards: Sequence[str]) -> str:
    parts = [f"({text})" if " or " in text and len(guards) > 1 else text for text in guards]
    return f"[{' and '.join(parts)}]" if parts else ""


def _effect(effects: Sequence[str]) -> str:
    return f"/ {', '.join(effects)}" if effects else ""


def _heading(shared: tuple[tuple[str, ...], tuple[str, ...]]) -> list[str]:
    guard, effect = _guard(shared[0]), _effect(shared[1])
    if len(guard) + 1 + len(effect) <= WIDTH:
        return [f"{guard} {effect}".strip()]
    return [line for text in (guard, effect) if text for line in wrap_row(text, WIDTH)]


def _row_lines(one: _RowText, indent: str) -> list[Line]:
    first, *more = wrap_row(_in_full(one), WIDTH)
    rows = (one.row.id,)
    return [Line(rows, indent + first), *(Line(rows, indent + INDENT + text) for text in more)]


def _alone(one: _RowText) -> Iterable[Line]:
    """Yield the lines of an arc's only row: its event, its guard and its effects, each on lines of their own."""
    for text in (one.event, _guard(one.guards), _effect(one.effects)):
        for piece in wrap_row(text, WIDTH) if text else ():
            yield Line((one.row.id,), piece)
