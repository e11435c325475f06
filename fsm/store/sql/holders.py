"""The holders of a store: which processes have it open, whether they are alive, and the lock under which they change.

Theory.
1. A holder is a process that has a store open for a profile.  Its row names the place (host, boot and process
   namespace), the process (its number and start, because numbers are reused), and the end of its lease.
2. In the same place the process itself is examined, so its death is known at once.  Elsewhere its lease decides, which
   a living holder renews long before it ends.  All leases are read off one clock: the server's where there is one.
3. Opening, leaving and removing hold the lock of the store's row.  So of several that leave together exactly one is
   the last.
4. A holder that has *left* is no peer any longer, but it still owns its claims until it closes.
"""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

import sqlalchemy as sa

from fsm.store.sql.schema import HOLDERS, STORES
from fsm.store.storage import Peer

__all__ = ["Holder", "Holders", "Process", "Row", "is_alive", "lock_store", "open_pidfd", "this_process"]

Row: TypeAlias = sa.Row[tuple[Any, ...]]
"""A row of `fsm_holders`."""

NUMBER: Final = sa.select(STORES.c.number).where(
    STORES.c.store == sa.bindparam("store"), STORES.c.profile == sa.bindparam("profile")
)
# for this lock an INSERT of a message, which refers to the row, does not wait
LOCK: Final = (
    sa.select(STORES.c.number).where(STORES.c.number == sa.bindparam("number")).with_for_update(key_share=True)
)
OTHERS: Final = (
    sa.select(HOLDERS)
    .where(HOLDERS.c.store == sa.bindparam("number"), HOLDERS.c.id != sa.bindparam("me"))
    .order_by(HOLDERS.c.opened, HOLDERS.c.id)
)
REGISTER: Final = sa.insert(HOLDERS)
REMOVE: Final = sa.delete(HOLDERS).where(HOLDERS.c.id == sa.bindparam("one"))
LEAVE: Final = sa.update(HOLDERS).where(HOLDERS.c.id == sa.bindparam("me")).values(left=True)
RENEW: Final = sa.update(HOLDERS).where(HOLDERS.c.id == sa.bindparam("me")).values(lease_until=sa.bindparam("until"))
CLOCK: Final = sa.select(sa.extract("epoch", sa.func.clock_timestamp()))


class Process(NamedTuple):
    """The identity of a process; `boot` names the running system and its process namespace."""

    host: str
    boot: str
    pid: int
    started: str


class Holder(NamedTuple):
    """This process as a holder of the store with the number `store`.

    `lease` is in seconds; `clock` gives the time for leases, in seconds since 1970 (None: the server's clock does).
    """

    id: str
    store: int
    process: Process
    lease: float
    clock: Callable[[], float] | None


@dataclass(frozen=True, slots=True)
class Holders:
    """The holders of one store, as one of them sees and changes them in a transaction."""

    connection: sa.Connection
    me: Holder

    def now(self) -> float:
        """Return the time for leases, in seconds since 1970."""
        return self.me.clock() if self.me.clock is not None else float(self.connection.scalar(CLOCK) or 0.0)

    def lock(self) -> None:
        """Lock the store: until the end of the transaction no other holder opens, leaves or is removed."""
        self.connection.execute(LOCK, {"number": self.me.store})

    def others(self) -> Sequence[Row]:
        """Return the rows of all other holders, including those that have left and the dead."""
        return self.connection.execute(OTHERS, {"number": self.me.store, "me": self.me.id}).all()

    def is_alive(self, id: str) -> bool:
        """Return whether this other holder exists and is alive."""
        now = self.now()
        return any(row.id == id and is_alive(row, self.me.process, now) for row in self.others())

    def register(self, address: str) -> None:
        """Add this holder, which is notified at this address."""
        now = self.now()
        row = {"id": self.me.id, "store": self.me.store, "bell": address, "opened": now}
        self.connection.execute(REGISTER, row | self.me.process._asdict() | {"lease_until": now + self.me.lease})

    def renew_lease(self) -> bool:
        """Renew the lease; return False if another holder has removed this one as dead."""
        until = self.now() + self.me.lease
        return self.connection.execute(RENEW, {"me": self.me.id, "until": until}).rowcount > 0

    def leave(self) -> None:
        """Mark this holder as having left."""
        self.connection.execute(LEAVE, {"me": self.me.id})

    def remove(self) -> None:
        """Remove this holder."""
        self.connection.execute(REMOVE, {"one": self.me.id})

    def sweep(self) -> tuple[tuple[Peer, ...], bool]:
        """Remove the dead; return the living peers, and whether any holder was dead."""
        now, rows = self.now(), self.others()
        dead = [row.id for row in rows if not is_alive(row, self.me.process, now)]
        for id in dead:
            self.connection.execute(REMOVE, {"one": id})
        living = (row for row in rows if row.id not in dead and not row.left)
        return tuple(Peer(row.id, row.host, row.pid, row.opened) for row in living), bool(dead)


def lock_store(connection: sa.Connection, store: str, profile: str) -> int:
    """Return the number of a store and profile, which are added if they are new, and lock it as `Holders.lock` does."""
    wanted = {"store": store, "profile": profile}
    number = connection.scalar(NUMBER, wanted)
    if number is None:
        with suppress(sa.exc.IntegrityError), connection.begin_nested():  # another process may have added it just now
            connection.execute(sa.insert(STORES), wanted)
        number = connection.scalar(NUMBER, wanted)
        assert number is not None
    connection.execute(LOCK, {"number": number})
    return int(number)


# ------------------------------------------------------------------------------------------------------ processes


def this_process(host: str | None = None) -> Process:
    """Return the identity of this process."""
    boot = ""
    with suppress(OSError):
        running = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        boot = f"{running} {Path('/proc/self/ns/pid').readlink()}"
    return Process(host if host is not None else socket.gethostname(), boot, os.getpid(), _started(os.getpid()))


def is_alive(row: Row, observer: Process, now: float) -> bool:
    """Return whether a holder is alive, as far as this process can find out at this time."""
    leased = bool(row.lease_until > now)
    if not _same_place(row, observer):
        return leased
    if row.pid == observer.pid:
        return bool(row.started == observer.started)
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
    """Return a file descriptor that becomes readable when a holder dies, or None if only its lease can tell.

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
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    return text.rpartition(")")[2].split()[19]  # the 22nd field; the second is a name that may hold anything
