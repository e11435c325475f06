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
from fsm.condition import label
from fsm.export.lowered import Comparison, Guard, Joined, Label, Table, Total, initial, lower, lower_guard, plain_value
from fsm.export.naming import in_comment
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
        lines += [
            "",
            f'(echo "{_sentence(one.sentence)}")',
            "(push 1)",
            f"(assert {one.refuted})",
            "(check-sat)",
            "(pop 1)",
        ]
    return "\n".join([*lines, ""])


def _sentence(text: str) -> str:
    return in_comment(text).replace('"', "'")


def _symbol(kind: str, name: str = "") -> str:
    """A symbol for a name; what may not stand between bars is written by its number."""
    shown = "".join(c if c.isprintable() and c not in "|\\" else f"<{ord(c):x}>" for c in f"{kind} {name}".strip())
    return f"|{shown}|"


def _and(parts: Iterable[str]) -> str:
    """All of them; solvers do not agree about a conjunction of nothing."""
    found = [*parts]
    return "true" if not found else found[0] if len(found) == 1 else f"(and {' '.join(found)})"


def _or(parts: Iterable[str]) -> str:
    found = [*parts]
    return "false" if not found else found[0] if len(found) == 1 else f"(or {' '.join(found)})"


def _number(number: int) -> str:
    return str(number) if number >= 0 else f"(- {-number})"


def _total(total: Total, after: str = "") -> str:
    words = [
        f"{_symbol(name, after)}" if f == 1 else f"(* {_number(f)} {_symbol(name, after)})" for name, f in total.terms
    ]
    words += [_number(total.constant)] if total.constant or not words else []
    return words[0] if len(words) == 1 else f"(+ {' '.join(words)})"


def _value(name: str, value: Label) -> str:
    return _symbol(f"{name} is", label(value))


def _guard(guard: Guard, after: str = "") -> str:
    if isinstance(guard, Comparison):
        left, right = _total(guard.left, after), _total(guard.right, after)
        return (
            f"(not (= {left} {right}))"
            if guard.op == "!="
            else f"({'=' if guard.op == '==' else guard.op} {left} {right})"
        )
    if isinstance(guard, Joined):
        return (_and if guard.every else _or)(_guard(part, after) for part in guard.parts)
    one = _or(f"(= {_symbol(guard.name, after)} {_value(guard.name, value)})" for value in guard.values)
    return f"(not {one})" if guard.negated else one


def _declarations(table: Table) -> Iterator[str]:
    chart = table.chart
    for number, state in enumerate(chart.states):
        yield f"(define-fun {_symbol('state', state)} () Int {number})"
    for v in chart.variables:
        for number, value in enumerate(v.values if isinstance(v, Choice) else ()):
            yield f"(define-fun {_value(v.name, plain_value(value))} () Int {number})"
    for after in ("", "after"):
        yield from (f"(declare-const {_symbol(name, after)} Int)" for name in ("the state", *chart.names))
        ranges = [f"(<= 0 {_symbol('the state', after)} {len(chart.states) - 1})"]
        for v in chart.variables:
            most = f" {len(v.values) - 1}" if isinstance(v, Choice) else ""
            ranges.append(f"(<= 0 {_symbol(v.name, after)}{most})")
        promises = (
            f"(=> (= {_symbol('the state', after)} {_symbol('state', state)}) {_guard(promise, after)})"
            for state, promise in table.invariants.items()
        )
        yield f"(define-fun {_symbol('sound', after)} () Bool {_and([*ranges, *promises])})"
    for name in table.numbers:
        yield from [f"(declare-const {_symbol(name)} Int)", f"(assert (<= 0 {_symbol(name)}))"]


def _rows(table: Table) -> Iterator[str]:
    """Whether a row is enabled, and whether it is the step."""
    for one in table.rows:
        here = f"(= {_symbol('the state')} {_symbol('state', one.row.source)})"
        yield f"(define-fun {_symbol('enabled', one.row.id)} () Bool {_and([here, _guard(one.guard)])})"
        new = {
            e.name: _total(e.value) if isinstance(e.value, Total) else _value(e.name, e.value[0]) for e in one.together
        }
        becomes = [f"(= {_symbol(name, 'after')} {new.get(name, _symbol(name))})" for name in table.chart.names]
        there = f"(= {_symbol('the state', 'after')} {_symbol('state', one.row.target)})"
        parts = [_symbol("enabled", one.row.id), there, *becomes]
        yield f"(define-fun {_symbol('step', one.row.id)} () Bool {_and(parts)})"


def claims(table: Table, properties: Iterable[Property] = ()) -> Iterator[Claim]:
    """Return the claims of a chart, and those that its properties make."""
    chart = table.chart
    start = [f"(= {_symbol('the state')} {_symbol('state', chart.initial)})"]
    for v in chart.variables:
        value = initial(v)
        start.append(f"(= {_symbol(v.name)} {_value(v.name, value) if isinstance(v, Choice) else value})")  # type: ignore[arg-type]
    yield Claim("the invariants hold at the start", _and([*start, f"(not {_symbol('sound')})"]))
    step = _or(_symbol("step", one.row.id) for one in table.rows)
    kept = _and([_symbol("sound"), step, f"(not {_symbol('sound', 'after')})"])
    yield Claim("every row keeps the invariants, and makes no count negative", kept)
    pairs = [
        _and([_symbol("enabled", one.row.id), _symbol("enabled", other.row.id)])
        for one, other in combinations(table.rows, 2)
        if (one.row.source, one.row.event) == (other.row.source, other.row.event)
    ]
    yield Claim("at most one row of an event is enabled", _and([_symbol("sound"), _or(pairs)]))
    for one in properties:
        if isinstance(one, Always):
            yield Claim(
                one.sentence, _and([_symbol("sound"), *_concerned(one), f"(not {_guard(lower_guard(one.holds))})"])
            )
        elif not isinstance(one, (EachConfiguration, EachStep)):
            yield _of_steps(table, one)


def _concerned(one: Always | Falls | Changes) -> Iterator[str]:
    """Where a property speaks."""
    if one.states is not None:
        yield _or(f"(= {_symbol('the state')} {_symbol('state', state)})" for state in one.states)
    yield _guard(lower_guard(one.when))


def _of_steps(table: Table, one: Falls | Changes) -> Claim:
    weights = Total(tuple(one.weights.items()))
    before, after = _total(weights), _total(weights, "after")
    wrong = []
    for row in table.rows:
        if one.events is None or row.row.event in one.events:
            by = one.change(row.row.event)
            held = f"(< {after} {before})" if by is None else f"(= {after} (+ {before} {_number(by)}))"
            wrong.append(f"(and {_symbol('step', row.row.id)} (not {held}))")
    return Claim(one.sentence, _and([_symbol("sound"), *_concerned(one), _or(wrong)]))
