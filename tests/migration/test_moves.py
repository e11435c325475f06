"""Migrations are applied to snapshots, alone and one after the other, with and without the charts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fsm import DefinitionError, Session, SnapshotError
from fsm.migration import Migration, move
from fsm.snapshot import encode
from tests.migration.orders import FIRST, MOVES, SECOND, THIRD, TO_SECOND, TO_THIRD, TOTAL, WORDS

Old, New, Newest = Session.of(FIRST), Session.of(SECOND), Session.of(THIRD)


def stored(trace: str, **values: Any) -> dict[str, Any]:
    session = Old(**values)
    for event in filter(None, trace.split(",")):
        session.fire(event)
    found: dict[str, Any] = json.loads(json.dumps(session.snapshot()))
    return found


MOVED = [
    (stored(""), ("open", 0, "plain", 0)),
    (stored("add,hurry"), ("open", 1, "express", 0)),
    (stored("add,pay"), ("paid", 1, "plain", 0)),
    (stored("pay", total=4), ("paid", 4, "plain", 0)),
    (stored("pay", total=5), ("big", 5, "plain", 0)),
    (stored("hurry,pay,ship", total=12), ("sent", 12, "express", 1)),
    (stored("add,pay,ship,arrive"), ("done", 1, "plain", 0)),
]


@pytest.mark.parametrize(("snapshot", "arrives"), MOVED)
def test_a_snapshot_arrives_where_its_move_says(snapshot: dict[str, Any], arrives: Any) -> None:
    assert New.restore(snapshot, migrations=[TO_SECOND]).configuration == arrives
    moved = TO_SECOND.migrated(snapshot)
    assert moved == encode(SECOND, arrives)


@pytest.mark.parametrize(("snapshot", "arrives"), MOVED)
def test_neither_chart_is_needed_where_it_runs(snapshot: dict[str, Any], arrives: Any) -> None:
    alone = Migration(FIRST.fingerprint, SECOND.fingerprint, moves=MOVES, **WORDS)  # type: ignore[arg-type]
    half = Migration(FIRST.fingerprint, SECOND, moves=MOVES, **WORDS)  # type: ignore[arg-type]
    for one in (alone, half):
        assert one.migrated(snapshot) == TO_SECOND.migrated(snapshot)
        assert New.restore(snapshot, migrations=[one]).configuration == arrives


@pytest.mark.parametrize("order", [[TO_SECOND, TO_THIRD], [TO_THIRD, TO_SECOND]])
def test_migrations_form_a_chain_in_any_order(order: list[Migration]) -> None:
    assert Newest.restore(stored("pay", total=7), migrations=order).configuration == ("open", 7)
    second = encode(SECOND, ("done", 3, "plain", 2))
    assert Newest.restore(second, migrations=order).configuration == ("done", 3)
    assert Newest.restore(Newest(amount=2).snapshot(), migrations=order).configuration == ("open", 2)


def test_the_shortest_chain_is_taken() -> None:
    at_once = Migration(FIRST, THIRD, moves=[move("paid", "done"), move("shipped", "done")], renamed={"total": "amount"}, removed=["speed"])
    assert Newest.restore(stored("pay", total=7), migrations=[TO_SECOND, TO_THIRD, at_once]).state == "done"


def test_what_a_snapshot_has_besides_stays() -> None:
    snapshot = {**stored("add"), "id": 7, "elapsed": 2.5}
    moved = TO_SECOND.migrated(snapshot)
    assert (moved["id"], moved["elapsed"]) == (7, 2.5)
    assert snapshot["fingerprint"] == FIRST.fingerprint, "the old one is not changed"


def changed(**change: Any) -> dict[str, Any]:
    return {**stored("pay", total=5), **change}


WRONG = [
    (changed(fingerprint=None), "its fingerprint is None"),
    (changed(fingerprint=[]), "its fingerprint is \\[\\]"),
    (changed(fingerprint="0" * 16), "of the same name but another behaviour"),
    (changed(snapshot=2), "its version is 2"),
    (changed(state=3), "it has no state and values"),
    (changed(values=[]), "it has no state and values"),
    (changed(state="lost"), "lost would become lost, and 'lost' is not a state of order"),
    (changed(values={"speed": "slow"}), "it has no 'total'"),
    (changed(values={"total": -1, "speed": "slow"}), "total must be a whole number, 0 or more, not -1"),
    (changed(values={"total": True, "speed": "slow"}), "not True"),
    (changed(values={"total": 5, "speed": "warp"}), "paid would become big, and mode has no value 'warp'"),
    (changed(elapsed=-1), "its elapsed seconds are -1"),
    (changed(elapsed=float("nan")), "its elapsed seconds are nan"),
    (changed(elapsed=True), "its elapsed seconds are True"),
]


@pytest.mark.parametrize(("snapshot", "problem"), WRONG)
def test_what_cannot_be_moved_is_refused_in_one_sentence(snapshot: dict[str, Any], problem: str) -> None:
    with pytest.raises(SnapshotError, match=problem):
        New.restore(snapshot, migrations=[TO_SECOND])


def test_a_chain_that_leads_elsewhere_is_refused_with_where_it_leads() -> None:
    with pytest.raises(SnapshotError, match=f"lead to {SECOND.fingerprint}, not to '{THIRD.fingerprint}'"):
        Newest.restore(stored("add"), migrations=[TO_SECOND])


def test_a_gap_or_an_overlap_that_nobody_checked_is_found_when_it_is_met() -> None:
    gap = Migration(FIRST.fingerprint, SECOND, moves=[move("paid", guard=TOTAL < 3), MOVES[1]], **WORDS)  # type: ignore[arg-type]
    with pytest.raises(SnapshotError, match="in paid, total 4, speed slow, none of its moves holds"):
        gap.migrated(stored("pay", total=4))
    both = Migration(FIRST.fingerprint, SECOND, moves=[move("paid"), MOVES[1]], **WORDS)  # type: ignore[arg-type]
    with pytest.raises(SnapshotError, match="hold together"):
        both.migrated(stored("pay", total=5))
    low = Migration(FIRST.fingerprint, "0" * 16, values={"left": TOTAL - 3})
    assert low.migrated(stored("add", total=2))["values"] == {"total": 3, "speed": "slow", "left": 0}
    with pytest.raises(SnapshotError, match="left would be -2, and no count is less than 0"):
        low.migrated(stored("add"))


DECLARED = [
    (("abc", SECOND), {}, "'abc' is no fingerprint"),
    (("0" * 16, "0" * 16), {}, "both fingerprints are the same"),
    (("0" * 16, "1" * 16), {"moves": ["paid"]}, "'paid' is no move"),
    (("0" * 16, "1" * 16), {"renamed": {"a": "c", "b": "c"}}, "two variables are renamed to 'c'"),
    (("0" * 16, "1" * 16), {"renamed": {"a": "c"}, "removed": ["a"]}, "variable 'a' is renamed and removed"),
    (("0" * 16, "1" * 16), {"values": {"a": object()}}, "values, a: <object object"),
    (("0" * 16, "1" * 16), {"values": {"a": 1.5}}, "a value is a number, a sum"),
    (("0" * 16, "1" * 16), {"moves": [move("a", guard=lambda session: True)]}, "a snapshot cannot answer a function"),
    (("0" * 16, SECOND), {"moves": [move("a", "z")], "values": {"zz": 1}}, "'z', which is no state of the new table; a value is given to 'zz'"),
    (("0" * 16, SECOND), {"renamed": {"a": "zz"}}, "a variable is renamed to 'zz'"),
    ((FIRST, "0" * 16), {"moves": [move("z", "paid")]}, "starts from 'z', which is no state of the old table"),
    ((FIRST, "0" * 16), {"removed": ["zz"]}, "it renames or removes 'zz'"),
]


@pytest.mark.parametrize(("tables", "words", "problem"), DECLARED)
def test_what_is_wrong_whatever_the_other_table_is(tables: Any, words: Any, problem: str) -> None:
    with pytest.raises(DefinitionError, match=problem):
        Migration(*tables, **words)


def test_what_is_no_migration_is_refused() -> None:
    with pytest.raises(TypeError, match="'x' is no migration"):
        New.restore(stored("add"), migrations=["x"])  # type: ignore[list-item]
