"""What is said to hold for all counts is refused or not said where it fails, however far away.

Each fault shows itself only at counts of a million or more, which nobody looks at.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fsm.analysis.properties import Always, Changes, Falls
from fsm.analysis.report import check
from fsm.chart import Chart, Event, State, row
from fsm.condition import Condition
from fsm.data import Number
from fsm.errors import DefinitionError
from fsm.table import Row
from fsm.variable import Boolean, Counter

FAR = 10**6
N, M, PAID, AMOUNT = Counter("n"), Counter("m"), Boolean("paid"), Number("amount")


def chart(*rows: Row | tuple[Row, ...], a: Condition | None = None, progress: tuple[str, ...] = (), proved: str | None = None) -> Chart:
    start = State("a", progress=progress) if a is None else State("a", invariant=a, progress=progress)
    return Chart(
        "far", states=[start, State("b", final=True)], variables=[N, M, PAID],
        events=[Event(name, data=(AMOUNT,) if name == "pay" else ()) for name in dict.fromkeys(["more", "end", *_events(rows)])],
        rows=[*([] if "more" in _events(rows) else [row("more", "a", "more", effects=[N.becomes(N + 1)])]),
              row("end", "a", "end", target="b"), *rows], proved=proved,
    )  # fmt: skip


def _events(rows: tuple[Row | tuple[Row, ...], ...]) -> list[str]:
    return [one.event for one in rows if isinstance(one, Row)]


REFUSED: dict[str, tuple[Callable[[], Chart], str]] = {
    "two rows enabled together": (
        lambda: chart(row("x", "a", "x", guard=N - 2 * M > FAR), row("y", "a", "x", guard=(M > FAR) & PAID)),
        "rows 'x' and 'y' can be enabled together (when paid true, n 3000003, m 1000001)"),
    "two rows enabled together, by data": (
        lambda: chart(row("x", "a", "pay", guard=AMOUNT > N + FAR), row("y", "a", "pay", guard=(AMOUNT > M + FAR) & (M > FAR))),
        "rows 'x' and 'y' can be enabled together"),
    "a row that can never be taken": (
        lambda: chart(row("x", "a", "x", guard=(2 * N == 2 * M + FAR) & (N < M + FAR // 2))), "row 'x' can never be enabled in 'a'"),
    "a row that can never be taken, by parity": (
        lambda: chart(row("x", "a", "x", guard=2 * N == 4 * M + FAR + 1)), "row 'x' can never be enabled in 'a'"),
    "a negative counter": (
        lambda: chart(row("x", "a", "x", guard=N != FAR, effects=[N.becomes(N + M)]),
                      row("y", "a", "y", guard=N + FAR >= M, effects=[N.becomes(N - M + FAR - 1)])),
        "row 'y' could make n negative (when n 0, m 1000000)"),
    "a negative counter, by data": (
        lambda: chart(row("x", "a", "pay", guard=AMOUNT <= N + FAR, effects=[N.becomes(N - AMOUNT + FAR - 1)])),
        "row 'x' could make n negative (when amount 1000000, n 0)"),
    "an invariant broken": (
        lambda: chart(row("x", "a", "x", effects=[M.becomes(M + N)]), a=(M < FAR) | (N == 0)), "row 'x' breaks the invariant of 'a'"),
    "a state that is stuck": (
        lambda: chart(row("x", "a", "x", guard=N < FAR), row("y", "a", "y", guard=N + M > FAR), progress=("x", "y")),
        "state 'a' is stuck (when n 1000000, m 0): none of x, y is accepted"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_chart_that_is_wrong_for_a_million_is_refused_with_counts(case: str) -> None:
    make, told = REFUSED[case]
    with pytest.raises(DefinitionError) as caught:
        make()
    assert any(told in problem for problem in caught.value.problems), caught.value.problems


DOWN = row("down", "a", "down", guard=N > 0, effects=[N.becomes(N - 1)])
NEARLY = row("down", "a", "down", guard=(N > 0) & (N != FAR), effects=[N.becomes(N - 1)])
OTHERWISE = row("jump", "a", "jump", guard=N == FAR, effects=[N.becomes(N + 1)])
ALSO = row("jump", "a", "jump", guard=N == FAR, effects=[N.becomes(N - 1)])
TAKE = row("take", "a", "pay", guard=(AMOUNT <= N) & (AMOUNT > 0), effects=[N.becomes(N - AMOUNT)])
GIVE = row("take", "a", "pay", guard=AMOUNT <= N, effects=[N.becomes(N - AMOUNT)])
PROPERTIES = [  # the property, rows under which it holds for all counts, and rows under which it fails at a million
    (Falls("n falls", {"n": 1}, events=("down", "jump", "pay")), (DOWN, ALSO, TAKE), (DOWN, ALSO, GIVE)),
    (Falls("n falls", {"n": 1}, events=("down", "jump")), (NEARLY, ALSO), (NEARLY, OTHERWISE)),
    (Changes("n falls by one", {"n": 1}, {"down": -1, "jump": -1}, events=("down", "jump")), (DOWN, ALSO), (DOWN, OTHERWISE)),
    (Always("m is small", M <= FAR), (row("x", "a", "x", guard=M < 3, effects=[M.becomes(M + 1)]),),
     (row("x", "a", "x", effects=[M.becomes(M + 1)]),)),
    (Always("m is no more than n", M <= N), (row("x", "a", "x", guard=M < N, effects=[M.becomes(M + 1)]),),
     (row("x", "a", "x", guard=(M < N) | ((M == N) & (N == FAR)), effects=[M.becomes(M + 1)]),)),
    (Always("m is no more than n", M <= N), (row("x", "a", "pay", guard=AMOUNT <= N, effects=[M.becomes(AMOUNT)]),),
     (row("x", "a", "pay", guard=(AMOUNT <= N) | (AMOUNT == FAR), effects=[M.becomes(AMOUNT)]),)),
]  # fmt: skip


@pytest.mark.parametrize(("one", "right", "wrong"), PROPERTIES, ids=lambda one: getattr(one, "sentence", ""))
def test_a_property_is_proved_for_all_counts_only_where_it_holds_for_a_million(
    one: Always | Falls | Changes, right: tuple[Row, ...], wrong: tuple[Row, ...]
) -> None:
    bounds = ["n <= 3", "m <= 4", "amount <= 3"]
    for rows, proved in ((right, True), (wrong, False)):
        made = chart(*rows)
        finding = check(made, bounds if made.numbers and "pay" in made.events else bounds[:2], [one]).findings[-1]
        assert finding.known.startswith("proved for all counts") is (proved and finding.status == "holds"), finding
        assert finding.status == "holds" or not proved, finding


def test_a_sealed_chart_that_is_wrong_for_a_million_is_told_so_by_check() -> None:
    made = chart(row("x", "a", "x", guard=N > FAR), row("y", "a", "x", guard=M > FAR), proved="0123456789abcdef")
    made._fingerprint = "0123456789abcdef"  # as if the seal were its own
    report = check(made, ["n <= 2", "m <= 2"])
    assert not any(one.known.startswith("proved") for one in report.findings)
    assert "rows 'x' and 'y' can be enabled together (when n 1000001, m 1000001)" in report.findings[1].detail
