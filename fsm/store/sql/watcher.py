"""A thread that waits for the peers of an open store: for notifications, their deaths, and the ends of their leases.

Theory.
1. The thread does not poll.  It sleeps until it is notified, a watched process ends, a lease can end, or its own lease
   has to be renewed.  Then it reads the holders once, and calls back if anything has changed.
2. It only reports *that* something has changed.  The callback looks in a transaction of its own.
3. If the database cannot be reached, it tries again, a little later each time; the return counts as a change.
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
"""Seconds between attempts to reach the database."""


class Watcher:
    """Watches the peers of a holder.  All methods can be called from any thread.

    `left` is true once the holder has left: then it does not register again when its lease has ended.
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
        """Start the thread, and call `changed` after each change from now on."""
        with self._lock:
            if changed is not None:
                self._changed, self._seen = changed, None
            if self._thread is None and not self._closing:
                self._thread = Thread(target=self._run, name=f"fsm-watch-{self._holder.id}", daemon=True)
                self._thread.start()

    def notify_peers(self) -> None:
        """Notify the peers soon, in the thread, because that may have to wait for the database."""
        self._to_notify = True
        self.start()
        self._wake()

    def close(self) -> None:
        """Stop the thread and wait for its end (unless this is the thread)."""
        with self._lock:
            self._closing = True
            thread = self._thread
        self._wake()
        if thread is not None and thread is not current_thread():
            thread.join()
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
                    changed = self._look()
                    self._retry_after = SOONEST
                except Exception as error:  # the thread has to survive every error
                    LOG.warning("cannot watch the peers of holder %s at the moment: %s", self._holder.id, error)
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
        """Renew the lease, notify, and read the holders; return whether anything has changed or a notification came."""
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
        return notified or before != seen  # also the first time: a peer may have come before

    def _watch(self, id: str, row: Row, now: float) -> None:
        """Make the death of a living holder wake the thread."""
        try:
            pidfd = open_pidfd(row, self._holder.process)
        except ProcessLookupError:
            self._look_again = True  # it has just died
            return
        if pidfd is not None:
            self._pidfds[id] = pidfd
        else:
            ends_in = max(0.0, row.lease_until - now) + 0.001
            self._lease_ends_at = min(self._lease_ends_at, time.monotonic() + ends_in)

    def _renew(self, holders: Holders) -> bool:
        """Renew the lease; return whether another holder had removed this one, so that it had to register again."""
        self._renew_at = time.monotonic() + self._holder.lease / 3
        if holders.renew_lease() or self.left:
            return False
        LOG.warning("the lease of holder %s had ended, and a peer removed it; it has registered again", self._holder.id)
        holders.register(self._notifier.address)
        self._notifier.notify(holders)
        return True

    def _report(self) -> None:
        if self._changed is not None:
            try:
                self._changed()
            except Exception:
                LOG.exception("the callback for changes of the peers of holder %s raised", self._holder.id)

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
        self._seen = None  # so that its return is a change
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
