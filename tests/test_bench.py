"""The benchmark races over the same machine: each rival lives the same lives."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bench import mail, rivals, run, store
from bench.handwritten import HandWrittenSession
from fsm.logoff import LOGOFF, StoreSession

MANY = run.lives(30, seed=3)


def test_the_lives_are_legal_end_released_and_take_most_rows() -> None:
    taken = set()
    for life in run.lives(240):
        session = StoreSession()
        for event, row in life:
            verdict = session.may(event)
            assert verdict.row is not None
            assert verdict.row.id == row
            session.fire(event)
            taken.add(row)
        assert session.complete
    assert len(taken) > 0.8 * len(LOGOFF.rows)


def test_stock_transitions_and_the_hand_written_class_live_them_too() -> None:
    make = rivals.stock()
    for life in MANY:
        ours, stock, hand = StoreSession(), make(), HandWrittenSession()
        for event, _ in life:
            ours.fire(event)
            assert getattr(stock, event)()
            assert getattr(hand, event)()
            for rival in (stock, hand):
                assert tuple(getattr(rival, name) for name in ("state", *LOGOFF.names)) == ours.configuration


def test_so_do_python_statemachine_and_automat() -> None:
    chart = rivals.statechart()
    for life in MANY[:2]:
        ours, other = StoreSession(), chart()
        for event, _ in life:
            ours.fire(event)
            getattr(other, event)()
            assert tuple(getattr(other, name) for name in LOGOFF.names) == ours.configuration[1:]
            assert [state.name for state in other.configuration] == [ours.state]
    make, inputs = rivals.skeleton()
    for life in MANY:
        skeleton = make()
        assert all(getattr(skeleton, inputs[row])() for _, row in life)


@pytest.mark.parametrize("command", [mail.ours, mail.naive])
def test_both_servers_deliver_all_that_is_submitted(command: mail.Command) -> None:
    (figure,), ratio = mail.race(1, lambda: mail.through(command, 3, 30))
    assert figure > 0
    assert ratio == 1


def test_a_logoff_with_messages_ready_delivers_them_all_and_so_does_the_library() -> None:
    figures, ratio = mail.race(1, lambda: mail.released(20), lambda: mail.released(0), lambda: mail.library(20))
    assert min(figures) > 0
    assert ratio == figures[0] / figures[2]


@pytest.mark.parametrize("racer", [store.ours, store.by_hand])
def test_the_store_and_the_program_by_hand_work_all_that_is_submitted(racer: store.Racer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "JOBS", 200)
    (found,) = store.race(lambda: str(tmp_path / "store.db"), 1, racer)
    assert min(found) > 0


def test_processes_on_one_store_work_all_of_it(tmp_path: Path) -> None:
    assert store.together(str(tmp_path / "store.db"), 2, 60) > 0


def test_a_race_that_hangs_ends_with_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail, "PATIENCE", 0.01)
    with pytest.raises(TimeoutError):
        mail.race(1, lambda: asyncio.Event().wait())


def test_the_results_are_the_benchmarks_table() -> None:
    text = (Path(run.__file__).parent / "results.md").read_text()
    header, *rows = text[text.index("| what") :].strip().splitlines()
    assert header == "| what | measured | against | aim | met |"
    assert all(len(line.split("|")) == 7 for line in rows)
    assert any("against stock transitions" in line for line in rows)
