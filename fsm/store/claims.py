"""Claims: who waits for a message to send, and which message each of them gets.

Theory.
1. The callers stand in line.  At the end of each batch as many ready messages are claimed as there are callers, in the
   same transaction; the oldest message goes to the first caller.
2. A message claimed for a caller who has gone meanwhile goes to the next in line, or back into the queue.
3. If a peer may have messages and none of ours is ready, ready messages of the peer are taken over.
4. The line ends when the store is released or closed: each caller gets None.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from itertools import islice
from typing import Final

from fsm.store.group_commit import GroupCommit, PendingStep
from fsm.store.in_flight import Item
from fsm.store.message import Message
from fsm.store.reconciliation import reconcile
from fsm.store.state import RETRY_SECONDS, StoreState

__all__ = ["Claims"]

log: Final = logging.getLogger("fsm.store")


class Claims:
    """The line of callers.  Used with the state's lock held.

    `unclaimed` is called with an item in flight that nobody took, so that its message goes back into the queue.
    """

    def __init__(self, state: StoreState, commit: GroupCommit, unclaimed: Callable[[Item], object]) -> None:
        self._state, self._commit, self._unclaimed = state, commit, unclaimed
        self._line: deque[tuple[Future[Item | None], Callable[[], Item]]] = deque()
        self._scheduled = self._paused = False

    @property
    def waiting(self) -> bool:
        """True if somebody waits for a message."""
        return bool(self._line)

    def next(self, new: Callable[[], Item]) -> Future[Item | None]:
        """Stand in line.  The result is the next message as an item made by `new`, or None if there will be none."""
        future: Future[Item | None] = Future()
        self._line.append((future, new))
        self.dispatch()
        return future

    def give_back(self, item: Item) -> None:
        """Give the message of an item that nobody took to the next in line, or put it back into the queue."""
        if item.over or item.stopped is not None or not self._hand_over(lambda new: self._renewed(item, new)):
            self._unclaimed(item)

    def _renewed(self, item: Item, new: Callable[[], Item]) -> Item:
        item.over = True  # whoever still has the old item cannot enter its block
        return self._state.begin(new(), item.message)

    def dispatch(self) -> None:
        """Have messages claimed for those in line, if there are any and they may begin."""
        state, session = self._state, self._state.session
        while self._line and self._line[0][0].cancelled():
            self._line.popleft()
        if session.complete or state.closed:
            while self._hand_over(lambda _: None):
                pass
        elif self._line and not self._scheduled and not self._paused:
            ours = state.queue.ready and session.may("outbound_begin")
            if ours or (state.peers_may_have_mail and state.peers and session.accepting):
                self._scheduled = True  # every batch ends with a claim; this one is for that alone
                self._commit.schedule(lambda _: None).add_done_callback(self._claimed)

    def claim(self, step: PendingStep) -> None:
        """Claim messages for those in line, at the end of a batch."""
        state = self._state
        available = len(state.queue.ready) + len(step.ready_ids)
        if not self._line or self._paused or not (available or state.peers_may_have_mail):
            return
        with state.lock:
            look, state.peers_may_have_mail = state.peers_may_have_mail, False
            in_line = (future for future, _ in self._line if not future.cancelled())
            wanted = sum(1 for _ in (in_line if look else islice(in_line, available)))
            ids = state.queue.oldest(wanted)
        if step.ready_ids:
            ids = sorted({*ids, *step.ready_ids})[:wanted]
        claimed: list[Message] = []
        if ids and step.session.may("outbound_begin"):
            claimed = step.tx.claim(ids)
            for message in claimed:
                step.fire("outbound_begin", message=message.id)
            if len(claimed) < len(ids):  # after these have begun: they are no longer in our share
                reconcile(state, step)
        if look and state.peers and len(claimed) < wanted and step.session.accepting:
            claimed += self._take_over(step, wanted - len(claimed))
        if claimed:
            step.after_commit.append(lambda: self._distribute(claimed))

    def _take_over(self, step: PendingStep, wanted: int) -> list[Message]:
        state, taken = self._state, step.tx.take(wanted)
        for message in taken:
            step.fire("submit", message=message.id, why="taken over from a peer")
            step.fire("outbound_begin", message=message.id)
        if taken:
            step.after_commit.append(lambda: state.counters.update(taken_over=len(taken)))
            step.after_commit.append(self._look_again)
            step.after_commit.append(state.storage.notify_peers)
        return taken

    def _look_again(self) -> None:
        self._state.peers_may_have_mail = True

    def _distribute(self, messages: list[Message]) -> None:
        state = self._state
        for message in messages:
            state.queue.remove(message.id)
            if not self._hand_over(lambda new, message=message: state.begin(new(), message)):  # type: ignore[misc]
                self._unclaimed(state.begin(state.new_item(Item, "outbound"), message))

    def _hand_over(self, make: Callable[[Callable[[], Item]], Item | None]) -> bool:
        while self._line:
            future, new = self._line.popleft()
            if future.set_running_or_notify_cancel():
                future.set_result(make(new))
                return True
        return False

    def failed(self, error: BaseException) -> None:
        """Note that no message could be claimed; after a pause it is tried again."""
        state = self._state
        with state.lock:
            if self._line and not self._paused:
                log.warning("%s: cannot claim a message: %s", state.name, error)
                self._paused = state.peers_may_have_mail = True
                state.clock.call_later(RETRY_SECONDS, self._resume)

    def _resume(self) -> None:
        with self._state.lock:
            self._paused = False
            self.dispatch()

    def _claimed(self, done: Future[None]) -> None:
        with self._state.lock:
            self._scheduled = False
            self.dispatch()
