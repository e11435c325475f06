"""The tables of a spooler's database.

Theory.
1. A row of `fsm_messages` changes with each step of its message.  The content is in a row of its own that never
   changes, so that a step does not write megabytes again; it is deleted with its message.
2. `state` is a state of the chart in `fsm.store.life`.  Sender, recipients and headers are JSON, because a text column
   cannot hold every string: PostgreSQL refuses U+0000 and lone surrogates.  `headers` is null if there are none.
3. A ready or deferred message belongs to a part of its store's queue, and a part to a process, or to nobody.  Coming,
   going and adopting change the rows of parts; `ready` and `deferred` are right while the part is `clean`, but for the
   notes in `fsm_taken`.  `process` of a message is the one that is sending it.
4. After a crash the messages of a part are counted.  The indexes for that end with the state, although it is the same
   in all of an index: SQLite would read each row to see it.
5. A row of the journal is a commit: lines of JSON, compressed, by which process and which of its commits.  The header
   of the lines' chart is in `fsm_charts`.

Rows refer to each other by numbers without foreign keys, since a check at each message would cost more than the step.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

__all__ = [
    "ABOUT", "CHARTS", "CONTENTS", "JOURNAL", "MESSAGES", "METADATA", "PARTS", "PROCESSES", "STORES", "TAKEN",
    "VERSION",
]  # fmt: skip

METADATA: Final = sa.MetaData()
VERSION: Final = 3
"""The version of the tables; raised by a change after which an older program could no longer use them safely."""


def _index(name: str, condition: str, *columns: str) -> sa.Index:
    where = sa.text(condition)
    return sa.Index(f"fsm_messages_{name}", *columns, sqlite_where=where, postgresql_where=where)


ABOUT: Final = sa.Table("fsm_about", METADATA, sa.Column("version", sa.Integer, primary_key=True, autoincrement=False))
STORES: Final = sa.Table(
    "fsm_stores", METADATA,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("store", sa.String, nullable=False), sa.Column("profile", sa.String, nullable=False),
    sa.UniqueConstraint("store", "profile"),
)  # fmt: skip
PROCESSES: Final = sa.Table(
    "fsm_processes", METADATA,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("host", sa.String, nullable=False),  # this and the next three: `processes.Process`
    sa.Column("boot", sa.String, nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
    sa.Column("started", sa.String, nullable=False),
    sa.Column("lease_until", sa.Float, nullable=False),
    sa.Column("bell", sa.String, nullable=False),  # where it hears the others
    sqlite_autoincrement=True,  # a number is never used again, because rows of messages may still have it
)  # fmt: skip
PARTS: Final = sa.Table(
    "fsm_parts", METADATA,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("store", sa.Integer, nullable=False, index=True),
    sa.Column("process", sa.Integer, index=True),
    sa.Column("ready", sa.Integer, nullable=False),
    sa.Column("deferred", sa.Integer, nullable=False),
    sa.Column("clean", sa.Integer, nullable=False),
)  # fmt: skip
MESSAGES: Final = sa.Table(
    "fsm_messages", METADATA,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("store", sa.Integer, nullable=False),
    sa.Column("part", sa.Integer),
    sa.Column("state", sa.String, nullable=False),
    sa.Column("process", sa.Integer),
    sa.Column("due", sa.Float),
    sa.Column("wait", sa.Float),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("uncertain", sa.Integer, nullable=False),
    sa.Column("reason", sa.String),
    sa.Column("submitted", sa.Float, nullable=False),
    sa.Column("sender", sa.String, nullable=False),
    sa.Column("recipients", sa.String, nullable=False),
    sa.Column("headers", sa.String),
    _index("ready", "state = 'ready'", "part", "id", "state"),
    _index("claimed", "state = 'claimed'", "process"),
    _index("deferred", "state = 'deferred'", "part", "due", "state"),
    _index("aside", "state in ('held', 'failed')", "store"),
    _index("unowned", "part is null and state in ('ready', 'deferred', 'uncertain')", "store"),
    sqlite_with_rowid=False,
)  # fmt: skip
CONTENTS: Final = sa.Table(
    "fsm_contents", METADATA,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("content", sa.LargeBinary, nullable=False),
)  # fmt: skip
TAKEN: Final = sa.Table(
    "fsm_taken", METADATA,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("part", sa.Integer, nullable=False, index=True),
    sa.Column("ready", sa.Integer, nullable=False),
    sa.Column("deferred", sa.Integer, nullable=False),
)  # fmt: skip
JOURNAL: Final = sa.Table(
    "fsm_journal", METADATA,
    sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("process", sa.Integer, nullable=False),
    sa.Column("serial", sa.Integer, nullable=False),
    sa.Column("chart", sa.Integer, nullable=False),
    sa.Column("written", sa.Float, nullable=False),
    sa.Column("size", sa.Integer, nullable=False),
    sa.Column("lines", sa.LargeBinary, nullable=False),
    sqlite_autoincrement=True,  # a follower counts on rising numbers
)  # fmt: skip
CHARTS: Final = sa.Table(
    "fsm_charts", METADATA,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("header", sa.String, nullable=False, unique=True),
)  # fmt: skip
