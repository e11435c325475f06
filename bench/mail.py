"""The speed of `fsm serve`, against the same aiosmtpd and aiosmtplib over a plain sqlite3 queue (`naive.py`).

The servers run in processes of their own; the clients and the sink are here, on the other core.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median

import aiosmtplib

from bench.result import Result
from fsm.mail.demo.sink import Exchange, Reaction, SmtpSink

CONNECTIONS = 16
"""Connections to the sink."""
MESSAGES = 1000
ROUNDS = 5
PATIENCE = 60.0
"""Seconds for one run; if it takes longer the benchmark ends with an error."""
LINE = b"x" * 70 + b"\r\n"
CONTENT = b"From: a@example.org\r\nTo: b@example.net\r\nMessage-ID: <%d@bench>\r\nSubject: bench\r\n\r\n" + LINE * 28
Command = Callable[[str, SmtpSink], list[str]]


class Served:
    """A server in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process, host: str, port: int, senders: int = 1) -> None:
        self.process, self.host, self.port, self.senders = process, host, port, senders

    async def submit(self, count: int, clients: int) -> None:
        """Submit so many messages in all, from so many clients at once."""
        share = count // clients
        shares = [range(n * share, (n + 1) * share) for n in range(clients)]
        await asyncio.gather(*(submit(self.host, self.port, numbers, self.senders) for numbers in shares))

    async def line(self) -> str:
        """Return the next line of its output."""
        assert self.process.stdout is not None
        return (await self.process.stdout.readline()).decode()


@asynccontextmanager
async def served(words: list[str], senders: int = 1) -> AsyncIterator[Served]:
    """Run a server, from its ready line until it is killed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        assert process.stdout is not None
        line = (await process.stdout.readline()).decode()
        host, _, port = line.split("submission=")[1].split()[0].rpartition(":")
        yield Served(process, host, int(port), senders)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def ours(folder: str, sink: SmtpSink) -> list[str]:
    """Return the command of our server."""
    return ["fsm.cli", "serve", "--submission", "127.0.0.1:0", "--smarthost", sink.address, "--store", folder,
            "--connections", str(CONNECTIONS), "--plan", f"NO_WAIT {PATIENCE:g}s"]  # fmt: skip


def mailboxes(count: int) -> Command:
    """Return the command of our server with so many mailboxes, each with the sender of its number."""

    def command(folder: str, sink: SmtpSink) -> list[str]:
        file = Path(folder, "mail.toml")
        file.write_text("\n".join(f'[mailboxes.m{n}]\nowner = "a@m{n}.example.org"' for n in range(count)))
        return [*ours(folder, sink), "--config", str(file)]

    return command


def naive(folder: str, sink: SmtpSink) -> list[str]:
    """Return the command of the naive server."""
    return ["bench.naive", folder, str(sink.port), str(CONNECTIONS)]


async def submit(host: str, port: int, numbers: range, senders: int) -> list[float]:
    """Submit these messages as one client, one after the other over one connection, from so many senders in turn.

    Return the seconds from each final dot to its answer.
    """
    answers: list[float] = []
    reader, writer = await asyncio.open_connection(host, port)

    async def say(line: bytes) -> None:
        writer.write(line)
        while (answer := await reader.readline())[3:4] == b"-":
            pass
        assert answer[:1] in (b"2", b"3"), answer

    await say(b"")
    await say(b"EHLO bench\r\n")
    for number in numbers:
        await say(b"MAIL FROM:<a@m%d.example.org>\r\n" % (number % senders))
        await say(b"RCPT TO:<b@example.net>\r\n")
        await say(b"DATA\r\n")
        start = time.perf_counter()
        await say(CONTENT % number + b".\r\n")
        answers.append(time.perf_counter() - start)
    writer.close()
    return answers


async def through(command: Command, clients: int, messages: int = MESSAGES, senders: int = 1) -> float:
    """Return messages a second, from the first submission to the last delivery."""
    with tempfile.TemporaryDirectory() as folder:
        async with SmtpSink() as sink, served(command(folder, sink), senders) as server:
            await server.submit(20, 1)  # so that nothing is measured that happens once
            await sink.until(20)
            start = time.perf_counter()
            await server.submit(messages, clients)
            await sink.until(20 + messages // clients * clients)
            return messages // clients * clients / (time.perf_counter() - start)


class Waiting(SmtpSink):
    """A sink that greets no client until `greet` is called."""

    def __init__(self) -> None:
        super().__init__()
        self.open = False

    def react(self, exchange: Exchange) -> Reaction | None:
        """Send no greeting at first."""
        return Reaction(None) if exchange.stage == "connect" and not self.open else None

    def greet(self) -> None:
        """Greet the clients that wait, and from now on every client."""
        self.open = True
        self.answer_all("connect")


async def released(ready: int) -> float:
    """Return the seconds from logoff (a signal; the plan is NO_WAIT) until the server reports the release.

    So many messages are ready, and as many more as there are connections are in flight; with 0 there are none at all.
    """
    with tempfile.TemporaryDirectory() as folder:
        async with Waiting() as sink, served(ours(folder, sink)) as server:
            if ready:
                await server.submit(CONNECTIONS, 1)
                await server.submit(ready, 10)
            start = time.perf_counter()
            server.process.send_signal(signal.SIGTERM)
            sink.greet()
            line = await server.line()
            spent = time.perf_counter() - start
            assert "released" in line, line
            assert len(sink.delivered) == (ready and ready + CONNECTIONS)
            return spent


async def library(messages: int = MESSAGES) -> float:
    """Return the seconds in which aiosmtplib alone, in a process of its own, sends so many messages."""
    async with SmtpSink() as sink:
        words = ["-m", "bench.mail", "send", str(sink.port), str(messages)]
        process = await asyncio.create_subprocess_exec(sys.executable, *words, stdout=asyncio.subprocess.PIPE)
        output, _ = await process.communicate()
        assert len(sink.delivered) == messages
        return float(output)


async def send(port: int, messages: int) -> float:
    """Send them, and return the seconds without connecting."""
    clients = [aiosmtplib.SMTP(hostname="127.0.0.1", port=port) for _ in range(CONNECTIONS)]
    for client in clients:
        await client.connect()
    numbers = iter(range(messages))

    async def work(client: aiosmtplib.SMTP) -> None:
        for number in numbers:
            await client.sendmail("a@example.org", ["b@example.net"], CONTENT % number)

    start = time.perf_counter()
    await asyncio.gather(*map(work, clients))
    spent = time.perf_counter() - start
    for client in clients:
        client.close()
    return spent


def race(rounds: int, *racers: Callable[[], Awaitable[float]]) -> tuple[list[float], float]:
    """Return the median of each, and of the ratio of the first to the last; they take turns.  TimeoutError."""

    async def run(racer: Callable[[], Awaitable[float]]) -> float:
        async with asyncio.timeout(PATIENCE):
            return await racer()

    results: list[list[float]] = [[] for _ in racers]
    for _ in range(rounds):
        for racer, times in zip(racers, results, strict=True):
            times.append(asyncio.run(run(racer)))
    ratio = median(mine / other for mine, other in zip(results[0], results[-1], strict=True))
    return [median(times) for times in results], ratio


def passing(clients: int, least: float, rounds: int) -> Result:
    """Return the result of mail through the server with so many clients."""
    (mine, other), ratio = race(rounds, lambda: through(ours, clients), lambda: through(naive, clients))
    who = "1 client" if clients == 1 else f"{clients} clients"
    return Result(f"mail through `fsm serve`, {who}", f"{mine:.0f} messages a second",
                  f"aiosmtpd and aiosmtplib over a plain sqlite3 queue {other:.0f}: {ratio:.2f} times that",
                  f">= {least:g} times", ratio >= least)  # fmt: skip


def mail(rounds: int = ROUNDS) -> list[Result]:
    """Return the results about mail."""
    lines = [passing(1, 0.85, rounds), passing(16, 2.0, rounds)]
    (many, one), ratio = race(
        rounds, lambda: through(mailboxes(1000), 16, senders=1000), lambda: through(mailboxes(1), 16)
    )
    lines.append(Result("mail through 1,000 mailboxes of one server, 16 clients", f"{many:.0f} messages a second",
                        f"one mailbox {one:.0f}: {ratio:.2f} times that", ">= 0.9 times", ratio >= 0.9))  # fmt: skip
    (idle,), _ = race(rounds, lambda: released(0))
    (mine, other), ratio = race(rounds, lambda: released(MESSAGES), library)
    return [
        *lines,
        Result("from logoff to released, nothing in flight", f"{idle * 1e3:.0f} ms", "", "", None),
        Result(f"from logoff to released, {MESSAGES:,} messages ready", f"{mine:.2f} s",
               f"aiosmtplib alone sends as many over {CONNECTIONS} connections in {other:.2f} s: {ratio:.2f} times that",
               "<= 1.5 times", ratio <= 1.5),
    ]  # fmt: skip


if __name__ == "__main__":
    if sys.argv[1:2] == ["send"]:
        print(asyncio.run(send(int(sys.argv[2]), int(sys.argv[3]))))
    else:
        for result in mail(int(sys.argv[1]) if sys.argv[1:] else ROUNDS):
            print(*result, sep=" | ", flush=True)
