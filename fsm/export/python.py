"""A chart as a Python module that imports nothing: a class with a method for each event.

A method returns True, or raises Refused and has changed nothing.  The data of an event are given by keyword.
"""

from __future__ import annotations

from collections.abc import Iterator

from fsm.chart import Chart, Event, Output
from fsm.condition import AnyOf
from fsm.export.lowered import ALWAYS, Cell, Kept, LoweredRow, Table, initial, lower, plain_value
from fsm.export.naming import changes, in_comment
from fsm.export.python_words import PythonWords, quoted
from fsm.export.words import made_by
from fsm.variable import Choice

__all__ = ["module"]


def module(chart: Chart) -> str:
    """Return the module.  ExportError for what cannot be written down."""
    table = lower(chart, "python")
    words = PythonWords(table)
    parts = [_opening(table, words), _class(table, words), *(_method(table, words, event) for event in chart.events)]
    return "\n".join(line for part in parts for line in part) + "\n"


def _opening(table: Table, words: PythonWords) -> Iterator[str]:
    chart = table.chart
    yield f'"""{quoted(f"{chart.name}: {chart.doc}" if chart.doc else chart.name)}.'
    yield from ["", f"{made_by(chart, 'python')}.  It imports nothing."]
    named = [line.replace("\\", "\\\\") for line in changes("Python", words.names)]
    yield from ["", *named] if named else []
    yield from ['"""', "", f"STATES = {tuple(map(str, chart.states))!r}", f"EVENTS = {tuple(map(str, chart.events))!r}"]
    for v in chart.variables:
        if isinstance(v, Choice):
            yield f"{words.names('values of', v.name)} = {tuple(map(plain_value, v.values))!r}"
    yield from (f"{words.names('output', output.name)} = 0x{int(output.bit):X}" for output in chart.outputs)
    yield REFUSED


REFUSED = '''

class Refused(Exception):
    """The event is not accepted, and nothing has changed.  `kind` is illegal, refused or finished."""

    def __init__(self, event, state, kind, needs=""):
        reason = {"refused": f"needs {needs}", "finished": f"{state} is final"}.get(kind, f"not legal in {state}")
        super().__init__(f"cannot {event} while {state}: {reason}")
        self.event, self.state, self.kind, self.needs = event, state, kind, needs

'''


def _class(table: Table, words: PythonWords) -> Iterator[str]:
    chart, own = table.chart, {v.name: words.names("value", v.name) for v in table.chart.variables}
    slots = ("state", *own.values(), *(("entries",) if table.timed else ()))
    yield from [f"class {words.cls}:", f'    """{quoted(chart.doc or chart.name)}."""', ""]
    yield from [f"    __slots__ = {slots!r}", "", "    def __init__(self):", f"        self.state = {chart.initial!r}"]
    for v in chart.variables:
        yield f"        self.{own[v.name]} = {initial(v)!r}{f'  # {in_comment(v.doc)}' if v.doc else ''}"
    if table.timed:
        yield "        self.entries = 1  # how often a state was entered: the clocks start anew when it changes"
    yield from _property("flags", "The output word.")
    yield f"        return {' | '.join(_bit(table, words, output) for output in chart.outputs) or '0'}"
    yield from _property("sound", "Whether these values can be: to be asked of those that come from outside.")
    for v in chart.variables:
        values = words.names("values of", v.name) if isinstance(v, Choice) else ""
        strange = f"self.{own[v.name]} not in {values}" if values else _no_count(own[v.name], "self.")
        yield from [f"        if {strange}:", "            return False"]
    promises = (f"{state!r}: lambda self: {words.guard(promise)}" for state, promise in table.invariants.items())
    yield f"        return {{{', '.join(promises)}}}.get(self.state, lambda self: False)(self)"
    if table.timed:
        said = "The seconds after entering this state when an event is due, each with the event."
        yield from _property("delays", said)
        due = {str(state): dict(state.after) for state in chart.states if state.after}
        yield f"        return {due!r}.get(self.state, {{}})"
    yield from ["", "    def fire(self, event, **data):", '        """Take the event of that name."""']
    yield "        if event not in EVENTS:"
    yield '            raise ValueError(f"there is no event {event!r}")'
    renamed = {name: found for found, kind, name in words.names.changed if kind == "event"}
    yield f"        return getattr(self, {f'{renamed!r}.get(event, event)' if renamed else 'event'})(**data)"


def _bit(table: Table, words: PythonWords, output: Output) -> str:
    here = f"self.state in {tuple(map(str, output.states or ()))!r}"
    return f"({words.names('output', output.name)} if {words.output(table, output, here)} else 0)"


def _property(name: str, doc: str) -> list[str]:
    return ["", "    @property", f"    def {name}(self):", f'        """{doc}"""']


def _no_count(name: str, owner: str = "") -> str:
    return f"type({owner}{name}) is not int or {owner}{name} < 0"


def _method(table: Table, words: PythonWords, event: Event) -> Iterator[str]:
    given = [(words.names("value", one.name), "" if one.required else f"={one.default!r}") for one in event.data]
    parameters = f", *, {', '.join(name + default for name, default in given)}" if given else ""
    yield from ["", f"    def {words.names('event', str(event))}(self{parameters}):"]
    yield from [f'        """{quoted(event.doc[:1].upper() + event.doc[1:])}."""'] if event.doc else []
    for one in event.numbers:
        name = words.names("value", one.name)
        yield f"        if {_no_count(name)}:"
        yield f'            raise ValueError(f"{name} must be a whole number, 0 or more, not {{{name}!r}}")'
    yield "        state = self.state"
    for cell in table.cells(event):
        yield f"        if {_in_states(table, cell.states)}:"
        yield from (f"            {line}" for line in _rows(words, event, cell))
    finished = table.finished(event)
    kind = f'"finished" if state in {finished!r} else "illegal"' if finished else '"illegal"'
    yield f"        raise Refused({str(event)!r}, state, {kind})"


def _in_states(table: Table, states: tuple[str, ...]) -> str:
    if len(states) == len(table.chart.states) - 1 > 1:
        return f"state != {next(str(state) for state in table.chart.states if state not in states)!r}"
    return " or ".join(f"state == {state!r}" for state in states)


def _rows(words: PythonWords, event: Event, cell: Cell) -> Iterator[str]:
    words.reads = {}
    list(_decided(words, event, cell))  # once to count how often each variable is read
    words.local = frozenset(n for n, reads in words.reads.items() if reads > 1 and n not in words.numbers)
    attributes = [words.names("value", name) for name in words.reads if name in words.local]
    yield from (f"{name} = self.{name}" for name in attributes)
    yield from _decided(words, event, cell)
    words.local = frozenset()


def _decided(words: PythonWords, event: Event, cell: Cell) -> Iterator[str]:
    for one in cell.rows:
        pad = "" if one.guard == ALWAYS else "    "
        yield from [f"if {words.guard(one.guard)}:"] if pad else []
        yield from (f"{pad}{line}" for line in _take(words, one))
    if not cell.total:
        needs = str(AnyOf(*dict.fromkeys(one.row.guard for one in cell.rows)))
        yield f'raise Refused({str(event)!r}, state, "refused", {needs!r})'


def _take(words: PythonWords, one: LoweredRow) -> Iterator[str]:
    for effect in one.effects:
        kept = isinstance(effect.name, Kept)
        to = words.kept(effect.name) if kept else f"self.{words.names('value', effect.name)}"
        yield f"{to} = {words.new(effect.name, effect.value)}"
    yield from [f"self.state = {one.row.target!r}"] if one.row.moves else []
    yield from ["self.entries += 1"] if words.timed and one.row.leaves else []
    yield f"return True  # {in_comment(one.row.id)}"
