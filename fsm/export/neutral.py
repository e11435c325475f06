"""The neutral form of a chart: JSON as `chart.schema.json` describes it, written and read.

What is read is what was written: states, events, variables, rows and prose are the same, and so is the fingerprint.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from enum import Enum
from typing import Any, Final

from fsm.chart import Chart, Event, Output, Row, State
from fsm.condition import ALWAYS, All, Among, AnyOf, Compare, Condition, Value
from fsm.data import REQUIRED, DataDeclaration, Field, Number
from fsm.errors import DefinitionError
from fsm.export.errors import ReadError
from fsm.export.lowered import lower, plain_value
from fsm.export.schema import Json, fit
from fsm.export.words import made_by
from fsm.variable import Assignment, Boolean, Choice, Counter, Sum, Variable

__all__ = ["FORMAT", "read", "written"]

FORMAT: Final = "fsm.chart/1"


def written(chart: Chart) -> str:
    """Return a chart as JSON.  ExportError for a callable guard."""
    lower(chart, "json")
    document: dict[str, Json] = {
        "format": FORMAT, "made_by": made_by(chart, "json"), "fingerprint": chart.fingerprint, "name": chart.name,
        **_given(doc=chart.doc), "initial": chart.initial,
        "states": [_state(state) for state in chart.states], "events": [_event(event) for event in chart.events],
        "variables": [_variable(variable) for variable in chart.variables], "rows": [_row(row) for row in chart.rows],
        "outputs": [_output(output) for output in chart.outputs],
        "sums": {name: _sum(total) for name, total in chart.sums.items()}, "bounds": dict(chart.bounds),
    }  # fmt: skip
    return "{\n" + ",\n".join(f"{json.dumps(name)}: {_lines(value)}" for name, value in document.items()) + "\n}\n"


def _lines(value: Json) -> str:
    """JSON with a line for each element of a list."""
    if isinstance(value, list) and value:
        return "[\n" + ",\n".join(f" {json.dumps(one)}" for one in value) + "\n]"
    return json.dumps(value)


def _given(**parts: Json) -> dict[str, Json]:
    """The parts that say something."""
    return {name: part for name, part in parts.items() if part not in ("", [], None, False)}


def _state(state: State) -> Json:
    promise = _guard(state.invariant) if state.invariant != ALWAYS else None
    after: list[Json] = [{"seconds": seconds, "event": event} for seconds, event in state.after.items()]
    progress: list[Json] = [*state.progress]
    kind = _given(doc=state.doc, final=state.final, absorbing=state.absorbing, after=after, invariant=promise)
    kind |= _given(progress=progress)
    return {"name": state.name, **kind}


def _event(event: Event) -> Json:
    return {"name": event.name, **_given(doc=event.doc, data=[_datum(one) for one in event.data])}


def _datum(one: DataDeclaration) -> Json:
    default: dict[str, Any] = {} if one.required else {"default": one.default}
    if isinstance(one, Number):
        return {"number": one.name, **_given(doc=one.doc), **default}
    return {"field": one.name, "type": one.type.__name__, **_given(optional=one.nullable, doc=one.doc), **default}


def _variable(v: Variable) -> Json:
    if isinstance(v, Boolean):
        return {"boolean": v.name, **_given(doc=v.doc), "initial": plain_value(v.initial)}
    if isinstance(v, Counter):
        return {"counter": v.name, **_given(doc=v.doc), "initial": v.initial}
    values: list[Json] = [
        {"enum": type(one).__qualname__, "name": one.name} if isinstance(one, Enum) else plain_value(one)
        for one in v.values
    ]
    return {"choice": v.name, **_given(doc=v.doc), "values": values, "initial": plain_value(v.initial)}


def _sum(total: Sum) -> Json:
    return {"terms": [[name, factor] for name, factor in total.terms], "constant": total.constant}


def _guard(guard: Condition) -> Json:
    if isinstance(guard, Compare):
        return {"terms": [[name, factor] for name, factor in guard.terms], "op": guard.op, "bound": guard.bound}
    if isinstance(guard, Among):
        return {"variable": guard.name, "among": [*map(plain_value, guard.values)], **_given(negated=guard.negated)}
    return {"all" if isinstance(guard, All) else "any": [_guard(part) for part in guard.parts()]}


def _row(row: Row) -> Json:
    effects: list[Json] = [
        {
            "variable": e.name,
            **({"sum": _sum(e.value)} if isinstance(e.value, Sum) else {"value": plain_value(e.value[0])}),
        }
        for e in row.effects
    ]
    guard = _guard(row.guard) if row.guard != ALWAYS else None
    more = _given(
        guard=guard,
        effects=effects,
        target=row.target if row.moves else None,
        reenter=row.reenter,
        cites=[*row.cites],
        why=row.why,
    )
    return {"id": row.id, "source": row.source, "event": row.event, **more}


def _output(output: Output) -> Json:
    states: Json = None if output.states is None else [*map(str, output.states)]
    guard = _guard(output.guard) if output.guard != ALWAYS else None
    there = {} if states is None else {"states": states}
    return {"name": output.name, "bit": int(output.bit), **there, **_given(guard=guard, doc=output.doc)}


# -------------------------------------------------------------------------------------------------- reading


def read(text: str) -> Chart:
    """Return the chart that a JSON document describes.

    ReadError, with the place, for one that is no JSON, does not fit the schema, or describes no sound chart.
    """
    document = _parsed(text)
    fit(document)
    try:
        chart = _Reader(document).chart()
        claimed = document.get("fingerprint", chart.fingerprint)
    except DefinitionError as error:
        raise ReadError("", str(error)) from None
    if claimed != chart.fingerprint:
        problem = f"it is {chart.fingerprint} for these rows, not {claimed}; where the change is meant, leave it out"
        raise ReadError("fingerprint", problem)
    return chart


def _parsed(text: str) -> Any:
    def once(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            raise ReadError("", f"{next(n for n in names if names.count(n) > 1)!r} is there twice in one object")
        return found

    def never(word: str) -> None:
        raise ReadError("", f"{word} is no number of JSON")

    try:
        return json.loads(text, object_pairs_hook=once, parse_constant=never)
    except json.JSONDecodeError as error:
        raise ReadError(f"line {error.lineno}, column {error.colno}", f"not JSON: {error.msg}") from None
    except RecursionError:
        raise ReadError("", "it is nested too deeply") from None
    except ReadError:
        raise
    except ValueError:
        raise ReadError("", "a number in it has too many digits") from None


class _Reader:
    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self.enums: dict[str, type[Enum]] = {}
        self.variables = [self.variable(one, f"variables[{n}]") for n, one in enumerate(document.get("variables", ()))]
        self.named = {v.name: v for v in self.variables}

    def chart(self) -> Chart:
        d = self.document
        return Chart(
            d["name"], doc=d.get("doc", ""), initial=d["initial"], variables=self.variables,
            states=[self.state(one, f"states[{n}]") for n, one in enumerate(d["states"])],
            events=[self.event(one) for one in d["events"]],
            rows=[self.row(one, f"rows[{n}]") for n, one in enumerate(d["rows"])],
            outputs=[self.output(one, f"outputs[{n}]") for n, one in enumerate(d.get("outputs", ()))],
            sums={name: self.sum(one) for name, one in d.get("sums", {}).items()},
            bounds=d.get("bounds", {}),
        )  # fmt: skip

    def state(self, one: dict[str, Any], place: str) -> State:
        promise = self.guard(one["invariant"], f"{place}.invariant") if "invariant" in one else ALWAYS
        after = {clock["seconds"]: clock["event"] for clock in one.get("after", ())}
        final, absorbing = one.get("final", False), one.get("absorbing", False)
        return State(
            one["name"], one.get("doc", ""), final=final, invariant=promise, absorbing=absorbing, after=after,
            progress=one.get("progress", ()),
        )  # fmt: skip

    def event(self, one: dict[str, Any]) -> Event:
        return Event(one["name"], one.get("doc", ""), data=[self.datum(each) for each in one.get("data", ())])

    def datum(self, one: dict[str, Any]) -> DataDeclaration:
        default = one.get("default", REQUIRED)
        if "number" in one:
            return Number(one["number"], one.get("doc", ""), default=default)
        kind: Any = {"str": str, "int": int, "float": float, "bool": bool}[one["type"]]
        return Field(one["field"], kind | None if one.get("optional") else kind, one.get("doc", ""), default=default)

    def variable(self, one: dict[str, Any], place: str) -> Variable:
        if "boolean" in one:
            return Boolean(one["boolean"], one.get("doc", ""), one.get("initial", False))
        if "counter" in one:
            return Counter(one["counter"], one.get("doc", ""), one.get("initial", 0))
        values = tuple(
            self.member(value, one["values"]) if isinstance(value, dict) else value for value in one["values"]
        )
        found = Choice(one["choice"], values, one.get("doc", ""), values[0])
        return Choice(one["choice"], values, one.get("doc", ""), self.value(found, one["initial"], f"{place}.initial"))

    def member(self, value: dict[str, str], all_values: Iterable[Json]) -> Enum:
        """A member of an Enum that is made for the values of this name."""
        members = [v["name"] for v in all_values if isinstance(v, dict) and v["enum"] == value["enum"]]
        if value["enum"] not in self.enums:
            made = Enum(value["enum"], members)  # type: ignore[misc]  # its name is data
            made.__qualname__ = value["enum"]
            self.enums[value["enum"]] = made
        return self.enums[value["enum"]][value["name"]]

    def value(self, variable: Choice, value: str | None, place: str) -> Value:
        try:
            return variable.value_named(value)
        except ValueError as error:
            raise ReadError(place, str(error)) from None

    def choice(self, name: str, place: str) -> Choice:
        found = self.named.get(name)
        if not isinstance(found, Choice):
            raise ReadError(place, f"there is no enumerated variable {name!r}")
        return found

    def sum(self, one: dict[str, Any]) -> Sum:
        return Sum(tuple((name, factor) for name, factor in one["terms"]), one["constant"])

    def guard(self, one: dict[str, Any], place: str) -> Condition:
        if "terms" in one:
            return Compare(tuple((name, factor) for name, factor in one["terms"]), one["op"], one["bound"])
        if "among" in one:
            variable = self.choice(one["variable"], f"{place}.variable")
            values = (self.value(variable, value, f"{place}.among[{n}]") for n, value in enumerate(one["among"]))
            return Among(variable.name, tuple(values), one.get("negated", False))
        word, parts = next(iter(one.items()))
        joined: Callable[..., Condition] = All if word == "all" else AnyOf
        return joined(*(self.guard(part, f"{place}.{word}[{n}]") for n, part in enumerate(parts)))

    def effect(self, one: dict[str, Any], place: str) -> Assignment:
        if "sum" in one:
            return Assignment(one["variable"], self.sum(one["sum"]))
        variable = self.choice(one["variable"], f"{place}.variable")
        return Assignment(variable.name, (self.value(variable, one["value"], f"{place}.value"),))

    def row(self, one: dict[str, Any], place: str) -> Row:
        guard = self.guard(one["guard"], f"{place}.guard") if "guard" in one else ALWAYS
        effects = tuple(self.effect(each, f"{place}.effects[{n}]") for n, each in enumerate(one.get("effects", ())))
        target = one.get("target", one["source"])
        return Row(
            one["id"], one["source"], one["event"], guard, effects, target,
            cites=tuple(one.get("cites", ())), why=one.get("why", ""), reenter=one.get("reenter", False),
        )  # fmt: skip

    def output(self, one: dict[str, Any], place: str) -> Output:
        states = tuple(one["states"]) if "states" in one else None
        guard = self.guard(one["guard"], f"{place}.guard") if "guard" in one else ALWAYS
        return Output(one["name"], one["bit"], states, guard, one.get("doc", ""))
