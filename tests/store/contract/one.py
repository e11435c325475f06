"""One store of a storage, without a spooler: a handle, and its methods in a transaction each.

    one = One(storage);  one.open();  one.do("submit", message);  one.counts()
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fsm.store.message import Message, new_id
from fsm.store.storage import Ask, Handle, Look, Policy

ALL = ("open", "look", "revive", "claim", "take", "record")
"""Methods that are about several stores, or about none."""


class View:
    """A transaction, as one store sees it."""

    def __init__(self, tx: Any, handle: Handle) -> None:
        self.tx, self.handle = tx, handle

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.tx, name)
        return found if name in ALL else lambda *args, **more: found(self.handle, *args, **more)

    def claim(self, limit: int = 1) -> list[Message]:
        return self.tx.claim([(self.handle, limit)])[0]  # type: ignore[no-any-return]

    def take(self, limit: int = 1) -> list[Message]:
        return self.tx.take([(self.handle, limit)])[0]  # type: ignore[no-any-return]

    def look(self, **more: Any) -> Look:
        return self.tx.look([Ask(self.handle, **more)])[0]  # type: ignore[no-any-return]


class One:
    """A store of a storage; `ready` and `deferred` are what a session would count."""

    def __init__(self, storage: Any, name: str = "default", policy: Policy = "resend") -> None:
        self.storage, self.name, self.policy = storage, name, policy
        self.ready = self.deferred = 0
        self.peers: int | None = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.storage, name)

    def __str__(self) -> str:
        return str(self.storage)

    def open(self) -> Look:
        self.storage.open()
        self.handle = Handle(self.name, self.policy)
        with self.storage.transaction() as tx:
            look: Look = tx.open([self.handle])[0]
        self.ready, self.deferred, self.peers = look.ready, look.deferred, look.peers
        return look

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        with self.storage.transaction() as tx:
            yield View(tx, self.handle)

    def do(self, method: str, *args: Any, **more: Any) -> Any:
        with self.transaction() as tx:
            return getattr(tx, method)(*args, **more)

    def look(self, **more: Any) -> Look:
        """Look, and count what came and went."""
        look: Look = self.do("look", **more)
        self.ready += look.ready - look.taken_ready
        self.deferred += look.deferred - look.taken_deferred
        if look.peers is not None:
            self.peers = look.peers
        return look

    def submit(self, count: int = 1) -> list[str]:
        made = [Message(new_id(), f"content {n}".encode(), "s@x", ("r@y", "q@z"), 12.5) for n in range(count)]
        with self.transaction() as tx:
            for one in made:
                tx.submit(one)
        self.ready += count
        return [one.id for one in made]

    def claim(self, limit: int = 1) -> list[str]:
        found: list[Message] = self.do("claim", limit)
        self.ready -= len(found)
        return [one.id for one in found]

    def leave(self) -> None:
        self.do("leave", self.ready, self.deferred)

    def messages(self, *states: str) -> list[Message]:
        return self.storage.messages(self.name, *states)  # type: ignore[no-any-return]

    def close(self) -> None:
        self.storage.close()
