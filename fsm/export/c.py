"""A chart as a C header: C99, also C++11, nothing to link and nothing but <stdint.h> to include.

A count is a `uint32_t`.  An event that would make a count larger than 2**32 - 1 is answered with FULL and changes
nothing, as any other refusal.  Time is the embedding program's: the header says which event is due, and after how long.
"""

from __future__ import annotations

from collections.abc import Iterator

from fsm.chart import Chart
from fsm.condition import label
from fsm.export.c_functions import delay, fire, flags, sound, trigger
from fsm.export.c_words import ANSWERS, MOST, CWords, literal, note
from fsm.export.errors import ExportError
from fsm.export.lowered import Table, heaviest, lower, plain_value, unread
from fsm.export.naming import changes, in_comment
from fsm.export.words import made_by
from fsm.variable import Choice

__all__ = ["header"]


def header(chart: Chart, addition: str = "") -> str:
    """Return the header.  `addition` is C to put at its end.  ExportError for what C cannot say."""
    table = lower(chart, "c")
    word = "uint32_t" if all(int(o.bit) <= MOST for o in chart.outputs) else "uint64_t"
    sizes = [len(chart.states), *(len(v.values) for v in chart.variables if isinstance(v, Choice))]
    if heaviest(table, MOST) >= 1 << 64 or any(int(o.bit) >= 1 << 64 for o in chart.outputs):
        raise ExportError(chart.name, "c", "a sum, a number or an output bit in it does not fit into 64 bits")
    if max(sizes) > 1 << 16:
        raise ExportError(chart.name, "c", "it has more than 65,536 states, or values of a variable")
    c = CWords(table)
    guard = c.answer("H")
    parts = (
        _opening(table, c), [f"#ifndef {guard}", f"#define {guard}", "#include <stdint.h>", ""], _constants(table, c),
        _structure(table, c), *(trigger(table, c, event) for event in chart.events), fire(table, c),
        flags(table, c, word), sound(table, c), delay(table, c) if table.timed else (), _texts(table, c),
        addition.splitlines(), ["#endif", ""],
    )  # fmt: skip
    return "\n".join(line for part in parts for line in part)


def _opening(table: Table, c: CWords) -> Iterator[str]:
    chart = table.chart
    yield f"/* {in_comment(f'{chart.name}: {chart.doc}' if chart.doc else chart.name)}."
    yield f"   {made_by(chart, 'c')}.  C99 and C++11; nothing to link."
    yield from (f"   {line}" for line in unread(table))
    yield from (f"   {line}" for line in changes("C", c.names, c.members))
    yield "*/"


def _constants(table: Table, c: CWords) -> Iterator[str]:
    chart = table.chart
    yield "/* Done; or unchanged: no row in this state, no condition holds, a final state, a count is full. */"
    yield f"enum {{ {', '.join(map(c.answer, ANSWERS))} }};"
    for kind, named in (("state", chart.states), ("event", chart.events)):
        yield f"enum {{{note(f'{kind}s')}"
        for one in named:
            yield f"  {c.names(kind, str(one))}{',' if one is not named[-1] else ''}{note(one.doc)}"
        yield "};"
    for v in chart.variables:
        if isinstance(v, Choice):
            yield f"enum {{ {', '.join(c.value(v.name, plain_value(value)) for value in v.values)} }};"
    for output in chart.outputs:
        yield f"#define {c.names('is', output.name)} 0x{int(output.bit):X}u{'ll' if output.bit > MOST else ''}"
    yield ""


def _width(values: int) -> str:
    return "uint8_t" if values <= 1 << 8 else "uint16_t"


def _structure(table: Table, c: CWords) -> Iterator[str]:
    chart = table.chart
    yield from ["typedef struct {", f"  {_width(len(chart.states))} state;"]
    for v in chart.variables:
        kind = _width(len(v.values)) if isinstance(v, Choice) else "uint32_t"
        yield f"  {kind} {c.members('variable', v.name)};{note(v.doc)}"
    if table.timed:
        yield "  uint32_t entries;" + note("how often a state was entered: the clocks start anew when it changes")
    yield f"}} {c.prefix};"
    if table.numbers:
        members = (f"  uint32_t {c.members('datum', name)};" for name in table.numbers)
        yield from ["typedef struct {", *members, f"}} {c.function('data')};"]
    yield from [
        "",
        f"static inline void {c.function('start')}({c.prefix} *s) {{",
        f"  s->state = {c.state(chart.initial)};",
    ]
    yield from (f"  {c.variable(v.name)} = {c.starts_with(v)};" for v in chart.variables)
    yield from [*(["  s->entries = 1u;"] if table.timed else []), "}", ""]


def _texts(table: Table, c: CWords) -> Iterator[str]:
    """The chart's own names, for messages and logs."""
    named: list[tuple[str, tuple[str, ...]]] = [(c.function("state_name"), tuple(table.chart.states))]
    named += [(c.function("event_name"), tuple(table.chart.events))]
    named += [
        (c.names("names of", v.name), tuple(map(label, v.values)))
        for v in table.chart.variables
        if isinstance(v, Choice)
    ]
    for function, texts in named:
        yield f"static inline const char *{function}(int number) {{"
        yield from ["  static const char *const names[] = {", *(f"    {literal(text)}," for text in texts), "  };"]
        yield from [f"  return number >= 0 && number < {len(texts)} ? names[number] : 0;", "}", ""]
