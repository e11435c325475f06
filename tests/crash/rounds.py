"""Rounds: a server in full traffic is killed with SIGKILL several times, then may finish, and every message is counted.

    python -m tests.crash.rounds SEED        one round, in full

A round is made from its seed: which phases it is killed in, at which operation or event, and what the sink does.  When what
the seed says happens still depends on the machine, so a seed is repeated in kind, not to the instant.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from fsm.mail.demo.sink import Exchange, Reaction
from tests.crash.accounts import Account, reconcile
from tests.crash.clients import AttemptLog, Stage, post
from tests.crash.served import PATIENCE, Served, log_of, sockets
from tests.mail.sink import CLOSE, CLOSE_KEPT, RESET, RESET_KEPT, Faulty
from tests.mail.support import CLIENTS

PHASES = ("start", "ready", "traffic", "operation", "draining", "recovery")
KILLS = 3
OPENING, MAKING = 30, 62
"""Operations of an opening, from the first statement to the ready line; and of one that makes the database first."""
FAULTS: tuple[Reaction | str, ...] = ("451 4.3.0 later", "451 4.3.0 later", "550 5.1.1 never", CLOSE, RESET, CLOSE_KEPT, RESET_KEPT)


async def first(*waits: Coroutine[Any, Any, object]) -> None:
    """Wait for the first of these."""
    waiting = [asyncio.create_task(one) for one in waits]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for one in waiting:
        one.cancel()
    await asyncio.wait(waiting)


@dataclass
class Trigger:
    """Fires after a number of events."""

    left: int = 0
    fired: asyncio.Event = field(default_factory=asyncio.Event)

    def happened(self, what: str) -> None:
        if self.left > 0:
            self.left -= 1
            if not self.left:
                self.fired.set()

    async def after(self, count: int, served: Served) -> None:
        """Wait for so many events, or until the server has halted or ended."""
        self.left, self.fired = count, asyncio.Event()
        if count:
            await first(self.fired.wait(), served.stopped())


class Round:
    """One round in this folder."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.rng = folder, Random(seed)
        self.log, self.stage, self.trigger = AttemptLog(Random(seed)), Stage(), Trigger()
        self.sink = Faulty({"mail": self._sink, "data": self._sink, "dot": self._sink})
        first = seed % len(PHASES)  # so that rounds in a row are killed in every phase alike
        self.phases = [PHASES[(first + n * n) % len(PHASES)] for n in range(KILLS)]
        self.lives: list[str] = []
        self.calm = False

    def _sink(self, exchange: Exchange) -> Reaction | str | None:
        self.trigger.happened(f"sink {exchange.stage}")
        if not self.calm and self.rng.random() < 0.03:
            fault = self.rng.choice(FAULTS)
            return fault if exchange.stage == "dot" or fault not in (CLOSE_KEPT, RESET_KEPT) else CLOSE
        return None

    async def run(self) -> Account:
        async with asyncio.timeout(PATIENCE), self.sink:
            ways = ("submission", "submission", "submission", "inbound", "inbound")
            happened = self.trigger.happened
            clients = [asyncio.create_task(post(self.log, self.stage, way, Random(n), happened)) for n, way in enumerate(ways)]  # type: ignore[arg-type]
            try:
                for phase in self.phases:
                    await self._life(phase)
                await self._last_life(clients)
            finally:
                for client in clients:
                    client.cancel()
                await asyncio.gather(*clients, return_exceptions=True)
                for one in CLIENTS:
                    one.hang_up()
                CLIENTS.clear()
        account = reconcile(self.folder, self.log, self.sink.delivered)
        self.counted(account)
        return account

    def counted(self, account: Account) -> None:
        account.counts["kills"] = len(self.lives)

    async def _life(self, phase: str) -> None:
        """Run the server, and kill it in this phase."""
        point = 0
        if phase in ("start", "recovery"):
            point = self.rng.randint(1, OPENING if (self.folder / "outbox.db").exists() else MAKING)
        elif phase == "operation":
            point = self.rng.randint(OPENING, OPENING + 300)
        async with await Served.started(self.folder, self.sink.address, point=point) as served:
            if not await served.ready():
                served.kill()
                self.lives.append(f"{phase} at {point}, before it was ready")
                return
            if phase == "ready":
                served.kill()
            self.stage.set(served)
            count = 0
            if phase != "ready":
                count = self.rng.randint(1, 400) if not point else 1_000_000
                await self.trigger.after(count, served)
            if phase == "draining":
                served.ask_to_close()
                count = self.rng.choice((0, self.rng.randint(1, 40)))
                await self.trigger.after(count, served)
            if served.halted:
                await served.gone_round()
            served.kill()
            self.stage.set(None)
            status = await served.ended()
            self.lives.append(f"{phase} at {point or count}, with status {status}")
            assert status in (-9, 0), f"the server ended by itself with {status}: {log_of(self.folder)}"

    async def _last_life(self, clients: list[asyncio.Task[None]]) -> None:
        """Run the server again, and let it finish."""
        async with await Served.started(self.folder, self.sink.address) as served:
            assert await served.ready(), f"it does not start again: {log_of(self.folder)}"
            self.calm = self.stage.over = True
            self.stage.set(served)
            await asyncio.gather(*clients)
            served.ask_to_close()
            assert await served.ended() == 0, f"it was not released: {served.output.decode()} {log_of(self.folder)}"


def run_round(folder: Path, seed: int) -> Account:
    """Run a round.  AssertionError with the problems, its seed and its folder."""
    played = Round(folder / "store", seed)
    with sockets():
        try:
            account = asyncio.run(played.run())
        except (AssertionError, TimeoutError) as error:
            raise AssertionError(_words(played, seed, [str(error) or type(error).__name__])) from error
    assert not account.problems, _words(played, seed, account.problems)
    return account


def _words(played: Round, seed: int, problems: list[str]) -> str:
    return "\n".join([f"seed {seed} in {played.folder} (again: FSM_SEED={seed})", *played.lives, *problems[:20]])


if __name__ == "__main__":
    for number in map(int, sys.argv[1:]):
        place = Path(tempfile.mkdtemp(prefix=f"fsm-round-{number}-"))
        print(number, place, run_round(place, number))
