"""A chart as a Promela model for spin: a process for each event, and the properties as temporal formulas.

1. A step that would leave the bounds is not there, as in the explored graph.  What an event brings is any number up to
   the chart's bound for it.  Time is left out: what is due after a time may come at any moment.
2. Each event has a process of its own, so that weak fairness (`pan -f`) means: an event that stays possible happens.
3. Invariants and `Always` properties become formulas.  Properties of steps are proved in SMT-LIB instead, and
   predicates in Python cannot be written down.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import product

from fsm.analysis.properties import Always, EachConfiguration, EachStep, Property
from fsm.chart import Chart, Event
from fsm.condition import (
    ALWAYS as EVER,
    All,
    Condition,
    label,
)
from fsm.export.errors import ExportError
from fsm.export.lowered import ALWAYS, Guard, Kept, LoweredRow, Table, initial, joined, lower, lower_guard
from fsm.export.naming import changes, in_comment
from fsm.export.promela_words import PromelaWords
from fsm.export.words import made_by
from fsm.solver import weakest_precondition
from fsm.variable import Choice

__all__ = ["model"]

MOST = 2**31 - 1
"""The largest number of an `int`."""


def model(
    chart: Chart, bounds: Iterable[Condition] = (), properties: Iterable[Property] = (), addition: str = ""
) -> str:
    """Return the model; `addition` is Promela to put at its end.

    ExportError for a number that an event brings without a bound, and for numbers larger than an `int`.
    """
    table, within = lower(chart, "promela"), All(*bounds)
    for name in table.numbers:
        if name not in chart.bounds:
            problem = f"events bring {name}, and spin looks at finitely many: give Chart(..., bounds={{{name!r}: 3}})"
            raise ExportError(chart.name, "promela", problem)
    if any(total.constant > MOST or total.weight > MOST for total in table.totals()):
        raise ExportError(chart.name, "promela", "a number in it is larger than 2**31 - 1, the largest of an int")
    words = PromelaWords(table)
    processes = (_process(table, words, event, within) for event in chart.events)
    formulas = _formulas(table, words, properties)
    parts = (
        _opening(table, words, within),
        _variables(table, words),
        *processes,
        formulas,
        addition.splitlines(),
        [""],
    )
    return "\n".join(line for part in parts for line in part)


def _opening(table: Table, words: PromelaWords, within: Condition) -> Iterator[str]:
    chart = table.chart
    yield f"/* {in_comment(f'{chart.name}: {chart.doc}' if chart.doc else chart.name)}."
    yield f"   {made_by(chart, 'promela')}."
    yield f"   {f'Within {in_comment(str(within))}.' if within.parts() else 'Without bounds.'}"
    fair = (len(chart.events) + 3) // 4 + 1
    yield f"   spin -o2 -a FILE; gcc -DNOREDUCE -DNFAIR={fair} -o pan pan.c; ./pan -a -N FORMULA (-f for weak fairness)"
    yield from (f"   {line}" for line in changes("Promela", words.names))
    yield "*/"
    yield from (f"#define {words.state(state)} {number}" for number, state in enumerate(chart.states))
    for v in chart.variables:
        for number, value in enumerate(v.values if isinstance(v, Choice) else ()):
            yield f"#define {words.names(f'{v.name} is', label(value))} {number}"


def _variables(table: Table, words: PromelaWords) -> Iterator[str]:
    yield f"byte state = {words.state(table.chart.initial)};"
    for v in table.chart.variables:
        value = initial(v)
        start = words.value(v.name, value) if isinstance(v, Choice) else str(value)  # type: ignore[arg-type]
        yield f"{'byte' if isinstance(v, Choice) else 'int'} {words.variable(v.name)} = {start};"
    kept = dict.fromkeys(e.name for one in table.rows for e in one.effects if isinstance(e.name, Kept))
    yield from (f"hidden int {words.kept(name)};" for name in kept)


def _process(table: Table, words: PromelaWords, event: Event, within: Condition) -> Iterator[str]:
    rows = [one for one in table.rows if one.row.event == event]
    ranges = [range(table.chart.bounds[one.name] + 1) for one in event.numbers]
    yield from ["", f"active proctype {words.names('event', str(event))}() {{", "end:", "  do"]
    for one in rows:
        inside = _stays_inside(one, within)
        for values in product(*ranges):
            words.data = dict(zip((number.name for number in event.numbers), values, strict=True))
            yield f"  :: d_step {{ {_step(words, one, inside)} }} /* {in_comment(one.row.id)} */"
    words.data = {}
    yield from ["  od", "}"]


def _stays_inside(one: LoweredRow, within: Condition) -> Guard:
    """What has to hold before the row, so that the bounds hold after it."""
    changed = {effect.name for effect in one.row.effects}
    parts = (bound for bound in (within.parts() or ()) if bound.names() & changed)
    return joined(True, [lower_guard(weakest_precondition(bound, one.row.effects)) for bound in parts])


def _step(words: PromelaWords, one: LoweredRow, inside: Guard) -> str:
    tests = [f"state == {words.state(one.row.source)}"]
    tests += [words.guard(guard, True) for guard in (one.guard, inside) if guard != ALWAYS]
    done = [
        f"{words.kept(e.name) if isinstance(e.name, Kept) else words.variable(e.name)} = {words.new(e.name, e.value)}"
        for e in one.effects
    ]
    done += [f"state = {words.state(one.row.target)}"] if one.row.moves else []
    return f"{' && '.join(tests)} -> {'; '.join(done) or 'skip'}"


def _formulas(table: Table, words: PromelaWords, properties: Iterable[Property]) -> Iterator[str]:
    yield ""
    promises = [
        f"(state != {words.state(state)} || {words.guard(promise, True)})"
        for state, promise in table.invariants.items() if promise != ALWAYS
    ]  # fmt: skip
    yield from [f"ltl promised {{ [] ({' && '.join(promises)}) }}"] if promises else []
    if final := [f"state == {words.state(state)}" for state in table.chart.states if state.final]:
        stay = " && ".join(f"[] ({one} -> [] ({one}))" for one in final)
        yield f"ltl stays {{ {stay} }}"
    for number, one in enumerate(properties, 1):
        if isinstance(one, Always):
            yield from [f"/* {in_comment(one.sentence)} */", f"ltl p{number} {{ [] ({_always(words, one)}) }}"]
        else:
            home = "said in Python" if isinstance(one, (EachConfiguration, EachStep)) else "of steps"
            yield f"/* not here, as it is {home}: {in_comment(one.sentence)} */"


def _always(words: PromelaWords, one: Always) -> str:
    free = [f"!({' || '.join(f'state == {words.state(s)}' for s in one.states)})"] if one.states is not None else []
    free += [f"!({words.guard(lower_guard(one.when))})"] if one.when != EVER else []
    return " || ".join([*free, words.guard(lower_guard(one.holds), True)])
