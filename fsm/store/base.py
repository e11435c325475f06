"""What the two kinds of store share: how a store is made, and what can be read of it without waiting.

`sync.py` (threads) and `aio.py` (asyncio) add what waits.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Final, NoReturn, TypeVar

from fsm.logoff.flags import Logoff, LogoffStatus
from fsm.logoff.session import StoreSession
from fsm.store.clock import Clock
from fsm.store.core import StoreCore
from fsm.store.in_flight import Blocker, Item
from fsm.store.memory import MemoryStorage
from fsm.store.outcome import Outcome, Progress
from fsm.store.plan import Plan, PlanStep
from fsm.store.process import until_exit
from fsm.store.retry import Retry
from fsm.store.shutdown import Shutdown
from fsm.store.storage import Policy, Storage

__all__ = ["BaseStore"]

ItemT = TypeVar("ItemT", bound=Item)
log: Final = logging.getLogger("fsm.store")


class BaseStore:
    """A store that moves messages.

    `storage` is where the messages are kept: a `Database`, or in memory if it is left out (the outcome then hands back
    what is in the queue at the end).  `name` appears in the log.  Without the `default_inbox`, NO_WAIT and PURGE stop
    what is coming in.  `uncertain` is the policy for messages of which nobody can tell whether they arrived: "resend"
    or "hold".  `retry` is the schedule for deferred messages.  Raise StorageError if the storage cannot be opened.
    """

    def __init__(
        self, storage: Storage | None = None, *, name: str = "store", default_inbox: bool = True,
        uncertain: Policy = "resend", retry: Retry | None = None, clock: Clock | None = None,
    ) -> None:  # fmt: skip
        if storage is not None and not callable(getattr(storage, "transaction", None)):
            raise TypeError(f"a store is kept in a storage such as Database('store.db'), not in {storage!r}")
        if retry is not None and not isinstance(retry, Retry):
            raise TypeError(f"retry is a Retry, such as Retry(first=60, factor=2, longest=3600), not {retry!r}")
        self._core = StoreCore(
            storage if storage is not None else MemoryStorage(), clock if clock is not None else self._default_clock(),
            name=name, default_inbox=default_inbox, uncertain=uncertain, retry=retry or Retry(),
        )  # fmt: skip
        self._state = self._core.state
        self._shutdown = Shutdown(self._core)
        self._starting: set[int] = set()
        """The threads that start something and do not wait for it yet."""
        until_exit(self, f"the store {name!r}", BaseStore._left_open)

    def _default_clock(self) -> Clock:
        raise NotImplementedError

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
        return self._state.name

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
        with self._state.lock:
            return dict(self._state.counters)

    def blockers(self) -> tuple[Blocker, ...]:
        """Return what is in flight, by name, the longest first."""
        return self._state.blockers()

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

    def let_go(self) -> None:
        """Stop holding the store: close its storage, and give None to whoever waits for a message.

        What is still being sent counts as uncertain from now on.  Calling it again does nothing.
        """
        self._core.close()
        self._state.notify()

    def _left_open(self) -> None:
        """Let the store go, because the interpreter exits."""
        if not self._state.ended:
            lost = "" if self._state.storage.durable else ", and what is in its queue is lost"
            problem = "the program ends, and the store is still open%s; close it before, as `with` does: %s"
            log.warning(f"%s: {problem}", self.name, lost, self.progress_now())
        self.let_go()

    def __reduce__(self) -> NoReturn:
        raise TypeError("a store cannot be pickled: open one in each process, on the same database")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}: {self.session.chart.describe(self.session.configuration)}>"
