r"""Sample messages of every kind that mail programs send: short and long, in all encodings, with traps.

    for sample in fresh(100): send(sample.sender, sample.recipients, sample.content)

`SAMPLES` are the messages of `examples/mail/`, byte for byte (`python -m fsm.mail.demo.samples FOLDER` writes them,
and a test compares).  `fresh` yields as many as you like, each with a Message-ID of its own; `large` makes one of any
size from a seed.  Lines end with CR LF, as they travel.
"""

from __future__ import annotations

import re
import struct
import sys
import zlib
from base64 import encodebytes
from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import cycle, islice
from pathlib import Path
from random import Random
from typing import Final
from uuid import uuid4

__all__ = ["SAMPLES", "Sample", "fresh", "large"]

_ID: Final = re.compile(rb"^Message-ID: <[^>]*>", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Sample:
    """A message and its envelope.  `about` describes what is special."""

    name: str
    about: str
    content: bytes
    sender: str = "alice@example.org"
    recipients: tuple[str, ...] = ("bob@example.net",)

    @property
    def message_id(self) -> str:
        """The Message-ID with its angle brackets."""
        found = _ID.search(self.content)
        assert found is not None, self.name
        return found[0].split(b" ", 1)[1].decode()

    @property
    def smtputf8(self) -> bool:
        """Whether a header or an address is beyond ASCII."""
        head = self.content.partition(b"\r\n\r\n")[0]
        return not (head.isascii() and all(map(str.isascii, (self.sender, *self.recipients))))

    @property
    def eight_bit(self) -> bool:
        """Whether anything is beyond ASCII."""
        return not self.content.isascii()

    def renamed(self, message_id: str) -> Sample:
        """Return the same message with another Message-ID, given with its angle brackets."""
        return replace(self, content=_ID.sub(f"Message-ID: {message_id}".encode(), self.content, count=1))

    @property
    def arrives(self) -> bytes:
        """The content as it arrives by SMTP, which ends every message with a line end."""
        return self.content if self.content.endswith(b"\r\n") else self.content + b"\r\n"


def fresh(count: int, *, large_every: int = 0, size: int = 3_000_000) -> Iterator[Sample]:
    """Yield so many messages, the kinds in turn, each with a Message-ID that is used only once.

    Every `large_every`-th (0: none) has an attachment that makes it about `size` bytes long.
    """
    run = uuid4().hex[:12]
    for number, sample in enumerate(islice(cycle(SAMPLES), count), 1):
        chosen = large(size, number) if large_every and number % large_every == 0 else sample
        yield chosen.renamed(f"<{number}.{run}.{chosen.name}@samples.example.org>")


def large(size: int, seed: int) -> Sample:
    """Return a message with an attachment, about `size` bytes long; the same for the same seed."""
    noise = encodebytes(Random(seed).randbytes(max(1, size * 54 // 75))).replace(b"\n", b"\r\n")
    parts = _parts("large", ["Content-Type: text/plain", "", "Here is the recording, in one piece.", ""])
    head, foot = parts[0], parts[1]
    kind = ["Content-Type: application/octet-stream", "Content-Transfer-Encoding: base64",
            'Content-Disposition: attachment; filename="recording.bin"', "", ""]  # fmt: skip
    whole = head + b"--large\r\n" + _text(kind) + noise + foot
    return Sample(f"large-{seed}", "a large attachment", whole)


def _text(lines: list[str]) -> bytes:
    return "\r\n".join(lines).encode()


def _head(name: str, subject: str, *more: str) -> list[str]:
    return [
        "Date: Tue, 07 Jan 2025 09:15:00 +0100",
        "From: Alice Example <alice@example.org>",
        "To: Bob Example <bob@example.net>",
        f"Subject: {subject}",
        f"Message-ID: <{name}@samples.example.org>",
        "MIME-Version: 1.0",
        *more,
    ]


def _parts(name: str, first: list[str]) -> tuple[bytes, bytes]:
    """Return the beginning of a multipart/mixed message, up to its first part, and its end."""
    head = _head(name, "With something attached", f'Content-Type: multipart/mixed; boundary="{name}"', "")
    return _text([*head, "This is a message in several parts.", f"--{name}", *first, ""]), f"--{name}--\r\n".encode()


def _picture(width: int, height: int) -> bytes:
    """Return a PNG of a gradient, not compressed, so that it is the same with every version of zlib."""
    rows = b"".join(
        b"\0" + bytes(colour for x in range(width) for colour in (255 * x // width, 255 * y // height, 128))
        for y in range(height)
    )
    stored = b"\x78\x01\x01" + struct.pack("<HH", len(rows), len(rows) ^ 0xFFFF) + rows
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", stored + struct.pack(">I", zlib.adler32(rows))),
        (b"IEND", b""),
    ]
    framed = ((struct.pack(">I", len(data)), kind + data) for kind, data in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        size + chunk + struct.pack(">I", zlib.crc32(chunk)) for size, chunk in framed
    )


def _attachment() -> bytes:
    head, foot = _parts("attachment", ["Content-Type: text/plain", "", "The chart you asked for.", ""])
    kind = ['Content-Type: image/png; name="chart.png"', "Content-Transfer-Encoding: base64",
            'Content-Disposition: attachment; filename="chart.png"', "", ""]  # fmt: skip
    return head + b"--attachment\r\n" + _text(kind) + encodebytes(_picture(48, 32)).replace(b"\n", b"\r\n") + foot


def _nested() -> bytes:
    head, foot = _parts("nested", ["Content-Type: text/plain", "", "Forwarding this as it came.", ""])
    inner = ["From: Carol <carol@example.com>", "To: Alice <alice@example.org>", "Subject: Inside",
             "Message-ID: <inside.nested@samples.example.org>", "", ".This line begins with a dot.", "--nested-not",
             ""]  # fmt: skip
    return head + b"--nested\r\nContent-Type: message/rfc822\r\n\r\n" + _text([*inner, ""]) + foot


def _samples() -> Iterator[Sample]:
    plain = "Content-Type: text/plain; charset=us-ascii"
    yield Sample("plain", "plain ASCII, a few lines", _text([
        *_head("plain", "Lunch on Thursday?", plain), "",
        "Hi Bob,", "", "would Thursday at one suit you?  The place by the river is open again.", "", "Alice", "",
    ]))  # fmt: skip
    yield Sample("encoded-headers", "a subject and names in RFC 2047 words, the body in quoted-printable", _text([
        "Date: Wed, 08 Jan 2025 18:02:11 +0000",
        "From: =?utf-8?q?J=C3=BCrgen_M=C3=BCller?= <juergen@example.org>",
        "To: =?utf-8?b?5bGx55Sw5aSq6YOO?= <taro@example.net>",
        "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe_aus_K=C3=B6ln_=E2=80=93?=", " =?utf-8?q?_und_ein_Euro_kostet_1_=E2=82=AC?=",
        "Message-ID: <encoded-headers@samples.example.org>", "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: quoted-printable", "",
        "Viele Gr=C3=BC=C3=9Fe, und eine sehr lange Zeile, die weich umgebrochen ist, d=", "amit sie hineinpasst.", "",
    ]), "juergen@example.org", ("taro@example.net",))  # fmt: skip
    yield Sample("smtputf8", "addresses and headers in UTF-8 as they are (SMTPUTF8)", _text([
        "Date: Thu, 09 Jan 2025 07:30:00 +0200", "From: Ελένη <ελένη@παράδειγμα.example>",
        "To: Ивáн <иван@пример.example>",
        "Subject: Καλημέρα, доброе утро, お早う", "Message-ID: <smtputf8@samples.example.org>", "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: 8bit", "", "Καλημέρα! 👋", "",
    ]), "ελένη@παράδειγμα.example", ("иван@пример.example",))  # fmt: skip
    yield Sample("alternative", "the same in text and in HTML", _text([
        *_head("alternative", "Newsletter", 'Content-Type: multipart/alternative; boundary="=_alt_1"'), "",
        "--=_alt_1", plain, "", "Spring sale: everything must go.", "",
        "--=_alt_1", "Content-Type: text/html; charset=utf-8", "Content-Transfer-Encoding: quoted-printable", "",
        "<p style=3D\"color:#336\">Spring sale: <b>everything</b> must go=E2=80=A6</p>", "", "--=_alt_1--", "",
    ]))  # fmt: skip
    yield Sample("attachment", "a picture in base64", _attachment())
    yield Sample("nested", "another message inside", _nested(), recipients=("bob@example.net", "dora@example.net"))
    yield Sample("long-lines", "lines of 998 bytes, the longest there may be", _text([
        *_head("long-lines", "A log file", plain), "", "x" * 998, "." + "y" * 997, ("0123456789" * 100)[:998], "",
    ]))  # fmt: skip
    yield Sample("dots", "lines that begin with dots, and lines of dots only", _text([
        *_head("dots", "Dots", plain), "", ".", "..", "...", ".hidden", "..config", ". ", ".", "",
    ]))  # fmt: skip
    yield Sample("dot-first", "a body whose first and last line are a dot", _text([
        *_head("dot-first", "."), "", ".", "", ".",
    ]))  # fmt: skip
    yield Sample("empty-body", "nothing but a header", _text([*_head("empty-body", "(see subject)"), "", ""]))
    bare = _text([*_head("headers-only", "None"), ""])
    yield Sample("headers-only", "a header, and not even the empty line after it", bare)
    yield Sample("no-newline", "no line end at the end", _text([
        *_head("no-newline", "Cut", plain), "", "the last words",
    ]))  # fmt: skip
    yield Sample("eight-bit", "Latin-1 in eight bits, which is not UTF-8", _text([
        *_head("eight-bit", "Cafe", "Content-Type: text/plain; charset=iso-8859-1",
               "Content-Transfer-Encoding: 8bit"), "", "",
    ]) + "Un café crème, s'il vous plaît: 3 francs, 20 °C.\r\n".encode("latin-1"))  # fmt: skip
    yield Sample("flowed", "format=flowed: lines that go on end with a blank", _text([
        *_head("flowed", "Re: Lunch on Thursday?", "Content-Type: text/plain; format=flowed; delsp=no",
               "In-Reply-To: <plain@samples.example.org>", "References: <plain@samples.example.org>"), "",
        "> would Thursday at one suit you?  The place by the river ", "> is open again.", "",
        "Thursday is fine.  I will be a little late, because the train ", "arrives only at a quarter past.", "",
        " From the station it is five minutes.", "-- ", "Bob", "",
    ]))  # fmt: skip
    yield Sample("mbox-trap", "lines that begin with From, as in a mailbox file", _text([
        *_head("mbox-trap", "Quoting a mailbox", plain), "",
        "From alice@example.org Tue Jan  7 09:15:00 2025", ">From bob", "From here on it is harmless.", "",
    ]))  # fmt: skip
    yield Sample("invitation", "a meeting, as calendar programs send it", _text([
        *_head("invitation", "Invitation: Review", 'Content-Type: text/calendar; charset=utf-8; method=REQUEST'), "",
        "BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//example.org//samples//EN", "METHOD:REQUEST", "BEGIN:VEVENT",
        "UID:review@samples.example.org", "DTSTAMP:20250107T081500Z", "DTSTART:20250114T130000Z",
        "DTEND:20250114T140000Z",
        "SUMMARY:Review", "ORGANIZER:mailto:alice@example.org", "ATTENDEE;RSVP=TRUE:mailto:bob@example.net",
        "END:VEVENT", "END:VCALENDAR", "",
    ]))  # fmt: skip
    digest = encodebytes(sha256(b"no signature").digest()).decode().strip()
    hops = [
        f"Received: from hop{n}.example.org (hop{n}.example.org [192.0.2.{n}])\r\n\tby hop{n + 1}.example.org (Postfix)"
        f" with ESMTPS id {n:010X}\r\n\tfor <list@example.org>; Tue, 07 Jan 2025 09:1{n}:00 +0100 (CET)"
        for n in range(6, 0, -1)
    ]
    yield Sample("list-post", "a post to a mailing list, with the many headers of its way", _text([
        "Return-Path: <list-bounces+bob=example.net@example.org>", *hops,
        f"DKIM-Signature: v=1; a=rsa-sha256; d=example.org; s=2025;\r\n\tbh={digest};\r\n\tb=bm90IGEgc2lnbmF0dXJl",
        "X-Spam-Status: No, score=-2.1 required=5.0",
        *_head("list-post", "[list] Re: [list] Where the queue grows", plain),
        "In-Reply-To: <first@samples.example.org>",
        "References: " + "\r\n\t".join(f"<{n}.thread@samples.example.org>" for n in range(12)),
        "List-Id: A list <list.example.org>", "List-Post: <mailto:list@example.org>",
        "List-Unsubscribe: <https://example.org/list>,\r\n\t<mailto:list-request@example.org?subject=unsubscribe>",
        "Precedence: list", "Sender: list-bounces@example.org", "Errors-To: list-bounces@example.org", "",
        "On Mon, Carol wrote:", ">> It grows here, too.", "> Not here.", "",
        "It stopped when I closed the store properly.",
        "_______________________________________________", "list mailing list", "list@example.org", "",
    ]), "list-bounces+bob=example.net@example.org")  # fmt: skip
    yield Sample("notification", "a report to a sender, itself without one", _text([
        *_head("notification", "Delayed mail (still being retried)", plain, "Auto-Submitted: auto-replied"), "",
        "Your message has not been delivered yet.  You need not do anything.", "",
    ]), "")  # fmt: skip


SAMPLES: Final = tuple(_samples())


def main(folder: str) -> None:
    """Write the samples there, a file each."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    for sample in SAMPLES:
        Path(folder, f"{sample.name}.eml").write_bytes(sample.content)


if __name__ == "__main__":
    main(sys.argv[1])
