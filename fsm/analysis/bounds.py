"""Bounds: conditions over the variables of a chart, as people type them.

    inbound <= 1        OUTBOUND + READY + DEFERRED <= 2        2 * ready + 1 < 6        request in (none, ORDERLY)

The language is that of guards (`condition.py`): a comparison of sums of counters and whole numbers, or of an enumerated
variable with its values, joined with `and`, `or` and `not`.  A number that an event brings with it is bounded like a
counter.  What a chart's own `bounds` say holds of every name that no bound given speaks of.  The case of a name matters
only where two names differ in nothing else.  Python's own parser reads the text; it is never run.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from typing import Final
from unicodedata import normalize

from fsm.chart import Chart
from fsm.condition import OPERATORS, All, Among, AnyOf, Compare, Condition, Opaque, Value, label, negated
from fsm.data import Number
from fsm.solver import atoms
from fsm.variable import Boolean, Choice, Counter, Variable

__all__ = ["BoundError", "bounds_of", "read_bound"]

LONGEST: Final = 1_000
TURNED: Final = {"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
SIGNS: Final[dict[type[ast.cmpop], str]] = {
    ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=",
    ast.In: "in", ast.NotIn: "not in",
}


class BoundError(ValueError):
    """A bound that cannot be read or does not fit the chart.  `bound` is the text as it was given."""

    def __init__(self, bound: object, problem: str) -> None:
        self.bound = bound
        text = repr(str(bound))
        super().__init__(f"bound {text if len(text) <= 80 else text[:77] + '...'}: {problem}")


def bounds_of(chart: Chart, bounds: Iterable[str | Condition] | str | Condition) -> tuple[Condition, ...]:
    """Return bounds, or a single one, as conditions on this chart, with those that the chart brings with it.

    BoundError for one that is wrong.
    """
    if isinstance(bounds, (str, Condition)):
        bounds = (bounds,)
    given = tuple(_one_kind(chart, bound, read_bound(chart, bound)) for bound in bounds)
    bounded = frozenset[str]().union(*(bound.names() for bound in given))
    own = (Compare(((name, 1),), "<=", most) for name, most in chart.bounds.items() if name not in bounded)
    return (*given, *own)


def _one_kind(chart: Chart, text: object, bound: Condition) -> Condition:
    """Return a bound that limits either variables or data.  BoundError for one that does both."""
    names = bound.names()
    if names & set(chart.names) and (data := names & set(chart.numbers)):
        brought = " and ".join(sorted(data))
        raise BoundError(text, f"{brought} comes with an event; give it a bound of its own, such as '{min(data)} <= 2'")
    return bound


def read_bound(chart: Chart, bound: str | Condition) -> Condition:
    """Return one bound, given as text or as a condition, checked against the chart.  BoundError when it is wrong."""
    if isinstance(bound, Condition):
        for name in sorted(bound.names() - {*chart.names, *chart.numbers}):
            raise BoundError(bound, _unknown(chart, name))
        if any(isinstance(atom, Opaque) for atom in atoms(bound)):
            raise BoundError(bound, "a callable says nothing that could be decided beforehand; compare counters")
        return bound
    if len(bound) > LONGEST:
        raise BoundError(bound, f"it is {len(bound)} characters long, and a bound has at most {LONGEST}")
    try:
        tree = ast.parse(bound.strip(), mode="eval")
        return _Reader(chart, bound).condition(tree.body)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        if isinstance(error, BoundError):
            raise
        raise BoundError(bound, "it cannot be read; write it like 'inbound + outbound <= 2'") from None


class _Reader:
    """Turns a parsed text into a condition."""

    def __init__(self, chart: Chart, text: str) -> None:
        self.chart, self.text = chart, text
        self.known: dict[str, Variable | Number] = {
            **{variable.name: variable for variable in chart.variables}, **chart.numbers
        }

    def wrong(self, problem: str) -> BoundError:
        return BoundError(self.text, problem)

    def condition(self, node: ast.expr) -> Condition:
        if isinstance(node, ast.BoolOp):
            parts = [self.condition(part) for part in node.values]
            return All(*parts) if isinstance(node.op, ast.And) else AnyOf(*parts)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return negated(self.condition(node.operand))
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            parts = [self.pair(sides[n], SIGNS.get(type(op), "is"), sides[n + 1]) for n, op in enumerate(node.ops)]
            return parts[0] if len(parts) == 1 else All(*parts)
        if isinstance(node, ast.Name) and isinstance(variable := self.named(node), Boolean):
            return variable.as_condition()
        for inner in ast.walk(node):
            if isinstance(inner, (ast.BitAnd, ast.BitOr, ast.Invert)):
                raise self.wrong("conditions are joined with and, or, not in a text, not with & | ~")
        raise self.wrong(f"{ast.unparse(node)!r} compares nothing; write it like 'inbound + outbound <= 2'")

    def pair(self, left: ast.expr, sign: str, right: ast.expr) -> Condition:
        for one, other in ((left, right), (right, left)):
            variable = self.named(one) if isinstance(one, ast.Name) else None
            if isinstance(variable, Choice):
                if sign not in ("==", "!=", "in", "not in") or (one is right and sign in ("in", "not in")):
                    raise self.wrong(f"{variable.name} is compared with ==, != or in, not with {sign}")
                listed = other.elts if isinstance(other, (ast.Tuple, ast.List, ast.Set)) and "in" in sign else [other]
                values = tuple(self.value(variable, item) for item in listed)
                return Among(variable.name, values, negated=sign in ("!=", "not in"))
        if sign not in OPERATORS:
            raise self.wrong(f"counters are compared with {', '.join(OPERATORS)}, not with {sign}")
        terms, constant = self.sum(left)
        for name, factor in (moved := self.sum(right))[0].items():
            terms[name] = terms.get(name, 0) - factor
        bound = moved[1] - constant
        terms = {name: terms[name] for name in self.known if terms.get(name)}
        if terms and all(factor < 0 for factor in terms.values()):
            terms, sign, bound = {name: -factor for name, factor in terms.items()}, TURNED[sign], -bound
        if not terms:
            raise self.wrong(f"{ast.unparse(left)} {sign} {ast.unparse(right)} names no counter")
        return Compare(tuple(terms.items()), sign, bound)

    def sum(self, node: ast.expr) -> tuple[dict[str, int], int]:
        if isinstance(node, ast.Constant) and isinstance(node.value, int) and not isinstance(node.value, bool):
            return {}, node.value
        if isinstance(node, ast.Name):
            variable = self.named(node)
            if isinstance(variable, (Counter, Number)):
                return {variable.name: 1}, 0
            if variable is None:
                raise self.wrong(_unknown(self.chart, node.id))
            raise self.wrong(f"{variable.name} is no counter")
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
            return self.scaled(self.sum(node.operand), -1 if isinstance(node.op, ast.USub) else 1)
        if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Sub)):
            terms, constant = self.sum(node.left)
            more, other = self.scaled(self.sum(node.right), -1 if isinstance(node.op, ast.Sub) else 1)
            for name, factor in more.items():
                terms[name] = terms.get(name, 0) + factor
            return terms, constant + other
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
            left, right = self.sum(node.left), self.sum(node.right)
            if not left[0] or not right[0]:
                return self.scaled(right, left[1]) if not left[0] else self.scaled(left, right[1])
            raise self.wrong("counters are not multiplied with each other")
        raise self.wrong(f"{ast.unparse(node)!r} is no sum of counters and whole numbers")

    @staticmethod
    def scaled(total: tuple[dict[str, int], int], factor: int) -> tuple[dict[str, int], int]:
        return {name: factor * times for name, times in total[0].items()}, factor * total[1]

    def value(self, variable: Choice, node: ast.expr) -> Value:
        text = ""
        if isinstance(node, ast.Name):
            text = node.id
        elif isinstance(node, ast.Constant) and not isinstance(node.value, (bytes, float, complex)):
            text = label(node.value)
        known = [label(value) for value in variable.values]
        place = _find(known, text)
        if place is None:
            raise self.wrong(f"{variable.name} has no value {ast.unparse(node)} (it has {', '.join(known)})")
        return variable.values[place]

    def named(self, node: ast.Name) -> Variable | Number | None:
        names = tuple(self.known)
        place = _find(names, node.id)
        return None if place is None else self.known[names[place]]


def _find(names: Sequence[str], wanted: str) -> int | None:
    """Return the place of a name: written exactly so, or the only one that differs in case alone."""
    for place, name in enumerate(names):
        if name == wanted:
            return place
    alike = [place for place, name in enumerate(names) if _plain(name) == _plain(wanted)]
    return alike[0] if len(alike) == 1 else None


def _plain(name: str) -> str:
    return normalize("NFKC", name).casefold()


def _unknown(chart: Chart, name: str) -> str:
    names = (*chart.names, *chart.numbers)
    alike = [one for one in names if _plain(one) == _plain(name)]
    if alike:
        return f"{name!r} could be {' or '.join(alike)}; write it exactly"
    return f"{chart.name} has no variable {name!r} (it has {', '.join(names) or 'none'})"
