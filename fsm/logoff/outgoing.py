"""Going out: who waits for a message to send, and which one each gets.

Theory.
1. Those who wait stand in a line.  Whenever a ready message may begin, one claim takes as many messages as there are
   people in line, in one transaction; the oldest message goes to who came first.
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
from typing import TYPE_CHECKING, Final

from fsm.logoff.desk import Draft
from fsm.logoff.item import Ending, Item
from fsm.logoff.message import Message

if TYPE_CHECKING:
    from fsm.logoff.core import Core

__all__ = ["Outgoing"]

log: Final = logging.getLogger("fsm.logoff")
NOBODY: Final = Ending("deferred", "nobody was there to send it", after=0.0)


class Outgoing:
    """The line of those who wait for a message to send.  Used under the core's lock."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._line: deque[tuple[Future[Item | None], Callable[[], Item]]] = deque()
        self._claiming = False
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
        if item.over or item.stopped is not None or not self._hand(lambda _: item):
            self._core.endings.end(item, NOBODY)

    def serve(self) -> None:
        """Have messages claimed for those in line, if there are any and they may begin."""
        core, session = self._core, self._core.session
        while self._line and self._line[0][0].cancelled():
            self._line.popleft()
        if session.complete or core.closed:
            while self._hand(lambda _: None):
                pass
        elif self._line and not self._claiming:
            ours = core.holding.ready and session.may("outbound_begin")
            if ours or (self.look and core.peers and session.may("submit")):
                self._claiming = True
                core.desk.ask(self._claim).add_done_callback(self._claimed)

    def _claim(self, draft: Draft) -> None:
        core = self._core
        with core.lock:
            wanted = sum(not future.cancelled() for future, _ in self._line)
            look, self.look = self.look, False
        found: list[Message] = []
        if draft.session.may("outbound_begin") and (ids := core.holding.oldest(wanted)):
            found = draft.tx.claim(ids)
            if len(found) < len(ids):
                core.company.reconcile(draft)
            for message in found:
                draft.fire("outbound_begin", message=message.id)
        if look and core.peers and len(found) < wanted and draft.session.may("submit"):
            taken = draft.tx.take(wanted - len(found))
            for message in taken:
                draft.fire("submit", message=message.id, why="taken over from a peer")
                draft.fire("outbound_begin", message=message.id)
            found += taken
            if taken:
                core.counters["taken_over"] += len(taken)
                draft.then.append(core.storage.ring)
        draft.then.append(lambda: self._give_out(found))

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

    def _claimed(self, done: Future[None]) -> None:
        core = self._core
        with core.lock:
            self._claiming = False
            if (error := done.exception()) is None:
                self.serve()
            else:
                log.warning("%s: no message can be claimed: %s", core.name, error)
                core.clock.call_later(1.0, core.changed)
