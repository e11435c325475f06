"""Rows -> Python source -> the methods of a session class.

Each event becomes one function: a test of the state, the guards, and for each row straight-line code that sets the
variables and the state.  Nothing is called once a row is chosen, so that no signal handler and no other thread can run
between two assignments (in CPython with the GIL), and a step costs no more than its comparisons.
A condition that all rows of an event share is tested once; a condition and its opposite become `if` and `else`.

The source is available (`source(chart)`) and registered with `linecache`, so tracebacks and debuggers show it.
"""

from __future__ import annotations

import linecache
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any, NamedTuple, TypeAlias

from fsm.chart import Chart, Configuration, Row
from fsm.condition import (
    ALWAYS,
    All,
    Among,
    Compare,
    Condition,
    Opaque,
    Terms,
    Value,
    is_opaque,
    negated,
    sides,
    sum_text,
)
from fsm.errors import DefinitionError
from fsm.variable import Assignment, Sum

__all__ = ["Compiled", "compile_chart", "source"]


class _Case(NamedTuple):
    """A row, and the conditions that are still to be tested before it may be taken."""

    row: Row
    tests: tuple[Condition, ...]


def source(chart: Chart) -> str:
    """Return the source of a chart: a function for each event, and those that read and write a configuration."""
    return _write(chart, {}, asking=True)


Refuse: TypeAlias = Callable[[Any, str], Exception]
Dispatch: TypeAlias = Callable[[Any, str], bool]


class Compiled(NamedTuple):
    """A chart as functions of a session: triggers by event, reading and writing its configuration, its output word."""

    triggers: dict[str, Callable[[Any], Any]]
    read: Callable[[Any], Configuration]
    write: Callable[[Any, Configuration], None]
    flags: Callable[[Any], int]


def compile_chart(chart: Chart, refuse: Refuse, dispatch: Dispatch | None) -> Compiled:
    """Compile the functions of `source(chart)`, for a class whose slots are the variables with a leading `_`.

    `refuse(session, event)` returns the error that a refused trigger raises; `dispatch(session, event)` takes the step
    of a session with a dispatcher.  If it is None, the triggers do not look for a dispatcher.
    DefinitionError for a chart that is too large for Python's compiler.
    """
    names: dict[str, object] = {}
    filename = f"<triggers of {chart.name}, {chart.fingerprint}{'' if dispatch else ', without listeners'}>"
    try:
        text = _write(chart, names, asking=dispatch is not None)
        code = compile(text, filename, "exec")
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise DefinitionError(f"chart {chart.name!r}", (f"it is nested too deeply to be compiled ({error})",)) from None
    space: dict[str, Any] = {**names, "refuse": refuse, "dispatch": dispatch}
    exec(code, space)
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    triggers = {str(event): space[_function(place)] for place, event in enumerate(chart.events)}
    return Compiled(triggers, space["get_configuration"], space["set_configuration"], space["get_flags"])


def _function(place: int) -> str:
    return f"event_{place}"


def _write(chart: Chart, names: dict[str, object], *, asking: bool) -> str:
    lines: list[str] = []
    for place, event in enumerate(chart.events):
        lines += [f"def {_function(place)}(self):  # {event!r}"]
        if asking:
            lines += ["    if self._dispatcher is not None:", f"        return dispatch(self, {str(event)!r})"]
        lines += ["    state = self._state"]
        for states, rows in _cells(chart, event):
            lines.append(f"    if {_state_test(chart, states)}:")
            lines += _body(rows, names)
        lines += [f"    raise refuse(self, {str(event)!r})", ""]
    slots = ["self._state", *(f"self._{name}" for name in chart.names)]
    lines += ["def get_configuration(self):", f"    return ({', '.join(slots)},)", ""]
    lines += ["def get_flags(self):", f"    return {_flags(chart, names)}", ""]
    lines += ["def set_configuration(self, configuration):", f"    {', '.join(slots)}, = configuration", ""]
    return "\n".join(lines)


def _flags(chart: Chart, names: dict[str, object]) -> str:
    texts, bits = _Expressions(frozenset(), names), []
    for output in chart.outputs:
        states = None if output.states is None else [str(state) for state in output.states]
        tests = [] if states is None else [f"({_state_test(chart, states, 'self._state')})"]
        tests += [texts.condition(output.guard, nested=True)] if output.guard != ALWAYS else []
        bits.append(f"({int(output.bit)} if {' and '.join(tests) or 'True'} else 0)")
    return " | ".join(bits) or "0"


def _cells(chart: Chart, event: str) -> Iterator[tuple[list[str], tuple[Row, ...]]]:
    """Groups of states that treat the event alike, with the rows of the first of each."""
    cells: dict[object, tuple[list[str], tuple[Row, ...]]] = {}
    for state in chart.states:
        rows = chart.rows_for(state, event)
        alike = tuple((row.guard, row.effects, row.moves and row.target) for row in rows)
        if rows:
            cells.setdefault(alike, ([], rows))[0].append(str(state))
    yield from cells.values()


def _state_test(chart: Chart, states: list[str], name: str = "state") -> str:
    if len(states) == len(chart.states) - 1 > 1:
        return f"{name} != " + repr(next(str(state) for state in chart.states if state not in states))
    return " or ".join(f"{name} == {str(state)!r}" for state in states) or "False"


def _body(rows: tuple[Row, ...], names: dict[str, object]) -> Iterator[str]:
    cases = [_Case(row, row.guard.parts() if isinstance(row.guard, All) else (row.guard,)) for row in rows]
    tried = _Expressions(frozenset(), names)
    list(_decide(cases, "        ", tried))  # once to count how often each variable is read
    local = [name for name, times in tried.uses.items() if times > 1]
    yield from (f"        {name} = self._{name}" for name in local)
    yield from _decide(cases, "        ", _Expressions(frozenset(local), names))


class _Expressions:
    """The source text of variables, values and callables; a variable that is read more than once is a local."""

    def __init__(self, local: frozenset[str], names: dict[str, object]) -> None:
        self.local, self.names = local, names
        self.uses: dict[str, int] = {}

    def read(self, name: str) -> str:
        return name if name in self.local else f"self._{name}"

    def use(self, name: str) -> str:
        self.uses[name] = self.uses.get(name, 0) + 1
        return self.read(name)

    def value(self, value: Value) -> str:
        if isinstance(value, Enum):
            return self._constant(f"{type(value).__name__}_{value.name}", value)
        return repr(value)

    def callable(self, function: Callable[..., bool]) -> str:
        return self._constant(getattr(function, "__name__", "guard"), function)

    def _constant(self, hint: str, value: object) -> str:
        clean = "".join(char if char.isalnum() and char.isascii() else "_" for char in hint)
        name = next(f"_{n}_{clean}" for n in range(10_000) if self.names.get(f"_{n}_{clean}", value) is value)
        self.names[name] = value
        return name

    def condition(self, guard: Condition, nested: bool = False) -> str:
        if isinstance(guard, Compare):
            left, right = sides(guard.terms)
            return f"{self.total(left, 0)} {guard.op} {self.total(right, guard.bound)}"
        if isinstance(guard, Among):
            return self._among(guard)
        if isinstance(guard, Opaque):
            return f"{'not ' if guard.negated else ''}{self.callable(guard.function)}(self)"
        word = " and " if isinstance(guard, All) else " or "
        text = word.join(self.condition(part, nested=True) for part in guard.parts())
        if not guard.parts():
            return str(isinstance(guard, All))
        return f"({text})" if nested and len(guard.parts()) > 1 else text

    def _among(self, guard: Among) -> str:
        if guard.values == (True,):
            return f"not {self.use(guard.name)}" if guard.negated else self.use(guard.name)
        same, word = ("is not", " and ") if guard.negated else ("is", " or ")
        plain = {"is": "==", "is not": "!="}[same]
        tests = [
            f"{self.use(guard.name)} {same if value is None or isinstance(value, Enum) else plain} {self.value(value)}"
            for value in guard.values
        ]
        return tests[0] if len(tests) == 1 else f"({word.join(tests)})"

    def total(self, terms: Terms, constant: int) -> str:
        """The source of a sum, each of whose variables counts as used."""
        return sum_text(tuple((self.use(name), factor) for name, factor in terms), constant)

    def sum(self, value: Sum) -> str:
        return sum_text(tuple((self.read(name), factor) for name, factor in value.terms), value.constant)


def _decide(cases: list[_Case], pad: str, texts: _Expressions) -> Iterator[str]:
    """Test first what all cases share, then what divides them, then one case after the other."""
    first = cases[0]
    if len(cases) == 1:
        if first.tests:
            yield f"{pad}if {texts.condition(All(*first.tests))}:"
            yield from _take(first.row, pad + "    ", texts)
        else:
            yield from _take(first.row, pad, texts)
        return
    data = [test for test in first.tests if not is_opaque(test)]  # callables stay behind what they may rely on
    for test in data:
        if all(test in case.tests for case in cases):
            yield f"{pad}if {texts.condition(test)}:"
            yield from _decide([_without(case, test) for case in cases], pad + "    ", texts)
            return
    for test in data:
        other = negated(test)
        if all(test in case.tests or other in case.tests for case in cases):
            yield f"{pad}if {texts.condition(test)}:"
            yield from _decide([_without(case, test) for case in cases if test in case.tests], pad + "    ", texts)
            yield f"{pad}else:"
            yield from _decide([_without(case, other) for case in cases if other in case.tests], pad + "    ", texts)
            return
    for case in cases:
        yield from _decide([case], pad, texts)


def _without(case: _Case, test: Condition) -> _Case:
    return _Case(case.row, tuple(one for one in case.tests if one != test))


def _take(row: Row, pad: str, texts: _Expressions) -> Iterator[str]:
    """The effects and the state: one assignment each if their order cannot matter, otherwise a single one."""
    done: set[str] = set()
    together = False
    for effect in row.effects:
        together = together or bool(_read(effect) & done)
        done.add(effect.name)
    pairs = [(f"self._{effect.name}", _new(effect, texts)) for effect in row.effects]
    if row.moves:
        pairs.append(("self._state", repr(row.target)))
    if together:
        yield f"{pad}{', '.join(left for left, _ in pairs)} = {', '.join(right for _, right in pairs)}"
    else:
        for left, right in pairs:
            yield f"{pad}{left} = {right}"
    yield f"{pad}return True  # {row.id!r}"


def _read(effect: Assignment) -> set[str]:
    return {name for name, _ in effect.value.terms} if isinstance(effect.value, Sum) else set()


def _new(effect: Assignment, texts: _Expressions) -> str:
    return texts.sum(effect.value) if isinstance(effect.value, Sum) else texts.value(effect.value[0])
