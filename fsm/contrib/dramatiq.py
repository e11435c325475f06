"""Dramatiq's messages in flight: a worker that is told to end says what it waits for, and puts back the rest.

    broker = RedisBroker()
    tasks = TasksInFlight("ORDERLY 20s -> cancel 5s")
    broker.add_middleware(tasks)                       # before the actors are declared

    @dramatiq.actor
    def send(number): ...                              # tasks.check(), tasks.item.on_cancel(...), tasks.store

The theory is that of `tasks.py`.  A message goes back into its queue as a copy, before the first is acknowledged, so a
worker that is killed in between leaves two of them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from fsm.contrib.requirements import check_version, without

try:
    from dramatiq import Actor, Broker, MessageProxy, Worker
    from dramatiq.middleware import Middleware, SkipMessage
except ModuleNotFoundError as missing:
    raise without("dramatiq", "dramatiq", missing) from None

from fsm.contrib.tasks import Opens, ProcessStore
from fsm.store.errors import Stopped, StoreClosing
from fsm.store.plan import DEFAULT, Plan
from fsm.store.storage import Storage

__all__ = ["TasksInFlight"]

check_version("dramatiq", "dramatiq", 2, 0)


class TasksInFlight(Middleware, ProcessStore):
    """The messages of a broker, each in flight in its process's store; see `ProcessStore` for the arguments."""

    def __init__(self, plan: Plan | str = DEFAULT, *, storage: Storage | Opens | None = None) -> None:
        ProcessStore.__init__(self, plan, storage)
        self._here = threading.local()

    def before_declare_actor(self, broker: Broker, actor: Actor[Any, Any]) -> None:
        """Let the actor's function run in flight."""
        actor.fn = self._in_flight(broker, actor.actor_name, actor.fn)

    def before_worker_boot(self, broker: Broker, worker: Worker) -> None:
        """Open the store of this process."""
        _ = self.store

    def before_process_message(self, broker: Broker, message: MessageProxy) -> None:
        """Remember which message this thread works on."""
        self._here.message = message

    def before_worker_shutdown(self, broker: Broker, worker: Worker) -> None:
        """Begin to close the store: dramatiq waits for the messages at work next."""
        self.begin_closing()

    def after_worker_shutdown(self, broker: Broker, worker: Worker) -> None:
        """Let the store go."""
        self.end()

    def _in_flight(self, broker: Broker, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: object, **kwargs: object) -> object:
            message = getattr(self._here, "message", None)
            if message is None:  # the actor was called as a function
                return function(*args, **kwargs)
            try:
                return self.run(name, function, args, kwargs)
            except (Stopped, StoreClosing) as error:
                broker.enqueue(message.copy())  # pyright: ignore[reportUnknownMemberType]
                raise SkipMessage(str(error)) from error
            finally:
                self._here.message = None

        return run
