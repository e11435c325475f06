"""Does every configuration that the old table can reach arrive in a legal one of the new?

Theory.
1. What can be wrong with a move is a condition on the old values: that no move of the state holds, or two do; that a
   counter would be negative; that the invariant of the new state would be broken (`values.before`).  If the condition
   contradicts the invariant of the old state, or no row leads there (`analysis/unreachable.py`), that is proved for all
   counts.
2. Otherwise the old table is searched for a configuration where the condition holds.  If one can be reached, the
   migration is wrong, with a trace that anyone can replay.  If the search was complete, there is none.  If it was not,
   the answer is not known beyond the bounds.
3. The migration is also applied to every configuration within the bounds, so that the proof and the program check each
   other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations
from typing import Final, NamedTuple

from fsm.analysis.bounds import bounds_of
from fsm.analysis.divergence import greatest_number
from fsm.analysis.reachability import LIMIT, ExploreError, Explorer
from fsm.analysis.report import Finding
from fsm.analysis.unreachable import proves_unreachable
from fsm.chart import Chart, Configuration
from fsm.condition import ALWAYS, All, Condition, Value, label
from fsm.errors import SnapshotError
from fsm.migration.moves import Moves
from fsm.migration.shape import shape_problems
from fsm.migration.values import before, in_table
from fsm.snapshot import encode
from fsm.solver import NotKnown, possible
from fsm.table import State
from fsm.variable import Counter, Sum

__all__ = ["examine", "problems"]

PLACE: Final = "every state and variable of the old table has its place in the new"
ONE: Final = "in every configuration exactly one move of its state holds"
COUNTS: Final = "no counter arrives negative"
KEPT: Final = "every invariant of the new table holds on arrival"
APPLIED: Final = "applied to each configuration, the migration gives one of the new table"
SEARCHED: Final = 20_000
"""The configurations that are searched for a counterexample when a migration is declared."""
FAILURES: Final = 5
"""The proofs that may fail before no further one is tried."""


def problems(moves: Moves, old: Chart, new: Chart) -> Iterator[str]:
    """Yield where configurations of the old chart would be lost or illegal in the new one, each with a trace.

    What is neither proved nor found within a short search is no mistake; `examine` tells of it.
    The names and kinds have been checked (`shape.py`).
    """
    suspects = _suspects(_questions(moves, old, new), old)
    if not suspects:
        return
    found: dict[_Question, tuple[str, ...]] = {}
    counts = sorted(max(_counts(values), default=0) for values in suspects.values())
    for most in dict.fromkeys((counts[0], counts[-1])):
        reached = _Reached(old, _near(old, most), SEARCHED)
        found |= reached.traces_to(one for one in suspects if one not in found)
    for question in suspects:
        if question in found:
            yield f"{question.detail} (after {','.join(found[question]) or 'the start'})"


def examine(moves: Moves, old: Chart, new: Chart, bounds: Iterable[str | Condition] = ()) -> tuple[Finding, ...]:
    """Return what is true of a migration between these charts, looked at within the bounds and those of the old chart.

    BoundError for a bound that does not fit the old chart.
    """
    shape = list(shape_problems(moves, old, new))
    place = Finding(PLACE, "fails" if shape else "holds", "read off the tables", "; ".join(shape))
    if shape:
        return (place,)
    reached = _Reached(old, bounds_of(old, bounds), LIMIT)
    if not reached.bounds and reached.all_found() is not None:  # without bounds it has no end
        reached = _Reached(old, _near(old, 0), LIMIT)
    reached.all_found()
    suspects = _suspects(_questions(moves, old, new), old)
    traces = reached.traces_to(suspects)
    proved = _out_of_reach((one for one in suspects if one not in traces), old)
    findings = []
    for sentence in (ONE, COUNTS, KEPT):
        left = {one: values for one, values in suspects.items() if one.sentence == sentence and one not in proved}
        findings.append(_finding(sentence, left, traces, reached))
    return (place, *findings, _applied(moves, reached, old))


# -------------------------------------------------------------------------------------------- what may be wrong


class _Question(NamedTuple):
    """Something is wrong, as `detail` says, in configurations of `state` where `wrong` holds of the old values."""

    sentence: str
    state: State
    wrong: Condition
    detail: str


def _questions(moves: Moves, old: Chart, new: Chart) -> Iterator[_Question]:
    for state in old.states:
        pairs = [(one, in_table(guard, old)) for one, guard in moves.moves_from(str(state))]
        if len(pairs) > 1 or pairs[0][1] != ALWAYS:
            none = All(*(~guard for _, guard in pairs))
            yield _Question(ONE, state, none, f"in {state} a configuration is lost: none of its moves holds")
        for (one, guard), (other, further) in combinations(pairs, 2):
            yield _Question(ONE, state, All(guard, further), f"moves {one} and {other} can hold together")
        for one, guard in pairs:
            values = moves.values_of(one, old.names, new.names)
            for name, value in values.items():
                if isinstance(value, Sum) and (value.constant < 0 or any(factor < 0 for _, factor in value.terms)):
                    yield _Question(COUNTS, state, All(guard, value < 0), f"move {one} makes {name} ({value}) negative")
            promise = new.state(one.target).invariant
            if promise != ALWAYS:
                broken = All(guard, ~before(promise, values, old))
                yield _Question(KEPT, state, broken, f"move {one} breaks the invariant of {one.target!r} ({promise})")


def _suspects(questions: Iterable[_Question], old: Chart) -> dict[_Question, Mapping[str, Value]]:
    """The questions that the invariants of the old states leave open, each with values where something would be wrong.

    There are none if it would be too much work to find some.
    """
    found: dict[_Question, Mapping[str, Value]] = {}
    for question in questions:
        try:
            values = possible(All(question.state.invariant, question.wrong), old)
        except NotKnown:
            values = {}
        if values is not None:
            found[question] = values
    return found


def _out_of_reach(questions: Iterable[_Question], old: Chart) -> frozenset[_Question]:
    """The questions that are proved to be about nothing that can be reached."""
    proved, failures = set[_Question](), 0
    for question in questions:
        if failures < FAILURES:
            if proves_unreachable(old, str(question.state), question.wrong):
                proved.add(question)
            else:
                failures += 1
    return frozenset(proved)


def _counts(values: Mapping[str, Value]) -> list[int]:
    return [value for value in values.values() if isinstance(value, int)]


def _near(old: Chart, most: int) -> tuple[Condition, ...]:
    """Bounds that end the search for a configuration with counts up to about `most`."""
    counters = [variable for variable in old.variables if isinstance(variable, Counter)]
    limit = max(greatest_number(old), most) + 1
    return (*(one <= limit + one.initial for one in counters), *(one <= limit for one in old.numbers.values()))


class _Reached:
    """The configurations that the old table can reach within bounds, found as far as they are needed."""

    def __init__(self, old: Chart, bounds: tuple[Condition, ...], limit: int) -> None:
        self.old, self.bounds, self.limit = old, bounds, limit
        self.stopped: str | None = None
        """Why not all of them were found; None while that is not known."""
        try:
            self.explorer: Explorer | None = Explorer(old, bounds, limit=limit)
        except ExploreError as error:
            self.explorer, self.stopped = None, str(error)

    def __iter__(self) -> Iterator[tuple[int, Configuration]]:
        explorer, number = self.explorer, 0
        while explorer is not None and number < len(explorer.configurations):
            yield number, explorer.configurations[number]
            try:
                if self.stopped is None:
                    explorer.edges(number)
            except ExploreError as error:
                self.stopped = str(error)
            number += 1
        if explorer is not None and explorer.cut.steps:
            self.stopped = self.stopped or f"not looked at beyond {' and '.join(map(str, self.bounds))}"

    def all_found(self) -> str | None:
        """Find all there are, and return why that failed, or None."""
        for _ in self:
            pass
        return self.stopped

    def __len__(self) -> int:
        return len(self.explorer.configurations) if self.explorer is not None else 0

    def traces_to(self, questions: Iterable[_Question]) -> dict[_Question, tuple[str, ...]]:
        """Return a shortest trace for each question about a configuration that is found."""
        open_: dict[str, list[_Question]] = {}
        for question in questions:
            open_.setdefault(str(question.state), []).append(question)
        found: dict[_Question, tuple[str, ...]] = {}
        for number, here in self:
            if not open_:
                break
            values = self.old.values(here)
            for question in open_.get(str(here[0]), ()):
                if question not in found and question.wrong.holds(values):
                    found[question] = self.trace(number)
            if all(question in found for question in open_.get(str(here[0]), ())):
                open_.pop(str(here[0]), None)
        return found

    def trace(self, number: int) -> tuple[str, ...]:
        """Return a shortest trace to the n-th configuration."""
        return self.explorer.trace(number) if self.explorer is not None else ()


# --------------------------------------------------------------------------------------------------- the findings


def _finding(
    sentence: str, left: Mapping[_Question, Mapping[str, Value]], traces: Mapping[_Question, tuple[str, ...]],
    reached: _Reached,
) -> Finding:  # fmt: skip
    """What is known of the questions of a sentence; `left` are those that are not proved."""
    looked = f"looked at in {len(reached):,} configurations"
    if found := [one for one in left if one in traces]:
        return Finding(sentence, "fails", looked, "; ".join(one.detail for one in found), traces[found[0]])
    if not left:
        return Finding(sentence, "holds", "proved for all counts")
    if reached.stopped is None:
        return Finding(sentence, "holds", looked)
    doubts = []
    for question, values in left.items():
        such = " and ".join(f"{name} {label(value)}" for name, value in values.items())
        when = f"can be reached with {such}" if such else "is possible, which is too much work to decide"
        doubts.append(f"{question.detail}, if that {when}")
    return Finding(sentence, "unknown", looked, f"{'; '.join(doubts)}; {reached.stopped}")


def _applied(moves: Moves, reached: _Reached, old: Chart) -> Finding:
    for number, here in reached:
        try:
            moves.migrated(encode(old, here))
        except SnapshotError as error:
            looked = f"looked at in {number + 1:,} configurations"
            return Finding(APPLIED, "fails", looked, error.problem, reached.trace(number))
    looked = f"looked at in {len(reached):,} configurations"
    return Finding(APPLIED, "holds" if len(reached) else "unknown", looked, reached.stopped or "")
