"""The queue of tasks: which of those that wait are in the next batch, and for whom it waits a moment.

Theory.
1. A batch is all that waits, in order, at most `MAX_BATCH` tasks.  What comes while the storage is waited for, because
   another process is writing, joins the batch.
2. A *patient* task gives others a moment to arrive, and is committed with them.  Nobody waits for that but its caller.
3. Endings and claims are *background* tasks.  After a batch with tasks of callers they give way: whoever submits one
   message after another is back in a moment, and would wait for two commits.
4. Each task makes the commit longer for all others in it.  So in a batch with the tasks of callers, a store with
   background tasks alone has at most `FEW` of them.  The others are the first in the next batch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import (
    Iterable,
    Iterator,
    Set as AbstractSet,
)
from contextlib import suppress
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any, Final

from fsm.store.step import Member
from fsm.store.task import Task

__all__ = ["FEW", "TaskQueue", "callers_of", "crowds"]

MAX_BATCH: Final = 1024
"""Tasks in one transaction.  With more, the first of them would wait for the last."""
FEW: Final = 4
"""Background tasks, and claims, of one store in a batch with the tasks of other stores' callers."""
PATIENCE: Final = 0.002
"""Seconds for which patient tasks wait for company, and background tasks for callers."""


class TaskQueue:
    """The tasks that wait.  `put`, `close`, `drain` and `len` may be called from any thread."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[Task[Any] | None] = SimpleQueue()
        self.left: list[Task[Any]] = []
        """Tasks that had to be left out of the last batch."""
        self._closed = self._callers = False

    def __len__(self) -> int:
        return self._queue.qsize() + len(self.left)

    def put(self, task: Task[Any]) -> None:
        """Add a task."""
        self._queue.put(task)

    def close(self) -> None:
        """End the batches after what was put before."""
        self._queue.put(None)

    def drain(self) -> Iterator[Task[Any]]:
        """Take out and yield what was put and is in no batch yet, nor `left`."""
        with suppress(Empty):
            while True:
                if (task := self._queue.get_nowait()) is not None:
                    yield task

    def batch(self) -> list[Task[Any]]:
        """Wait for tasks, and return those of the next batch; none if the queue was closed."""
        waiting = self.left
        if not waiting:
            self._get(waiting, None)
        until, patient = monotonic() + PATIENCE, all(map(self._is_patient, waiting))
        while waiting and self._get(waiting, max(0.0, until - monotonic()) if patient else 0.0):
            patient = patient and self._is_patient(waiting[-1])
        return self._chosen([], waiting)

    def more(self, batch: list[Task[Any]]) -> list[Task[Any]]:
        """Return the tasks that have come for this batch since."""
        waiting = [*self.left]
        while len(batch) + len(waiting) < MAX_BATCH and self._get(waiting, 0.0):
            pass
        return self._chosen(batch, waiting) if waiting else waiting

    def _get(self, tasks: list[Task[Any]], seconds: float | None) -> bool:
        """Add the next task, if it comes within so many seconds (None: whenever it comes)."""
        if self._closed or len(tasks) >= MAX_BATCH:
            return False
        try:
            task = self._queue.get(timeout=seconds)
        except Empty:
            return False
        if task is None:
            self._closed = True
            return False
        tasks.append(task)
        return True

    def _is_patient(self, task: Task[Any]) -> bool:
        return task.patient or (task.background and self._callers)

    def _chosen(self, batch: list[Task[Any]], waiting: list[Task[Any]]) -> list[Task[Any]]:
        """Return those of the waiting who come into this batch; the others are left for the next one."""
        callers, counts = callers_of([*batch, *waiting]), Counter(task.state for task in batch)
        chosen, left = list[Task[Any]](), list[Task[Any]]()
        for task in waiting:
            counts[task.state] += 1
            # what is no store's comes after all that was put before
            late = bool(left) if task.state is None else counts[task.state] > FEW and crowds(task.state, callers)
            (left if late else chosen).append(task)
        self.left, self._callers = left, bool(callers)
        return chosen


def callers_of(tasks: Iterable[Task[Any]]) -> AbstractSet[Member | None]:
    """Return the stores for which a caller waits."""
    return {task.state for task in tasks if not task.background}


def crowds(state: Member, callers: AbstractSet[Member | None]) -> bool:
    """Return whether callers of other stores wait, and none of this one."""
    return bool(callers) and state not in callers
