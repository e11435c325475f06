"""The messages in the database: the statements that move a message from one state to the next, and its rows.

Theory.
1. The condition of each statement says in which state a message must be and who must own it; other rows stay as they
   are.
2. Statements whose result nobody needs are collected and executed together, by kind, before anything is read and at the
   end.  No message is in two collections at once, so their order does not matter.
3. A message that is claimed before it has been written is written as claimed.  A message in the cache (`cache.py`) is
   claimed without being read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

import sqlalchemy as sa

from fsm.store.message import Message
from fsm.store.sql.cache import SubmittedCache
from fsm.store.sql.execute import execute, fetch, one_of
from fsm.store.sql.holders import Holders
from fsm.store.sql.schema import CONTENTS, HOLDERS, MESSAGES
from fsm.store.storage import LAPSED, Policy, Share

__all__ = ["Messages", "list_messages", "read_message"]

COLUMNS: Final = [column for column in MESSAGES.c if column.name not in ("store", "owner")]
ENCODE: Final = json.JSONEncoder(separators=(",", ":")).encode


def _state_in(*states: str) -> sa.ColumnElement[bool]:
    # without `literal` only `Connection.execute` would make parameters of the strings
    return MESSAGES.c.state.in_([sa.literal(state) for state in states])


ME, STORE = sa.bindparam("me", type_=sa.String), sa.bindparam("number", type_=sa.Integer)
ONE: Final = MESSAGES.c.id == sa.bindparam("one")  # in an UPDATE no parameter may have the name of a column
MINE: Final = (one_of(MESSAGES.c.id, "ids"), MESSAGES.c.owner == ME)
QUEUED: Final = (MESSAGES.c.store == STORE, _state_in("ready", "deferred"))
SENDING: Final = (ONE, MESSAGES.c.state == "claimed", MESSAGES.c.owner == ME)
CLAIMING: Final = {"state": "claimed", "owner": ME, "due": sa.null(), "attempts": MESSAGES.c.attempts + 1}
TO: Final = sa.func.coalesce(sa.bindparam("to", type_=sa.String), MESSAGES.c.recipients)
ENDED: Final = {
    "owner": sa.bindparam("then", type_=sa.String), "due": sa.bindparam("at", type_=sa.Float),
    "reason": sa.bindparam("why", type_=sa.String),
}  # fmt: skip
UNSURE: Final = MESSAGES.c.uncertain + sa.bindparam("unsure", type_=sa.Integer)

SUBMIT: Final = sa.insert(MESSAGES)
CONTENT: Final = sa.insert(CONTENTS)
SENT: Final = sa.delete(MESSAGES).where(*MINE, MESSAGES.c.state == "claimed")
DEFERRED: Final = sa.update(MESSAGES).where(*SENDING).values(**ENDED, state="deferred", recipients=TO, uncertain=UNSURE)
ASIDE: Final = sa.update(MESSAGES).where(*SENDING).values(
    **ENDED, state=sa.bindparam("now"), recipients=TO, uncertain=UNSURE
)  # fmt: skip
READY: Final = (*MINE, MESSAGES.c.state == "ready")
CLAIM: Final = sa.update(MESSAGES).where(*READY).values(**CLAIMING).returning(*COLUMNS)
CLAIM_CACHED: Final = sa.update(MESSAGES).where(*READY, MESSAGES.c.attempts == 0).values(**CLAIMING)
UNCLAIM: Final = sa.update(MESSAGES).where(*MINE, MESSAGES.c.state == "claimed").values(
    state="ready", attempts=MESSAGES.c.attempts - 1
)
CLAIMED: Final = sa.select(MESSAGES.c.id).where(*MINE, MESSAGES.c.state == "claimed")
OLDEST: Final = (
    sa.select(MESSAGES.c.id)
    .where(MESSAGES.c.store == STORE, MESSAGES.c.state == "ready", sa.func.coalesce(MESSAGES.c.owner, "") != ME)
    .order_by(MESSAGES.c.id)
    .limit(sa.bindparam("limit"))
    .with_for_update(skip_locked=True)
)  # fmt: skip
TAKE: Final = sa.update(MESSAGES).where(MESSAGES.c.id.in_(OLDEST)).values(**CLAIMING).returning(*COLUMNS)
READ: Final = sa.select(CONTENTS.c.id, CONTENTS.c.content).where(one_of(CONTENTS.c.id, "ids"))
DUE: Final = (
    sa.update(MESSAGES).where(*MINE, MESSAGES.c.state == "deferred").values(state="ready", due=sa.null())
    .returning(MESSAGES.c.id)
)  # fmt: skip
FIND: Final = sa.select(MESSAGES.c.state, MESSAGES.c.owner).where(ONE, MESSAGES.c.store == STORE).with_for_update()
DELETE: Final = sa.delete(MESSAGES).where(ONE)
RESUME: Final = (
    sa.update(MESSAGES).where(ONE, MESSAGES.c.store == STORE, _state_in("held", "failed"))
    .values(state="ready", owner=sa.bindparam("then", type_=sa.String), due=sa.null())
)  # fmt: skip
COUNTED: Final = sa.select(MESSAGES.c.id, MESSAGES.c.due).where(*QUEUED, MESSAGES.c.owner == ME)
ADOPT: Final = (
    sa.update(MESSAGES).where(*QUEUED, MESSAGES.c.owner == None).values(owner=ME)  # noqa: E711 - builds SQL
    .returning(MESSAGES.c.id, MESSAGES.c.due)
)  # fmt: skip
LEAVE: Final = sa.update(MESSAGES).where(*QUEUED, MESSAGES.c.owner == ME).values(owner=sa.null())
OWNER_IS_GONE: Final = MESSAGES.c.owner.not_in(sa.select(HOLDERS.c.id).where(HOLDERS.c.store == STORE))
ORPHANED: Final = sa.update(MESSAGES).where(*QUEUED, OWNER_IS_GONE).values(owner=sa.null())
LAPSE: Final = (
    sa.update(MESSAGES).where(MESSAGES.c.store == STORE, MESSAGES.c.state == "claimed", OWNER_IS_GONE)
    .values(state=sa.bindparam("now"), owner=sa.null(), reason=LAPSED, uncertain=MESSAGES.c.uncertain + 1)
    .returning(MESSAGES.c.id)
)  # fmt: skip
LIST: Final = sa.select(*COLUMNS).where(MESSAGES.c.store == STORE).order_by(MESSAGES.c.id)
WHOLE: Final = (
    sa.select(*COLUMNS, CONTENTS.c.content).join(CONTENTS, CONTENTS.c.id == MESSAGES.c.id)
    .where(MESSAGES.c.store == STORE, ONE)
)  # fmt: skip


class Messages:
    """The messages of one store, as one holder sees and changes them in a transaction.  See `storage.Transaction`.

    `left` is true once this holder has left; then the messages it defers are unowned.  `submitted` are the messages
    that were submitted in this transaction and are still ready; `claimed` are the ids of those claimed in it.
    """

    def __init__(self, connection: sa.Connection, holders: Holders, cache: SubmittedCache, *, left: bool) -> None:
        self.left = left
        self.submitted: dict[str, Message] = {}
        self.claimed: list[str] = []
        self._connection, self._holders, self._cache = connection, holders, cache
        self._bound = {"number": holders.me.store, "me": holders.me.id}
        self._pending: dict[sa.Executable, list[dict[str, object]]] = {}
        self._pending_ids: set[str] = set()
        self._pending_new: dict[str, tuple[Message, dict[str, object]]] = {}
        self._pending_sent: list[str] = []

    @property
    def _owner(self) -> str | None:
        return None if self.left else self._holders.me.id

    # --------------------------------------------------------------------------------- statements without a result

    def submit(self, message: Message) -> None:
        """See `storage.Transaction`."""
        row = _to_row(message, self._holders.me.store, self._owner)
        self._collect(SUBMIT, message.id, row)
        self._pending_new[message.id] = message, row
        self._pending.setdefault(CONTENT, []).append({"id": message.id, "content": message.content})

    def sent(self, id: str) -> None:
        """See `storage.Transaction`."""
        if id in self._pending_ids:
            self.flush()
        self._pending_ids.add(id)
        self._pending_sent.append(id)

    def deferred(
        self, id: str, due: float, reason: str, *, recipients: Sequence[str] | None = None, uncertain: bool = False
    ) -> None:
        """See `storage.Transaction`."""
        self._ended(DEFERRED, id, self._owner, due, reason, recipients, uncertain)

    def failed(self, id: str, reason: str, *, reported: bool, recipients: Sequence[str] | None = None) -> None:
        """See `storage.Transaction`."""
        if reported:
            self.sent(id)
        else:
            self._ended(ASIDE, id, None, None, reason, recipients, False, now="failed")

    def held(self, id: str, reason: str) -> None:
        """See `storage.Transaction`."""
        self._ended(ASIDE, id, None, None, reason, None, True, now="held")

    def _ended(
        self, statement: sa.Executable, id: str, owner: str | None, due: float | None, reason: str,
        recipients: Sequence[str] | None, uncertain: bool, **more: str,
    ) -> None:  # fmt: skip
        to = None if recipients is None else ENCODE(recipients)
        after = {"then": owner, "at": due, "why": _storable(reason), "to": to, "unsure": int(uncertain), **more}
        self._collect(statement, id, {"one": id, "me": self._holders.me.id, **after})

    def _collect(self, statement: sa.Executable, id: str, row: dict[str, object]) -> None:
        if id in self._pending_ids:
            self.flush()
        self._pending_ids.add(id)
        self._pending.setdefault(statement, []).append(row)

    def flush(self) -> None:
        """Execute the collected statements."""
        for statement, rows in self._pending.items():
            execute(self._connection, statement, rows)
        if self._pending_sent:
            self._execute_all(SENT, self._pending_sent)
        self.submitted |= {id: message for id, (message, _) in self._pending_new.items()}
        for collected in (self._pending, self._pending_ids, self._pending_new, self._pending_sent):
            collected.clear()

    # ------------------------------------------------------------------------------------ statements with a result

    def claim(self, ids: Sequence[str]) -> list[Message]:
        """See `storage.Transaction`."""
        claimed = {id: self._claim_pending(id) for id in ids if id in self._pending_new}
        written = [id for id in ids if id not in claimed]
        cached = {one.id: one.claimed() for one in self._uncache(written)}
        if unread := [id for id in written if id not in cached]:
            claimed |= {one.id: one for one in self._with_contents(self._fetch_all(CLAIM, unread))}
        if cached:
            claimed |= {id: cached[id] for id in self._claim_cached(list(cached))}
        self.claimed += claimed
        return [claimed[id] for id in dict.fromkeys(ids) if id in claimed]

    def _claim_pending(self, id: str) -> Message:
        """Claim a message that was submitted in this transaction and has not been written yet."""
        message, row = self._pending_new.pop(id)
        message = message.claimed()
        row |= {"state": message.state, "owner": self._holders.me.id, "attempts": message.attempts}
        return message

    def _claim_cached(self, ids: list[str]) -> list[str]:
        """Claim messages without reading them, and return the ids of those that were ready."""
        self.flush()
        if self._execute_all(CLAIM_CACHED, ids) == len(ids):
            return ids
        return [id for (id,) in self._fetch_all(CLAIMED, ids)]

    def unclaim(self, ids: Sequence[str]) -> None:
        """Undo the claims of this holder on these messages, if there are any."""
        if ids:
            self._execute_all(UNCLAIM, ids)

    def take(self, limit: int) -> list[Message]:
        """See `storage.Transaction`."""
        taken = self._with_contents(sorted(self._fetch(TAKE, limit=limit)))
        ids = [message.id for message in taken]
        self._uncache(ids)
        self.claimed += ids
        return taken

    def ready(self, ids: Sequence[str]) -> list[str]:
        """See `storage.Transaction`."""
        found = {id for (id,) in self._fetch_all(DUE, ids)}
        self._uncache(found)
        return [id for id in dict.fromkeys(ids) if id in found]

    def withdraw(self, id: str) -> str | None:
        """See `storage.Transaction`."""
        state, owner = next(iter(self._fetch(FIND, one=id)), (None, None))
        if state is None or state == "claimed":
            return state and str(state)
        if owner not in (None, self._holders.me.id) and self._holders.is_alive(owner):
            return "theirs"
        self._uncache([id])
        self._connection.execute(DELETE, {"one": id})
        return str(state)

    def resume(self, id: str) -> bool:
        """See `storage.Transaction`."""
        self.flush()
        self._uncache([id])
        bound = {"one": id, "number": self._holders.me.store, "then": self._owner}
        return self._connection.execute(RESUME, bound).rowcount > 0

    def share(self) -> Share:
        """See `storage.Transaction`."""
        share = Share.of((id, due) for id, due in self._fetch(COUNTED))
        self._cache.retain(share.ready)  # others have taken the rest
        return share

    def adopt(self) -> Share:
        """See `storage.Transaction`."""
        share = Share.of((id, due) for id, due in self._fetch(ADOPT))
        self._uncache(share.ready)  # others may have tried them meanwhile
        return share

    # ------------------------------------------------------------------------------------ holders that come or go

    def leave(self) -> None:
        """Make the ready and deferred messages of this holder unowned."""
        self.flush()
        self._connection.execute(LEAVE, self._bound)
        self.left = True

    def lapse(self, policy: Policy) -> tuple[str, ...]:
        """Let the claims of removed holders lapse, make their queued messages unowned; return the ids of the claims."""
        self.flush()
        self._connection.execute(ORPHANED, {"number": self._holders.me.store})
        bound = {"number": self._holders.me.store, "now": "ready" if policy == "resend" else "held"}
        return tuple(sorted(row.id for row in self._connection.execute(LAPSE, bound)))

    # -------------------------------------------------------------------------------------------------- reading

    def _execute_all(self, statement: sa.Executable, ids: Sequence[str]) -> int:
        """Execute a statement once for all these messages; return how many rows it changed."""
        return execute(self._connection, statement, [{"ids": list(ids), "me": self._holders.me.id}])

    def _fetch_all(self, statement: sa.Executable, ids: Sequence[str]) -> Sequence[tuple[Any, ...]]:
        return self._fetch(statement, ids=list(ids)) if ids else ()

    def _fetch(self, statement: sa.Executable, **bound: object) -> Sequence[tuple[Any, ...]]:
        self.flush()
        return fetch(self._connection, statement, self._bound | bound)

    def _with_contents(self, rows: Sequence[tuple[Any, ...]]) -> list[Message]:
        contents = dict(self._fetch_all(READ, [row[0] for row in rows]))
        return [_to_message(row, bytes(contents[row[0]])) for row in rows]

    def _uncache(self, ids: Iterable[str]) -> list[Message]:
        """Remove these messages from the cache; return those that were in it."""
        return [one for id in ids if (one := self.submitted.pop(id, None) or self._cache.pop(id)) is not None]


def list_messages(connection: sa.Connection, store: int, states: Sequence[str]) -> list[Message]:
    """Return the messages of a store in these states (all if there are none), oldest first, without their content."""
    statement = LIST.where(_state_in(*states)) if states else LIST
    return [_to_message(row, b"") for row in connection.execute(statement, {"number": store})]


def read_message(connection: sa.Connection, store: int, id: str) -> Message | None:
    """Return a message of a store with its content, or None."""
    row: Any = connection.execute(WHOLE, {"number": store, "one": id}).first()
    return _to_message(row[:-1], bytes(row[-1])) if row is not None else None


# --------------------------------------------------------------------------------------------------- rows and messages


def _to_row(message: Message, store: int, owner: str | None) -> dict[str, object]:
    """Return the row of a new, ready message of this owner."""
    return {
        "id": message.id, "store": store, "state": "ready", "owner": owner, "due": None,
        "attempts": message.attempts, "uncertain": message.uncertain, "reason": _storable(message.reason),
        "submitted": message.submitted, "sender": ENCODE(message.sender), "recipients": ENCODE(message.recipients),
    }  # fmt: skip


def _to_message(row: Sequence[Any], content: bytes) -> Message:
    """Return the message of a row with these `COLUMNS`."""
    id, state, due, attempts, uncertain, reason, submitted, sender, recipients = row
    to = tuple(json.loads(recipients))
    return Message(id, content, json.loads(sender), to, submitted, state, due, attempts, uncertain, reason)


def _storable(reason: str | None) -> str | None:
    """Escape what a text column cannot hold; only people read a reason."""
    if reason is None or (reason.isascii() and "\0" not in reason):
        return reason
    return reason.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
