"""The desk: where everything that happens to a store is decided, written down, and then done, in one order.

Theory.
1. What is asked waits in one line.  The desk takes all that waits (a *batch*), decides each on a copy of the session,
   and writes the changes and the journal entries of all of them in one transaction.  Only when that has been committed
   does the real session take the steps, and those who asked get their answers.  A failed commit steps nothing.
2. So the commits of messages that come at the same time are one commit: under load that is most of the speed.
3. At the end of each batch it is asked what follows from it (`last`), and that goes into the same transaction: a
   message that comes while somebody waits to send it is submitted and claimed in one commit.
4. When a batch cannot be committed, each of its tasks is tried by itself, so that nobody fails for another's sake.
5. Who is *patient* gives others a moment to come, and is committed with them: nobody waits for that but who asked.
6. A session's listeners are told after the commit.  One that raises then is logged: what is committed has happened.

With a durable storage the desk works in one thread of its own, so that nobody who asks holds a lock while the disk
writes; in memory it works at once, in the thread that asks.  This file does not know what is asked for.
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
from fsm.compiler import Compiled
from fsm.journal.encoder import ENCODE, Scribe
from fsm.journal.reader import header, start
from fsm.logoff.chart import LOGOFF
from fsm.logoff.flags import MapiError
from fsm.logoff.session import StoreSession
from fsm.store.clock import SYSTEM, Clock
from fsm.store.errors import StorageError, StoreClosing
from fsm.store.storage import Storage, Transaction
from fsm.verdict import Refused

__all__ = ["Desk", "Draft"]

T = TypeVar("T")
log: Final = logging.getLogger("fsm.store")
LARGEST: Final = 512
"""Tasks in one transaction; more would make the first of them wait for the last."""
MOMENT: Final = 0.002
"""Seconds for which the patient wait."""


OWN: Final = (Refused, StoreClosing, MapiError)
"""What a task says before it has changed anything; after any other error the transaction is rolled back."""


class Draft:
    """What a task decides on: a copy of the session as it will be, and the transaction.

    A task fires its events first and changes messages after: when it raises, its events are as if they had not been.
    `queued` are the messages that became ready in this batch.  `answer` makes the task's value when all of the batch is
    done, where it is not known before.
    """

    __slots__ = ("answer", "queued", "session", "then", "told", "tx")

    def __init__(self, session: StoreSession, tx: Transaction, queued: list[str]) -> None:
        self.session, self.tx, self.queued = session, tx, queued
        self.told: list[tuple[str, Configuration, Configuration, int, dict[str, object]]] = []
        self.then: list[Callable[[], object]] = []
        self.answer: Callable[[], Any] | None = None

    def fire(self, event: str, **told: object) -> None:
        """The event happens (Refused when it may not); `told` is written down with it.

        With the step that releases the store it is left, in the same transaction.
        """
        session = self.session
        before = session.configuration
        session.fire(event)
        more = {name: value for name, value in told.items() if value}
        self.told.append((event, before, session.configuration, session.flags, more))
        if session.state != before[0] and session.complete:
            self.tx.leave()


class _Task(Generic[T]):
    __slots__ = ("answer", "decide", "draft", "error", "future", "patient", "value")

    def __init__(self, decide: Callable[[Draft], T], *, patient: bool = False) -> None:
        self.decide, self.patient = decide, patient
        self.future: Future[T] = Future()
        self.draft: Draft | None = None
        self.answer: Callable[[], T] | None = None
        self.value: T
        self.error: BaseException | None = None


class Desk:
    """One line of tasks for one session and one storage."""

    def __init__(
        self,
        session: StoreSession,
        storage: Storage,
        name: str,
        *,
        lock: RLock,
        changed: Callable[[], object],
        thread: bool,
        clock: Clock = SYSTEM,
        last: Callable[[Draft], object] = lambda _: None,
        missed: Callable[[BaseException], object] = lambda _: None,
    ) -> None:
        """`changed` is called after each batch, `last` at its end; the clock is paused while the thread has work.

        `missed` when what `last` did was not committed, or when nobody knows whether something was.
        """
        self._session, self._storage, self._name = session, storage, name
        self._lock, self._changed, self._last, self._missed = lock, changed, last, missed
        self._clock, self._session_name, self._sessions = clock, name, 1
        self._scribe = Scribe(LOGOFF, name)
        self._seq = 0
        self._closed = self._begun = self._started = False
        self._door = Lock()
        self._line: SimpleQueue[_Task[Any] | None] = SimpleQueue()
        self._waiting: deque[_Task[Any]] = deque()
        self._owner: int | None = None
        self._compiled: Compiled = _compiled(session)
        self._thread = Thread(target=self._serve, name="fsm store", daemon=True) if thread else None
        if self._thread is not None:
            self._thread.start()
        self.ask(lambda _: None)  # so that the journal has its start now

    def ask(self, decide: Callable[[Draft], T], *, patient: bool = False) -> Future[T]:
        """Have this decided after all that was asked before.  The future has its value when it is durable and done.

        A future that is cancelled before its turn comes is left out.
        """
        task = _Task(decide, patient=patient)
        if self._thread is not None:
            with self._door:
                if not self._closed:
                    self._clock.pause()
                    self._line.put(task)
                    return task.future
        if self._closed:
            task.future.set_exception(StorageError("the store was let go; open it again"))
            return task.future
        with self._lock:
            self._waiting.append(task)
            if self._owner is None:  # otherwise a listener asks, in the middle of a batch, and it comes after
                self._owner = get_ident()
                try:
                    while self._waiting:
                        self._batch([self._waiting.popleft()])
                finally:
                    self._owner = None
        return task.future

    @property
    def inside(self) -> bool:
        """Whether this is the thread in which the desk works now (a listener): it may ask, but not wait."""
        return get_ident() == (self._thread.ident if self._thread is not None else self._owner)

    def close(self) -> None:
        """Finish what was asked, and take nothing more.  Waits for the thread, unless it is this one."""
        with self._door:
            if not self._closed and self._thread is not None:
                self._line.put(None)
            self._closed = True
        if self._thread is not None and not self.inside:
            self._thread.join()

    def _serve(self) -> None:
        while (task := self._line.get()) is not None:
            batch, patient, until = [task], task.patient, monotonic() + MOMENT
            with suppress(Empty):
                while task is not None and len(batch) < LARGEST:
                    wait = max(0.0, until - monotonic()) if patient else 0.0
                    if (task := self._line.get(wait > 0, wait)) is not None:
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
        last: _Task[Any] = _Task(self._last)
        self._begun = False
        try:
            self._commit([*tasks, last])
        except Exception as error:  # the transaction: nothing of it has happened
            told = _as_storage(error)
            if not getattr(told, "certain", True):
                self._begin_anew()
            for task in (*tasks, last):
                if self._begun and getattr(told, "certain", True):
                    self._alone(task)
                else:  # it is nobody's fault; or it may have happened, and must not happen twice
                    task.error, task.draft = told, None
        else:
            self._step([*tasks, last])
        errors = [task.error for task in (last, *tasks) if isinstance(task.error, StorageError)]
        if missed := next((error for error in errors if not error.certain), last.error):
            self._missed(missed)
        self._finish(tasks)

    def _alone(self, task: _Task[Any]) -> None:
        task.error, task.draft = None, None
        try:
            self._commit([task])
        except Exception as error:
            task.error, task.draft = error if error is task.error else _as_storage(error), None
            if not getattr(task.error, "certain", True):
                self._begin_anew()
        self._step([task])

    def _begin_anew(self) -> None:
        """The journal may have entries of steps that were not taken: from here on it is another session's."""
        self._sessions += 1
        self._session_name = f"{self._name}-{self._sessions}"
        self._scribe, self._seq, self._started = Scribe(LOGOFF, self._session_name), 0, False

    def _commit(self, tasks: list[_Task[Any]]) -> None:
        here, seq, queued = self._session.configuration, self._seq, list[str]()
        session = StoreSession.at(here)
        with self._storage.transaction() as tx:
            self._begun = True
            if not self._started:
                name = self._session_name
                tx.begin(name, ENCODE(header(LOGOFF)), ENCODE(start(LOGOFF, name, here)))
            for task in tasks:
                draft = Draft(session, tx, queued)
                try:
                    task.value = task.decide(draft)
                except Exception as error:
                    if not isinstance(error, OWN) or task.decide == self._last:  # the transaction may be broken by it
                        task.error = error
                        raise
                    task.error = error
                    self._compiled.write(session, here)
                    continue
                for event, before, after, flags, more in draft.told:
                    seq, here = seq + 1, after
                    tx.record(self._session_name, self._scribe.line(seq, event, before, after, flags, more))
                task.draft = draft
        self._seq, self._started = seq, True

    def _step(self, tasks: list[_Task[Any]]) -> None:
        with self._lock:
            for task in tasks:
                if (draft := task.draft) is None:
                    continue
                task.draft, task.answer = None, draft.answer
                for event, _, after, _, _ in draft.told:
                    if self._session._watch is None:  # nobody is to be told
                        self._compiled.write(self._session, after)
                        continue
                    try:
                        self._session.fire(event)
                    except Exception:
                        log.exception("a listener failed at %s; the step is committed and stands", event)
                        if self._session.configuration != after:  # it raised before the step
                            self._compiled.write(self._session, after)
                for then in draft.then:
                    then()

    def _finish(self, tasks: list[_Task[Any]]) -> None:
        with self._lock:
            try:
                self._changed()
            except Exception:  # who asked is to be answered all the same
                log.exception("what follows from a change failed")
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


def _compiled(session: StoreSession) -> Compiled:
    from fsm.definition import compiled

    return compiled(type(session))


def _as_storage(error: Exception) -> Exception:
    return error if isinstance(error, (StorageError, Refused)) else StorageError(f"the storage failed: {error}")
