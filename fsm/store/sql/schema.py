"""The tables of a store's database.

Theory.
1. A row of `fsm_messages` changes with each step of its message.  The content is in a row of its own that never
   changes, so that a step does not write megabytes again; it is deleted with its message.
2. Sender and recipients are JSON, because a text column cannot hold every string: PostgreSQL refuses U+0000 and lone
   surrogates.
3. `owner` is the id of the holder that counts a ready or deferred message, or is sending a claimed one.  Held and
   failed messages have none.  It is no foreign key: a holder is deleted before its messages are given to others.
4. An entry of the journal is one JSON line.  A session's start record names its chart; the header of that chart is in
   `fsm_journal_charts`, once for each session.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

__all__ = ["ABOUT", "CHARTS", "CONTENTS", "HOLDERS", "JOURNAL", "MESSAGES", "METADATA", "STORES", "VERSION"]

METADATA: Final = sa.MetaData()
VERSION: Final = 1
"""The version of the tables; raised by a change after which an older program could no longer use them safely."""

ABOUT: Final = sa.Table("fsm_about", METADATA, sa.Column("version", sa.Integer, primary_key=True, autoincrement=False))
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
    sa.Column("host", sa.String, nullable=False),  # this and the next three: `holders.Process`
    sa.Column("boot", sa.String, nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
    sa.Column("started", sa.String, nullable=False),
    sa.Column("opened", sa.Float, nullable=False),
    sa.Column("lease_until", sa.Float, nullable=False),
    sa.Column("left", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("bell", sa.String, nullable=False, server_default=""),  # the address of its notifier
)  # fmt: skip
MESSAGES: Final = sa.Table(
    "fsm_messages", METADATA,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("store", sa.Integer, sa.ForeignKey(STORES.c.number), nullable=False),
    sa.Column("state", sa.String, nullable=False),
    sa.Column("owner", sa.String),
    sa.Column("due", sa.Float),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("uncertain", sa.Integer, nullable=False),
    sa.Column("reason", sa.String),
    sa.Column("submitted", sa.Float, nullable=False),
    sa.Column("sender", sa.String, nullable=False),
    sa.Column("recipients", sa.String, nullable=False),
    sa.Index("fsm_messages_by_state", "store", "state", "id"),
    sqlite_with_rowid=False,
)  # fmt: skip
CONTENTS: Final = sa.Table(
    "fsm_contents", METADATA,
    sa.Column("id", sa.String, sa.ForeignKey(MESSAGES.c.id, ondelete="CASCADE"), primary_key=True),
    sa.Column("content", sa.LargeBinary, nullable=False),
)  # fmt: skip
JOURNAL: Final = sa.Table(
    "fsm_journal", METADATA,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("session", sa.String, nullable=False),
    sa.Column("entry", sa.String, nullable=False),
)  # fmt: skip
CHARTS: Final = sa.Table(
    "fsm_journal_charts", METADATA,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("session", sa.String, nullable=False),
    sa.Column("header", sa.String, nullable=False),
    sa.Index("fsm_journal_charts_by_header", "header", "session"),
)  # fmt: skip
