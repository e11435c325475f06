"""The journal in the database: written in the transactions that it records, and read as JSON Lines.

Theory.
1. A row is a commit: its lines, compressed.  An entry says what happened and to which message; what follows from the
   chart is not written.
2. What is kept is limited by age, size and number of commits.  The rows that go are the oldest, whichever session they
   are of; so each session writes a start record again after every part of the limit (`SEGMENTS`), and a reader passes
   over the entries of a session before its first start record.
3. Reading begins with the header of the newest chart and yields the lines of that chart.  What was recorded when the
   chart behaved otherwise could not be replayed now.
4. One process writes the entries of a session, in order.  Entries of several processes may be mixed.
5. Reading changes nothing.  A follower rereads some of the last numbers, because the database gives out numbers before
   transactions end, and transactions end in any order.
"""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from fsm.store.sql.connect import check_version, engine_for, storage_errors, url_for
from fsm.store.sql.driver import Driver
from fsm.store.sql.schema import CHARTS, JOURNAL

__all__ = ["JournalFollower", "JournalWriter", "Keep", "is_written", "read_journal"]

SEGMENTS: Final = 16
"""Start records of a session in what is kept."""
BACK: Final = 1000
"""Numbers that a follower rereads: more than all transactions under way at the same time can write."""
ROWS: Final = 100
"""Rows that are fetched at a time."""
PATIENCE: Final = 5.0
"""Seconds that a reader waits for a lock or a connection."""

CREATE: Final = "INSERT INTO fsm_charts (header) VALUES (?) ON CONFLICT DO NOTHING"
FIND: Final = "SELECT number FROM fsm_charts WHERE header = ?"
WRITE: Final = (
    "INSERT INTO fsm_journal (process, serial, chart, written, size, lines) VALUES (?, ?, ?, ?, ?, ?)"
)
TRIM: Final = "DELETE FROM fsm_journal WHERE number < ?"
SIZES: Final = "SELECT number, written, size FROM fsm_journal ORDER BY number DESC"
NEWEST_CHART: Final = (
    sa.select(JOURNAL.c.chart).where(JOURNAL.c.chart > 0).order_by(JOURNAL.c.number.desc()).limit(1).scalar_subquery()
)
NEWEST: Final = (
    sa.select(CHARTS.c.number, CHARTS.c.header)
    .where(CHARTS.c.number == NEWEST_CHART)
)  # fmt: skip
ENTRIES: Final = (
    sa.select(JOURNAL.c.number, JOURNAL.c.lines)
    .where(JOURNAL.c.number > sa.bindparam("after"), JOURNAL.c.chart == sa.bindparam("of"))
    .order_by(JOURNAL.c.number)
)
WRITTEN: Final = sa.select(
    sa.exists().where(JOURNAL.c.process == sa.bindparam("one"), JOURNAL.c.serial == sa.bindparam("commit"))
)


@dataclass(frozen=True, slots=True)
class Keep:
    """How much of a journal is kept: the last `seconds`, but at most so many `bytes` (compressed) and `commits`.

    ValueError for what is not positive.
    """

    seconds: float = 86_400.0
    bytes: float = 64e6
    commits: float = float("inf")

    def __post_init__(self) -> None:
        if min(self.seconds, self.bytes, self.commits) <= 0:
            raise ValueError(f"a journal keeps something: {self} does not")


class JournalWriter:
    """Writes the journal of one process; `keep` is what is kept of all.

    `segment` is the number of the present part of the limit: with a new one every session writes a start record.
    """

    def __init__(self, keep: Keep) -> None:
        self.serial, self.segment = 0, 0
        self._keep = keep
        self._charts: dict[str, int] = {"": 0}
        self._began = time.time()
        self._bytes = self._commits = 0

    def write(self, driver: Driver, process: int, header: str, lines: Sequence[str]) -> None:
        """Write these lines as a row; `header` is that of their chart's journals, empty if there are no lines."""
        if header not in self._charts:
            found = driver.fetch(FIND, header)
            if not found:
                driver.run(CREATE, header)
                found = driver.fetch(FIND, header)
            self._charts[header] = found[0][0]
        self.serial += 1
        packed = _packed("\n".join(lines).encode()) if lines else b""
        driver.run(WRITE, process, self.serial, self._charts[header], time.time(), len(packed), packed)
        self._bytes += len(packed)
        self._commits += 1

    def forget(self) -> None:
        """Forget what a transaction has found that was not committed."""
        self._charts = {"": 0}

    def turn(self, driver: Driver) -> None:
        """Begin a new segment if the present one is full, and delete what is beyond the limit.  In a transaction."""
        keep = self._keep
        now = time.time()
        full = (self._bytes * SEGMENTS >= keep.bytes, self._commits * SEGMENTS >= keep.commits)
        if not any(full) and 0 <= (now - self._began) * SEGMENTS < keep.seconds:
            return
        self.segment += 1
        self._began, self._bytes, self._commits = now, 0, 0
        size = count = 0
        most_bytes, most_commits = (most * (SEGMENTS - 1) / SEGMENTS for most in (keep.bytes, keep.commits))
        oldest = now - keep.seconds * (SEGMENTS + 1) / SEGMENTS
        for number, written, length in driver.fetch(SIZES):
            size, count = size + length, count + 1
            if size > most_bytes or count > most_commits or written < oldest:
                driver.run(TRIM, number + 1)
                break


def _packed(text: bytes) -> bytes:
    """Compress it with a window of 4 KB: zlib's usual one clears 256 KB first, which takes longer than all the rest."""
    packer = zlib.compressobj(1, zlib.DEFLATED, 12, 4)
    return packer.compress(text) + packer.flush()


def is_written(connection: sa.Connection, process: int, serial: int) -> bool:
    """Return whether this commit is there, after waiting for all transactions that write.  PostgreSQL only."""
    connection.execute(sa.text(f"LOCK TABLE {JOURNAL.name} IN SHARE MODE"))
    return bool(connection.scalar(WRITTEN, {"one": process, "commit": serial}))


class _Sessions:
    """The lines of a journal, without the entries of sessions whose start record is not there any more."""

    def __init__(self) -> None:
        self._begun: set[str] = set()

    def lines(self, packed: bytes) -> Iterable[bytes]:
        """Return the lines of a row."""
        for line in zlib.decompress(packed).split(b"\n") if packed else ():
            entry = json.loads(line)
            if "start" in entry:
                self._begun.add(entry["session"])
            if entry["session"] in self._begun:
                yield line + b"\n"


def read_journal(where: str | Path) -> Iterator[bytes]:
    """Yield the lines of the journal in the database at this path or URL, as it is when the first one is read.

    Raise StorageError, at the first line, if there is no store or it cannot be read.
    """
    url = url_for(where)
    with storage_errors(url):
        engine = engine_for(url, PATIENCE, reading=True)
        try:
            with engine.connect() as connection:
                check_version(connection, url)
                found = connection.execute(NEWEST).first()
                if found is None:
                    return
                yield found.header.encode() + b"\n"
                sessions, bound = _Sessions(), {"after": 0, "of": found.number}
                for row in connection.execute(ENTRIES, bound, execution_options={"yield_per": ROWS}):
                    yield from sessions.lines(row.lines)
        finally:
            engine.dispose()


class JournalFollower:
    """Reads a journal while it is written.  Close it at the end.

    Creating it or reading from it raises StorageError if there is no store or it cannot be read.
    """

    def __init__(self, where: str | Path) -> None:
        self._url = url_for(where)
        self._engine = engine_for(self._url, PATIENCE, reading=True)
        self._chart: int | None = None
        self._last = 0
        self._recent: set[int] = set()
        self._sessions = _Sessions()
        try:
            with storage_errors(self._url), self._engine.connect() as connection:
                check_version(connection, self._url)
        except BaseException:
            self.close()
            raise

    def more(self) -> list[bytes]:
        """Return the lines that are new since the last call, of at most some thousands of commits."""
        lines: list[bytes] = []
        with storage_errors(self._url), self._engine.connect() as connection:
            if self._chart is None:
                found = connection.execute(NEWEST).first()
                if found is None:
                    return lines
                self._chart = found.number
                lines.append(found.header.encode() + b"\n")
            bound = {"after": self._last - BACK, "of": self._chart}
            for row in connection.execute(ENTRIES.limit(4 * BACK), bound):
                if row.number not in self._recent:
                    self._recent.add(row.number)
                    self._last = max(self._last, row.number)
                    lines += self._sessions.lines(row.lines)
        self._recent = {number for number in self._recent if number > self._last - BACK}
        return lines

    def close(self) -> None:
        """Close the connections to the database."""
        self._engine.dispose()
