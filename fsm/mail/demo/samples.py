r"""Sample messages of every kind that mail programs send: short and long, in all encodings, with traps.

    for sample in fresh(100): send(sample.sender, sample.recipients, sample.content)

`SAMPLES` are the files in `messages/`, with their envelopes.  `fresh` yields as many as you like, each with a
Message-ID of its own; `large` makes one of any size from a seed.  Lines end with CR LF, as they travel.
"""

from __future__ import annotations

import re
from base64 import encodebytes
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.resources import files
from itertools import cycle, islice
from random import Random
from typing import Final
from uuid import uuid4

__all__ = ["SAMPLES", "Sample", "fresh", "large"]

FILES: Final = files("fsm.mail.demo") / "messages"
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
    return Sample(f"large-{seed}", "a large attachment", LARGE.replace(b"NOISE\r\n", noise))


def _sample(name: str, about: str, *envelope: str) -> Sample:
    sample = Sample(name, about, (FILES / f"{name}.eml").read_bytes())
    return replace(sample, sender=envelope[0], recipients=envelope[1:]) if envelope else sample


SAMPLES: Final = (
    _sample("plain", "plain ASCII, a few lines"),
    _sample("encoded-headers", "a subject and names in RFC 2047 words, the body in quoted-printable",
            "juergen@example.org", "taro@example.net"),
    _sample("smtputf8", "addresses and headers in UTF-8 as they are (SMTPUTF8)",
            "ελένη@παράδειγμα.example", "иван@пример.example"),
    _sample("alternative", "the same in text and in HTML"),
    _sample("attachment", "a picture in base64"),
    _sample("nested", "another message inside", "alice@example.org", "bob@example.net", "dora@example.net"),
    _sample("long-lines", "lines of 998 bytes, the longest there may be"),
    _sample("dots", "lines that begin with dots, and lines of dots only"),
    _sample("dot-first", "a body whose first and last line are a dot"),
    _sample("empty-body", "nothing but a header"),
    _sample("headers-only", "a header, and not even the empty line after it"),
    _sample("no-newline", "no line end at the end"),
    _sample("eight-bit", "Latin-1 in eight bits, which is not UTF-8"),
    _sample("flowed", "format=flowed: lines that go on end with a blank"),
    _sample("mbox-trap", "lines that begin with From, as in a mailbox file"),
    _sample("invitation", "a meeting, as calendar programs send it"),
    _sample("list-post", "a post to a mailing list, with the many headers of its way",
            "list-bounces+bob=example.net@example.org", "bob@example.net"),
    _sample("notification", "a report to a sender, itself without one", "", "bob@example.net"),
)
LARGE: Final = (FILES / "large.eml").read_bytes()
"""A message whose attachment is still to be put in, where it says NOISE."""
