"""A chart that is wrong is refused with every offender."""

from __future__ import annotations

from functools import cache

import pytest

from fsm import validation
from fsm.chart import Chart, Event, Output, State, row
from fsm.condition import ALWAYS, Condition
from fsm.data import Field, Number
from fsm.errors import DefinitionError
from fsm.logoff import LOGOFF
from fsm.session import Session
from fsm.solver import possible
from fsm.variable import Boolean, Choice, Counter
from tests.test_condition import A, B, C, Colour


def chart_guard() -> Condition:
    return row("x", "on", "go", guard=callable).guard


def chart(**change: object) -> Chart:
    usual: dict[str, object] = {
        "states": [State("on"), State("off", final=True)], "events": ["go", "end"], "variables": [A, B, C],
        "rows": [row("go", "on", "go", effects=[A.becomes(A + 1)]), row("end", "on", "end", target="off")],
    }  # fmt: skip
    return Chart("t", **{**usual, **change})  # type: ignore[arg-type]


def rows(*more: object) -> dict[str, object]:
    return {"rows": [*chart().rows, *more]}


WRONG = {
    "unknown source": (rows(row("x", "nowhere", "go")), ["row 'x' starts from the unknown state 'nowhere'"]),
    "unknown target": (rows(row("x", "on", "go", guard=A > 9, target="of")), ["leads to the unknown state 'of'"]),
    "unknown event": (rows(row("x", "on", "gone")), ["row 'x' waits for the unknown event 'gone'"]),
    "unknown variable": (rows(row("x", "off", "go", guard=Counter("z") > 0)), ["row 'x' speaks of the unknown variable 'z'"]),
    "unknown effect": (rows(row("x", "off", "go", effects=[Counter("z").becomes(0)])), ["the unknown variable 'z'"]),
    "changed twice": (rows(row("x", "off", "go", effects=[A.becomes(0), A.becomes(1)])), ["row 'x' changes 'a' twice"]),
    "double id": (rows(row("go", "off", "go")), ["row id 'go' is there twice"]),
    "double state": ({"states": ["on", "on", State("off", final=True)]}, ["state 'on' is there twice"]),
    "double event": ({"events": ["go", "go", "end"]}, ["event 'go' is there twice"]),
    "double variable": ({"variables": [A, A, B, C]}, ["variable 'a' is there twice"]),
    "unused event": ({"events": ["go", "end", "never"]}, ["event 'never' is used by no row"]),
    "event in a trace": ({"events": ["go", "end", "a,b"]}, ["event 'a,b' cannot be written in a trace"]),
    "no states": ({"states": [], "rows": [], "events": []}, ["it has no states"]),
    "initial": ({"initial": "up"}, ["the initial state 'up' is not one of its states"]),
    "final left": (rows(row("x", "off", "go", target="on")), ["row 'x' leaves the final state 'off'"]),
    "unreachable": ({"states": ["on", State("off", final=True), State("lost", final=True)]},
                    ["state 'lost' cannot be reached from 'on'"]),
    "dead end": ({"states": ["on", State("off", final=True), "stuck"],
                  **rows(row("x", "on", "go", guard=A > 5, target="stuck"),
                         row("y", "stuck", "go"))}, ["state 'stuck' is a dead end"]),
    "trap": ({"states": ["on", State("off", final=True), "ring", "rang"], "rows": [
                row("end", "on", "end", target="off"), row("x", "on", "go", target="ring"),
                row("y", "ring", "go", target="rang"), row("z", "rang", "go", target="ring")]},
             ["state 'ring' is a trap", "state 'rang' is a trap"]),
    "overlap": ({"rows": [row("x", "on", "go", guard=A > 1), row("y", "on", "go", guard=A + B > 3),
                          row("end", "on", "end", target="off")]},
                ["rows 'x' and 'y' can be enabled together (when a 2, b 2)"]),
    "overlap of callables": ({"rows": [row("x", "on", "go", guard=callable), row("y", "on", "go", guard=A > 3),
                                       row("end", "on", "end", target="off")]}, ["can be enabled together"]),
    "never": (rows(row("x", "off", "go", guard=(A > 1) & (A < 1))), ["row 'x' can never be enabled in 'off'"]),
    "never, by the invariant": (
        {"states": [State("on", invariant=C == None), State("off", final=True)],
         **rows(row("x", "on", "end", guard=C == Colour.RED))}, ["row 'x' can never be enabled in 'on'"]),
    "negative": ({"rows": [row("go", "on", "go", effects=[A.becomes(A - 1)]), row("end", "on", "end", target="off")]},
                 ["row 'go' could make a negative (when a 0)"]),
    "negative at once": ({"rows": [row("go", "on", "go", effects=[A.becomes(-1)]), row("end", "on", "end", target="off")]},
                         ["row 'go' could make a negative"]),
    "another choice": (rows(row("x", "off", "go", effects=[Choice("c", (None, "blue")).becomes("blue")])),
                       ["row 'x' speaks of blue, which is no value of 'c' here"]),
    "a choice for a counter": (rows(row("x", "off", "go", guard=Choice("a", (None, "x")) == "x", effects=[Choice("b", ("y",), initial="y").becomes("y")])),
                               ["row 'x' gives 'a' a value, which is a counter here", "row 'x' gives 'b' a value"]),
    "a counter for a choice": (rows(row("x", "off", "go", guard=Counter("c") > 1, effects=[A.becomes(Counter("c"))])),
                               ["row 'x' counts 'c', which is an enumerated variable here"]),
    "no row": ({"rows": [("r", "on", "go")]}, ["('r', 'on', 'go') is no row"]),
    "no variable": ({"variables": ["a"]}, ["'a' is no variable"]),
    "no effect": ({"rows": [row("r", "on", "go", effects=[A])]}, ["row 'r' has <Counter a> for an effect"]),
    "output float": ({"outputs": [Output("X", 1.0)]}, ["output 'X' needs a single bit, not 1.0"]),
    "output callable": ({"outputs": [Output("X", 1, guard=chart_guard())]}, ["output 'X' calls a function"]),
    "invariant callable": ({"states": [State("on", invariant=chart_guard()), State("off", final=True)]},
                           ["the invariant of 'on' calls a function"]),
    "invariant of another": ({"states": [State("on", invariant=Counter("c") > 0), State("off", final=True)]},
                             ["the invariant of 'on' counts 'c', which is an enumerated variable here"]),
    "negative by two": ({"rows": [row("go", "on", "go", guard=A > 0, effects=[A.becomes(A - 2)]),
                                  row("end", "on", "end", target="off")]}, ["could make a negative (when a 1)"]),
    "invariant broken": ({"states": [State("on", invariant=A < 3), State("off", final=True)]},
                         ["row 'go' breaks the invariant of 'on' (a < 3) (when a 2)"]),
    "invariant at the start": ({"states": [State("on", invariant=A > 0), State("off", final=True)]},
                               ["the start breaks the invariant of 'on'"]),
    "invariant unknown": ({"states": [State("on", invariant=Counter("z") > 0), State("off", final=True)]},
                          ["the invariant of 'on' speaks of the unknown variable 'z'"]),
    "output bit": ({"outputs": [Output("X", 3)]}, ["output 'X' needs a single bit, not 3"]),
    "output twice": ({"outputs": [Output("X", 1), Output("Y", 1)]}, ["output bit 1 is there twice"]),
    "output state": ({"outputs": [Output("X", 1, states=("up",))]}, ["output 'X' names the unknown state 'up'"]),
    "output variable": ({"outputs": [Output("X", 1, guard=Counter("z") > 0)]}, ["the unknown variable 'z'"]),
    "data and variable of one name": ({"events": [Event("go", data=[Number("a")]), "end"]},
                                      ["event 'go' brings 'a', which is the name of a variable"]),
    "a number that the event lacks": (
        {"events": [Event("go", data=[Number("n")]), "end"], **rows(row("x", "off", "end", guard=Number("n") > 0))},
        ["row 'x' speaks of the unknown variable 'n', which 'end' does not bring with it"]),
    "a field in a guard": (
        {"events": [Event("go", data=[Field("n", int)]), "end"], **rows(row("x", "off", "go", guard=Number("n") > 0))},
        ["unknown variable 'n', a field of 'go': only numbers stand in guards and effects"]),
    "data changed": (
        {"events": [Event("go", data=[Number("n")]), "end"], **rows(row("x", "off", "go", effects=[Counter("n").becomes(0)]))},
        ["row 'x' changes 'n', which its event brings with it"]),
    "a number in an invariant": (
        {"events": [Event("go", data=[Number("n")]), "end"], "states": [State("on", invariant=A >= 0), State("off", final=True, invariant=Number("n") > 0)]},
        ["the invariant of 'off' speaks of the unknown variable 'n'"]),
    "a number for a variable": ({"variables": [A, B, C, Number("n")]}, ["<Number n> is no variable but data of an event"]),
    "a guard with a parameter": (rows(row("x", "off", "go", guard=lambda session, amount: True)),
                                 ["whose parameter 'amount' is no datum of 'go'"]),
    "overdraft": (
        {"events": [Event("go", data=[Number("n")]), "end"],
         "rows": [row("go", "on", "go", effects=[A.becomes(A - Number("n"))]), row("end", "on", "end", target="off")]},
        ["row 'go' could make a negative (when a 0, n 1)"]),
    "overlap by data": (
        {"events": [Event("go", data=[Number("n")]), "end"],
         "rows": [row("x", "on", "go", guard=Number("n") > A), row("y", "on", "go", guard=Number("n") <= A + 1),
                  row("end", "on", "end", target="off")]},
        ["rows 'x' and 'y' can be enabled together (when n 1, a 0)"]),
    "bound of nothing": ({"bounds": {"z": 1}}, ["the bound of 'z' speaks of no counter"]),
    "bound of a choice": ({"bounds": {"c": 1}}, ["the bound of 'c' speaks of no counter"]),
    "bound below the start": ({"variables": [Counter("a", initial=3), B, C], "bounds": {"a": 1}},
                              ["the bound of 'a' is 1, and it starts at 3"]),
    "bound that is none": ({"bounds": {"a": -1, "b": True}}, ["the bound 'a': -1 is none", "the bound 'b': True is none"]),
    "time without event": ({"states": [State("on", after={5: "late"}), State("off", final=True)]},
                           ["state 'on' sends itself 'late' after 5 s, which is no event"]),
    "time without row": ({"states": [State("on"), State("off", final=True, after={5: "go"})]},
                         ["state 'off' sends itself 'go' after 5 s, and no row takes it there"]),
    "time without data": ({"states": [State("on", after={5: "go"}), State("off", final=True)],
                           "events": [Event("go", data=[Field("x", str)]), "end"]},
                          ["state 'on' sends itself 'go' after 5 s, which needs data that time cannot give: x"]),
    "final left and entered": (rows(row("x", "off", "go", reenter=True)), ["row 'x' leaves the final state 'off'"]),
    "several sources, one unknown": (rows(row("x", ("off", "of"), "go", guard=A > 3)), ["row 'x-of' starts from the unknown state 'of'"]),
    "several sources, one twice": (rows(row("x", ("off", "off"), "go", guard=A > 3)), ["row id 'x-off' is there twice"]),
    "if and else that overlap": ({"rows": [row("x", "on", "go", guard=callable), row("y", "on", "go", unless=~chart_guard()),
                                           row("end", "on", "end", target="off")]}, ["can be enabled together"]),
    "many at once": ({"initial": "up", "events": ["go", "end", "never"],
                      **rows(row("go", "on", "end", target="of"), row("less", "on", "end", effects=[A.becomes(A - 1)]))},
                     ["row id 'go'", "'of'", "'up'", "'never'", "'less' could make a negative", "rows 'end' and 'less'"]),
}  # fmt: skip


def test_the_usual_chart_is_right() -> None:
    assert [r.id for r in chart().rows] == ["go", "end"]


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_chart_is_refused_and_every_offender_named(case: str) -> None:
    change, messages = WRONG[case]
    with pytest.raises(DefinitionError) as caught:
        chart(**change)
    assert caught.value.subject == "chart 't'"
    for words in messages:
        assert any(words in problem for problem in caught.value.problems), caught.value.problems
    assert len(caught.value.problems) >= len(messages)


def test_the_same_callable_and_its_opposite_do_not_overlap() -> None:
    guard = (A >= 0) & ALWAYS
    one, other = row("x", "on", "go", guard=callable), row("y", "on", "go", guard=~chart_guard())
    assert str(one.guard) == "callable()"
    assert chart(rows=[one, other, row("end", "on", "end", target="off", guard=guard)]).opaque == (one, other)


def test_if_and_else_of_a_callable_are_two_words() -> None:
    paid = Boolean("paid")
    rows = [
        row("x", "on", "go", guard=callable, target="off"), row("y", "on", "go", unless=callable),
        row("p", "on", "end", guard=paid, target="off"), row("q", "on", "end", unless=paid),
    ]
    assert [str(one.guard) for one in chart(rows=rows, variables=[paid]).rows] == ["callable()", "not callable()", "paid", "not paid"]
    assert str(row("z", "on", "go", guard=A > 0, unless=B > 0).guard) == "a > 0 and b == 0"


def test_an_absorbing_state_needs_no_way_out() -> None:
    broken = {"states": ["on", State("off", final=True), State("broken", absorbing=True), "failing"], **rows(
        row("x", "on", "go", guard=A > 5, target="failing"), row("y", "failing", "go", target="broken"))}
    with pytest.raises(DefinitionError, match="can be enabled together"):
        chart(**broken)
    broken["rows"] = [row("go", "on", "go", guard=A <= 5, effects=[A.becomes(A + 1)]), *broken["rows"][1:]]
    assert chart(**broken).state("broken").absorbing


def test_a_large_chart_is_checked_in_linear_time() -> None:
    """A ring of states: each look-up is one of a dictionary."""
    ring = [f"s{n}" for n in range(3000)]
    rows = [row(f"r{n}", s, "go", target=ring[(n + 1) % len(ring)]) for n, s in enumerate(ring)]
    assert len(Chart("ring", states=ring, events=["go"], rows=rows).states) == 3000


def test_the_store_logoff_table_passes_every_check_afresh() -> None:
    LOGOFF.check()


def test_a_seal_spares_the_checks_only_while_it_is_the_charts_own() -> None:
    wrong = {"rows": [row("go", "on", "go", effects=[A.becomes(A - 1)]), row("end", "on", "end", target="off")]}
    stale = chart(**wrong, proved="0123456789abcdef")
    for use in (Session.of(stale), lambda: stale.fingerprint):
        with pytest.raises(DefinitionError, match="negative"):
            use()
        stale._fingerprint = None
    assert LOGOFF._proved == LOGOFF.fingerprint, "the table changed: run its checks, and seal it anew"
    assert chart(proved=chart().fingerprint).fingerprint == chart().fingerprint
    with pytest.raises(DefinitionError, match="twice"):
        chart(**rows(row("go", "off", "go", guard=A > 7)), proved=chart(**rows(row("g", "off", "go", guard=A > 7))).fingerprint)


def test_every_mutation_of_a_logoff_guard_is_caught_by_a_proof_or_changes_the_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    decided = cache(lambda guard: possible(guard, LOGOFF))  # the mutants share nearly all questions
    monkeypatch.setattr(validation, "possible", lambda guard, table: decided(guard))
    for place, one in enumerate(LOGOFF.rows):
        weaker = row(one.id, one.source, one.event, effects=one.effects, target=one.target)
        if one.guard == weaker.guard:
            continue
        changed = [*LOGOFF.rows[:place], weaker, *LOGOFF.rows[place + 1 :]]
        with pytest.raises(DefinitionError):
            Chart("m", states=LOGOFF.states, events=LOGOFF.events, variables=LOGOFF.variables, rows=changed)


