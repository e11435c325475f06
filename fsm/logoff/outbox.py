"""The messages in the database: two tables, and the statements that move a message from one place to the next.

Theory.
1. A message is a row that changes; its content is a row of its own that never does, so that a change does not write
   megabytes again.  It goes with its message.
2. Each change says in its own condition how the message must be: a row that is not like that is left alone.
3. What needs no answer is collected and executed together, by kind; before anything is read, and at the end.  No
   message is in two collections at once, so it does not matter which goes first.
4. What is claimed while it is still collected is written as claimed at once; what was submitted lately (`recent.py`) is
   claimed without being read.
5. `owner` is the holder that counts a ready or deferred message, or is sending a claimed one; held and failed ones are
   nobody's.

This file knows no holders but by their ids, no clock and no machine.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

import sqlalchemy as sa

from fsm.logoff.connect import METADATA
from fsm.logoff.direct import execute, rows
from fsm.logoff.message import Message
from fsm.logoff.recent import Recent
from fsm.logoff.registry import HOLDERS, STORES
from fsm.logoff.storage import Policy, Share

__all__ = ["CONTENTS", "MESSAGES", "Outbox", "listed", "whole"]

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
ENCODE: Final = json.JSONEncoder(separators=(",", ":")).encode
MOST: Final = 1000
"""Ids in one statement; databases have a limit for that."""
LAPSED: Final = "who was sending it has gone; whether it arrived nobody can tell"

ME, STORE = sa.bindparam("me", type_=sa.String), sa.bindparam("number", type_=sa.Integer)
IDS: Final[sa.BindParameter[str]] = sa.bindparam("ids", expanding=True)
# what is bound may not be called like a column, hence the names
ONE: Final = MESSAGES.c.id == sa.bindparam("one")
MINE: Final = (MESSAGES.c.id.in_(IDS), MESSAGES.c.owner == ME)
QUEUED: Final = (MESSAGES.c.store == STORE, MESSAGES.c.state.in_(("ready", "deferred")))
SENDING: Final = (ONE, MESSAGES.c.state == "claimed", MESSAGES.c.owner == ME)
TOLD: Final = [column for column in MESSAGES.c if column.name not in ("store", "owner")]
BEGUN: Final = {"state": "claimed", "owner": ME, "due": sa.null(), "attempts": MESSAGES.c.attempts + 1}
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
CLAIM: Final = sa.update(MESSAGES).where(*MINE, MESSAGES.c.state == "ready").values(**BEGUN).returning(*TOLD)
CLAIM_KNOWN: Final = sa.update(MESSAGES).where(
    *MINE, MESSAGES.c.state == "ready", MESSAGES.c.attempts == 0
).values(**BEGUN)
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
TAKE: Final = sa.update(MESSAGES).where(MESSAGES.c.id.in_(OLDEST)).values(**BEGUN).returning(*TOLD)
READ: Final = sa.select(CONTENTS.c.id, CONTENTS.c.content).where(CONTENTS.c.id.in_(IDS))
DUE: Final = (
    sa.update(MESSAGES).where(*MINE, MESSAGES.c.state == "deferred").values(state="ready", due=sa.null())
    .returning(MESSAGES.c.id)
)  # fmt: skip
FIND: Final = sa.select(MESSAGES.c.state, MESSAGES.c.owner).where(ONE, MESSAGES.c.store == STORE).with_for_update()
GONE: Final = sa.delete(MESSAGES).where(ONE)
RESUME: Final = (
    sa.update(MESSAGES).where(ONE, MESSAGES.c.store == STORE, MESSAGES.c.state.in_(("held", "failed")))
    .values(state="ready", owner=sa.bindparam("then", type_=sa.String), due=sa.null())
)  # fmt: skip
COUNTED: Final = sa.select(MESSAGES.c.id, MESSAGES.c.state, MESSAGES.c.due).where(*QUEUED, MESSAGES.c.owner == ME)
ADOPT: Final = (
    sa.update(MESSAGES).where(*QUEUED, MESSAGES.c.owner == None).values(owner=ME)  # noqa: E711 - builds SQL
    .returning(MESSAGES.c.id, MESSAGES.c.state, MESSAGES.c.due)
)  # fmt: skip
LEFT: Final = sa.update(MESSAGES).where(*QUEUED, MESSAGES.c.owner == ME).values(owner=sa.null())
LOST: Final = MESSAGES.c.owner.not_in(sa.select(HOLDERS.c.id).where(HOLDERS.c.store == STORE))
ORPHANED: Final = sa.update(MESSAGES).where(*QUEUED, LOST).values(owner=sa.null())
LAPSE: Final = (
    sa.update(MESSAGES).where(MESSAGES.c.store == STORE, MESSAGES.c.state == "claimed", LOST)
    .values(state=sa.bindparam("now"), owner=sa.null(), reason=LAPSED, uncertain=MESSAGES.c.uncertain + 1)
    .returning(MESSAGES.c.id)
)  # fmt: skip
LIST: Final = sa.select(*TOLD).where(MESSAGES.c.store == STORE).order_by(MESSAGES.c.id)
LIST_SOME: Final = LIST.where(MESSAGES.c.state.in_(sa.bindparam("states", expanding=True)))
WHOLE: Final = (
    sa.select(*TOLD, CONTENTS.c.content)
    .join(CONTENTS, CONTENTS.c.id == MESSAGES.c.id)
    .where(MESSAGES.c.store == STORE, MESSAGES.c.id == sa.bindparam("id"))
)


class Outbox:
    """The messages of one store, as one holder sees and changes them in a transaction.  See `storage.Transaction`."""

    def __init__(self, connection: sa.Connection, number: int, me: str, recent: Recent, *, left: bool) -> None:
        self.connection, self.left = connection, left
        self.waiting: dict[str, Message] = {}
        """What was submitted in this transaction, is written, and waits."""
        self.claimed: list[str] = []
        """What was claimed in this transaction."""
        self._recent = recent
        self._number, self._me = number, me
        self._collected: dict[sa.Executable, list[dict[str, object]]] = {}
        self._kinds: dict[str, sa.Executable] = {}
        self._gone: list[object] = []
        self._new: dict[str, tuple[Message, dict[str, object]]] = {}

    # ------------------------------------------------------------------------------------- what needs no answer

    def submit(self, message: Message) -> None:
        """See `Transaction`."""
        row = {
            "id": message.id, "store": self._number, "state": "ready", "owner": self._owner, "due": None,
            "attempts": message.attempts, "uncertain": message.uncertain, "reason": _plain(message.reason),
            "submitted": message.submitted, "sender": _packed(message.sender),
            "recipients": _packed(message.recipients),
        }  # fmt: skip
        self._collect(SUBMIT, message.id, row)
        self._new[message.id] = message, row
        self._collected.setdefault(CONTENT, []).append({"id": message.id, "content": message.content})

    def sent(self, id: str) -> None:
        """See `Transaction`."""
        if id in self._kinds:
            self.flush()
        self._kinds[id] = SENT
        self._gone.append(id)

    def deferred(
        self, id: str, due: float, reason: str, *, recipients: Sequence[str] | None = None, uncertain: bool = False
    ) -> None:
        """See `Transaction`."""
        self._ended(DEFERRED, id, self._owner, due, reason, recipients, uncertain)

    def failed(self, id: str, reason: str, *, reported: bool, recipients: Sequence[str] | None = None) -> None:
        """See `Transaction`."""
        if reported:
            self.sent(id)
        else:
            self._ended(ASIDE, id, None, None, reason, recipients, False, now="failed")

    def held(self, id: str, reason: str) -> None:
        """See `Transaction`."""
        self._ended(ASIDE, id, None, None, reason, None, True, now="held")

    def _ended(
        self, kind: sa.Executable, id: str, owner: str | None, due: float | None, reason: str,
        recipients: Sequence[str] | None, uncertain: bool, **more: str,
    ) -> None:  # fmt: skip
        to = None if recipients is None else _packed(recipients)
        why = {"then": owner, "at": due, "why": _plain(reason), "to": to, "unsure": int(uncertain), **more}
        self._collect(kind, id, {"one": id, "me": self._me, **why})

    def _collect(self, kind: sa.Executable, id: str, row: dict[str, object]) -> None:
        if id in self._kinds:
            self.flush()
        self._kinds[id] = kind
        self._collected.setdefault(kind, []).append(row)

    def flush(self) -> None:
        """Execute what was collected."""
        for kind, many in self._collected.items():
            execute(self.connection, kind, many)
        self.waiting |= {id: message for id, (message, _) in self._new.items()}
        for begin in range(0, len(self._gone), MOST):
            ids = self._gone[begin : begin + MOST]
            execute(self.connection, SENT, [{"ids": ids, "me": self._me}])
        self._collected.clear()
        self._gone.clear()
        self._kinds.clear()
        self._new.clear()

    # ---------------------------------------------------------------------------------------------- what does

    def claim(self, ids: Sequence[str]) -> list[Message]:
        """See `Transaction`."""
        found = {id: self._begin(*self._new.pop(id)) for id in ids if id in self._new}  # that is not written yet
        rest = [id for id in ids if id not in found]
        known = {one.id: _begun(one) for one in self._forget(*rest)}
        if read := [id for id in rest if id not in known]:
            found |= {one.id: one for one in self._with_contents(list(self._each(CLAIM, read)))}
        if known:
            found |= self._claim_known(known)
        self.claimed += found
        return [one for id in dict.fromkeys(ids) if (one := found.get(id)) is not None]

    def give_back(self, ids: Sequence[str]) -> None:
        """What of these we have claimed is ready again, as if it had not been claimed."""
        for begin in range(0, len(ids), MOST):
            execute(self.connection, UNCLAIM, [{"ids": list(ids[begin : begin + MOST]), "me": self._me}])

    def _begin(self, message: Message, row: dict[str, object]) -> Message:
        begun = _begun(message)
        row |= {"state": begun.state, "owner": self._me, "attempts": begun.attempts}
        return begun

    def _claim_known(self, known: dict[str, Message]) -> dict[str, Message]:
        """Claim what need not be read, and has never been claimed by us before."""
        self.flush()
        ids = list(known)
        parts = [ids[begin : begin + MOST] for begin in range(0, len(ids), MOST)]
        if sum(execute(self.connection, CLAIM_KNOWN, [{"ids": part, "me": self._me}]) for part in parts) == len(ids):
            return known
        return {id: known[id] for (id,) in self._each(CLAIMED, ids)}

    def _forget(self, *ids: str) -> list[Message]:
        """From now on these have to be read; as they were submitted, those for which that was not so already."""
        return [one for id in ids if (one := self.waiting.pop(id, None) or self._recent.take(id)) is not None]

    def take(self, limit: int) -> list[Message]:
        """See `Transaction`."""
        taken = self._with_contents(sorted(self._rows(TAKE, limit=limit)))
        ids = [message.id for message in taken]
        self._forget(*ids)
        self.claimed += ids
        return taken

    def ready(self, ids: Sequence[str]) -> list[str]:
        """See `Transaction`."""
        found = {id for (id,) in self._each(DUE, ids)}
        self._forget(*found)
        return [id for id in dict.fromkeys(ids) if id in found]

    def withdraw(self, id: str) -> str | None:
        """See `Transaction`."""
        state, owner = next(iter(self._rows(FIND, one=id)), (None, None))
        if state is None or state == "claimed":
            return state and str(state)
        if owner not in (None, self._me) and self._lives(owner):
            return "theirs"
        self._forget(id)
        self.connection.execute(GONE, {"one": id})
        return str(state)

    def _lives(self, owner: str) -> bool:
        """Whether this other holder is alive; who keeps the registry knows."""
        raise NotImplementedError

    def resume(self, id: str) -> bool:
        """See `Transaction`."""
        self.flush()
        self._forget(id)
        bound = {"one": id, "number": self._number, "then": self._owner}
        return self.connection.execute(RESUME, bound).rowcount > 0

    def share(self) -> Share:
        """See `Transaction`."""
        share = _share(self._rows(COUNTED))
        self._recent.only(share.ready)  # the others are no longer ours
        return share

    def adopt(self) -> Share:
        """See `Transaction`."""
        share = _share(self._rows(ADOPT))
        self._forget(*share.ready)  # others may have had them meanwhile
        return share

    # -------------------------------------------------------------------------------- who comes, and who goes

    def abandon(self) -> None:
        """Our ready and deferred messages are nobody's."""
        self.flush()
        self.connection.execute(LEFT, {"number": self._number, "me": self._me})
        self.left = True

    def lapse(self, policy: Policy) -> tuple[str, ...]:
        """What belongs to those who are no holders any more is nobody's; answers with what they were sending."""
        self.flush()
        self.connection.execute(ORPHANED, {"number": self._number})
        now = "ready" if policy == "resend" else "held"
        return tuple(sorted(row.id for row in self.connection.execute(LAPSE, {"number": self._number, "now": now})))

    @property
    def _owner(self) -> str | None:
        return None if self.left else self._me

    # -------------------------------------------------------------------------------------------------- reading

    def _rows(self, statement: sa.Executable, **bound: object) -> Sequence[tuple[Any, ...]]:
        self.flush()
        return rows(self.connection, statement, {"number": self._number, "me": self._me, **bound})

    def _each(self, statement: sa.Executable, ids: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        for begin in range(0, len(ids), MOST):
            yield from self._rows(statement, ids=list(ids[begin : begin + MOST]))

    def _with_contents(self, told: Sequence[tuple[Any, ...]]) -> list[Message]:
        contents = dict(self._each(READ, [one[0] for one in told]))
        return [_message(one, bytes(contents[one[0]])) for one in told]


def listed(connection: sa.Connection, number: int, states: Sequence[str]) -> list[Message]:
    """The messages of a store in these states, or all of them, oldest first, without their content."""
    bound: dict[str, object] = {"number": number}
    if states:
        bound["states"] = list(states)
    return [_message(row, b"") for row in connection.execute(LIST_SOME if states else LIST, bound)]


def whole(connection: sa.Connection, number: int, id: str) -> Message | None:
    """A message of a store with its content; None when it is not there."""
    row: Any = connection.execute(WHOLE, {"number": number, "id": id}).first()
    return _message(row[:-1], bytes(row[-1])) if row is not None else None


def _message(told: Sequence[Any], content: bytes) -> Message:
    id, state, due, attempts, uncertain, reason, submitted, sender, recipients = told  # as in TOLD
    to = tuple(json.loads(recipients))
    return Message(id, content, json.loads(sender), to, submitted, state, due, attempts, uncertain, reason)


def _share(told: Iterable[tuple[Any, ...]]) -> Share:
    found = sorted((str(id), due) for id, _, due in told)
    ready = tuple(id for id, due in found if due is None)
    return Share(ready, tuple((id, float(due)) for id, due in found if due is not None))


def _begun(message: Message) -> Message:
    return replace(message, state="claimed", due=None, attempts=message.attempts + 1)


def _packed(told: str | Sequence[str]) -> str:
    return ENCODE(told)


def _plain(reason: str | None) -> str | None:
    """A reason as any database can hold it: it is read by people, so what cannot be written is written about."""
    if reason is None or (reason.isascii() and "\0" not in reason):
        return reason
    return reason.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
