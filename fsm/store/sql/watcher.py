"""One thread for each open store that waits for its peers: for notifications, their deaths, the ends of their leases.

Theory.
1. Nothing is polled: the thread sleeps until it is notified, a process that it watches ends, a lease can end, or its
   own lease is to be renewed.  Then it reads the holders once, and reports whether anything has changed.
2. It reports *that* something changed.  The callback looks in a transaction of its own; nothing is swept here.
3. A database that is away is tried again, a little later each time; that it is back is a change.
"""

from __future__ import annotations

import logging
import os
import select
import time
from collections.abc import Callable
from contextlib import suppress
from threading import Lock, Thread, current_thread
from typing import Final

import sqlalchemy as sa

from fsm.store.sql.connect import autocommit_connection, storage_errors
from fsm.store.sql.holders import Holder, Holders, Row, is_alive, open_pidfd
from fsm.store.sql.notify import Notifier

__all__ = ["Watcher"]

LOG: Final = logging.getLogger("fsm.store")
SOONEST, LATEST = 0.25, 8.0
"""Seconds between attempts to reach a database that is away."""


class Watcher:
    """The thread.  `start` it once; `notify_peers` and `close` can be called from any thread.

    `left` says that this holder has left and is only finishing: it is nobody's peer, and does not become one again.
    """

    def __init__(self, engine: sa.Engine, holder: Holder, notifier: Notifier) -> None:
        self.left = False
        self._engine, self._holder, self._notifier = engine, holder, notifier
        self._changed: Callable[[], None] | None = None
        self._wake_reader, self._wake_writer = os.pipe()
        os.set_blocking(self._wake_reader, False)
        os.set_blocking(self._wake_writer, False)
        self._lock = Lock()
        self._to_notify = self._look_again = self._closing = False
        self._thread: Thread | None = None
        self._connection: sa.Connection | None = None
        self._listening = -1
        self._seen: frozenset[str] | None = None
        self._pidfds: dict[str, int] = {}
        self._renew_at = time.monotonic()
        self._lease_ends_at = float("inf")  # the next lease of a holder elsewhere
        self._retry_after = SOONEST

    def start(self, changed: Callable[[], None] | None = None) -> None:
        """Watch, and call `changed` after each change from now on."""
        with self._lock:
            if changed is not None:
                self._changed, self._seen = changed, None
            if self._thread is None and not self._closing:
                self._thread = Thread(target=self._run, name=f"fsm-watch-{self._holder.id}", daemon=True)
                self._thread.start()

    def notify_peers(self) -> None:
        """Notify the peers soon; this thread may have to wait for that, not the caller."""
        self._to_notify = True
        self.start()
        self._wake()

    def close(self) -> None:
        """Stop, and wait for the thread (unless this is it)."""
        with self._lock:
            self._closing = True
            thread = self._thread
        self._wake()
        if thread is not None and thread is not current_thread():
            thread.join()
        if thread is None:
            self._release()

    def _wake(self) -> None:
        with self._lock, suppress(OSError):  # full: it will wake anyway
            if self._wake_writer >= 0:
                os.write(self._wake_writer, b"!")

    # ------------------------------------------------------------------------------------------------ the thread

    def _run(self) -> None:
        try:
            while not self._closing:
                try:
                    changed = self._look()
                    self._retry_after = SOONEST
                except Exception as error:  # whatever it is, the watcher must not fall asleep for ever
                    LOG.warning("cannot watch the peers of holder %s just now: %s", self._holder.id, error)
                    self._disconnect()
                    self._to_notify = True
                    self._retry_after, changed = min(self._retry_after * 2, LATEST), False
                if changed:
                    self._report()
                if not self._look_again:
                    self._wait()
        finally:
            self._release()

    def _look(self) -> bool:
        """Renew the lease, notify, and read the holders; whether anything has changed or a notification came."""
        with storage_errors(self._engine.url):
            if self._connection is None:
                self._connection = autocommit_connection(self._engine)
                self._listening = self._notifier.listen(self._connection)
            holders = Holders(self._connection, self._holder)
            notified = self._notifier.notified() or self._look_again
            if self._to_notify:
                self._to_notify = False
                self._notifier.notify(holders)
            if time.monotonic() >= self._renew_at:
                notified = self._renew(holders) or notified
            now, rows = holders.now(), holders.others()
            self._look_again = self._notifier.notified()
        living = {row.id: row for row in rows if is_alive(row, self._holder.process, now)}
        self._lease_ends_at = float("inf")
        for id in [*self._pidfds]:
            if id not in living:
                os.close(self._pidfds.pop(id))
        for id, row in living.items():
            if id not in self._pidfds:
                self._watch(id, row, now)
        seen = frozenset(f"{id} {row.left}" for id, row in living.items()) | {f"{row.id} was" for row in rows}
        before, self._seen = self._seen, seen
        return notified or before != seen  # also the first time: somebody may have come before anybody watched

    def _watch(self, id: str, row: Row, now: float) -> None:
        """Have the death of a living holder wake the thread."""
        try:
            pidfd = open_pidfd(row, self._holder.process)
        except ProcessLookupError:
            self._look_again = True  # it died just now
            return
        if pidfd is not None:
            self._pidfds[id] = pidfd
        else:
            ends_in = max(0.0, row.lease_until - now) + 0.001
            self._lease_ends_at = min(self._lease_ends_at, time.monotonic() + ends_in)

    def _renew(self, holders: Holders) -> bool:
        """Renew the lease; whether it had ended and others took us for dead, so that we had to register again."""
        self._renew_at = time.monotonic() + self._holder.lease / 3
        if holders.renew_lease() or self.left:
            return False
        LOG.warning("holder %s was taken for dead: its lease had ended; it is a holder again", self._holder.id)
        holders.register(self._notifier.address)
        self._notifier.notify(holders)
        return True

    def _report(self) -> None:
        if self._changed is not None:
            try:
                self._changed()
            except Exception:
                LOG.exception("the callback that watches the peers of holder %s raised", self._holder.id)

    def _wait(self) -> None:
        poll = select.poll()
        for file in (self._wake_reader, self._listening, *self._pidfds.values()):
            if file >= 0:
                poll.register(file, select.POLLIN)
        until = min(self._renew_at, self._lease_ends_at) - time.monotonic() if self._connection else self._retry_after
        poll.poll(max(0.0, until) * 1000 + 1)
        with suppress(BlockingIOError):
            while os.read(self._wake_reader, 4096):
                pass

    def _disconnect(self) -> None:
        self._listening, self._look_again = -1, False
        self._seen = None  # so that whatever is found when it is back is a change
        if self._connection is not None:
            with suppress(Exception):
                self._connection.invalidate()
                self._connection.close()
        self._connection = None

    def _release(self) -> None:
        self._disconnect()
        with self._lock:
            self._closing = True
            for file in (self._wake_reader, self._wake_writer, *self._pidfds.values()):
                if file >= 0:
                    os.close(file)
            self._wake_reader = self._wake_writer = -1
            self._pidfds.clear()
