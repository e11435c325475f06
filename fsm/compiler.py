"""Rows -> Python source -> the methods of a session class.

Each event becomes one function: a test of the state, the guards, and for each row straight-line code that sets the
variables and the state.  Nothing is called once a row is chosen, so that no signal handler and no other thread can run
between two assignments (in CPython with the GIL), and a step costs no more than its comparisons.
A condition that all rows of an event share is tested once; a condition and its opposite become `if` and `else`.

The source is available (`source(chart)`) and registered with `linecache`, so tracebacks and debuggers show it.
"""

from __future__ import annotations

import linecache
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from functools import partial
from itertools import count
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeAlias
from weakref import finalize

from fsm.chart import Chart, Configuration, Event, Row
from fsm.condition import (
    ALWAYS,
    All,
    Among,
    Compare,
    Condition,
    Datum,
    Opaque,
    Terms,
    Value,
    is_opaque,
    negated,
    sides,
    sum_text,
    truth,
)
from fsm.data import NO_DATA, REQUIRED, DataDeclaration, Number
from fsm.errors import DataError, DefinitionError
from fsm.variable import Assignment, Sum

__all__ = ["Compiled", "compile_chart", "compile_choosers", "source"]


WIDE: Final = 8
"""An event that tests more states than this finds the code of a state in a dictionary."""


class _Case(NamedTuple):
    """A row, and the conditions that are still to be tested before it may be taken."""

    row: Row
    tests: tuple[Condition, ...]


def source(chart: Chart) -> str:
    """Return the source of a chart: a function for each event, and those that read and write a configuration."""
    return "\n".join(_triggers(chart, {}) + _accessors(chart, {}))


Refuse: TypeAlias = Callable[[Any, str, Mapping[str, Datum]], Exception]
Chooser: TypeAlias = Callable[[Any, Mapping[str, Datum]], Any]


class Compiled(NamedTuple):
    """A chart as functions of a session.

    `triggers` by event; `start` puts a new session into the initial configuration, `read` and `write` are for any
    configuration, `flags` is the output word.
    """

    triggers: dict[str, Callable[..., Any]]
    start: Callable[[Any], None]
    read: Callable[[Any], Configuration]
    write: Callable[[Any, Configuration], None]
    flags: Callable[[Any], int]


def compile_chart(chart: Chart, refuse: Refuse) -> Compiled:
    """Compile the functions of `source(chart)`, for a class whose slots are the variables with a leading `_`.

    A session with a dispatcher in `_dispatcher` has it take the step.  `refuse(session, event, data)` returns the
    error that a refused trigger raises.  DefinitionError for a chart that is too large for Python's compiler.
    """
    names: dict[str, object] = {"_refuse": refuse, "_view": MappingProxyType, "_missing": REQUIRED}
    names |= {f"_{kind.__name__}": kind for kind in (bool, float, int, str)}
    space = _compiled(chart, "triggers", names, lambda: _triggers(chart, names) + _accessors(chart, names))
    triggers = {str(event): space[_function("event", place)] for place, event in enumerate(chart.events)}
    return Compiled(triggers, *(space[name] for name in ("start", "read", "write", "flags")))


def compile_choosers(chart: Chart, step: type, *, take: bool) -> dict[str, Chooser]:
    """Compile a function for each event that chooses the row for a session and data; with `take`, it takes it, too.

    It returns a new `step`, with the attributes session, event, row, before, after (the configurations) and data, and
    with the row's place in the chart; or None if no row is enabled.  What is the same in all steps of a row belongs to
    a class of the row, so that a step is made of its session and its configurations alone.
    """
    names: dict[str, object] = {}
    for place, row in enumerate(chart.rows):
        names[f"_Step_{place}"] = _step_of(row, place, step, brings=bool(chart.event(row.event).data))
    space = _compiled(chart, "steps" if take else "choices", names, lambda: _choosers(chart, names, take))
    return {str(event): space[_function("choose", place)] for place, event in enumerate(chart.events)}


def _step_of(row: Row, place: int, step: type, *, brings: bool) -> type:
    """The class of the steps of a row; those of an event that `brings` data have their own."""
    shared: dict[str, object] = {"event": row.event, "row": row, "place": place}
    shared |= {} if brings else {"data": NO_DATA}
    return type(step.__name__, (step,), {"__slots__": (), "__module__": step.__module__, **shared})


def _compiled(chart: Chart, what: str, names: dict[str, object], write: Callable[[], list[str]]) -> dict[str, Any]:
    """Run the source in a space with these names, and let tracebacks find it as long as its functions live."""
    title = f"{what} of {chart.name}, {chart.fingerprint}"
    filenames = (f"<{title}{f' #{number}' if number else ''}>" for number in count())
    filename = next(one for one in filenames if one not in linecache.cache)
    try:
        text = "\n".join(write())
        code = compile(text, filename, "exec")
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise DefinitionError(f"chart {chart.name!r}", (f"it is nested too deeply to be compiled ({error})",)) from None
    space: dict[str, Any] = names
    exec(code, space)
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    for function in (one for one in space.values() if getattr(one, "__globals__", None) is space):
        finalize(function, linecache.cache.pop, filename, None).atexit = False
        break  # it lives as long as the others, whose space it is in
    return space


def _function(kind: str, place: int) -> str:
    return f"{kind}_{place}"


def _triggers(chart: Chart, names: dict[str, object]) -> list[str]:
    lines: list[str] = []
    for place, event in enumerate(chart.events):
        given = tuple(one.name for one in event.data)
        data = f"{{{', '.join(f'{name!r}: {name}' for name in given)}}}"
        view = f", _view({data})" if given else ""
        head = [*_head(place, event, names), "    if self._dispatcher is not None:"]
        head.append(f"        return self._dispatcher.step(self, {str(event)!r}{view})")
        texts = [(states, list(_body(rows, names, _take, given))) for states, rows in _cells(chart, event)]
        refuse = [f"    raise _refuse(self, {str(event)!r}, {data})", ""]
        lines += _dispatched(chart, place, head, texts, refuse, given)
    return lines


def _head(place: int, event: Event, names: dict[str, object]) -> list[str]:
    """The head of a trigger; one with data looks at their types, and has anything else but good data looked at."""
    function = f"def {_function('event', place)}(self"
    if not event.data:
        return [f"{function}):  # {event!r}"]
    names[complete := f"_complete_{place}"] = _completer(event)
    words = [f"{one.name}={'_missing' if one.required else repr(one.default)}" for one in event.data]
    given = ", ".join(one.name for one in event.data)
    lines = [f"{function}, *_given, {', '.join(words)}, **_unknown):  # {event!r}"]
    lines.append(f"    if {' or '.join(map(_strange, event.data))} or _given or _unknown:")
    pairs = ", ".join(f"{one.name!r}: {one.name}" for one in event.data)
    return [*lines, f"        {given}, = {complete}(_given, {{{pairs}, **_unknown}})"]


def _strange(one: DataDeclaration) -> str:
    """The source of a test that is true of all values but the plain ones of the right type."""
    name = one.name
    if isinstance(one, Number):
        return f"{name}.__class__ is not _int or {name} < 0"
    test = f"{name}.__class__ is not _{one.type.__name__}"
    if one.type is float:
        test += f" or {name} - {name} != 0.0"
    return f"({name} is not None and ({test}))" if one.nullable else test


def _completer(event: Event) -> Callable[[tuple[object, ...], dict[str, object]], tuple[Datum, ...]]:
    def complete(given: tuple[object, ...], data: dict[str, object]) -> tuple[Datum, ...]:
        if given:
            words = ", ".join(f"{one.name}=…" for one in event.data)
            raise DataError(event.name, (f"they are given by keyword: {event}({words})",))
        return tuple(event.complete({name: one for name, one in data.items() if one is not REQUIRED}).values())

    return complete


def _choosers(chart: Chart, names: dict[str, object], take: bool) -> list[str]:
    lines: list[str] = []
    places = {id(row): place for place, row in enumerate(chart.rows)}
    chosen = partial(_chosen, chart, places, take)
    for place, event in enumerate(chart.events):
        given = tuple(one.name for one in event.data)
        head = [f"def {_function('choose', place)}(self, _data):  # {event!r}"]
        head += [f"    {', '.join(given)}, = _data.values()"] if given else []
        here = [(str(state), chart.rows_for(state, event)) for state in chart.states]
        texts = [([state], list(_body(rows, names, chosen, given))) for state, rows in here if rows]
        lines += _dispatched(chart, place, head, texts, ["    return None", ""], ("_data", *given))
    return lines


def _dispatched(
    chart: Chart,
    place: int,
    head: list[str],
    cells: list[tuple[list[str], list[str]]],
    otherwise: list[str],
    given: tuple[str, ...],
) -> list[str]:
    """A function with the code of each cell behind a test of the state; of many cells each is a function of its own."""
    arguments = ", ".join(("self", "state", *given))
    if sum(len(states) for states, _ in cells) <= WIDE or len(cells) == 1:
        lines = [*head, "    state = self._state"]
        for states, body in cells:
            lines += [f"    if {_state_test(chart, states)}:", *(f"    {line}" for line in body)]
        return lines + otherwise
    lines, table = [], []
    for number, (states, body) in enumerate(cells):
        cell = f"_cell_{place}_{number}"
        lines += [f"def {cell}({arguments}):", *body, *otherwise]
        table += [f"{state!r}: {cell}" for state in states]
    lines += [f"_cells_{place} = {{{', '.join(table)}}}", "", *head, "    state = self._state"]
    lines += [f"    cell = _cells_{place}.get(state)", "    if cell is not None:", f"        return cell({arguments})"]
    return lines + otherwise


def _accessors(chart: Chart, names: dict[str, object]) -> list[str]:
    slots = ["self._state", *(f"self._{name}" for name in chart.names)]
    texts = _Expressions(frozenset(), names)
    first = [repr(chart.initial), *(texts.value(variable.initial) for variable in chart.variables)]
    lines = ["def start(self):", "    self._dispatcher = None"]
    lines += [*(f"    {slot} = {value}" for slot, value in zip(slots, first, strict=True)), ""]
    lines += ["def read(self):", f"    return ({', '.join(slots)},)", ""]
    lines += ["def flags(self):", f"    return {_flags(chart, names)}", ""]
    return [*lines, "def write(self, configuration):", f"    {', '.join(slots)}, = configuration", ""]


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


def _body(
    rows: tuple[Row, ...], names: dict[str, object], take: _Take, given: tuple[str, ...]
) -> Iterator[str]:
    cases = [_Case(row, row.guard.parts() if isinstance(row.guard, All) else (row.guard,)) for row in rows]
    tried = _Expressions(frozenset(given), names)
    list(_decide(cases, "    ", tried, take))  # once to count how often each variable is read
    local = [name for name, times in tried.uses.items() if times > 1 and name not in given]
    yield from (f"    {name} = self._{name}" for name in local)
    yield from _decide(cases, "    ", _Expressions(frozenset((*local, *given)), names), take)


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
            arguments = ", ".join(["self", *(f"{name}={name}" for name in guard.takes)])
            call = f"{self._constant('truth', truth)}({self.callable(guard.function)}({arguments}))"
            return f"not {call}" if guard.negated else call
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


def _decide(cases: list[_Case], pad: str, texts: _Expressions, take: _Take) -> Iterator[str]:
    """Test first what all cases share, then what divides them, then one case after the other."""
    first = cases[0]
    if len(cases) == 1:
        if first.tests:
            yield f"{pad}if {texts.condition(All(*first.tests))}:"
            yield from take(first.row, pad + "    ", texts)
        else:
            yield from take(first.row, pad, texts)
        return
    data = [test for test in first.tests if not is_opaque(test)]  # callables stay behind what they may rely on
    for test in data:
        if all(test in case.tests for case in cases):
            yield f"{pad}if {texts.condition(test)}:"
            yield from _decide([_without(case, test) for case in cases], pad + "    ", texts, take)
            return
    for test in data:
        other = negated(test)
        if all(test in case.tests or other in case.tests for case in cases):
            yield f"{pad}if {texts.condition(test)}:"
            true = [_without(case, test) for case in cases if test in case.tests]
            yield from _decide(true, pad + "    ", texts, take)
            yield f"{pad}else:"
            false = [_without(case, other) for case in cases if other in case.tests]
            yield from _decide(false, pad + "    ", texts, take)
            return
    for case in cases:
        yield from _decide([case], pad, texts, take)


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


def _chosen(
    chart: Chart, places: dict[int, int], take: bool, row: Row, pad: str, texts: _Expressions
) -> Iterator[str]:
    """The step as a value: the configurations before and after it."""
    before = {name: texts.use(name) for name in (*chart.names, *chart.names)}  # twice: for before and after
    after = before | {effect.name: _new(effect, texts) for effect in row.effects}
    old, new = ", ".join(["state", *before.values()]), ", ".join([repr(row.target), *after.values()])
    yield f"{pad}_step = _Step_{places[id(row)]}()"  # an __init__ would take as long again as the rest
    yield f"{pad}_step.session = self"
    yield f"{pad}_step.before = ({old},)"
    yield f"{pad}_step.after = ({new},)"
    yield from [f"{pad}_step.data = _data"] if chart.event(row.event).data else []
    if take:
        yield from (f"{pad}self._{effect.name} = {after[effect.name]}" for effect in row.effects)
        yield from [f"{pad}self._state = {row.target!r}"] if row.moves else []
    yield f"{pad}return _step"


_Take: TypeAlias = Callable[[Row, str, _Expressions], Iterator[str]]
"""Writes what happens once a row is chosen."""


def _read(effect: Assignment) -> set[str]:
    return {name for name, _ in effect.value.terms} if isinstance(effect.value, Sum) else set()


def _new(effect: Assignment, texts: _Expressions) -> str:
    return texts.sum(effect.value) if isinstance(effect.value, Sum) else texts.value(effect.value[0])
