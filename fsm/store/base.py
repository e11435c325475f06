"""What the two kinds of store share: how a store is made, and what can be read of it without waiting.

`sync.py` (threads) and `aio.py` (asyncio) add what waits.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Final, NoReturn, Self, TypeVar

from fsm.logoff.flags import Logoff, LogoffStatus
from fsm.logoff.session import StoreSession
from fsm.store.clock import Clock
from fsm.store.core import Options, StoreCore
from fsm.store.in_flight import Blocker, Item
from fsm.store.log import about
from fsm.store.observer import Observer, told
from fsm.store.outcome import Outcome, Progress, SpoolerOutcome
from fsm.store.plan import DEFAULT, Plan, PlanStep
from fsm.store.process import until_exit
from fsm.store.retry import Retry
from fsm.store.shutdown import Shutdown
from fsm.store.spooler import Opened, SpoolerCore, together
from fsm.store.state import StoreState
from fsm.store.storage import Policy, Storage

__all__ = ["BaseSpooler", "BaseStore"]

ItemT = TypeVar("ItemT", bound=Item)
log: Final = logging.getLogger("fsm.store")
AT_EXIT: Final = 2.0
"""Seconds for which a program that ends waits for stores that were left open."""


class BaseStore:
    """A store that moves messages.

    `storage` is where the messages are kept: a `Database`, or in memory if it is left out (the outcome then hands back
    what is in the queue at the end).  `name` appears in the log.  Without the `default_inbox`, NO_WAIT and PURGE stop
    what is coming in.  `uncertain` is the policy for messages of which nobody can tell whether they arrived: "resend"
    or "hold".  `retry` is the schedule for deferred messages.  Raise StorageError if the storage cannot be opened.
    """

    _opened: Opened | None = None
    _spooler: SpoolerCore
    _opening: Future[Opened] | None
    """The opening under way, or that has failed; None once the store is open."""
    _name: str
    _alone = False
    """True if the store is the only one of its spooler, which ends with it."""

    def __init__(
        self, storage: Storage | None = None, *, name: str = "store", default_inbox: bool = True,
        uncertain: Policy = "resend", retry: Retry | None = None, clock: Clock | None = None,
    ) -> None:  # fmt: skip
        options = Options(default_inbox, uncertain, Retry() if retry is None else retry)
        spooler = SpoolerCore(storage, clock if clock is not None else self._default_clock())
        self._alone = True
        self._begin(spooler, spooler.storage.store, options, name)

    @classmethod
    def _of(cls, spooler: SpoolerCore, name: str, options: Options) -> Self:
        """Return the store of this name, which is being opened."""
        store = cls.__new__(cls)
        store._begin(spooler, name, options, name)
        return store

    def _begin(self, spooler: SpoolerCore, name: str, options: Options, label: str) -> None:
        self._spooler, self._name = spooler, label
        self._starting: set[int] = set()
        """The threads that start something and do not wait for it yet."""
        until_exit(self, f"the store {label!r}", BaseStore._left_open)
        self._opening = opening = spooler.open(name, options, label)
        opening.add_done_callback(self._has_opened)

    def _has_opened(self, done: Future[Opened]) -> None:
        if not done.cancelled() and done.exception() is None:
            self._opened = done.result()
            self._opening = None
        elif self._alone:
            self._spooler.close()

    def _default_clock(self) -> Clock:
        raise NotImplementedError

    @property
    def _all(self) -> Opened:
        """The open store.  Whoever looks at a store that is just being opened waits for that; StorageError."""
        return opening.result() if (opening := self._opening) is not None else self._open_now

    @property
    def _open_now(self) -> Opened:
        assert self._opened is not None
        return self._opened

    @property
    def _core(self) -> StoreCore:
        return self._all.core

    @property
    def _state(self) -> StoreState:
        return self._all.core.state

    @property
    def _shutdown(self) -> Shutdown:
        return self._all.shutdown

    def prepare_item(self, item: ItemT) -> ItemT:
        """Return a new item before it is given to the program.  A subclass may override this to observe items."""
        return item

    def _abandon(self, item: Item | None) -> None:
        if item is not None:
            self._core.abandon(item)

    def _event(self, flag: Logoff) -> str:
        if not isinstance(flag, Logoff):
            raise TypeError(f"logoff takes one of {', '.join(map(str, Logoff))}, not {flag!r}")
        return f"logoff_{flag.name.lower()}"

    # --------------------------------------------------------------------------------------------- how it stands

    @property
    def name(self) -> str:
        """The name it was given, as in the log."""
        return self._name

    @property
    def session(self) -> StoreSession:
        """The session, to look at and to `listen` to.  Only the store may trigger it.

        Listeners are called after a step is durable, in the thread that recorded it; they must not wait for the store.
        """
        return self._state.session

    @property
    def holder(self) -> str:
        """The id of this opening of the store: in the registry, and as the session's name in the journal."""
        return self._state.holder

    @property
    def clock(self) -> Clock:
        """The clock that the store uses."""
        return self._state.clock

    @property
    def state(self) -> str:
        """`open`, `draining`, `blocked` or `released`."""
        return self._state.session.state

    @property
    def request(self) -> Logoff | None:
        """The flag of the logoff under way, or that was granted."""
        return self._state.session.request

    @property
    def status(self) -> LogoffStatus:
        """The output flags."""
        return self._state.session.status

    @property
    def accepting(self) -> bool:
        """True while new work is accepted; otherwise submitting and receiving raise StoreClosing."""
        return self._state.session.accepting

    @property
    def in_service(self) -> bool:
        """What a readiness probe should answer: False as soon as closing begins, before anything is refused."""
        return self._shutdown.in_service

    @property
    def closed(self) -> bool:
        """True once the store was let go."""
        return self._state.closed

    @property
    def current_step(self) -> PlanStep | None:
        """The present step of the plan by which the store is being closed; None without a plan."""
        return self._shutdown.step

    @property
    def counters(self) -> Mapping[str, int]:
        """What happened since the store was opened, by the names in `fsm.store.state.COUNTERS`."""
        return self._state.counted()

    def blockers(self) -> tuple[Blocker, ...]:
        """Return what is in flight, by name, the longest first; and the storage, while it does not answer or fails."""
        return self._core.blockers()

    def progress_now(self) -> Progress:
        """Return how the store stands, all of it at one moment."""
        return self._shutdown.progress()

    # ------------------------------------------------------------------------------------------ without waiting

    def subscribe(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Call this after every change; return a function that ends the subscription.

        The callback runs with the store's lock held, in whatever thread made the change: it must neither wait nor call
        anything that waits for the store.
        """
        return self._state.subscribe(callback)

    def begin_closing(self, plan: Plan | str | None = None) -> Future[Outcome]:
        """Start closing by a plan, as `close` does, without waiting; return a future for the outcome.

        Cancelling the future ends the waiting, not the closing.  Raise ValueError for a plan that makes no sense.
        """
        return self._shutdown.begin(plan)

    def observe(self, observer: Observer | None) -> None:
        """Tell this observer of what is submitted, sent and closed from now on, instead of the one before."""
        if self._alone:
            self._spooler.observe(observer)
        else:
            self._state.observer = observer

    def _tell_sending(self, item: Item) -> None:
        """Tell the observer that the block of an item was entered."""
        observer = self._state.observer
        if observer is not None and item.message is not None:
            item.left = told(self.name, observer.sending, self.name, item)

    def next_step(self) -> None:
        """Begin the plan's next step now, as another signal does."""
        self._shutdown.next_step()

    def on_notice(self, callback: Callable[[], object]) -> None:
        """Call this when closing begins, after readiness has flipped and before anything is refused."""
        self._shutdown.on_notice.append(callback)

    def on_released(self, callback: Callable[[], object]) -> None:
        """Call this, once, when the store is released, in whatever thread that happens.

        (A listener of the session is called, too; but a session with listeners takes every step more slowly.)
        """
        self._shutdown.on_released.append(callback)

    def _let_go(self) -> Future[None]:
        """Stop holding the store; the future is done when its storage knows, or will not."""
        opened = self._all
        done = self._spooler.let_go(opened)
        opened.core.state.notify()
        return done

    def _left_open(self) -> None:
        """Let the store go, because the interpreter exits."""
        if self._alone and self._opened is not None and not self._spooler.closing:
            if not self._state.ended:
                lost = "" if self._state.storage.durable else ", and what is in its queue is lost"
                problem = "the program ends, and the store is still open%s; close it before, as `with` does: %s"
                log.warning(f"%s: {problem}", self.name, lost, self.progress_now(), extra=about(self.name))
            self._spooler.commit.wait(self._spooler.close(), AT_EXIT)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a store cannot be pickled: open one in each process, on the same database")

    def __repr__(self) -> str:
        if self._opened is None:
            return f"<{type(self).__name__} {self.name}: not open>"
        return f"<{type(self).__name__} {self.name}: {self.session.chart.describe(self.session.configuration)}>"


class BaseSpooler:
    """Many stores in one storage: a `Database`, or in memory if it is left out.

    All of them share one connection for writing, one committing thread and one watcher.
    """

    def __init__(self, storage: Storage | None = None, *, clock: Clock | None = None) -> None:
        self._core = SpoolerCore(storage, clock if clock is not None else self._default_clock())
        until_exit(self, f"the spooler of {self._core.storage}", BaseSpooler._left_open)

    def _default_clock(self) -> Clock:
        raise NotImplementedError

    @property
    def name(self) -> str:
        """The name of its storage, as in the log."""
        return str(self._core.storage)

    @property
    def clock(self) -> Clock:
        """The clock that the stores use."""
        return self._core.clock

    @property
    def names(self) -> Sequence[str]:
        """The names of the open stores, in the order in which they were opened."""
        return tuple(self._core.stores)

    @property
    def in_service(self) -> bool:
        """What a readiness probe should answer: False as soon as closing begins."""
        return not self._core.closing

    @property
    def blockers(self) -> Mapping[str, tuple[Blocker, ...]]:
        """What is in flight, by the name of its store; stores in which nothing is are left out."""
        found = ((name, one.core.blockers()) for name, one in self._core.all_open())
        return {name: blockers for name, blockers in found if blockers}

    @property
    def current_step(self) -> PlanStep | None:
        """The present step of the plan by which all stores are being closed; None without a plan."""
        with self._core.lock:
            closing = next(iter(self._core.being_closed.values()), None)
            return closing.shutdown.step if closing is not None else None

    def progress_now(self) -> Progress:
        """Return how all stores stand together, at one moment.

        What they count is added up; `state` is that of the store that has the longest way to go, and an item in flight
        is named with its store.
        """
        core = self._core
        with core.lock:
            closing = next(iter(core.being_closed.values()), None)
            return together(core.stores, closing.shutdown if closing is not None else None, in_service=self.in_service)

    def progress_of_stores(self) -> Mapping[str, Progress]:
        """Return how each store stands, by name."""
        return {name: one.shutdown.progress() for name, one in self._core.all_open()}

    def subscribe(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Call this after every change of any store; return a function that ends the subscription.

        The callback must not wait; see `Store.subscribe`.
        """
        return self._core.subscribe(callback)

    def begin_closing(self, plan: Plan | str | None = None) -> Future[SpoolerOutcome]:
        """Start closing all stores by a plan, without waiting; return a future for the outcome.

        Nothing new begins in any store before the flag of the plan's first step was asked of all.  Raise ValueError for
        a plan that makes no sense.
        """
        chosen = Plan.parse(plan) if isinstance(plan, str) else plan or DEFAULT
        return self._core.close_all(chosen)

    def observe(self, observer: Observer | None) -> None:
        """Tell this observer of what happens in each store, also in those that are opened later; see `Store.observe`.

        It is told the store's name.
        """
        self._core.observe(observer)

    def next_step(self) -> None:
        """Begin the plan's next step now, in all stores, as another signal does."""
        for _, one in self._core.all_open():
            one.shutdown.next_step()

    def _left_open(self) -> None:
        """Let the stores go, because the interpreter exits."""
        core = self._core
        if (names := [name for name, one in core.all_open() if not one.core.state.ended]) and not core.closing:
            more = f" and {len(names) - 5:,} more" if len(names) > 5 else ""
            lost = "" if core.storage.durable else ", and what is in their queues is lost"
            problem = "the program ends, and stores are still open (%s%s)%s; close the spooler before, as `with` does"
            log.warning(f"%s: {problem}", core.storage, ", ".join(names[:5]), more, lost, extra=about(core.storage))
        core.commit.wait(core.close(), AT_EXIT)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a spooler cannot be pickled: open one in each process, on the same database")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self._core.stores)} stores in {self._core.storage}>"
