"""Which tasks are in a batch: all that wait, in order, but few of those that nobody's caller waits for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from fsm.store import Spooler, task_queue
from fsm.store.task import Task
from fsm.store.task_queue import TaskQueue

Make = Callable[[str], Task[None]]


@pytest.fixture
def make() -> Iterator[Make]:
    """A task of the store "a" for "a", a background task of it for "A", and one of no store for "-"."""
    with Spooler() as spooler:
        stores = {store.name: store._state for store in spooler.open_many("abc")}
        yield lambda letter: Task(stores.get(letter.lower()), None, letter, background=letter.isupper())
        spooler.close("ABORT 0s")


def names(tasks: list[Task[None]]) -> str:
    return "".join(task.what for task in tasks)


@pytest.mark.parametrize(
    ("puts", "batches"),
    [
        ("aba-c", ["aba-c"]),
        ("AAAAAA", ["AAAAAA"]),
        ("AAAAAAa", ["AAAAAAa"]),
        ("AAAAAAb", ["AAAAb", "AA"]),
        ("bAAAAAAAAAA", ["bAAAA", "AAAAAA"]),
        ("AAAAAAab", ["AAAAAAab"]),
        ("AAAAABBBBBc", ["AAAABBBBc", "AB"]),
        ("AAAAAb-", ["AAAAb", "A-"]),
    ],
)
def test_few_tasks_that_no_caller_waits_for_are_in_a_batch_with_those_of_other_stores_callers(make: Make, puts: str, batches: list[str]) -> None:
    queue = TaskQueue()
    for letter in puts:
        queue.put(make(letter))
    queue.close()
    assert [names(queue.batch()) for _ in batches] == batches
    assert queue.batch() == []


def test_what_comes_meanwhile_joins_a_batch_by_the_same_rule(make: Make) -> None:
    queue = TaskQueue()
    for letter in "AA":
        queue.put(make(letter))
    batch = queue.batch()
    assert queue.more(batch) == []
    for letter in "AAAb":
        queue.put(make(letter))
    assert names(queue.more(batch)) == "AAb"
    assert (names(queue.left), len(queue)) == ("A", 1)
    queue.put(make("a"))
    assert names(queue.batch()) == "Aa"


def test_background_tasks_give_way_to_whoever_was_answered_by_the_last_batch(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_queue, "PATIENCE", 60.0)
    queue, found = TaskQueue(), list[str]()
    for letter in "Ab":
        queue.put(make(letter))
        found.append(names(queue.batch()))  # at once: nobody was answered before
    queue.put(make("A"))
    thread = threading.Thread(target=lambda: found.append(names(queue.batch())))
    thread.start()
    while not queue._queue.empty():
        pass
    queue.put(make("b"))
    thread.join(60)
    assert found == ["A", "b", "Ab"]
