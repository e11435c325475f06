"""A chart as an XState 5 machine in plain JSON, with a small host that brings the guards and the action.

Guards are `compare`, `among`, `all` and `any`, and the action is `set`, each with plain parameters (`xstate.host.mjs`).
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from fsm.chart import Chart, State
from fsm.export.ecmascript import exact_limit
from fsm.export.lowered import ALWAYS, Comparison, Guard, LoweredRow, Membership, Table, Total, initial, lower
from fsm.export.naming import plain
from fsm.export.words import made_by
from fsm.export.xstate import XStateWords, cells, due

__all__ = ["host", "machine"]


def host() -> str:
    """Return the module with the guards and the action: `setup(implementations).createMachine(machine)`."""
    return files("fsm.export").joinpath("xstate.host.mjs").read_text("utf-8")


def machine(chart: Chart) -> str:
    """Return the machine as JSON.  ExportError for what JavaScript cannot count exactly."""
    table = lower(chart, "xstate")
    exact_limit(table, "xstate")
    words = XStateWords(table)
    states = {words.states("state", str(state)): _state(table, words, state) for state in chart.states}
    changed = [*words.states.changed, *words.events.changed, *words.names.changed]
    document = {
        "id": plain(chart.name), "description": f"{chart.name}.  {made_by(chart, 'xstate')}.",
        "meta": {"names": {found: name for found, _, name in changed}},
        "initial": words.states("state", chart.initial),
        "context": {words.names("value", v.name): initial(v) for v in chart.variables}, "states": states,
    }  # fmt: skip
    return json.dumps(document, indent=1) + "\n"


def _state(table: Table, words: XStateWords, state: State) -> dict[str, Any]:
    on, after = cells(table, words, state), due(table, state)
    if state.final and not on:
        return {"type": "final"}
    groups = (("on", on), ("after", after))
    return {
        word: {key: [_transition(words, one) for one in rows] for key, rows in found.items()}
        for word, found in groups if found
    }  # fmt: skip


def _transition(words: XStateWords, one: LoweredRow) -> dict[str, Any]:
    found: dict[str, Any] = {"target": words.states("state", one.row.target), "description": one.row.id}
    data = {
        words.names("value", name): number.default for name, number in words.defaults.items() if not number.required
    }
    if one.guard != ALWAYS:
        found["guard"] = _guard(words, one.guard)
        found["guard"]["params"]["data"] = data
    if one.row.reenter:
        found["reenter"] = True
    if one.effects:
        effects = [
            {"name": words.names("value", e.name)}
            | ({"sum": _sum(words, e.value)} if isinstance(e.value, Total) else {"value": e.value[0]})
            for e in one.together
        ]
        found["actions"] = [{"type": "set", "params": {"effects": effects, "data": data}}]
    return found


def _guard(words: XStateWords, guard: Guard) -> dict[str, Any]:
    if isinstance(guard, Comparison):
        sides = {"left": _sum(words, guard.left), "right": _sum(words, guard.right)}
        return {"type": "compare", "params": {**sides, "op": guard.op}}
    if isinstance(guard, Membership):
        name = words.names("value", guard.name)
        return {"type": "among", "params": {"name": name, "values": [*guard.values], "negated": guard.negated}}
    return {
        "type": "all" if guard.every else "any",
        "params": {"of": [_guard(words, part) for part in guard.parts]},
    }


def _sum(words: XStateWords, total: Total) -> dict[str, Any]:
    return {"terms": [[words.names("value", name), factor] for name, factor in total.terms], "constant": total.constant}
