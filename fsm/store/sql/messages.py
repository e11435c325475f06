"""The messages in the database: the statements that move a message from one place to the next.

Theory.
1. Each change says in its own condition how the message must be: a row that is not like that is left alone.
2. What needs no answer is collected and executed together, by kind; before anything is read, and at the end.  No
   message is in two collections at once, so it does not matter which goes first.
3. What is claimed while it is still collected is written as claimed at once; what was submitted lately (`cache.py`) is
   claimed without being read.
4. `owner` is the holder that counts a ready or deferred message, or is sending a claimed one; held and failed ones are
   nobody's.

This file knows no holders but by their ids, no clock and no machine.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

import sqlalchemy as sa

from fsm.store.message import Message
from fsm.store.sql.cache import Recent
from fsm.store.sql.execute import execute, rows
from fsm.store.sql.holders import HOLDERS
from fsm.store.sql.schema import CONTENTS, MESSAGES, TOLD, message_of, packed, plain, row_of
from fsm.store.storage import Policy, Share

__all__ = ["Outbox"]

MOST: Final = 1000
"""Ids in one statement; databases have a limit for that."""
LAPSED: Final = "who was sending it has gone; whether it arrived nobody can tell"

ME, STORE = sa.bindparam("me", type_=sa.String), sa.bindparam("number", type_=sa.Integer)
IDS: Final[sa.BindParameter[str]] = sa.bindparam("ids", expanding=True)
ONE: Final = MESSAGES.c.id == sa.bindparam("one")  # what is bound may not be called like a column, hence the name
MINE: Final = (MESSAGES.c.id.in_(IDS), MESSAGES.c.owner == ME)
QUEUED: Final = (MESSAGES.c.store == STORE, MESSAGES.c.state.in_(("ready", "deferred")))
SENDING: Final = (ONE, MESSAGES.c.state == "claimed", MESSAGES.c.owner == ME)
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
READY: Final = (*MINE, MESSAGES.c.state == "ready")
CLAIM: Final = sa.update(MESSAGES).where(*READY).values(**BEGUN).returning(*TOLD)
CLAIM_KNOWN: Final = sa.update(MESSAGES).where(*READY, MESSAGES.c.attempts == 0).values(**BEGUN)
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
        row = row_of(message, self._number, self._owner)
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
        to = None if recipients is None else packed(recipients)
        why = {"then": owner, "at": due, "why": plain(reason), "to": to, "unsure": int(uncertain), **more}
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
        return [message_of(one, bytes(contents[one[0]])) for one in told]


def _share(told: Iterable[tuple[Any, ...]]) -> Share:
    found = sorted((str(id), due) for id, _, due in told)
    ready = tuple(id for id, due in found if due is None)
    return Share(ready, tuple((id, float(due)) for id, due in found if due is not None))


def _begun(message: Message) -> Message:
    return replace(message, state="claimed", due=None, attempts=message.attempts + 1)
