"""A chart answers a few questions, and its fingerprint changes with behaviour and with nothing else."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from enum import Enum, IntEnum, StrEnum
from typing import Any

import pytest

from fsm.chart import Chart, Event, Output, Row, State, row
from fsm.data import Field, Number
from fsm.errors import DefinitionError
from fsm.logoff import LOGOFF, LogoffStatus
from fsm.variable import Choice, Counter


def remade(**change: Any) -> Chart:
    usual: dict[str, Any] = {
        "states": LOGOFF.states, "events": LOGOFF.events, "variables": LOGOFF.variables, "rows": LOGOFF.rows,
        "outputs": LOGOFF.outputs,
    }  # fmt: skip
    return Chart(change.pop("name", LOGOFF.name), **{**usual, **change})


def with_row(place: int, **change: Any) -> tuple[Row, ...]:
    rows = list(LOGOFF.rows)
    rows[place] = Row(*(change.get(name, getattr(rows[place], name)) for name in Row._fields))
    return tuple(rows)


def test_prose_ids_and_order_of_rows_do_not_change_the_fingerprint() -> None:
    for change in (
        {"doc": "other words"},
        {"rows": with_row(0, why="because", cites=("S1",), id="another")},
        {"rows": LOGOFF.rows[::-1]},
        {"states": [State(s, "described anew", final=s.final, invariant=s.invariant) for s in LOGOFF.states]},
        {"events": [Event(e, "described anew") for e in LOGOFF.events]},
    ):
        assert remade(**change).fingerprint == LOGOFF.fingerprint


def test_every_change_of_behaviour_changes_the_fingerprint() -> None:
    n = Counter("n")
    seen = {LOGOFF.fingerprint}
    for change in (
        {"name": "other"},
        {"events": LOGOFF.events[::-1]},
        {"states": LOGOFF.states[:1] + LOGOFF.states[:0:-1]},
        {"variables": (*LOGOFF.variables, n)},
        {"rows": with_row(0, effects=())},
        {"rows": with_row(0, guard=LOGOFF.row("open.outbound_begin").guard)},
        {"outputs": LOGOFF.outputs[:-1]},
        {"outputs": (*LOGOFF.outputs[:-1], Output("OUTBOUND_QUEUE", 1 << 30, guard=LOGOFF.outputs[-1].guard))},
    ):
        seen.add(remade(**change).fingerprint)
    assert len(seen) == 9


def small(**change: Any) -> Chart:
    usual: dict[str, Any] = {
        "states": ["a", State("b", final=True)], "events": ["go", "end"], "variables": [N],
        "rows": [row("go", "a", "go"), row("end", "a", "end", target="b")],
    }  # fmt: skip
    return Chart("small", **{**usual, **change})


N = Counter("n")


def test_what_is_declared_of_data_and_time_is_behaviour_and_bounds_are_not() -> None:
    usual = small()
    assert usual.fingerprint == "578a975f7742056c", "charts without data and time keep the fingerprints that they had"
    assert small(bounds={"n": 3}).fingerprint == usual.fingerprint
    seen = {usual.fingerprint}
    for change in (
        {"events": [Event("go", data=[Number("m")]), "end"]},
        {"events": [Event("go", data=[Number("m", default=0)]), "end"]},
        {"events": [Event("go", data=[Number("m", default=1)]), "end"]},
        {"events": [Event("go", data=[Field("m", int)]), "end"]},
        {"events": [Event("go", data=[Field("m", int | None, default=None)]), "end"]},
        {"states": [State("a", after={3: "end"}), State("b", final=True)]},
        {"states": [State("a", after={4: "end"}), State("b", final=True)]},
        {"states": [State("a", absorbing=True), State("b", final=True)]},
        {"rows": [row("go", "a", "go", reenter=True), row("end", "a", "end", target="b")]},
    ):
        seen.add(small(**change).fingerprint)
    assert len(seen) == 10
    prose = [Event("go", "words", data=[Number("m", "words")]), "end"]
    assert small(events=prose).fingerprint == small(events=[Event("go", data=[Number("m")]), "end"]).fingerprint
    assert small(states=[State("a", after={3.0: "end"}), State("b", final=True)]).fingerprint in seen


class St(Enum):
    A = 1
    B = "b"


class Ev(StrEnum):
    GO = "go!"


Number_ = IntEnum("Number_", "ONE TWO")


def test_states_and_events_may_be_members_of_enums() -> None:
    made = Chart(
        "members", states=[State(St.A, "begin"), State(St.B, final=True)], events=[Ev.GO, Number_.TWO], variables=[N],
        rows=[row("go", St.A, Ev.GO, target=St.B), row("two", [St.A], Number_.TWO, effects=[N.becomes(Number_.TWO)])],
        outputs=[Output("X", 1, states=(St.B,))], initial=St.A,
    )  # fmt: skip
    assert [(s.name, s == member) for s, member in zip(made.states, St, strict=True)] == [("A", True), ("B", True)]
    assert (made.events, made.initial) == (("go!", "TWO"), "A")
    assert made.event(Ev.GO) == Ev.GO
    assert made.event(Number_.TWO) == Number_.TWO != Number_.ONE
    assert made.state(St.B) == St.B != St.A
    assert made.state(St.B).final
    assert [r.id for r in made.rows_for(St.A, Ev.GO)] == ["go"]
    assert made.rows_for("A", "TWO")[0].id == "two-A"
    assert made.flags(("B", 0)) == 1
    assert made.configuration(St.B, {"n": Number_.ONE}) == ("B", 1)
    assert type(made.configuration(St.B, {"n": Number_.ONE})[1]) is int
    copied = pickle.loads(pickle.dumps(made))
    assert copied.fingerprint == made.fingerprint
    assert copied.states[0] == St.A
    assert Chart("whole", states=St, events=Ev, rows=[row("x", St.A, Ev.GO, target=St.B), row("y", St.B, Ev.GO, target=St.A)]).initial == "A"


def test_a_row_for_several_sources_is_a_row_for_each() -> None:
    made = row("end", ("a", "b"), "end", target="b", reenter=True, cites="S1 S2", why="so")
    assert [(r.id, r.source, r.target, r.reenter, r.leaves, r.moves) for r in made] == [
        ("end-a", "a", "b", False, True, True), ("end-b", "b", "b", True, True, False),
    ]  # fmt: skip
    assert [r.target for r in row("stay", ["a", "b"], "end")] == ["a", "b"]
    assert row("stay", "a", "end").leaves is False
    with pytest.raises(DefinitionError, match="row 'x': it has no source"):
        row("x", (), "end")


@pytest.mark.parametrize(("after", "problem"), [
    ({0: "go"}, "it cannot send 'go' after 0 seconds: a time is above 0"), ({-1.5: "go"}, "after -1.5 seconds"),
    ({float("nan"): "go"}, "after nan seconds"), ({float("inf"): "go"}, "after inf seconds"),
    ({10**9 + 1: "go"}, "at most 1,000,000,000 seconds"), ({True: "go"}, "after True: a time is a number of seconds"),
    ({"5": "go"}, "after '5': a time is a number of seconds"), ({10**400: "go"}, "a time is above 0"),
])  # fmt: skip
def test_a_time_is_a_number_of_seconds_above_0(after: Any, problem: str) -> None:
    with pytest.raises(DefinitionError, match="state 'a': ") as caught:
        State("a", after={**after, -9: "x"})
    assert problem in str(caught.value)
    assert "it cannot send 'x' after -9 seconds" in str(caught.value)
    assert State("a", after={30.0: Ev.GO, 0.5: "x"}).after == {0.5: "x", 30: "go!"}


def test_a_state_is_not_final_and_absorbing() -> None:
    with pytest.raises(DefinitionError, match="an absorbing one is not final"):
        State("a", final=True, absorbing=True)


def test_a_row_takes_its_data() -> None:
    amount = Number("amount")
    pay = row("pay", "a", "pay", guard=amount <= N, effects=[N.becomes(N - amount)])
    made = small(events=[Event("pay", data=[amount]), "end"], rows=[pay, row("end", "a", "end", target="b")])
    assert made.after(("a", 5), pay, {"amount": 3}) == ("a", 2)
    assert pay.apply({"n": 5}, {"amount": 5}) == {"n": 0}
    assert made.numbers["amount"] is amount
    assert (pay.effect_text, str(pay.guard)) == ("n -= amount", "amount <= n")


def test_what_is_no_configuration_is_refused_in_a_sentence() -> None:
    mode = Choice("mode", ("fast", "slow"), initial="slow")
    made = small(variables=[N, mode], states=[State("a", invariant=N < 9), State("b", final=True)])
    assert made.configuration(values={"mode": "".join(["fa", "st"])}) == ("a", 0, "fast")
    for state, values, problem in (
        ("c", {}, "'c' is not a state of small"), ("a", {"n": -1}, "n must be a whole number"), ("a", {"n": 9}, "it always holds that n < 9"),
        ("a", {"mode": "f"}, "'f' is not a value of mode"), ("a", {"x": 1, "y": 2}, "small has no variable 'x' or 'y'"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=problem):
            made.configuration(state, values)


def test_the_fingerprint_is_the_same_in_every_process() -> None:
    script = "from fsm.logoff import LOGOFF; print(LOGOFF.fingerprint)"
    for seed in ("0", "1"):
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env={"PYTHONHASHSEED": seed})
        assert done.stdout.strip() == LOGOFF.fingerprint


def test_looking_up() -> None:
    assert "open" in LOGOFF.states
    assert LOGOFF.state("draining").doc
    assert LOGOFF.event("submit").name == "submit"
    assert LOGOFF.variable("ready").name == "ready"
    assert [r.id for r in LOGOFF.rows_for("released", "release")] == ["released.release"]
    assert LOGOFF.rows_for("released", "submit") == ()
    for find in (LOGOFF.state, LOGOFF.event, LOGOFF.variable, LOGOFF.row):
        with pytest.raises(KeyError, match="nothing of the kind"):
            find("nothing of the kind")


def test_outputs_and_descriptions() -> None:
    here = ("released", None, 0, 0, 2, 0, 0)
    assert LOGOFF.flags(here) == LogoffStatus.COMPLETE | LogoffStatus.OUTBOUND_QUEUE
    assert LOGOFF.flag_names(LOGOFF.flags(here)) == ("COMPLETE", "OUTBOUND_QUEUE")
    assert LOGOFF.describe(here) == "released, ready 2"
    assert repr(LOGOFF) == "<Chart store-logoff: 4 states, 19 events, 102 rows>"


def test_rows_are_values_and_nothing_of_a_chart_is_changed_by_accident() -> None:
    one = row("a", "s", "e", why="so")
    assert one == row("a", "s", "e", why="so")
    assert hash(one) == hash(row("a", "s", "e", why="so"))
    assert one != row("a", "s", "e")
    with pytest.raises(AttributeError, match="can't set attribute"):
        one.id = "b"
    with pytest.raises(AttributeError, match="can't delete attribute"):
        del one.id
    assert copy.deepcopy(one) == one
    assert pickle.loads(pickle.dumps(LOGOFF)).fingerprint == LOGOFF.fingerprint
    assert "source='s'" in repr(one)
