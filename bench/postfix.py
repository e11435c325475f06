"""The speed of `fsm serve` beside Postfix: the same client (`smtp-source`) and sink (`smtp-sink`), both durable before 250.

    python -m bench.postfix [ROUNDS]        # as root, where Postfix is installed

Postfix is private, on the loopback, and has its defaults.  `fsm serve` has a certificate, users and all its limits, and
as many connections to the sink as Postfix may open.  Both keep their queue in the folder for temporary files.  They take
turns, and a ratio is the median of those of the turns.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

from bench.mail import PATIENCE, served, submit
from bench.result import Result
from fsm.mail.auth import new_entry
from tests.mail.postfix import PORT, missing, own_host, postfix

ROUNDS = 3
CONNECTIONS = 20
"""Connections to the sink; as many as Postfix opens to one destination."""
CERTIFICATE = Path(__file__).parents[1] / "tests" / "mail" / "localhost.pem"
ENVELOPE = ("-f", "a@example.org", "-t", "b@example.net")


class Load(NamedTuple):
    """What the clients send; `accepted` and `delivered` are the aims, as ratios to Postfix's messages a second."""

    name: str
    clients: int
    messages: int
    octets: int
    accepted: float
    delivered: float
    kept: bool = True
    """Whether a client sends all its messages over one connection."""


USUAL: Final = Load("16 clients", 16, 2000, 2048, 3.0, 3.0)
"""The load for which the time of an answer and of the processor are told, too."""
LOADS: Final = (
    Load("1 client", 1, 600, 2048, 1.4, 1.4),
    USUAL,
    Load("64 clients", 64, 2000, 2048, 5.0, 4.0),
    Load("16 clients, 100 KB", 16, 600, 100 * 1024, 1.5, 1.8),
    Load("16 clients, a connection for each message", 16, 1000, 2048, 2.4, 2.4, kept=False),
)


class Run(NamedTuple):
    """Messages a second, and milliseconds of the processor's time for each."""

    accepted: float
    delivered: float
    computed: float


@dataclass
class Sink:
    """An `smtp-sink`, which writes its counters into a file."""

    address: str
    counters: Path

    @property
    def count(self) -> int:
        """Messages so far."""
        found = re.findall(rb"mesg=\s*(\d+)", self.counters.read_bytes()[-200:])
        return int(found[-1]) if found else 0

    async def until(self, count: int) -> None:
        """Wait until so many messages have come in all.  TimeoutError."""
        async with asyncio.timeout(PATIENCE):
            while self.count < count:
                await asyncio.sleep(0.005)


@dataclass
class Racer:
    """A server that delivers to the sink; `pid` is its process, of which it may have more below."""

    address: str
    pid: int
    sink: Sink

    async def run(self, load: Load) -> Run:
        """Send all that, and wait until it is delivered."""
        words = ["-s", load.clients, "-m", load.messages, "-l", load.octets, *ENVELOPE, *["-d"] * load.kept, self.address]
        before, spent, start = self.sink.count, computed(self.pid), time.perf_counter()
        client = await asyncio.create_subprocess_exec("smtp-source", *map(str, words))
        assert await client.wait() == 0
        accepted = time.perf_counter() - start
        await self.sink.until(before + load.messages)
        delivered = time.perf_counter() - start
        spent = computed(self.pid) - spent
        return Run(load.messages / accepted, load.messages / delivered, spent / load.messages * 1e3)

    async def slow_answer(self, each: int = 100) -> float:
        """Return the seconds within which 99 of 100 final dots are answered; each client sends so many messages."""
        before, (host, _, port) = self.sink.count, self.address.rpartition(":")
        clients = (submit(host, int(port), range(each), 1) for _ in range(USUAL.clients))
        answers = sorted(seconds for one in await asyncio.gather(*clients) for seconds in one)
        await self.sink.until(before + len(answers))
        return answers[len(answers) * 99 // 100]


def computed(pid: int) -> float:
    """Return the seconds of the processor's time that a process has used, and those below it, also those that ended."""
    ticks: dict[int, int] = {}
    below: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "stat").read_bytes().rpartition(b")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        ticks[int(folder.name)] = sum(map(int, words[11:15]))
        below.setdefault(int(words[1]), []).append(int(folder.name))
    pids = [pid]
    for one in pids:
        pids += below.get(one, ())
    return sum(ticks[one] for one in pids) / os.sysconf("SC_CLK_TCK")


@asynccontextmanager
async def smtp_sink(folder: Path) -> AsyncIterator[Sink]:
    """Run a sink."""
    sink = Sink(f"{own_host(78)}:{PORT}", folder / "counters")
    with sink.counters.open("wb") as out:
        process = await asyncio.create_subprocess_exec("smtp-sink", "-c", "-u", "postfix", sink.address, "1024", stdout=out)
    try:
        yield sink
    finally:
        process.kill()
        await process.wait()


@asynccontextmanager
async def racers() -> AsyncIterator[tuple[Racer, Racer]]:
    """Run `fsm serve` and Postfix."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "users").write_text(new_entry("joe", "secret") + "\n")
        async with smtp_sink(folder) as sink:
            words = [
                "fsm.cli", "serve", "--store", str(folder / "store"), "--submission", "127.0.0.1:0", "--smarthost", sink.address,
                "--connections", str(CONNECTIONS), "--certificate", str(CERTIFICATE), "--users", str(folder / "users"),
                "--trust", "127.0.0.0/8",
            ]  # fmt: skip
            async with served(words) as ours:
                with postfix(sink.address) as other:
                    yield (
                        Racer(f"{ours.host}:{ours.port}", ours.process.pid, sink),
                        Racer(other.address, other.pid, sink),
                    )


def result(load: Load, turns: list[tuple[Run, Run]]) -> Result:
    """Return the result of the turns of one load."""
    accepted, delivered = (ratio([(mine[n], other[n]) for mine, other in turns]) for n in (0, 1))
    mine, other = (Run(*map(median, zip(*runs, strict=True))) for runs in zip(*turns, strict=True))
    return Result(
        f"mail beside Postfix, {load.name}", f"{mine.accepted:,.0f} accepted, {mine.delivered:,.0f} delivered a second",
        f"Postfix {other.accepted:,.0f} and {other.delivered:,.0f}: {accepted:.1f} and {delivered:.1f} times that",
        f">= {load.accepted:g} and {load.delivered:g} times", accepted >= load.accepted and delivered >= load.delivered,
    )  # fmt: skip


def ratio(turns: list[tuple[float, float]]) -> float:
    """Return the median of the ratios of ours to the other's."""
    return median(mine / other for mine, other in turns)


async def race(rounds: int) -> list[Result]:
    """Return the results of so many turns each."""
    results: list[Result] = []
    async with racers() as (ours, other):
        for racer in (ours, other):  # so that nothing is measured that happens once
            await racer.run(LOADS[0]._replace(messages=50))
        for load in LOADS:
            turns = [(await ours.run(load), await other.run(load)) for _ in range(rounds)]
            results.append(result(load, turns))
            if load is USUAL:
                mine, theirs = (median(run.computed for run in runs) for runs in zip(*turns, strict=True))
                results.append(Result(
                    f"CPU time a message, {load.name}", f"{mine:.2f} ms", f"Postfix, all its processes: {theirs:.2f} ms",
                    "<= 0.4 ms", mine <= 0.4,
                ))  # fmt: skip
        answers = [(await ours.slow_answer(), await other.slow_answer()) for _ in range(rounds)]
    mine, theirs = (median(times) * 1e3 for times in zip(*answers, strict=True))
    slower = ratio(answers)
    results.append(Result(
        f"99 of 100 final dots answered, {USUAL.name}", f"within {mine:.0f} ms", f"Postfix {theirs:.0f} ms: {slower:.2f} of that",
        "<= 1", slower <= 1,
    ))  # fmt: skip
    return results


def beside_postfix(rounds: int = ROUNDS) -> list[Result]:
    """Return the results, or one that says why there are none."""
    if (lack := missing()) is not None:
        return [Result("mail beside Postfix", "not measured", lack, "", None)]
    return asyncio.run(race(rounds))


if __name__ == "__main__":
    for line in beside_postfix(int(sys.argv[1]) if sys.argv[1:] else ROUNDS):
        print(*line, sep=" | ", flush=True)
