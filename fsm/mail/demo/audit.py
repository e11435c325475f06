"""An audit of a store: what became of every message, from what is on disk and at the sink, whatever the server says.

submitted = delivered + in the outbox + held; received = in the inbox.  A message that is missing is lost.  One that is
there more often than it was sent is duplicated, which only an uncertain message may be.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from fsm.mail.demo.clients import SendLog
from fsm.mail.demo.sink import SmtpSink
from fsm.store import Database, Store
from fsm.store.sql import read_journal

__all__ = ["Audit", "audit"]


@dataclass
class Audit:
    """Counts of messages, and the Message-IDs of those that are lost or duplicated."""

    submitted: int = 0
    delivered: int = 0
    queued: int = 0
    held: int = 0
    received: int = 0
    inbox: int = 0
    lost: list[str] = field(default_factory=list)
    duplicated: list[str] = field(default_factory=list)
    uncertain: int = 0

    @property
    def balanced(self) -> bool:
        """Whether no message is lost, and none is duplicated but the uncertain."""
        return not self.lost and len(self.duplicated) <= self.uncertain


def audit(store: Path, submitted: SendLog, received: SendLog, sink: SmtpSink) -> Audit:
    """Audit a store that no process has open, against its clients' logs and the sink that it delivered to."""
    opened = Store(Database(store / "outbox.db"))  # whose claims have lapsed is uncertain from now on
    try:
        kept = {message.id: message for message in opened.messages()}
    finally:
        opened.let_go()
    delivered = Counter(message.message_id for message in sink.delivered)
    copies = Counter((message.message_id, recipient) for message in sink.delivered for recipient in message.recipients)
    inbox = Counter(_message_id(file) for file in sorted((store / "inbox" / "new").iterdir()))
    result = Audit(submitted=len(submitted.accepted), received=len(received.accepted))
    for message_id, reply in submitted.accepted.items():
        row = kept.get(reply.rpartition(" ")[2])
        result.delivered += message_id in delivered
        if row is not None and message_id not in delivered:
            result.held += row.state == "held"
            result.queued += row.state != "held"
        elif message_id not in delivered:
            result.lost.append(message_id)
    for message_id in received.accepted:
        result.inbox += message_id in inbox
        if message_id not in inbox:
            result.lost.append(message_id)
    result.duplicated = [one for one, times in inbox.items() if times > 1]
    result.duplicated += sorted({one for (one, _), times in copies.items() if times > 1})
    result.uncertain = len(submitted.unknown) + len(received.unknown)
    result.uncertain += sum(message.uncertain for message in kept.values())
    for line in read_journal(store / "outbox.db"):
        result.uncertain += json.loads(line).get("uncertain", 0)
    return result


def _message_id(file: Path) -> str:
    for line in file.read_bytes().split(b"\r\n\r\n", 1)[0].splitlines():
        if line.lower().startswith(b"message-id:"):
            return line.split(b":", 1)[1].strip().decode(errors="replace")
    return ""
