"""Group commit: everything that happens to the stores of a spooler is decided, written down, and then done, in order.

Theory.
1. Tasks wait in one queue.  A *batch* is all that waits: each task decides on a copy of its store's session, and the
   changes and journal entries of all of them are written in one transaction.  Only after the commit do the real
   sessions take the steps, and the tasks get their results.  If the commit fails, no step is taken.
2. So messages that arrive together share a commit, of whichever store they are.  Under load that is most of the speed.
3. At the end of each batch messages are claimed for those who wait for one, in the same transaction: a message that
   arrives while somebody waits to send it is submitted and claimed in one commit.
4. If a batch cannot be committed, each of its tasks is tried alone, so that no task fails because of another, and no
   store because of another.
5. If nobody can tell whether a batch was committed, its tasks fail with an error that is not `certain`.  Nothing else
   is committed before the storage can tell; if it was, its steps are taken then.
6. A *patient* task gives others a moment to arrive, and is committed with them.  Nobody waits for that but its caller.
   So do two tasks or more, until they are as many as in the two batches before.
7. Listeners of a session are called after the commit, in a copy of the context of whoever caused the step: they see
   its context variables, whichever thread they run in.  (A claim and what others did are caused by nobody here.)  If a
   listener raises, the error is logged: what is committed has happened.  SystemExit and KeyboardInterrupt are for
   whoever caused the step, who gets them.
8. Whoever closes does not wait for a storage that does not answer: `abandon` tells all who wait for an answer that
   there will be none.
9. What a batch has to tell the other processes is one ring for each kind of news; and the stores that end in a batch
   have one turn for their outcomes, because of ten thousand stores all end at once.

With a durable storage the batches run in a thread of their own, so that no caller holds a lock while the disk writes;
in memory they run at once, in the caller's thread.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, InvalidStateError, wait
from contextlib import suppress
from dataclasses import replace
from functools import partial
from queue import Empty, SimpleQueue
from threading import RLock, Thread, current_thread, get_ident
from time import monotonic
from typing import Any, Final, TypeAlias, TypeVar

from fsm.chart import Configuration
from fsm.journal.encoder import ENCODE
from fsm.journal.reader import header
from fsm.logoff.chart import LOGOFF
from fsm.logoff.flags import MapiError
from fsm.logoff.session import StoreSession
from fsm.store.clock import SYSTEM, Clock
from fsm.store.errors import StorageError, StoreClosing
from fsm.store.log import about
from fsm.store.message import Message
from fsm.store.process import until_exit
from fsm.store.step import Member, PendingStep, Place
from fsm.store.storage import Ask, Handle, Kind, Look, News, Removed, Storage, Transaction
from fsm.store.task import Task, Then
from fsm.verdict import Refused

__all__ = ["GRACE", "RETRY_SECONDS", "SILENCE", "GroupCommit"]

T = TypeVar("T")
log: Final = logging.getLogger("fsm.store")
HEADER: Final = ENCODE(header(LOGOFF))
MAX_BATCH: Final = 1024
"""Tasks in one transaction.  With more, the first of them would wait for the last."""
PATIENCE: Final = 0.002
"""Seconds for which patient tasks wait for company."""
GATHERING: Final = 0.001
"""Seconds for which two tasks wait for as many as the last two batches had: whoever was answered comes again at once,
and a commit costs more than a task."""
SILENCE: Final = 0.5
"""Seconds without an answer after which whoever closes stops waiting for the storage."""
GRACE: Final = 0.4
"""Seconds beyond its time for which a plan waits for the storage to answer; and as many for the outcome."""
RETRY_SECONDS: Final = 1.0
"""Seconds before something that failed because of the storage is tried again."""
REFUSALS: Final = (Refused, StoreClosing, MapiError)
"""What a task raises before it has changed anything.  After any other error the transaction is rolled back."""


class _Batch:
    """Tasks on their way through a transaction; `steps` are their steps, and those of the claims, in order."""

    __slots__ = ("began", "places", "steps", "tasks")

    def __init__(self, tasks: Sequence[Task[Any]]) -> None:
        self.tasks = tasks
        self.places: dict[Member, Place] = {}
        self.steps: list[tuple[Task[Any] | None, PendingStep]] = []
        self.began = False

    def place(self, state: Member) -> Place:
        place = self.places.get(state)
        if place is None:
            place = self.places[state] = Place(state)
        return place


Dispatch: TypeAlias = "Callable[[Iterable[Member]], Iterable[tuple[Member, BaseException]]]"


class GroupCommit:
    """One queue of tasks for all stores of one storage.  `storage.open()` is called before the first task.

    `opened` is called when the storage is open, and `dispatch` with the stores of each batch after it, with the lock
    held; it returns what callbacks raised to end the program.  `stores` tells all that are open.  With a durable
    storage the batches run in a thread, and the clock is paused while that has work.
    """

    def __init__(
        self, storage: Storage, *, lock: RLock, clock: Clock = SYSTEM, dispatch: Dispatch,
        opened: Callable[[], object] = lambda: None, stores: Callable[[], Sequence[Member]] = lambda: (),
    ) -> None:  # fmt: skip
        self._storage, self._lock, self._clock = storage, lock, clock
        self._dispatch, self._opened, self._stores = dispatch, opened, stores
        self._queue: SimpleQueue[Task[Any] | None] = SimpleQueue()
        self._backlog: deque[Task[Any]] = deque()
        self._open = self._closed = False
        self._close_lock = RLock()
        self._owner: int | None = None
        self._in_doubt: _Batch | None = None
        self._under_way: Sequence[Task[Any]] = ()
        self._abandoned: StorageError | None = None
        self._since: float | None = None
        """When the storage was last asked something that it has not answered yet."""
        self._failing: tuple[float, str] | None = None
        self._patient_until: float | None = None
        self._settling: list[Callable[[], object]] | None = None
        """The calls to make when all is settled that was scheduled up to the end of the present dispatch."""
        self._write = StoreSession.compiled().write
        self._done: Future[None] = Future()
        self._thread: Thread | None = None
        until_exit(self, f"the store in {storage}", GroupCommit._exiting)

    # ------------------------------------------------------------------------------------------------- scheduling

    def schedule(
        self, state: Member, decide: Callable[[PendingStep], T], what: str = "", *, ask: Ask | None = None,
        patient: bool = False,
    ) -> Future[T]:  # fmt: skip
        """Run this after everything that was scheduled before; the future is done when the result is durable.

        If the future is cancelled before its turn comes, nothing happens.  `what` names it while it is under way.
        """
        return self._future_of(Task(state, decide, what, ask=ask, patient=patient))

    def enqueue(
        self, state: Member, decide: Callable[[PendingStep], object], then: Then, what: str = "", *,
        ask: Ask | None = None, patient: bool = False,
    ) -> None:  # fmt: skip
        """Like `schedule`, for what nobody waits for: `then` is told when it has ended."""
        self._schedule(Task(state, decide, what, ask=ask, patient=patient, then=then))

    def open(self, handle: Handle, opened: Callable[[Look], T]) -> Future[T]:
        """Open a store; the result is what `opened` makes of the look at it, after the commit."""
        return self._future_of(Task(None, None, f"opening {handle.name}", opens=(handle, opened)))

    def _future_of(self, task: Task[T]) -> Future[T]:
        assert task.future is not None
        self._schedule(task)
        return task.future

    def when_settled(self, call: Callable[[], object]) -> None:
        """Make this call when all that was scheduled before has ended, or after `GRACE` if the storage does not answer.

        Those who ask while the stores of a batch are dispatched share a turn.
        """
        with self._lock:
            if self._settling is not None and self.is_current_thread:
                self._settling.append(call)
            else:
                self._settle([call])

    def _settle(self, calls: list[Callable[[], object]]) -> None:
        def make_calls(_: object = None) -> None:
            timer.cancel()
            with self._lock:  # whoever comes first, the storage or the timer
                made = calls[:]
                calls.clear()
            for call in made:
                call()

        timer = self._clock.call_later(GRACE, make_calls)
        self._schedule(Task(None, None, "the outcome", then=make_calls))

    def _schedule(self, task: Task[Any]) -> None:
        if self._storage.durable:
            with self._close_lock:
                if not self._closed:
                    if self._thread is None:
                        self._thread = Thread(target=self._serve, name="fsm store", daemon=True)
                        self._thread.start()
                    self._clock.pause()
                    self._queue.put(task)
                    return
        if self._closed:
            task.error = StorageError("the store was let go; open it again")
            task.end()
            return
        with self._lock:
            self._backlog.append(task)
            if self._owner is None:  # otherwise a listener schedules it during a batch, and its turn comes afterwards
                self._owner = get_ident()
                try:
                    while self._backlog:
                        self._batch([self._backlog.popleft()])
                finally:
                    self._owner = None

    @property
    def is_current_thread(self) -> bool:
        """True in the thread that runs the batches (as for a listener): it may schedule, but not wait."""
        if self._thread is not None:
            return current_thread() is self._thread  # the id of a thread that has ended may be another's
        return get_ident() == self._owner

    @property
    def in_the_way(self) -> tuple[float, str] | None:
        """For how many seconds the storage has not answered, or failed, and what was under way; None if it is well."""
        under_way, since, failing = self._under_way, self._since, self._failing
        if failing is not None:
            return monotonic() - failing[0], failing[1]
        if since is not None and monotonic() - since > SILENCE / 2:
            waiting = self._queue.qsize()
            names = [task.what for task in under_way if task.what]
            more = f" and {len(names) - 5} more" if len(names) > 5 else ""
            then = f"; {waiting} more wait" if waiting else ""
            return monotonic() - since, f"no answer to: {', '.join(names[:5]) or 'a look'}{more}{then}"
        return None

    def close(self) -> Future[None]:
        """Run what was scheduled, close the storage, and refuse everything later; the future is done after that."""
        with self._close_lock:
            first, self._closed = not self._closed, True
            if first and self._thread is not None:
                self._clock.pause()
                self._queue.put(None)
                return self._done
        if first:
            if self._open:
                self._storage.close()
            self._done.set_result(None)
        return self._done

    def _exiting(self) -> None:
        """Let a closing under way come to its end, before the interpreter exits."""
        if self._closed:
            self.wait(self._done)

    def allow(self, until: float) -> None:
        """Give the storage time to close, until then on the monotonic clock; of several such times the first counts."""
        self._patient_until = until if self._patient_until is None else min(self._patient_until, until)

    @property
    def silent(self) -> bool:
        """True if the storage has not answered for a while, and has no more time."""
        now, since, until = monotonic(), self._since, self._patient_until
        return since is not None and now - since > SILENCE and (until is None or now > until)

    def wait(self, done: Future[Any], seconds: float | None = None) -> None:
        """Wait for this in a thread, at most so long, and not for a storage that does not answer.

        Do nothing in the thread that runs the batches.
        """
        until = None if seconds is None else monotonic() + seconds
        while not done.done() and not self.is_current_thread:
            wait([done], 0.05)
            if not done.done() and (self.silent or (until is not None and monotonic() >= until)):
                self.abandon()
                return

    def abandon(self) -> None:
        """Tell whoever waits for an answer that there will be none.  The thread goes on by itself, if it can."""
        problem = f"{self._storage} does not answer, and the store was let go: the change may have been made"
        self._abandoned = StorageError(problem, busy=True, certain=False)  # first: what is in neither place now sees it
        tasks = [*self._under_way]
        with suppress(Empty):
            while True:
                if (task := self._queue.get_nowait()) is not None:
                    tasks.append(task)
                    self._clock.resume()
        self._queue.put(None)
        for task in tasks:
            task.error = self._abandoned
            task.end()

    # ------------------------------------------------------------------------------------------------- the thread

    def _serve(self) -> None:
        before = last = 0
        try:
            while (task := self._queue.get()) is not None:
                batch, patient, began = [task], task.patient, monotonic()
                with suppress(Empty):
                    while task is not None and len(batch) < MAX_BATCH:
                        moment = PATIENCE if patient else GATHERING if 2 <= len(batch) < min(before, last) else 0.0
                        wait = max(0.0, began + moment - monotonic()) if moment else 0.0
                        if (task := self._queue.get(wait > 0, wait)) is not None:
                            batch.append(task)
                            patient = patient and task.patient
                before, last = last, len(batch)
                self._batch(batch)
                for _ in batch:
                    self._clock.resume()
                if task is None:
                    break
        finally:
            if self._open:
                self._since, self._under_way = monotonic(), (Task(None, None, "closing"),)
                self._storage.close()
                self._since, self._under_way = None, ()
            with suppress(InvalidStateError):
                self._done.set_result(None)
            self._clock.resume()

    def _batch(self, tasks: list[Task[Any]]) -> None:
        tasks = [task for task in tasks if task.begins()]
        if not tasks:
            return
        self._under_way = tasks
        try:
            if self._abandoned is not None:
                self._fail(tasks, self._abandoned)
            else:
                self._run(tasks)
            self._under_way = ()
            self._resolve(tasks)
        except BaseException as error:  # a mistake of ours: the stores go on, and nobody waits for ever
            log.exception("a batch could not be decided", extra=about(self._storage))
            for task in tasks:
                task.error = error
                task.end()
        finally:
            self._under_way = ()

    def _run(self, tasks: list[Task[Any]]) -> None:
        try:
            self._make_ready()
        except Exception as error:
            self._fail(tasks, _as_storage_error(error))
            return
        for again in (True, False):
            try:
                self._take_steps(self._commit(tasks))
                self._failing = None
                return
            except Removed:
                if again:
                    self._revive()
                    continue
                problem: Exception = StorageError("other processes take this one for dead, again and again", busy=True)
            except Exception as failure:
                problem = failure
            self._failed(tasks, problem)
            return

    def _make_ready(self) -> None:
        """Open the storage, and settle what is in doubt."""
        self._since = monotonic()
        try:
            if not self._open:
                self._storage.open()
                self._open = True
                self._opened()
            batch = self._in_doubt
            made = batch is not None and self._storage.settle()
        finally:
            self._since = None
        if batch is not None:
            self._in_doubt = None
            if made:
                self._take_steps(batch)
                with self._lock:
                    self._dispatch(batch.places)

    def _revive(self) -> None:
        """Become a process again, and bring the sessions in line with what is still ours."""
        try:
            tasks: list[Task[Any]] = [
                Task(one, lambda _: None, "registering again", ask=Ask(one.handle)) for one in self._stores()
            ]
            self._take_steps(self._commit(tasks, claims=False, revives=True))
        except Exception as error:
            log.warning("%s: cannot register again: %s", self._storage, error, extra=about(self._storage))

    def _failed(self, tasks: list[Task[Any]], error: Exception) -> None:
        """Nothing of the transaction has happened, or nobody can tell."""
        batch, failure = self._last, _as_storage_error(error)
        for state in batch.places:
            state.peers_may_have_mail = True  # they were not asked for theirs
        if not _is_certain(failure):
            self._in_doubt = batch
        if not batch.began or not _is_certain(failure):
            self._fail(tasks, failure)
            return
        for number, task in enumerate(tasks):
            task.error, task.step = None, None
            try:
                self._take_steps(self._commit([task], claims=False))
            except Exception as alone:
                task.error = alone if alone is task.error else _as_storage_error(alone)
                if not _is_certain(task.error):
                    self._in_doubt = self._last
                if getattr(task.error, "busy", False):  # the others would only wait as long
                    self._fail(tasks[number:], task.error)
                    return
        for state in batch.places:
            try:
                self._take_steps(self._commit([], claims=[state]))
            except Exception as alone:
                state.claims_rule.failed(_as_storage_error(alone))

    def _fail(self, tasks: Sequence[Task[Any]], error: BaseException) -> None:
        if isinstance(error, StorageError) and self._failing is None:
            self._failing = monotonic(), str(error)
        if self._in_doubt is not None:
            self._clock.call_later(RETRY_SECONDS, self._settle_soon)
        for task in tasks:
            task.error, task.step = error, None
        for state in dict.fromkeys(task.state for task in tasks):
            if state is not None:
                state.claims_rule.failed(error)

    def _settle_soon(self) -> None:
        if self._in_doubt is not None and not self._closed:
            self._schedule(Task(None, None, "settling what is in doubt", then=lambda _: None))

    # -------------------------------------------------------------------------------------------- the transaction

    def _commit(
        self, tasks: Sequence[Task[Any]], *, claims: bool | Iterable[Member] = True, revives: bool = False
    ) -> _Batch:
        batch = self._last = _Batch(tasks)
        self._since = monotonic()
        try:
            with self._storage.transaction(fenced=not revives) as tx:
                batch.began = True
                self._look(batch, tx, revives)
                for task in tasks:
                    self._since = monotonic()  # it has answered; only its own time counts as silence
                    if task.state is not None:
                        self._decide(batch, task, tx)
                if claims:
                    states = batch.places if claims is True else {state: batch.place(state) for state in claims}
                    for step in self._claim(tx, [batch.place(state) for state in states]):
                        batch.steps.append((None, step))
                lines = [line for place in batch.places.values() for line in place.lines]
                if lines or any(task.opens is not None for task in tasks):  # a journal begins when its store is opened
                    tx.record(HEADER, lines)
                self._since = monotonic()
        finally:
            self._since = None
        return batch

    def _look(self, batch: _Batch, tx: Transaction, revives: bool) -> None:
        """Open stores, and look at those of which a task asks it: what came and went is counted before all else."""
        opening = [task for task in batch.tasks if task.opens is not None]
        if opening:
            looks = tx.open([task.opens[0] for task in opening if task.opens is not None])
            for task, look in zip(opening, looks, strict=True):
                assert task.opens is not None
                task.answer = partial(task.opens[1], look)
        asking: dict[Member, tuple[Task[Any], Ask]] = {}
        for task in batch.tasks:
            state, ask = task.state, task.ask
            if state is not None and ask is not None and not state.session.complete:
                asking[state] = task, asking[state][1] | ask if state in asking else ask
        if not asking:
            return
        if revives:
            found = tx.revive([state.handle for state in asking])
        else:
            # a store that takes nothing new must not adopt: what it did not count would be lost when it leaves
            asks = [(ask, ask.adopt and state.session.accepting) for state, (_, ask) in asking.items()]
            found = tx.look([replace(ask, adopt=adopts) for ask, adopts in asks])
        asked = [(state, task) for state, (task, _) in asking.items()]
        for (state, task), look in zip(asked, found, strict=True):
            place = batch.place(state)
            here, step = place.session.configuration, PendingStep(place, tx)
            state.peers_rule.seen(step, look, anew=revives)
            step.finish()
            place.write(step.events, here)
            batch.steps.append((task, step))

    def _decide(self, batch: _Batch, task: Task[Any], tx: Transaction) -> None:
        assert task.state is not None
        assert task.decide is not None
        place = batch.place(task.state)
        here, step = place.session.configuration, PendingStep(place, tx)
        try:
            task.value = task.decide(step)
            step.finish()
        except Exception as error:
            task.error = error
            if not isinstance(error, REFUSALS):
                raise  # the transaction may be in any state
            self._write(place.session, here)
            return
        place.write(step.events, here)
        task.step = step
        batch.steps.append((task, step))

    def _claim(self, tx: Transaction, places: Sequence[Place]) -> Iterator[PendingStep]:
        """Claim messages for those who wait: new ones, those of our parts, and those of others."""
        own: list[tuple[Place, PendingStep, int]] = []
        theirs: list[tuple[Place, PendingStep, int]] = []
        steps: list[tuple[Place, PendingStep, Configuration]] = []
        begun: list[tuple[PendingStep, Sequence[Message], bool, bool]] = []
        for place in places:
            step = PendingStep(place, tx)
            wanted, look = place.state.claims_rule.wanted(step)
            if not wanted:
                continue
            steps.append((place, step, place.session.configuration))
            ready, fresh = place.session.ready, place.fresh
            begins = min(wanted, ready) if ready and place.session.may("outbound_begin") else 0
            new = tx.claim_new(step.handle, fresh[:begins]) if begins and ready == len(fresh) else []
            if new:
                begun.append((step, new, False, False))
                del fresh[:begins]
            elif begins:
                own.append((place, step, begins))
            if look and wanted > begins:
                theirs.append((place, step, wanted - begins))
        if own:
            found = tx.claim([(step.handle, count) for _, step, count in own])
            for (place, step, count), messages in zip(own, found, strict=True):
                ids = {message.id for message in messages}
                place.fresh[:] = [id for id in place.fresh if id not in ids]
                begun.append((step, messages, False, len(messages) < count))
        if theirs:
            found = tx.take([(step.handle, count) for _, step, count in theirs])
            begun += [(step, messages, True, False) for (_, step, _), messages in zip(theirs, found, strict=True)]
        for step, claimed, taken, short in begun:
            rule = step.state.claims_rule
            rule.claimed(step, [message.id for message in claimed], taken=taken, short=short)
            if claimed:
                step.after_commit.append(partial(rule.distribute, claimed))
        for place, step, before in steps:
            step.finish()
            place.write(step.events, before)
            yield step

    # ----------------------------------------------------------------------------------------------- after the commit

    def _take_steps(self, batch: _Batch) -> None:
        rings: dict[Kind, set[int]] = {}
        with self._lock:
            for place in batch.places.values():
                place.state.seq = place.seq
                if not place.starts:
                    place.state.segment = place.segment
            for task, step in batch.steps:
                if task is not None and task.step is step:
                    task.step, task.answer = None, step.answer
                session = step.state.session
                if not session.has_listeners:
                    if step.events:
                        self._write(session, step.events[-1][1])
                else:
                    run = task.context.run if task is not None else _run
                    for event, after, _ in step.events:
                        if (interruption := run(self._fire, step.state, event, after)) is None:
                            continue
                        if task is not None:
                            task.error = interruption
                        else:
                            step.state.claims_rule.interrupted(interruption)
                for call in step.after_commit:
                    call()
                for kind in step.news:
                    rings.setdefault(kind, set()).add(step.handle.number)
        for kind, stores in rings.items():
            self._storage.ring(News(kind, frozenset(stores)))

    def _fire(self, state: Member, event: str | None, after: Configuration) -> BaseException | None:
        """Take a step that is committed; return the SystemExit or the like that a listener raised."""
        session, interruption = state.session, None
        if event is not None:
            try:
                session.fire(event)
            except Exception:
                log.exception(
                    "%s: a listener raised at %s; the step is committed and stands", state.name, event,
                    extra=about(state.name),
                )  # fmt: skip
            except BaseException as error:
                interruption = error
        if session.configuration != after:  # it raised before the step, or there is no event for it
            self._write(session, after)
        return interruption

    def _resolve(self, tasks: Sequence[Task[Any]]) -> None:
        for task in tasks:
            if task.error is None and task.answer is not None and task.opens is not None:
                self._answer(task)
        last = {task.state: task for task in tasks if task.state is not None}
        with self._lock:
            settling = self._settling = []
            try:
                for state, error in self._dispatch(last):
                    last[state].error = error
            finally:
                self._settling = None
            if settling:
                self._settle(settling)
        for task in tasks:
            if task.error is None and task.answer is not None and task.opens is None:
                self._answer(task)
            task.end()

    def _answer(self, task: Task[Any]) -> None:
        assert task.answer is not None
        try:
            task.value = task.answer()
        except Exception as error:
            task.error = error


def _run(call: Callable[..., T], *args: Any) -> T:
    return call(*args)


def _as_storage_error(error: Exception) -> Exception:
    return error if isinstance(error, (StorageError, Refused)) else StorageError(f"the storage failed: {error}")


def _is_certain(error: BaseException | None) -> bool:
    """True unless the transaction may have been committed all the same."""
    return not isinstance(error, StorageError) or error.certain
