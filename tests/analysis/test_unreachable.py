"""What is proved to be out of reach is never reached, and what is out of reach for a plain reason is proved."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from fsm import Boolean, Chart, Condition, Counter, Event, Number, State, row
from fsm.analysis.reachability import Explorer
from fsm.analysis.unreachable import proves_unreachable
from fsm.condition import All
from tests.migration.orders import FIRST, SPEED, TOTAL
from tests.migration.test_random import comparisons, old_charts
from tests.support import cases

N, M, PAID = Counter("n"), Counter("m"), Boolean("paid")
AMOUNT = Number("amount")


def chart(*rows: object, variables: object = (N, M), events: object = None) -> Chart:
    names = events or list(dict.fromkeys(one.event for one in rows))  # type: ignore[attr-defined]
    return Chart("c", states=["a", "b", State("c", final=True)], events=names, rows=rows, variables=variables)  # type: ignore[arg-type]


STEPS = chart(
    row("up", "a", "up", effects=[N.becomes(N + 2)]), row("go", "a", "go", guard=N > 3, target="b"),
    row("copy", "b", "copy", effects=[M.becomes(N + 1)]), row("end", "b", "end", guard=M > 0, target="c"),
)
PAYING = chart(
    row("pay", "a", "pay", guard=AMOUNT >= 3, effects=[N.becomes(N + AMOUNT)], target="b"),
    row("more", "b", "pay", guard=AMOUNT < 3, effects=[M.becomes(M + AMOUNT)]),
    row("end", "b", "end", guard=M > 2, target="c"), events=[Event("pay", data=AMOUNT), "end"],
)
FLIP = chart(
    row("go", "a", "go", guard=lambda session: True, target="b"),
    row("end", "b", "end", unless=lambda session: True, effects=[PAID.becomes(True)], target="c"), variables=(PAID,),
)


def yes(session: object) -> bool:
    return bool(session)


SAME = chart(row("go", "a", "go", guard=yes, target="b"), row("end", "b", "end", unless=yes, target="c"), variables=())

PROVED = [
    (STEPS, "b", N < 4), (STEPS, "c", N < 4), (STEPS, "c", M == 0), (STEPS, "a", M > 0), (STEPS, "c", (N == 8) & (M == 7)),
    (FIRST, "done", TOTAL == 0),
    (PAYING, "b", N < 3), (PAYING, "a", N > 0), (FLIP, "c", ~PAID), (FLIP, "b", PAID.as_condition()),
]


@pytest.mark.parametrize(("chart", "state", "bad"), PROVED)
def test_what_is_out_of_reach_for_all_counts_is_proved(chart: Chart, state: str, bad: Condition) -> None:
    assert proves_unreachable(chart, state, bad)


REACHED = [
    (STEPS, "b", N == 4), (STEPS, "c", (N == 8) & (M == 9)), (STEPS, "a", N == 0), (FIRST, "done", SPEED == "fast"),
    (PAYING, "b", (N == 7) & (M == 2)), (PAYING, "c", M == 4), (FLIP, "c", PAID.as_condition()),
    (SAME, "c", All()),  # the same function may answer otherwise the next time
]


@pytest.mark.parametrize(("chart", "state", "bad"), REACHED)
def test_what_can_be_reached_is_not(chart: Chart, state: str, bad: Condition) -> None:
    assert not proves_unreachable(chart, state, bad)


@settings(max_examples=cases(100), deadline=None)
@given(old_charts(), comparisons, comparisons)
def test_nothing_that_was_proved_is_found(chart: Chart, one: Condition, other: Condition) -> None:
    found = [(here[0], chart.values(here)) for here in Explorer(chart, ["a <= 4", "b <= 4"])]
    for state in chart.states:
        if proves_unreachable(chart, state, All(one, other)):
            assert not any(here == state and one.holds(values) and other.holds(values) for here, values in found)
