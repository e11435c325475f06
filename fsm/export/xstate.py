"""A chart as a module with an XState 5 machine, with functions for guards and actions.

1. A target is always given: XState's `can` is false for a transition with neither target nor action.  A row that stays
   names its own state, which is not left; one that comes back says `reenter`.
2. A final state that has rows is an ordinary one, since XState's final states end the machine.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from fsm.chart import Chart, State
from fsm.export import reserved
from fsm.export.ecmascript import JavaScript, exact_limit
from fsm.export.lowered import ALWAYS, LoweredRow, Table, initial, lower
from fsm.export.naming import Names, changes, in_comment, plain
from fsm.export.words import made_by

__all__ = ["XStateWords", "cells", "due", "module"]


class XStateWords(JavaScript):
    """The names and expressions of one machine: `c` is the context, `e` the event."""

    def __init__(self, table: Table) -> None:
        """Name everything in the chart's order."""
        self.states, self.events, self.names = Names(reserved.XSTATE), Names(reserved.XSTATE), Names(reserved.XSTATE)
        self.subject, self.numbers, self.defaults = "c", table.numbers, table.chart.numbers
        for name in (*table.chart.names, *table.data):
            self.names.give("value", name)
        for state in table.chart.states:
            self.states.give("state", str(state))
        for event in table.chart.events:
            self.events.give("event", str(event))

    def variable(self, name: str) -> str:
        """A property of the context, or of the event."""
        found = self.names("value", name)
        if name not in self.numbers:
            return f"c.{found}"
        number = self.defaults[name]
        return f"e.{found}" if number.required else f"(e.{found} ?? {number.default})"


def cells(table: Table, words: XStateWords, state: State) -> dict[str, tuple[LoweredRow, ...]]:
    """Return the rows of a state by the name of their event."""
    found = {words.events("event", str(event)): table.rows_for(str(state), str(event)) for event in table.chart.events}
    return {name: rows for name, rows in found.items() if rows}


def due(table: Table, state: State) -> dict[str, tuple[LoweredRow, ...]]:
    """Return the rows that are due in a state, by the milliseconds after entering it."""
    return {f"{seconds * 1000:g}": table.rows_for(str(state), event) for seconds, event in state.after.items()}


def module(chart: Chart) -> str:
    """Return the module.  ExportError for what JavaScript cannot count exactly."""
    table = lower(chart, "xstate")
    exact_limit(table, "xstate")
    words = XStateWords(table)
    context = {words.names("value", v.name): initial(v) for v in chart.variables}
    lines = [
        f"// {in_comment(f'{chart.name}: {chart.doc}' if chart.doc else chart.name)}.",
        f"// {made_by(chart, 'xstate')}.",
        *(f"// {line}" for line in changes("XState", words.states, words.events, words.names)),
        'import { assign, setup } from "xstate";', "", "export const machine = setup({}).createMachine({",
        f"  id: {json.dumps(plain(chart.name))},", f"  initial: {json.dumps(words.states('state', chart.initial))},",
        f"  context: {json.dumps(context)},", "  states: {",
        *(f"    {line}" for state in chart.states for line in _state(table, words, state)), "  },", "});", "",
        "/** The output word of a snapshot. */", "export function flags({ value, context: c }) {",
        f"  return {_flags(table, words)};", "}", "",
    ]  # fmt: skip
    return "\n".join(lines)


def _state(table: Table, words: XStateWords, state: State) -> Iterator[str]:
    name, on = words.states("state", str(state)), cells(table, words, state)
    if state.final and not on:
        yield f'{name}: {{ type: "final" }},'
        return
    yield f"{name}: {{"
    for word, groups in (("on", on), ("after", due(table, state))):
        if groups:
            yield f"  {word}: {{"
            for key, rows in groups.items():
                yield from [f"    {key}: [", *(f"      {_transition(words, one)}" for one in rows), "    ],"]
            yield "  },"
    yield "},"


def _transition(words: XStateWords, one: LoweredRow) -> str:
    parts = [f"guard: ({{ context: c, event: e }}) => {words.guard(one.guard)}"] if one.guard != ALWAYS else []
    parts += [f'target: "{words.states("state", one.row.target)}"', *(["reenter: true"] if one.row.reenter else [])]
    if one.effects:
        done = (f"{words.names('value', e.name)}: {words.new(e.name, e.value)}" for e in one.together)
        parts.append(f"actions: assign(({{ context: c, event: e }}) => ({{ {', '.join(done)} }}))")
    return f"{{ {', '.join(parts)} }}, // {in_comment(one.row.id)}"


def _flags(table: Table, words: XStateWords) -> str:
    bits = []
    for output in table.chart.outputs:
        states = json.dumps([words.states("state", str(state)) for state in output.states or ()])
        bits.append(f"({words.output(table, output, f'{states}.includes(value)')} ? 0x{int(output.bit):X} : 0)")
    return " + ".join(bits) or "0"
