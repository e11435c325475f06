"""Conditions on data become conditions on counts."""

from __future__ import annotations

import pytest
from hypothesis import (
    given,
    settings,
    strategies as st,
)

from fsm.condition import Condition
from fsm.data import Number
from fsm.solver import for_some
from fsm.variable import Counter
from tests.support import cases

A, B, N = Counter("a"), Counter("b"), Number("n")

ATOMS = st.tuples(
    st.sampled_from([N + 0, N - A, A - N, N + A - B, 2 * N - 3 * A, B - A, A + B]),
    st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), st.integers(-3, 4),
).map(lambda t: t[0].compare(t[1], t[2]))  # fmt: skip
GUARDS = st.recursive(
    ATOMS, lambda g: st.one_of(st.tuples(g, g).map(lambda t: t[0] & t[1]), st.tuples(g, g).map(lambda t: t[0] | t[1])),
    max_leaves=5,
)


@settings(max_examples=cases(400))
@given(GUARDS)
def test_it_holds_exactly_if_some_number_fulfils_the_guard(guard: Condition) -> None:
    some, exact = for_some(guard, ["n"])
    assert "n" not in some.names()
    for a in range(4):
        for b in range(4):
            found = any(guard.holds({"a": a, "b": b, "n": n}) for n in range(25))
            told = some.holds({"a": a, "b": b})
            assert told is found if exact else found or not told


@pytest.mark.parametrize(("guard", "exact"), [
    (N <= A, True), (2 * N <= A, True), (2 * N >= A, False), (A - N < 3, True), (A - 3 * N < 3, False), (3 * N != A, False), (A > B, True),
])  # fmt: skip
def test_it_says_where_a_value_may_be_missed(guard: Condition, exact: bool) -> None:
    assert for_some(guard, ["n"])[1] is exact


def test_several_numbers_are_taken_out_one_after_the_other() -> None:
    m = Number("m")
    some, _ = for_some((N + m == A) & (N > m), ["n", "m"])
    assert [some.holds({"a": a}) for a in range(4)] == [False, True, True, True]
