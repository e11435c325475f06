"""A chart as Python source, as a person would have written it: the words of `fsm`, one row a row.

The source makes the same chart again: names, rows, prose and fingerprint.
"""

from __future__ import annotations

import builtins
import re
from collections.abc import Iterable, Iterator
from enum import Enum
from keyword import kwlist, softkwlist

from fsm.chart import Chart, Event, Output, Row, State
from fsm.condition import ALWAYS, All, Among, Compare, Condition, Opaque, Value
from fsm.data import Field, Number
from fsm.export.errors import ExportError
from fsm.export.naming import Names, in_comment
from fsm.variable import Assignment, Boolean, Choice, Sum, Variable

__all__ = ["source"]

WIDTH = 100
WORDS = (
    "Boolean",
    "Chart",
    "Choice",
    "Counter",
    "Enum",
    "Event",
    "Field",
    "Number",
    "Output",
    "State",
    "row",
    "All",
    "AnyOf",
    "condition",
)


def source(chart: Chart, notes: Iterable[str] = (), functions: Iterable[str] = ()) -> str:
    """Return the source of a chart.

    `notes` are put into its docstring; `functions` is source for the callables in the guards, by whose names the guards
    call them.  ExportError for an Enum whose name is no identifier.
    """
    return _Source(chart, tuple(functions)).text(tuple(notes))


class _Source:
    def __init__(self, chart: Chart, functions: tuple[str, ...]) -> None:
        self.chart, self.functions = chart, functions
        self.used: set[str] = {"Chart"}
        self.conditions: set[str] = set()
        self.enums: dict[str, type[Enum]] = {}
        for v in chart.variables:
            for value in v.values if isinstance(v, Choice) else ():
                if isinstance(value, Enum):
                    self.enums.setdefault(type(value).__qualname__, type(value))
        for name in self.enums:
            if not name.isidentifier() or name in kwlist or name in WORDS:
                raise ExportError(chart.name, "Python source", f"the Enum of its values is called {_quoted(name)}")
        self.names = Names((*kwlist, *softkwlist, *dir(builtins), *WORDS, *self.enums))
        for name in (*chart.names, *chart.numbers):
            self.names.give("value", name, case=str.upper)
        self.chart_name = self.names.give(
            "chart", re.sub(r"\W+", "_", chart.name).strip("_") or "chart", case=str.upper
        )

    def text(self, notes: tuple[str, ...]) -> str:
        chart = self.chart
        body = [
            *self._enums(),
            *self.functions,
            *map(self._variable, chart.variables),
            *map(self._number, chart.numbers.values()),
        ]
        made = self._chart()
        title = in_comment(f"{chart.name}: {chart.doc}" if chart.doc else chart.name).replace("\\", "\\\\")
        opening = [f'"""{title}.']
        if notes:
            opening += ["", "Dropped or changed when it was read:", ""]
            opening += [f"- {in_comment(note)}".replace("\\", "\\\\") for note in notes]
            opening.append('"""')
        else:
            opening[0] += '"""'
        words = sorted(self.used, key=lambda word: (word.islower(), word))
        imports = [*(["from enum import Enum", ""] if self.enums else []), f"from fsm import {', '.join(words)}"]
        imports += [f"from fsm.condition import {', '.join(sorted(self.conditions))}"] if self.conditions else []
        return "\n".join([*opening, "", *imports, "", *body, "", f"{self.chart_name} = {made}", ""])

    # ----------------------------------------------------------------------------------------------- the parts

    def _enums(self) -> Iterator[str]:
        for name, enum in self.enums.items():
            yield from ["", f"class {name}(Enum):", *(f"    {m.name} = {m.value!r}" for m in enum), ""]

    def _call(self, word: str, *arguments: object, pad: str = "", **options: object) -> str:
        """A call, on one line or with an argument a line; options that say nothing are left out."""
        self.used.add(word)
        parts = [str(one) for one in arguments] + [f"{name}={value}" for name, value in options.items() if value]
        line = f"{word}({', '.join(parts)})"
        if len(pad) + len(line) <= WIDTH:
            return line
        head = f"{word}({', '.join(map(str, arguments))},"
        rest = [f"{pad}    {name}={_wrapped(str(value), len(pad) + 4)}," for name, value in options.items() if value]
        if len(pad) + len(head) > WIDTH or not rest:
            return "\n".join([f"{word}(", *(f"{pad}    {one}," for one in arguments), *rest, f"{pad})"])
        return "\n".join([head, *rest, f"{pad})"])

    def _variable(self, v: Variable) -> str:
        doc = [_quoted(v.doc)] if v.doc else []
        name = self.names("value", v.name)
        if isinstance(v, Boolean):
            return f"{name} = {self._call('Boolean', _quoted(v.name), *doc, initial='True' if v.initial else '')}"
        if isinstance(v, Choice):
            start = self._value(v.initial) if v.initial is not None else ""
            return f"{name} = {self._call('Choice', _quoted(v.name), self._values(v.values), *doc, initial=start)}"
        return f"{name} = {self._call('Counter', _quoted(v.name), *doc, initial=v.initial)}"

    def _number(self, one: Number) -> str:
        doc = [_quoted(one.doc)] if one.doc else []
        default = "" if one.required else str(one.default)
        return f"{self.names('value', one.name)} = {self._call('Number', _quoted(one.name), *doc, default=default)}"

    def _values(self, values: tuple[Value, ...]) -> str:
        """The values of a variable; all members of an Enum in its order are written with a star."""
        members = [value for value in values if isinstance(value, Enum)]
        kinds = {type(value) for value in members}
        if len(kinds) == 1 and members == [*kinds.copy().pop()] and values in ((*members,), (None, *members)):
            name = kinds.pop().__qualname__
            return f"({'None, ' if values[0] is None else ''}*{name},)" if values[0] is not None else f"(None, *{name})"
        return f"({', '.join(map(self._value, values))}{',' if len(values) == 1 else ''})"

    def _value(self, value: Value) -> str:
        return f"{type(value).__qualname__}.{value.name}" if isinstance(value, Enum) else _quoted(value)

    def _sum(self, terms: tuple[tuple[str, int], ...], constant: int = 0) -> str:
        text = ""
        for name, factor in terms:
            word = self.names("value", name)
            word = word if abs(factor) == 1 else f"{abs(factor)} * {word}"
            text += (
                word if not text and factor > 0 else f"-{word}" if not text else f" {'+' if factor > 0 else '-'} {word}"
            )
        if not text:
            return str(constant)
        return f"{text} {'+' if constant > 0 else '-'} {abs(constant)}" if constant else text

    def _guard(self, guard: Condition, nested: bool = True) -> str:
        if isinstance(guard, Compare):
            text = self._comparison(guard)
        elif isinstance(guard, Among):
            return self._among(guard, nested)
        elif isinstance(guard, Opaque):
            if not nested and not guard.negated:
                return guard.name
            self.conditions.add("condition")
            return f"{'~' if guard.negated else ''}condition({guard.name})"
        elif len(guard.parts()) < 2:  # as it is written, so that the fingerprint is the same
            word = type(guard).__name__
            self.conditions.add(word)
            return f"{word}({', '.join(self._guard(part, nested=False) for part in guard.parts())})"
        else:
            text = (" & " if isinstance(guard, All) else " | ").join(self._guard(part) for part in guard.parts())
        return f"({text})" if nested else text

    def _comparison(self, guard: Compare) -> str:
        """What is taken away stands on the other side, where that makes the same comparison."""
        more = tuple(term for term in guard.terms if term[1] > 0)
        less = tuple((name, -factor) for name, factor in guard.terms if factor < 0)
        if not more or guard.terms[: len(more)] != more:
            return f"{self._sum(guard.terms)} {guard.op} {guard.bound}"
        return f"{self._sum(more)} {guard.op} {self._sum(less, guard.bound)}"

    def _among(self, guard: Among, nested: bool) -> str:
        name = self.names("value", guard.name)
        if guard.values == (True,):
            return f"~{name}" if guard.negated else name
        if len(guard.values) == 1 and guard.values[0] is not None and not isinstance(guard.values[0], bool):
            text = f"{name} {'!=' if guard.negated else '=='} {self._value(guard.values[0])}"
            return f"({text})" if nested else text
        text = f"{name}.among({', '.join(map(self._value, guard.values))})"
        return f"~{text}" if guard.negated else text

    def _effect(self, effect: Assignment) -> str:
        new = effect.value
        text = self._sum(new.terms, new.constant) if isinstance(new, Sum) else self._value(new[0])
        return f"{self.names('value', effect.name)}.becomes({text})"

    # ----------------------------------------------------------------------------------------------- the chart

    def _chart(self) -> str:
        chart = self.chart
        lines = ["Chart(", f"    {_quoted(chart.name)},", *([f"    doc={_quoted(chart.doc)},"] if chart.doc else [])]
        if chart.initial != chart.states[0]:
            lines.append(f"    initial={_quoted(chart.initial)},")
        lines += self._list("states", map(self._state, chart.states)) + self._list(
            "events", map(self._event, chart.events)
        )
        if chart.variables:
            lines.append(f"    variables=[{', '.join(self.names('value', name) for name in chart.names)}],")
        lines += self._list("rows", map(self._row, chart.rows))
        lines += self._list("outputs", map(self._output, chart.outputs)) if chart.outputs else []
        if chart.sums:
            sums = (
                f"        {_quoted(name)}: {self._sum(total.terms, total.constant)},"
                for name, total in chart.sums.items()
            )
            lines += ["    sums={", *sums, "    },"]
        lines += [f"    bounds={dict(chart.bounds)!r},"] if chart.bounds else []
        return "\n".join([*lines, ")"])

    def _list(self, name: str, items: Iterable[str]) -> list[str]:
        return [f"    {name}=[", *(f"        {item}," for item in items), "    ],"]

    def _optional(self, guard: Condition) -> str:
        return "" if guard == ALWAYS else self._guard(guard, nested=False)

    def _state(self, state: State) -> str:
        doc = [_quoted(state.doc)] if state.doc else []
        options = {
            "final": "True" if state.final else "", "absorbing": "True" if state.absorbing else "",
            "invariant": self._optional(state.invariant), "after": _times(state),
            "progress": repr(tuple(map(str, state.progress))) if state.progress else "",
        }  # fmt: skip
        if not doc and not any(options.values()):
            return _quoted(state.name)
        return self._call("State", _quoted(state.name), *doc, pad="        ", **options)

    def _event(self, event: Event) -> str:
        data = ", ".join(self._datum(one) for one in event.data)
        doc = [_quoted(event.doc)] if event.doc else []
        if not doc and not data:
            return _quoted(event.name)
        return self._call("Event", _quoted(event.name), *doc, pad="        ", data=f"[{data}]" if data else "")

    def _datum(self, one: Number | Field) -> str:
        if isinstance(one, Number):
            return (
                self.names("value", one.name)
                if one is self.chart.numbers[one.name]
                else self._number(one).partition(" = ")[2]
            )
        doc = [_quoted(one.doc)] if one.doc else []
        default = "" if one.required else _quoted(one.default)
        return self._call("Field", _quoted(one.name), one.annotation, *doc, pad=" " * 12, default=default)

    def _shared(self, one: Number) -> str:
        known = self.chart.numbers[one.name]
        if (known.doc, known.default) == (one.doc, one.default):
            return self.names("value", one.name)
        return self._number(one).partition(" = ")[2]

    def _row(self, row: Row) -> str:
        options = {
            "guard": self._optional(row.guard),
            "effects": f"[{', '.join(map(self._effect, row.effects))}]" if row.effects else "",
            "target": _quoted(row.target) if row.moves else "", "reenter": "True" if row.reenter else "",
            "cites": _quoted(" ".join(row.cites)) if row.cites else "", "why": _quoted(row.why) if row.why else "",
        }  # fmt: skip
        return self._call("row", _quoted(row.id), _quoted(row.source), _quoted(row.event), pad="        ", **options)

    def _output(self, output: Output) -> str:
        states = ""
        if output.states is not None:
            states = f"({', '.join(_quoted(str(s)) for s in output.states)}{',' if len(output.states) == 1 else ''})"
        options = {
            "states": states,
            "guard": self._optional(output.guard),
            "doc": _quoted(output.doc) if output.doc else "",
        }
        return self._call("Output", _quoted(output.name), f"0x{int(output.bit):X}", pad="        ", **options)


def _quoted(value: object) -> str:
    """A literal, a string in double quotes."""
    text = repr(value)
    if text[0] != "'" or '"' in text:
        return text
    return '"' + text[1:-1].replace("\\'", "'") + '"'


def _times(state: State) -> str:
    pairs = ", ".join(f"{seconds!r}: {_quoted(event)}" for seconds, event in state.after.items())
    return f"{{{pairs}}}" if pairs else ""


def _wrapped(text: str, indent: int) -> str:
    """A list or a condition that is too long for a line, a part a line."""
    if indent + len(text) < WIDTH - 8:
        return text
    pad = " " * (indent + 4)
    if text.startswith("[") and text.endswith("]"):
        parts = _parts(text[1:-1], ", ")
        return "\n".join(["[", *(f"{pad}{part}," for part in parts), f"{' ' * indent}]"])
    for sign in (" | ", " & "):
        if len(parts := _parts(text, sign)) > 1:
            lines = [parts[0], *(f"{sign.strip()} {part}" for part in parts[1:])]
            return "\n".join(["(", *(f"{pad}{line}" for line in lines), f"{' ' * indent})"])
    return text


def _parts(text: str, sign: str) -> list[str]:
    """The parts of a text between signs that stand in no parentheses and no strings."""
    found, depth, quote, start = [], 0, "", 0
    for place, char in enumerate(text):
        if quote:
            quote = "" if char == quote and text[place - 1] != "\\" else quote
        elif char in "\"'":
            quote = char
        elif char in "([{":
            depth += 1
        elif char in ")]}":
            depth -= 1
        elif not depth and text.startswith(sign, place):
            found.append(text[start:place])
            start = place + len(sign)
    return [*found, text[start:]]
