"""Delivery status notifications (RFC 3464): they tell a sender which recipients did not get the message, and why.

Theory.
1. Whatever comes from elsewhere (addresses, replies of a server, header lines) goes through `syntax.line`, so that none
   of it can end its line.  The returned message is a part of its own, behind a boundary that is not in it.
2. A notification's name follows from the message and the recipients it is about.  So one failure is notified once, also
   when the program crashed between storing the notification and recording that.
3. Mail without a sender is itself a notification.  Its failure is not notified, or notifications would loop (RFC 5321
   6.1).
4. What the sender asked for decides what is notified, and how (RFC 3461, `parameters.py`): a failure, a delay, or that
   the message went on to a server which does not notify.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import formatdate
from hashlib import sha256
from typing import Final, Literal

from fsm.mail.maildir import Maildir
from fsm.mail.parameters import address_of, addresses, unencoded, wishes
from fsm.mail.received import header_of
from fsm.mail.syntax import ascii_line, line
from fsm.store.log import about
from fsm.store.message import Message

__all__ = ["Failure", "Kind", "Notifier", "notification", "notification_name"]

log: Final = logging.getLogger("fsm.mail")
MAX_RETURNED: Final = 64 * 1024
"""Octets up to which the message is returned whole; of a longer one only the header is."""
_STATUS: Final = re.compile(r"[245][0-9]{2}[ -]([245]\.[0-9]{1,3}\.[0-9]{1,3})\b")


Kind = Literal["failed", "delayed", "relayed"]
"""What became of the recipients (RFC 3464 2.3.3)."""

WANTS: Final[dict[Kind, str]] = {"failed": "FAILURE", "delayed": "DELAY", "relayed": "SUCCESS"}
NAMES: Final[dict[Kind, str]] = {"failed": "report", "delayed": "delay", "relayed": "relayed"}
SUBJECTS: Final[dict[Kind, str]] = {
    "failed": "Undelivered mail: returned to its sender",
    "delayed": "Delayed mail: still being tried",
    "relayed": "Mail was relayed",
}
SENTENCES: Final[dict[Kind, str]] = {
    "failed": "Your message could not be delivered to these recipients, and will not be tried again:",
    "delayed": "Your message could not be delivered to these recipients yet.  You need not send it again:",
    "relayed": "Your message was passed on for these recipients, to a server that does not report deliveries:",
}


@dataclass(frozen=True, slots=True)
class Failure:
    """One recipient who will not get the message, and the reason: a server's reply, or a text of our own.

    In notifications of other kinds it is a recipient who has not got it yet, or to whom it was passed on.
    """

    recipient: str
    reason: str

    @property
    def status(self) -> str:
        """The enhanced status code (RFC 3463): the server's, or that of any permanent failure."""
        return self.status_of("failed")

    def status_of(self, kind: Kind) -> str:
        """Return the enhanced status code, of the class that belongs to this kind."""
        found, first = _STATUS.match(self.reason), {"failed": "5", "delayed": "4", "relayed": "2"}[kind]
        return f"{first}{found[1][1:]}" if found else f"{first}.0.0"


@dataclass(frozen=True, slots=True)
class Notifier:
    """Puts notifications into a store's inbox.  `host` and `smarthost` are the names of this server and of the next."""

    store: str
    inbox: Maildir
    host: str
    smarthost: str

    async def notify(self, message: Message, recipients: Sequence[Failure], kind: Kind = "failed") -> bool:
        """Store a notification durably, once, about those recipients for whom the sender wants it.

        False when the message has no sender, so that nobody can be told.  MaildirError.
        """
        if not address_of(message.sender):
            return False
        wanted = [one for one in recipients if WANTS[kind] in wishes(one.recipient).notify]
        if wanted:
            content = notification(
                message, wanted, host=self.host, smarthost=self.smarthost, now=time.time(), kind=kind
            )
            await self.inbox.deliver(content, name=notification_name(message, wanted, kind))
            named = addresses([one.recipient for one in wanted])
            log.info(
                "message %s %s for %s: reported to its sender", message.id, kind, named,
                extra=about(self.store, message.id),
            )  # fmt: skip
        return True


def notification_name(message: Message, failures: Sequence[Failure], kind: Kind = "failed") -> str:
    """Return the name under which the notification is stored: the same for the same failures of the same message."""
    named = sorted(address_of(failure.recipient) for failure in failures)
    return f"{NAMES[kind]}-{message.id}-{sha256(chr(0).join(named).encode(errors='replace')).hexdigest()[:16]}"


def notification(
    message: Message, failures: Sequence[Failure], *, host: str, smarthost: str, now: float, kind: Kind = "failed"
) -> bytes:
    """Return the notification.  ValueError for a message without a sender, or without a failure."""
    sender, asked = wishes(message.sender)
    if not sender or not failures:
        raise ValueError("a notification needs a sender and at least one failed recipient")
    name = notification_name(message, failures, kind)
    returned = _enclosable(message.content)
    whole = len(returned) <= MAX_RETURNED and kind == "failed" and asked.get("RET", "FULL").upper() == "FULL"
    returned = returned if whole else header_of(returned) + b"\r\n"
    boundary = f"=_{name}_{sha256(returned).hexdigest()[:24]}"
    while boundary.encode() in returned:  # it holds a digest of what it must not be in
        boundary += "_"
    media, eight = "message/rfc822" if whole else "text/rfc822-headers", "7bit" if returned.isascii() else "8bit"
    parts = [
        _text(message, failures, host, kind),
        _statuses(message, failures, host, smarthost, now, kind),
        f"Content-Type: {media}\r\nContent-Transfer-Encoding: {eight}\r\n\r\n".encode() + returned,
    ]
    head = [
        "Return-Path: <>",
        f"Received: by {host} (fsm); {formatdate(now)}",
        f"From: Mail Delivery System <MAILER-DAEMON@{host}>",
        f"To: <{_path(sender)}>",
        f"Subject: {SUBJECTS[kind]}",
        f"Date: {formatdate(now)}",
        f"Message-ID: <{name}@{host}>",
        "Auto-Submitted: auto-replied",
        "MIME-Version: 1.0",
        f'Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary="{boundary}"',
        "Content-Transfer-Encoding: 8bit",
        "",
        "This is a report in the form of RFC 3464.",
        "",
    ]
    body = b"".join(f"--{boundary}\r\n".encode() + part + b"\r\n" for part in parts)
    return "\r\n".join(head).encode() + b"\r\n" + body + f"--{boundary}--\r\n".encode()


def _text(message: Message, failures: Sequence[Failure], host: str, kind: Kind) -> bytes:
    lines = [f"This is the mail system at {host}.", "", SENTENCES[kind], ""]
    for failure in failures:
        lines += [f"  {line(address_of(failure.recipient))}", f"      {line(failure.reason, 900)}", ""]
    lines += [f"Here it had the id {message.id}.  What was returned follows the report.", ""]
    head = "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    return (head + "\r\n".join(lines)).encode()


def _statuses(
    message: Message, failures: Sequence[Failure], host: str, smarthost: str, now: float, kind: Kind
) -> bytes:
    envelope = wishes(message.sender).parameters.get("ENVID")
    lines = [
        "Content-Type: message/delivery-status",
        "",
        *([f"Original-Envelope-Id: {ascii_line(unencoded(envelope))}"] if envelope else []),
        f"Reporting-MTA: dns; {host}",
        f"X-Queue-ID: {message.id}",
        f"Arrival-Date: {formatdate(message.submitted)}",
        f"Last-Attempt-Date: {formatdate(now)}",
        "",
    ]
    for failure in failures:
        recipient, asked = wishes(failure.recipient)
        if original := asked.get("ORCPT"):
            lines.append(f"Original-Recipient: {ascii_line(unencoded(original), 900)}")
        form = "rfc822" if recipient.isascii() else "utf-8"
        lines += [f"Final-Recipient: {form}; {ascii_line(recipient)}", f"Action: {kind}"]
        lines.append(f"Status: {failure.status_of(kind)}")
        if replied := failure.reason[:3].isdigit():
            lines.append(f"Remote-MTA: dns; {ascii_line(smarthost)}")
        lines += [f"Diagnostic-Code: {'smtp' if replied else 'x-fsm'}; {ascii_line(failure.reason, 900)}", ""]
    return "\r\n".join(lines).encode()


def _path(sender: str) -> str:
    return re.sub(r"[<>\s]+", "", line(sender, 900))


def _enclosable(content: bytes) -> bytes:
    """Return the content as it can stand in another message: CR LF at each line end and at the end, no NUL."""
    mended = re.sub(rb"\r\n|\r|\n", b"\r\n", content.replace(b"\0", b"?"))
    return mended if mended.endswith(b"\r\n") else mended + b"\r\n"
