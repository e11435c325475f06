"""The messages in the database: the statements that move a message from one state to the next, and its rows.

Theory.
1. The condition of each statement says in which state a message must be, by the chart of its life, and whose claim it
   must be; other rows stay as they are.
2. Statements whose result nobody needs are collected and executed together, by kind, before anything is read and at the
   end.  No message is in two collections at once, so their order does not matter.
3. A message that is claimed in the transaction that submits it is written as claimed.
4. Whoever takes messages out of another's part moves them into its own, and writes a note for the holder.
5. On PostgreSQL a message may change between two statements.  So what a second statement finds about a message that the
   first one did not change is no answer to it: if the message could be changed now, the first is executed again.  And
   where a statement chooses messages by a query, its own condition names the state, too: only that is looked at again
   when it has waited for somebody else's change.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final

from fsm.store.life import sources, target
from fsm.store.message import Message
from fsm.store.sql.driver import Driver
from fsm.store.sql.schema import CONTENTS, MESSAGES, TAKEN
from fsm.store.storage import Handle

__all__ = ["COLUMNS", "Messages", "Notes", "encoded_headers", "to_message"]

ENCODE: Final = json.JSONEncoder(separators=(",", ":")).encode
COLUMNS: Final = "id, state, due, attempts, uncertain, reason, submitted, sender, recipients, headers"
NEW: Final = "id, store, part, state, process, attempts, uncertain, reason, submitted, sender, recipients, headers"


def _in(event: str) -> str:
    """A condition: the message is in a state in which this event may happen."""
    return f"state IN ({', '.join(repr(state) for state in sources(event))})"


OURS: Final = "state = 'claimed' AND process = ?"
CLAIMING: Final = f"state = '{target('claim')}', process = ?, due = NULL, wait = NULL"
OLDEST: Final = "SELECT id FROM fsm_messages WHERE part = ? AND state = 'ready' ORDER BY id LIMIT ?"
CLAIM_SQLITE: Final = (
    f"UPDATE fsm_messages SET {CLAIMING}, attempts = attempts + 1 WHERE id ?* RETURNING {COLUMNS}"
)
CLAIM_ONE: Final = (
    f"UPDATE fsm_messages m SET {CLAIMING}, attempts = m.attempts + 1 FROM fsm_contents c WHERE c.id = m.id AND m.id ="
    f" ANY(ARRAY({OLDEST} FOR UPDATE SKIP LOCKED)) RETURNING m.{COLUMNS.replace(', ', ', m.')}, c.content, m.store"
)
CLAIM_MANY: Final = (
    "WITH found AS (SELECT x.id FROM (SELECT m.id, w.n, row_number() OVER (PARTITION BY w.store ORDER BY m.id) AS nth"
    " FROM unnest(?::int[], ?::int[], ?::int[]) AS w (store, part, n), LATERAL (SELECT id FROM fsm_messages"
    " WHERE part = w.part AND state = 'ready' ORDER BY id LIMIT w.n FOR UPDATE SKIP LOCKED) m) x WHERE nth <= n)"
    f" UPDATE fsm_messages m SET {CLAIMING}, attempts = m.attempts + 1 FROM found, fsm_contents c"
    f" WHERE m.id = found.id AND c.id = m.id RETURNING m.{COLUMNS.replace(', ', ', m.')}, c.content, m.store"
)
THEIRS: Final = "SELECT number FROM fsm_parts WHERE store = ? AND NOT number ?* ORDER BY number"
TAKE_SQLITE: Final = (
    f"UPDATE fsm_messages SET part = ?, {CLAIMING}, attempts = attempts + 1 WHERE id ?* RETURNING {COLUMNS}"
)
TAKE: Final = (
    "WITH found AS (SELECT p.number AS was, m.id FROM fsm_parts p, LATERAL (SELECT id FROM fsm_messages"
    " WHERE part = p.number AND state = 'ready' ORDER BY id LIMIT ? FOR UPDATE SKIP LOCKED) m"
    " WHERE p.store = ? AND NOT p.number ?* ORDER BY id LIMIT ?)"
    f" UPDATE fsm_messages m SET part = ?, {CLAIMING}, attempts = m.attempts + 1 FROM found, fsm_contents c"
    f" WHERE m.id = found.id AND c.id = m.id RETURNING m.{COLUMNS.replace(', ', ', m.')}, c.content, found.was"
)
GONE_CONTENTS_SQLITE: Final = (
    f"DELETE FROM fsm_contents WHERE id IN (SELECT id FROM fsm_messages WHERE id ?* AND {OURS})"
)
GONE_SQLITE: Final = f"DELETE FROM fsm_messages WHERE id ?* AND {OURS}"
GONE: Final = (
    f"WITH gone AS (DELETE FROM fsm_messages WHERE id ?* AND {OURS} RETURNING id)"
    " DELETE FROM fsm_contents c USING gone WHERE c.id = gone.id"
)
ENDED: Final = (
    "UPDATE fsm_messages SET state = ?, process = NULL, due = ?, wait = ?, reason = ?,"
    " recipients = coalesce(?, recipients), uncertain = uncertain + ?, attempts = attempts - ?,"
    " part = CASE WHEN ? = 1 THEN NULL ELSE part END"
    f" WHERE id = ? AND {OURS}"
)
DUE: Final = (
    f"UPDATE fsm_messages SET state = '{target('fall_due')}', due = NULL, wait = NULL WHERE id IN (SELECT id FROM"
    " fsm_messages WHERE part = ? AND state = 'deferred' AND due <= ? ORDER BY due LIMIT ?) AND state = 'deferred'"
    " RETURNING id"
)
FIRST_DUE: Final = (
    "SELECT due, wait FROM fsm_messages WHERE part = ? AND state = 'deferred' ORDER BY due LIMIT 1"
)
FLUSH: Final = (
    f"UPDATE fsm_messages SET state = '{target('fall_due')}', due = NULL, wait = NULL"
    " WHERE part ?* AND state = 'deferred'"
)
WITHDRAW: Final = f"DELETE FROM fsm_messages WHERE id = ? AND store = ? AND {_in('withdraw')} RETURNING state, part"
SET_ASIDE: Final = (
    f"UPDATE fsm_messages SET state = '{target('set_aside')}', due = NULL, wait = NULL, reason = coalesce(?, reason)"
    " WHERE id = ? AND store = ? AND state = ? RETURNING part"
)
FIND: Final = "SELECT state FROM fsm_messages WHERE id = ? AND store = ?"
RESUME: Final = (
    f"UPDATE fsm_messages SET state = '{target('resume')}', part = ?, due = NULL, wait = NULL"
    f" WHERE id = ? AND store = ? AND {_in('resume')} RETURNING id"
)
READ: Final = "SELECT id, content FROM fsm_contents WHERE id ?*"


class Notes:
    """Counts what is taken from others' parts, and writes it down at the end, sorted."""

    def __init__(self) -> None:
        self.ready: Counter[int] = Counter()
        self.deferred: Counter[int] = Counter()

    def write(self, driver: Driver) -> None:
        """Write the notes."""
        if self.ready or self.deferred:
            parts = sorted({*self.ready, *self.deferred})
            driver.insert(TAKEN, "part, ready, deferred", [(one, self.ready[one], self.deferred[one]) for one in parts])
            self.ready.clear()
            self.deferred.clear()


class Messages:
    """The messages of all stores, as this process (`me` is its number) changes them in a transaction."""

    def __init__(self, driver: Driver, me: int) -> None:
        self._driver, self._me = driver, me
        self._new: dict[str, tuple[Handle, Message]] = {}
        self._sent: list[str] = []
        self._ended: list[tuple[object, ...]] = []
        self._pending: set[str] = set()
        self.notes = Notes()

    # --------------------------------------------------------------------------------- statements without a result

    def submit(self, handle: Handle, message: Message) -> None:
        """See `storage.Transaction`."""
        self._collect(message.id)
        self._new[message.id] = handle, message

    def claim_new(self, handle: Handle, ids: Sequence[str]) -> list[Message]:
        """See `storage.Transaction`."""
        found: list[Message] = []
        if not self._new.keys() >= {*ids}:  # they are written already
            return found
        for id in ids:
            message = self._new[id][1].claimed()
            self._new[id] = handle, message
            found.append(message)
        return found

    def sent(self, handle: Handle, id: str) -> None:
        """See `storage.Transaction`."""
        self._collect(id)
        self._sent.append(id)

    def ended(
        self, handle: Handle, id: str, event: str, reason: str, *, due: float | None = None, wait: float | None = None,
        recipients: Sequence[str] | None = None, uncertain: bool = False, refund: bool = False,
    ) -> None:  # fmt: skip
        """See `storage.Transaction`."""
        self._collect(id)
        to, unowned = None if recipients is None else ENCODE(recipients), int(handle.left)
        why, state = storable(reason), target(event)
        self._ended.append((state, due, wait, why, to, int(uncertain), int(refund), unowned, id, self._me))

    def _collect(self, id: str) -> None:
        if id in self._pending:
            self.flush()
        self._pending.add(id)

    def flush(self) -> None:
        """Execute the collected statements."""
        driver = self._driver
        if self._new:
            new = self._new.values()
            driver.insert(MESSAGES, NEW, [self._row(handle, message) for handle, message in new])
            driver.insert(CONTENTS, "id, content", [(message.id, message.content) for _, message in new])
            self._new.clear()
        if self._sent:
            if driver.postgresql:
                driver.run(GONE, self._sent, self._me)
            else:
                driver.run(GONE_CONTENTS_SQLITE, self._sent, self._me)
                driver.run(GONE_SQLITE, self._sent, self._me)
            self._sent = []
        if self._ended:
            driver.each(ENDED, self._ended)
            self._ended = []
        self._pending.clear()

    def _row(self, handle: Handle, one: Message) -> tuple[object, ...]:
        process = self._me if one.state == "claimed" else None
        return (
            one.id, handle.number, handle.parts[0], one.state, process, one.attempts, one.uncertain,
            storable(one.reason), one.submitted, ENCODE(one.sender), f"[{','.join(map(ENCODE, one.recipients))}]",
            encoded_headers(one),
        )  # fmt: skip

    # ------------------------------------------------------------------------------------ statements with a result

    def claim(self, wants: Sequence[tuple[Handle, int]]) -> list[list[Message]]:
        """See `storage.Transaction`."""
        self.flush()
        if not self._driver.postgresql:
            return [self._claim_sqlite(handle, limit) for handle, limit in wants]
        if len(wants) == 1 and len(wants[0][0].parts) == 1:
            handle, limit = wants[0]
            rows = self._driver.fetch(CLAIM_ONE, self._me, handle.parts[0], limit)
        else:
            asked = [(handle.number, part, limit) for handle, limit in wants for part in handle.parts]
            rows = self._driver.fetch(CLAIM_MANY, *map(list, zip(*asked, strict=True)), self._me)
        found: dict[int, list[Message]] = {handle.number: [] for handle, _ in wants}
        for row in sorted(rows):
            found[row[-1]].append(to_message(row[:-2], row[-2]))
        return [found[handle.number] for handle, _ in wants]

    def _claim_sqlite(self, handle: Handle, limit: int) -> list[Message]:
        ids = [id for part in handle.parts for (id,) in self._driver.fetch(OLDEST, part, limit)]
        return self._with_contents(self._driver.fetch(CLAIM_SQLITE, self._me, sorted(ids)[:limit])) if ids else []

    def take(self, wants: Sequence[tuple[Handle, int]]) -> list[list[Message]]:
        """See `storage.Transaction`."""
        self.flush()
        return [self._take(handle, limit) for handle, limit in wants]

    def _take(self, handle: Handle, limit: int) -> list[Message]:
        mine, ours, driver = list(handle.parts), handle.parts[0], self._driver
        if driver.postgresql:
            rows = sorted(driver.fetch(TAKE, limit, handle.number, mine, limit, ours, self._me))
            self.notes.ready.update(row[-1] for row in rows)
            return [to_message(row[:-2], row[-2]) for row in rows]
        parts = [part for (part,) in driver.fetch(THEIRS, handle.number, mine)]
        found = sorted((id, was) for was in parts for (id,) in driver.fetch(OLDEST, was, limit))[:limit]
        self.notes.ready.update(was for _, was in found)
        return self._with_contents(driver.fetch(TAKE_SQLITE, ours, self._me, [id for id, _ in found])) if found else []

    def _with_contents(self, rows: Iterable[tuple[Any, ...]]) -> list[Message]:
        rows = sorted(rows)
        contents: dict[str, bytes] = dict(self._driver.fetch(READ, [row[0] for row in rows]))
        return [to_message(row, contents[row[0]]) for row in rows]

    def fall_due(self, handle: Handle, now: float, limit: int) -> list[str]:
        """See `storage.Transaction`."""
        self.flush()
        return sorted(id for part in handle.parts for (id,) in self._driver.fetch(DUE, part, now, limit))

    def first_due(self, handle: Handle) -> tuple[float, float] | None:
        """See `storage.Transaction`."""
        self.flush()
        found = [row for part in handle.parts for row in self._driver.fetch(FIRST_DUE, part)]
        return min(((due, wait or 0.0) for due, wait in found), default=None)

    def flush_deferred(self, handle: Handle) -> None:
        """See `storage.Transaction.flush`."""
        self.flush()
        self._driver.run(FLUSH, list(handle.parts))

    def withdraw(self, handle: Handle, id: str) -> tuple[str | None, bool]:
        """See `storage.Transaction`."""
        self.flush()
        while True:
            for state, part in self._driver.fetch(WITHDRAW, id, handle.number):
                self._driver.run("DELETE FROM fsm_contents WHERE id = ?", id)
                return state, self._no_longer(handle, state, part)
            if (found := self._state_of(handle, id)) not in sources("withdraw"):
                return found, False

    def set_aside(
        self, handle: Handle, id: str, states: Sequence[str], reason: str | None
    ) -> tuple[str | None, bool]:
        """See `storage.Transaction`."""
        self.flush()
        while True:
            for state in states:
                for (part,) in self._driver.fetch(SET_ASIDE, storable(reason), id, handle.number, state):
                    return state, self._no_longer(handle, state, part)
            if (found := self._state_of(handle, id)) not in states:
                return found, False

    def _no_longer(self, handle: Handle, state: str, part: int | None) -> bool:
        """Return whether a message that left the queue was in one of our parts; otherwise leave a note."""
        ours = part in handle.parts and not handle.left
        if not ours and part is not None and state in ("ready", "deferred"):
            getattr(self.notes, state)[part] += 1
        return ours

    def _state_of(self, handle: Handle, id: str) -> str | None:
        return next((state for (state,) in self._driver.fetch(FIND, id, handle.number)), None)

    def resume(self, handle: Handle, id: str) -> bool:
        """See `storage.Transaction`."""
        self.flush()
        return bool(self._driver.fetch(RESUME, handle.parts[0], id, handle.number))


# --------------------------------------------------------------------------------------------------- rows and messages


def to_message(row: Sequence[Any], content: bytes) -> Message:
    """Return the message of a row with these `COLUMNS`."""
    id, state, due, attempts, uncertain, reason, submitted, sender, recipients, headers = row
    to, more = tuple(json.loads(recipients)), json.loads(headers) if headers is not None else {}
    return Message(id, bytes(content), json.loads(sender), to, submitted, state, due, attempts, uncertain, reason, more)


def encoded_headers(message: Message) -> str | None:
    """Return the headers of a message as they are stored; None if there are none."""
    return ENCODE(message.headers) if message.headers else None


def storable(reason: str | None) -> str | None:
    """Escape what a text column cannot hold; only people read a reason."""
    if reason is None or (reason.isascii() and "\0" not in reason):
        return reason
    return reason.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
