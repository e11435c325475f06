"""A chart as a JavaScript module without dependencies.

A method for each event returns "accepted", or why nothing has changed.  Counts are exact: one that would pass the limit
up to which every sum in the table is exact is answered with "full".  The data of an event are given as one object.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from fsm.chart import Chart, Event
from fsm.export.ecmascript import JavaScript, exact_limit
from fsm.export.lowered import ALWAYS, Kept, LoweredRow, Table, Total, initial, lower, plain_value
from fsm.export.naming import changes, in_comment
from fsm.export.words import made_by
from fsm.variable import Choice

__all__ = ["module"]


def module(chart: Chart) -> str:
    """Return the module.  ExportError for what JavaScript cannot count exactly."""
    table = lower(chart, "javascript")
    limit, js = exact_limit(table, "javascript"), JavaScript(table, "this")
    parts = [
        _opening(table, js, limit),
        _class(table, js),
        *(_method(table, js, event) for event in chart.events),
        ["}"],
    ]
    return "\n".join(line for part in parts for line in part) + "\n"


def _opening(table: Table, js: JavaScript, limit: int) -> Iterator[str]:
    chart = table.chart
    yield f"// {in_comment(f'{chart.name}: {chart.doc}' if chart.doc else chart.name)}."
    yield f"// {made_by(chart, 'javascript')}.  No dependencies."
    yield from (f"// {line}" for line in changes("JavaScript", js.names))
    bits = ", ".join(f"{json.dumps(output.name)}: 0x{int(output.bit):X}" for output in chart.outputs)
    yield from ["", f"export const STATES = Object.freeze({json.dumps([*chart.states])});"]
    yield f"export const EVENTS = Object.freeze({json.dumps([*chart.events])});"
    yield f"export const Output = Object.freeze({{ {bits} }});"
    yield from ["/** No count becomes larger: up to here every sum is exact. */", f"export const LIMIT = {limit};"]
    yield "const METHODS = new Map(EVENTS.map((name) => [name, name]));"
    for found, kind, name in js.names.changed:
        yield from [f"METHODS.set({json.dumps(name)}, {json.dumps(found)});"] if kind == "event" else []


def _class(table: Table, js: JavaScript) -> Iterator[str]:
    chart = table.chart
    yield from ["", f"export class {js.cls} {{", f"  state = {json.dumps(chart.initial)};"]
    for v in chart.variables:
        yield f"  {js.names('value', v.name)} = {json.dumps(initial(v))};{f' // {in_comment(v.doc)}' if v.doc else ''}"
    if table.timed:
        yield "  entries = 1; // how often a state was entered: the clocks start anew when it changes"
    bits = []
    for output in chart.outputs:
        here = f"{json.dumps([*(output.states or ())])}.includes(this.state)"
        bits.append(f"({js.output(table, output, here)} ? 0x{int(output.bit):X} : 0)")
    yield from ["", "  /** The output word. */", "  get flags() {", f"    return {' + '.join(bits) or '0'};", "  }"]
    yield from [
        "",
        "  /** Whether these values can be: to be asked of those that come from outside. */",
        "  get sound() {",
    ]
    for v in chart.variables:
        values = json.dumps([*map(plain_value, v.values)]) if isinstance(v, Choice) else ""
        strange = f"!{values}.includes({js.variable(v.name)})" if values else _no_count(js.variable(v.name))
        yield f"    if ({strange}) return false;"
    yield "    switch (this.state) {"
    yield from (
        f"      case {json.dumps(state)}: return {js.guard(promise)};" for state, promise in table.invariants.items()
    )
    yield from ["      default: return false;", "    }", "  }"]
    if table.timed:
        due = [
            [state, [[event, seconds] for seconds, event in state.after.items()]]
            for state in chart.states
            if state.after
        ]
        yield from ["", "  /** The events that are due in this state, each with the seconds after entering it. */"]
        yield from ["  get delays() {", f"    return new Map({json.dumps(due)}).get(this.state) ?? [];", "  }"]
    yield from ["", "  /** Take the event of that name. */", "  fire(event, data) {"]
    yield "    if (!METHODS.has(event)) throw new RangeError(`there is no event ${event}`);"
    yield from ["    return this[METHODS.get(event)](data);", "  }"]


def _no_count(name: str) -> str:
    return f"!Number.isInteger({name}) || {name} < 0 || {name} > LIMIT"


def _method(table: Table, js: JavaScript, event: Event) -> Iterator[str]:
    given = [
        f"{js.names('value', one.name)}{'' if one.required else f' = {json.dumps(one.default)}'}" for one in event.data
    ]
    yield from ["", *([f"  /** {in_comment(event.doc)} */"] if event.doc else [])]
    yield f"  {js.names('event', str(event))}({_destructured(given)}) {{"
    for number in event.numbers:
        name = js.names("value", number.name)
        yield f"    if ({_no_count(name)})"
        yield f"      throw new RangeError(`{name} must be a whole number from 0 to ${{LIMIT}}, not ${{{name}}}`);"
    yield "    switch (this.state) {"
    for cell in table.cells(event):
        yield from (f"      case {json.dumps(state)}:" for state in cell.states)
        for one in cell.rows:
            test = f"if ({js.guard(one.guard)}) " if one.guard != ALWAYS else ""
            yield f"        {test}{{ // {in_comment(one.row.id)}"
            yield from [*(f"          {line}" for line in _take(js, one)), "        }"]
        yield from [] if cell.total else ['        return "refused";']
    yield from (f'      case {json.dumps(state)}: return "finished";' for state in table.finished(event))
    yield from ['      default: return "illegal";', "    }", "  }"]


def _destructured(given: list[str]) -> str:
    return f"{{ {', '.join(given)} }} = {{}}" if given else ""


def _take(js: JavaScript, one: LoweredRow) -> Iterator[str]:
    """What was; what would be too large; what becomes."""
    yield from (f"const {js.kept(e.name)} = {js.variable(e.name)};" for e in one.effects if isinstance(e.name, Kept))
    done = [effect for effect in one.effects if not isinstance(effect.name, Kept)]
    for effect in done:
        if isinstance(effect.value, Total) and effect.value.grows and effect.value.terms:
            yield f'if ({js.total(effect.value)} > LIMIT) return "full";'
    yield from (f"{js.variable(effect.name)} = {js.new(effect.name, effect.value)};" for effect in done)
    yield from [f"this.state = {json.dumps(one.row.target)};"] if one.row.moves else []
    yield from ["this.entries++;"] if js.timed and one.row.leaves else []
    yield 'return "accepted";'
