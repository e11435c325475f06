"""The journal in the database: written in the transactions that it records, and read as JSON Lines.

Theory.
1. Reading begins with the header of the newest chart and yields the sessions of that chart.  A session that was
   recorded when the chart behaved otherwise could not be replayed now.
2. One holder writes the entries of a session, in order.  Entries of several holders may be mixed.
3. Old entries are deleted by whole sessions, so that what remains can be replayed from its start.
4. Reading adds no holder and changes nothing.  A follower rereads some of the last numbers, because the database gives
   out numbers before transactions end, and transactions end in any order.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from fsm.store.sql.connect import check_version, engine_for, storage_errors, url_for
from fsm.store.sql.execute import execute
from fsm.store.sql.schema import CHARTS, JOURNAL

__all__ = ["JournalFollower", "JournalWriter", "is_written", "read_journal", "trim"]

KEPT: Final = 200_000
"""Entries that are kept."""
BACK: Final = 1000
"""Numbers that a follower rereads: more than all transactions under way at the same time can write."""
ROWS: Final = 1000
"""Rows that are fetched at a time."""
PATIENCE: Final = 5.0
"""Seconds that a reader waits for a lock or a connection."""

RECORD: Final = sa.insert(JOURNAL)
BEGIN: Final = sa.insert(CHARTS)
NEWEST: Final = sa.select(CHARTS.c.header).order_by(CHARTS.c.number.desc()).limit(1)
ENTRIES: Final = (
    sa.select(JOURNAL.c.number, JOURNAL.c.entry)
    .where(
        JOURNAL.c.number > sa.bindparam("after"),
        JOURNAL.c.session.in_(sa.select(CHARTS.c.session).where(CHARTS.c.header == sa.bindparam("one"))),
    )
    .order_by(JOURNAL.c.number)
)
SPAN: Final = sa.select(sa.func.max(JOURNAL.c.number) - sa.func.min(JOURNAL.c.number) + 1)
SESSIONS: Final = (
    sa.select(JOURNAL.c.session, sa.func.count())
    .group_by(JOURNAL.c.session)
    .order_by(sa.func.max(JOURNAL.c.number).desc())
)
WRITTEN: Final = sa.select(
    sa.exists().where(JOURNAL.c.session == sa.bindparam("one"), JOURNAL.c.entry == sa.bindparam("line"))
)
FORGET: Final = tuple(sa.delete(table).where(table.c.session == sa.bindparam("one")) for table in (JOURNAL, CHARTS))


class JournalWriter:
    """Collects the journal entries of a transaction, and writes them at its end.  `last` is the row of the last one."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection
        self.last: dict[str, str] | None = None
        self._entries: list[dict[str, str]] = []
        self._charts: list[dict[str, str]] = []

    def begin(self, session: str, header: str, line: str) -> None:
        """See `storage.Transaction`."""
        self._charts.append({"session": session, "header": header})
        self.record(session, line)

    def record(self, session: str, line: str) -> None:
        """See `storage.Transaction`."""
        self.last = {"session": session, "entry": line}
        self._entries.append(self.last)

    def flush(self) -> None:
        """Write the collected entries."""
        for statement, rows in ((BEGIN, self._charts), (RECORD, self._entries)):
            if rows:
                execute(self._connection, statement, rows)
                rows.clear()


def is_written(connection: sa.Connection, entry: Mapping[str, str]) -> bool:
    """Return whether this entry is there, after waiting for all transactions that write entries.  PostgreSQL only."""
    connection.execute(sa.text(f"LOCK TABLE {JOURNAL.name} IN SHARE MODE"))
    return bool(connection.scalar(WRITTEN, {"one": entry["session"], "line": entry["entry"]}))


def trim(connection: sa.Connection, living: Collection[str], kept: int = KEPT) -> None:
    """Delete the oldest sessions beyond the newest `kept` entries, but none of a living holder."""
    if (connection.scalar(SPAN) or 0) <= kept:
        return
    total = 0
    for session, count in connection.execute(SESSIONS).all():
        total += count
        if total > kept and session.partition("-")[0] not in living:  # a holder may have several
            for statement in FORGET:
                connection.execute(statement, {"one": session})


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
                header = connection.scalar(NEWEST)
                if header is None:
                    return
                yield header.encode() + b"\n"
                bound = {"after": 0, "one": header}
                for row in connection.execute(ENTRIES, bound, execution_options={"yield_per": ROWS}):
                    yield row.entry.encode() + b"\n"
        finally:
            engine.dispose()


class JournalFollower:
    """Reads a journal while it is written.  Close it at the end.

    Creating it or reading from it raises StorageError if there is no store or it cannot be read.
    """

    def __init__(self, where: str | Path) -> None:
        self._url = url_for(where)
        self._engine = engine_for(self._url, PATIENCE, reading=True)
        self._header: str | None = None
        self._last = 0
        self._recent: set[int] = set()
        try:
            with storage_errors(self._url), self._engine.connect() as connection:
                check_version(connection, self._url)
        except BaseException:
            self.close()
            raise

    def more(self) -> list[bytes]:
        """Return the lines that are new since the last call, at most some thousands."""
        lines: list[bytes] = []
        with storage_errors(self._url), self._engine.connect() as connection:
            if self._header is None:
                self._header = connection.scalar(NEWEST)
                if self._header is None:
                    return lines
                lines.append(self._header.encode() + b"\n")
            bound = {"after": self._last - BACK, "one": self._header}
            for row in connection.execute(ENTRIES.limit(4 * BACK), bound):
                if row.number not in self._recent:
                    self._recent.add(row.number)
                    self._last = max(self._last, row.number)
                    lines.append(row.entry.encode() + b"\n")
        self._recent = {number for number in self._recent if number > self._last - BACK}
        return lines

    def close(self) -> None:
        """Close the connections to the database."""
        self._engine.dispose()
