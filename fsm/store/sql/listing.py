"""Reading messages: which ones a store has, one of them with its content, and which stores there are.

A store's messages are found by the parts of its queue, the claims and what is set aside: no index names the store of
each message, because every message would pay for it.  All are read by one statement, as they were at one moment: one
that falls due meanwhile is there once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa

from fsm.store.message import Message
from fsm.store.sql.messages import COLUMNS, to_message
from fsm.store.sql.schema import CONTENTS, MESSAGES, PARTS, PROCESSES, STORES

__all__ = ["list_messages", "list_stores", "read_message"]

FIND: Final = sa.select(STORES.c.number).where(
    STORES.c.store == sa.bindparam("store"), STORES.c.profile == sa.bindparam("profile")
)
WHOLE: Final = (
    sa.select(*[MESSAGES.c[name] for name in COLUMNS.split(", ")], CONTENTS.c.content)
    .join(CONTENTS, CONTENTS.c.id == MESSAGES.c.id)
    .where(MESSAGES.c.id == sa.bindparam("one"), MESSAGES.c.store == FIND.scalar_subquery())
)
STATES: Final = ("ready", "deferred", "claimed", "held", "failed", "uncertain")


def list_messages(connection: sa.Connection, store: str, profile: str, states: Sequence[str]) -> list[Message]:
    """Return the messages of a store in these states (all if there are none), oldest first, without their content."""
    number = connection.scalar(FIND, {"store": store, "profile": profile})
    if number is None:
        return []
    parts = sa.select(PARTS.c.number).where(PARTS.c.store == number)
    processes = sa.select(PROCESSES.c.number)
    place = {
        "ready": MESSAGES.c.part.in_(parts), "deferred": MESSAGES.c.part.in_(parts),
        "claimed": MESSAGES.c.process.in_(processes), "held": sa.true(), "failed": sa.true(),
    }  # fmt: skip
    columns = [MESSAGES.c[name] for name in COLUMNS.split(", ")]
    of_store = sa.select(*columns).where(MESSAGES.c.store == number)
    wanted = [one for one in STATES if not states or one in states]
    queries = [
        of_store.where(MESSAGES.c.state == sa.literal(one, literal_execute=True), place[one])
        for one in wanted
        if one in place
    ]
    unowned = MESSAGES.c.part.is_(None) & MESSAGES.c.state.in_(
        sa.bindparam("states", [one for one in wanted if one in ("ready", "deferred", "uncertain")], expanding=True)
    )
    queries.append(of_store.where(unowned))
    rows: list[Any] = sorted(map(tuple, connection.execute(sa.union_all(*queries))))
    return [to_message(row, b"") for row in rows]


def read_message(connection: sa.Connection, store: str, profile: str, id: str) -> Message | None:
    """Return a message of a store with its content, or None."""
    row: Any = connection.execute(WHOLE, {"store": store, "profile": profile, "one": id}).first()
    return to_message(row[:-1], bytes(row[-1])) if row is not None else None


def list_stores(connection: sa.Connection, profile: str) -> list[str]:
    """Return the names of the stores of a profile, sorted."""
    return sorted(connection.scalars(sa.select(STORES.c.store).where(STORES.c.profile == profile)))
