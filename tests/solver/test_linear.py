"""Systems of linear inequalities: what has a solution, what has none, and what would take too much work."""

from __future__ import annotations

import pytest
from hypothesis import (
    given,
    settings,
    strategies as st,
)

from fsm.solver.linear import NotKnown, Work, solution
from tests.support import cases

System = tuple[list[tuple[dict[int, int], int]], list[tuple[dict[int, int], int]]]

WITHOUT: dict[str, System] = {
    "no multiple of 2": ([({0: 2, 1: -4}, 1)], []),
    "nothing between": ([], [({0: 3, 1: -3}, -1), ({0: -3, 1: 3}, 2)]),
    "in a ring": ([], [({0: 1, 1: -1}, -1), ({1: 1, 2: -1}, -1), ({2: 1, 0: -1}, -1)]),
    "Pugh's example": ([], [({0: 11, 1: 13}, -27), ({0: -11, 1: -13}, 45), ({0: 7, 1: -9}, 10), ({0: -7, 1: 9}, 4)]),
    "by no splinter": ([], [({0: 3, 1: -2}, 0), ({0: -3, 1: 2}, 1), ({0: 5, 1: 3}, -50), ({0: -5, 1: -3}, 51)]),
    "two equations": ([({0: 1, 1: 1}, -3), ({0: 1, 1: -1}, -2)], []),
    "a knapsack": ([({0: 12345, 1: 23456, 2: 34567}, -9999991)], [({n: 1}, 0) for n in range(3)]),
    "the constant": ([], [({}, -1)]),
    "the factor 0": ([({0: 0}, 1)], []),
}
WITH: dict[str, System] = {
    "below 0": ([], [({0: -1}, -5)]),
    "by Euclid": ([({0: 7, 1: 12, 2: 31}, -17)], []),
    "three of them": ([({0: 7, 1: 12, 2: 31}, -17), ({0: 3, 1: 5, 2: 14}, -7)], [({0: 1}, -1), ({0: -1}, 40)]),
    "by a splinter": ([], [({0: 3, 1: -2}, 0), ({0: -3, 1: 2}, 1), ({0: 5, 1: 3}, -45), ({0: -5, 1: -3}, 46)]),
    "huge": ([({0: 1, 1: -1}, -(10**50)), ({0: 3, 1: 5, 2: -7}, -1)], [({2: 1}, -(10**60))]),
}


def check(system: System, found: dict[int, int]) -> None:
    for form, constant in system[0]:
        assert sum(factor * found.get(v, 0) for v, factor in form.items()) + constant == 0
    for form, constant in system[1]:
        assert sum(factor * found.get(v, 0) for v, factor in form.items()) + constant >= 0


@pytest.mark.parametrize("case", WITHOUT)
def test_a_system_without_a_solution(case: str) -> None:
    assert solution(*WITHOUT[case], Work(3)) is None


@pytest.mark.parametrize("case", WITH)
def test_a_system_with_a_solution(case: str) -> None:
    found = solution(*WITH[case], Work(3))
    assert found is not None
    check(WITH[case], found)


FORMS = st.dictionaries(st.integers(0, 2), st.integers(-5, 5), min_size=1)
PARTS = st.lists(st.tuples(FORMS, st.integers(-9, 9)), max_size=4)


@settings(max_examples=cases(400))
@given(PARTS.filter(lambda parts: len(parts) < 3), PARTS)
def test_it_agrees_with_trying_everything_in_a_box(equations: list, inequalities: list) -> None:  # type: ignore[type-arg]
    box = [({n: sign}, 6) for n in range(3) for sign in (1, -1)]
    system = equations, inequalities + box
    found = solution(*system, Work(3))
    if found is not None:
        check(system, found)
        return
    for a in range(-6, 7):
        for b in range(-6, 7):
            for c in range(-6, 7):
                point = {0: a, 1: b, 2: c}
                assert any(sum(f * point[v] for v, f in form.items()) + k != 0 for form, k in equations) or any(
                    sum(f * point[v] for v, f in form.items()) + k < 0 for form, k in inequalities
                )


def test_what_would_take_too_much_work_is_not_known() -> None:
    with pytest.raises(NotKnown):
        solution(*WITH["three of them"], Work(3, left=40))
