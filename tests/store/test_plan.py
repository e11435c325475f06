"""Plans: what is written is what is meant, and what cannot be meant is one sentence."""

from __future__ import annotations

import pytest
from hypothesis import (
    given,
    strategies as st,
)

from fsm.logoff import Logoff
from fsm.store.plan import DEFAULT, Plan, PlanStep


@pytest.mark.parametrize(
    ("text", "told", "budget"),
    [
        ("NO_WAIT 20s -> ORDERLY 5s -> cancel 3s", "NO_WAIT 20s -> ORDERLY 5s -> cancel 3s", 28.0),
        ("no_wait 20, orderly 500ms", "NO_WAIT 20s -> ORDERLY 0.5s", 20.5),
        ("notice 2s → PURGE 1m", "notice 2s -> PURGE 60s", 62.0),
        ("  QUIET   0 ", "QUIET 0s", 0.0),
        ("Cancel 1.5s", "cancel 1.5s", 1.5),
    ],
)
def test_a_plan_reads_as_it_is_written(text: str, told: str, budget: float) -> None:
    plan = Plan.parse(text)
    assert (str(plan), plan.budget) == (told, budget)
    assert Plan.parse(told) == plan


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "'' is no step of a plan; a step is like NO_WAIT 20s"),
        ("NO_WAIT", "'NO_WAIT' is no step"),
        ("HURRY 3s", "'HURRY 3s' is no step of a plan; .* QUIET, cancel, notice"),
        ("NO_WAIT -3s", "'NO_WAIT -3s' is no step"),
        ("NO_WAIT 3h", "'NO_WAIT 3h' is no step"),
        ("NO_WAIT 3s ORDERLY 2s", "is no step"),
        ("notice 3s", "a plan needs a step that closes"),
        ("NO_WAIT 3s -> notice 1s", "notice comes first"),
        ("cancel 3s -> ORDERLY 1s", "cancel comes last"),
    ],
)
def test_what_cannot_be_meant_is_one_sentence(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Plan.parse(text)


@pytest.mark.parametrize("seconds", [float("inf"), float("nan"), -1.0])
def test_a_step_takes_a_time(seconds: float) -> None:
    with pytest.raises(ValueError, match="cannot take"):
        Plan((PlanStep(Logoff.QUIET, seconds),))


@given(
    st.lists(st.tuples(st.sampled_from(Logoff), st.integers(0, 9999).map(lambda n: n / 10)), min_size=1, max_size=5),
    st.booleans(),
)
def test_every_plan_is_read_back(steps: list[tuple[Logoff, float]], cancels: bool) -> None:
    plan = Plan((*(PlanStep(act, seconds) for act, seconds in steps), *([PlanStep("cancel", 3.0)] if cancels else [])))
    assert Plan.parse(str(plan)) == plan


def test_the_default_leaves_two_of_the_usual_thirty_seconds() -> None:
    assert DEFAULT.budget == 28
