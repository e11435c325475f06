"""The functions of a C header: one for each event, and what else can be asked of a machine."""

from __future__ import annotations

from collections.abc import Iterator

from fsm.chart import Event
from fsm.export.c_words import MOST, CWords, note
from fsm.export.lowered import ALWAYS, Kept, LoweredRow, Table, Total
from fsm.variable import Choice

__all__ = ["delay", "fire", "flags", "sound", "trigger"]


def trigger(table: Table, c: CWords, event: Event) -> Iterator[str]:
    """The function of an event."""
    given = [c.members("datum", one.name) for one in event.numbers]
    yield from [note(event.doc).strip()] if event.doc else []
    parameters = "".join(f", uint32_t {name}" for name in given)
    yield f"static inline int {c.names('trigger', str(event))}({c.prefix} *s{parameters}) {{"
    yield from [*(f"  (void){name};" for name in given), "  switch (s->state) {"]
    for cell in table.cells(event):
        yield from (f"  case {c.state(state)}:" for state in cell.states)
        for one in cell.rows:
            yield (
                f"    {{{note(one.row.id)}"
                if one.guard == ALWAYS
                else f"    if ({c.guard(one.guard)}) {{{note(one.row.id)}"
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


def fire(table: Table, c: CWords) -> Iterator[str]:
    """The function that takes any event by its number."""
    more = f", const {c.function('data')} *data" if table.numbers else ""
    yield f"static inline int {c.function('fire')}({c.prefix} *s, int event{more}) {{"
    yield "  switch (event) {"
    for event in table.chart.events:
        given = "".join(f", data->{c.members('datum', one.name)}" for one in event.numbers)
        yield f"  case {c.names('event', str(event))}: return {c.names('trigger', str(event))}(s{given});"
    yield from [f"  default: return {c.answer('ILLEGAL')};", "  }", "}", ""]


def flags(table: Table, c: CWords, word: str) -> Iterator[str]:
    """The output word."""
    yield from ["/* The output word. */", f"static inline {word} {c.function('flags')}(const {c.prefix} *s) {{"]
    yield from ["  (void)s;", f"  {word} word = 0;"]
    for output in table.chart.outputs:
        states = " || ".join(f"s->state == {c.state(state)}" for state in map(str, output.states or ())) or "0"
        yield f"  if ({c.output(table, output, f'({states})')}) word |= {c.names('is', output.name)};"
    yield from ["  return word;", "}", ""]


def sound(table: Table, c: CWords) -> Iterator[str]:
    """Whether values are such as the machine can have."""
    yield "/* Whether these values can be: to be asked of those that come from outside. */"
    yield f"static inline int {c.function('sound')}(const {c.prefix} *s) {{"
    for v in table.chart.variables:
        if isinstance(v, Choice) and len(v.values) not in (1 << 8, 1 << 16):
            yield f"  if ({c.variable(v.name)} >= {len(v.values)}u) return 0;"
    yield "  switch (s->state) {"
    yield from (f"  case {c.state(state)}: return {c.guard(promise)};" for state, promise in table.invariants.items())
    yield from ["  default: return 0;", "  }", "}", ""]


def delay(table: Table, c: CWords) -> Iterator[str]:
    """When an event is due."""
    yield "/* The seconds after entering the present state when the event is due; less than 0 if it never is. */"
    yield f"static inline double {c.function('delay')}(const {c.prefix} *s, int event) {{"
    for state in table.chart.states:
        for seconds, event in state.after.items():
            here = f"s->state == {c.state(state)} && event == {c.names('event', event)}"
            yield f"  if ({here}) return {float(seconds)!r};"
    yield from ["  return -1.0;", "}", ""]
