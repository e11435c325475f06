"""The solver answers for all counts."""

from __future__ import annotations

from itertools import product

from hypothesis import (
    given,
    settings,
    strategies as st,
)

from fsm.chart import Chart, row
from fsm.condition import Condition
from fsm.solver import possible, weakest_precondition
from fsm.variable import Counter
from tests.test_condition import GUARDS, PAID, VALUES, A, B, C, Colour

CHART = Chart("c", states=["s"], events=["e"], rows=[row("r", "s", "e")], variables=[A, B, C, PAID])


@settings(max_examples=300)
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
