"""The ledger of a program under test: what it was promised, what was refused, and what became of each message.

Theory.
1. A message is accepted when `submit` returns.  From then on it must be found: sent, failed, held, withdrawn, or in the
   queue.  One that is sent must have arrived at the other side by the time the closing is over, for the program may end
   then.
2. A message that is refused with StoreClosing is the program's to take care of.  It has, when the error (or one raised
   from it) leaves a block of the store, so that its source keeps it, or leaves the program; when the same content is
   accepted later; or when the program returns the content, as what it keeps.
3. Every item that has begun must have ended, once, and nothing may be in flight when the closing is over.

"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator

from fsm.store.errors import StoreClosing
from fsm.store.in_flight import Blocker
from fsm.store.memory import MemoryStorage
from fsm.store.message import Message

__all__ = ["Ledger", "Sink"]

ENDED = ("outbound_sent", "outbound_failed")
FOUND = ("ready", "deferred", "held", "failed")


class Sink:
    """The other side, where messages arrive.  A program calls it with each message that it has really sent."""

    def __init__(self) -> None:
        self.arrived: list[bytes] = []
        """The contents, in the order of their arrival."""

    def __call__(self, message: Message | bytes) -> None:
        """Note that this message has arrived."""
        self.arrived.append(message if isinstance(message, bytes) else message.content)


class Ledger:
    """What happened in one run of a program with one store."""

    def __init__(self, storage: MemoryStorage, sink: Sink | None) -> None:
        self._storage, self._sink = storage, sink
        self._accepted: dict[str, bytes] = {}
        self._withdrawn: set[str] = set()
        self._refused: list[tuple[StoreClosing, bytes, int]] = []
        self._left: list[BaseException] = []
        self._kept: Counter[bytes] = Counter()
        self._missing: list[str] = []

    # -------------------------------------------------------------------------------------------- what is written

    def accepted(self, id: str, content: bytes) -> None:
        """Note that `submit` returned this id."""
        self._accepted[id] = content

    def refused(self, error: StoreClosing, content: bytes) -> None:
        """Note that `submit` raised this."""
        self._refused.append((error, content, len(self._accepted)))

    def withdrawn(self, id: str) -> None:
        """Note that `withdraw` returned."""
        self._withdrawn.add(id)

    def left_by(self, error: BaseException | None) -> None:
        """Note that a block of the store, or the program, was left by this error, or by one raised from it."""
        todo, seen = [error], list[BaseException]()
        while todo:
            one = todo.pop()
            if one is not None and not any(one is other for other in seen):
                seen.append(one)
                todo += [one.__cause__, one.__context__]
                todo += one.exceptions if isinstance(one, BaseExceptionGroup) else ()
        self._left += seen

    def keeps(self, contents: object) -> None:
        """Note what the program returned: the contents that it keeps elsewhere."""
        several = isinstance(contents, Iterable) and not isinstance(contents, bytes)
        for one in contents if several else (contents,):  # type: ignore[attr-defined]
            if isinstance(one, (bytes, Message)):
                self._kept[one if isinstance(one, bytes) else one.content] += 1

    def closed(self, blockers: Iterable[Blocker]) -> None:
        """Note that the closing is over now."""
        self._missing += [f"{one} is still in flight after close returned" for one in blockers]
        if self._sink is not None:
            arrived = Counter(self._sink.arrived)
            for id, content in self._accepted.items():
                if id in self._events("outbound_sent"):
                    arrived[content] -= 1
                    if arrived[content] < 0:
                        self._missing.append(
                            f"the message {_named(id, content)} counts as sent when close returns, and has not arrived"
                        )

    # ---------------------------------------------------------------------------------------- what is read from it

    def missing(self) -> Iterator[str]:
        """Yield what is lost, a sentence each."""
        yield from self._missing
        states = {message.id: message.state for message in self._storage.messages()}
        ended = self._events(*ENDED)
        for id, content in self._accepted.items():
            if states.get(id) not in FOUND and id not in ended and id not in self._withdrawn:
                where = f"is {states[id]} for ever" if id in states else "is nowhere"
                yield f"the message {_named(id, content)} was accepted and {where}"
        yield from self._forgotten()
        still = self._events("inbound_begin") - self._events("inbound_received", "inbound_failed")
        for id in sorted(still):
            yield f"the inbound item {id} was entered and has not ended"

    def _forgotten(self) -> Iterator[str]:
        later, kept = [*self._accepted.values()], self._kept.copy()
        for error, content, position in self._refused:
            if any(error is one for one in self._left):
                continue
            if content in later[position:]:
                later[later.index(content, position)] = b""
            elif kept[content] > 0:
                kept[content] -= 1
            else:
                yield (
                    f"the message {_named('', content)} was refused with StoreClosing, and the program forgot it: let "
                    "the error leave the block of its source, or return the content as what is kept"
                )

    def _events(self, *events: str) -> set[str]:
        entries = map(json.loads, self._storage.journal)
        return {str(entry.get("message")) for entry in entries if entry.get("event") in events}


def _named(id: str, content: bytes) -> str:
    return f"{id} {content if len(content) <= 40 else content[:40] + b'...'!r}".strip()
