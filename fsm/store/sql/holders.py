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
import select as waiting
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from fsm.store.sql.connect import METADATA
from fsm.store.storage import Peer

__all__ = ["HOLDERS", "STORES", "Here", "Holder", "Registry", "alive", "here", "lock_store", "now", "watched"]

STORES: Final = sa.Table(
    "fsm_stores", METADATA,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("store", sa.String, nullable=False), sa.Column("profile", sa.String, nullable=False),
    sa.UniqueConstraint("store", "profile"),
)  # fmt: skip
HOLDERS: Final = sa.Table(
    "fsm_holders", METADATA,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("store", sa.Integer, sa.ForeignKey(STORES.c.number), nullable=False, index=True),
    sa.Column("host", sa.String, nullable=False),  # what `Here` says, in this and the next three
    sa.Column("boot", sa.String, nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
    sa.Column("started", sa.String, nullable=False),
    sa.Column("opened", sa.Float, nullable=False),
    sa.Column("lease_until", sa.Float, nullable=False),
    sa.Column("left", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("bell", sa.String, nullable=False, server_default=""),
)  # fmt: skip

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
ENTER: Final = sa.insert(HOLDERS)
GO: Final = sa.delete(HOLDERS).where(HOLDERS.c.id == sa.bindparam("one"))
LEAVE: Final = sa.update(HOLDERS).where(HOLDERS.c.id == sa.bindparam("me")).values(left=True)
RENEW: Final = sa.update(HOLDERS).where(HOLDERS.c.id == sa.bindparam("me")).values(lease_until=sa.bindparam("until"))
CLOCK: Final = sa.select(sa.extract("epoch", sa.func.clock_timestamp()))


class Here(NamedTuple):
    """A process, told apart from every other; `boot` names the running system and its process namespace."""

    host: str
    boot: str
    pid: int
    started: str


class Holder(NamedTuple):
    """What this process is entered as."""

    id: str
    number: int
    here: Here
    lease: float


@dataclass(frozen=True, slots=True)
class Registry:
    """The holders of one store, as one of them sees and changes them in a transaction."""

    connection: sa.Connection
    holder: Holder
    clock: Callable[[], float] | None

    def enter(self, bell: str, *, opened: float | None = None) -> float:
        """Become a holder, now; answers when that was."""
        at = now(self.connection, self.clock)
        row = self.holder.here._asdict() | {"id": self.holder.id, "store": self.holder.number, "bell": bell}
        times = {"opened": at if opened is None else opened, "lease_until": at + self.holder.lease}
        self.connection.execute(ENTER, row | times)
        return at

    def others(self) -> Sequence[sa.Row[tuple[object, ...]]]:
        """All other holders, also those that have left, and the dead."""
        return self.connection.execute(OTHERS, {"number": self.holder.number, "me": self.holder.id}).all()

    def lock(self) -> None:
        """From here to the end of the transaction nobody comes or goes."""
        self.connection.execute(LOCK, {"number": self.holder.number})

    def sweep(self) -> tuple[tuple[Peer, ...], bool]:
        """The living peers, and whether somebody was found dead.  The dead are holders no longer."""
        at = now(self.connection, self.clock)
        rows = self.others()
        dead = [row.id for row in rows if not alive(row, self.holder.here, at)]
        for one in dead:
            self.connection.execute(GO, {"one": one})
        living = (row for row in rows if row.id not in dead and not row.left)
        return tuple(Peer(row.id, row.host, row.pid, row.opened) for row in living), bool(dead)

    def lives(self, id: str) -> bool:
        """Whether this other holder is there and alive."""
        at = now(self.connection, self.clock)
        return any(row.id == id and alive(row, self.holder.here, at) for row in self.others())

    def leave(self) -> None:
        """Be nobody's peer any more."""
        self.connection.execute(LEAVE, {"me": self.holder.id})

    def close(self) -> None:
        """Be no holder any more."""
        self.connection.execute(GO, {"one": self.holder.id})

    def renew(self) -> bool:
        """Make the lease longer; False when there is none, because others took us for dead."""
        until = now(self.connection, self.clock) + self.holder.lease
        return self.connection.execute(RENEW, {"me": self.holder.id, "until": until}).rowcount > 0


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


def now(connection: sa.Connection, clock: Callable[[], float] | None) -> float:
    """The time leases are read off, in seconds since 1970: this clock, or the server's."""
    if clock is not None:
        return clock()
    return float(connection.scalar(CLOCK) or 0.0)


# ------------------------------------------------------------------------------------------------------ processes


def here(host: str | None = None) -> Here:
    """This process."""
    boot = ""
    with suppress(OSError):
        running = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        boot = f"{running} {Path('/proc/self/ns/pid').readlink()}"
    return Here(host if host is not None else socket.gethostname(), boot, os.getpid(), _started(os.getpid()))


def alive(row: sa.Row[tuple[object, ...]], here: Here, at: float) -> bool:
    """Whether a holder lives, seen from here at this time."""
    leased = bool(row.lease_until > at)
    if not _same_place(row, here):
        return leased
    if row.pid == here.pid:
        return bool(row.started == here.started)
    started = _started(row.pid)
    if started and row.started and started != row.started:
        return False  # the number was given to another process
    if not hasattr(os, "pidfd_open"):
        return leased
    try:
        process = os.pidfd_open(row.pid)
    except ProcessLookupError:
        return False
    except OSError:
        return leased
    try:
        return not _ended(process)
    finally:
        os.close(process)


def watched(row: sa.Row[tuple[object, ...]], here: Here) -> int | None:
    """A file descriptor that becomes readable when this living holder dies; None when only its lease will tell.

    ProcessLookupError when it is dead already.
    """
    if not _same_place(row, here) or not hasattr(os, "pidfd_open"):
        return None
    try:
        return os.pidfd_open(row.pid)
    except ProcessLookupError:
        raise
    except OSError:
        return None


def _same_place(row: sa.Row[tuple[object, ...]], here: Here) -> bool:
    return bool(here.boot) and row.host == here.host and row.boot == here.boot


def _ended(process: int) -> bool:
    poll = waiting.poll()
    poll.register(process, waiting.POLLIN)
    return bool(poll.poll(0))


def _started(pid: int) -> str:
    """When a process started, in the system's own count; empty where that cannot be known."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    return text.rpartition(")")[2].split()[19]  # the 22nd field; the second is a name that may hold anything
