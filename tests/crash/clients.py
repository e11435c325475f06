"""Clients that log the outcome of each attempt to send a message, as far as a client can know it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from random import Random
from typing import Literal

from fsm.mail.content import dot_stuffed
from fsm.mail.demo.samples import SAMPLES, Sample
from tests.crash.served import Served
from tests.mail.support import Client

Way = Literal["submission", "inbound"]
SMALL = tuple(sample for sample in SAMPLES if len(sample.content) < 4000)


@dataclass(eq=False)
class Attempt:
    """One attempt to send one message, with a sender of its own, by which it is recognized everywhere.

    `came_to`: "accepted" (250 after the final dot), "refused" (any 4xx or 5xx), "unsent" (the connection went before the
    final dot) or "unsure" (after it).  `id` is what the server calls the message it has accepted.
    """

    way: Way
    sample: Sample
    came_to: Literal["", "accepted", "refused", "unsent", "unsure"] = ""
    reply: str = ""

    @property
    def sender(self) -> str:
        return self.sample.sender

    @property
    def id(self) -> str:
        return self.reply.rpartition(" ")[2] if self.came_to == "accepted" else ""


class AttemptLog:
    """All attempts, and the messages they were about."""

    def __init__(self, rng: Random) -> None:
        self.attempts: list[Attempt] = []
        self._rng, self._number = rng, 0

    def messages(self, samples: tuple[Sample, ...] = SMALL) -> Iterator[Sample]:
        """Yield messages without end, each with a Message-ID of its own."""
        while True:
            self._number += 1
            sample = self._rng.choice(samples)
            yield sample.renamed(f"<{self._number}.{sample.name}@crash.example.org>")

    def attempt(self, way: Way, sample: Sample) -> Attempt:
        """Add an attempt to send this message."""
        attempt = Attempt(way, replace(sample, sender=f"a{len(self.attempts)}@attempts.example.org"))
        self.attempts.append(attempt)
        return attempt

    def of(self, came_to: str, way: Way | None = None) -> list[Attempt]:
        return [one for one in self.attempts if one.came_to == came_to and way in (None, one.way)]


async def send(client: Client, attempt: Attempt, happened: Callable[[str], object] = lambda what: None) -> bool:
    """Make an attempt over this connection; return whether the connection can still be used."""
    sample = attempt.sample
    options = (" BODY=8BITMIME" if sample.eight_bit else "") + (" SMTPUTF8" if sample.smtputf8 else "")
    steps = [f"MAIL FROM:<{sample.sender}>{options}", *(f"RCPT TO:<{one}>" for one in sample.recipients), "DATA"]
    attempt.came_to = "unsent"
    try:
        for step in steps:
            attempt.reply = await client.say(step)
            happened(step[:4])
            if attempt.reply[:1] not in ("2", "3"):
                attempt.came_to = "refused" if attempt.reply else "unsent"
                return usable(attempt.reply)
        attempt.came_to = "unsure"
        await client.write(dot_stuffed(sample.content))
        happened("dot")
        attempt.reply = await client.reply()
    except ConnectionError:
        return False
    if attempt.reply:
        attempt.came_to = "accepted" if attempt.reply.startswith("250") else "refused"
        happened("answer")
    return usable(attempt.reply)


def usable(reply: str) -> bool:
    """Return whether a connection can be used after this reply."""
    return reply[:3] not in ("", "421")


class Stage:
    """Where the clients find the server that is running, and wait for the next one."""

    def __init__(self) -> None:
        self.up: Served | None = None
        self.over = False
        self._changed = asyncio.Event()

    def set(self, served: Served | None) -> None:
        self.up = served
        self._changed.set()
        self._changed = asyncio.Event()

    async def after(self, last: Served | None) -> Served:
        """Wait for a server other than this one, and return it."""
        while self.up is None or self.up is last:
            await self._changed.wait()
        return self.up


async def post(log: AttemptLog, stage: Stage, way: Way, rng: Random, happened: Callable[[str], object]) -> None:
    """Send one message after the other, each until it is accepted, until the stage is over."""
    client: Client | None = None
    served: Served | None = None
    try:
        for sample in log.messages():
            accepted = stage.over
            while not accepted:
                if client is None:
                    served = await stage.after(served)
                    try:
                        client = await Client.at(getattr(served, way))
                    except (ConnectionError, AssertionError):
                        continue
                attempt = log.attempt(way, sample)
                goes_on = await send(client, attempt, happened)
                accepted = attempt.came_to == "accepted"
                if not goes_on or rng.random() < 0.3:
                    client.hang_up()
                    client, served = None, None if goes_on else served
            if stage.over:
                return
    finally:
        if client is not None:
            client.hang_up()
