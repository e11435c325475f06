"""Charts whose graph has no end: a loop of events that can be repeated for ever, and the counter that it raises.

Theory.  Suppose a run comes back to the same state and the same enumerated values, and no counter is less than before.
A loop with a callable guard proves nothing.  Of the others two kinds are recognised:

*Steady loops.*  Let d be what one round adds to the counters.  If the n-th round begins at x + n d, its places are sums
of n, too, found by executing the rows with such sums.  If they end at x + (n + 1) d, and no guard and no bound on the
way can fail for any n, which the solver decides, then the loop is repeated for ever.

*Growing loops.*  If every sum in the chart has factors of at least 0 only, one round is a map x -> Ax + b, A >= 0, and
as long as the same rows are taken the counters can only grow from round to round.  Let K be the greatest number any
condition compares with, and n the number of counters.  Watch n + 1 rounds in a row:

1. A counter that, at some place of the loop, is above K in all of them stays above K there, and every comparison it
   is part of keeps its answer.
2. A counter that does not change at some place in n + 1 rounds never changes there again (its changes follow a linear
   recurrence of order n: Cayley and Hamilton).
3. If something grows in each of these rounds, something grows in every later one (for the same reason).

If at every place each counter is of kind 1 or 2, and 3 holds, the loop is repeated for ever.
No search can find every endless loop, so the explorer has a limit as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from fsm.chart import Chart, Configuration, Row
from fsm.condition import ALWAYS, All, AnyOf, Compare, Condition, Datum, Value, negated
from fsm.data import NO_DATA
from fsm.solver import atoms, impossible
from fsm.variable import Counter, Sum, is_whole

__all__ = ["Loop", "covers", "endless_loop", "greatest_number", "is_finite", "only_sums"]

MOST_ROUNDS: Final = 2_000


class Loop(NamedTuple):
    """Events that can be repeated for ever from a configuration, and the counters that they raise."""

    events: tuple[str, ...]
    start: Configuration
    grows: tuple[str, ...]


def is_finite(chart: Chart, bounds: Iterable[Condition]) -> bool:
    """True when every counter has an upper bound of its own, so that the graph must be finite."""
    bounded: set[str] = set()
    for bound in bounds:
        for part in bound.parts() if isinstance(bound, All) else (bound,):
            if isinstance(part, Compare) and part.op in ("<", "<=", "==") and all(f > 0 for _, f in part.terms):
                bounded |= part.names()
    return all(variable.name in bounded for variable in chart.variables if isinstance(variable, Counter))


def greatest_number(chart: Chart, more: Iterable[Condition] = ()) -> int:
    """Return K: the greatest number with which a guard, an invariant or one of these conditions compares a sum."""
    guards = [row.guard for row in chart.rows] + [state.invariant for state in chart.states]
    numbers = [a.bound for guard in (*guards, *more) for a in atoms(guard) if isinstance(a, Compare)]
    return max([0, *numbers])


def covers(chart: Chart, later: Configuration, earlier: Configuration) -> bool:
    """True when `later` has the state and choices of `earlier`, no counter less, and one counter greater."""
    if later[0] != earlier[0]:
        return False
    greater = False
    for variable, new, old in zip(chart.variables, later[1:], earlier[1:], strict=True):
        if not isinstance(variable, Counter):
            if new is not old and new != old:
                return False
        else:
            if _number(new) < _number(old):
                return False
            greater = greater or new != old
    return greater


def endless_loop(
    chart: Chart,
    fire: Callable[[Configuration, str], tuple[Row, Configuration] | None],
    start: Configuration,
    steps: Sequence[tuple[str, str]],
    greatest: int,
    bounds: Iterable[Condition] = (),
) -> Loop | None:
    """Return the loop of these (event, row id) steps from `start` if it can be repeated for ever; None if not proved.

    `fire` takes one step within the bounds, or returns None.  `greatest` is K.  An event may carry its `data`.
    """
    bounds = tuple(bounds)
    counters = [place for place, v in enumerate(chart.variables, 1) if isinstance(v, Counter)]
    callable_ids = {row.id for row in chart.opaque}
    if any(row in callable_ids for _, row in steps):
        return None
    if (grows := _steady(chart, start, steps, bounds)) is not None:
        return Loop(tuple(event for event, _ in steps), start, grows)
    rounds = greatest + 2 * len(counters) + 4
    if rounds > MOST_ROUNDS or not only_sums(chart, bounds):
        return None
    watched: list[list[Configuration]] = []
    here = start
    for _ in range(rounds):
        places = [here]
        for event, row in steps:
            step = fire(here, event)
            if step is None or step[0].id != row:
                return None
            here = step[1]
            places.append(here)
        watched.append(places)
        if len(watched) > len(counters) and (grown := _settled(watched[-len(counters) - 1 :], counters, greatest)):
            return Loop(tuple(event for event, _ in steps), start, tuple(chart.names[place - 1] for place in grown))
    return None


def only_sums(chart: Chart, more: Iterable[Condition] = ()) -> bool:
    """Whether the chart compares and assigns sums with factors above 0 only, and of counters alone."""
    guards = [*(row.guard for row in chart.rows), *(state.invariant for state in chart.states), *more]
    terms = [atom.terms for guard in guards for atom in atoms(guard) if isinstance(atom, Compare)]
    terms += [effect.value.terms for row in chart.rows for effect in row.effects if isinstance(effect.value, Sum)]
    numbers = chart.numbers
    return all(factor > 0 and name not in numbers for one in terms for name, factor in one)


ROUND: Final = "round"
"""The variable of a steady loop: how often it has been repeated."""


def _steady(
    chart: Chart, start: Configuration, steps: Sequence[tuple[str, str]], bounds: Iterable[Condition]
) -> tuple[str, ...] | None:
    """Return the counters that grow if this is a steady loop that can be repeated for ever; otherwise None."""
    first = chart.values(start)
    values = first
    for event, id in steps:  # one round, as it is taken first
        values = chart.row(id).apply(values, getattr(event, "data", NO_DATA))
    if any(not is_whole(one) and one != first[name] for name, one in values.items()):
        return None
    drift = {name: one - _number(first[name]) for name, one in values.items() if is_whole(one)}

    def rising(name: str, base: Value) -> Value | Sum:
        return Sum(((ROUND, drift[name]),) if drift[name] else (), _number(base)) if name in drift else base

    here = {name: rising(name, one) for name, one in first.items()}
    for event, id in steps:
        row = chart.row(id)
        known: dict[str, Value | Datum | Sum] = {**here, **getattr(event, "data", NO_DATA)}
        if not _always(row.guard, known, chart):
            return None
        for effect in row.effects:
            here[effect.name] = _summed(effect.value, known) if isinstance(effect.value, Sum) else effect.value[0]
        if not all(_always(bound, here, chart) for bound in bounds if bound.names() <= set(here)):
            return None
    for name, end in here.items():
        due = rising(name, values[name])
        same = (end.terms, end.constant) == (due.terms, due.constant) if isinstance(due, Sum) else end == due  # type: ignore[union-attr]
        if not same:
            return None
    return tuple(name for name in chart.names if drift.get(name, 0) > 0) or None


def _summed(total: Sum, known: Mapping[str, Value | Datum | Sum]) -> Sum:
    """A sum with what is known in the place of its counters: a sum of the number of the round."""
    found = Sum((), total.constant)
    for name, factor in total.terms:
        one = known[name]
        found += (one if isinstance(one, Sum) else Sum((), _number(one))) * factor
    return found


def _always(guard: Condition, known: Mapping[str, Value | Datum | Sum], chart: Chart) -> bool:
    """Whether a condition holds in every round."""
    return impossible(negated(_in_rounds(guard, known)), chart)


def _in_rounds(guard: Condition, known: Mapping[str, Value | Datum | Sum]) -> Condition:
    if isinstance(guard, Compare):
        total = _summed(Sum(guard.terms, 0), known)
        return Compare(total.terms, guard.op, guard.bound - total.constant)
    if isinstance(guard, (All, AnyOf)):
        return type(guard)(*(_in_rounds(part, known) for part in guard.parts()))
    return ALWAYS if guard.holds(known) else AnyOf()  # type: ignore[arg-type]  # of enumerated values, which are known


def _settled(rounds: list[list[Configuration]], counters: list[int], greatest: int) -> list[int]:
    """Return the counters that grow when these rounds meet the three points of the theory; otherwise none."""
    grown = [p for p in counters if rounds[-1][-1][p] != rounds[0][0][p]]
    for places in rounds:
        if places[0] == places[-1] or not _no_less(places, counters):
            return []
    for place in zip(*rounds, strict=True):
        for counter in counters:
            values = [_number(one[counter]) for one in place]
            if min(values) != max(values) and min(values) <= greatest:
                return []
    return grown


def _no_less(places: list[Configuration], counters: list[int]) -> bool:
    """True when no counter is less at the end of a round than at its start."""
    return all(_number(places[-1][p]) >= _number(places[0][p]) for p in counters)


def _number(value: object) -> int:
    assert isinstance(value, int)
    return value
