"""A transaction of the database: messages, parts, processes and the journal, changed together.

Theory.
1. Changes of messages, their journal entries and changes of parts are committed together or not at all.
2. Changes that have no result are collected, and written before anything is read and before the commit.
3. A transaction that changes something also writes a row of the journal, by which it can be found when the server is
   lost during the commit.
"""

from __future__ import annotations

from collections.abc import Sequence

from fsm.store.sql.driver import Driver
from fsm.store.sql.journal import JournalWriter
from fsm.store.sql.messages import Messages
from fsm.store.sql.parts import Parts
from fsm.store.sql.processes import Processes
from fsm.store.storage import Ask, Handle, Look

__all__ = ["DatabaseTransaction"]


class DatabaseTransaction:
    """See `storage.Transaction`."""

    def __init__(self, driver: Driver, processes: Processes, profile: str, journal: JournalWriter, bell: str) -> None:
        self.messages = messages = Messages(driver, processes.me)
        self.parts = Parts(driver, processes, profile)
        self._driver, self._processes, self._journal, self._bell = driver, processes, journal, bell
        self._header, self._lines = "", list[str]()
        self._left: list[Handle] = []
        self._before: dict[Handle, tuple[int, ...]] = {}
        self.submit, self.claim_new, self.claim = messages.submit, messages.claim_new, messages.claim
        self.take, self.sent, self.ended = messages.take, messages.sent, messages.ended
        self.resume, self.withdraw, self.set_aside = messages.resume, messages.withdraw, messages.set_aside
        self.fall_due, self.first_due = messages.fall_due, messages.first_due

    @property
    def driver(self) -> Driver:
        """The connection, for what is changed together with the messages."""
        return self._driver

    def open(self, handles: Sequence[Handle]) -> list[Look]:
        """See `storage.Transaction`."""
        return self.parts.open(handles)

    def look(self, asks: Sequence[Ask]) -> list[Look]:
        """See `storage.Transaction`."""
        self.messages.flush()
        self._before |= {ask.handle: ask.handle.parts for ask in asks if ask.handle not in self._before}
        return self.parts.look(asks)

    def revive(self, handles: Sequence[Handle]) -> list[Look]:
        """See `storage.Transaction`."""
        self._before |= {handle: handle.parts for handle in handles}
        self._processes.register(self._bell)
        self.messages = Messages(self._driver, self._processes.me)
        return self.parts.revive(handles)

    def leave(self, handle: Handle, ready: int | None, deferred: int | None) -> None:
        """See `storage.Transaction`."""
        if not handle.left:
            handle.left = True
            self._left.append(handle)
            self.parts.leave(handle, ready, deferred)

    def lapse(self, handle: Handle) -> None:
        """See `storage.Transaction`."""
        self.messages.flush()
        self.parts.lapse(handle)

    def flush(self, handle: Handle) -> int:
        """See `storage.Transaction`."""
        self.messages.flush_deferred(handle)  # it waits for who is taking one, and whose note is there then
        return self.parts.taken(handle)

    def record(self, header: str, lines: Sequence[str]) -> None:
        """See `storage.Transaction`."""
        self._header = header
        self._lines += lines

    def finish(self) -> None:
        """Write the collected changes."""
        self.messages.flush()
        self.parts.flush()
        self.messages.notes.write(self._driver)
        if self._header or (self._driver.wrote and self._driver.postgresql):
            self._journal.write(self._driver, self._processes.me, self._header, self._lines)
            self._journal.turn(self._driver)

    def undo(self) -> None:
        """Restore what the handles were before."""
        for handle in self._left:
            handle.left = False
        for handle, parts in self._before.items():
            handle.parts = parts
