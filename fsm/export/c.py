"""A chart as a C header: C99, also C++11, nothing to link and nothing but <stdint.h> to include.

A count is a `uint32_t`.  An event that would make a count larger than 2**32 - 1 is answered with FULL and changes
nothing, as any other refusal.  Time is the embedding program's: the header says which event is due, and after how long.
"""

from __future__ import annotations

from collections.abc import Iterator

from fsm.chart import Chart, Event
from fsm.condition import label
from fsm.export.c_words import ANSWERS, MOST, CWords, literal
from fsm.export.errors import ExportError
from fsm.export.lowered import ALWAYS, Kept, LoweredRow, Table, Total, heaviest, lower, plain_value, unread  # fmt: skip
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
        _structure(table, c), *(_trigger(table, c, event) for event in chart.events), _fire(table, c),
        _flags(table, c, word), _sound(table, c), _delay(table, c) if table.timed else (), _texts(table, c),
        addition.splitlines(), ["#endif", ""],
    )  # fmt: skip
    return "\n".join(line for part in parts for line in part)


def _note(text: str) -> str:
    return f" /* {in_comment(text)} */" if text else ""


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
        yield f"enum {{{_note(f'{kind}s')}"
        for one in named:
            yield f"  {c.names(kind, str(one))}{',' if one is not named[-1] else ''}{_note(one.doc)}"
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
        yield f"  {kind} {c.members('variable', v.name)};{_note(v.doc)}"
    if table.timed:
        yield "  uint32_t entries;" + _note("how often a state was entered: the clocks start anew when it changes")
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


def _trigger(table: Table, c: CWords, event: Event) -> Iterator[str]:
    given = [c.members("datum", one.name) for one in event.numbers]
    yield from [_note(event.doc).strip()] if event.doc else []
    parameters = "".join(f", uint32_t {name}" for name in given)
    yield f"static inline int {c.names('trigger', str(event))}({c.prefix} *s{parameters}) {{"
    yield from [*(f"  (void){name};" for name in given), "  switch (s->state) {"]
    for cell in table.cells(event):
        yield from (f"  case {c.state(state)}:" for state in cell.states)
        for one in cell.rows:
            yield (
                f"    {{{_note(one.row.id)}"
                if one.guard == ALWAYS
                else f"    if ({c.guard(one.guard)}) {{{_note(one.row.id)}"
            )
            yield from [*(f"      {line}" for line in _take(table, c, one)), "    }"]
        yield from [] if cell.total else [f"    return {c.answer('REFUSED')};"]
    yield from (f"  case {c.state(state)}: return {c.answer('FINISHED')};" for state in table.finished(event))
    yield from [f"  default: return {c.answer('ILLEGAL')};", "  }", "}", ""]


def _take(table: Table, c: CWords, one: LoweredRow) -> Iterator[str]:
    """What was; what would be too large; what becomes."""
    done = [effect for effect in one.effects if not isinstance(effect.name, Kept)]
    for effect in one.effects:
        if isinstance(effect.name, Kept):
            yield f"const uint32_t {c.kept(effect.name)} = {c.variable(effect.name)};"
    for effect in done:
        if (
            isinstance(effect.value, Total)
            and effect.value.grows
            and effect.value != Total((), min(effect.value.constant, MOST))
        ):
            yield f"if ({c.total(effect.value)} > UINT32_MAX) return {c.answer('FULL')};"
    for effect in done:
        new = c.new(effect.name, effect.value)
        yield f"{c.variable(effect.name)} = {f'(uint32_t)({new})' if '64_t' in new or 'ull' in new else new};"
    yield from [f"s->state = {c.state(one.row.target)};"] if one.row.moves else []
    yield from ["s->entries++;"] if table.timed and one.row.leaves else []
    yield f"return {c.answer('ACCEPTED')};"


def _fire(table: Table, c: CWords) -> Iterator[str]:
    more = f", const {c.function('data')} *data" if table.numbers else ""
    yield f"static inline int {c.function('fire')}({c.prefix} *s, int event{more}) {{"
    yield "  switch (event) {"
    for event in table.chart.events:
        given = "".join(f", data->{c.members('datum', one.name)}" for one in event.numbers)
        yield f"  case {c.names('event', str(event))}: return {c.names('trigger', str(event))}(s{given});"
    yield from [f"  default: return {c.answer('ILLEGAL')};", "  }", "}", ""]


def _flags(table: Table, c: CWords, word: str) -> Iterator[str]:
    yield from ["/* The output word. */", f"static inline {word} {c.function('flags')}(const {c.prefix} *s) {{"]
    yield from ["  (void)s;", f"  {word} word = 0;"]
    for output in table.chart.outputs:
        states = " || ".join(f"s->state == {c.state(state)}" for state in map(str, output.states or ())) or "0"
        tests = [f"({states})"] if output.states is not None else []
        tests += [c.guard(table.outputs[output.name], True)] if table.outputs[output.name] != ALWAYS else []
        test = f"if ({' && '.join(tests)}) " if tests else ""
        yield f"  {test}word |= {c.names('is', output.name)};"
    yield from ["  return word;", "}", ""]


def _sound(table: Table, c: CWords) -> Iterator[str]:
    yield "/* Whether these values can be: to be asked of those that come from outside. */"
    yield f"static inline int {c.function('sound')}(const {c.prefix} *s) {{"
    for v in table.chart.variables:
        if isinstance(v, Choice) and len(v.values) not in (1 << 8, 1 << 16):
            yield f"  if ({c.variable(v.name)} >= {len(v.values)}u) return 0;"
    yield "  switch (s->state) {"
    yield from (f"  case {c.state(state)}: return {c.guard(promise)};" for state, promise in table.invariants.items())
    yield from ["  default: return 0;", "  }", "}", ""]


def _delay(table: Table, c: CWords) -> Iterator[str]:
    yield "/* The seconds after entering the present state when the event is due; less than 0 if it never is. */"
    yield f"static inline double {c.function('delay')}(const {c.prefix} *s, int event) {{"
    for state in table.chart.states:
        for seconds, event in state.after.items():
            here = f"s->state == {c.state(state)} && event == {c.names('event', event)}"
            yield f"  if ({here}) return {float(seconds)!r};"
    yield from ["  return -1.0;", "}", ""]


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
