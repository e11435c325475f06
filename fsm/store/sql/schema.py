"""Messages as tables: the two there are, how a message is written in them, and how it is read.

Theory.
1. A message is a row that changes; its content is a row of its own that never does, so that a change does not write
   megabytes again.  It goes with its message.
2. Who sent it and to whom is JSON, and a reason is plain text: text in a database may not hold everything.

This file knows no transaction; what moves a message from one place to the next is in `messages.py`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa

from fsm.store.message import Message
from fsm.store.sql.connect import METADATA
from fsm.store.sql.holders import STORES

__all__ = ["CONTENTS", "MESSAGES", "TOLD", "listed", "message_of", "packed", "plain", "row_of", "whole"]

MESSAGES: Final = sa.Table(
    "fsm_messages", METADATA,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("store", sa.Integer, sa.ForeignKey(STORES.c.number), nullable=False),
    sa.Column("state", sa.String, nullable=False),
    sa.Column("owner", sa.String),  # no foreign key: a holder goes first, then what it had
    sa.Column("due", sa.Float),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("uncertain", sa.Integer, nullable=False),
    sa.Column("reason", sa.String),
    sa.Column("submitted", sa.Float, nullable=False),
    sa.Column("sender", sa.String, nullable=False),  # JSON, as the next: text in a database may not hold everything
    sa.Column("recipients", sa.String, nullable=False),
    sa.Index("fsm_messages_by_state", "store", "state", "id"),
    sqlite_with_rowid=False,
)  # fmt: skip
CONTENTS: Final = sa.Table(
    "fsm_contents", METADATA,
    sa.Column("id", sa.String, sa.ForeignKey(MESSAGES.c.id, ondelete="CASCADE"), primary_key=True),
    sa.Column("content", sa.LargeBinary, nullable=False),
)  # fmt: skip
TOLD: Final = [column for column in MESSAGES.c if column.name not in ("store", "owner")]
ENCODE: Final = json.JSONEncoder(separators=(",", ":")).encode

STORE: Final = sa.bindparam("number", type_=sa.Integer)
LIST: Final = sa.select(*TOLD).where(MESSAGES.c.store == STORE).order_by(MESSAGES.c.id)
LIST_SOME: Final = LIST.where(MESSAGES.c.state.in_(sa.bindparam("states", expanding=True)))
WHOLE: Final = (
    sa.select(*TOLD, CONTENTS.c.content)
    .join(CONTENTS, CONTENTS.c.id == MESSAGES.c.id)
    .where(MESSAGES.c.store == STORE, MESSAGES.c.id == sa.bindparam("id"))
)


def listed(connection: sa.Connection, number: int, states: Sequence[str]) -> list[Message]:
    """The messages of a store in these states, or all of them, oldest first, without their content."""
    bound: dict[str, object] = {"number": number}
    if states:
        bound["states"] = list(states)
    return [message_of(row, b"") for row in connection.execute(LIST_SOME if states else LIST, bound)]


def whole(connection: sa.Connection, number: int, id: str) -> Message | None:
    """A message of a store with its content; None when it is not there."""
    row: Any = connection.execute(WHOLE, {"number": number, "id": id}).first()
    return message_of(row[:-1], bytes(row[-1])) if row is not None else None


def row_of(message: Message, number: int, owner: str | None) -> dict[str, object]:
    """A new message of this store, ready and this holder's, but for its content."""
    return {
        "id": message.id, "store": number, "state": "ready", "owner": owner, "due": None,
        "attempts": message.attempts, "uncertain": message.uncertain, "reason": plain(message.reason),
        "submitted": message.submitted, "sender": packed(message.sender), "recipients": packed(message.recipients),
    }  # fmt: skip


def message_of(told: Sequence[Any], content: bytes) -> Message:
    """The message that these columns (`TOLD`) tell of."""
    id, state, due, attempts, uncertain, reason, submitted, sender, recipients = told
    to = tuple(json.loads(recipients))
    return Message(id, content, json.loads(sender), to, submitted, state, due, attempts, uncertain, reason)


def packed(told: str | Sequence[str]) -> str:
    """An address, or several, as a column holds them."""
    return ENCODE(told)


def plain(reason: str | None) -> str | None:
    """A reason as any database can hold it: it is read by people, so what cannot be written is written about."""
    if reason is None or (reason.isascii() and "\0" not in reason):
        return reason
    return reason.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
