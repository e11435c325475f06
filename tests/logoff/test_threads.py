"""What threads may do: nothing together on a plain session, anything on a guarded one.

The race is made certain, not likely: every bytecode of the sessions' code gives the other threads their turn.
"""

from __future__ import annotations

import copy
import pickle
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, Literal

import pytest

from fsm import Step, StepInProgress
from fsm.logoff import GuardedStoreSession, Logoff, StoreSession
from fsm.verdict import Refused

THREADS, TIMES = 4, 150


def hammer(session: StoreSession) -> None:
    """Every thread submits, giving up its turn between any two bytecodes of compiled triggers."""

    def each_bytecode(frame: FrameType, event: str, _: object) -> Any:
        if not frame.f_code.co_filename.startswith("<triggers"):
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            time.sleep(0)
        return each_bytecode

    together = threading.Barrier(THREADS)

    def work() -> None:
        together.wait()
        sys.settrace(each_bytecode)
        try:
            for _ in range(TIMES):
                session.submit()
        finally:
            sys.settrace(None)

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_a_guarded_session_loses_no_event_of_many_threads() -> None:
    session = GuardedStoreSession()
    hammer(session)
    assert session.ready == THREADS * TIMES


def test_without_the_guard_events_are_lost() -> None:
    session = StoreSession()
    hammer(session)
    assert session.ready < THREADS * TIMES


@pytest.mark.parametrize(("kind", "answer"), [(StoreSession, StepInProgress), (GuardedStoreSession, Refused)])
def test_a_thread_that_comes_in_the_middle_of_a_step_waits_only_where_there_is_a_guard(
    kind: type[StoreSession], answer: type[Exception]
) -> None:
    """One ready message, two threads that want it.  Guarded, the second is refused."""
    session = kind(ready=1)
    asked, answers = threading.Event(), []

    def second() -> None:
        asked.set()
        try:
            session.outbound_begin()
        except Exception as error:
            answers.append(type(error))

    thread = threading.Thread(target=second)

    class First:
        def before_outbound_begin(self, step: Step) -> None:
            thread.start()
            asked.wait()
            if kind is StoreSession:
                thread.join()  # it is refused at once, in the middle of this step

    session.listen(First())
    session.outbound_begin()
    thread.join()
    assert answers == [answer]
    assert (session.ready, session.outbound) == (0, 1)


def test_a_listener_of_a_guarded_session_may_not_fire_a_trigger_either() -> None:
    session = GuardedStoreSession()

    class Meddler:
        def on_transition(self, step: Step) -> None:
            step.session.fire("submit")

    session.listen(Meddler())
    with pytest.raises(StepInProgress):
        session.submit()
    assert session.ready == 1


def test_readings_of_a_guarded_session_are_of_one_moment() -> None:
    """A reader never sees a message that is neither ready nor in flight."""
    session = GuardedStoreSession(ready=1)
    reads, stop, seen = threading.Event(), threading.Event(), set()

    def read() -> None:
        while not stop.is_set():
            configuration = session.configuration
            seen.add(configuration[3] + configuration[4] + configuration[5])  # type: ignore[operator]
            reads.set()

    reader = threading.Thread(target=read)
    reader.start()
    reads.wait()
    for _ in range(300):
        session.outbound_begin()
        session.outbound_deferred()
        session.deferred_due()
    stop.set()
    reader.join()
    assert seen == {1}


class Word(int):
    """A flags word that lets another thread in, in the middle of the call it is given to."""

    def bit_count(self) -> int:
        self.other.start()  # type: ignore[attr-defined]
        self.asked.wait()  # type: ignore[attr-defined]
        return super().bit_count()


def test_a_call_of_several_parts_is_one_call_where_there_is_a_guard() -> None:
    session = GuardedStoreSession()
    word = Word(2)
    word.asked = threading.Event()  # type: ignore[attr-defined]
    answers = []

    def ask() -> None:
        word.asked.set()  # type: ignore[attr-defined]
        try:
            session.logoff_quiet()
        except Refused as refusal:
            answers.append(refusal.verdict.kind)

    word.other = threading.Thread(target=ask)  # type: ignore[attr-defined]
    assert session.store_logoff_transports(word) == 0x10000
    word.other.join()  # type: ignore[attr-defined]
    assert answers == ["finished"]
    assert session.request is not None
    assert session.request.name == "ORDERLY"


CALLS: dict[str, Callable[[StoreSession], object]] = {
    "a trigger": lambda s: s.submit(), "fire": lambda s: s.fire("submit"), "post": lambda s: s.post("submit").result(),
    "state": lambda s: s.state, "request": lambda s: s.request, "ready": lambda s: s.ready, "complete": lambda s: s.complete,
    "configuration": lambda s: s.configuration, "flags": lambda s: s.flags, "status": lambda s: s.status,
    "may": lambda s: s.may("submit"), "verdicts": lambda s: s.verdicts(), "logoff": lambda s: s.logoff(Logoff.QUIET),
    "snapshot": lambda s: s.snapshot(), "a copy": copy.copy, "a pickle": pickle.dumps, "repr": repr,
    "listen": lambda s: s.listen(Late()), "forget": lambda s: s.forget(s),
    "the MAPI call": lambda s: s.store_logoff_transports(0x10),
}  # fmt: skip


class Late:
    def on_transition(self, step: Step) -> None: ...


@pytest.mark.parametrize("call", CALLS)
def test_every_call_waits_for_the_lock(call: str) -> None:
    session, started, order = GuardedStoreSession(ready=1), threading.Event(), []

    def other() -> None:
        started.set()
        CALLS[call](session)
        order.append("the other thread")

    thread = threading.Thread(target=other)
    with session.lock:
        thread.start()
        started.wait()
        session.outbound_begin()
        session.outbound_sent()
        order.append("the holder of the lock")
    thread.join()
    assert order == ["the holder of the lock", "the other thread"]


def test_a_callback_of_the_machine_is_called_under_the_lock_of_a_guarded_session() -> None:
    plain: Any = type("Plain", (StoreSession,), {"__slots__": ()}, chart=StoreSession.chart)
    guarded: Any = type("Guarded", (plain,), {"__slots__": ()}, guarded=True)
    session, free = guarded(), []

    def look() -> None:
        free.append(session.lock.acquire(blocking=False))

    def callback(_: object) -> None:
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()

    plain.machine().before_submit(callback)
    assert session.submit() is True
    assert (free, session.ready) == ([False], 1)


def test_an_overridden_trigger_of_a_guarded_class_loses_no_event() -> None:
    class Counted(StoreSession, guarded=True):
        def submit(self) -> Literal[True]:
            return super().submit()

    session = Counted()
    hammer(session)
    assert session.ready == THREADS * TIMES
