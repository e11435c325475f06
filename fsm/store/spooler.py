"""The spooler: many stores in one storage, with one committing thread, one watcher and one reader for all of them.

Theory.
1. The stores share a group commit, so what happens in all of them at the same time is one transaction.  What fails in
   one store, a listener or a message, is that store's alone.
2. The storage tells what other processes have done; each store that is concerned looks for itself, many in one batch.
3. Reading happens in a thread of its own, so that neither a loop nor a caller is stopped by a lost server for longer
   than it wants to be.
4. All threads are daemons: none keeps the program alive.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from queue import SimpleQueue
from threading import RLock, Thread
from typing import Final, TypeVar

from fsm.logoff.chart import LOGOFF
from fsm.logoff.flags import LogoffStatus
from fsm.store.clock import Clock
from fsm.store.core import Options, StoreCore
from fsm.store.errors import StorageError, StoreClosing
from fsm.store.group_commit import GroupCommit
from fsm.store.in_flight import Blocker
from fsm.store.log import about
from fsm.store.memory import MemoryStorage
from fsm.store.observer import Observer
from fsm.store.outcome import Outcome, Progress, SpoolerOutcome
from fsm.store.plan import Plan
from fsm.store.shutdown import Shutdown
from fsm.store.state import COUNTERS, StoreState
from fsm.store.step import Member, PendingStep
from fsm.store.storage import Handle, Look, News, Storage

__all__ = ["Opened", "SpoolerCore", "together"]

T = TypeVar("T")
log: Final = logging.getLogger("fsm.store")


class Opened:
    """An open store of a spooler: its core and its closing."""

    __slots__ = ("core", "shutdown")

    def __init__(self, core: StoreCore) -> None:
        self.core, self.shutdown = core, Shutdown(core)


class SpoolerCore:
    """The stores of a storage, without a way to wait.  All methods may be called from any thread."""

    def __init__(self, storage: Storage | None, clock: Clock) -> None:
        if storage is not None and not callable(getattr(storage, "transaction", None)):
            raise TypeError(f"a store is kept in a storage such as Database('store.db'), not in {storage!r}")
        self.storage: Storage = storage if storage is not None else MemoryStorage()
        self.clock = clock
        self.lock: Final = RLock()
        self.stores: dict[str, Opened] = {}
        """The open stores by name."""
        self.closing = False
        self.commit = GroupCommit(
            self.storage, lock=self.lock, clock=clock, dispatch=self._dispatch, opened=self._watch, stores=self._states
        )
        self.being_closed: dict[str, Opened] = {}
        """The stores whose closing, together with all others, has not ended."""
        self._by_number: dict[int, Opened] = {}
        self._subscribers: tuple[Callable[[], object], ...] = ()
        self._opening: set[str] = set()
        self._reads: SimpleQueue[Callable[[], object] | None] | None = None
        self.observer: Observer | None = None
        self._closed = False
        """True once the reader has been told to end."""

    # ------------------------------------------------------------------------------------------- opening, letting go

    def open(self, name: str, options: Options, label: str) -> Future[Opened]:
        """Open a store; `label` is its name in the log.  StorageError if that is impossible; StoreClosing."""
        with self.lock:
            if self.closing:
                raise StoreClosing("the spooler is closing and opens no more stores")
            if name in self.stores or name in self._opening:
                raise StorageError(f"the store {name!r} is open already in this spooler; use that one")
            self._opening.add(name)
        handle = Handle(name, options.uncertain)
        future = self.commit.open(handle, lambda look: self._opened(handle, look, options, label))
        future.add_done_callback(lambda done: self._not_opened(name, done))
        return future

    def _opened(self, handle: Handle, look: Look, options: Options, label: str) -> Opened:
        if look.lapsed:
            log.warning(
                "%s: %d messages were being sent when their process ended", label, len(look.lapsed),
                extra=about(label),
            )  # fmt: skip
        state = StoreState(
            self.storage, self.clock, self.lock, handle, look, name=label, default_inbox=options.default_inbox
        )
        if look.lapsed:
            state.counters["lapsed"] = len(look.lapsed)
        opened = Opened(StoreCore(state, self.commit, options.retry))
        with self.lock:
            state.observer = self.observer
            self.stores[handle.name] = self._by_number[handle.number] = opened
            self._opening.discard(handle.name)
            opened.core.deferred.arm()
            for callback in self._subscribers:
                state.subscribe(callback)
        self.storage.ring(News("peers", frozenset((handle.number,))))
        return opened

    def _not_opened(self, name: str, done: Future[Opened]) -> None:
        if done.cancelled() or done.exception() is not None:
            with self.lock:
                self._opening.discard(name)

    def let_go(self, opened: Opened) -> Future[None]:
        """Stop holding a store: nobody gets its messages any longer, and what is being sent counts as uncertain."""
        core, state = opened.core, opened.core.state
        done: Future[None] = Future()
        with self.lock:
            if state.closed:
                done.set_result(None)
                return done
            state.closed = True
            core.dispatch()

            def gone(_: object = None) -> None:
                with self.lock:
                    self.stores.pop(state.handle.name, None)
                    self._by_number.pop(state.handle.number, None)
                done.set_result(None)

            if state.session.complete and not state.items:  # it has left, and has no claims
                gone()
            else:
                self.commit.enqueue(state, partial(_leave, state), gone, f"letting {state.name} go")
        return done

    @property
    def over(self) -> bool:
        """True if a plan for each store has run to its end, or there are none."""
        return all(one.shutdown.over or one.core.state.ended for _, one in self.all_open())

    def all_open(self) -> list[tuple[str, Opened]]:
        """Return the open stores and their names."""
        with self.lock:
            return list(self.stores.items())

    def subscribe(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Call this after every change of any store; return a function that ends the subscription."""
        with self.lock:
            self._subscribers = (*self._subscribers, callback)
            for one in self.stores.values():
                one.core.state.subscribe(callback)

        def unsubscribe() -> None:
            with self.lock:
                self._subscribers = tuple(one for one in self._subscribers if one != callback)
                for one in self.stores.values():
                    one.core.state.unsubscribe(callback)

        return unsubscribe

    def observe(self, observer: Observer | None) -> None:
        """Let this observer hear of all stores."""
        with self.lock:
            self.observer = observer
            for one in self.stores.values():
                one.core.state.observer = observer

    def close_all(self, plan: Plan) -> Future[SpoolerOutcome]:
        """Close all stores by this plan; no more are opened from now on."""
        done: Future[SpoolerOutcome] = Future()
        began = self.clock.monotonic()
        with self.lock:
            self.closing = True
            stores = list(self.stores.items())
            self.being_closed.update(stores)
            left = len(stores)
        outcomes: dict[str, Outcome] = {}

        def finish() -> None:
            outcome = SpoolerOutcome({name: outcomes[name] for name, _ in stores}, self.clock.monotonic() - began)
            level = logging.INFO if outcome else logging.WARNING
            log.log(level, "%s: %s", self.storage, outcome, extra=about(self.storage))
            if done.set_running_or_notify_cancel():
                done.set_result(outcome)

        def ended(name: str, outcome: Outcome) -> None:
            nonlocal left
            with self.lock:
                outcomes[name] = outcome
                self.being_closed.pop(name, None)
                left -= 1
                last = not left
            if last:
                finish()

        if not stores:
            finish()
        for _, one in stores:
            one.shutdown.announce(plan)
        for name, one in stores:
            one.shutdown.run(plan, partial(ended, name))
        return done

    def close(self) -> Future[None]:
        """Let all stores go, and close the storage; the future is done after that."""
        with self.lock:
            self.closing = True
            stores = list(self.stores.values())
        for one in stores:
            self.let_go(one)
        with self.lock:
            self._closed = True
            if self._reads is not None:
                self._reads.put(None)
        return self.commit.close()

    # ------------------------------------------------------------------------------------------------------- reading

    def read(self, job: Callable[[], T]) -> Future[T]:
        """Do this in the reader, so that nobody who does not want to waits for the storage.

        StorageError if a durable storage was closed.
        """
        future: Future[T] = Future()
        self.clock.pause()
        future.add_done_callback(lambda _: self.clock.resume())

        def run() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(job())
                except BaseException as error:
                    future.set_exception(error)

        if not self.storage.durable:
            run()
            return future
        with self.lock:
            if self._closed:
                future.set_exception(StorageError(f"{self.storage} is not open: its stores were let go"))
                return future
            if self._reads is None:
                self._reads = SimpleQueue()
                Thread(target=_serve, args=(self._reads,), name="fsm read", daemon=True).start()
            self._reads.put(run)
        return future

    # ------------------------------------------------------------------------------------------- what others have done

    def _states(self) -> list[StoreState]:
        with self.lock:
            return [one.core.state for one in self.stores.values()]

    def _watch(self) -> None:
        self.storage.watch(self._heard)

    def _heard(self, news: News) -> None:
        """Called by the storage, in its own thread, when another process has rung, come, or gone."""
        with self.lock:
            if news.stores is None:
                concerned = list(self.stores.values())
            else:
                concerned = [self._by_number[number] for number in news.stores if number in self._by_number]
        if news.stores is None and concerned:
            handles = [one.core.state.handle for one in concerned]
            changed = self.storage.survey(handles, [one.core.state.session.peers for one in concerned])
            concerned = [one for one in concerned if one.core.state.handle.number in changed]
        for one in concerned:
            if news.kind == "peers" or news.stores is None:
                one.core.peers.refresh()
            elif news.kind == "taken":
                one.core.peers.noted()
                continue
            with self.lock:
                one.core.state.peers_may_have_mail = True
                one.core.claims.dispatch()

    def _dispatch(self, states: Iterable[Member]) -> list[tuple[Member, BaseException]]:
        interruptions: list[tuple[Member, BaseException]] = []
        for state in states:
            opened = self.stores.get(state.handle.name)
            if opened is None or opened.core.state is not state:
                continue
            try:
                opened.core.dispatch()
            except Exception:  # the callers get their results all the same
                log.exception("%s: dispatching after a commit failed", state.name, extra=about(state.name))
            except BaseException as error:  # of a callback: it is for who has caused it
                interruptions.append((state, error))
        return interruptions


def together(stores: Mapping[str, Opened], closing: Shutdown | None, *, in_service: bool) -> Progress:
    """Return how these stores stand together; `closing` is the shutdown of one that is being closed.  With the lock."""
    counts, counters = [0] * 5, Counter[str]()
    peers, status, request = 0, LogoffStatus(0), None
    found, blockers, storage = set[str](), list[Blocker](), None
    for name, one in stores.items():
        state, session = one.core.state, one.core.state.session
        now = (session.inbound, session.outbound, session.ready, session.deferred, state.set_aside)
        counts = [a + b for a, b in zip(counts, now, strict=True)]
        peers, status, request = max(peers, session.peers), status | session.status, request or session.request
        counters.update(state.counters)
        found.add(session.state)
        if state.items or not state.ended:
            for blocker in one.core.blockers():
                if blocker.direction == "storage":
                    storage = blocker
                else:
                    blockers.append(replace(blocker, id=f"{name}/{blocker.id}"))
    blockers.sort(key=lambda one: -one.age)
    step = closing.progress() if closing is not None else None
    inbound, outbound, ready, deferred, held = counts
    return Progress(
        next((one.name for one in LOGOFF.states if one.name in found), LOGOFF.states[0].name), request, status,
        inbound, outbound, ready, deferred, held, peers, step.step if step else None, step.next_step if step else None,
        step.time_left if step else None, (*blockers, *([storage] if storage else ())),
        {name: counters[name] for name in COUNTERS}, in_service,
    )  # fmt: skip


def _leave(state: StoreState, step: PendingStep) -> None:
    """Give up the parts of a store and the claims in it."""
    session, tx, handle = step.session, step.tx, step.handle
    if not session.complete:
        tx.leave(handle, session.ready, session.deferred)
    if state.items or state.lapses:
        tx.lapse(handle)
    step.tell("peers")


def _serve(jobs: SimpleQueue[Callable[[], object] | None]) -> None:
    while (job := jobs.get()) is not None:
        job()
