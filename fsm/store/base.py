"""What both faces of a store share: how it is made, and what can be seen of it without waiting.

`sync.py` (threads) and `aio.py` (asyncio) add what waits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from fsm.logoff.flags import Logoff, LogoffStatus
from fsm.logoff.session import StoreSession
from fsm.store.clock import Clock
from fsm.store.core import Core
from fsm.store.in_flight import Blocker, Item
from fsm.store.retry import Retry
from fsm.store.shutdown import Closer
from fsm.store.storage import Policy, Storage

__all__ = ["BaseStore"]

F = TypeVar("F", bound=Item)


class BaseStore:
    """A store that moves messages.

    `storage` is where it keeps them: a `Database`, or in memory when it is left out (what is in the queue at the end is
    then handed back in the outcome).  `name` is for the log.  Without the `default_inbox`, NO_WAIT and PURGE stop what
    is coming in.  `uncertain` says what becomes of a message of which nobody can tell whether it arrived: "resend" or
    "hold".  `retry` is when deferred messages are tried again.  StorageError when the storage cannot be opened.
    """

    def __init__(
        self,
        storage: Storage | None = None,
        *,
        name: str = "store",
        default_inbox: bool = True,
        uncertain: Policy = "resend",
        retry: Retry | None = None,
        clock: Clock | None = None,
    ) -> None:
        from fsm.store.memory import MemoryStorage

        if storage is not None and not callable(getattr(storage, "transaction", None)):
            raise TypeError(f"a store is kept in a storage such as Database('store.db'), not in {storage!r}")
        if retry is not None and not isinstance(retry, Retry):
            raise TypeError(f"retry is a Retry, such as Retry(first=60, factor=2, longest=3600), not {retry!r}")
        self._core = Core(
            storage if storage is not None else MemoryStorage(),
            clock if clock is not None else self._clock(),
            name=name,
            default_inbox=default_inbox,
            uncertain=uncertain,
            retry=retry or Retry(),
        )
        self._closer = Closer(self._core)

    def _clock(self) -> Clock:
        raise NotImplementedError

    def _item(self, item: F) -> F:
        item._store = self
        return item

    def _abandoned(self, item: Item | None) -> None:
        if item is not None:
            self._core.abandon(item)

    def _event(self, flag: Logoff) -> str:
        if not isinstance(flag, Logoff):
            raise TypeError(f"logoff takes one of {', '.join(map(str, Logoff))}, not {flag!r}")
        return f"logoff_{flag.name.lower()}"

    # --------------------------------------------------------------------------------------------- how it stands

    @property
    def session(self) -> StoreSession:
        """The session, to look at and to `listen` to.  Its steps are the store's to take: do not trigger it.

        Listeners are told after a step is durable, in the thread that recorded it; they may not wait for the store.
        """
        return self._core.session

    @property
    def holder(self) -> str:
        """The name of this opening of the store: in the registry, and of the session in the journal."""
        return self._core.holder

    @property
    def state(self) -> str:
        """`open`, `draining`, `blocked` or `released`."""
        return self._core.session.state

    @property
    def request(self) -> Logoff | None:
        """The flag of the logoff under way, or that was granted."""
        return self._core.session.request

    @property
    def status(self) -> LogoffStatus:
        """The output flags."""
        return self._core.session.status

    @property
    def in_service(self) -> bool:
        """What a readiness probe should answer: False as soon as closing begins, before anything is refused."""
        return self._closer.in_service

    @property
    def counters(self) -> Mapping[str, int]:
        """What happened since it was opened (`core.COUNTERS`)."""
        with self._core.lock:
            return dict(self._core.counters)

    def blockers(self) -> tuple[Blocker, ...]:
        """What is in flight, by name, the longest first."""
        return self._core.blockers()

    def next_step(self) -> None:
        """The plan's next step now: what another signal does."""
        self._closer.next_step()

    def on_notice(self, call: Callable[[], object]) -> None:
        """Call this when closing begins, after readiness has flipped and before anything is refused."""
        self._closer.on_notice.append(call)

    def on_released(self, call: Callable[[], object]) -> None:
        """Call this, once, when the store is released; from whatever thread that happens in.

        (A listener of the session would hear of it, too; but a session with listeners takes every step more slowly.)
        """
        self._closer.on_released.append(call)

    def let_go(self) -> None:
        """No longer hold the store: its storage is closed, and whoever waits for a message gets none.

        What is still being sent counts as uncertain from now on.  Doing it again does nothing.
        """
        self._core.close()
        self._core.tell()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._core.name}: {self.session.chart.describe(self.session.configuration)}>"
