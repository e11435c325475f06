"""With data: every value within the bounds is tried, what lies beyond is known, and a number without a bound is asked for."""

from __future__ import annotations

import pytest

from fsm.analysis.bounds import BoundError
from fsm.analysis.calls import Calls
from fsm.analysis.paths import Atlas
from fsm.analysis.reachability import ExploreError, Graph
from fsm.analysis.sequences import count_sequences
from fsm.chart import Chart, Configuration, Event, State, row
from fsm.condition import Condition
from fsm.data import Field, Number
from fsm.variable import Counter
from tests.small_charts import ACCOUNT, AMOUNT, BALANCE, FROZEN

DONE = State("done", final=True)


def by_hand(most: int, bound: int) -> dict[Configuration, dict[str, Configuration]]:
    """The graph of the account, from its description in words."""
    found: dict[Configuration, dict[str, Configuration]] = {}
    waiting: list[Configuration] = [("open", 0, False)]
    while waiting:
        here = waiting.pop()
        if here in found:
            continue
        state, balance, frozen = here
        assert isinstance(balance, int)
        found[here] = steps = {}
        if state == "closed":
            continue
        for amount in range(1, bound + 1):
            if balance + amount <= most:
                steps[f"deposit(amount={amount})"] = ("open", balance + amount, frozen)
            if not frozen and amount <= balance:
                steps[f"withdraw(amount={amount})"] = ("open", balance - amount, frozen)
        steps["thaw" if frozen else "freeze"] = ("open", balance, not frozen)
        if balance == 0:
            steps["close"] = ("closed", 0, frozen)
        waiting += steps.values()
    return found


@pytest.mark.parametrize(("most", "bound"), [(3, 2), (0, 0), (1, 4), (5, 1)])
def test_the_graph_is_what_the_words_say(most: int, bound: int) -> None:
    graph = Graph(ACCOUNT, [f"balance <= {most}", f"amount <= {bound}"])
    found = {
        here: {str(edge.event): graph.configurations[edge.target] for edge in edges}
        for here, edges in zip(graph.configurations, graph.out, strict=True)
    }
    assert found == by_hand(most, bound)


def test_a_chart_brings_its_bounds_and_given_ones_replace_those_of_the_same_names() -> None:
    assert list(map(str, Graph(ACCOUNT).bounds)) == ["balance <= 3", "amount <= 2"]
    assert list(map(str, Graph(ACCOUNT, ["balance <= 1"]).bounds)) == ["balance <= 1", "amount <= 2"]
    with pytest.raises(BoundError, match=r"'balance \+ amount <= 4': amount comes with an event; give it a bound of its own"):
        Graph(ACCOUNT, ["balance + amount <= 4"])


def test_what_lies_beyond_is_decided_not_tried() -> None:
    """With 2 in the account, more than the bound of 2 cannot be withdrawn; with 3, it can."""
    graph = Graph(ACCOUNT)
    here = graph.configurations.index(("open", 2, False))
    beyond = Calls(ACCOUNT, graph.bounds).beyond
    withdraw, deposit = ACCOUNT.row("withdraw"), ACCOUNT.row("deposit")
    assert beyond(withdraw, ("open", 2, False)) is None
    assert beyond(withdraw, ("open", 3, False)) == "withdraw(amount=3)"
    assert beyond(withdraw, ("open", 3, True)) is None
    assert beyond(deposit, ("open", 0, False)) == "deposit(amount=3)"
    assert here in graph.cut_from
    assert str(graph.cut.event) == "deposit(amount=3)"
    whole = Graph(ACCOUNT, ["balance <= 3", "amount <= 9"])
    assert all(edge.event != "withdraw(amount=4)" for edge in whole.edges)
    assert beyond(withdraw._replace(guard=AMOUNT <= BALANCE), ("open", 3, True)) == "withdraw(amount=3)"


def test_a_number_that_matters_needs_a_bound_and_says_so() -> None:
    chart = Chart("till", states=["open", DONE], events=[Event("pay", data=(AMOUNT,)), "end"], variables=[BALANCE], rows=[
        row("pay", "open", "pay", effects=[BALANCE.becomes(AMOUNT + 0)]), row("end", "open", "end", target="done"),
    ])  # fmt: skip
    for bounds in ((), ("balance <= 2",), ("amount >= 2",), ("amount != 1",)):
        with pytest.raises(ExploreError, match="till takes any amount; give a bound, such as 'amount <= 2'") as caught:
            Graph(chart, bounds)
        assert caught.value.counters == ("amount",)
    assert len(Graph(chart, ["amount <= 2"]).configurations) == 3 + 3
    assert len(Graph(chart, ["2 * amount < 5", "balance <= 9"]).configurations) == 3 + 3
    assert [one.data["amount"] for one in Graph(chart, ["amount <= 3 and amount != 1"]).calls if one.data] == [0, 2, 3]


def asked(session: object, urgent: bool) -> bool:
    return urgent


def test_data_that_no_row_speaks_of_have_one_value_and_truths_a_callable_takes_have_both() -> None:
    data = (Number("size"), Number("level", default=3), Field("note", str), Field("rate", float), Field("by", str | None),
            Field("urgent", bool), Field("quiet", bool))  # fmt: skip
    chart = Chart("notes", states=["a", DONE], events=[Event("add", data=data)],
                  rows=[row("add", "a", "add", guard=asked, target="done"), row("not", "a", "add", unless=asked)])
    graph = Graph(chart)
    usual = {"size": 0, "level": 3, "note": "", "rate": 0.0, "by": None, "quiet": False}
    assert [dict(one.data) for one in graph.calls] == [{**usual, "urgent": urgent} for urgent in (False, True)]
    assert [(edge.row, edge.event.data["urgent"]) for edge in graph.edges] == [("not", False), ("add", True)]


def test_paths_and_counts_know_the_data() -> None:
    atlas = Atlas(ACCOUNT)
    assert atlas.reached == {"closed": ("close",)}
    assert atlas.taken["withdraw"] == ("deposit(amount=1)", "withdraw(amount=1)")
    assert atlas.flag_name is None
    assert count_sequences(Graph(ACCOUNT), 3) == (0, 1, 1, 3)  # ; freeze; freeze,thaw and in and out with 1 or 2


def limit(text: Condition | str) -> list[str]:
    return [one for one in Graph(ACCOUNT, [text]).calls if one.startswith("deposit")]


def test_bounds_on_data_may_be_conditions_too() -> None:
    assert limit(AMOUNT <= 1) == ["deposit(amount=0)", "deposit(amount=1)"]
    assert limit("amount < 2 and amount != 0") == ["deposit(amount=1)"]
    assert limit("balance <= 3 and (not frozen or balance <= 9)") == limit("amount <= 2")


def test_a_bound_may_compare_counters() -> None:
    other = Counter("other")
    chart = Chart("two", states=["a", DONE], events=["more", "also", "end"], variables=[BALANCE, other], rows=[
        row("more", "a", "more", effects=[BALANCE.becomes(BALANCE + 1)]), row("also", "a", "also", effects=[other.becomes(other + 1)]),
        row("end", "a", "end", target="done"),
    ])  # fmt: skip
    graph = Graph(chart, ["balance <= 3", "other <= balance"])
    assert {here[1:] for here in graph.configurations} == {(a, b) for a in range(4) for b in range(a + 1)}
    assert FROZEN.name in ACCOUNT.names
