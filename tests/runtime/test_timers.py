"""Timers fire what is due, once, in the state that says so, in simulated time."""

from __future__ import annotations

import gc
import json
import logging
import math
import weakref
from typing import Any

import pytest
from hypothesis import (
    given,
    settings,
    strategies as st,
)

from fsm import Chart, DefinitionError, Refused, Session, SnapshotError, State, Step, row
from fsm.journal import Recorder, replay
from fsm.migration import Migration
from fsm.runtime import Timers
from fsm.runtime.timers import SPARE
from fsm.testing.clock import SimulatedClock
from tests.runtime.bell import BELL, Bell, Log
from tests.support import cases


def started(**options: Any) -> tuple[SimulatedClock, Timers, Session, Log]:
    clock = SimulatedClock()
    timers, session = Timers(clock, **options), Bell()
    log = session.listen(Log())
    return clock, timers, timers.attach(session), log


def test_a_session_says_what_is_due_and_when() -> None:
    session = Bell()
    assert session.due == {}
    session.fire("push")
    assert list(session.due.items()) == [(10, "warn"), (30, "timeout")]


def test_what_is_due_is_fired_at_its_time() -> None:
    clock, timers, session, log = started()
    session.fire("push")
    assert timers.due(session) == ((10.0, "warn"), (30.0, "timeout"))
    clock.advance(9.75)
    assert log.steps == ["push:ringing"]
    assert (timers.due(session), timers.elapsed(session)) == (((0.25, "warn"), (20.25, "timeout")), 9.75)
    clock.advance(0.25)
    assert log.steps == ["push:ringing", "warn:ringing"]
    clock.advance(20)
    assert log.steps[2:] == ["timeout:missed"]
    clock.advance(1_000)
    assert log.steps[3:] == ["blink:missed", "reset:silent"]
    assert timers.due(session) == ()


def test_it_is_cancelled_when_the_state_is_left_and_counts_anew_when_it_is_entered() -> None:
    clock, _, session, log = started()
    session.fire("push")
    clock.advance(8)
    session.fire("answer")
    clock.advance(100)
    assert log.steps == ["push:ringing", "answer:silent"]
    session.fire("push")
    clock.advance(9)
    session.fire("push")  # a row that stays restarts nothing
    clock.advance(1)
    assert log.steps[-2:] == ["push:ringing", "warn:ringing"]
    session.fire("again")  # leaving and entering does
    clock.advance(9)
    assert log.steps[-1] == "again:ringing"
    clock.advance(1)
    assert log.steps[-1] == "warn:ringing"


def test_a_refusal_of_what_was_due_is_no_error_and_the_rest_stays_due() -> None:
    clock, _, session, log = started()
    for _ in range(3):
        session.fire("push")
    clock.advance(30 + 2.5)
    assert log.steps[-1] == "timeout:missed"
    clock.advance(2.5)
    assert log.steps[-1] == "reset:silent"


def test_a_clock_that_jumps_ahead_fires_late_and_in_no_other_state() -> None:
    class Jumping(SimulatedClock):
        ahead = 0.0

        def monotonic(self) -> float:
            return super().monotonic() + self.ahead

    clock = Jumping()
    timers, sessions = Timers(clock), [Bell() for _ in range(3)]
    log: list[str] = []

    class Named:
        def __init__(self, name: str) -> None:
            self.name = name

        def on_transition(self, step: Step) -> None:
            log.append(f"{self.name}:{step.event}")

    for place, session in enumerate(sessions):
        session.fire("push")
        session.listen(Named(str(place)))
        timers.attach(session, elapsed=place)
    clock.ahead = 3_600
    clock.advance(8)  # the first call was asked for at 8
    assert log == ["2:warn", "1:warn", "0:warn", "2:timeout", "1:timeout", "0:timeout"]
    clock.set_time(0)  # the clock on the wall is not asked
    clock.advance(5)
    assert log[6:] == ["2:blink", "1:blink", "0:blink", "2:reset", "1:reset", "0:reset"]


def test_a_clock_that_goes_back_fires_nothing_early() -> None:
    class Moved(SimulatedClock):
        back = 0.0

        def monotonic(self) -> float:
            return super().monotonic() - self.back

    clock = Moved()
    timers, session = Timers(clock), Bell()
    session.fire("push")
    timers.attach(session)
    clock.back = 100
    clock.advance(50)
    assert session.configuration[2] == 0
    clock.advance(60)
    assert session.configuration[2] == 1


def test_what_is_attached_late_or_twice() -> None:
    clock, timers, session, _ = started()
    with pytest.raises(ValueError, match="attached already"):
        timers.attach(session)
    timers.detach(session)
    timers.detach(session)
    session.fire("push")
    clock.advance(100)
    assert session.state == "ringing"
    for ask in (timers.due, timers.elapsed, timers.snapshot):
        with pytest.raises(ValueError, match="not attached"):
            ask(session)
    timers.attach(session)
    clock.advance(30)
    assert session.state == "missed"


def test_two_timers_do_not_fire_for_one_session() -> None:
    clock, timers, session, log = started()
    others = Timers(clock)
    with pytest.raises(ValueError, match="attached to other timers; detach it there first"):
        others.attach(session)
    session.fire("push")
    clock.advance(30)
    assert log.steps == ["push:ringing", "warn:ringing", "timeout:missed"]
    timers.detach(session)
    others.attach(session)
    others.close()
    assert timers.attach(session) is session
    session.fire("reset")
    session.fire("push")
    clock.advance(10)
    assert log.steps[-1] == "warn:ringing"


@pytest.mark.parametrize("seconds", [-1, -0.5, math.nan, math.inf, "3", None, True, 3 + 0j])
@pytest.mark.parametrize("word", ["elapsed", "away"])
def test_seconds_that_are_none_are_refused(word: str, seconds: Any) -> None:
    timers = Timers(SimulatedClock())
    with pytest.raises(ValueError, match="seconds are a finite number, 0 or more"):
        timers.attach(session := Bell(), **{word: seconds})
    assert not session.has_listeners


@pytest.mark.parametrize("after", [-1, 0, math.nan, math.inf, 2e9, True, "3", None, 1j])
def test_times_that_are_none_are_refused_when_the_state_is_declared(after: Any) -> None:
    with pytest.raises(DefinitionError):
        State("a", after={after: "go"})


# ------------------------------------------------------------------------------------------------------- errors


class Broken:
    def on_enter_missed(self, step: Step) -> None:
        raise OSError("the lamp is broken")


def test_an_error_of_a_listener_reaches_who_advances_the_clock_and_the_step_stands() -> None:
    clock, _, session, _ = started()
    session.fire("push")
    broken = session.listen(Broken())
    with pytest.raises(OSError, match="the lamp is broken"):
        clock.advance(30)
    assert session.state == "missed"
    session.forget(broken)
    clock.advance(5)
    assert session.state == "silent", "what the entered state sends itself is due all the same"


def test_an_error_reaches_the_hook_and_the_others_are_fired() -> None:
    told: list[Any] = []
    clock, timers, session, _ = started(on_error=lambda *what: told.append(what))
    other = timers.attach(Bell())
    for one in (session, other):
        one.fire("push")
        one.listen(Broken())
    clock.advance(31)
    assert [(str(error), one, event) for error, one, event in told] == [
        ("the lamp is broken", session, "timeout"), ("the lamp is broken", other, "timeout"),
    ]
    assert (session.state, other.state) == ("missed", "missed")


def test_several_errors_at_one_time_come_together() -> None:
    clock, timers, session, _ = started()
    for one in (session, timers.attach(Bell())):
        one.fire("push")
        one.listen(Broken())
    with pytest.raises(ExceptionGroup) as caught:
        clock.advance(31)
    assert len(caught.value.exceptions) == 2


def test_an_error_of_the_hook_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def hook(*_: object) -> None:
        raise KeyError("hook")

    clock, _, session, _ = started(on_error=hook)
    session.fire("push")
    session.listen(Broken())
    with caplog.at_level(logging.ERROR, "fsm.runtime"):
        clock.advance(31)
    assert "on_error raised, called with OSError('the lamp is broken')" in caplog.text


def test_the_refusal_of_another_session_is_an_error() -> None:
    class Firing:
        def on_enter_missed(self, step: Step) -> None:
            Bell().fire("answer")

    clock, _, session, _ = started()
    session.fire("push")
    session.listen(Firing())
    with pytest.raises(Refused, match="cannot answer while silent"):
        clock.advance(30)


def test_what_is_due_in_the_middle_of_a_step_of_the_same_thread_is_fired_after_it() -> None:
    class Slow:
        def before_push(self, step: Step) -> None:
            clock.advance(15)

    clock, _, session, log = started()
    session.fire("push")
    session.listen(Slow())
    session.fire("push")
    assert log.steps == ["push:ringing", "push:ringing"]
    clock.advance(1)
    assert log.steps[2:] == ["warn:ringing"]


def test_a_session_that_a_listener_attaches_or_detaches() -> None:
    class Attaching:
        def on_enter_ringing(self, step: Step) -> None:
            timers.attach(step.session)

        def on_enter_missed(self, step: Step) -> None:
            timers.detach(step.session)

    clock = SimulatedClock()
    timers, session = Timers(clock), Bell()
    session.listen(Attaching())
    session.fire("push")
    clock.advance(30)
    assert session.state == "missed"
    clock.advance(100)
    assert session.state == "missed"


# ------------------------------------------------------------------------------------------------------ snapshots


def test_a_snapshot_keeps_what_is_left_of_the_time() -> None:
    clock, timers, session, _ = started()
    session.fire("push")
    clock.advance(17.5)
    snapshot = json.loads(json.dumps(timers.snapshot(session)))
    assert snapshot == {**session.snapshot(), "elapsed": 17.5}
    later = SimulatedClock()
    later.advance(1_000)
    again = Timers(later)
    restored = again.restore(Bell, snapshot)
    log = restored.listen(Log())
    assert again.due(restored) == ((12.5, "timeout"),), "the warning has been given"
    later.advance(12)
    assert log.steps == []
    later.advance(0.5)
    assert log.steps == ["timeout:missed"]


def test_what_was_due_while_the_session_was_stored_is_made_up_for() -> None:
    clock, timers, session, _ = started()
    session.fire("push")
    clock.advance(5)
    snapshot = timers.snapshot(session)
    restored = timers.restore(Bell, snapshot, away=60)
    log = restored.listen(Log())
    assert timers.due(restored) == ((0.0, "warn"), (0.0, "timeout"))
    clock.advance(0)
    assert log.steps == ["warn:ringing", "timeout:missed"]
    assert timers.due(restored) == ((2.5, "blink"), (5.0, "reset"))


def test_an_old_snapshot_begins_anew_in_its_state() -> None:
    clock, timers, session, _ = started()
    session.fire("push")
    clock.advance(5)
    assert timers.due(timers.restore(Bell, session.snapshot())) == ((10.0, "warn"), (30.0, "timeout"))
    assert Bell.restore(timers.snapshot(session)).configuration == session.configuration


def test_what_is_late_is_not_lost_by_a_snapshot() -> None:
    clock = SimulatedClock()
    late = Timers(clock)
    session = Bell()
    session.fire("push")
    late.attach(session, away=12)  # the clock has not called yet
    snapshot = late.snapshot(session)
    assert snapshot["elapsed"] == math.nextafter(10, 0)
    other = Timers(clock)
    assert [event for _, event in other.due(other.restore(Bell, snapshot))] == ["warn", "timeout"]


def test_a_wrong_snapshot_is_refused() -> None:
    timers, session = Timers(SimulatedClock()), Bell()
    for seconds in (-1, "3", math.nan, True):
        with pytest.raises(SnapshotError, match="its elapsed seconds are"):
            timers.restore(Bell, {**session.snapshot(), "elapsed": seconds})
    with pytest.raises(SnapshotError):
        timers.restore(Bell, None)


# ---------------------------------------------------------------------------------------------- ending and memory


def test_closed_timers_fire_nothing_and_leave_the_session_with_its_next_step() -> None:
    clock, timers, session, log = started()
    session.fire("push")
    with timers:
        pass
    timers.close()
    assert timers._calls == []
    clock.advance(100)
    assert log.steps == ["push:ringing"]
    session.forget(log)
    assert session.has_listeners
    session.fire("push")
    assert not session.has_listeners
    with pytest.raises(RuntimeError, match="closed"):
        timers.attach(Bell())


def test_a_session_is_kept_alive_while_something_is_due_in_it_and_no_longer() -> None:
    clock = SimulatedClock()
    timers = Timers(clock)
    waiting, idle = timers.attach(Bell()), timers.attach(Bell())
    waiting.fire("push")
    alive, gone = weakref.ref(waiting), weakref.ref(idle)
    del waiting, idle
    gc.collect()
    assert (alive() is not None, gone()) == (True, None)
    clock.advance(35)
    gc.collect()
    assert alive() is None


def test_the_queue_stays_small_however_often_states_are_entered() -> None:
    clock, timers, session, _ = started()
    for _ in range(2_000):
        session.fire("push")
        session.fire("answer")
        clock.advance(0.001)
    assert len(timers._queue) <= SPARE + 2
    assert len(timers._calls) <= 2


def test_a_session_without_times_is_in_no_queue() -> None:
    chart = Chart("plain", states=["a", State("b", final=True)], events=["go"], rows=[row("go", "a", "go", target="b")])
    timers = Timers(SimulatedClock())
    session = timers.attach(Session.of(chart)())
    session.fire("go")
    assert timers._queue == []


# ------------------------------------------------------------------------------------------- journals need no clock


def test_a_journal_of_timed_events_is_replayed_without_a_clock(tmp_path: Any) -> None:
    clock, _, session, _ = started()
    with Recorder(BELL, tmp_path / "bell.jsonl") as journal:
        journal.attach(session)
        session.fire("push")
        clock.advance(40)
    assert session.state == "silent"
    with (tmp_path / "bell.jsonl").open("rb") as file:
        assert replay(BELL, file) is None


# ------------------------------------------------------------------------------------------------------- at random


acts = st.lists(
    st.one_of(st.sampled_from(["push", "again", "answer", "smash"]), st.integers(0, 60)), max_size=25,
)


class Counted:
    """A session for which somebody counts quarters of a second, and fires what is due by hand."""

    def __init__(self) -> None:
        self.session, self.since = Bell(), 0.0
        self.log = self.session.listen(Log())

    def fire(self, event: str) -> bool:
        row = self.session.may(event).row
        if row is None:
            return False
        self.session.fire(event)
        if row.leaves:
            self.since = 0.0
        return row.leaves

    def pass_quarter(self) -> None:
        self.since += 0.25
        for after, event in self.session.due.items():
            if after == self.since and self.fire(event):
                return


@settings(max_examples=cases(150), deadline=None)
@given(acts)
def test_it_is_as_if_somebody_counted(trace: list[str | int]) -> None:
    clock, timers, session, log = started()
    counted = Counted()
    for act in trace:
        if isinstance(act, str):
            counted.fire(act)
            if session.may(act):
                session.fire(act)
        else:
            clock.advance(act / 4)
            for _ in range(act):
                counted.pass_quarter()
        assert (session.configuration, log.steps) == (counted.session.configuration, counted.log.steps)
        if session.due:
            assert timers.elapsed(session) == counted.since


def test_after_a_migration_what_the_new_table_has_due_is_not_taken_for_fired() -> None:
    quiet = Chart(
        "bell", states=["silent", State("ringing", after={5: "warn"}), State("broken", final=True)],
        events=["push", "warn", "smash"],
        rows=[row("push", "silent", "push", target="ringing"), row("warn", "ringing", "warn"),
              row("smash", ("silent", "ringing"), "smash", target="broken")],
    )
    migration = Migration(quiet, BELL, values={"rings": 1, "warned": 0})
    clock = SimulatedClock()
    timers = Timers(clock)
    session = timers.attach(Session.of(quiet)())
    session.fire("push")
    clock.advance(20)
    snapshot = json.loads(json.dumps(timers.snapshot(session)))
    for stored, migrations in ((snapshot, [migration]), (migration.migrated(snapshot), [])):
        restored = timers.restore(Bell, stored, migrations)
        assert timers.due(restored) == ((0.0, "warn"), (10.0, "timeout"))
    clock.advance(0)
    assert restored.configuration == ("ringing", 1, 1)
    again = timers.restore(Bell, json.loads(json.dumps(timers.snapshot(restored))))
    assert timers.due(again) == ((10.0, "timeout"),)


@pytest.mark.parametrize("fired", [-1, "3", math.nan, True])
def test_fired_seconds_that_are_none_are_refused(fired: Any) -> None:
    with pytest.raises(SnapshotError, match="its fired seconds are"):
        Bell.restore({**Bell().snapshot(), "elapsed": 3, "fired": fired})
