"""Celery's tasks as messages in flight: a worker that is told to end says what it waits for, and puts back the rest.

    app = Celery("orders", broker="redis://")
    tasks = TasksInFlight(app, "ORDERLY 20s -> cancel 5s")

    @app.task
    def send(number): ...                              # tasks.check(), tasks.item.on_cancel(...), tasks.store

Theory (beside that of `tasks.py`).
1. A task goes back into the queue by being rejected, which needs late acknowledgement, so that is switched on
   (`task_acks_late`, `task_reject_on_worker_lost`).  A task that acknowledges early by itself is never refused, and is
   retried at once after it was asked to end.
2. With the prefork pool tasks run in child processes.  Signals reach the parent, so each child waits for the end of a
   pipe, which the parent's handler closes.  The stores are those of the children; the parent says so.
3. Celery waits for its tasks after the plan, too, as it always does; what they are is in the log.
"""

# Celery ships no types:
# pyright: reportMissingTypeStubs=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownParameterType=false, reportUnknownVariableType=false, reportUntypedBaseClass=false

from __future__ import annotations

import logging
import os
import threading
from typing import Any, Final

from fsm.contrib.requirements import check_version, without

try:
    import celery
    from celery import signals
    from celery.concurrency import prefork
    from celery.exceptions import Reject
    from kombu.utils.imports import symbol_by_name
except ModuleNotFoundError as missing:
    raise without("celery", "Celery", missing) from None

from fsm.contrib.tasks import Opens, ProcessStore
from fsm.store.errors import Stopped, StoreClosing
from fsm.store.plan import DEFAULT, Plan
from fsm.store.storage import Storage
from fsm.store.sync import Store

__all__ = ["TasksInFlight"]

check_version("celery", "celery", 5, 4)

log: Final = logging.getLogger("celery.worker")


class TasksInFlight(ProcessStore):
    """The tasks of an application, each in flight in its process's store.  Make it before the application's tasks."""

    def __init__(
        self, app: celery.Celery, plan: Plan | str = DEFAULT, *, storage: Storage | Opens | None = None
    ) -> None:
        """Let the tasks of this application be in flight; see `ProcessStore` for the plan and the storage.

        Tasks that are declared with a `base=` of their own are left alone.
        """
        super().__init__(plan, storage)
        app.conf.task_acks_late = True
        app.conf.task_reject_on_worker_lost = True
        base: type[Any] = symbol_by_name(app.task_cls)  # type: ignore[no-untyped-call]
        app.task_cls = _in_flight(base, self)
        self._reader: int | None = None
        self._writer: int | None = None
        self._prefork = False
        self._parent: int | None = None
        signals.worker_init.connect(self._worker_begins, weak=False)
        signals.worker_ready.connect(self._worker_ready, weak=False)
        signals.worker_process_init.connect(self._child_begins, weak=False)
        signals.worker_shutting_down.connect(self._told_to_end, weak=False)
        signals.worker_process_shutdown.connect(self._child_ends, weak=False)
        signals.worker_shutdown.connect(self._worker_ends, weak=False)

    @property
    def store(self) -> Store:
        """This process's store; the first use opens it.  RuntimeError in the parent of a prefork pool."""
        if self._prefork:
            raise RuntimeError(
                "tasks run in the child processes of this one, each with a store of its own: use tasks.store in a task"
            )
        return super().store

    def opened(self) -> None:
        """Wait in a thread for the end of the pipe."""
        if self._reader is not None:
            threading.Thread(target=self._wait_for_the_end, name="fsm celery", daemon=True).start()

    def _wait_for_the_end(self) -> None:
        assert self._reader is not None
        os.read(self._reader, 1)
        self.begin_closing()

    # ------------------------------------------------------------------------------------------ the worker's moments

    def _worker_begins(self, **_: object) -> None:
        self._parent = os.getpid()
        self._reader, self._writer = os.pipe()

    def _worker_ready(self, sender: Any, **_: object) -> None:
        self._prefork = isinstance(sender.pool, prefork.TaskPool)
        if self._prefork:
            log.info(
                "tasks are in flight in the stores of the child processes, each of which is closed by the plan %s "
                "when this process is told to end", self.plan,
            )  # fmt: skip

    def _child_begins(self, **details: object) -> None:
        if self._parent != os.getpid():  # the solo pool sends this signal, too
            self._prefork = False
            self._told_to_end()
            _ = self.store

    def _told_to_end(self, **_: object) -> None:
        """Close this process's copy of the pipe.  In the parent: in a signal handler, which may interrupt anything."""
        if self._writer is not None:
            os.close(self._writer)
            self._writer = None

    def _child_ends(self, **_: object) -> None:
        self.end()

    def _worker_ends(self, **_: object) -> None:
        self.end()


def _in_flight(base: type[Any], tasks: TasksInFlight) -> type[Any]:
    """Return a class of tasks that run in flight."""

    class InFlightTask(base):  # type: ignore[misc]
        abstract = True

        def __call__(self, *args: object, **kwargs: object) -> object:
            if self.request.called_directly:
                return super().__call__(*args, **kwargs)
            try:
                return tasks.run(self.name, super().__call__, args, kwargs)
            except StoreClosing as closing:
                if not self.acks_late:  # it would be lost
                    return super().__call__(*args, **kwargs)
                raise Reject(closing, requeue=True) from closing
            except Stopped as stopped:
                if not self.acks_late:
                    raise self.retry(countdown=0, max_retries=None) from stopped
                raise Reject(stopped, requeue=True) from stopped

    return InFlightTask
