"""The store of a worker process, in which each task of a queue (Celery, dramatiq) is in flight while it runs.

    tasks = TasksInFlight(app, "ORDERLY 20s -> cancel 5s")     # of fsm.contrib.celery or fsm.contrib.dramatiq

    tasks.check()                                      # in a task: raises Stopped if the task was asked to end
    tasks.item.on_cancel(connection.close)             # the same for a task that waits
    tasks.store.submit(content)                        # with a durable storage: a message of one's own

Theory.
1. A task is an inbound message: its source, the queue, keeps it until it has ended.  It is named with its arguments
   among the blockers.
2. When the worker is told to end, its store is closed by the plan.  A task that would begin then goes back into the
   queue, and so does one that is left by an error after the plan's `cancel` has asked it to end.  Neither counts as a
   try.
3. Every process of a worker has a store of its own, opened after the fork.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from threading import Lock
from typing import Final, TypeAlias, TypeVar

from fsm.store.errors import Stopped, StoreClosing
from fsm.store.plan import DEFAULT, Plan
from fsm.store.storage import Storage
from fsm.store.sync import InFlight, Store

__all__ = ["ProcessStore"]

SHOWN: Final = 80
"""Characters of a task's name and arguments that are shown."""

T = TypeVar("T")
Opens: TypeAlias = Callable[[], Store]


class ProcessStore:
    """A store for each process, and the item of the task at hand."""

    def __init__(self, plan: Plan | str = DEFAULT, storage: Storage | Opens | None = None) -> None:
        """Take a plan, and a storage, or a function that opens the store (default: in memory).

        Raise ValueError for a plan that makes no sense.
        """
        self.plan: Final = Plan.parse(plan) if isinstance(plan, str) else plan
        self._source = storage
        self._store: Store | None = None
        self._lock = Lock()
        self._item: ContextVar[InFlight] = ContextVar("item")

    @property
    def store(self) -> Store:
        """This process's store; the first use opens it."""
        with self._lock:
            if self._store is None:
                self._store = self._source() if callable(self._source) else self._new()
                self.opened()
            return self._store

    @property
    def item(self) -> InFlight:
        """The task at hand as an item in flight.  RuntimeError outside of a task."""
        try:
            return self._item.get()
        except LookupError:
            raise RuntimeError("there is an item inside a task that a worker runs, and no task runs here") from None

    def check(self) -> None:
        """Raise Stopped if the task at hand was asked to end."""
        self.item.check()

    def run(self, name: str, task: Callable[..., T], args: Sequence[object], kwargs: Mapping[str, object]) -> T:
        """Run a task as an item in flight.  Raise StoreClosing or Stopped if it has to go back into the queue."""
        item = self.store.inbound(what=_named(name, args, kwargs))
        try:
            with item:
                before = self._item.set(item)
                try:
                    return task(*args, **kwargs)
                finally:
                    self._item.reset(before)
        except (Stopped, StoreClosing):
            raise
        except Exception as error:
            if item.stop_reason is None:
                raise
            raise Stopped(f"{item.stop_reason} ({type(error).__name__}: {error})") from error

    def opened(self) -> None:
        """Do nothing.  Called once the store of this process is open."""

    def begin_closing(self) -> None:
        """Begin to close the store by the plan, if it is open here.  Not for signal handlers."""
        if self._store is not None:
            self._store.begin_closing(self.plan)

    def end(self) -> None:
        """Close the store, if it is open here, and let it go; the store says in the log how that went."""
        if self._store is not None:
            self._store.close(self.plan)
            self._store.let_go()
            self._store = None

    def _new(self) -> Store:
        assert not callable(self._source)
        return Store(self._source, name=f"tasks of process {os.getpid()}")


def _named(name: str, args: Sequence[object], kwargs: Mapping[str, object]) -> str:
    given = ", ".join([*map(repr, args), *(f"{key}={value!r}" for key, value in kwargs.items())])
    text = f"{name}({given})"
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."
