"""The books of a store: what became of every message, from what is on disk and at the sink, not from what it says.

submitted = delivered + in the outbox + held; received = in the inbox.  What does not add up is lost; what is there more
often than it was sent is doubled, which only an uncertain message may be.  This file knows no server.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from fsm.mail.demo.clients import Sent
from fsm.mail.demo.sink import Sink
from fsm.store.sql.database import Database, read

__all__ = ["Books", "balance"]


@dataclass
class Books:
    """What became of every message, from what is on disk and at the sink."""

    submitted: int = 0
    delivered: int = 0
    queued: int = 0
    held: int = 0
    received: int = 0
    inbox: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    uncertain: int = 0

    @property
    def balanced(self) -> bool:
        """Whether no message is lost, and none is doubled but the uncertain."""
        return not self.lost and len(self.doubled) <= self.uncertain


def balance(store: Path, submitted: Sent, received: Sent, sink: Sink) -> Books:
    """The books of a store that nobody has open, of what clients sent to it and of the sink it delivered to."""
    storage = Database(store / "outbox.db")
    storage.open()
    try:
        kept = {message.id: message for message in storage.messages()}
    finally:
        storage.close()
    delivered = Counter(message.message_id for message in sink.delivered)
    to_whom = Counter((message.message_id, to) for message in sink.delivered for to in message.recipients)
    inbox = Counter(_message_id(file) for file in sorted((store / "inbox" / "new").iterdir()))
    books = Books(submitted=len(submitted.accepted), received=len(received.accepted))
    for message_id, words in submitted.accepted.items():
        here = kept.get(words.rpartition(" ")[2])
        books.delivered += message_id in delivered
        if here is not None and message_id not in delivered:
            books.held += here.state == "held"
            books.queued += here.state != "held"
        elif message_id not in delivered:
            books.lost.append(message_id)
    for message_id in received.accepted:
        books.inbox += message_id in inbox
        if message_id not in inbox:
            books.lost.append(message_id)
    books.doubled = [one for one, times in inbox.items() if times > 1]
    books.doubled += sorted({one for (one, _), times in to_whom.items() if times > 1})
    books.uncertain = len(submitted.unknown) + len(received.unknown)
    books.uncertain += sum(message.uncertain for message in kept.values())
    for line in read(store / "outbox.db"):
        books.uncertain += json.loads(line).get("uncertain", 0)
    return books


def _message_id(file: Path) -> str:
    for line in file.read_bytes().split(b"\r\n\r\n", 1)[0].splitlines():
        if line.lower().startswith(b"message-id:"):
            return line.split(b":", 1)[1].strip().decode(errors="replace")
    return ""
