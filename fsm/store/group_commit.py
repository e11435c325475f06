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
7. Listeners of a session are called after the commit, in a copy of the context of whoever caused the step: they see
   its context variables, whichever thread they run in.  (A claim and what others did are caused by nobody here.)  If a
   listener raises, the error is logged: what is committed has happened.  SystemExit and KeyboardInterrupt are for
   whoever caused the step, who gets them.
8. Whoever closes does not wait for a storage that does not answer: `abandon` tells all who wait for an answer that
   there will be none.

With a durable storage the batches run in a thread of their own, so that no caller holds a lock while the disk writes;
in memory they run at once, in the caller's thread.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, InvalidStateError, wait
from contextlib import suppress
from contextvars import copy_context
from dataclasses import replace
from functools import partial
from queue import Empty, SimpleQueue
from threading import RLock, Thread, current_thread, get_ident
from time import monotonic
from typing import Any, Final, Generic, Protocol, TypeAlias, TypeVar

from fsm.chart import Configuration
from fsm.journal.encoder import ENCODE
from fsm.journal.reader import header, start
from fsm.logoff.chart import LOGOFF
from fsm.logoff.flags import MapiError
from fsm.logoff.session import StoreSession
from fsm.store.clock import SYSTEM, Clock
from fsm.store.errors import StorageError, StoreClosing
from fsm.store.log import about
from fsm.store.message import Message
from fsm.store.process import until_exit
from fsm.store.storage import Ask, Handle, Look, News, Removed, Storage, Transaction
from fsm.verdict import Refused

__all__ = ["RETRY_SECONDS", "SILENCE", "Claimer", "GroupCommit", "Member", "PeerCounter", "PendingStep"]

T = TypeVar("T")
log: Final = logging.getLogger("fsm.store")
HEADER: Final = ENCODE(header(LOGOFF))
MAX_BATCH: Final = 1024
"""Tasks in one transaction.  With more, the first of them would wait for the last."""
PATIENCE: Final = 0.002
"""Seconds for which patient tasks wait for company."""
SILENCE: Final = 0.5
"""Seconds without an answer after which whoever closes stops waiting for the storage."""
RETRY_SECONDS: Final = 1.0
"""Seconds before something that failed because of the storage is tried again."""
MANY: Final = 1000
"""Messages that come into a session by events; more of them are a new start in the journal."""
REFUSALS: Final = (Refused, StoreClosing, MapiError)
"""What a task raises before it has changed anything.  After any other error the transaction is rolled back."""


class Claimer(Protocol):
    """Who waits for the messages of a store."""

    def wanted(self, step: PendingStep) -> tuple[int, bool]:
        """Return how many messages are wanted at the end of a batch, and whether others may be asked for them."""

    def claimed(self, step: PendingStep, ids: Sequence[str], *, taken: bool, short: bool = False) -> None:
        """Begin with these messages; `taken` are those of others, `short` if fewer were there than are counted."""

    def distribute(self, messages: Sequence[Message]) -> None:
        """Give the messages to those who wait, after the commit.  With the lock held."""

    def failed(self, error: BaseException) -> None:
        """Note that no message could be claimed."""

    def interrupted(self, error: BaseException) -> None:
        """Keep what a listener raised at a claim to end the program."""


class PeerCounter(Protocol):
    """Who counts what came into a store from elsewhere, and what went."""

    def seen(self, step: PendingStep, look: Look, *, anew: bool = False) -> None:
        """Count what came and went.  With `anew` the look tells all that there is, as when a store is opened."""

    def refresh(self) -> None:
        """Have the store looked at soon, because it does not count what the storage has."""

    def expect(self) -> None:
        """Have it looked at when somebody's transaction, which has left a message, is committed."""


class Member(Protocol):
    """What the group commit needs of a store (`state.StoreState`)."""

    name: str
    session: StoreSession
    storage: Storage
    handle: Handle
    holder: str
    journal_head: str
    seq: int
    segment: int
    peers_may_have_mail: bool
    claims_rule: Claimer
    peers_rule: PeerCounter


class _Place:
    """A store in a batch: a copy of its session as it will be, and what the batch writes into its journal.

    `fresh` are the ids of the messages that were submitted in the batch and not claimed yet.
    """

    __slots__ = ("fresh", "lines", "segment", "seq", "session", "starts", "state")

    def __init__(self, state: Member) -> None:
        self.state = state
        self.session = StoreSession.unchecked(state.session.configuration)
        self.seq, self.segment = state.seq, state.storage.segment
        self.starts = state.segment != self.segment
        self.lines: list[str] = []
        self.fresh: list[str] = []

    def write(self, events: Iterable[_Event], before: Configuration) -> None:
        """Write the journal's lines of these events."""
        state = self.state
        for event, after, details in events:
            if event is None or self.starts:
                self.seq, self.starts = 0, False
                self.lines.append(ENCODE(start(LOGOFF, state.holder, after if event is None else before)))
            if event is not None:
                self.seq += 1
                more = "".join([f',"{key}":{ENCODE(value)}' for key, value in details.items() if value])
                self.lines.append(f'{state.journal_head}{self.seq},"event":"{event}"{more}}}')
            before = after


_Event = tuple[str | None, Configuration, dict[str, object]]
"""An event, the configuration after it, and its details; None is a new start in this configuration."""


class PendingStep:
    """What a task decides on: a copy of its store's session as it will be, and the transaction.

    A task fires its events first and changes messages afterwards: if it raises one of the refusals, its events are
    undone.  `fresh` are the ids of the messages that were submitted in this batch.  `after_commit` holds the calls to
    make when the steps are taken.  `answer` computes the task's result when the whole batch is done, if it is not known
    before.
    """

    __slots__ = ("_leaves", "after_commit", "answer", "events", "fresh", "handle", "session", "state", "tx")

    def __init__(self, place: _Place, tx: Transaction) -> None:
        self.session, self.fresh, self.state, self.handle = place.session, place.fresh, place.state, place.state.handle
        self.tx = tx
        self._leaves: tuple[int | None, int | None] | None = None
        self.events: list[_Event] = []
        self.after_commit: list[Callable[[], object]] = []
        self.answer: Callable[[], Any] | None = None

    def fire(self, event: str, **details: object) -> None:
        """Let the event happen; `details` are written into the journal with it.  Raise Refused if it is not legal.

        The step that releases the store also leaves it, in the same transaction, after the task's changes of messages.
        """
        session = self.session
        state, ready, deferred, peers = session.state, session.ready, session.deferred, session.peers
        session.fire(event)
        self.events.append((event, session.configuration, details))
        if session.state != state and session.complete:
            if not peers:
                self._leaves = session.ready, session.deferred
            elif session.outbound == 0 and event.startswith(("logoff", "release", "peer")):
                self._leaves = ready, deferred
            else:
                self._leaves = None, None
            news = News("peers", frozenset((self.handle.number,)))
            self.after_commit.append(lambda: self.state.storage.ring(news))

    def finish(self) -> None:
        """Leave the store if the step has released it; what is changed later is the others'."""
        if self._leaves is not None:
            self.tx.leave(self.handle, *self._leaves)

    def admit(self, event: str, **details: object) -> None:
        """Like `fire`, for new work.  Raise StoreClosing if the store takes none."""
        try:
            self.fire(event, **details)
        except Refused as refusal:
            raise StoreClosing(f"the store is closing: {refusal.verdict.reason}") from refusal

    def gain(self, ready: int, deferred: int, why: str) -> None:
        """Count so many messages more, which came into our parts.  Only for a store that takes new work.

        Deferred messages, and very many ready ones, have no events: the journal starts anew with them.
        """
        if ready <= MANY:
            for _ in range(ready):
                self.fire("submit", why=why)
            ready = 0
        if ready or deferred:
            state, request, inbound, outbound, were_ready, were_deferred, peers = self.session.configuration
            after = (state, request, inbound, outbound, were_ready + ready, were_deferred + deferred, peers)  # type: ignore[operator]
            self.session.compiled().write(self.session, after)
            self.events.append((None, after, {"why": why}))


class _Task(Generic[T]):
    __slots__ = (
        "answer", "ask", "context", "decide", "error", "future", "opens", "patient", "state", "step", "value", "what",
    )  # fmt: skip

    def __init__(
        self, state: Member | None, decide: Callable[[PendingStep], T] | None, what: str, *, ask: Ask | None = None,
        patient: bool = False, opens: tuple[Handle, Callable[[Look], T]] | None = None,
    ) -> None:  # fmt: skip
        self.state, self.decide, self.what = state, decide, what
        self.ask, self.patient, self.opens = ask, patient, opens
        self.future: Future[T] = Future()
        self.context = copy_context()
        self.step: PendingStep | None = None
        self.answer: Callable[[], T] | None = None
        self.value: T
        self.error: BaseException | None = None


class _Batch:
    """Tasks on their way through a transaction; `steps` are their steps, and those of the claims, in order."""

    __slots__ = ("began", "places", "steps", "tasks")

    def __init__(self, tasks: Sequence[_Task[Any]]) -> None:
        self.tasks = tasks
        self.places: dict[Member, _Place] = {}
        self.steps: list[tuple[_Task[Any] | None, PendingStep]] = []
        self.began = False

    def place(self, state: Member) -> _Place:
        place = self.places.get(state)
        if place is None:
            place = self.places[state] = _Place(state)
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
        self._queue: SimpleQueue[_Task[Any] | None] = SimpleQueue()
        self._backlog: deque[_Task[Any]] = deque()
        self._open = self._closed = False
        self._close_lock = RLock()
        self._owner: int | None = None
        self._in_doubt: _Batch | None = None
        self._under_way: Sequence[_Task[Any]] = ()
        self._since: float | None = None
        """When the storage was last asked something that it has not answered yet."""
        self._failing: tuple[float, str] | None = None
        self._patient_until: float | None = None
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
        return self._schedule(_Task(state, decide, what, ask=ask, patient=patient))

    def open(self, handle: Handle, opened: Callable[[Look], T]) -> Future[T]:
        """Open a store; the result is what `opened` makes of the look at it, after the commit."""
        return self._schedule(_Task(None, None, f"opening {handle.name}", opens=(handle, opened)))

    def _schedule(self, task: _Task[T]) -> Future[T]:
        if self._storage.durable:
            with self._close_lock:
                if not self._closed:
                    if self._thread is None:
                        self._thread = Thread(target=self._serve, name="fsm store", daemon=True)
                        self._thread.start()
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
        name, tasks = self._storage, [*self._under_way]
        with suppress(Empty):
            while True:
                if (task := self._queue.get_nowait()) is not None:
                    tasks.append(task)
                    self._clock.resume()
        self._queue.put(None)
        problem = f"{name} does not answer, and the store was let go: the change may have been made"
        for task in tasks:
            with suppress(InvalidStateError):
                task.future.set_exception(StorageError(problem, busy=True, certain=False))

    # ------------------------------------------------------------------------------------------------- the thread

    def _serve(self) -> None:
        try:
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
                    break
        finally:
            if self._open:
                self._since, self._under_way = monotonic(), (_Task(None, None, "closing"),)
                self._storage.close()
                self._since, self._under_way = None, ()
            with suppress(InvalidStateError):
                self._done.set_result(None)
            self._clock.resume()

    def _batch(self, tasks: list[_Task[Any]]) -> None:
        tasks = [task for task in tasks if task.future.set_running_or_notify_cancel()]
        if not tasks:
            return
        self._under_way = tasks
        try:
            self._run(tasks)
            self._under_way = ()
            self._resolve(tasks)
        except BaseException as error:  # a mistake of ours: the stores go on, and nobody waits for ever
            log.exception("a batch could not be decided", extra=about(self._storage))
            for task in tasks:
                with suppress(InvalidStateError):
                    task.future.set_exception(error)
        finally:
            self._under_way = ()

    def _run(self, tasks: list[_Task[Any]]) -> None:
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
            tasks: list[_Task[Any]] = [
                _Task(one, lambda _: None, "registering again", ask=Ask(one.handle)) for one in self._stores()
            ]
            self._take_steps(self._commit(tasks, claims=False, revives=True))
        except Exception as error:
            log.warning("%s: cannot register again: %s", self._storage, error, extra=about(self._storage))

    def _failed(self, tasks: list[_Task[Any]], error: Exception) -> None:
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

    def _fail(self, tasks: Sequence[_Task[Any]], error: BaseException) -> None:
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
            task: _Task[None] = _Task(None, None, "settling what is in doubt")
            task.value = None
            self._schedule(task)

    # -------------------------------------------------------------------------------------------- the transaction

    def _commit(
        self, tasks: Sequence[_Task[Any]], *, claims: bool | Iterable[Member] = True, revives: bool = False
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
        asking: dict[Member, tuple[_Task[Any], Ask]] = {}
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

    def _decide(self, batch: _Batch, task: _Task[Any], tx: Transaction) -> None:
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

    def _claim(self, tx: Transaction, places: Sequence[_Place]) -> Iterator[PendingStep]:
        """Claim messages for those who wait: new ones, those of our parts, and those of others."""
        own: list[tuple[_Place, PendingStep, int]] = []
        theirs: list[tuple[_Place, PendingStep, int]] = []
        steps: list[tuple[_Place, PendingStep, Configuration]] = []
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

    def _resolve(self, tasks: Sequence[_Task[Any]]) -> None:
        for task in tasks:
            if task.error is None and task.answer is not None and task.opens is not None:
                self._answer(task)
        last = {task.state: task for task in tasks if task.state is not None}
        with self._lock:
            for state, error in self._dispatch(last):
                last[state].error = error
        for task in tasks:
            if task.error is None and task.answer is not None and task.opens is None:
                self._answer(task)
            with suppress(InvalidStateError):  # nobody waits for it any more
                if task.error is not None:
                    task.future.set_exception(task.error)
                else:
                    task.future.set_result(task.value)

    def _answer(self, task: _Task[Any]) -> None:
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
