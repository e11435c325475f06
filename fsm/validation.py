"""The checks of a table when a chart is built from it: names and shape, and proofs for all counts.

They find unknown and repeated names; rows of an event that can be enabled together; rows that never can be; counters
that could become negative; invariants that a row, or the start, would break; states that cannot be reached or left.
Reachability is checked row by row: whether the counts that a row needs ever occur is examined by `fsm check`.
A question that the solver cannot decide (`solver.NotKnown`) makes no problem: it is open, and `fsm check` names it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple, TypeVar

from fsm.condition import (
    ALWAYS,
    All,
    Among,
    AnyOf,
    Compare,
    Condition,
    Value,
    is_opaque,
    label,
    negated,
    opaque_parts,
    value_key,
)
from fsm.solver import NotKnown, for_some, possible, weakest_precondition
from fsm.table import Event, Row, State, Table
from fsm.variable import Assignment, Choice, Counter, Sum, Variable

__all__ = ["Proofs", "problems", "proof_problems", "proofs", "reachable", "shape_problems"]

T = TypeVar("T")


def problems(table: Table) -> list[str]:
    """Return every mistake in a table, as a sentence; an empty list if there is none."""
    return [*shape_problems(table), *proof_problems(table)]


def shape_problems(table: Table) -> list[str]:
    """Return the mistakes that can be seen without deciding a guard: names, initial and final states."""
    found = [*_doubles(table), *_name_problems(table), *_data_problems(table), *_bound_problems(table)]
    if not table.has_state(table.initial):
        found.append(f"the initial state {table.initial!r} is not one of its states")
    used = {row.event for row in table.rows}
    found += [f"event {event!r} is used by no row" for event in table.events if event.name not in used]
    final = {state.name for state in table.states if state.final}
    for row in table.rows:
        if row.source in final and row.leaves:
            found.append(f"row {row.id!r} leaves the final state {row.source!r}")
    for state in table.states:
        found += _time_problems(table, state)
        found += [
            f"the progress of {state.name!r} waits for the unknown event {name!r}"
            for name in state.progress if not table.has_event(name)
        ]
    return found


def _time_problems(table: Table, state: State) -> Iterator[str]:
    """What is wrong with the events that a state sends itself after some time."""
    for when, name in state.after.items():
        due = f"state {state.name!r} sends itself {name!r} after {when} s"
        if not table.has_event(name):
            yield f"{due}, which is no event"
            continue
        if needed := table.event(name).required:
            yield f"{due}, which needs data that time cannot give: {', '.join(needed)}"
        if not table.rows_for(state, name):
            yield f"{due}, and no row takes it there"


def _data_problems(table: Table) -> Iterator[str]:
    for event in table.events:
        for one in event.data:
            if one.name in table.names:
                yield f"event {event.name!r} brings {one.name!r}, which is the name of a variable"
    for row in table.rows:
        known = {one.name for one in table.event(row.event).data} if table.has_event(row.event) else set()
        for opaque in opaque_parts(row.guard):
            for name, needed in opaque.parameters().items():
                if needed and name not in known:
                    yield f"row {row.id!r} calls {opaque.name}, whose parameter {name!r} is no datum of {row.event!r}"


def _bound_problems(table: Table) -> Iterator[str]:
    counters = {one.name: one for one in table.variables if isinstance(one, Counter)}
    for name, most in table.bounds.items():
        if name in counters and counters[name].initial > most:
            yield f"the bound of {name!r} is {most}, and it starts at {counters[name].initial}"
        elif name not in counters and name not in table.numbers:
            yield f"the bound of {name!r} speaks of no counter, and of no number that an event brings"


def _doubles(table: Table) -> Iterator[str]:
    kinds: Final = {
        "state": table.states, "event": table.events, "variable": table.names, "row id": [r.id for r in table.rows],
        "output": [o.name for o in table.outputs], "output bit": [o.bit for o in table.outputs],
    }
    for kind, names in kinds.items():
        seen: set[object] = set()
        for name in map(str, names):
            if name in seen:
                yield f"{kind} {name if kind == 'output bit' else repr(name)} is there twice"
            seen.add(name)


def _name_problems(table: Table) -> Iterator[str]:
    if not table.states:
        yield "it has no states"
    for event in table.events:
        if not event or "," in event or event != event.strip():
            yield f"event {event!r} cannot be written in a trace: no commas, and no blanks at its ends"
    known = set(table.names)
    for state in table.states:
        for name in sorted(state.invariant.names() - known):
            yield f"the invariant of {state!r} speaks of the unknown variable {name!r}"
        if is_opaque(state.invariant):
            yield f"the invariant of {state!r} calls a function, so nothing could be proved of it"
        yield from (f"the invariant of {state!r} {problem}" for problem in _misfits(table, state.invariant))
    for output in table.outputs:
        if is_opaque(output.guard):
            yield f"output {output.name!r} calls a function; an output is a condition over variables"
        yield from (f"output {output.name!r} {problem}" for problem in _misfits(table, output.guard))
        if not isinstance(output.bit, int) or output.bit <= 0 or output.bit & (output.bit - 1):
            yield f"output {output.name!r} needs a single bit, not {output.bit!r}"
        yield from (f"output {output.name!r} names the unknown state {s!r}" for s in output.states or ()
                    if not table.has_state(s))
        for name in sorted(output.guard.names() - known):
            yield f"output {output.name!r} speaks of the unknown variable {name!r}"
    for row in table.rows:
        yield from _unknown(table, row)
        changed = [effect.name for effect in row.effects]
        for name in dict.fromkeys(name for name in changed if changed.count(name) > 1):
            yield f"row {row.id!r} changes {name!r} twice"


def _unknown(table: Table, row: Row) -> Iterator[str]:
    if not table.has_state(row.source):
        yield f"row {row.id!r} starts from the unknown state {row.source!r}"
    if not table.has_state(row.target):
        yield f"row {row.id!r} leads to the unknown state {row.target!r}"
    if not table.has_event(row.event):
        yield f"row {row.id!r} waits for the unknown event {row.event!r}"
    promises = [table.state(name).invariant for name in (row.source, row.target) if table.has_state(name)]
    event = table.event(row.event) if table.has_event(row.event) else Event(row.event)
    known = {*table.names, *(number.name for number in event.numbers)}
    changed = {effect.name for effect in row.effects}
    spoken = row.guard.names().union(changed, *(effect.names() for effect in row.effects))
    for name in sorted(spoken - known):
        yield f"row {row.id!r} speaks of the unknown variable {name!r}{_elsewhere(table, event, name)}"
    for name in sorted(changed & known - set(table.names)):
        yield f"row {row.id!r} changes {name!r}, which its event brings with it"
    yield from (f"row {row.id!r} {problem}" for problem in _misfits(table, row.guard))
    for effect in row.effects:
        yield from (f"row {row.id!r} {problem}" for problem in _misfit(table, effect))
    if any(promise.names() - set(table.names) or any(_misfits(table, promise)) for promise in promises):
        yield f"row {row.id!r} cannot be judged: the invariant of its source or target is wrong"


def _elsewhere(table: Table, event: Event, name: str) -> str:
    if any(one.name == name for one in event.data):
        return f", a field of {event.name!r}: only numbers stand in guards and effects"
    if name in table.numbers:
        return f", which {event.name!r} does not bring with it"
    return ""


def _misfits(table: Table, guard: Condition) -> Iterator[str]:
    """Where a condition uses a counter as an enumerated variable, or the other way round."""
    for part in guard.parts():
        yield from _misfits(table, part)
    for name in sorted(guard.names() & set(table.names)) if isinstance(guard, (Compare, Among)) else ():
        variable = table.variable(name)
        if isinstance(guard, Compare) and not isinstance(variable, Counter):
            yield f"counts {name!r}, which is an enumerated variable here"
        elif isinstance(guard, Among):
            yield from _foreign(variable, guard.values)
    if isinstance(guard, Among) and guard.name in table.numbers and guard.name not in table.names:
        yield f"gives {guard.name!r} a value, which is a number here"


def _misfit(table: Table, effect: Assignment) -> Iterator[str]:
    if effect.name in table.names:
        variable = table.variable(effect.name)
        if not isinstance(effect.value, Sum):
            yield from _foreign(variable, effect.value)
        elif not isinstance(variable, Counter):
            yield f"counts {effect.name!r}, which is an enumerated variable here"
    for name in sorted(effect.names() - {effect.name}):
        if name in table.names and not isinstance(table.variable(name), Counter):
            yield f"counts {name!r}, which is an enumerated variable here"


def _foreign(variable: Variable, values: tuple[Value, ...]) -> Iterator[str]:
    if not isinstance(variable, Choice):
        yield f"gives {variable.name!r} a value, which is a counter here"
    else:
        for value in values:
            if not any(value_key(value) == value_key(own) for own in variable.values):
                yield f"speaks of {label(value)}, which is no value of {variable.name!r} here"


def _reach_problems(table: Table, rows: Iterable[Row]) -> list[str]:
    moves = [(row.source, row.target) for row in rows if row.moves]
    left = {source for source, _ in moves}
    forward = reachable({table.initial}, moves)
    final = [state.name for state in table.states if state.final]
    ends = {state.name for state in table.states if state.final or state.absorbing}
    home = reachable(ends, ((target, source) for source, target in moves))
    found = []
    for state in table.states:
        name = state.name
        if name not in forward:
            found.append(f"state {name!r} cannot be reached from {table.initial!r}")
        elif name not in ends and name not in left and len(table.states) > 1:
            found.append(f"state {name!r} is a dead end: it is not final, and no row leaves it")
        elif final and name not in home:
            found.append(f"state {name!r} is a trap: no final state can be reached from it")
    return found


def reachable(starts: Iterable[T], moves: Iterable[tuple[T, T]]) -> set[T]:
    """Return what can be reached from `starts`, which are included, by these moves (from, to)."""
    onward: dict[T, list[T]] = {}
    for source, target in moves:
        onward.setdefault(source, []).append(target)
    found = set(starts)
    waiting = list(found)
    while waiting:
        new = set(onward.get(waiting.pop(), ())) - found
        found |= new
        waiting += new
    return found


# -------------------------------------------------------------------------------------------------- proofs


class Proofs(NamedTuple):
    """What fails for some counts, with such counts; and the questions whose answer is not known."""

    problems: tuple[str, ...]
    open: tuple[str, ...]


def proof_problems(table: Table) -> list[str]:
    """Return what fails for some counts, with such counts."""
    return list(proofs(table).problems)


def proofs(table: Table) -> Proofs:
    """Examine the table for all counts and all data.

    Rows with unknown names are skipped; `shape_problems` reports them.
    """
    found: list[str] = []
    asked = _Asked(table)
    alive = []
    for row in table.rows:
        if any(_unknown(table, row)):
            continue
        enabled = All(table.state(row.source).invariant, row.guard)
        if asked.never(enabled, f"whether row {row.id!r} can ever be enabled in {row.source!r}"):
            found.append(f"row {row.id!r} can never be enabled in {row.source!r}")
            continue
        alive.append(row)
        found += _step_problems(asked, row, enabled)
    found += _overlaps(asked, alive)
    for state in table.states:
        if state.progress and not state.invariant.names() - set(table.names):
            found += _standstill(asked, state, alive)
    if not table.has_state(table.initial):
        return Proofs(tuple(found), tuple(asked.open))
    start = table.state(table.initial).invariant
    known = start.names() <= set(table.names) and not is_opaque(start) and not any(_misfits(table, start))
    if known and not start.holds(table.values(table.start())):
        found.append(f"the start breaks the invariant of {table.initial!r}: {start}")
    return Proofs((*found, *_reach_problems(table, alive)), tuple(asked.open))


class _Asked:
    """The questions asked of the solver, with those that it could not answer."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.open: list[str] = []

    def when(self, guard: Condition, question: str) -> str | None:
        """Say when the condition holds: empty if that takes no values; None if it never does, or is not known to."""
        try:
            values = possible(guard, self.table)
        except NotKnown:
            self.open.append(question)
            return None
        return None if values is None else _when(values)

    def never(self, guard: Condition, question: str) -> bool:
        """Whether it is proved that the condition never holds."""
        known = len(self.open)
        return self.when(guard, question) is None and len(self.open) == known


def _step_problems(asked: _Asked, row: Row, enabled: Condition) -> Iterator[str]:
    for effect in row.effects:
        if isinstance(effect.value, Sum) and (effect.value.constant < 0 or any(f < 0 for _, f in effect.value.terms)):
            short = All(enabled, Compare(effect.value.terms, "<", -effect.value.constant))
            when = asked.when(short, f"whether row {row.id!r} could make {effect.name} negative")
            if when is not None:
                yield f"row {row.id!r} could make {effect.name} negative{when}"
    promise = asked.table.state(row.target).invariant
    if promise is not ALWAYS:
        broken = All(enabled, negated(weakest_precondition(promise, row.effects)))
        when = asked.when(broken, f"whether row {row.id!r} keeps the invariant of {row.target!r} ({promise})")
        if when is not None:
            yield f"row {row.id!r} breaks the invariant of {row.target!r} ({promise}){when}"


def _overlaps(asked: _Asked, rows: list[Row]) -> Iterator[str]:
    cells: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        cells.setdefault((row.source, row.event), []).append(row)
    for cell in cells.values():
        for place, one in enumerate(cell):
            for other in cell[place + 1 :]:
                both = All(asked.table.state(one.source).invariant, one.guard, other.guard)
                when = asked.when(both, f"whether rows {one.id!r} and {other.id!r} can be enabled together")
                if when is not None:
                    yield f"rows {one.id!r} and {other.id!r} can be enabled together{when}"


def _standstill(asked: _Asked, state: State, rows: list[Row]) -> Iterator[str]:
    """Where none of the events is accepted that are to get the machine on."""
    events = ", ".join(state.progress)
    question = f"whether one of {events} is always accepted in {state.name!r}"
    accepted, exact = [], True
    for row in rows:
        if row.source == state.name and row.event in state.progress:
            some, exactly = for_some(row.guard, (one.name for one in asked.table.event(row.event).numbers))
            accepted.append(some)
            exact = exact and exactly
    when = asked.when(All(state.invariant, negated(AnyOf(*accepted))), question)
    if when is not None and exact:
        yield f"state {state.name!r} is stuck{when}: none of {events} is accepted"
    elif when is not None:
        asked.open.append(question)


def _when(values: Mapping[str, Value]) -> str:
    texts = [f"{name} {label(value)}" for name, value in values.items()]
    return f" (when {', '.join(texts)})" if texts else ""


