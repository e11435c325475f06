"""A storage in memory, for stores that end with their program.  They have no peers.

Theory.
1. The ready messages and the deferred ones are in heaps, by their ids and by the times they are due.  An entry that is
   out of date stays in its heap until it comes up.
2. A transaction remembers what each message was before its first change, and restores that when it fails.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from threading import RLock
from typing import Final

from fsm.store.errors import StorageError
from fsm.store.life import sources, target
from fsm.store.message import Message
from fsm.store.storage import LAPSED, Ask, Handle, Look, News, Steps

__all__ = ["MemoryStorage"]

KEPT: Final = 10_000
"""Journal entries that are kept."""


class _Queue:
    """The messages of one store."""

    __slots__ = ("due", "messages", "ready", "waits")

    def __init__(self) -> None:
        self.messages: dict[str, Message] = {}
        self.ready: list[str] = []
        self.due: list[tuple[float, str]] = []
        self.waits: dict[str, float] = {}
        """How long each deferred message was told to wait, in seconds."""

    def put(self, message: Message) -> None:
        """Keep this message, in the heap of its state."""
        self.messages[message.id] = message
        if message.state == "ready":
            heapq.heappush(self.ready, message.id)
        elif message.state == "deferred":
            heapq.heappush(self.due, (message.due or 0.0, message.id))

    def oldest(self, limit: int) -> list[Message]:
        """Take at most so many ready messages out of the heap, the oldest first."""
        found: dict[str, Message] = {}
        while self.ready and len(found) < limit:
            one = self.messages.get(heapq.heappop(self.ready))
            if one is not None and one.state == "ready":
                found[one.id] = one
        return list(found.values())

    def first_due(self) -> tuple[float, Message] | None:
        """Return the message that is due first."""
        while self.due:
            due, id = self.due[0]
            one = self.messages.get(id)
            if one is not None and one.state == "deferred" and one.due == due:
                return due, one
            heapq.heappop(self.due)
        return None


class MemoryStorage:
    """A storage in memory.  `journal` holds the newest lines of the journal: start records and entries.

    It can be opened again after `close`.  Claims lapse then, as after a crash.  `store` is the name of the store that
    is opened without a name.
    """

    durable = notifies = False
    segment = 0

    def __init__(self, *, store: str = "default") -> None:
        self.store = store
        self.journal: deque[str] = deque(maxlen=KEPT)
        self._queues: dict[str, _Queue] = {}
        self._lock = RLock()
        self._open = False

    def __str__(self) -> str:
        return "memory"

    def open(self) -> None:
        """See `Storage`."""
        with self._lock:
            if self._open:
                raise StorageError("this storage is open already")
            self._open = True

    @contextmanager
    def transaction(self, *, fenced: bool = True) -> Iterator[_Transaction]:
        """See `Storage`."""
        with self._lock:
            if not self._open:
                raise StorageError("this storage is not open")
            transaction = _Transaction(self._queues)
            try:
                yield transaction
            except BaseException:
                transaction.undo()
                raise
            self.journal.extend(transaction.lines)

    def settle(self) -> bool:
        """Return True: every transaction has an outcome."""
        return True

    def survey(self, handles: Sequence[Handle], peers: Sequence[int]) -> frozenset[int]:
        """Return nothing: there are no peers."""
        return frozenset()

    def watch(self, changed: Callable[[News], None]) -> None:
        """Do nothing: there are no peers."""

    def ring(self, news: News) -> None:
        """Do nothing: there are no peers."""

    def messages(self, store: str | None = None, *states: str) -> list[Message]:
        """See `Storage`."""
        with self._lock:
            queue = self._queues.get(self.store if store is None else store)
            found = [one for one in queue.messages.values() if not states or one.state in states] if queue else []
        return [replace(one, content=b"") for one in sorted(found, key=lambda one: one.id)]

    def message(self, store: str, id: str) -> Message | None:
        """See `Storage`."""
        with self._lock:
            queue = self._queues.get(store)
            return queue.messages.get(id) if queue is not None else None

    def deposit(self, handle: Handle, message: Message, connection: object) -> Steps:
        """See `Storage`."""
        raise StorageError("a store in memory takes part in no transaction: nothing was submitted")

    def close(self) -> None:
        """See `Storage`.  The messages are kept."""
        with self._lock:
            if self._open:
                for queue in self._queues.values():
                    _Transaction(self._queues).lapse_all(queue)
                self._open = False


class _Transaction:
    """See `storage.Transaction`."""

    def __init__(self, queues: dict[str, _Queue]) -> None:
        self.lines: list[str] = []
        self._queues = queues
        self._before: dict[tuple[str, str], tuple[_Queue, Message | None]] = {}
        self._handles: list[tuple[Handle, bool]] = []

    def undo(self) -> None:
        """Restore what the transaction has changed."""
        for handle, left in self._handles:
            handle.left = left
        for (_, id), (queue, before) in self._before.items():
            if before is None:
                queue.messages.pop(id, None)
            else:
                queue.put(before)

    def open(self, handles: Sequence[Handle]) -> list[Look]:
        return [self._open(handle) for handle in handles]

    def _open(self, handle: Handle) -> Look:
        queue = self._queues.setdefault(handle.name, _Queue())
        handle.parts = (1,)
        lapsed = [self._decide(handle, one) for one in self._all(queue, "uncertain")]
        counts = {state: len(self._all(queue, state)) for state in ("ready", "deferred", "held", "failed")}
        aside = counts["held"] + counts["failed"]
        return Look(0, counts["ready"], counts["deferred"], aside=aside, lapsed=lapsed)

    def look(self, asks: Sequence[Ask]) -> list[Look]:
        return [Look() for _ in asks]

    def revive(self, handles: Sequence[Handle]) -> list[Look]:
        return self.open(handles)

    def leave(self, handle: Handle, ready: int | None, deferred: int | None) -> None:
        self._handles.append((handle, handle.left))
        handle.left = True

    def lapse(self, handle: Handle) -> None:
        self.lapse_all(self._queues[handle.name], handle)

    def lapse_all(self, queue: _Queue, handle: Handle | None = None) -> None:
        """Let all claims of a queue lapse."""
        for one in self._all(queue, *sources("lapse")):
            self._put(handle, queue, replace(one, state=target("lapse")))

    def submit(self, handle: Handle, message: Message) -> None:
        queue = self._queues[handle.name]
        if message.id in queue.messages:
            raise StorageError(f"there is a message {message.id!r} already")
        self._put(handle, queue, replace(message, state="ready", due=None))

    def claim_new(self, handle: Handle, ids: Sequence[str]) -> list[Message]:
        queue = self._queues[handle.name]
        return [self._put(handle, queue, queue.messages[id].claimed()) for id in ids]

    def claim(self, wants: Sequence[tuple[Handle, int]]) -> list[list[Message]]:
        return [self._claim(handle, self._queues[handle.name], limit) for handle, limit in wants]

    def _claim(self, handle: Handle, queue: _Queue, limit: int) -> list[Message]:
        return [self._put(handle, queue, one.claimed()) for one in queue.oldest(limit)]

    def take(self, wants: Sequence[tuple[Handle, int]]) -> list[list[Message]]:
        return [[] for _ in wants]

    def sent(self, handle: Handle, id: str) -> None:
        queue = self._queues[handle.name]
        if self._is(queue, id, *sources("send")):
            self._remove(handle, queue, id)

    def ended(
        self, handle: Handle, id: str, event: str, reason: str, *, due: float | None = None, wait: float | None = None,
        recipients: Sequence[str] | None = None, uncertain: bool = False, refund: bool = False,
    ) -> None:  # fmt: skip
        queue = self._queues[handle.name]
        if self._is(queue, id, "claimed"):
            one = queue.messages[id]
            to = one.recipients if recipients is None else tuple(recipients)
            one = replace(one, state=target(event), due=due, reason=reason, recipients=to)
            self._put(handle, queue, replace(one, uncertain=one.uncertain + uncertain, attempts=one.attempts - refund))
            if wait is not None:
                queue.waits[id] = wait

    def fall_due(self, handle: Handle, now: float, limit: int) -> list[str]:
        queue, ids = self._queues[handle.name], list[str]()
        while len(ids) < limit and (first := queue.first_due()) is not None and first[0] <= now:
            ids.append(first[1].id)
            self._ready(handle, queue, first[1])
        return sorted(ids)

    def first_due(self, handle: Handle) -> tuple[float, float] | None:
        queue = self._queues[handle.name]
        first = queue.first_due()
        return (first[0], queue.waits.get(first[1].id, 0.0)) if first is not None else None

    def flush(self, handle: Handle) -> int:
        queue = self._queues[handle.name]
        for one in self._all(queue, *sources("fall_due")):
            self._ready(handle, queue, one)
        return 0

    def withdraw(self, handle: Handle, id: str) -> tuple[str | None, bool]:
        queue = self._queues[handle.name]
        one = queue.messages.get(id)
        if one is not None and one.state in sources("withdraw"):
            self._remove(handle, queue, id)
        return (one.state if one is not None else None), True

    def set_aside(
        self, handle: Handle, id: str, states: Sequence[str], reason: str | None
    ) -> tuple[str | None, bool]:
        queue = self._queues[handle.name]
        one = queue.messages.get(id)
        if one is not None and one.state in states:
            queue.waits.pop(id, None)
            held = replace(one, state=target("set_aside"), due=None, reason=one.reason if reason is None else reason)
            self._put(handle, queue, held)
        return (one.state if one is not None else None), True

    def resume(self, handle: Handle, id: str) -> bool:
        queue = self._queues[handle.name]
        if found := self._is(queue, id, *sources("resume")):
            self._ready(handle, queue, queue.messages[id])
        return found

    def record(self, header: str, lines: Sequence[str]) -> None:
        self.lines += lines

    def _all(self, queue: _Queue, *states: str) -> list[Message]:
        return sorted((one for one in queue.messages.values() if one.state in states), key=lambda one: one.id)

    def _is(self, queue: _Queue, id: str, *states: str) -> bool:
        return id in queue.messages and queue.messages[id].state in states

    def _decide(self, handle: Handle, one: Message) -> Message:
        state = target(handle.policy, "uncertain")
        one = replace(one, state=state, uncertain=one.uncertain + 1, reason=LAPSED)
        return replace(self._put(handle, self._queues[handle.name], one), content=b"")

    def _ready(self, handle: Handle, queue: _Queue, one: Message) -> None:
        queue.waits.pop(one.id, None)
        self._put(handle, queue, replace(one, state="ready", due=None))

    def _put(self, handle: Handle | None, queue: _Queue, one: Message) -> Message:
        self._remember(handle, queue, one.id)
        queue.put(one)
        return one

    def _remove(self, handle: Handle, queue: _Queue, id: str) -> None:
        self._remember(handle, queue, id)
        del queue.messages[id]
        queue.waits.pop(id, None)

    def _remember(self, handle: Handle | None, queue: _Queue, id: str) -> None:
        if handle is not None:
            self._before.setdefault((handle.name, id), (queue, queue.messages.get(id)))
