"""Who has which store open: the holders, whether they live, and the one lock under which they come and go.

Theory.
1. A holder is a process run that has a store open for a profile.  It says where it lives (host, boot and process
   namespace), which process it is (number and start, as numbers are used again) and until when its lease runs.
2. In the same place a process is asked for directly, so its death is known at once.  Elsewhere its lease decides, which
   a living holder renews long before it ends.  Leases are read off one clock: the server's where there is a server.
3. Coming, leaving and sweeping hold the store's row.  So of several that leave together exactly one is the last.
4. Who has *left* is nobody's peer any more, but what it was still sending is its own until it closes.

This file knows no messages and no machine.
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
from sqlalchemy.exc import IntegrityError

from fsm.store.sql.schema import HOLDERS, STORES
from fsm.store.storage import Peer

__all__ = ["Holder", "Holders", "Process", "Row", "is_alive", "lock_store", "open_pidfd", "this_process"]

Row: TypeAlias = sa.Row[tuple[Any, ...]]
"""A row of `fsm_holders`."""

NUMBER: Final = sa.select(STORES.c.number).where(
    STORES.c.store == sa.bindparam("store"), STORES.c.profile == sa.bindparam("profile")
)
# a lock that inserts of messages, which refer to this row, do not wait for
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
    """A process, told apart from every other; `boot` names the running system and its process namespace."""

    host: str
    boot: str
    pid: int
    started: str


class Holder(NamedTuple):
    """This process as a holder of the store with this number.

    `lease` is in seconds; `clock` gives the time that leases are read off, in seconds since 1970 (None: the server's).
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
        """The time that leases are read off, in seconds since 1970."""
        return self.me.clock() if self.me.clock is not None else float(self.connection.scalar(CLOCK) or 0.0)

    def lock(self) -> None:
        """From here to the end of the transaction nobody comes or goes."""
        self.connection.execute(LOCK, {"number": self.me.store})

    def others(self) -> Sequence[Row]:
        """All other holders, also those that have left, and the dead."""
        return self.connection.execute(OTHERS, {"number": self.me.store, "me": self.me.id}).all()

    def is_alive(self, id: str) -> bool:
        """Whether this other holder is there and alive."""
        now = self.now()
        return any(row.id == id and is_alive(row, self.me.process, now) for row in self.others())

    def register(self, address: str) -> None:
        """Become a holder, now; the others notify it at this address."""
        now = self.now()
        row = {"id": self.me.id, "store": self.me.store, "bell": address, "opened": now}
        self.connection.execute(REGISTER, row | self.me.process._asdict() | {"lease_until": now + self.me.lease})

    def renew_lease(self) -> bool:
        """Make the lease longer; False when there is none, because others took us for dead."""
        until = self.now() + self.me.lease
        return self.connection.execute(RENEW, {"me": self.me.id, "until": until}).rowcount > 0

    def leave(self) -> None:
        """Be nobody's peer any more."""
        self.connection.execute(LEAVE, {"me": self.me.id})

    def remove(self) -> None:
        """Be no holder any more."""
        self.connection.execute(REMOVE, {"one": self.me.id})

    def sweep(self) -> tuple[tuple[Peer, ...], bool]:
        """Remove the dead; return the living peers, and whether somebody was dead."""
        now, rows = self.now(), self.others()
        dead = [row.id for row in rows if not is_alive(row, self.me.process, now)]
        for id in dead:
            self.connection.execute(REMOVE, {"one": id})
        living = (row for row in rows if row.id not in dead and not row.left)
        return tuple(Peer(row.id, row.host, row.pid, row.opened) for row in living), bool(dead)


def lock_store(connection: sa.Connection, store: str, profile: str) -> int:
    """The number of a store and profile, entered when they are new.  From here to the end nobody comes or goes."""
    wanted = {"store": store, "profile": profile}
    number = connection.scalar(NUMBER, wanted)
    if number is None:
        with suppress(IntegrityError), connection.begin_nested():  # another may have entered it just now
            connection.execute(sa.insert(STORES), wanted)
        number = connection.scalar(NUMBER, wanted)
        assert number is not None
    connection.execute(LOCK, {"number": number})
    return int(number)


# ------------------------------------------------------------------------------------------------------ processes


def this_process(host: str | None = None) -> Process:
    """This process."""
    boot = ""
    with suppress(OSError):
        running = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        boot = f"{running} {Path('/proc/self/ns/pid').readlink()}"
    return Process(host if host is not None else socket.gethostname(), boot, os.getpid(), _started(os.getpid()))


def is_alive(row: Row, observer: Process, now: float) -> bool:
    """Whether a holder is alive, as this process can tell at this time."""
    leased = bool(row.lease_until > now)
    if not _same_place(row, observer):
        return leased
    if row.pid == observer.pid:
        return bool(row.started == observer.started)
    started = _started(row.pid)
    if started and row.started and started != row.started:
        return False  # the number was given to another process
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
    """A file descriptor that becomes readable when this living holder dies; None when only its lease will tell.

    ProcessLookupError when it is dead already.
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
    """When a process started, in the system's own count; empty where that cannot be known."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    return text.rpartition(")")[2].split()[19]  # the 22nd field; the second is a name that may hold anything
