"""z3 gives the same answers, for thousands of random conditions and for the proofs of random charts.

A condition that z3 and the built-in procedure judge differently is a mistake of one of them; values that are found are
tried out as well.
"""

from __future__ import annotations

from enum import Enum
from random import Random

import pytest

from fsm import validation
from fsm.chart import Chart, Event, State, row
from fsm.condition import All, AnyOf, Condition, Opaque, Value, condition
from fsm.data import Number
from fsm.solver import NotKnown, possible, search
from fsm.solver.by_z3 import possible_by_z3
from fsm.table import Row
from fsm.variable import Assignment, Boolean, Choice, Counter, Sum
from tests.support import cases

Colour = Enum("Colour", "RED GREEN BLUE")
COUNTERS = [Counter(name) for name in "abcde"]
COLOUR, PAID, SENT = Choice("colour", (None, *Colour)), Boolean("paid"), Boolean("sent")
AMOUNT = Number("amount")
VARIABLES = (*COUNTERS, COLOUR, PAID, SENT)
CHART = Chart("c", states=["s"], events=["e"], rows=[row("r", "s", "e")], variables=VARIABLES)


def lucky(session: object) -> bool:
    return True


class Conditions:
    """Random conditions: of small or large numbers, of sums or differences."""

    def __init__(self, seed: int, *numbers: Number) -> None:
        self.random = Random(seed)
        self.counted = [*COUNTERS, *numbers]
        self.greatest, self.most = self.random.choice([1, 1, 2, 5, 17]), self.random.choice([2, 6, 40, 10**9])
        self.mixed = self.random.random() < 0.7

    def sum(self) -> Sum:
        total = Sum((), 0)
        for counter in self.random.sample(self.counted, self.random.randint(1, 3)):
            total += counter * self.random.randint(-self.greatest if self.mixed else 1, self.greatest)
        return total

    def atom(self) -> Condition:
        kind = self.random.random()
        if kind < 0.1:
            return self.random.choice([PAID.as_condition(), ~PAID, SENT.as_condition(), ~SENT])
        if kind < 0.2:
            return COLOUR.among(*self.random.sample([None, *Colour], self.random.randint(1, 3)))
        if kind < 0.25:
            return condition(lucky)
        op = self.random.choice(["==", "!=", "<", "<=", ">", ">="])
        return self.sum().compare(op, self.random.randint(-self.most if self.mixed else 0, self.most))

    def guard(self, depth: int) -> Condition:
        if not depth or self.random.random() < 0.15:
            return self.atom()
        parts = [self.guard(depth - 1) for _ in range(self.random.randint(2, 4))]
        joined = All(*parts) if self.random.random() < 0.65 else AnyOf(*parts)
        return ~joined if self.random.random() < 0.15 else joined


def answering(guard: Condition, answer: bool) -> Condition:
    """The condition with `lucky` answering so."""
    if isinstance(guard, Opaque):
        return Opaque(lambda session: answer, guard.negated)
    return type(guard)(*(answering(part, answer) for part in guard.parts())) if guard.parts() else guard


@pytest.mark.parametrize("block", range(6))
def test_z3_agrees_on_random_conditions(block: int) -> None:
    for seed in range(cases(400)):
        guard = Conditions(1000 * block + seed).guard(2 + seed % 2)
        found = possible(guard, CHART)
        assert (found is None) is (possible_by_z3(guard, CHART) is None), f"seed {1000 * block + seed}: {guard}"
        if found is not None:
            assert set(found) == guard.names()
            assert any(answering(guard, answer).holds(found, 1) for answer in (True, False)), f"{guard}: {found}"


def random_chart(seed: int) -> tuple[list[Row], list[State]]:
    make = Conditions(seed, AMOUNT)
    own = Conditions(seed)
    states = [State("s", invariant=own.guard(1)), State("t", invariant=own.guard(0)), State("u", final=True)]
    rows = []
    for place in range(6):
        changed = make.random.sample(COUNTERS, 2)
        effects: list[Assignment] = [counter.becomes(make.sum() + make.random.randint(-3, 3)) for counter in changed]
        effects.append(PAID.becomes(make.random.random() < 0.5))
        target = make.random.choice(states)
        rows.append(row(f"r{place}", make.random.choice(states[:2]), make.random.choice("ef"), guard=make.guard(1),
                        effects=effects, target=target))  # fmt: skip
    return rows, states


@pytest.mark.parametrize("block", range(4))
def test_z3_agrees_on_the_proofs_of_random_charts(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(1000 * block, 1000 * block + cases(32)):
        rows, states = random_chart(seed)
        events = [Event(name, data=(AMOUNT,)) for name in "ef"]
        chart = Chart("c", states=states, events=events, rows=rows, variables=VARIABLES, proved="not looked at here")
        monkeypatch.undo()
        ours = _without_counts(validation.proofs(chart).problems)
        monkeypatch.setattr(validation, "possible", possible_by_z3)
        assert ours == _without_counts(validation.proofs(chart).problems), f"seed {seed}"


def _without_counts(problems: tuple[str, ...]) -> list[str]:
    return [problem.partition(" (when ")[0] for problem in problems]


A, B, C = COUNTERS[:3]
HARD = All(*(counter <= 6 for counter in COUNTERS), *(counter >= 1 for counter in COUNTERS), A != B, B != C)


def test_z3_decides_what_is_beyond_the_built_in_procedure(monkeypatch: pytest.MonkeyPatch) -> None:
    def gives_up(guard: Condition, table: object) -> dict[str, Value] | None:
        raise NotKnown

    monkeypatch.setattr(search, "_decided", gives_up)
    found = possible(HARD, CHART)
    assert found is not None
    assert HARD.holds(found)
    assert possible(HARD & (A > 7), CHART) is None
