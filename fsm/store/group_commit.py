"""Group commit: everything that happens to a store is decided, written down, and then done, in one order.

Theory.
1. Tasks wait in one queue.  A *batch* is all that waits: each task decides on a copy of the session, and the changes
   and journal entries of all of them are written in one transaction.  Only after the commit does the real session take
   the steps, and the tasks get their results.  If the commit fails, no step is taken.
2. So messages that arrive together share a commit.  Under load that is most of the speed.
3. At the end of each batch `at_end` decides what follows from it, in the same transaction: a message that arrives while
   somebody waits to send it is submitted and claimed in one commit.
4. If a batch cannot be committed, each of its tasks is tried alone, so that no task fails because of another.
5. A *patient* task gives others a moment to arrive, and is committed with them.  Nobody waits for that but its caller.
6. Listeners of the session are called after the commit.  If one raises, the error is logged: what is committed has
   happened.

With a durable storage the batches run in a thread of their own, so that no caller holds a lock while the disk writes;
in memory they run at once, in the caller's thread.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Lock, RLock, Thread, get_ident
from time import monotonic
from typing import Any, Final, Generic, TypeVar

from fsm.chart import Configuration
from fsm.journal.encoder import ENCODE, Encoder
from fsm.journal.reader import header, start
from fsm.logoff.chart import LOGOFF
from fsm.logoff.flags import MapiError
from fsm.logoff.session import StoreSession
from fsm.store.clock import SYSTEM, Clock
from fsm.store.errors import StorageError, StoreClosing
from fsm.store.storage import Storage, Transaction
from fsm.verdict import Refused

__all__ = ["GroupCommit", "PendingStep"]

T = TypeVar("T")
log: Final = logging.getLogger("fsm.store")
MAX_BATCH: Final = 512
"""Tasks in one transaction.  With more, the first of them would wait for the last."""
PATIENCE: Final = 0.002
"""Seconds for which patient tasks wait for company."""
REFUSALS: Final = (Refused, StoreClosing, MapiError)
"""What a task raises before it has changed anything.  After any other error the transaction is rolled back."""


def _nothing(_: object) -> None:
    """Decide nothing."""


class PendingStep:
    """What a task decides on: a copy of the session as it will be, and the transaction.

    A task fires its events first and changes messages afterwards: if it raises one of the refusals, its events are
    undone.  `ready_ids` are the messages that became ready in this batch.  `after_commit` holds the calls to make when
    the steps are taken.  `answer` computes the task's result when the whole batch is done, if it is not known before.
    """

    __slots__ = ("after_commit", "answer", "events", "ready_ids", "session", "tx")

    def __init__(self, session: StoreSession, tx: Transaction, ready_ids: list[str]) -> None:
        self.session, self.tx, self.ready_ids = session, tx, ready_ids
        self.events: list[tuple[str, Configuration, Configuration, int, dict[str, object]]] = []
        self.after_commit: list[Callable[[], object]] = []
        self.answer: Callable[[], Any] | None = None

    def fire(self, event: str, **details: object) -> None:
        """Let the event happen; `details` are written into the journal with it.  Raise Refused if it is not legal.

        The step that releases the store also leaves it, in the same transaction.
        """
        session = self.session
        before = session.configuration
        session.fire(event)
        details = {name: value for name, value in details.items() if value}
        self.events.append((event, before, session.configuration, session.flags, details))
        if session.state != before[0] and session.complete:
            self.tx.leave()

    def admit(self, event: str, **details: object) -> None:
        """Like `fire`, for new work.  Raise StoreClosing if the store takes none."""
        try:
            self.fire(event, **details)
        except Refused as refusal:
            raise StoreClosing(f"the store is closing: {refusal.verdict.reason}") from refusal


class _Task(Generic[T]):
    __slots__ = ("answer", "decide", "error", "future", "patient", "step", "value")

    def __init__(self, decide: Callable[[PendingStep], T], *, patient: bool = False) -> None:
        self.decide, self.patient = decide, patient
        self.future: Future[T] = Future()
        self.step: PendingStep | None = None
        self.answer: Callable[[], T] | None = None
        self.value: T
        self.error: BaseException | None = None


class GroupCommit:
    """One queue of tasks for one session and one storage.  Nothing runs before `start`.

    The journal's first session is called `name`.  With `thread` the batches run in a thread of their own, and the clock
    is paused while that has work.
    """

    def __init__(
        self, session: StoreSession, storage: Storage, name: str, *, lock: RLock, thread: bool, clock: Clock = SYSTEM
    ) -> None:
        self._session, self._storage, self._name = session, storage, name
        self._lock, self._clock = lock, clock
        self._journal_name, self._journals = name, 1
        self._encoder = Encoder(LOGOFF, name)
        self._seq = 0
        self._closed = self._in_transaction = self._journal_begun = False
        self._close_lock = Lock()
        self._queue: SimpleQueue[_Task[Any] | None] = SimpleQueue()
        self._backlog: deque[_Task[Any]] = deque()
        self._owner: int | None = None
        self._compiled = session.compiled()
        self._thread = Thread(target=self._serve, name="fsm store", daemon=True) if thread else None

    def start(
        self, after_batch: Callable[[], object], *, at_end: Callable[[PendingStep], object] = _nothing,
        on_failure: Callable[[BaseException], object] = _nothing,
    ) -> None:  # fmt: skip
        """Write the start of the journal, and run what is scheduled from now on.

        `after_batch` is called after each batch, with the lock held; `at_end` is rule 3.  `on_failure` is called with
        the error if what `at_end` decided was not committed, or if nobody can tell whether a transaction was.
        """
        self._after_batch = after_batch
        self._at_end, self._on_failure = at_end, on_failure
        if self._thread is not None:
            self._thread.start()
        self.schedule(_nothing)

    def schedule(self, decide: Callable[[PendingStep], T], *, patient: bool = False) -> Future[T]:
        """Run this after everything that was scheduled before; the future is done when the result is durable.

        If the future is cancelled before its turn comes, nothing happens.
        """
        task = _Task(decide, patient=patient)
        if self._thread is not None:
            with self._close_lock:
                if not self._closed:
                    self._clock.pause()
                    self._queue.put(task)
                    return task.future
        if self._closed:
            task.future.set_exception(StorageError("the store was let go; open it again"))
            return task.future
        with self._lock:
            self._backlog.append(task)
            if self._owner is None:  # otherwise a listener schedules it during a batch, and its turn comes afterwards
                self._owner = get_ident()
                try:
                    while self._backlog:
                        self._batch([self._backlog.popleft()])
                finally:
                    self._owner = None
        return task.future

    @property
    def is_current_thread(self) -> bool:
        """True in the thread that runs the batches (as for a listener): it may schedule, but not wait."""
        return get_ident() == (self._thread.ident if self._thread is not None else self._owner)

    def close(self) -> None:
        """Run what was scheduled, and refuse everything later.  Wait for the thread, unless it is the caller."""
        with self._close_lock:
            if not self._closed and self._thread is not None:
                self._queue.put(None)
            self._closed = True
        if self._thread is not None and not self.is_current_thread:
            self._thread.join()

    def _serve(self) -> None:
        while (task := self._queue.get()) is not None:
            batch, patient, until = [task], task.patient, monotonic() + PATIENCE
            with suppress(Empty):
                while task is not None and len(batch) < MAX_BATCH:
                    wait = max(0.0, until - monotonic()) if patient else 0.0
                    if (task := self._queue.get(wait > 0, wait)) is not None:
                        batch.append(task)
                        patient = patient and task.patient
            self._batch(batch)
            for _ in batch:
                self._clock.resume()
            if task is None:
                return

    def _batch(self, tasks: list[_Task[Any]]) -> None:
        tasks = [task for task in tasks if task.future.set_running_or_notify_cancel()]
        if not tasks:
            return
        last: _Task[Any] = _Task(self._at_end)
        self._in_transaction = False
        try:
            self._commit([*tasks, last])
        except Exception as error:  # nothing of the transaction has happened
            storage_error = _as_storage_error(error)
            if not _is_certain(storage_error):
                self._begin_journal()
            for task in (*tasks, last):
                if self._in_transaction and _is_certain(storage_error):
                    self._commit_alone(task)
                else:  # no transaction could begin; or this one may have been committed, and must not happen twice
                    task.error, task.step = storage_error, None
        else:
            self._take_steps([*tasks, last])
        errors = [task.error for task in (last, *tasks) if isinstance(task.error, StorageError)]
        if failure := next((error for error in errors if not error.certain), last.error):
            self._on_failure(failure)
        self._resolve(tasks)

    def _commit_alone(self, task: _Task[Any]) -> None:
        task.error, task.step = None, None
        try:
            self._commit([task])
        except Exception as error:
            task.error, task.step = error if error is task.error else _as_storage_error(error), None
            if not _is_certain(task.error):
                self._begin_journal()
        self._take_steps([task])

    def _begin_journal(self) -> None:
        """Go on as another session: the journal may have entries of steps that were not taken."""
        self._journals += 1
        self._journal_name = f"{self._name}-{self._journals}"
        self._encoder, self._seq, self._journal_begun = Encoder(LOGOFF, self._journal_name), 0, False

    def _commit(self, tasks: list[_Task[Any]]) -> None:
        here, seq, ready_ids = self._session.configuration, self._seq, list[str]()
        session = StoreSession.unchecked(here)
        with self._storage.transaction() as tx:
            self._in_transaction = True
            if not self._journal_begun:
                name = self._journal_name
                tx.begin(name, ENCODE(header(LOGOFF)), ENCODE(start(LOGOFF, name, here)))
            for task in tasks:
                step = PendingStep(session, tx, ready_ids)
                try:
                    task.value = task.decide(step)
                except Exception as error:
                    task.error = error
                    if not isinstance(error, REFUSALS) or task.decide == self._at_end:
                        raise  # the transaction may be in any state
                    self._compiled.write(session, here)
                    continue
                for event, before, after, flags, details in step.events:
                    seq, here = seq + 1, after
                    tx.record(self._journal_name, self._encoder.line(seq, event, before, after, flags, details))
                task.step = step
        self._seq, self._journal_begun = seq, True

    def _take_steps(self, tasks: list[_Task[Any]]) -> None:
        with self._lock:
            for task in tasks:
                if (step := task.step) is None:
                    continue
                task.step, task.answer = None, step.answer
                for event, _, after, _, _ in step.events:
                    if not self._session.has_listeners:  # it has no listeners
                        self._compiled.write(self._session, after)
                        continue
                    try:
                        self._session.fire(event)
                    except Exception:
                        log.exception("a listener raised at %s; the step is committed and stands", event)
                        if self._session.configuration != after:  # it raised before the step
                            self._compiled.write(self._session, after)
                for call in step.after_commit:
                    call()

    def _resolve(self, tasks: list[_Task[Any]]) -> None:
        with self._lock:
            try:
                self._after_batch()
            except Exception:  # the callers get their results all the same
                log.exception("dispatching after a commit failed")
        for task in tasks:
            if task.error is None and task.answer is not None:
                try:
                    task.value = task.answer()
                except Exception as error:
                    task.error = error
            if task.error is not None:
                task.future.set_exception(task.error)
            else:
                task.future.set_result(task.value)


def _as_storage_error(error: Exception) -> Exception:
    return error if isinstance(error, (StorageError, Refused)) else StorageError(f"the storage failed: {error}")


def _is_certain(error: BaseException | None) -> bool:
    """True unless the transaction may have been committed all the same."""
    return not isinstance(error, StorageError) or error.certain
