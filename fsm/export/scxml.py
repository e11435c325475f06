"""A chart as one SCXML document (W3C, ECMAScript data model) that other interpreters run.

1. A row that stays is a transition without target: nothing is left or entered.
2. <final> would end the interpreter, so a final state that has rows is an ordinary one.
3. Names are identifiers without dots: dots are prefixes in SCXML, and some interpreters make functions of names.
4. The expressions are such that every interpreter reads them: `===`, `&&` and `||` in conditions only, no conditional
   operator, true and false as 1 and 0.  A refused event is dropped silently in SCXML, so `accepted` counts the others,
   and `flags` is the output word.
"""

from __future__ import annotations

from collections.abc import Iterator
from xml.sax.saxutils import quoteattr

from fsm.chart import Chart, State
from fsm.export.ecmascript import exact_limit
from fsm.export.errors import ExportError
from fsm.export.lowered import ALWAYS, Kept, LoweredRow, Table, initial, lower
from fsm.export.naming import changes, in_comment, plain
from fsm.export.scxml_words import Arithmetic, ScxmlWords
from fsm.export.words import made_by
from fsm.variable import Choice, Variable

__all__ = ["document"]


def document(chart: Chart) -> str:
    """Return the document.  ExportError for what SCXML cannot say."""
    table = lower(chart, "scxml")
    exact_limit(table, "scxml")
    for event in chart.events:
        for one in event.numbers:
            if not one.required:
                problem = (
                    f"event {str(event)!r} brings {one.name} with a default, and SCXML has none for data of events"
                )
                raise ExportError(chart.name, "scxml", problem)
    words = ScxmlWords(table)
    parts = [_opening(table, words), *(_state(table, words, state) for state in chart.states), ["</scxml>", ""]]
    return "\n".join(line for part in parts for line in part)


def _note(text: str) -> str:
    return in_comment(text).replace("--", "- -")


def _opening(table: Table, words: ScxmlWords) -> Iterator[str]:
    chart, give = table.chart, words.names
    yield '<?xml version="1.0" encoding="UTF-8"?>'
    yield f"<!-- {_note(f'{chart.name}: {chart.doc}' if chart.doc else chart.name)}."
    yield f"     {_note(made_by(chart, 'scxml').replace('--format', 'format'))}."
    yield from (f"     {_note(line)}" for line in changes("SCXML", words.names, words.events))
    kept = dict.fromkeys(e.name for one in table.rows for e in one.effects if isinstance(e.name, Kept))
    yield from (f"     {words.kept(name)} holds an earlier value within a step." for name in kept)
    for state in chart.states:
        if state.final and any(one.row.source == state for one in table.rows):
            yield f"     {_note(repr(words.names('state', str(state))))} is final, but answers events."
    yield "-->"
    name, start = quoteattr(plain(chart.name)), quoteattr(give("state", chart.initial))
    namespace = '<scxml xmlns="http://www.w3.org/2005/07/scxml"'
    yield f'{namespace} version="1.0" name={name} datamodel="ecmascript" initial={start}>'
    data = {give("value", v.name): _start(words, v) for v in chart.variables}
    data |= {words.kept(name): "0" for name in kept}
    data |= {
        give("datum of the document", "flags"): _flags(table, words, chart.initial),
        give("datum of the document", "accepted"): "0",
    }
    yield from [
        " <datamodel>",
        *(f"  <data id={quoteattr(id)} expr={quoteattr(expr)}/>" for id, expr in data.items()),
        " </datamodel>",
    ]


def _start(words: ScxmlWords, v: Variable) -> str:
    value = initial(v)
    return words.value(v.name, value) if isinstance(v, Choice) else str(value)  # type: ignore[arg-type]


def _flags(table: Table, words: ScxmlWords, state: str) -> str:
    """The output word in a state, as a sum that needs no conditional operator."""
    numbers = Arithmetic.of(words)
    bits = []
    for output in table.chart.outputs:
        if output.states is None or state in output.states:
            guard = table.outputs[output.name]
            bits.append(str(int(output.bit)) if guard == ALWAYS else f"{int(output.bit)} * {numbers.guard(guard)}")
    return " + ".join(bits) or "0"


def _state(table: Table, words: ScxmlWords, state: State) -> Iterator[str]:
    rows = [one for one in table.rows if one.row.source == state]
    id = quoteattr(words.names("state", str(state)))
    if state.final and not rows:
        yield f" <final id={id}/>"
        return
    yield f" <state id={id}>"
    for number, (seconds, event) in enumerate(state.after.items()):
        timer = quoteattr(f"{words.names('state', str(state))}_{number}")
        due = quoteattr(words.events("event", event))
        yield f'  <onentry><send id={timer} event={due} delay="{seconds}s"/></onentry>'
        yield f"  <onexit><cancel sendid={timer}/></onexit>"
    yield from (_transition(table, words, one) for one in rows)
    yield " </state>"


def _transition(table: Table, words: ScxmlWords, one: LoweredRow) -> str:
    cond = f" cond={quoteattr(words.guard(one.guard))}" if one.guard != ALWAYS else ""
    target = f" target={quoteattr(words.names('state', one.row.target))}" if one.row.leaves else ""
    done = [
        (words.kept(e.name) if isinstance(e.name, Kept) else words.variable(e.name), words.new(e.name, e.value))
        for e in one.effects
    ]
    done += [(words.names("datum of the document", "flags"), _flags(table, words, one.row.target))]
    done += [(counted := words.names("datum of the document", "accepted"), f"{counted} + 1")]
    body = "".join(f"<assign location={quoteattr(to)} expr={quoteattr(new)}/>" for to, new in done)
    return f"  <transition event={quoteattr(words.events('event', one.row.event))}{cond}{target}>{body}</transition>"
