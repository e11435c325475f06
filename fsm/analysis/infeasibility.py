"""Why a path cannot be walked, whatever the counts: an exact finite abstraction, and the conditions that contradict.

Theory.  Let K be the greatest number with which any condition of the chart compares.  A counter above K + 1 may be
lowered to K + 1 without changing the answer of any comparison (`validation.py`).  So replace every counter above K by
"K + 1 or more": guards then have the same answers, and only an effect that reads a counter of "K + 1 or more" has
several outcomes, all of which are followed.  Whatever the real machine can do, for any counts, this finite one can do
too.  A path that it cannot walk is therefore infeasible for all counts.  A callable guard counts as true, so the result
holds whatever the callables answer.  A chart that compares counters with each other, subtracts them, or has events that
bring numbers has no such abstraction, and nothing is proved of its paths.

The contradiction is given in the chart's own words: what always holds where the path stands, and the guard that the
next row needs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from typing import Final

from fsm.analysis.divergence import greatest_number, only_sums
from fsm.chart import Chart, Configuration, Row
from fsm.condition import ALWAYS, All, Among, AnyOf, Compare, Condition, Opaque, Value, negated
from fsm.solver import atoms, impossible
from fsm.variable import Assignment, Choice, Counter, Sum

__all__ = ["Abstraction", "contradiction"]

MOST: Final = 20_000
"""Abstract configurations in one state of one path after which the proof is given up."""


class Abstraction:
    """The finite machine that can do whatever the chart can do with any counts."""

    def __init__(self, chart: Chart) -> None:
        self.chart = chart
        self.top = greatest_number(chart) + 1
        self.exact = only_sums(chart)
        self._from: dict[str, list[Row]] = {str(state): [] for state in chart.states}
        for row in chart.rows:
            self._from[row.source].append(row)
        self._after: dict[Configuration, tuple[tuple[str, Configuration], ...]] = {}
        self._inside: dict[tuple[str, ...], frozenset[Configuration] | None] = {}

    def standing(self, rows: tuple[str, ...]) -> frozenset[Configuration] | None:
        """Return where the machine can be after exactly these state-changing rows; None when that is not known."""
        if not self.exact:
            return None
        if rows not in self._inside:
            self._inside[rows] = self._standing(rows)
        return self._inside[rows]

    def _standing(self, rows: tuple[str, ...]) -> frozenset[Configuration] | None:
        if not rows:
            entered = [self._capped(self.chart.start())]
        else:
            earlier = self.standing(rows[:-1])
            if earlier is None:
                return None
            entered = [there for here in earlier for row, there in self.after(here) if row == rows[-1]]
        found = dict.fromkeys(entered)
        waiting = list(found)
        while waiting:
            here = waiting.pop()
            for _, there in self.after(here):
                if there[0] == here[0] and there not in found:
                    found[there] = None
                    waiting.append(there)
            if len(found) > MOST:
                return None
        return frozenset(found)

    def after(self, here: Configuration) -> tuple[tuple[str, Configuration], ...]:
        """Return every row that may be taken here (by its id), with each configuration to which it may lead."""
        known = self._after.get(here)
        if known is None:
            values = self.chart.values(here)
            known = self._after[here] = tuple(
                (row.id, there)
                for row in self._from[str(here[0])]
                if may_hold(row.guard, values)
                for there in self._outcomes(row, values)
            )
        return known

    def _outcomes(self, row: Row, values: dict[str, Value]) -> Iterator[Configuration]:
        effects = {effect.name: effect for effect in row.effects}
        options = [self._new(effects[n], values) if n in effects else (v,) for n, v in values.items()]
        yield from ((row.target, *new) for new in product(*options))

    def _new(self, effect: Assignment, values: dict[str, Value]) -> Sequence[Value]:
        if not isinstance(effect.value, Sum):
            return (effect.value[0],)
        least = effect.new(values)
        assert isinstance(least, int)
        least = min(max(least, 0), self.top)
        open_end = any(values[name] == self.top for name, _ in effect.value.terms)
        return range(least, self.top + 1) if open_end else (least,)

    def _capped(self, here: Configuration) -> Configuration:
        capped = [
            min(value, self.top) if isinstance(variable, Counter) and isinstance(value, int) else value
            for variable, value in zip(self.chart.variables, here[1:], strict=True)
        ]
        return (here[0], *capped)


def may_hold(guard: Condition, values: dict[str, Value]) -> bool:
    """Whether it holds for these values if every callable answers as it needs to."""
    if isinstance(guard, Opaque):
        return True
    if isinstance(guard, All):
        return all(may_hold(part, values) for part in guard.parts())
    if isinstance(guard, AnyOf):
        return any(may_hold(part, values) for part in guard.parts())
    return guard.holds(values)


# ------------------------------------------------------------------------------------------------- in words


def contradiction(chart: Chart, standing: Iterable[Configuration], row: Row) -> str:
    """Say what always holds where the path stands, and what this row needs: the conditions that exclude each other."""
    places = [chart.values(here) for here in standing]
    facts = list(_facts(chart, row, places))
    needs = list(row.guard.parts()) if isinstance(row.guard, All) else [row.guard]
    if not impossible(All(*facts, *needs), chart):
        cases = [_case(chart, row, value, places) for value in _split(chart, places)]
        facts = [AnyOf(*dict.fromkeys(cases))]
        if not impossible(All(*facts, *needs), chart):
            return f"no counts that can occur in {row.source} satisfy {row.guard}, which {row.id} needs"
    facts = _fewest(chart, facts, needs)
    needs = _fewest(chart, needs, facts)
    always = " and ".join(map(_text, facts)) or "nothing more than usual"
    return f"in {row.source} it then always holds that {always}; {row.id} needs {' and '.join(map(_text, needs))}"


def _facts(chart: Chart, row: Row, places: list[dict[str, Value]]) -> Iterator[Condition]:
    """The invariant first, then the enumerated values, then each comparison of the chart that has a single answer."""
    promise = chart.state(row.source).invariant
    if promise != ALWAYS:
        yield promise
    for variable in chart.variables:
        if isinstance(variable, Choice):
            seen = tuple(v for v in variable.values if any(place[variable.name] == v for place in places))
            if len(seen) < len(variable.values):
                yield Among(variable.name, seen)
    yield from _settled(chart, row, places)


def _settled(chart: Chart, row: Row, places: list[dict[str, Value]]) -> Iterator[Condition]:
    spoken = [atom for state in chart.states for atom in atoms(state.invariant)]
    spoken += [a for one in chart.rows if one.source == row.source and one != row for a in atoms(one.guard)]
    spoken += atoms(row.guard)  # last: the mere opposite of the guard explains least
    known = set(chart.names)  # what an event brings settles nothing beforehand
    for atom in dict.fromkeys(atom for atom in spoken if isinstance(atom, Compare) and atom.names() <= known):
        answers = {atom.holds(place) for place in places}
        if len(answers) == 1:
            yield atom if True in answers else negated(atom)


def _split(chart: Chart, places: list[dict[str, Value]]) -> list[dict[str, Value]]:
    """The combinations of enumerated values that occur."""
    names = [v.name for v in chart.variables if isinstance(v, Choice)]
    mixtures = dict.fromkeys(tuple(place[name] for name in names) for place in places)
    return [dict(zip(names, mixture, strict=True)) for mixture in sorted(mixtures, key=str)]


def _case(chart: Chart, row: Row, mixture: dict[str, Value], places: list[dict[str, Value]]) -> Condition:
    here = [place for place in places if all(place[name] == value for name, value in mixture.items())]
    return All(*(Among(name, (value,)) for name, value in mixture.items()), *_settled(chart, row, here))


def _fewest(chart: Chart, parts: list[Condition], others: list[Condition]) -> list[Condition]:
    """Leave out the parts on which the contradiction does not rest, the last first."""
    kept = list(parts)
    for part in reversed(parts):
        fewer = [one for one in kept if one is not part]
        if impossible(All(*fewer, *others), chart):
            kept = fewer
    return kept


def _text(guard: Condition) -> str:
    return f"({guard})" if " or " in str(guard) else str(guard)
