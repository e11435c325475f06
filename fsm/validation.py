"""What is checked of a chart when it is built: names and shape, and what the solver proves of it for all counts.

Checked: names and shape; rows of a cell that can be enabled together; rows that can never be; counters that could
become negative; invariants that some row, or the start, would break; states that cannot be reached or left, each row
that can be enabled taken for itself (whether the counts ever get there is what `fsm check` looks at).
This file does not run machines.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Final

from fsm.condition import ALWAYS, All, Among, Compare, Condition, Value, is_opaque, label, negated, written
from fsm.solver import before, possible
from fsm.variable import Assignment, Choice, Counter, Sum, Variable

if TYPE_CHECKING:
    from fsm.chart import Chart, Row

__all__ = ["problems", "proof_problems", "shape_problems"]


def problems(chart: Chart) -> list[str]:
    """Everything that is wrong with a chart, one sentence each; an empty list when it is right."""
    return [*shape_problems(chart), *proof_problems(chart)]


def shape_problems(chart: Chart) -> list[str]:
    """Unknown names, doubles, misplaced exits and starts: what can be seen without deciding any guard."""
    found = [*_doubles(chart), *_name_problems(chart)]
    if chart.initial not in chart.states:
        found.append(f"the initial state {chart.initial!r} is not one of its states")
    for event in chart.events:
        if not any(row.event == event for row in chart.rows):
            found.append(f"event {event!r} is used by no row")
    final = {str(state) for state in chart.states if state.final}
    for row in chart.rows:
        if row.source in final and row.moves:
            found.append(f"row {row.id!r} leaves the final state {row.source!r}")
    return found


def _doubles(chart: Chart) -> Iterator[str]:
    kinds: Final = {
        "state": chart.states, "event": chart.events, "variable": chart.names, "row id": [r.id for r in chart.rows],
        "output": [o.name for o in chart.outputs], "output bit": [o.bit for o in chart.outputs],
    }
    for kind, names in kinds.items():
        seen: list[object] = []
        for name in names:
            if name in seen:
                yield f"{kind} {name!r} is there twice"
            seen.append(name)


def _name_problems(chart: Chart) -> Iterator[str]:
    if not chart.states:
        yield "it has no states"
    for event in chart.events:
        if not event or "," in event or event != event.strip():
            yield f"event {event!r} cannot be written in a trace: no commas, and no blanks at its ends"
    known = set(chart.names)
    for state in chart.states:
        for name in sorted(state.invariant.names() - known):
            yield f"the invariant of {state!r} speaks of the unknown variable {name!r}"
        if is_opaque(state.invariant):
            yield f"the invariant of {state!r} calls a function, so nothing could be proved of it"
        yield from (f"the invariant of {state!r} {told}" for told in _misfits(chart, state.invariant))
    for output in chart.outputs:
        if is_opaque(output.guard):
            yield f"output {output.name!r} calls a function; an output is a condition over variables"
        yield from (f"output {output.name!r} {told}" for told in _misfits(chart, output.guard))
        if not isinstance(output.bit, int) or output.bit <= 0 or output.bit & (output.bit - 1):
            yield f"output {output.name!r} needs a single bit, not {output.bit!r}"
        yield from (f"output {output.name!r} names the unknown state {s!r}" for s in output.states or ()
                    if s not in chart.states)
        for name in sorted(output.guard.names() - known):
            yield f"output {output.name!r} speaks of the unknown variable {name!r}"
    for row in chart.rows:
        yield from _unknown(chart, row)
        changed = [effect.name for effect in row.effects]
        for name in dict.fromkeys(name for name in changed if changed.count(name) > 1):
            yield f"row {row.id!r} changes {name!r} twice"


def _unknown(chart: Chart, row: Row) -> Iterator[str]:
    if row.source not in chart.states:
        yield f"row {row.id!r} starts from the unknown state {row.source!r}"
    if row.target not in chart.states:
        yield f"row {row.id!r} leads to the unknown state {row.target!r}"
    if row.event not in chart.events:
        yield f"row {row.id!r} waits for the unknown event {row.event!r}"
    promises = [chart.state(name).invariant for name in (row.source, row.target) if name in chart.states]
    spoken = row.guard.names().union(*(effect.names() for effect in row.effects))
    for name in sorted(spoken - set(chart.names)):
        yield f"row {row.id!r} speaks of the unknown variable {name!r}"
    yield from (f"row {row.id!r} {told}" for told in _misfits(chart, row.guard))
    for effect in row.effects:
        yield from (f"row {row.id!r} {told}" for told in _misfit(chart, effect))
    if any(promise.names() - set(chart.names) or any(_misfits(chart, promise)) for promise in promises):
        yield f"row {row.id!r} cannot be judged: the invariant of its source or target is wrong"


def _misfits(chart: Chart, guard: Condition) -> Iterator[str]:
    """Where a condition takes a variable of this chart for something it is not."""
    for part in guard.parts():
        yield from _misfits(chart, part)
    for name in sorted(guard.names() & set(chart.names)) if isinstance(guard, (Compare, Among)) else ():
        variable = chart.variable(name)
        if isinstance(guard, Compare) and not isinstance(variable, Counter):
            yield f"counts {name!r}, which is an enumerated variable here"
        elif isinstance(guard, Among):
            yield from _foreign(variable, guard.values)


def _misfit(chart: Chart, effect: Assignment) -> Iterator[str]:
    if effect.name in chart.names:
        variable = chart.variable(effect.name)
        if not isinstance(effect.value, Sum):
            yield from _foreign(variable, effect.value)
        elif not isinstance(variable, Counter):
            yield f"counts {effect.name!r}, which is an enumerated variable here"
    for name in sorted(effect.names() - {effect.name}):
        if name in chart.names and not isinstance(chart.variable(name), Counter):
            yield f"counts {name!r}, which is an enumerated variable here"


def _foreign(variable: Variable, values: tuple[Value, ...]) -> Iterator[str]:
    if not isinstance(variable, Choice):
        yield f"gives {variable.name!r} a value, which is a counter here"
    else:
        for value in values:
            if not any(written(value) == written(own) for own in variable.values):
                yield f"speaks of {label(value)}, which is no value of {variable.name!r} here"


def _reach_problems(chart: Chart, rows: Iterable[Row]) -> list[str]:
    moves = [(row.source, row.target) for row in rows if row.moves]
    forward = _closure({chart.initial}, moves)
    final = [str(state) for state in chart.states if state.final]
    home = _closure(set(final), [(target, source) for source, target in moves])
    found = []
    for state in chart.states:
        if state not in forward:
            found.append(f"state {str(state)!r} cannot be reached from {chart.initial!r}")
        elif not state.final and all(source != state for source, _ in moves) and len(chart.states) > 1:
            found.append(f"state {str(state)!r} is a dead end: it is not final, and no row leaves it")
        elif final and state not in home:
            found.append(f"state {str(state)!r} is a trap: no final state can be reached from it")
    return found


def _closure(reached: set[str], moves: list[tuple[str, str]]) -> set[str]:
    while new := {target for source, target in moves if source in reached} - reached:
        reached |= new
    return reached


# -------------------------------------------------------------------------------------------------- proofs


def proof_problems(chart: Chart) -> list[str]:
    """What fails, looked at for all counts, each failure with counts for which it does.

    Rows that speak of unknown things are left out; `shape_problems` names them.
    """
    found: list[str] = []
    alive = []
    for row in chart.rows:
        if any(_unknown(chart, row)):
            continue
        enabled = All(chart.state(row.source).invariant, row.guard)
        if possible(enabled, chart) is None:
            found.append(f"row {row.id!r} can never be enabled in {row.source!r}")
            continue
        alive.append(row)
        found += _step_problems(chart, row, enabled)
    found += _overlaps(chart, alive)
    if chart.initial not in chart.states:
        return found
    start = chart.state(chart.initial).invariant
    known = start.names() <= set(chart.names) and not is_opaque(start) and not any(_misfits(chart, start))
    if known and not start.holds(chart.values(chart.start())):
        found.append(f"the start breaks the invariant of {chart.initial!r}: {start}")
    return found + _reach_problems(chart, alive)


def _step_problems(chart: Chart, row: Row, enabled: Condition) -> Iterator[str]:
    for effect in row.effects:
        if isinstance(effect.value, Sum) and effect.value.constant < 0:
            short = All(enabled, Compare(effect.value.terms, "<", -effect.value.constant))
            if (values := possible(short, chart)) is not None:
                yield f"row {row.id!r} could make {effect.name} negative{_when(values)}"
    promise = chart.state(row.target).invariant
    if promise is not ALWAYS:
        values = possible(All(enabled, negated(before(promise, row.effects))), chart)
        if values is not None:
            yield f"row {row.id!r} breaks the invariant of {row.target!r} ({promise}){_when(values)}"


def _overlaps(chart: Chart, rows: list[Row]) -> Iterator[str]:
    for place, one in enumerate(rows):
        for other in rows[place + 1 :]:
            if (one.source, one.event) == (other.source, other.event):
                values = possible(All(chart.state(one.source).invariant, one.guard, other.guard), chart)
                if values is not None:
                    yield f"rows {one.id!r} and {other.id!r} can be enabled together{_when(values)}"


def _when(values: Mapping[str, Value]) -> str:
    told = [f"{name} {label(value)}" for name, value in values.items()]
    return f" (when {', '.join(told)})" if told else ""


