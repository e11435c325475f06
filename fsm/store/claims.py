"""Going out: who waits for a message to send, and which one each gets.

Theory.
1. Those who wait stand in a line.  At the end of each batch of the desk, one claim takes as many ready messages as
   there are people in line, in the same transaction; the oldest message goes to who came first.
2. A message that was claimed for somebody who has gone meanwhile goes to the next in line, or back into the queue.
3. When a peer rang and nothing of ours is ready, the peer's ready messages may be taken over.
4. The line ends when the store is released or closed: each gets None.

This file does not know how a message is sent, or how its sending ends (`endings.py`).
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from itertools import islice
from typing import TYPE_CHECKING, Final

from fsm.store.group_commit import Draft
from fsm.store.in_flight import Ending, Item
from fsm.store.message import Message

if TYPE_CHECKING:
    from fsm.store.core import Core

__all__ = ["Outgoing"]

log: Final = logging.getLogger("fsm.store")
NOBODY: Final = Ending("deferred", "nobody was there to send it", after=0.0)
REST: Final = 1.0
"""Seconds until claiming is tried again."""


class Outgoing:
    """The line of those who wait for a message to send.  Used under the core's lock."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._line: deque[tuple[Future[Item | None], Callable[[], Item]]] = deque()
        self._claiming = self._resting = False
        self.look = False
        """Whether a peer may have messages that wait for hands."""

    @property
    def idle(self) -> bool:
        """Whether somebody waits."""
        return bool(self._line)

    def next(self, new: Callable[[], Item]) -> Future[Item | None]:
        """Stand in line: the next message, as an item made by `new`; None when there will be none."""
        future: Future[Item | None] = Future()
        self._line.append((future, new))
        self.serve()
        return future

    def give_back(self, item: Item) -> None:
        """Nobody took this item."""
        if item.over or item.stopped is not None or not self._hand(lambda new: self._anew(item, new)):
            self._core.endings.end(item, NOBODY)

    def _anew(self, item: Item, new: Callable[[], Item]) -> Item:
        item.over = True  # whoever still has the old one cannot enter its block
        return self._core.begun(new(), item.message)

    def serve(self) -> None:
        """Have messages claimed for those in line, if there are any and they may begin."""
        core, session = self._core, self._core.session
        while self._line and self._line[0][0].cancelled():
            self._line.popleft()
        if session.complete or core.closed:
            while self._hand(lambda _: None):
                pass
        elif self._line and not self._claiming and not self._resting:
            ours = core.holding.ready and session.may("outbound_begin")
            if ours or (self.look and core.peers and session.may("submit")):
                self._claiming = True  # any batch ends with a claim: this one is for that alone
                core.desk.ask(lambda _: None).add_done_callback(self._claimed)

    def claim(self, draft: Draft) -> None:
        """Claim for those in line, at the end of a batch."""
        core = self._core
        there = len(core.holding.ready) + len(draft.queued)
        if not self._line or self._resting or not (there or self.look):
            return
        with core.lock:
            look, self.look = self.look, False
            in_line = (future for future, _ in self._line if not future.cancelled())
            wanted = sum(1 for _ in (in_line if look else islice(in_line, there)))
            ids = core.holding.oldest(wanted)
        if draft.queued:
            ids = sorted({*ids, *draft.queued})[:wanted]
        found: list[Message] = []
        if ids and draft.session.may("outbound_begin"):
            found = draft.tx.claim(ids)
            for message in found:
                draft.fire("outbound_begin", message=message.id)
            if len(found) < len(ids):  # after these have begun: they are not in our share any more
                core.company.reconcile(draft)
        if look and core.peers and len(found) < wanted and draft.session.may("submit"):
            taken = draft.tx.take(wanted - len(found))
            for message in taken:
                draft.fire("submit", message=message.id, why="taken over from a peer")
                draft.fire("outbound_begin", message=message.id)
            found += taken
            if taken:
                draft.then.append(lambda: core.counters.update(taken_over=len(taken)))
                draft.then.append(self.look_again)
                draft.then.append(core.storage.notify_peers)
        if found:
            draft.then.append(lambda: self._give_out(found))

    def look_again(self) -> None:
        """Perhaps there is more where that came from."""
        self.look = True

    def _give_out(self, messages: list[Message]) -> None:
        for message in messages:
            self._core.holding.forget(message.id)
            if not self._hand(lambda new, message=message: self._core.begun(new(), message)):  # type: ignore[misc]
                item = self._core.begun(Item(self._core, "outbound"), message)
                self._core.endings.end(item, NOBODY)

    def _hand(self, make: Callable[[Callable[[], Item]], Item | None]) -> bool:
        while self._line:
            future, new = self._line.popleft()
            if future.set_running_or_notify_cancel():
                future.set_result(make(new))
                return True
        return False

    def missed(self, error: BaseException) -> None:
        """No message could be claimed: after a rest it is tried again."""
        core = self._core
        with core.lock:
            if self._line and not self._resting:
                log.warning("%s: no message can be claimed: %s", core.name, error)
                self._resting = self.look = True
                core.clock.call_later(REST, self._rested)

    def _rested(self) -> None:
        self._resting = False
        self._core.changed()

    def _claimed(self, done: Future[None]) -> None:
        with self._core.lock:
            self._claiming = False
            self.serve()
