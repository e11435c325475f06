"""A migration is checked when it is declared: every offender is named, with a trace to a configuration that shows it."""

from __future__ import annotations

import re
from enum import Enum
from typing import Any

import pytest

from fsm import Boolean, Chart, Choice, Counter, DefinitionError, Event, Number, Session, SnapshotError, State, row
from fsm.analysis.trace import parse_trace
from fsm.migration import Migration, move
from fsm.migration.check import examine
from fsm.migration.moves import Moves
from tests.migration.orders import FIRST, MOVES, SECOND, SPEED, TO_SECOND, TO_THIRD, TOTAL, WORDS

FREE, BIG, SENT = MOVES


def declared(*moves: Any, **words: Any) -> tuple[str, ...]:
    with pytest.raises(DefinitionError) as caught:
        Migration(FIRST, SECOND, moves=moves, **{**WORDS, **words})  # type: ignore[arg-type]
    return caught.value.problems


def test_every_offender_is_named() -> None:
    with pytest.raises(DefinitionError) as caught:
        Migration(FIRST, SECOND, removed=["note"], values={"tries": "x", "left": 3})
    assert caught.value.problems == (
        "it renames or removes 'note', which is no variable of the old table",
        "a value is given to 'left', which is no variable of the new table",
        "state 'shipped' is lost: the new table does not have it, and no move says where it goes",
        "variable 'total' is lost: rename it, compute a value from it, or name it in removed=",
        "variable 'speed' is lost: rename it, compute a value from it, or name it in removed=",
        "the new variable 'amount' has no value: give it one in values=",
        "the new variable 'mode' has no value: give it one in values=",
        "'tries' is a counter, 0 or more, and is given 'x'",
    )


KINDS = [
    ({"values": {"mode": "warp", "tries": 0}}, "'mode' would get a value that it does not have: mode has no value 'warp'"),
    ({"values": {"mode": {"fast": "express"}, "tries": 0}}, "'mode' would get a value that it does not have: mode has no value 'slow'"),
    ({"values": {"mode": TOTAL, "tries": 0}}, "'mode' is given the counter 'total', and is no counter"),
    ({"values": {"mode": TOTAL + 1, "tries": 0}}, "'mode' is given a sum, and is no counter"),
    ({"values": {**WORDS["values"], "tries": SPEED}}, "'tries' is a counter, and is computed from 'speed', which is none"),  # type: ignore[dict-item]
    ({"values": {**WORDS["values"], "tries": TOTAL > 3}}, "'tries' is a counter, and is given a condition"),  # type: ignore[dict-item]
    ({"values": {**WORDS["values"], "tries": -1}}, "'tries' is a counter, 0 or more, and is given -1"),  # type: ignore[dict-item]
    ({"values": {**WORDS["values"], "tries": Counter("nope")}}, "'tries' is computed from 'nope'"),  # type: ignore[dict-item]
    ({"values": {**WORDS["values"], "amount": {3: 4}}}, "'amount' is a counter, and a table is for enumerated variables"),  # type: ignore[dict-item]
    ({"renamed": {"speed": "mode", "total": "tries"}}, "the new variable 'amount' has no value"),
]


@pytest.mark.parametrize(("words", "problem"), KINDS)
def test_a_value_of_the_wrong_kind_is_refused(words: Any, problem: str) -> None:
    assert any(one.startswith(problem) for one in declared(*MOVES, **words))


GUARDS = [
    (Counter("speed") > 1, "takes 'speed' for a counter"),
    (Choice("total", ("a", "b"), initial="a") == "a", "takes 'total' for an enumerated variable"),
    (Counter("zz") > 1, "speaks of 'zz', which is no variable of the old table"),
    (Choice("speed", ("warp",), initial="warp") == "warp", "speaks of a value that is not there"),
]


@pytest.mark.parametrize(("guard", "problem"), GUARDS)
def test_a_guard_that_does_not_fit_the_old_table_is_refused(guard: Any, problem: str) -> None:
    assert any(problem in one for one in declared(*MOVES, move("open", guard=guard), move("open", guard=~guard)))


def test_two_variables_cannot_become_one() -> None:
    a, b = Counter("a"), Counter("b")
    rows = [row("go", "x", "go", target="y")]
    old = Chart("o", states=["x", State("y", final=True)], events=["go"], variables=[a, b], rows=rows)
    new = Chart("n", states=["x", State("y", final=True)], events=["go"], variables=[b], rows=rows)
    with pytest.raises(DefinitionError, match="two variables become 'b': rename or remove the old 'b'"):
        Migration(old, new, renamed={"a": "b"})


# (moves, further values, what is said, the trace that shows it)
BROKEN = [
    ((SENT, move("paid", "big")), {}, "move paid -> big breaks the invariant of 'big' (amount >= 5)", "add,pay"),
    ((SENT, move("paid", guard=TOTAL < 4), BIG), {}, "in paid a configuration is lost: none of its moves holds", "add,add,add,add,pay"),
    ((SENT, move("paid", guard=TOTAL < 6), BIG), {}, "hold together", "add,add,add,add,add,pay"),
    (MOVES, {"tries": TOTAL - 2}, "move open -> open makes tries (total - 2) negative", ""),
    ((*MOVES, move("open", guard=SPEED == "slow")), {}, "in open a configuration is lost: none of its moves holds", "hurry"),
    ((FREE, BIG, move("shipped", "big")), {}, "move shipped -> big breaks", "add,pay,ship"),
]


@pytest.mark.parametrize(("moves", "values", "problem", "trace"), BROKEN)
def test_a_broken_migration_is_refused_with_a_trace_that_shows_it(moves: Any, values: Any, problem: str, trace: str) -> None:
    words = {**WORDS, "values": {**WORDS["values"], **values}}  # type: ignore[dict-item]
    found = declared(*moves, **words)
    assert any(problem in one and one.endswith(f"(after {trace or 'the start'})") for one in found), found
    shows(Moves(FIRST, SECOND, moves=moves, **words), trace)  # type: ignore[arg-type]


def shows(moves: Moves, trace: str) -> None:
    session = Session.of(moves.old_chart)()  # type: ignore[arg-type]
    for event in parse_trace(session.chart, trace):
        session.fire(event)
    with pytest.raises(SnapshotError):
        moves.migrated(session.snapshot())


def test_what_only_the_history_forbids_is_proved_for_all_counts() -> None:
    """Nothing says of `shipped` that the total is above 0; only the way there does."""
    findings = examine(TO_SECOND, FIRST, SECOND, ["total <= 6"])
    assert [(one.status, one.known) for one in findings] == [
        ("holds", "read off the tables"), *[("holds", "proved for all counts")] * 3, ("holds", "looked at in 50 configurations"),
    ]
    paid = Migration(FIRST, SECOND, moves=[FREE, BIG, move("shipped", "paid")], **WORDS)  # type: ignore[arg-type]
    assert examine(paid, FIRST, SECOND, ["total <= 6"])[3].known == "proved for all counts"


def test_the_findings_of_a_broken_migration_have_traces() -> None:
    broken = Moves(FIRST, SECOND, moves=[SENT, move("paid", "big")], **WORDS)  # type: ignore[arg-type]
    findings = examine(broken, FIRST, SECOND, ["total <= 6"])
    assert [one.status for one in findings] == ["holds", "holds", "holds", "fails", "fails"]
    assert [one.trace for one in findings[3:]] == [("add", "pay")] * 2


N, M = Counter("n"), Counter("m")
CLIMB = Chart(
    "climb", states=["a", State("b", final=True)], events=["up", "twice", "end"], variables=[N, M],
    rows=[
        row("up", "a", "up", effects=[N.becomes(N + 3), M.becomes(M + 5)]),
        row("twice", "a", "twice", effects=[N.becomes(N + 5), M.becomes(M + 3)]),
        row("end", "a", "end", target="b"),
    ],
)
FLAT = Chart(
    "flat", states=[State("a", invariant=N != 4), State("b", final=True)], events=["end"], variables=[N],
    rows=[row("end", "a", "end", target="b")],
)


def test_what_is_neither_proved_nor_found_is_not_known_beyond_the_bounds() -> None:
    """n is never 4: 3 and 5 make 3, 5, 6, 8, ... .  Within bounds there is no counterexample either."""
    far = Chart("far", states=[State("a", invariant=N != 40_001), State("b", final=True)], events=["end"],
                variables=[N], rows=[row("end", "a", "end", target="b")])
    migration = Moves(CLIMB, far, values={"n": N}, removed=["m"])
    finding = examine(migration, CLIMB, far, ["n <= 20", "m <= 20"])[3]
    assert finding.status == "unknown"
    assert "if that can be reached with n 40001" in finding.detail
    assert "not looked at beyond n <= 20 and m <= 20" in finding.detail
    near = Migration(CLIMB, FLAT, removed=["m"])
    assert examine(near, CLIMB, FLAT, ["n <= 20", "m <= 20"])[3].known == "proved for all counts"


def test_a_complete_search_decides_what_no_proof_does() -> None:
    capped = Chart(
        "capped", states=["a", State("b", final=True)], events=["up", "end"], variables=[N],
        rows=[row("up", "a", "up", guard=N < 90, effects=[N.becomes(N + 2)]), row("end", "a", "end", target="b")],
    )
    odd = Chart("odd", states=[State("a", invariant=N != 89), State("b", final=True)], events=["end"], variables=[N],
                rows=[row("end", "a", "end", target="b")])
    finding = examine(Migration(capped, odd), capped, odd)[3]
    assert (finding.status, finding.known) in (("holds", "looked at in 92 configurations"), ("holds", "proved for all counts"))


class Level(Enum):
    LOW = 1
    HIGH = 2


def test_enumerated_values_are_compared_by_their_names() -> None:
    level = Choice("level", (None, *Level))
    rows = [row("up", "a", "up", effects=[level.becomes(Level.HIGH)]), row("end", "a", "end", target="b")]
    old = Chart("old", states=["a", State("b", final=True)], events=["up", "end"], variables=[level], rows=rows)
    height = Choice("height", ("none", "LOW", "HIGH"), initial="none")
    new = Chart(
        "new", states=["a", State("high", invariant=height == "HIGH"), State("b", final=True)], events=["up", "end"],
        variables=[height],
        rows=[
            row("up", "a", "up", effects=[height.becomes("HIGH")], target="high"),
            row("end", "a", "end", target="b"), row("end.high", "high", "end", target="b"),
        ],
    )
    migration = Migration(
        old, new, moves=[move("a", "high", guard=level == Level.HIGH), move("a", guard=level != Level.HIGH)],
        renamed={"level": "height"}, values={"height": {None: "none"}},
    )
    session = Session.of(old)()
    assert Session.of(new).restore(session.snapshot(), migrations=[migration]).configuration == ("a", "none")
    session.up()  # type: ignore[attr-defined]
    assert Session.of(new).restore(session.snapshot(), migrations=[migration]).configuration == ("high", "HIGH")
    with pytest.raises(DefinitionError, match=re.escape("breaks the invariant of 'high' (height == HIGH) (after the start)")):
        Migration(old, new, moves=[move("a", "high")], renamed={"level": "height"}, values={"height": {None: "none"}})


def test_a_function_as_a_guard_of_the_old_table_may_answer_anything() -> None:
    old = Chart("old", states=["a", State("b", final=True)], events=["up", "end"], variables=[N],
                rows=[row("up", "a", "up", guard=lambda session: False, effects=[N.becomes(N + 1)]), row("end", "a", "end", target="b")])
    zero = Chart("zero", states=[State("a", invariant=N == 0), State("b", final=True)], events=["end"], variables=[N],
                 rows=[row("end", "a", "end", target="b")])
    finding = examine(Migration(old, zero), old, zero)[3]
    assert (finding.status, finding.known) == ("holds", "looked at in 2 configurations"), "nothing is proved of a function"


def test_a_migration_whose_charts_are_others_is_refused() -> None:
    findings = examine(TO_THIRD, FIRST, SECOND)
    assert findings[0].status == "fails"
    assert f"the old table is order with the fingerprint {FIRST.fingerprint}, not {SECOND.fingerprint}" in findings[0].detail


AMOUNT, BALANCE, CENTS = Number("amount"), Counter("balance"), Counter("cents")
ACCOUNT = Chart(
    "account", states=["open", "locked", State("closed", final=True)], events=[Event("pay", data=AMOUNT), "lock", "close"],
    variables=[BALANCE],
    rows=[
        row("pay", "open", "pay", guard=AMOUNT >= 3, effects=[BALANCE.becomes(BALANCE + AMOUNT)]),
        row("lock", "open", "lock", guard=BALANCE > 0, target="locked"), row("close", "locked", "close", target="closed"),
    ],
)


def account(least: int) -> Chart:
    return Chart(
        "account", states=["open", State("locked", invariant=CENTS >= least), State("closed", final=True)],
        events=["lock", "close"], variables=[CENTS],
        rows=[row("lock", "open", "lock", guard=CENTS >= least, target="locked"), row("close", "locked", "close", target="closed")],
    )


def test_data_of_events_count_for_all_their_values() -> None:
    words: Any = {"values": {"cents": 100 * BALANCE}}
    findings = examine(Migration(ACCOUNT, account(300), **words), ACCOUNT, account(300), ["balance <= 6", "amount <= 6"])
    assert [one.known for one in findings[1:4]] == ["proved for all counts"] * 3
    with pytest.raises(DefinitionError, match=r"breaks the invariant of 'locked' \(cents >= 301\) \(after pay\(amount=3\),lock\)"):
        Migration(ACCOUNT, account(301), **words)


def test_true_and_false_may_be_computed_and_copied() -> None:
    paid, rich, big = Boolean("paid"), Boolean("rich"), Boolean("big")
    old = Chart("old", states=["a", State("b", final=True)], events=["pay", "end"], variables=[N, paid], rows=[
        row("pay", "a", "pay", effects=[N.becomes(N + 1), paid.becomes(True)]), row("end", "a", "end", target="b")])
    new = Chart("new", states=["a", State("rich", invariant=rich & big), State("b", final=True)], events=["end"],
                variables=[rich, big], rows=[
        row("end", "a", "end", guard=~(rich & big), target="b"), row("win", "a", "end", guard=rich & big, target="rich"),
        row("last", "rich", "end", target="b")])
    moves = [move("a", "rich", guard=paid & (N > 2)), move("a", guard=~paid | (N <= 2))]
    migration = Migration(old, new, moves=moves, values={"rich": paid, "big": N > 2})
    for count, arrives in ((0, ("a", False, False)), (2, ("a", True, False)), (3, ("rich", True, True))):
        session = Session.of(old)()
        for _ in range(count):
            session.fire("pay")
        assert Session.of(new).restore(session.snapshot(), migrations=[migration]).configuration == arrives
    with pytest.raises(DefinitionError, match=r"\(rich and big\) \(after pay,pay\)"):
        Migration(old, new, moves=[move("a", "rich", guard=N > 1), move("a", guard=N <= 1)], values={"rich": paid, "big": N > 2})
    poor = Chart("poor", states=[State("a", invariant=~big), State("b", final=True)], events=["end"], variables=[big],
                 rows=[row("end", "a", "end", target="b")])
    with pytest.raises(DefinitionError, match=r"breaks the invariant of 'a' \(not big\) \(after pay,pay,pay\)"):
        Migration(old, poor, values={"big": N > 2}, removed=["paid"])
    assert Migration(old, poor, values={"big": N < 0}, removed=["paid"])
    with pytest.raises(DefinitionError, match=r"breaks the invariant of 'a' \(not big\) \(after pay\)"):
        Migration(old, poor, values={"big": paid}, removed=["n"])
    with pytest.raises(DefinitionError, match=r"'rich' would get a value that it does not have: .*maybe"):
        Migration(old, new, values={"rich": "maybe", "big": True}, removed=["n", "paid"])


def test_without_bounds_a_table_without_an_end_is_looked_at_near_its_start() -> None:
    findings = examine(TO_SECOND, FIRST, SECOND)
    assert findings[-1].status == "holds"
    assert findings[-1].detail == "not looked at beyond total <= 1"
    words: Any = {"values": {"cents": 100 * BALANCE}}
    applied = examine(Migration(ACCOUNT, account(300), **words), ACCOUNT, account(300))[-1]
    assert (applied.status, applied.detail) == ("holds", "not looked at beyond balance <= 4 and amount <= 4")
