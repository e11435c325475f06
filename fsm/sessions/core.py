"""The sessions of a database in this process: one thread that commits what waits, and fires what is due.

Theory.
1. Requests wait in a queue.  The thread takes all that wait and commits them together, so that many of them share the
   cost of a commit; each is answered after the commit.  A failed commit has changed nothing, and all of them are told.
2. A request whose session is locked elsewhere (PostgreSQL) goes back into the queue, and is told to try again after
   `patience` seconds.  The others do not wait for it.
3. When something is due is read from an index, for the sessions of all processes; so whoever is alive fires it.  The
   thread knows the first of these times, and reads the index when it has come, when a process has come or gone, and
   when another one tells that it has set an earlier time.  In between it compares the clock every `TICK`, since that
   may have been set, and reads nothing.  An event is fired if it is still due when its session is locked; then it is
   not due any more.
4. After a commit the other processes are told, as those of the store are: followers look, and so do the stores that got
   messages.  What a caller's own transaction did on a SQLite file is told when the file can be written again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Generator, Iterable
from concurrent.futures import Future
from threading import Condition, Thread, current_thread
from typing import Final, Generic, TypeVar

from fsm.errors import SnapshotError
from fsm.session import Session
from fsm.sessions.answer import Answer
from fsm.sessions.errors import Conflict
from fsm.sessions.place import Place, check_event_id
from fsm.sessions.request import Due, Fire, Request
from fsm.sessions.sql.reading import Reader
from fsm.sessions.sql.runner import by_driver, by_query
from fsm.sessions.sql.schema import prepare
from fsm.sessions.sql.statements import Done, Kind, transact
from fsm.snapshot import Migrates
from fsm.store.errors import StorageError
from fsm.store.sql import Database
from fsm.store.sql.connect import is_sqlite
from fsm.store.sql.driver import Driver
from fsm.store.sql.notify import CHANNEL
from fsm.store.storage import News, Removed, Rows

__all__ = ["SessionsCore"]

S = TypeVar("S", bound=Session)
LOG: Final = logging.getLogger("fsm.sessions")
MOST: Final = 256
"""Requests in one transaction."""
TICK: Final = 0.5
"""Seconds between looks at the clock while something waits for its time."""
LATER: Final = 0.5
"""Seconds until what is due is read again after an error."""
SOON: Final = 0.05
"""Seconds until what is due is read again when its session is locked elsewhere."""
AGAIN: Final = 0.002
"""Seconds before sessions that are all locked elsewhere are tried again."""
GAP: Final = 0.01
"""Seconds between rings for the other processes."""
PATIENCE: Final = 0.25
"""For how much of the last commit's time the next one waits for as many requests as that one had."""
TRIM: Final = 64
"""Commits between looks for what is too old to be kept."""
NEVER: Final = float("inf")
STEPS: Final = News("steps", frozenset())
TIMES: Final = News("times", frozenset())
NOTIFY: Final = "SELECT pg_notify(:channel, :news)"
OLDEST: Final = f"SELECT number, at FROM fsm_session_steps ORDER BY number LIMIT {4 * TRIM * 4}"
FORGET: Final = "DELETE FROM fsm_session_steps WHERE number <= ?"


class SessionsCore(Generic[S]):
    """See `sync.Sessions`."""

    def __init__(
        self, database: Database, cls: type[S], migrations: Iterable[Migrates], keep: float, patience: float,
        clock: Callable[[], float],
    ) -> None:  # fmt: skip
        if not keep > 0:
            raise ValueError(f"keep is a number of seconds above 0, not {keep!r}")
        self.database, self.clock, self.patience = database, clock, patience
        self.chart = cls.chart
        self.postgresql = not is_sqlite(database.url)
        self.kind = Kind(cls, tuple(migrations), database.store, database.profile, self.postgresql)
        self._keep, self._commits = keep, 0
        self._timed = any(state.after for state in self.chart.states)
        self._queue: list[Request[S]] = []
        self._wake = Condition()
        self._closing = self._expecting = False
        self._stores = frozenset[int]()
        """Stores that got messages by a caller's own transaction."""
        self._patient = 0.0
        """Seconds for which the next commit waits for company."""
        self._untold: frozenset[int] | None = None
        """Stores that got messages of which the other processes are not told yet; None if there is nothing to tell."""
        self._ring_at = 0.0
        self._company = 0
        """Requests in the last transaction, if there were several: as many are likely to come again."""
        self._due = NEVER
        """The first time at which something is due, by `clock`, as far as this process knows."""
        self._look_at = time.monotonic()
        """When to read what is due, whatever is known."""
        self._earlier = False
        """Whether something is due earlier than the other processes know."""
        self._stuck: set[str] = set()
        """Keys of sessions in which something is due that cannot be loaded."""
        self.followers: set[Callable[[], object]] = set()
        """Called after each commit, from any thread."""
        database.open()
        try:
            prepare(database.url, patience)
            self.reader = Reader(database.url, patience)
            with database.transaction() as tx:
                tx.open(())  # removes processes that were killed
            database.watch(self._heard)
        except BaseException:
            database.close()
            raise
        self._thread = Thread(target=self._run, name="fsm sessions", daemon=True)
        self._thread.start()

    # ---------------------------------------------------------------------------------------------------- asking

    def ask(self, request: Request[S]) -> Future[Answer | None]:
        """Have a request committed; the future has its answer."""
        check_event_id(request.event_id)
        if not isinstance(request.key, str):
            raise TypeError(f"the key of a session is a text, not {request.key!r}")
        if current_thread() is self._thread:
            raise RuntimeError("a listener runs inside the step: it cannot wait for a commit; use session.post()")
        with self._wake:
            if self._closing:
                raise StorageError(f"the sessions in {self.database} were closed")
            self._queue.append(request)
            self._wake.notify()
        return request.future

    def over(self, request: Fire[S], connection: object) -> Generator[Rows | Awaitable[Rows], Rows, Answer]:
        """Take the steps of a request in the transaction that is under way on a caller's connection."""
        check_event_id(request.event_id)
        query = yield from self.database.over(connection, "nothing was changed")
        steps = transact(self.kind, [request], self.clock(), waits=True)
        done = yield from by_query(query, steps, postgresql=self.postgresql)
        if done.changed and self.postgresql:  # it is delivered when the transaction commits
            told = ["steps;"] + ["times;"] * (self._first(done) < NEVER) + [f"peers;{done.store}"] * bool(done.store)
            for news in told:
                yield query(NOTIFY, {"channel": CHANNEL, "news": f"0;{news}"})
        elif done.changed:
            self._expect(done.store)
        if request.failure is not None:
            raise request.failure
        assert request.answer is not None
        return request.answer

    def _expect(self, store: int) -> None:
        """Tell the others as soon as the file can be written again."""
        with self._wake:
            self._stores |= {store} - {0}
            self._expecting = True
            self._wake.notify()

    def load(self, key: str) -> Place[S]:
        """Return a session as it is stored now, to be changed and kept by `request.Keep`."""
        if not isinstance(key, str):
            raise TypeError(f"the key of a session is a text, not {key!r}")
        stored = self.reader.stored(self.chart.name, key)
        return Place(self.kind.cls, key, stored, (), self.kind.migrations, self.clock())

    def remember(self, place: Place[S], event_id: str | None) -> None:
        """Read what was answered under an event id, unless that is known."""
        check_event_id(event_id)
        if event_id is not None and place.loaded and event_id not in place.known:
            known = self.reader.known(self.chart.name, place.key, event_id)
            if known is not None:
                place.known[event_id] = known

    def close(self) -> None:
        """Commit what waits, and close the database."""
        with self._wake:
            if self._closing:
                return
            self._closing = True
            self._wake.notify()
        self._thread.join()
        self.reader.close()
        self.database.close()
        self._tell()

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._closing

    # -------------------------------------------------------------------------------------------------- the thread

    def _run(self) -> None:
        while (waiting := self._next()) is not None:
            batch, expecting = waiting
            if batch or expecting:
                self._commit(batch, expecting)
            if self._timed and not self._closing and (time.monotonic() >= self._look_at or self.clock() >= self._due):
                self._find_due()
            if self._untold is not None and time.monotonic() >= self._ring_at:
                self._ring()
        if self._untold is not None:
            self._ring()

    def _next(self) -> tuple[list[Request[S]], bool] | None:
        """Wait for something to do; return the requests, and whether a caller's transaction has to be told of."""
        with self._wake:
            while not (self._queue or self._closing or self._expecting):
                left = self._left()
                if left <= 0:
                    break
                self._wake.wait(left if left < NEVER else None)
            if len(self._queue) < self._company and not self._closing:
                self._wake.wait_for(lambda: len(self._queue) >= self._company or self._closing, self._patient)
            self._company = len(self._queue) if len(self._queue) > 1 else 0
            batch, self._queue = self._queue[:MOST], self._queue[MOST:]
            expecting, self._expecting = self._expecting, False
            return None if self._closing and not batch else (batch, expecting)

    def _left(self) -> float:
        """Return the seconds until there is something to do that nobody asks for, or to look at the clock."""
        left = self._ring_at - time.monotonic() if self._untold is not None else NEVER
        if self._timed:
            left = min(left, self._look_at - time.monotonic())
            left = min(left, TICK, self._due - self.clock()) if self._due < NEVER else left
        return left

    def _commit(self, batch: list[Request[S]], expecting: bool) -> None:
        try:
            done = self._transaction(batch)
        except BaseException as error:  # the thread has to survive every error
            if expecting:
                with self._wake:
                    self._expecting = True
            for request in batch:
                ended = RuntimeError(f"the commit was ended: {error!r}")
                request.failure = error if isinstance(error, Exception) else ended
                request.settle()
            return
        locked = set(map(id, done.locked))
        stores = frozenset((done.store,)) if done.store else frozenset[int]()
        if expecting:
            with self._wake:
                stores, self._stores = stores | self._stores, frozenset()
        if done.changed or expecting:
            self._untold = stores | (self._untold or frozenset())
        if expecting:  # what the caller's transaction has set is not known here
            self._earlier, self._look_at = True, time.monotonic()
        first = self._first(done)
        if first < self._due or (first < NEVER and self.clock() >= self._due):  # they may have looked at that time
            self._earlier, self._due = True, min(self._due, first)
        for request in batch:
            if id(request) not in locked:
                request.settle()
        if done.locked:
            self._put_back(done.locked, alone=len(done.locked) == len(batch))
        if done.changed or expecting:
            self._tell()

    def _ring(self) -> None:
        """Tell the other processes, at most every `GAP`: a ring may cost more than a commit."""
        stores, self._untold = self._untold, None
        self._ring_at = time.monotonic() + GAP
        self.database.ring(STEPS)
        if self._timed and self._earlier:
            self._earlier = False
            self.database.ring(TIMES)
        if stores:
            self.database.ring(News("peers", stores))

    def _transaction(self, batch: list[Request[S]]) -> Done[S]:
        try:
            return self._once(batch)
        except Removed:  # another process has taken this one for dead
            with self.database.transaction(fenced=False) as tx:
                tx.revive(())
            return self._once(batch)

    def _once(self, batch: list[Request[S]]) -> Done[S]:
        began = time.monotonic()
        with self.database.transaction() as tx:
            done = by_driver(tx.driver, transact(self.kind, batch, self.clock()))
            self._commits += 1
            if self._commits % TRIM == 0:
                self._trim(tx.driver)
        self._patient = PATIENCE * (time.monotonic() - began)
        return done

    def _trim(self, driver: Driver) -> None:
        """Delete some of what is too old to be kept."""
        oldest = self.clock() - self._keep
        last = max((number for number, at in driver.fetch(OLDEST) if at < oldest), default=None)
        if last is not None:
            driver.run(FORGET, last)

    def _put_back(self, locked: list[Request[S]], *, alone: bool) -> None:
        now = time.monotonic()
        kept: list[Request[S]] = []
        for request in locked:
            request.until = request.until or now + self.patience
            if isinstance(request, Due):  # whoever has locked it may have fired it
                request.settle()
                self._look_at = min(self._look_at, now + SOON)
            elif now < request.until and not self._closing:
                kept.append(request)
            else:
                request.failure = Conflict(request.key, "is locked by another transaction")
                request.settle()
        with self._wake:
            self._queue += kept
        if alone and kept:
            time.sleep(AGAIN)

    def _first(self, done: Done[S]) -> float:
        """Return when something is due first in the sessions that a transaction has changed."""
        times = (place.due() for place in done.changed) if self._timed else ()
        return min((due for due in times if due is not None), default=NEVER)

    def _find_due(self) -> None:
        """Ask for what is due to be fired, and note when something is due next."""
        self._look_at = NEVER  # whoever has news meanwhile sets it again
        most = MOST + len(self._stuck)
        try:
            found = self.reader.due(self.chart.name, most)
        except StorageError as error:
            self._look_at = time.monotonic() + LATER
            LOG.warning("cannot read what is due: %s", error)
            return
        now = self.clock()
        keys = [key for key, due in found if due <= now and key not in self._stuck]
        self._due = min((due for _, due in found if due > now), default=NEVER)
        if len(found) == most and self._due == NEVER:  # there is more
            self._look_at = time.monotonic()
        for key in keys:
            request: Due[S] = Due(key)
            request.future.add_done_callback(lambda done, key=key: self._fired(key, done.exception()))  # type: ignore[misc]
            with self._wake:
                self._queue.append(request)

    def _fired(self, key: str, error: BaseException | None) -> None:
        if isinstance(error, SnapshotError):
            self._stuck.add(key)
            LOG.warning("what is due cannot be fired: %s", error)
        elif error is not None:
            self._look_at = time.monotonic() + LATER
            LOG.error("firing what was due in session %r raised", key, exc_info=error)

    # --------------------------------------------------------------------------------------------------- telling

    def _heard(self, news: News) -> None:
        if self._timed and (news.kind == "times" or news.stores is None):
            with self._wake:
                self._look_at = time.monotonic()
                self._wake.notify()
        if news.kind == "steps" or news.stores is None:
            self._tell()

    def _tell(self) -> None:
        for follower in tuple(self.followers):
            follower()
