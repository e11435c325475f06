"""A storage in memory, for a store that ends with its program.  It has no peers.

A transaction remembers what each message was before its first change, and restores that when it fails.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from threading import RLock
from typing import Final
from uuid import uuid4

from fsm.store.errors import StorageError
from fsm.store.message import Message
from fsm.store.storage import LAPSED, Opening, Peer, Policy, Share

__all__ = ["MemoryStorage"]

KEPT: Final = 10_000
"""Journal entries that are kept."""


class MemoryStorage:
    """A storage in memory.  `journal` holds the newest lines of the journal: start records and entries.

    It can be opened again after `close`.  Claims lapse then, as after a crash, and the `policy` decides about them.
    """

    durable = False

    def __init__(self, *, policy: Policy = "resend") -> None:
        self.policy = policy
        self.journal: deque[str] = deque(maxlen=KEPT)
        self._messages: dict[str, tuple[Message, bool]] = {}  # and whether it is owned
        self._lock = RLock()
        self._open = False
        self._left = False

    def open(self) -> Opening:
        """See `Storage`."""
        with self._lock:
            if self._open:
                raise StorageError("this storage is open already")
            self._open, self._left = True, False
            lapsed = tuple(sorted(id for id, (one, _) in self._messages.items() if one.state == "claimed"))
            for id in lapsed:
                one = self._messages[id][0]
                state = "ready" if self.policy == "resend" else "held"
                self._messages[id] = replace(one, state=state, uncertain=one.uncertain + 1, reason=LAPSED), False
            return Opening(uuid4().hex[:12], _Transaction(self).adopt(), (), lapsed)

    @contextmanager
    def transaction(self) -> Iterator[_Transaction]:
        """See `Storage`."""
        with self._lock:
            if not self._open:
                raise StorageError("this storage is not open")
            transaction = _Transaction(self)
            try:
                yield transaction
            except BaseException:
                transaction.undo()
                raise
            self.journal.extend(transaction.lines)

    def watch(self, changed: Callable[[], None]) -> None:
        """Do nothing: there are no peers."""

    def notify_peers(self) -> None:
        """Do nothing: there are no peers."""

    def messages(self, *states: str) -> list[Message]:
        """See `Storage`."""
        with self._lock:
            found = [one for one, _ in self._messages.values() if not states or one.state in states]
        return [replace(one, content=b"") for one in sorted(found, key=lambda one: one.id)]

    def message(self, id: str) -> Message | None:
        """See `Storage`."""
        with self._lock:
            found = self._messages.get(id)
        return found[0] if found is not None else None

    def close(self) -> None:
        """See `Storage`.  The messages are kept."""
        with self._lock:
            self._messages = {id: (one, False) for id, (one, _) in self._messages.items()}
            self._open = False


class _Transaction:
    """See `storage.Transaction`."""

    def __init__(self, storage: MemoryStorage) -> None:
        self.lines: list[str] = []
        self._storage, self._messages = storage, storage._messages
        self._before: dict[str, tuple[Message, bool] | None] = {}
        self._left_before = storage._left

    def undo(self) -> None:
        """Restore what the transaction has changed."""
        for id, before in self._before.items():
            if before is None:
                self._messages.pop(id, None)
            else:
                self._messages[id] = before
        self._storage._left = self._left_before

    def submit(self, message: Message) -> None:
        if message.id in self._messages:
            raise StorageError(f"there is a message {message.id!r} already")
        self._put(replace(message, state="ready", due=None), ours=True)

    def claim(self, ids: Sequence[str]) -> list[Message]:
        found = [self._find(id, "ready", ours=True) for id in dict.fromkeys(ids)]
        return [self._claim(one) for one in found if one is not None]

    def take(self, limit: int) -> list[Message]:
        ready = sorted(id for id, (one, ours) in self._messages.items() if one.state == "ready" and not ours)
        return [self._claim(self._messages[id][0]) for id in ready[:limit]]

    def sent(self, id: str) -> None:
        if self._find(id, "claimed", ours=True):
            self._remove(id)

    def deferred(
        self, id: str, due: float, reason: str, *, recipients: Sequence[str] | None = None, uncertain: bool = False
    ) -> None:
        if one := self._find(id, "claimed", ours=True):
            to = one.recipients if recipients is None else tuple(recipients)
            one = replace(one, state="deferred", due=due, reason=reason, recipients=to)
            self._put(replace(one, uncertain=one.uncertain + uncertain), ours=True)

    def failed(self, id: str, reason: str, *, reported: bool, recipients: Sequence[str] | None = None) -> None:
        if reported:
            self.sent(id)
        elif one := self._find(id, "claimed", ours=True):
            to = one.recipients if recipients is None else tuple(recipients)
            self._put(replace(one, state="failed", reason=reason, recipients=to))

    def held(self, id: str, reason: str) -> None:
        if one := self._find(id, "claimed", ours=True):
            self._put(replace(one, state="held", reason=reason, uncertain=one.uncertain + 1))

    def ready(self, ids: Sequence[str]) -> list[str]:
        found = [id for id in dict.fromkeys(ids) if self._find(id, "deferred", ours=True)]
        for id in found:
            self._put(replace(self._messages[id][0], state="ready", due=None), ours=True)
        return found

    def withdraw(self, id: str) -> str | None:
        one, _ = self._messages.get(id, (None, False))
        if one is None or one.state == "claimed":
            return one.state if one else None
        self._remove(id)
        return one.state

    def resume(self, id: str) -> bool:
        one = self._find(id, "held") or self._find(id, "failed")
        if one:
            self._put(replace(one, state="ready", due=None), ours=True)
        return one is not None

    def share(self) -> Share:
        mine = (one for one, ours in self._messages.values() if ours and one.state in ("ready", "deferred"))
        return Share.of((one.id, one.due) for one in mine)

    def adopt(self) -> Share:
        found = [one for one, ours in self._messages.values() if not ours and one.state in ("ready", "deferred")]
        for one in found:
            self._put(one, ours=True, also_left=True)
        return Share.of((one.id, one.due) for one in found)

    def begin(self, session: str, header: str, line: str) -> None:
        self.lines.append(line)

    def record(self, session: str, line: str) -> None:
        self.lines.append(line)

    def peers(self) -> tuple[Peer, ...]:
        return ()

    def leave(self) -> None:
        self._storage._left = True
        for one, ours in [*self._messages.values()]:
            if ours and one.state in ("ready", "deferred"):
                self._put(one)

    def _find(self, id: str, state: str, ours: bool = False) -> Message | None:
        one, our_own = self._messages.get(id, (None, False))
        return one if one is not None and one.state == state and (our_own or not ours) else None

    def _claim(self, one: Message) -> Message:
        return self._put(one.claimed(), ours=True, also_left=True)

    def _put(self, one: Message, *, ours: bool = False, also_left: bool = False) -> Message:
        self._remember(one.id)
        self._messages[one.id] = one, ours and (also_left or not self._storage._left)
        return one

    def _remove(self, id: str) -> None:
        self._remember(id)
        del self._messages[id]

    def _remember(self, id: str) -> None:
        self._before.setdefault(id, self._messages.get(id))

