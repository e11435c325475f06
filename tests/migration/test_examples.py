"""The migrations of the examples hold in every respect, and move every session that their old charts can reach."""

from __future__ import annotations

import json
from itertools import chain

import pytest
from hypothesis import given, settings

from fsm import Session
from fsm.analysis.trace import Call
from fsm.commands.chart_files import module_of
from fsm.migration import Migration
from fsm.migration.check import examine
from fsm.testing.strategies import events
from tests.readme import ROOT

FILES = [ROOT / "examples" / "parcel.py", *sorted((ROOT / "examples" / "charts").glob("*.py"))]
MIGRATIONS = [*chain.from_iterable(getattr(module_of(f"{file}:x"), "MIGRATIONS", ()) for file in FILES)]


@pytest.mark.parametrize("migration", MIGRATIONS, ids=str)
def test_it_is_proved_and_moves_what_can_be_reached(migration: Migration) -> None:
    old, new = migration.old_chart, migration.new_chart
    assert old is not None
    assert new is not None
    findings = examine(migration, old, new)
    assert [one.status for one in findings] == ["holds"] * 5
    assert [one.known for one in findings[1:4]] == ["proved for all counts"] * 3

    @settings(max_examples=50, deadline=None)
    @given(events(old))
    def moves(trace: list[Call]) -> None:
        session = Session.of(old)()
        for step in trace:
            session.fire(step.event, **step.data)
        stored = json.loads(json.dumps(session.snapshot()))
        assert Session.of(new).restore(stored, migrations=[migration])

    moves()
