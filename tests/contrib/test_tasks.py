"""Tasks of Celery and dramatiq in flight: what they can ask, and what becomes of them while the store closes.

Real workers, told to end, are tested with the examples.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import celery
import dramatiq
import pytest
from celery import signals
from dramatiq.brokers.stub import StubBroker

import fsm.contrib.celery
import fsm.contrib.dramatiq
from fsm.contrib.requirements import check_version
from fsm.store import Stopped

PLAN = "cancel 60s"


def celery_app() -> tuple[celery.Celery, fsm.contrib.celery.TasksInFlight]:
    app = celery.Celery("orders", broker="memory://", set_as_current=False)
    return app, fsm.contrib.celery.TasksInFlight(app, PLAN)


def test_a_task_of_celery_is_in_flight_by_its_name() -> None:
    app, tasks = celery_app()
    seen: list[str] = []

    @app.task(name="work")
    def work(a: int, b: int) -> None:
        seen.extend(map(str, tasks.store.blockers()))
        tasks.check()

    work.apply((2,), {"b": 30}).get()
    assert "work(2, b=30)" in seen[0]
    assert tasks.store.blockers() == ()
    with pytest.raises(RuntimeError, match="no task runs here"):
        work(1, 2)  # called as a function, it is in flight nowhere
    tasks.end()


@pytest.mark.parametrize(("early", "state"), [(False, "REJECTED"), (True, "RETRY")])
def test_a_task_of_celery_that_is_asked_to_end_goes_back(early: bool, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    app, tasks = celery_app()

    @app.task(name="work", **({"acks_late": False} if early else {}))
    def work() -> None:
        began.set()
        while True:
            tasks.check()

    began, states = threading.Event(), list[str]()
    monkeypatch.setattr(work, "retry", lambda **options: celery.exceptions.Retry(when=options["countdown"]))
    thread = threading.Thread(target=lambda: states.append(work.apply().state))
    thread.start()
    began.wait()
    tasks.begin_closing()
    thread.join()
    assert states == [state]
    tasks.end()


@pytest.mark.parametrize(("early", "state"), [(False, "REJECTED"), (True, "SUCCESS")])
def test_a_task_of_celery_that_begins_too_late_goes_back_unless_it_would_be_lost(early: bool, state: str) -> None:
    app, tasks = celery_app()

    @app.task(name="work", **({"acks_late": False} if early else {}))
    def work() -> None: ...

    tasks.store.begin_closing(PLAN).result()
    assert work.apply().state == state
    tasks.end()


def test_the_parent_of_a_prefork_pool_says_where_the_stores_are(caplog: pytest.LogCaptureFixture) -> None:
    from celery.concurrency.prefork import TaskPool

    _, tasks = celery_app()
    with caplog.at_level("INFO"):
        signals.worker_ready.send(type("Consumer", (), {"pool": TaskPool.__new__(TaskPool)}))
    assert "tasks are in flight in the stores of the child processes" in caplog.text
    with pytest.raises(RuntimeError, match="each with a store of its own"):
        _ = tasks.store


# -------------------------------------------------------------------------------------------------------- dramatiq


@pytest.fixture
def broker() -> StubBroker:
    broker = StubBroker()
    broker.emit_after("process_boot")
    return broker


def actor(broker: StubBroker, tasks: Any, function: Callable[[], object]) -> Any:
    broker.add_middleware(tasks)
    return dramatiq.actor(function, broker=broker, actor_name="work", max_retries=0)


def test_a_message_of_dramatiq_that_is_asked_to_end_goes_back(broker: StubBroker) -> None:
    tasks = fsm.contrib.dramatiq.TasksInFlight(PLAN)
    began, seen = threading.Event(), list[str]()

    def function() -> None:
        seen.extend(map(str, tasks.store.blockers()))
        began.set()
        while True:
            tasks.check()

    work = actor(broker, tasks, function)
    worker = dramatiq.Worker(broker, worker_threads=1)
    worker.start()
    work.send()
    began.wait()
    worker.stop()
    assert "work()" in seen[0]
    assert broker.queues["default"].unfinished_tasks == 1
    assert broker.dead_letters == []
    broker.close()


def test_an_actor_that_is_called_as_a_function_is_not_in_flight(broker: StubBroker) -> None:
    tasks = fsm.contrib.dramatiq.TasksInFlight(PLAN)
    with pytest.raises(RuntimeError, match="no task runs here"):
        actor(broker, tasks, tasks.check)()


# -------------------------------------------------------------------------------------------------------- misuse


def test_an_error_after_the_request_to_end_counts_as_stopped() -> None:
    _, tasks = celery_app()

    def work() -> None:
        tasks.store.begin_closing(PLAN)
        stopped = threading.Event()
        tasks.item.on_cancel(lambda reason: stopped.set())
        stopped.wait()
        raise ConnectionError("closed")

    with pytest.raises(Stopped, match=r"its time is over \(ConnectionError: closed\)"):
        tasks.run("work", work, (), {})
    tasks.end()
    with pytest.raises(ZeroDivisionError):
        tasks.run("work", lambda: 1 // 0, (), {})
    tasks.end()


def test_a_plan_that_makes_no_sense_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="is no step of a plan"):
        fsm.contrib.dramatiq.TasksInFlight("SOON")


def test_a_library_that_is_too_old_is_named() -> None:
    with pytest.raises(ImportError, match=r"needs celery 999\.1 or later, not 5\..*: \S+ -m pip install '.*\[celery\]'"):
        check_version("celery", "celery", 999, 1)
