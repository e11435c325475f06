"""The watcher: one thread that waits for the other processes of a database, for all stores of this one.

Theory.
1. The thread does not poll.  It sleeps until somebody rings, a watched process ends, a lease can end, or its own lease
   has to be renewed.
2. It only reports *that* something has changed, and in which stores.  Whoever is told looks in a transaction.
3. It rings for this process, too, since that may have to wait for the database; at most every `GAP`, since each ring
   wakes all others.  Whoever opens the database waits for the first ring, by which the others learn to watch this
   process: they notice its death whenever that comes.
4. If the database cannot be reached, it tries again, a little later each time; the return counts as a change.
"""

from __future__ import annotations

import logging
import os
import select
import time
from collections.abc import Callable
from contextlib import suppress
from threading import Event, Lock, Thread, current_thread
from typing import Final

import sqlalchemy as sa

from fsm.store.log import about
from fsm.store.sql.connect import autocommit_connection, display_name, storage_errors
from fsm.store.sql.driver import driver_for
from fsm.store.sql.notify import Bell
from fsm.store.sql.processes import Lease, Process, Processes, Row, is_alive, open_pidfd
from fsm.store.storage import News

__all__ = ["Watcher"]

LOG: Final = logging.getLogger("fsm.store")
SOONEST, LATEST = 0.25, 8.0
"""Seconds between attempts to reach the database."""
GAP, LONG_GAP = 0.01, 0.05
"""Seconds between rings; and before one that says only what was taken from others, for which nobody waits."""
EVERYTHING: Final = News("peers")


class Watcher:
    """Watches the other processes.  All methods can be called from any thread; `me` is the number of this process."""

    def __init__(self, engine: sa.Engine, me: int, process: Process, lease: Lease, bell: Bell) -> None:
        self.me = me
        self._engine, self._process, self._lease, self._bell = engine, process, lease, bell
        self._changed: Callable[[News], None] | None = None
        self._wake_reader, self._wake_writer = os.pipe()
        os.set_blocking(self._wake_reader, False)
        os.set_blocking(self._wake_writer, False)
        self._lock = Lock()
        self._rings: dict[str, set[int] | None] = {}
        self._rang_at = 0.0
        self._announced = Event()
        self._closing = False
        self._heard: list[News] = []
        self._thread: Thread | None = None
        self._connection: sa.Connection | None = None
        self._listening = -1
        self._others: list[Row] = []
        self._unknown = False
        self._seen: frozenset[str] | None = None
        self._pidfds: dict[int, int] = {}
        self._renew_at = time.monotonic()
        self._lease_ends_at = float("inf")  # the next lease of a process elsewhere
        self._retry_after = SOONEST

    def start(self, changed: Callable[[News], None] | None = None) -> None:
        """Start the thread, and call `changed` after each change from now on."""
        with self._lock:
            if changed is not None:
                self._changed, self._heard = changed, [EVERYTHING]
            if self._thread is None and not self._closing:
                self._thread = Thread(target=self._run, name="fsm watch", daemon=True)
                self._thread.start()
        if changed is not None:
            self._wake()

    def announce(self, wait: float) -> None:
        """Have the others watch this process; return when they have been told, or after so many seconds."""
        self.ring(News("peers", frozenset()))
        self._announced.wait(wait)

    def ring(self, news: News) -> None:
        """Ring for the others soon, in the thread."""
        with self._lock:
            first, known = news.kind not in self._rings, self._rings.setdefault(news.kind, set())
            if news.stores is None or known is None:
                self._rings[news.kind] = None
            else:
                known |= news.stores
        if first or self._connection is None:  # otherwise the thread is awake already, or waits for the gap's end
            self.start()
            self._wake()

    def saw(self, numbers: frozenset[int]) -> None:
        """Note that these processes are there.  One that was killed before it could ring is watched from here on."""
        if not numbers <= {row.number for row in self._others}:
            self._unknown = True
            self._wake()

    def close(self, wait: float) -> None:
        """Stop the thread, and wait for its end so many seconds (unless this is the thread)."""
        with self._lock:
            self._closing = True
            thread = self._thread
        self._wake()
        if thread is not None and thread is not current_thread():
            thread.join(wait)
        if thread is None:
            self._release()

    def _wake(self) -> None:
        with self._lock, suppress(OSError):  # the pipe is full, so the thread wakes anyway
            if self._wake_writer >= 0:
                os.write(self._wake_writer, b"!")

    # ------------------------------------------------------------------------------------------------ the thread

    def _run(self) -> None:
        try:
            while not self._closing:
                try:
                    news = self._look()
                    self._retry_after = SOONEST
                except Exception as error:  # the thread has to survive every error
                    if not self._closing:
                        fields = about(display_name(self._engine.url))
                        LOG.warning("cannot watch the other processes at the moment: %s", error, extra=fields)
                    self._disconnect()
                    with self._lock:
                        self._rings["peers"] = None
                    self._retry_after, news = min(self._retry_after * 2, LATEST), []
                self._announced.set()
                for one in news:
                    self._report(one)
                if not self._heard:
                    self._wait()
            with suppress(Exception):
                self._ring_now()
        finally:
            self._announced.set()
            self._release()

    def _look(self) -> list[News]:
        """Renew the lease, ring, and read the other processes; return what has changed."""
        with storage_errors(self._engine.url):
            fresh = self._connection is None
            if self._connection is None:
                self._connection = autocommit_connection(self._engine)
                self._listening = self._bell.listen(self._connection)
            renews = time.monotonic() >= self._renew_at
            with self._lock:
                news, self._heard = self._heard, []
            news += self._bell.heard(self.me)
            unknown, self._unknown = self._unknown, False
            if fresh or renews or unknown or any(one.kind == "peers" for one in news) or self._ended():
                news += self._read_processes(renews)
            self._ring_now()
            self._heard += self._bell.heard(self.me)  # with the results of these statements
        return news

    def _ended(self) -> bool:
        """True if a watched process has ended, or a lease may have."""
        if time.monotonic() >= self._lease_ends_at:
            return True
        poll = select.poll()
        for pidfd in self._pidfds.values():
            poll.register(pidfd, select.POLLIN)
        return bool(poll.poll(0))

    def _read_processes(self, renews: bool) -> list[News]:
        assert self._connection is not None
        driver = driver_for(self._connection.connection.driver_connection, 0.0)
        processes = Processes(driver, self.me, self._process, self._lease)
        revives = False
        if renews:
            self._renew_at = time.monotonic() + self._lease.seconds / 3
            revives = not processes.renew_lease()
        self._others = processes.others()
        now = processes.now() if self._others else 0.0
        living = {row.number: row for row in self._others if is_alive(row, self._process, now)}
        self._lease_ends_at = float("inf")
        for number in [*self._pidfds]:
            if number not in living:
                os.close(self._pidfds.pop(number))
        died = False
        for number, row in living.items():
            if number not in self._pidfds:
                died = self._watch(number, row, now) or died
        seen = frozenset(f"{row.number} {row.number in living}" for row in self._others)
        changed, self._seen = self._seen != seen or died or revives, seen
        return [EVERYTHING] if changed or (renews and self._others) else []

    def _watch(self, number: int, row: Row, now: float) -> bool:
        """Make the death of a living process wake the thread; return True if it has just died."""
        try:
            pidfd = open_pidfd(row, self._process)
        except ProcessLookupError:
            return True
        if pidfd is not None:
            self._pidfds[number] = pidfd
        else:
            ends_in = max(0.0, row.lease_until - now) + 0.001
            self._lease_ends_at = min(self._lease_ends_at, time.monotonic() + ends_in)
        return False

    def _ring_now(self) -> None:
        if not self._rings or self._connection is None:
            return
        if time.monotonic() < self._may_ring_at and not self._closing:  # who goes tells the others before
            return
        with self._lock:
            rings, self._rings = self._rings, {}
        self._rang_at = time.monotonic()
        if "peers" in rings and self._seen is not None and not self._others:
            self._read_processes(False)
        news = [News(kind, None if stores is None else frozenset(stores)) for kind, stores in rings.items()]  # type: ignore[arg-type]
        self._bell.ring(self.me, news, [row.bell for row in self._others])

    @property
    def _may_ring_at(self) -> float:
        with self._lock:
            return self._rang_at + (LONG_GAP if self._rings.keys() == {"taken"} else GAP)

    def _report(self, news: News) -> None:
        if self._changed is not None:
            try:
                self._changed(news)
            except Exception:
                fields = about(display_name(self._engine.url))
                LOG.exception("cannot tell the stores what other processes did", extra=fields)

    def _wait(self) -> None:
        poll = select.poll()
        for file in (self._wake_reader, self._listening, *self._pidfds.values()):
            if file >= 0:
                poll.register(file, select.POLLIN)
        until = min(self._renew_at, self._lease_ends_at) - time.monotonic() if self._connection else self._retry_after
        if self._rings and self._connection:
            until = min(until, self._may_ring_at - time.monotonic())
        poll.poll(max(0.0, until) * 1000 + 1)
        with suppress(BlockingIOError):
            while os.read(self._wake_reader, 4096):
                pass

    def _disconnect(self) -> None:
        self._listening = -1
        self._seen = None  # so that its return is a change
        if self._connection is not None:
            with suppress(Exception):
                self._connection.invalidate()
                self._connection.close()
        self._connection = None

    def _release(self) -> None:
        self._disconnect()
        self._bell.close()
        with self._lock:
            self._closing = True
            for file in (self._wake_reader, self._wake_writer, *self._pidfds.values()):
                if file >= 0:
                    os.close(file)
            self._wake_reader = self._wake_writer = -1
            self._pidfds.clear()
