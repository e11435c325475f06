"""A journal of an older chart is read, replayed and continued where migrations lead from there to the present chart."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from fsm import Session
from fsm.journal import JournalError, Recorder, records, replay, replayed
from fsm.journal.reader import header
from tests.migration.orders import FIRST, SECOND, THIRD, TO_SECOND, TO_THIRD

Old, New = Session.of(FIRST), Session.of(SECOND)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A journal of the first chart: session a was shipped, b is paid and big."""
    file = tmp_path / "j.jsonl"
    with Recorder(FIRST, file) as journal:
        a, b = Old(), Old(total=7)
        journal.attach(a, "a")
        journal.attach(b, "b")
        for event in ("add", "pay", "ship"):
            journal.fire(a, event)
        b.fire("pay")
    return file


def test_its_entries_are_starts_in_the_configurations_after_them(old: Path) -> None:
    with old.open("rb") as file:
        found = [(one.session, one.start, one.event) for one in records(SECOND, file, [TO_SECOND])]
    assert found == [
        ("a", ("open", 0, "plain", 0), ""), ("b", ("open", 7, "plain", 0), ""), ("a", ("open", 1, "plain", 0), ""),
        ("a", ("paid", 1, "plain", 0), ""), ("a", ("sent", 1, "plain", 1), ""), ("b", ("big", 7, "plain", 0), ""),
    ]


def test_without_migrations_it_is_refused(old: Path) -> None:
    for migrations in ([], [TO_THIRD]):
        with old.open("rb") as file, pytest.raises(JournalError, match="line 1: it is a journal of 'order' with the fingerprint"):
            list(records(SECOND, file, migrations))
    with old.open("rb") as file, pytest.raises(JournalError, match=f"line 1: .* lead to {SECOND.fingerprint}, not to"):
        list(records(THIRD, file, [TO_SECOND]))


def test_it_goes_on_behind_a_second_header_and_is_replayed_across_it(old: Path) -> None:
    before = old.read_bytes()
    with Recorder(SECOND, old, migrations=[TO_SECOND]) as journal:
        journal.attach(again := New(amount=7), "b")
        again.fire("pay")
        again.fire("ship")
    with Recorder(SECOND, old, migrations=[TO_SECOND]) as journal:  # once more: no third header
        journal.attach(again, "b")
        again.fire("arrive")
    text = old.read_bytes()
    assert text.startswith(before)
    heads = [json.loads(line)["fingerprint"] for line in text.splitlines() if line.startswith(b'{"journal"')]
    assert heads == [FIRST.fingerprint, SECOND.fingerprint]
    with old.open("rb") as file:
        done = list(replayed(SECOND, file, [TO_SECOND]))
    assert [one.divergence for one in done] == [None] * len(done)
    assert done[-1].configuration == ("done", 7, "plain", 1)
    with old.open("rb") as file, pytest.raises(JournalError, match="line 8: it is a journal of 'order' with the fingerprint"):
        list(records(FIRST, file))


def test_a_third_table_reads_both_sections(old: Path) -> None:
    with Recorder(SECOND, old, migrations=[TO_SECOND]) as journal:
        journal.attach(New(amount=7), "c")
    with Recorder(THIRD, old, migrations=[TO_SECOND, TO_THIRD]) as journal:
        journal.attach(Session.of(THIRD)(amount=2), "d")
    with old.open("rb") as file:
        last = {one.session: one.start for one in records(THIRD, file, [TO_SECOND, TO_THIRD])}
    assert last == {"a": ("open", 1), "b": ("open", 7), "c": ("open", 7), "d": ("open", 2)}
    with old.open("rb") as file:
        assert replay(THIRD, file, [TO_SECOND, TO_THIRD]) is None


def test_a_divergence_behind_the_second_header_is_found(old: Path) -> None:
    with Recorder(SECOND, old, migrations=[TO_SECOND]) as journal:
        journal.attach(again := New(amount=7), "b")
        again.fire("pay")
    old.write_text(old.read_text().replace('"state": "big"', '"state": "paid"'))
    with old.open("rb") as file:
        divergence = replay(SECOND, file, [TO_SECOND])
    assert divergence is not None
    assert divergence.expected == {"state": "paid"}


WRONG = [
    ({"event": "pay"}, "line 2: this entry of an older chart does not say where it led"),
    ({"event": "pay", "state": "lost", "total": 1, "speed": "slow"}, "line 2: lost would become lost"),
    ({"event": "pay", "state": "paid", "speed": "slow"}, "line 2: it has no 'total'"),
    ({"session": "a", "start": 3}, "line 2: this is no snapshot of order: it is int"),
]


@pytest.mark.parametrize(("line", "problem"), WRONG)
def test_a_line_that_cannot_be_moved_is_an_error_with_its_number(line: object, problem: str) -> None:
    source = io.BytesIO(b"".join(json.dumps(one).encode() + b"\n" for one in (header(FIRST), line)))
    with pytest.raises(JournalError, match=problem):
        list(records(SECOND, source, [TO_SECOND]))


def test_a_journal_of_the_present_chart_may_not_have_a_second_header() -> None:
    source = io.BytesIO(b"".join(json.dumps(one).encode() + b"\n" for one in (header(SECOND), header(SECOND))))
    with pytest.raises(JournalError, match="line 2: a second header"):
        list(records(SECOND, source, [TO_SECOND]))
