"""The processes that have stores of a database open: whether they are alive, and how the dead are removed.

Theory.
1. The row of a process names the place (host, boot and process namespace), the process (its number and start, because
   numbers are reused), and the end of its lease.  There is one for each open `Database`.
2. In the same place the process itself is examined, so its death is known at once.  Elsewhere its lease decides, which
   a living process renews long before it ends.  All leases are read off one clock: the server's where there is one.
3. Whoever removes a process gives its parts to nobody and makes its claims uncertain, in the same transaction.  A
   transaction of a process locks its row or fails, so nothing that it does can come after its removal.
"""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from fsm.store.life import target
from fsm.store.sql.driver import Driver
from fsm.store.sql.schema import PROCESSES

__all__ = ["Lease", "Process", "Processes", "Row", "is_alive", "open_pidfd", "this_process"]

COLUMNS: Final = "number, host, boot, pid, started, lease_until, bell"
CLOCK: Final = "SELECT extract(epoch FROM clock_timestamp())::float8"
OTHERS: Final = f"SELECT {COLUMNS} FROM fsm_processes WHERE number <> ? ORDER BY number"
RENEW: Final = "UPDATE fsm_processes SET lease_until = ? WHERE number = ? RETURNING number"
LOCK: Final = "SELECT number FROM fsm_processes WHERE number ?* ORDER BY number FOR UPDATE"
CLAIMS: Final = (
    f"UPDATE fsm_messages SET state = '{target('lapse')}', part = NULL, process = NULL"
    " WHERE process ?* AND state = 'claimed'"
)
PARTS: Final = "UPDATE fsm_parts SET process = NULL, clean = 0 WHERE process ?*"
REMOVE: Final = "DELETE FROM fsm_processes WHERE number ?*"


class Process(NamedTuple):
    """The identity of a process; `boot` names the running system and its process namespace."""

    host: str
    boot: str
    pid: int
    started: str


class Row(NamedTuple):
    """A row of `fsm_processes`."""

    number: int
    host: str
    boot: str
    pid: int
    started: str
    lease_until: float
    bell: str


class Lease(NamedTuple):
    """How long a process counts as alive without a sign of life.

    `seconds` is the length; `clock` gives the time for leases, in seconds since 1970 (None: the server's clock does).
    """

    seconds: float
    clock: Callable[[], float] | None


class Processes:
    """The processes of a database, as one of them sees and changes them; `me` is its number (0: not registered)."""

    def __init__(self, driver: Driver, me: int, process: Process, lease: Lease) -> None:
        self._driver, self.me, self._process, self._lease = driver, me, process, lease
        self.seen: frozenset[int] = frozenset()
        """The other processes that the last sweep has seen alive."""

    def now(self) -> float:
        """Return the time for leases, in seconds since 1970."""
        clock = self._lease.clock
        return clock() if clock is not None else float(self._driver.fetch(CLOCK)[0][0])

    def others(self) -> list[Row]:
        """Return the rows of all other processes, including the dead."""
        return [Row(*row) for row in self._driver.fetch(OTHERS, self.me)]

    def register(self, bell: str) -> int:
        """Add this process, which hears the others at this address; return its number."""
        until, names = self.now() + self._lease.seconds, COLUMNS.partition(", ")[2]
        values = ", ".join("?" * (len(PROCESSES.c) - 1))
        text = f"INSERT INTO fsm_processes ({names}) VALUES ({values}) RETURNING number"
        self.me = int(self._driver.fetch(text, *self._process, until, bell)[0][0])
        return self.me

    def renew_lease(self) -> bool:
        """Renew the lease; return False if another process has removed this one as dead."""
        return bool(self._driver.fetch(RENEW, self.now() + self._lease.seconds, self.me))

    def dead(self) -> list[int]:
        """Return the numbers of the processes that are dead, as far as this process can find out."""
        rows = self.others()
        now = self.now() if rows else 0.0
        dead = [row.number for row in rows if not is_alive(row, self._process, now)]
        self.seen = frozenset(row.number for row in rows) - {*dead}
        return dead

    def remove(self, numbers: Sequence[int]) -> None:
        """Remove these processes: their parts are nobody's, and their claims lapse."""
        driver = self._driver
        if driver.postgresql:
            driver.fetch(LOCK, list(numbers))
        for text in (CLAIMS, PARTS, REMOVE):
            driver.run(text, list(numbers))

    def sweep(self) -> bool:
        """Remove the dead; return whether there were any."""
        dead = self.dead()
        if dead:
            self.remove(dead)
        return bool(dead)


# ------------------------------------------------------------------------------------------------------ processes


def this_process(host: str | None = None) -> Process:
    """Return the identity of this process."""
    boot = ""
    with suppress(OSError):
        running = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        boot = f"{running} {Path('/proc/self/ns/pid').readlink()}"
    return Process(host if host is not None else socket.gethostname(), boot, os.getpid(), _started(os.getpid()))


def is_alive(row: Row, observer: Process, now: float) -> bool:
    """Return whether a process is alive, as far as this process can find out at this time."""
    leased = row.lease_until > now
    if not _same_place(row, observer):
        return leased
    if row.pid == observer.pid:
        return row.started == observer.started
    started = _started(row.pid)
    if started and row.started and started != row.started:
        return False  # the number belongs to another process now
    if not hasattr(os, "pidfd_open"):
        return leased
    try:
        pidfd = os.pidfd_open(row.pid)
    except ProcessLookupError:
        return False
    except OSError:
        return leased
    try:
        return not _has_ended(pidfd)
    finally:
        os.close(pidfd)


def open_pidfd(row: Row, observer: Process) -> int | None:
    """Return a file descriptor that becomes readable when a process dies, or None if only its lease can tell.

    Raise ProcessLookupError if it is dead already.
    """
    if not _same_place(row, observer) or not hasattr(os, "pidfd_open"):
        return None
    try:
        return os.pidfd_open(row.pid)
    except ProcessLookupError:
        raise
    except OSError:
        return None


def _same_place(row: Row, observer: Process) -> bool:
    return bool(observer.boot) and row.host == observer.host and row.boot == observer.boot


def _has_ended(pidfd: int) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))


def _started(pid: int) -> str:
    """Return when a process started, in clock ticks since the boot; empty if that is impossible to find out."""
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return ""
    return text.rpartition(b")")[2].split()[19].decode()  # the 22nd field; the second is a name of any bytes
