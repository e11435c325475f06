"""One thread per open store that waits for its peers: for their bell, for their deaths, for the end of their leases.

Theory.
1. Nothing here is asked again and again: the thread sleeps until a bell rings, a process it watches ends, a lease can
   end, or its own lease is to be renewed.  Then it looks at the registry once, and tells what has changed.
2. It tells *that* something changed.  Whoever is told looks in a transaction of its own; nothing is swept here.
3. A database that is away for a while is tried again, a little later each time; when it is back, that is a change.

This file knows no messages and no machine.
"""

from __future__ import annotations

import logging
import os
import select as waiting
import time
from collections.abc import Callable
from contextlib import suppress
from threading import Lock, Thread, current_thread
from typing import Final

import sqlalchemy as sa

from fsm.store.sql.connect import autocommitting, trouble
from fsm.store.sql.holders import Holder, Registry, alive, now, watched
from fsm.store.sql.notify import Bell

__all__ = ["Watch"]

LOG: Final = logging.getLogger("fsm.store")
SOONEST, LATEST = 0.25, 8.0
"""Seconds between attempts to reach a database that is away."""


class Watch:
    """The thread.  `start` it once; `ring` and `close` are for any thread."""

    def __init__(self, engine: sa.Engine, holder: Holder, bell: Bell, clock: Callable[[], float] | None) -> None:
        self._engine, self._holder, self._bell, self._clock = engine, holder, bell, clock
        self._changed: Callable[[], None] | None = None
        self._awake, self._waker = os.pipe()
        os.set_blocking(self._awake, False)
        os.set_blocking(self._waker, False)
        self._lock = Lock()
        self.left = False  # we have left, and are only finishing: nobody's peer, and not to become one again
        self._to_ring = self._rung = self._closing = False
        self._thread: Thread | None = None
        self._connection: sa.Connection | None = None
        self._hears = -1
        self._living: frozenset[str] | None = None
        self._processes: dict[str, int] = {}
        self._renew_at = time.monotonic()
        self._ends_at = float("inf")  # the next lease of somebody elsewhere
        self._again = SOONEST

    def start(self, changed: Callable[[], None] | None = None) -> None:
        """Watch, and tell of changes from now on."""
        with self._lock:
            if changed is not None:
                self._changed, self._living = changed, None
            if self._thread is None and not self._closing:
                self._thread = Thread(target=self._run, name=f"fsm-watch-{self._holder.id}", daemon=True)
                self._thread.start()

    def ring(self) -> None:
        """Ring the others' bells soon; it is this thread that may have to wait for that, not the caller."""
        self._to_ring = True
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
            if self._waker >= 0:
                os.write(self._waker, b"!")

    # ------------------------------------------------------------------------------------------------ the thread

    def _run(self) -> None:
        try:
            while not self._closing:
                try:
                    told = self._look()
                    self._again = SOONEST
                except Exception as error:  # whatever it is, who watches must not fall asleep for ever
                    LOG.warning("cannot watch the peers of holder %s just now: %s", self._holder.id, error)
                    self._drop()
                    self._to_ring = True
                    self._again, told = min(self._again * 2, LATEST), False
                if told:
                    self._tell()
                if not self._rung:
                    self._wait()
        finally:
            self._release()

    def _look(self) -> bool:
        """Renew, ring, and see who is there; whether anything is different or was rung for."""
        with trouble(self._engine.url):
            if self._connection is None:
                self._connection = autocommitting(self._engine)
                self._hears = self._bell.listen(self._connection)
            registry = Registry(self._connection, self._holder, self._clock)
            rang = self._bell.heard() or self._rung
            if self._to_ring:
                self._to_ring = False
                self._bell.ring(registry)
            if time.monotonic() >= self._renew_at:
                rang = self._renew(registry) or rang
            at = now(self._connection, self._clock)
            rows = registry.others()
            self._rung = self._bell.heard()  # while it looked; so it has to look again
        living = {row.id: row for row in rows if alive(row, self._holder.here, at)}
        self._ends_at = float("inf")
        for id in [*self._processes]:
            if id not in living:
                os.close(self._processes.pop(id))
        for id, row in living.items():
            if id not in self._processes:
                self._follow(id, row, at)
        seen = frozenset(f"{id} {row.left}" for id, row in living.items()) | {f"{row.id} was" for row in rows}
        before, self._living = self._living, seen
        return rang or before != seen  # also the first time: somebody may have come before anybody watched

    def _follow(self, id: str, row: sa.Row[tuple[object, ...]], at: float) -> None:
        """Have the death of a living holder wake us."""
        try:
            process = watched(row, self._holder.here)
        except ProcessLookupError:
            self._rung = True  # it died just now
            return
        if process is not None:
            self._processes[id] = process
        else:
            self._ends_at = min(self._ends_at, time.monotonic() + max(0.0, row.lease_until - at) + 0.001)

    def _renew(self, registry: Registry) -> bool:
        """Renew the lease; whether it had ended and others took us for dead, so that we had to come in again."""
        self._renew_at = time.monotonic() + self._holder.lease / 3
        if registry.renew() or self.left:
            return False
        LOG.warning("holder %s was taken for dead: its lease had ended; it is a holder again", self._holder.id)
        registry.enter(self._bell.address)
        self._bell.ring(registry)
        return True

    def _tell(self) -> None:
        if self._changed is not None:
            try:
                self._changed()
            except Exception:
                LOG.exception("who was told of the peers of holder %s failed", self._holder.id)

    def _wait(self) -> None:
        poll = waiting.poll()
        for file in (self._awake, self._hears, *self._processes.values()):
            if file >= 0:
                poll.register(file, waiting.POLLIN)
        until = min(self._renew_at, self._ends_at) - time.monotonic() if self._connection else self._again
        poll.poll(max(0.0, until) * 1000 + 1)
        with suppress(BlockingIOError):
            while os.read(self._awake, 4096):
                pass

    def _drop(self) -> None:
        self._hears, self._rung = -1, False
        self._living = None  # so that whatever is found when it is back is a change
        if self._connection is not None:
            with suppress(Exception):
                self._connection.invalidate()
                self._connection.close()
        self._connection = None

    def _release(self) -> None:
        self._drop()
        with self._lock:
            self._closing = True
            for file in (self._awake, self._waker, *self._processes.values()):
                if file >= 0:
                    os.close(file)
            self._awake = self._waker = -1
            self._processes.clear()
