"""The sink of `fsm.mail.demo.sink` with faults: a script says what it does at a stage of a conversation.

    Faulty({"mail": "451 4.3.0 later"})                    a reply, at every such stage
    Faulty({"dot": HANG_KEPT}, only=1)                     only in the first so many transactions
    Faulty({"dot": HANG_KEPT}); sink.answer_all("dot")              the answer is kept back until the test lets it go

`python -m tests.mail.sink FILE` runs the sink in a process of its own: it prints its address, and writes a line of JSON into FILE for
each message, which is on the disk before its 250 is sent.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable

from fsm.mail.demo.sink import Delivered, Exchange, Reaction, SmtpSink

CLOSE = Reaction(None, "close")
RESET = Reaction(None, "reset")
STALL = Reaction(None)
HANG_KEPT = Reaction(None, keep=True)
"""After the final dot: the message is delivered, and not answered (until `answer_all`)."""
CLOSE_KEPT = Reaction(None, "close", keep=True)
RESET_KEPT = Reaction(None, "reset", keep=True)


class Faulty(SmtpSink):
    """A sink with a script, for the first `only` transactions (for connect and ehlo: connections)."""

    def __init__(self, script: dict[str, Reaction | str | Callable[[Exchange], Reaction | str | None]], *, only: int = 1_000_000) -> None:
        super().__init__()
        self.script, self.only = script, only
        self.transactions = 0
        self.reached: dict[str, asyncio.Event] = {}
        self.seen: list[Exchange] = []

    def react(self, exchange: Exchange) -> Reaction | str | None:
        self.seen.append(exchange)
        self.reached.setdefault(exchange.stage, asyncio.Event()).set()
        self.transactions += exchange.stage == "mail"
        count = exchange.connection if exchange.stage in ("connect", "ehlo") else self.transactions
        reaction = self.script.get(exchange.stage) if count <= self.only else None
        return reaction(exchange) if callable(reaction) else reaction

    async def until_at(self, stage: str) -> None:
        """Wait until a conversation has reached this stage."""
        await self.reached.setdefault(stage, asyncio.Event()).wait()


class _Recorder(SmtpSink):
    """A sink that writes down each message before it answers."""

    def __init__(self, file: str) -> None:
        super().__init__()
        self._file = open(file, "a")  # noqa: PTH123, SIM115 - as long as the process

    def keep(self, message: Delivered) -> None:
        entry = {"message_id": message.message_id, "sender": message.sender, "recipients": message.recipients, "digest": message.digest}
        self._file.write(json.dumps(entry) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        super().keep(message)


async def _main(file: str) -> None:
    async with _Recorder(file) as sink:
        print(sink.address, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1]))
