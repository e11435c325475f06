"""The solver answers for all counts."""

from __future__ import annotations

import sys
from itertools import combinations, product

import pytest
from hypothesis import (
    given,
    settings,
    strategies as st,
)

from fsm.analysis.report import check
from fsm.chart import Chart, State, row
from fsm.condition import All, AnyOf, Condition
from fsm.solver import NotKnown, impossible, possible, weakest_precondition
from fsm.validation import proofs
from fsm.variable import Counter, Sum
from tests.support import cases
from tests.test_condition import GUARDS, PAID, VALUES, A, B, C, Colour

CHART = Chart("c", states=["s"], events=["e"], rows=[row("r", "s", "e")], variables=[A, B, C, PAID])


@settings(max_examples=cases(300))
@given(GUARDS)
def test_possible_agrees_with_trying_everything_up_to_the_small_model(guard: Condition) -> None:
    every = (
        {"a": a, "b": b, "c": c, "paid": p} for a, b, c, p in product(range(11), range(11), (None, *Colour), (0, 1))
    )
    found = possible(guard, CHART)
    assert (found is not None) is any(guard.holds(values) for values in every)
    if found is not None:
        assert guard.holds({"a": 0, "b": 0, "c": None, "paid": False} | found)


@given(GUARDS, VALUES, st.sampled_from([
    (A.becomes(A + 1),), (A.becomes(A + B - 2), B.becomes(2 * B - A), PAID.becomes(True)), (A.becomes(A + B), B.becomes(0)), (C.becomes(Colour.RED), B.becomes(B + A + 2)), (),
]))  # fmt: skip
def test_what_must_hold_before_is_what_holds_after(guard: Condition, values: dict, effects: tuple) -> None:  # type: ignore[type-arg]
    after = values | {effect.name: effect.new(values) for effect in effects}
    assert weakest_precondition(guard, effects).holds(values) is guard.holds(after)


def test_sums_against_large_numbers_are_decided() -> None:
    """By reasoning on the sums: trying the counts one by one would not end."""
    d = Counter("d")
    many = Chart("m", states=["s"], events=["e"], rows=[row("r", "s", "e")], variables=[A, B, d, C])
    big = 10**12
    assert possible((A + B == big) & (A + B < big), many) is None
    assert possible((A + B + d >= big) & (A + B + d < big), many) is None
    assert possible((A + B == big) & (B + d == big) & (A + d == big - 1), many) is None
    found = possible((A + B == big) & (B + d == big + 2) & (A + d == big), many)
    assert found == {"a": big // 2 - 1, "b": big // 2 + 1, "d": big // 2 + 1}


def test_large_numbers_are_decided_as_fast_as_small_ones() -> None:
    assert possible((A > 10**9) & (A < 10**9 + 2), CHART) == {"a": 10**9 + 1}
    assert possible((A > 10**9) & (A < 10**9 + 1), CHART) is None


def summed(counters: list[Counter]) -> Sum:
    return sum(counters[1:], counters[0] + 0)


def test_charts_of_many_counters_are_decided_by_their_sums() -> None:
    """Each of these would not end if counts were tried: with 24 counters and sums of 100 there are 10**25 of them."""
    n, k = 12, 50
    a, b = [Counter(f"a{i}") for i in range(n)], [Counter(f"b{i}") for i in range(n)]
    more = row("more", "s", "more", effects=[one.becomes(one + 1) for one in a])
    total = summed(a) + summed(b)
    weighted = summed([(i + 1) * one for i, one in enumerate(a)]), summed([(i + 1) * one for i, one in enumerate(b)])
    greatest = [All(*(a[i] > one if j < i else a[i] >= one for j, one in enumerate(a) if j != i)) for i in range(n)]
    for guards in (
        [(total == 2 * k) & (summed(a) > k), (total == 2 * k) & (summed(b) > k)],
        [(weighted[0] + weighted[1] == 2 * k) & (weighted[0] > k), (weighted[0] + weighted[1] == 2 * k) & (weighted[1] > k)],
        [AnyOf(*(one > other for one, other in zip(a, b, strict=True))), All(*(one <= other for one, other in zip(a, b, strict=True)))],
        greatest,
    ):
        rows = [row(f"r{i}", "s", "go", guard=guard, target="t") for i, guard in enumerate(guards)]
        Chart("many", states=["s", State("t", final=True)], events=["go", "more"], variables=[*a, *b], rows=[*rows, more])


def test_a_question_that_is_too_much_work_is_open_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The built-in procedure gives up on seven counters in six places, and says so; nothing is claimed."""
    monkeypatch.setitem(sys.modules, "fsm.solver.by_z3", None)  # as if it were not installed
    x = [Counter(f"x{i}") for i in range(7)]
    hard = All(*((one >= 1) & (one <= 6) for one in x), *(one != other for one, other in combinations(x, 2)))
    with pytest.raises(NotKnown):
        possible(hard, CHART)
    assert not impossible(hard, CHART)
    rows = [row("x", "s", "go", guard=hard, target="t"), row("y", "s", "go", guard=x[0] + x[1] > 90), row("z", "s", "end", target="t")]
    chart = Chart("hard", states=["s", State("t", final=True)], events=["go", "end"], variables=x, rows=rows)
    assert proofs(chart).open == ("whether row 'x' can ever be enabled in 's'",)
    finding = check(chart, [one <= 0 for one in x]).findings[1]
    assert (finding.status, finding.known) == ("unknown", "tried for all counts")
    assert "not known, and only looked at: whether row 'x' can ever be enabled in 's'" in finding.detail
