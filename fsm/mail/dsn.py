"""Reports of mail that could not be delivered: delivery status notifications (RFC 3464), and nothing that a bad
address, header or reply could add to them.

Theory.
1. Whatever comes from elsewhere (addresses, replies of a server, header lines) goes through `sanitary`, so that none
   of it can end its line.  The returned message is a part of its own, behind a boundary that is not in it.
2. A report's name follows from the message and the recipients it is about, so one failure is reported once, also
   when the program was cut between storing the report and recording that.
3. Mail without a sender is itself a report: nobody is told of its failure, or reports would go in circles (RFC 5321
   6.1).

This file has no socket and no disk, and does not know the store.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import formatdate
from hashlib import sha256

from fsm.mail.received import header_of
from fsm.mail.syntax import ascii_line, line
from fsm.store.message import Message

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

__all__ = ["Failure", "report", "report_name"]

WHOLE: Final = 64 * 1024
"""Bytes up to which the message is returned whole; of a longer one only the header."""
_STATUS: Final = re.compile(r"[245][0-9]{2}[ -]([245]\.[0-9]{1,3}\.[0-9]{1,3})\b")


@dataclass(frozen=True, slots=True)
class Failure:
    """One recipient who will not get the message, and why: a server's reply, or words of our own."""

    recipient: str
    reason: str

    @property
    def status(self) -> str:
        """The enhanced status code (RFC 3463): the server's, or the general permanent failure."""
        found = _STATUS.match(self.reason)
        return f"5{found[1][1:]}" if found else "5.0.0"


def report_name(message: Message, failures: Sequence[Failure]) -> str:
    """The name under which this report is stored: the same failures of the same message, the same name."""
    about = sha256("\0".join(sorted(failure.recipient for failure in failures)).encode(errors="replace"))
    return f"report-{message.id}-{about.hexdigest()[:16]}"


def report(message: Message, failures: Sequence[Failure], *, host: str, smarthost: str, now: float) -> bytes:
    """The report.  ValueError for a message without a sender, or without a failure."""
    if not message.sender or not failures:
        raise ValueError("a report is about failures, and goes to a sender")
    name = report_name(message, failures)
    returned = _lines(message.content)
    whole = len(returned) <= WHOLE
    returned = returned if whole else header_of(returned) + b"\r\n"
    boundary = f"=_{name}_{sha256(returned).hexdigest()[:24]}"
    while boundary.encode() in returned:  # it holds a digest of what it must not be in
        boundary += "_"
    kind, eight = "message/rfc822" if whole else "text/rfc822-headers", "7bit" if returned.isascii() else "8bit"
    parts = [
        _words(message, failures, host),
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


def _words(message: Message, failures: Sequence[Failure], host: str) -> bytes:
    told = [
        f"This is the mail system at {host}.",
        "",
        "Your message could not be delivered to these recipients, and will not be tried again:",
        "",
    ]
    for failure in failures:
        told += [f"  {line(failure.recipient)}", f"      {line(failure.reason, 900)}", ""]
    told += [f"Here it had the id {message.id}.  What was returned follows the report.", ""]
    head = "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    return (head + "\r\n".join(told)).encode()


def _statuses(message: Message, failures: Sequence[Failure], host: str, smarthost: str, now: float) -> bytes:
    told = [
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
        told += [f"Final-Recipient: {kind}; {ascii_line(failure.recipient)}", "Action: failed"]
        told.append(f"Status: {failure.status}")
        if replied := failure.reason[:3].isdigit():
            told.append(f"Remote-MTA: dns; {ascii_line(smarthost)}")
        told += [f"Diagnostic-Code: {'smtp' if replied else 'x-fsm'}; {ascii_line(failure.reason, 900)}", ""]
    return "\r\n".join(told).encode()


def _path(sender: str) -> str:
    return re.sub(r"[<>\s]+", "", line(sender, 900))


def _lines(content: bytes) -> bytes:
    """The message as it can stand in another one: CR LF everywhere, no NUL, an end of line at the end."""
    mended = re.sub(rb"\r\n|\r|\n", b"\r\n", content.replace(b"\0", b"?"))
    return mended if mended.endswith(b"\r\n") else mended + b"\r\n"
