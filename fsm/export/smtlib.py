"""A chart's claims for all counts as SMT-LIB 2.6, for z3, cvc5 and others: each is one step of an induction.

1. A claim is refuted by an example: it holds where the answer to its `check-sat` is `unsat`.
2. The claims of every chart: the invariants hold at the start; a row keeps them and makes no count negative; no two
   rows of an event are enabled together.
3. `Always`, `Falls` and `Changes` properties become claims; predicates in Python cannot be written down.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import combinations
from typing import NamedTuple

from fsm.analysis.properties import Always, Changes, EachConfiguration, EachStep, Falls, Property
from fsm.chart import Chart
from fsm.export.lowered import Table, Total, initial, lower, lower_guard, plain_value
from fsm.export.naming import in_comment
from fsm.export.smtlib_words import all_of, any_of, constant, formula, numeral, sum_of, symbol
from fsm.export.words import made_by
from fsm.variable import Choice

__all__ = ["Claim", "claims", "script"]


class Claim(NamedTuple):
    """A sentence, and the term that an example against it would make true."""

    sentence: str
    refuted: str


def script(chart: Chart, properties: Iterable[Property] = ()) -> str:
    """Return the script.  ExportError for a callable guard."""
    table = lower(chart, "smtlib")
    lines = [
        f"; {in_comment(f'{chart.name}: {chart.doc}' if chart.doc else chart.name)}.", f"; {made_by(chart, 'smtlib')}.",
        "; Each claim is followed by the search for an example against it: unsat means that it holds for all counts.",
        "; z3 FILE, or cvc5 --incremental FILE",
        "(set-logic QF_LIA)", *_declarations(table), *_rows(table),
    ]  # fmt: skip
    for one in claims(table, properties):
        said = in_comment(one.sentence).replace('"', "'")
        lines += ["", f'(echo "{said}")', "(push 1)", f"(assert {one.refuted})", "(check-sat)", "(pop 1)"]
    return "\n".join([*lines, ""])


def _declarations(table: Table) -> Iterator[str]:
    chart = table.chart
    for number, state in enumerate(chart.states):
        yield f"(define-fun {symbol('state', state)} () Int {number})"
    for v in chart.variables:
        for number, value in enumerate(v.values if isinstance(v, Choice) else ()):
            yield f"(define-fun {constant(v.name, plain_value(value))} () Int {number})"
    for after in ("", "after"):
        yield from (f"(declare-const {symbol(name, after)} Int)" for name in ("the state", *chart.names))
        ranges = [f"(<= 0 {symbol('the state', after)} {len(chart.states) - 1})"]
        for v in chart.variables:
            most = f" {len(v.values) - 1}" if isinstance(v, Choice) else ""
            ranges.append(f"(<= 0 {symbol(v.name, after)}{most})")
        promises = (
            f"(=> (= {symbol('the state', after)} {symbol('state', state)}) {formula(promise, after)})"
            for state, promise in table.invariants.items()
        )
        yield f"(define-fun {symbol('sound', after)} () Bool {all_of([*ranges, *promises])})"
    for name in table.numbers:
        yield from [f"(declare-const {symbol(name)} Int)", f"(assert (<= 0 {symbol(name)}))"]


def _rows(table: Table) -> Iterator[str]:
    """Whether a row is enabled, and whether it is the step."""
    for one in table.rows:
        here = f"(= {symbol('the state')} {symbol('state', one.row.source)})"
        yield f"(define-fun {symbol('enabled', one.row.id)} () Bool {all_of([here, formula(one.guard)])})"
        new = {name: sum_of(v) if isinstance(v, Total) else constant(name, v[0]) for name, v in one.together}
        becomes = [f"(= {symbol(name, 'after')} {new.get(name, symbol(name))})" for name in table.chart.names]
        there = f"(= {symbol('the state', 'after')} {symbol('state', one.row.target)})"
        parts = [symbol("enabled", one.row.id), there, *becomes]
        yield f"(define-fun {symbol('step', one.row.id)} () Bool {all_of(parts)})"


def claims(table: Table, properties: Iterable[Property] = ()) -> Iterator[Claim]:
    """Return the claims of a chart, and those that its properties make."""
    chart = table.chart
    start = [f"(= {symbol('the state')} {symbol('state', chart.initial)})"]
    for v in chart.variables:
        value = initial(v)
        start.append(f"(= {symbol(v.name)} {constant(v.name, value) if isinstance(v, Choice) else value})")  # type: ignore[arg-type]
    yield Claim("the invariants hold at the start", all_of([*start, f"(not {symbol('sound')})"]))
    step = any_of(symbol("step", one.row.id) for one in table.rows)
    kept = all_of([symbol("sound"), step, f"(not {symbol('sound', 'after')})"])
    yield Claim("every row keeps the invariants, and makes no count negative", kept)
    pairs = [
        all_of([symbol("enabled", one.row.id), symbol("enabled", other.row.id)])
        for one, other in combinations(table.rows, 2)
        if (one.row.source, one.row.event) == (other.row.source, other.row.event)
    ]
    yield Claim("at most one row of an event is enabled", all_of([symbol("sound"), any_of(pairs)]))
    for one in properties:
        if isinstance(one, Always):
            yield Claim(
                one.sentence, all_of([symbol("sound"), *_concerned(one), f"(not {formula(lower_guard(one.holds))})"])
            )
        elif not isinstance(one, (EachConfiguration, EachStep)):
            yield _of_steps(table, one)


def _concerned(one: Always | Falls | Changes) -> Iterator[str]:
    """Where a property speaks."""
    if one.states is not None:
        yield any_of(f"(= {symbol('the state')} {symbol('state', state)})" for state in one.states)
    yield formula(lower_guard(one.when))


def _of_steps(table: Table, one: Falls | Changes) -> Claim:
    weights = Total(tuple(one.weights.items()))
    before, after = sum_of(weights), sum_of(weights, "after")
    wrong = []
    for row in table.rows:
        if one.events is None or row.row.event in one.events:
            by = one.change(row.row.event)
            held = f"(< {after} {before})" if by is None else f"(= {after} (+ {before} {numeral(by)}))"
            wrong.append(f"(and {symbol('step', row.row.id)} (not {held}))")
    return Claim(one.sentence, all_of([symbol("sound"), *_concerned(one), any_of(wrong)]))
