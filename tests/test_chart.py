"""A chart answers a few questions, and its fingerprint changes with behaviour and with nothing else."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from typing import Any

import pytest

from fsm.chart import Chart, Event, Output, Row, State, row
from fsm.logoff import LOGOFF, LogoffStatus
from fsm.variable import Counter


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
