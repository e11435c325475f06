"""Claims: who waits for a message to send, and which message each of them gets.

Theory.
1. The callers stand in line.  At the end of each batch as many ready messages are claimed as there are callers, in the
   same transaction; the oldest message goes to the first caller.
2. A message claimed for a caller who has gone meanwhile goes to the next in line, or back into the queue.
3. If others may have messages and none of ours is ready, ready messages of theirs are taken over.
4. The line ends when the store is released or closed: each caller gets None.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Final

from fsm.store.errors import StorageError
from fsm.store.group_commit import RETRY_SECONDS, GroupCommit
from fsm.store.in_flight import Item
from fsm.store.log import about
from fsm.store.message import Message
from fsm.store.state import StoreState
from fsm.store.step import PendingStep
from fsm.verdict import Refused

__all__ = ["Call", "Claims"]

log: Final = logging.getLogger("fsm.store")
VAIN: Final = 100
"""Claims in a row that may find nothing, because peers were faster, before there is a pause."""


def _given(item: Item | None) -> None:
    """It was given an item already."""


class Call:
    """A place in the line without a future: `give` is called with the item, in the thread that commits.

    `interrupt` is called instead with what a listener raised to end the program.
    """

    __slots__ = ("_cancelled", "_give", "_interrupt")

    def __init__(
        self, give: Callable[[Item | None], object], interrupt: Callable[[BaseException], object]
    ) -> None:  # fmt: skip
        self._give, self._interrupt, self._cancelled = give, interrupt, False

    def cancel(self) -> None:
        """Stand in line no longer.  An item may still be given that was claimed before."""
        self._cancelled = True

    # what a future has, too

    def cancelled(self) -> bool:
        """Return whether it was cancelled."""
        return self._cancelled

    def set_running_or_notify_cancel(self) -> bool:
        """Return whether it may be given an item."""
        return not self._cancelled

    def set_result(self, item: Item | None) -> None:
        """Give it the item, and let go of who is called: that may hold this place."""
        give, self._give = self._give, _given
        give(item)

    def set_exception(self, error: BaseException) -> None:
        """Interrupt it."""
        self._interrupt(error)


class Claims:
    """The line of callers.  Used with the state's lock held.

    `unclaimed` is called with an item in flight that nobody took, so that its message goes back into the queue.
    """

    __slots__ = ("_commit", "_interruption", "_line", "_paused", "_scheduled", "_state", "_unclaimed", "_vain")

    def __init__(self, state: StoreState, commit: GroupCommit, unclaimed: Callable[[Item], object]) -> None:
        self._state, self._commit, self._unclaimed = state, commit, unclaimed
        self._line: deque[tuple[Future[Item | None] | Call, Callable[[], Item]]] | None = None
        self._scheduled = self._paused = False
        self._vain = 0
        """Claims in a row that found nothing where something is counted."""
        self._interruption: BaseException | None = None

    @property
    def waiting(self) -> bool:
        """True if somebody waits for a message."""
        return bool(self._line)

    def next(self, new: Callable[[], Item]) -> Future[Item | None]:
        """Stand in line.  The result is the next message as an item made by `new`, or None if there will be none."""
        future: Future[Item | None] = Future()
        self.stand(future, new)
        return future

    def stand(self, caller: Future[Item | None] | Call, new: Callable[[], Item]) -> None:
        """Let this caller stand in line."""
        if self._line is None:
            self._line = deque()
        self._line.append((caller, new))
        self.dispatch()

    def give_back(self, item: Item) -> None:
        """Give the message of an item that nobody took to the next in line, or put it back into the queue."""
        if item.over or item.stop_reason is not None or not self._hand_over(lambda new: self._renewed(item, new)):
            self._unclaimed(item)

    def _renewed(self, item: Item, new: Callable[[], Item]) -> Item:
        item.over = True  # whoever still has the old item cannot enter its block
        return self._state.begin(new(), item.message)

    def dispatch(self) -> None:
        """Have messages claimed for those in line, if there are any and they may begin."""
        state, session, line = self._state, self._state.session, self._line
        while line and line[0][0].cancelled():
            line.popleft()
        if not line:
            return
        if session.complete or state.closed:
            while self._hand_over(lambda _: None):
                pass
        elif not self._scheduled and not self._paused:
            ours = session.ready and session.may("outbound_begin")
            if ours or (state.peers_may_have_mail and session.peers and session.accepting):
                self._scheduled = True  # every batch ends with a claim; this one is for that alone
                self._commit.enqueue(state, lambda _: None, self._claimed, "the next message")

    def wanted(self, step: PendingStep) -> tuple[int, bool]:
        """Return how many messages are wanted, and whether others may be asked for them, at the end of a batch."""
        state, session = self._state, step.session
        if not self._line or self._paused or state.closed or session.complete:
            return 0, False
        look = state.peers_may_have_mail and session.peers > 0 and session.accepting
        if not (look or session.ready):
            return 0, False
        with state.lock:
            if look:
                state.peers_may_have_mail = False  # whoever rings from here on is heard
            return sum(not future.cancelled() for future, _ in self._line), look

    def claimed(self, step: PendingStep, ids: Sequence[str], *, taken: bool, short: bool = False) -> None:
        """Begin with these messages; `taken` are those of others, `short` if fewer were there than are counted."""
        state = self._state
        try:
            for id in ids:
                if taken:
                    step.fire("submit", message=id, why="taken over from a peer")
                step.fire("outbound_begin", message=id)
        except Refused:  # the session does not count what the storage has: it will
            state.peers_rule.refresh()
            raise
        if taken and ids:
            step.tell("taken")
            step.after_commit.append(lambda: self._taken_over(len(ids)))
        self._vain = self._vain + 1 if short and not ids else 0
        if short:
            step.after_commit.append(state.peers_rule.refresh)
        if self._vain > VAIN:
            self.failed(StorageError(f"{step.session.ready} are counted as ready, and none is found"))

    def _taken_over(self, count: int) -> None:
        state = self._state
        state.peers_may_have_mail = True
        state.counters["taken_over"] += count

    def distribute(self, messages: Sequence[Message]) -> None:
        """Give the messages to those in line, the oldest to the first, after the commit."""
        state, interruption = self._state, self._interruption
        self._interruption = None
        for message in messages:
            if interruption is not None and self._line:
                future, _ = self._line.popleft()
                if future.set_running_or_notify_cancel():
                    future.set_exception(interruption)
                    interruption = None
            if not self._hand_over(lambda new, message=message: state.begin(new(), message)):  # type: ignore[misc]
                self._unclaimed(state.begin(state.new_item(Item, "outbound"), message))

    def _hand_over(self, make: Callable[[Callable[[], Item]], Item | None]) -> bool:
        while self._line:
            future, new = self._line.popleft()
            if future.set_running_or_notify_cancel():
                future.set_result(make(new))
                return True
        return False

    def interrupted(self, error: BaseException) -> None:
        """Keep the SystemExit or the like that a listener raised at a claim: it is for the first in line."""
        self._interruption = error

    def failed(self, error: BaseException) -> None:
        """Note that no message could be claimed; after a pause it is tried again."""
        state = self._state
        with state.lock:
            state.peers_may_have_mail = True
            if self._line and not self._paused:
                log.warning("%s: cannot claim a message: %s", state.name, error, extra=about(state.name))
                self._paused = True
                state.clock.call_later(RETRY_SECONDS, self._resume)

    def _resume(self) -> None:
        with self._state.lock:
            self._paused = False
            self.dispatch()

    def _claimed(self, _: object) -> None:
        with self._state.lock:
            self._scheduled = False
            self.dispatch()
