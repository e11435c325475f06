"""A transaction of the database: the messages, the journal and the holders of a store, changed together.

Theory.
1. Changes of messages, their journal entries and changes of holders are committed together or not at all.
2. `Messages` and `JournalWriter` collect the changes that have no result, and write them before the commit.
3. The claims of dead holders lapse before their peers are counted.
"""

from __future__ import annotations

import sqlalchemy as sa

from fsm.store.sql.cache import SubmittedCache
from fsm.store.sql.holders import Holder, Holders
from fsm.store.sql.journal import JournalWriter, trim
from fsm.store.sql.messages import Messages
from fsm.store.storage import Opening, Peer, Policy

__all__ = ["DatabaseTransaction"]


class DatabaseTransaction:
    """See `storage.Transaction`.  `peers_changed` is true if a holder has left or was removed in it."""

    def __init__(
        self, connection: sa.Connection, me: Holder, policy: Policy, cache: SubmittedCache, *, left: bool = False
    ) -> None:
        self.holders = Holders(connection, me)
        self.messages = messages = Messages(connection, self.holders, cache, left=left)
        self.journal = journal = JournalWriter(connection)
        self.peers_changed = False
        self._policy = policy
        self.submit, self.claim, self.take, self.ready = messages.submit, messages.claim, messages.take, messages.ready
        self.sent, self.deferred, self.failed = messages.sent, messages.deferred, messages.failed
        self.held, self.resume, self.withdraw = messages.held, messages.resume, messages.withdraw
        self.share, self.adopt = messages.share, messages.adopt
        self.begin, self.record = journal.begin, journal.record

    def flush(self) -> None:
        """Write the collected changes."""
        self.messages.flush()
        self.journal.flush()

    def register(self, address: str) -> Opening:
        """Add the holder, to be notified at this address, and take over from dead ones.  The store must be locked."""
        peers, _ = self.holders.sweep()
        self.holders.register(address)
        lapsed = self.messages.lapse(self._policy)
        share = self.messages.adopt()
        me = self.holders.me.id
        trim(self.holders.connection, [me, *(row.id for row in self.holders.others())])
        return Opening(me, share, peers, lapsed)

    def peers(self) -> tuple[Peer, ...]:
        """See `storage.Transaction`."""
        self.messages.flush()
        self.holders.lock()
        peers, died = self.holders.sweep()
        if died:
            self.messages.lapse(self._policy)
            self.peers_changed = True
        return peers

    def leave(self) -> None:
        """See `storage.Transaction`."""
        self.messages.flush()
        self.holders.lock()
        self.messages.leave()
        self.holders.leave()
        self.peers_changed = True

    def unregister(self) -> None:
        """Remove the holder; its claims lapse."""
        self.holders.lock()
        self.holders.remove()
        self.messages.lapse(self._policy)
