"""MessageStore: handles, the saved flag, and the four steps of Release, once each, in order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import (
    given,
    strategies as st,
)

from fsm import Step
from fsm.logoff import Logoff, LogoffStatus, MapiError, MessageStore, ReleaseStep, Result, StoreHandle, StoreSession
from tests.support import run

FOUR = tuple(ReleaseStep)


class Calls:
    """Listens to a session and keeps the requests it gets: the calls of StoreLogoffTransports, and release."""

    def __init__(self, store: MessageStore) -> None:
        self.made: list[tuple[str, bool]] = []
        store.session.listen(self)

    def on_transition(self, step: Step) -> None:
        if step.event.startswith(("logoff", "release")):
            self.made.append((step.event, step.target == "released"))


def store(trace: str = "") -> MessageStore:
    return MessageStore(run(trace))


def invalid(call: Callable[[], object]) -> bool:
    with pytest.raises(MapiError) as caught:
        call()
    return caught.value.result is Result.MAPI_E_INVALID_OBJECT


def test_with_one_reference_store_logoff_acts_at_once() -> None:
    s = store("submit,outbound_begin")
    calls, handle = Calls(s), s.open()
    assert handle.store_logoff(Logoff.ORDERLY) == LogoffStatus.OUTBOUND
    assert s.session.state == "draining"
    assert handle.release() == 0
    assert (s.session.state, s.steps) == ("draining", ())
    s.session.outbound_sent()
    assert s.steps == FOUR
    assert calls.made == [("logoff_orderly", False), ("release", False)]


def test_with_several_references_the_flag_is_saved_and_the_last_one_wins() -> None:
    s = store("submit")
    calls = Calls(s)
    first, second, third = s.open(), s.open(), s.open()
    assert first.store_logoff(Logoff.ORDERLY) == LogoffStatus.OUTBOUND_QUEUE
    assert second.store_logoff(Logoff.PURGE) == LogoffStatus.OUTBOUND_QUEUE
    assert (s.saved, s.session.state, calls.made) == (Logoff.PURGE, "open", [])
    first.release()
    second.release()
    assert (s.session.state, calls.made) == ("open", [])
    third.release()
    assert (s.session.state, s.session.request) == ("draining", Logoff.PURGE)
    assert calls.made == [("logoff_purge", False), ("release", False)]


def test_a_client_may_change_its_mind_until_its_release() -> None:
    s = store("submit")
    first, second = s.open(), s.open()
    first.store_logoff(Logoff.ABORT)
    first.store_logoff(Logoff.NO_WAIT)
    second.release()
    assert s.session.request is Logoff.NO_WAIT


def test_the_callers_handle_goes_at_once_and_the_session_stays_for_the_other() -> None:
    s = store()
    first, second = s.open(), s.open()
    first.store_logoff(Logoff.ORDERLY)
    assert s.references == 1
    assert invalid(first.submit)
    assert invalid(first.abort_submit)
    second.submit()
    assert s.session.ready == 1
    assert second.store_logoff(Logoff.QUIET) == LogoffStatus.OUTBOUND_QUEUE, "it is the only one now, so it acts at once"
    assert (s.session.state, s.saved) == ("blocked", None)
    second.release()
    assert (s.session.request, s.session.complete) == (Logoff.ABORT, True)
    assert first.release() == second.release() == 0


@pytest.mark.parametrize(("trace", "state"), [("", "released"), ("submit", "released"), ("inbound_begin", "blocked")])
def test_release_without_a_logoff_asks_for_abort(trace: str, state: str) -> None:
    s = store(trace)
    calls, handle = Calls(s), s.open()
    assert handle.release() == 0
    assert (s.session.state, s.session.request) == (state, Logoff.ABORT)
    assert s.steps == (FOUR if state == "released" else ())
    assert len(calls.made) == 1


def test_a_saved_quiet_that_is_refused_becomes_abort_when_nobody_is_left() -> None:
    s = store("inbound_begin")
    first, second = s.open(), s.open()
    first.store_logoff(Logoff.QUIET)
    second.release()
    assert (s.session.state, s.session.request) == ("blocked", Logoff.ABORT)
    s.session.inbound_received()
    assert s.steps == FOUR


def test_after_complete_everything_but_release_fails() -> None:
    s = store()
    handle = s.open()
    assert handle.store_logoff(Logoff.QUIET) == LogoffStatus.COMPLETE
    assert s.steps == (), "a reference is left"
    for call in (handle.submit, handle.abort_submit, lambda: handle.store_logoff(Logoff.ABORT), s.open):
        assert invalid(call)
    assert handle.release() == 0
    assert s.steps == FOUR
    handle.release()
    assert s.steps == FOUR


def test_after_release_a_handle_answers_only_release() -> None:
    s = store()
    handle, _other = s.open(), s.open()
    assert handle.release() == 1
    for call in (handle.submit, handle.abort_submit, lambda: handle.store_logoff(Logoff.ABORT)):
        assert invalid(call)
    assert handle.release() == 1
    assert s.session.state == "open"


def test_new_work_and_new_references_are_busy_while_closing() -> None:
    s = store("inbound_begin")
    handle = s.open()
    handle.store_logoff(Logoff.NO_WAIT)
    for call in (handle.submit, s.open):
        with pytest.raises(MapiError, match="the store is closing") as caught:
            call()  # type: ignore[operator]
        assert caught.value.result is Result.MAPI_E_BUSY


def test_when_the_last_reference_has_gone_nobody_comes_in() -> None:
    s = store("inbound_begin")
    s.open().release()
    assert s.session.state == "blocked"
    with pytest.raises(MapiError, match="MAPI_E_BUSY"):
        s.open()


@pytest.mark.parametrize(("trace", "result"), [
    ("", Result.MAPI_E_NOT_IN_QUEUE), ("submit,outbound_begin", Result.MAPI_E_UNABLE_TO_ABORT),
    ("submit,outbound_begin,outbound_deferred", Result.MAPI_E_NOT_IN_QUEUE),
])  # fmt: skip
def test_withdrawing_says_why_it_cannot(trace: str, result: Result) -> None:
    s = store(trace)
    handle = s.open()
    with pytest.raises(MapiError) as caught:
        handle.abort_submit()
    assert caught.value.result is result
    handle.submit()
    handle.abort_submit()
    assert s.session.ready == 0


@pytest.mark.parametrize("wrong", [2, "ORDERLY", None])
def test_store_logoff_takes_a_logoff(wrong: Any) -> None:
    s = store()
    handle = s.open()
    with pytest.raises(TypeError, match="store_logoff takes one of"):
        handle.store_logoff(wrong)
    assert (s.session.state, s.saved) == ("open", None)


def test_leaving_a_block_releases_also_when_it_fails() -> None:
    s = store()
    with pytest.raises(ZeroDivisionError), s.open():
        raise ZeroDivisionError
    assert (s.references, s.session.complete) == (0, True)


def test_a_step_that_fails_is_done_once_and_the_others_follow() -> None:
    done: list[ReleaseStep] = []

    def act(step: ReleaseStep) -> None:
        done.append(step)
        if step is ReleaseStep.REMOVE_STATUS_ROW:
            raise OSError("no status table")

    s = MessageStore(on_step=act)
    handle = s.open()
    with pytest.raises(OSError, match="no status table"):
        handle.release()
    assert tuple(done) == s.steps == FOUR
    handle.release()
    assert tuple(done) == FOUR


def test_a_released_session_makes_no_store() -> None:
    with pytest.raises(ValueError, match="a released session cannot be opened again"):
        MessageStore(run("logoff_quiet"))


ACTS = st.lists(st.tuples(st.integers(0, 2), st.sampled_from([*Logoff, "release", "submit", "mail"])), max_size=25)


@given(ACTS, st.integers(0, 2))
def test_any_clients_in_any_order_end_with_the_four_steps_once(acts: list[tuple[int, Any]], peers: int) -> None:
    """At most one call is answered with COMPLETE; the steps happen when the last is gone and the session released."""
    seen: list[ReleaseStep] = []
    s = MessageStore(StoreSession(ready=1, peers=peers), on_step=seen.append)
    calls = Calls(s)
    handles: list[StoreHandle] = [s.open() for _ in range(3)]
    for who, act in [*acts, (0, "release"), (1, "release"), (2, "release")]:
        try:
            if isinstance(act, Logoff):
                handles[who].store_logoff(act)
            elif act == "mail":
                for event in ("outbound_begin", "outbound_deferred", "inbound_begin"):
                    if s.session.may(event):
                        s.session.fire(event)
            else:
                getattr(handles[who], act)()
        except MapiError:
            pass
        assert tuple(seen) in ((), FOUR)
        assert bool(seen) is (s.references == 0 and s.session.complete)
    while not s.session.complete:
        order = ("inbound_received", "outbound_sent", "outbound_begin")
        s.session.fire(next(event for event in order if s.session.may(event)))
    assert tuple(seen) == FOUR
    assert sum(complete for event, complete in calls.made if event != "release") <= 1


class Once:
    """Raises once, at one moment."""

    def __init__(self, moment: str) -> None:
        setattr(type(self), moment, Once.act)
        self.left = 1

    def act(self, step: Step) -> None:
        self.left -= 1
        if self.left >= 0:
            raise ZeroDivisionError


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(("trace", "saved"), [("", None), ("inbound_begin", Logoff.QUIET), ("inbound_begin", Logoff.ORDERLY)])
def test_a_release_that_a_listener_spoils_can_be_made_again(moment: str, trace: str, saved: Logoff | None) -> None:
    s = store(trace)
    handle, other = s.open(), s.open()
    other.store_logoff(saved) if saved else other.release()
    s.session.listen(type("Spoiler", (Once,), {})(moment))
    with pytest.raises(ZeroDivisionError):
        handle.release()
    handle.release()
    assert s.references == 0
    if not s.session.complete:
        s.session.inbound_received()
    assert s.steps == FOUR


def test_a_listener_may_release_the_last_handle_in_the_middle_of_a_step() -> None:
    s = store()
    handle = s.open()

    class Closer:
        def on_enter_released(self, step: Step) -> None:
            handle.release()

    s.session.listen(Closer())
    s.session.logoff_quiet()
    assert (s.references, s.steps) == (0, FOUR)


def test_steps_that_were_interrupted_are_finished_by_the_next_release() -> None:
    left = [KeyboardInterrupt]

    def act(step: ReleaseStep) -> None:
        if left:
            raise left.pop()

    s = MessageStore(on_step=act)
    handle = s.open()
    with pytest.raises(KeyboardInterrupt):
        handle.release()
    handle.release()
    assert s.steps == FOUR


def test_when_the_last_reference_has_gone_no_flag_is_saved() -> None:
    s = store("inbound_begin")
    first, second = s.open(), s.open()
    first.store_logoff(Logoff.QUIET)
    second.release()
    assert invalid(lambda: first.store_logoff(Logoff.ORDERLY))
    assert (s.saved, s.session.request) == (None, Logoff.ABORT)
