"""A task: something that a store decides in its turn, on a copy of its session, and who wants to know what came of it.

`group_commit` decides tasks in batches.  A task ends once: by the storage's answer, or by whoever does not wait for it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from contextvars import copy_context
from threading import Lock
from typing import Final, Generic, TypeAlias, TypeVar

from fsm.store.log import about
from fsm.store.step import Member, PendingStep
from fsm.store.storage import Ask, Handle, Look

__all__ = ["Task", "Then"]

T = TypeVar("T")
Then: TypeAlias = Callable[[BaseException | None], object]
"""Is told that a task has ended, and by which error if it has failed.  It is called without the lock."""
log: Final = logging.getLogger("fsm.store")
_ending: Final = Lock()
"""Held to find out who ends a task."""


class Task(Generic[T]):
    """Something to decide in its turn.  Its result is for the future, or its end for whoever wants to know only that.

    A future costs a dozen objects, and `then` none.
    """

    __slots__ = (
        "answer", "ask", "context", "decide", "error", "future", "opens", "patient", "state", "step", "then", "value",
        "what",
    )  # fmt: skip

    def __init__(
        self, state: Member | None, decide: Callable[[PendingStep], T] | None, what: str, *, ask: Ask | None = None,
        patient: bool = False, opens: tuple[Handle, Callable[[Look], T]] | None = None, then: Then | None = None,
    ) -> None:  # fmt: skip
        self.state, self.decide, self.what = state, decide, what
        self.ask, self.patient, self.opens = ask, patient, opens
        self.then = then
        self.future: Future[T] | None = Future() if then is None else None
        self.context = copy_context()
        self.step: PendingStep | None = None
        self.answer: Callable[[], T] | None = None
        self.value: T
        self.error: BaseException | None = None

    def begins(self) -> bool:
        """Return False if nobody wants it any longer."""
        return self.future is None or self.future.set_running_or_notify_cancel()

    def end(self) -> None:
        """Tell whoever waits for it, unless they were told already."""
        if self.future is not None:
            with suppress(InvalidStateError):
                if self.error is not None:
                    self.future.set_exception(self.error)
                else:
                    self.future.set_result(self.value)
            return
        with _ending:
            then, self.then = self.then, None
        if then is not None:
            try:
                then(self.error)
            except Exception:
                name = self.state.name if self.state is not None else ""
                log.exception("%s: what follows %s failed", name, self.what or "a task", extra=about(name))
