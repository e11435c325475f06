"""What went wrong once, when a store was attacked while it closed: one case for each, made to happen and not waited for.

Invariant of every case: what is in flight or in the queue is what the session counts and the storage holds, whatever
fails meanwhile, and whoever closes the store comes back.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from threading import Event

import pytest

from fsm.logoff import Logoff
from fsm.store import Store
from fsm.store.clock import SystemClock
from fsm.testing.clock import SimulatedClock
from tests.store.conftest import Place
from tests.store.contract.driven import IMPATIENT, MOST, in_thread, one_batch, scheduled


@pytest.mark.parametrize("face", ["memory", "file"])
def test_who_is_told_that_closing_begins_may_still_use_the_store_and_may_fail(file: Place, face: str) -> None:
    store = Store(file.new() if face == "file" else None)
    told: list[str] = []

    def last_words() -> None:
        told.append(store.submit(b"last words"))
        raise OSError("and then it broke")

    store.on_notice(last_words)
    outcome = in_thread(lambda: store.close("ORDERLY 30s"))()
    assert outcome.released
    assert [message.id for message in outcome.left] == told
    store.let_go()


@pytest.mark.parametrize("face", ["memory", "file"])
def test_who_is_told_of_the_release_may_fail(file: Place, face: str) -> None:
    store = Store(file.new() if face == "file" else None)
    second: list[int] = []
    store.on_released(lambda: 1 / 0)
    store.on_released(lambda: second.append(1))
    outcome = in_thread(lambda: store.close("NO_WAIT 30s"))()
    assert outcome.released
    assert second == [1]
    assert in_thread(store.messages)() == []
    in_thread(lambda: [store.let_go()])()


def test_who_looks_for_peers_never_waits_for_who_lets_the_store_go(file: Place) -> None:
    store = Store(file.new())
    with store._core.state.lock:  # as in `on_released`, where a store may be let go, which waits for the thread that looks
        in_thread(lambda: [store._core.peers.refresh()])()
        store._core.state.closed = True
        in_thread(lambda: [store._core.peers.refresh()])()
        store._core.state.closed = False
    store.on_released(store.let_go)
    assert in_thread(lambda: store.close("ORDERLY 30s"))().released
    store.let_go()


def test_a_call_that_fails_does_not_stop_the_clock() -> None:
    clock, done = SystemClock(), Event()
    clock.call_later(0.0, lambda: 1 / 0)
    clock.call_later(0.0, done.set)
    assert done.wait(MOST)


def test_a_logoff_tells_how_it_stands_after_all_that_was_asked_before_it(shared: Callable[..., Store]) -> None:
    store = shared()
    item = store.inbound()
    item.__enter__()
    with one_batch(store):
        ended = store._core.endings.end(item, item.ending(None))
        submitted = store._core.outbox.submit(b"x", "", ())
        asked = store._core.logoff("logoff_orderly")
    ended.result(MOST)
    outcome = asked.result(MOST)
    assert outcome
    assert outcome.blockers == ()
    assert [message.id for message in outcome.left] == [submitted.result(MOST)]


def test_a_plan_skipped_to_its_end_tells_how_it_stands_after_all_its_steps(shared: Callable[..., Store]) -> None:
    store = shared()
    with store.inbound(peer="10.0.0.7"):
        with one_batch(store):
            outcome = store.begin_closing("ORDERLY 60s -> NO_WAIT 60s")
            store.next_step()
            store.next_step()
        told = outcome.result(MOST)
        assert not told.released
        assert (told.state, told.request) == ("draining", Logoff.NO_WAIT)
        assert [blocker.peer for blocker in told.blockers] == ["10.0.0.7"]


def test_the_clock_of_an_earlier_plan_ends_no_step_of_the_next() -> None:
    clock = SimulatedClock()
    store = Store(clock=clock)
    store.inbound().__enter__()
    first = store.begin_closing("ORDERLY 30s")
    late = store._shutdown._turn
    clock.advance(30)
    assert not first.result(MOST)
    second = store.begin_closing("ORDERLY 30s")
    store._shutdown._time_over(late)  # its timer was about to call when the plan ended
    assert not second.done()
    clock.advance(30)
    assert second.result(MOST).steps[-1].startswith("ORDERLY 30s: draining after 30.0 s")
    store.let_go()


def test_letting_go_ends_a_closing_under_way() -> None:
    clock = SimulatedClock()
    store = Store(clock=clock)
    store.inbound().__enter__()
    closing = store.begin_closing("NO_WAIT 30s")
    assert not closing.done()
    store.let_go()
    assert closing.done()
    outcome = closing.result()
    assert not outcome
    assert len(outcome.blockers) == 1


def test_a_step_that_could_not_ask_asks_again(file: Place) -> None:
    clock = SimulatedClock()
    store = Store(file.new(patience=IMPATIENT), clock=clock)
    with closing(sqlite3.connect(file.where, isolation_level=None)) as other:
        scheduled(store).result(MOST)
        other.execute("BEGIN IMMEDIATE")
        done = store.begin_closing("ABORT 30s")
        scheduled(store).exception(MOST)
        assert store.state == "open"
        other.execute("ROLLBACK")
    for _ in range(5):
        clock.advance(1.0)
        scheduled(store).result(MOST)
    outcome = done.result(MOST)
    assert outcome.released
    assert "could not ask" in outcome.steps[0]
    store.let_go()
