"""Delivery status notifications (RFC 3464): they tell a sender which recipients did not get the message, and why.

Theory.
1. Whatever comes from elsewhere (addresses, replies of a server, header lines) goes through `syntax.line`, so that none
   of it can end its line.  The returned message is a part of its own, behind a boundary that is not in it.
2. A notification's name follows from the message and the recipients it is about.  So one failure is notified once, also
   when the program crashed between storing the notification and recording that.
3. Mail without a sender is itself a notification.  Its failure is not notified, or notifications would loop (RFC 5321
   6.1).
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import formatdate
from hashlib import sha256
from typing import Final

from fsm.mail.maildir import Maildir
from fsm.mail.received import header_of
from fsm.mail.syntax import ascii_line, line
from fsm.store.message import Message

__all__ = ["Failure", "Notifier", "notification", "notification_name"]

log: Final = logging.getLogger("fsm.mail")
MAX_RETURNED: Final = 64 * 1024
"""Octets up to which the message is returned whole; of a longer one only the header is."""
_STATUS: Final = re.compile(r"[245][0-9]{2}[ -]([245]\.[0-9]{1,3}\.[0-9]{1,3})\b")


@dataclass(frozen=True, slots=True)
class Failure:
    """One recipient who will not get the message, and the reason: a server's reply, or a text of our own."""

    recipient: str
    reason: str

    @property
    def status(self) -> str:
        """The enhanced status code (RFC 3463): the server's, or that of any permanent failure."""
        found = _STATUS.match(self.reason)
        return f"5{found[1][1:]}" if found else "5.0.0"


@dataclass(frozen=True, slots=True)
class Notifier:
    """Puts notifications into the inbox.  `host` and `smarthost` are the names of this server and of the next."""

    inbox: Maildir
    host: str
    smarthost: str

    async def notify(self, message: Message, failures: Sequence[Failure]) -> bool:
        """Store a notification durably, once.  False when the message has no sender.  MaildirError."""
        if not message.sender:
            return False
        content = notification(message, failures, host=self.host, smarthost=self.smarthost, now=time.time())
        await self.inbox.deliver(content, name=notification_name(message, failures))
        recipients = ", ".join(failure.recipient for failure in failures)
        log.info("message %s failed for %s: reported to its sender", message.id, recipients)
        return True


def notification_name(message: Message, failures: Sequence[Failure]) -> str:
    """Return the name under which the notification is stored: the same for the same failures of the same message."""
    recipients = sha256("\0".join(sorted(failure.recipient for failure in failures)).encode(errors="replace"))
    return f"report-{message.id}-{recipients.hexdigest()[:16]}"


def notification(message: Message, failures: Sequence[Failure], *, host: str, smarthost: str, now: float) -> bytes:
    """Return the notification.  ValueError for a message without a sender, or without a failure."""
    if not message.sender or not failures:
        raise ValueError("a notification needs a sender and at least one failed recipient")
    name = notification_name(message, failures)
    returned = _enclosable(message.content)
    whole = len(returned) <= MAX_RETURNED
    returned = returned if whole else header_of(returned) + b"\r\n"
    boundary = f"=_{name}_{sha256(returned).hexdigest()[:24]}"
    while boundary.encode() in returned:  # it holds a digest of what it must not be in
        boundary += "_"
    kind, eight = "message/rfc822" if whole else "text/rfc822-headers", "7bit" if returned.isascii() else "8bit"
    parts = [
        _text(message, failures, host),
        _statuses(message, failures, host, smarthost, now),
        f"Content-Type: {kind}\r\nContent-Transfer-Encoding: {eight}\r\n\r\n".encode() + returned,
    ]
    head = [
        "Return-Path: <>",
        f"Received: by {host} (fsm); {formatdate(now)}",
        f"From: Mail Delivery System <MAILER-DAEMON@{host}>",
        f"To: <{_path(message.sender)}>",
        "Subject: Undelivered mail: returned to its sender",
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


def _text(message: Message, failures: Sequence[Failure], host: str) -> bytes:
    lines = [
        f"This is the mail system at {host}.",
        "",
        "Your message could not be delivered to these recipients, and will not be tried again:",
        "",
    ]
    for failure in failures:
        lines += [f"  {line(failure.recipient)}", f"      {line(failure.reason, 900)}", ""]
    lines += [f"Here it had the id {message.id}.  What was returned follows the report.", ""]
    head = "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    return (head + "\r\n".join(lines)).encode()


def _statuses(message: Message, failures: Sequence[Failure], host: str, smarthost: str, now: float) -> bytes:
    lines = [
        "Content-Type: message/delivery-status",
        "",
        f"Reporting-MTA: dns; {host}",
        f"X-Queue-ID: {message.id}",
        f"Arrival-Date: {formatdate(message.submitted)}",
        f"Last-Attempt-Date: {formatdate(now)}",
        "",
    ]
    for failure in failures:
        kind = "rfc822" if failure.recipient.isascii() else "utf-8"
        lines += [f"Final-Recipient: {kind}; {ascii_line(failure.recipient)}", "Action: failed"]
        lines.append(f"Status: {failure.status}")
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
