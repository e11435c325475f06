"""The types of a chart's JavaScript module, for TypeScript."""

from __future__ import annotations

import json
from collections.abc import Iterable

from fsm.chart import Chart
from fsm.data import DataDeclaration, Number
from fsm.export.ecmascript import JavaScript
from fsm.export.lowered import lower, plain_value
from fsm.export.naming import in_comment
from fsm.export.words import made_by
from fsm.variable import Choice, Variable

__all__ = ["types"]

CLOCKS = ("  entries: number;", "  get delays(): readonly (readonly [Event, number])[];")


def types(chart: Chart) -> str:
    """Return the types of the module, for TypeScript."""
    table = lower(chart, "javascript")
    js = JavaScript(table, "this")
    bits = "; ".join(f"{json.dumps(output.name)}: number" for output in chart.outputs)
    lines = [
        f"// {in_comment(chart.name)}.  {made_by(chart, 'javascript')}.", "",
        f"export type State = {_union(map(str, chart.states))};",
        f"export type Event = {_union(map(str, chart.events))};",
        'export type Answer = "accepted" | "illegal" | "refused" | "finished" | "full";',
        "export const STATES: readonly State[];", "export const EVENTS: readonly Event[];",
        f"export const Output: Readonly<{{ {bits} }}>;", "export const LIMIT: number;", "",
        f"export class {js.cls} {{", "  state: State;",
        *(f"  {js.names('value', v.name)}: {_kind(v)};" for v in chart.variables),
        *(CLOCKS if table.timed else ()),
        "  get flags(): number;", "  get sound(): boolean;", "  fire(event: Event, data?: object): Answer;",
        *(f"  {js.names('event', str(event))}({_parameter(js, event.data)}): Answer;" for event in chart.events),
        "}", "",
    ]  # fmt: skip
    return "\n".join(lines)


def _union(values: Iterable[object]) -> str:
    return " | ".join(map(json.dumps, values)) or "never"


def _kind(v: Variable) -> str:
    return _union(map(plain_value, v.values)) if isinstance(v, Choice) else "number"


def _parameter(js: JavaScript, data: tuple[DataDeclaration, ...]) -> str:
    kinds = {str: "string", bool: "boolean"}
    members = []
    for one in data:
        kind = (
            "number" if isinstance(one, Number) else kinds.get(one.type, "number") + (" | null" if one.nullable else "")
        )
        members.append(f"{js.names('value', one.name)}{'' if one.required else '?'}: {kind}")
    optional = "?" if all(not one.required for one in data) else ""
    return f"data{optional}: {{ {'; '.join(members)} }}" if data else ""
