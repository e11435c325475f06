"""`fsm migrate`: every line is moved, or each that cannot be is named and nothing is written; migrations are checked."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from fsm import Session
from fsm.cli import main
from fsm.journal import Recorder, replay
from fsm.journal.reader import records
from tests.migration.orders import FIRST, SECOND, THIRD

Old, New = Session.of(FIRST), Session.of(SECOND)
MODULE = """
from tests.migration.orders import FIRST, MOVES, SECOND, THIRD, TO_SECOND, TO_THIRD, WORDS
from fsm.migration import Migration, move
MIGRATIONS = (TO_SECOND, TO_THIRD)
ONE = TO_SECOND
BLIND = Migration(FIRST.fingerprint, SECOND, moves=MOVES, **WORDS)
WRONG = Migration(FIRST.fingerprint, SECOND, moves=[move("paid", "big"), MOVES[2]], **WORDS)
NONE = 3
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.delitem(sys.modules, "shop", raising=False)
    (tmp_path / "shop.py").write_text(MODULE)
    return tmp_path


def stored(trace: str, **more: Any) -> dict[str, Any]:
    session = Old()
    for event in filter(None, trace.split(",")):
        session.fire(event)
    return {**session.snapshot(), **more}


def write(file: Path, *lines: object) -> None:
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))


def read(file: Path) -> list[Any]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_snapshots_are_moved_with_what_they_have_besides(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(here / "s.jsonl", stored("add", id=1), stored("add,pay,ship", id=2, elapsed=3.5), {**New(amount=3).snapshot(), "id": 3})
    assert main(["migrate", "--to", "shop:SECOND", "s.jsonl"]) == 0
    moved = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(one["id"], New.restore(one).configuration) for one in moved] == [
        (1, ("open", 1, "plain", 0)), (2, ("sent", 1, "plain", 1)), (3, ("open", 3, "plain", 0)),
    ]
    assert moved[1]["elapsed"] == 3.5


@pytest.mark.parametrize("output", ["moved.jsonl", "s.jsonl"])
def test_they_may_go_into_a_file_even_the_same(here: Path, output: str) -> None:
    write(here / "s.jsonl", stored("add"), stored("add,pay"))
    (here / "s.jsonl").chmod(0o640)
    assert main(["migrate", "--to", "shop:THIRD", "s.jsonl", "-o", output]) == 0
    assert [(one["chart"], one["state"]) for one in read(here / output)] == [("purchase", "open")] * 2
    if output == "s.jsonl":
        assert (here / output).stat().st_mode & 0o777 == 0o640
    assert sorted(path.name for path in here.iterdir()) == sorted({"shop.py", "s.jsonl", output})


def test_all_or_nothing_and_every_offender_is_named(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lost = {**stored("add,pay"), "state": "lost"}
    write(here / "s.jsonl", stored("add"), lost, stored("add"), {"a": 1}, {**stored("add"), "fingerprint": "0" * 16})
    before = (here / "s.jsonl").read_text()
    assert main(["migrate", "--to", "shop:SECOND", "s.jsonl", "-o", "s.jsonl"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("fsm migrate: nothing was written: line 2: lost would become lost")
    assert "line 4: it is neither a snapshot nor a record of a journal; line 5: its fingerprint is '0000000000000000'" in said
    assert (here / "s.jsonl").read_text() == before
    assert sorted(path.name for path in here.iterdir()) == ["s.jsonl", "shop.py"]


def test_to_standard_output_what_comes_before_a_wrong_line_stays(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = json.dumps(stored("add")) + "\n\n{\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert main(["migrate", "--to", "shop:SECOND", "--by", "shop:ONE"]) == 2
    out, err = capsys.readouterr()
    assert json.loads(out)["fingerprint"] == SECOND.fingerprint
    assert err == "fsm migrate: line 3: this is no JSON\n"


def test_a_journal_becomes_one_of_the_new_table(here: Path) -> None:
    with Recorder(FIRST, "j.jsonl") as journal:
        first, second = Old(), Old(total=6)
        journal.attach(first, "a")
        journal.attach(second, "b")
        for event in ("add", "pay", "ship"):
            first.fire(event)
        second.fire("pay")
    assert main(["migrate", "--to", "shop:SECOND", "--from", "tests.migration.orders:FIRST", "j.jsonl", "-o", "new.jsonl"]) == 0
    with (here / "new.jsonl").open("rb") as file:
        assert replay(SECOND, file) is None
    with (here / "new.jsonl").open("rb") as file:
        last = {record.session: record.start for record in records(SECOND, file)}
    assert last == {"a": ("sent", 1, "plain", 1), "b": ("big", 6, "plain", 0)}
    with Recorder(SECOND, "new.jsonl") as journal:  # and it goes on
        journal.attach(session := New(amount=1), "c")
        session.fire("pay")
    assert main(["replay", "--chart", "shop:SECOND", "new.jsonl"]) == 0


WRONG = [
    (["--to", "shop:NOPE"], "module 'shop' has no 'NOPE'"),
    (["--to", "shop:SECOND", "--from", "nowhere.json"], "cannot read nowhere.json: No such file"),
    (["--to", "shop:THIRD", "--by", "shop:NONE"], "shop:NONE is no tuple of migrations"),
    (["--to", "tests.migration.orders:FIRST"], "there are no migrations: write MIGRATIONS"),
    (["--to", "shop:SECOND", "--from", "0" * 16], "no migration begins at '0000000000000000' (they begin at "),
    (["--to", "shop:SECOND", "--from", "shop:THIRD"], f"no migration begins at '{THIRD.fingerprint}'"),
    (["--to", "shop:THIRD", "--by", "shop:ONE", "--from", "shop:FIRST"], f"lead to {SECOND.fingerprint}, not to '{THIRD.fingerprint}'"),
    (["--to", "shop:SECOND", "nowhere.jsonl"], "cannot read 'nowhere.jsonl': No such file"),
    (["--to", "shop:SECOND", "s.jsonl", "-o", "no/where"], "cannot write no/where: No such file"),
    (["--to", "shop:SECOND", "--by", "shop:BLIND", "--check"], f"cannot be checked without the chart of {FIRST.fingerprint} (--from)"),
    (["--to", "shop:SECOND", "--check", "--bound", "zz <= 1"], "has no variable 'zz'"),
    (["--to", "shop:SECOND", "--from", SECOND.fingerprint, "s.jsonl"], f"line 1: its fingerprint is '{FIRST.fingerprint}', not"),
]


@pytest.mark.parametrize(("words", "problem"), WRONG)
def test_wrong_input_is_said_in_a_sentence(
    here: Path, words: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write(here / "s.jsonl", stored("add"))
    assert main(["migrate", *words]) in (1, 2)
    said = capsys.readouterr().err
    assert problem in said
    assert said.startswith("fsm migrate: ")
    assert said.count("\n") == 1


def test_the_check_names_what_was_proved_and_what_was_looked_at(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["migrate", "--to", "shop:THIRD", "--check", "--bound", "total <= 6", "--bound", "amount <= 6"]) == 0
    out = capsys.readouterr().out
    assert out.count("proved for all counts") == 6
    assert "looked at in 50 configurations" in out
    assert out.endswith("10 of 10 properties hold, 0 fail, 0 are not known\n")
    only = ["migrate", "--to", "shop:THIRD", "--from", "shop:SECOND", "--check", "--bound", "amount <= 6"]
    assert main(only) == 0
    assert "5 of 5 properties hold" in capsys.readouterr().out


def test_the_check_fails_with_a_trace(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--by", "shop:WRONG", "--from", "shop:FIRST", "--check", "--bound", "total <= 6"]
    assert main(["migrate", "--to", "shop:SECOND", *words]) == 1
    out = capsys.readouterr().out
    assert "FAILS  every invariant of the new table holds on arrival" in out
    assert "move paid -> big breaks the invariant of 'big' (amount >= 5)" in out
    assert "trace: add,pay" in out


def test_the_old_table_may_be_a_file_of_data(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "--chart", "shop:FIRST", "--format", "json", "-o", "first.json"]) == 0
    assert main(["migrate", "--to", "shop:SECOND", "--by", "shop:BLIND", "--from", "first.json", "--check", "--bound", "total <= 6"]) == 0
    assert "5 of 5 properties hold" in capsys.readouterr().out
    write(here / "s.jsonl", stored("add"))
    assert main(["migrate", "--to", "./shop.py:SECOND", "--from", "first.json", "s.jsonl"]) == 0
    assert json.loads(capsys.readouterr().out)["fingerprint"] == SECOND.fingerprint


def test_a_line_of_a_journal_that_was_torn_by_a_crash_is_left_out(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Recorder(FIRST, "j.jsonl") as journal:
        journal.attach(session := Old(), "a")
        session.fire("add")
    with (here / "j.jsonl").open("a") as file:
        file.write('{"session": "a", "se')
    assert main(["migrate", "--to", "shop:SECOND", "j.jsonl", "-o", "new.jsonl"]) == 0
    assert capsys.readouterr().err == "fsm migrate: line 4 was cut off in the middle of writing and is left out\nwrote new.jsonl\n"
    assert len(read(here / "new.jsonl")) == 3
