"""The tour: real servers with mail in flight are logged off in each way there is, and every message is accounted for.

Theory.
1. A *stop* of the tour is one store in a folder of its own: `fsm serve` in a process (or two on one store), a sink that
   takes its time and defers some messages, clients that submit mail and clients that deliver it, all at once.
2. In mid-traffic the store is asked to log off.  Its answer, its status on the way and its outcome are kept.
3. Then the store is audited, from what is on disk and at the sink: what was answered 250 is delivered, in the outbox or
   held; what was received is in the inbox.
4. Mail that stayed in the outbox is sent when the store is opened again, and the store is audited again.

The server is used by its command line and its sockets only.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fsm.journal.reader import replayed
from fsm.logoff.chart import LOGOFF
from fsm.logoff.session import StoreSession
from fsm.mail.demo.audit import Audit, audit
from fsm.mail.demo.clients import Client, SendLog
from fsm.mail.demo.samples import fresh
from fsm.mail.demo.sink import Exchange, SmtpSink
from fsm.store.runtime_folder import runtime_folder
from fsm.store.sql import read_journal

__all__ = ["STOPS", "Stop", "StopResult", "run_stop"]

SUBMITTERS: Final = 4
CORRESPONDENTS: Final = 3
EACH: Final = 9
"""Messages of each client."""
PACE: Final = 0.04
"""Seconds the sink takes for each message, so that there is something in flight and something queued."""
PUT_OFF: Final = 6
"""One recipient in so many is deferred (451), so that there is something deferred."""


@dataclass(frozen=True, slots=True)
class Stop:
    """One way to log off.  `asks` is a flag or "release"; `again` asks once more when the traffic is over."""

    asks: str
    about: str
    again: bool = False
    peer: bool = False
    retry: float = 3600.0

    @property
    def name(self) -> str:
        """The name of its folder and files."""
        return f"{self.asks.lower()}{'_shared' if self.peer else ''}"


STOPS: Final = (
    Stop(
        "QUIET",
        "only if there is no activity at all: refused in mid-traffic, granted when all is done",
        True,
        retry=0.5,
    ),
    Stop("ABORT", "waits, changing nothing, until nothing is in flight"),
    Stop("ORDERLY", "finish what is in flight, start nothing more; the queue stays for the next time"),
    Stop("NO_WAIT", "send what is ready, take nothing new in; the deferred stay"),
    Stop("PURGE", "as NO_WAIT, after one more attempt for the deferred"),
    Stop("release", "the last reference goes without a logoff, which asks for ABORT"),
    Stop("ORDERLY", "another process has the store open: granted at once, the work is the other's", peer=True),
)


@dataclass
class StopResult:
    """The results of one stop: status before, answer, outcomes and exit statuses of the servers, and audits."""

    stop: Stop
    before: dict[str, Any]
    answer: dict[str, Any]
    refused: int
    outcomes: list[str]
    statuses: list[int]
    audit: Audit
    next_time: Audit | None
    journal: Path
    trace: list[str]
    most: dict[str, int]
    seconds: float


@dataclass
class _Server:
    """A running `fsm serve` that has printed its ready line."""

    process: asyncio.subprocess.Process
    addresses: dict[str, str]
    control: Path

    async def ask(self, **request: object) -> dict[str, Any]:
        """Return the answer to a request over the control socket."""
        reader, writer = await asyncio.open_unix_connection(str(self.control), limit=1 << 20)
        try:
            writer.write(json.dumps(request).encode() + b"\n")
            status: dict[str, Any] = json.loads(await reader.readline() or b"{}")
            return status
        finally:
            writer.close()

    async def watch(self) -> AsyncIterator[dict[str, Any]]:
        """Yield the status after every change, until the store is released."""
        reader, writer = await asyncio.open_unix_connection(str(self.control), limit=1 << 20)
        try:
            writer.write(b'{"do": "watch"}\n')
            while line := await reader.readline():
                yield json.loads(line)
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def ended(self) -> tuple[str, int]:
        """Wait for its end; return the rest of its output, and its exit status."""
        assert self.process.stdout is not None
        words = (await self.process.stdout.read()).decode().strip()
        return words, await self.process.wait()


@asynccontextmanager
async def _served(folder: Path, sink: SmtpSink, stop: Stop, plan: str = "NO_WAIT 60s") -> AsyncIterator[_Server]:
    words = ["serve", "--inbound", "127.0.0.1:0", "--submission", "127.0.0.1:0", "--smarthost", sink.address,
             "--store", str(folder), "--plan", plan, "--retry", str(stop.retry), "1", "3600"]  # fmt: skip
    with (folder.parent / f"{folder.name}.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "fsm.cli",
            *words,
            stdout=subprocess.PIPE,
            stderr=log,
            env={**os.environ, "PYTHONPATH": PYTHONPATH},
        )
    try:
        assert process.stdout is not None
        ready = (await process.stdout.readline()).decode().split()
        if ready[:1] != ["ready"]:
            raise RuntimeError(f"the server did not start; see {folder}.log")
        addresses = dict(word.split("=", 1) for word in ready[1:])
        sockets = runtime_folder().glob(f"{process.pid}-*.store")
        control = max(sockets, key=lambda path: path.stat().st_mtime)  # of a reused number, the newest
        yield _Server(process, addresses, control)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


PYTHONPATH: Final = os.pathsep.join(filter(None, [str(Path(__file__).parents[3]), os.environ.get("PYTHONPATH", "")]))


class _Deferring:
    """The reactions of a sink that defers one recipient in so many, until `finished`."""

    def __init__(self) -> None:
        self._seen = 0
        self.finished = False

    def __call__(self, exchange: Exchange) -> str | None:
        if exchange.stage != "rcpt" or self.finished:
            return None
        self._seen += 1
        return "451 4.7.1 come again later" if self._seen % PUT_OFF == 0 else None


async def run_stop(stop: Stop, folder: Path, progress: Callable[[dict[str, Any]], object]) -> StopResult:
    """Run one stop of the tour in this folder; `progress` is called with the status of the store."""
    store = folder / stop.name
    store.mkdir(parents=True)
    loop = asyncio.get_running_loop()
    start = loop.time()
    submitted, received = SendLog(), SendLog()
    deferring = _Deferring()
    async with SmtpSink(pace=PACE, react=deferring) as sink:
        async with AsyncExitStack() as servers:
            server = await servers.enter_async_context(_served(store, sink, stop))
            others = [await servers.enter_async_context(_served(store, sink, stop))] if stop.peer else []
            ask = await _traffic(stop, server, submitted, received, progress)
            ends = [await server.ended()]
            for other in others:
                other.process.send_signal(signal.SIGTERM)
                ends.append(await other.ended())
        result, next_time = audit(store, submitted, received, sink), None
        if result.queued:
            deferring.finished = True
            async with _served(store, sink, stop, plan="PURGE 60s") as again:
                again.process.send_signal(signal.SIGTERM)
                ends.append(await again.ended())
            next_time = audit(store, submitted, received, sink)
    journal = folder / f"{stop.name}.jsonl"
    journal.write_bytes(b"".join(read_journal(store / "outbox.db")))
    trace, most = _trace(journal)
    return StopResult(
        stop, ask[0], ask[1], len(submitted.refused) + len(received.refused), [words for words, _ in ends],
        [status for _, status in ends], result, next_time, journal, trace, most, loop.time() - start,
    )  # fmt: skip


async def _traffic(
    stop: Stop, server: _Server, submitted: SendLog, received: SendLog, progress: Callable[[dict[str, Any]], object]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Send mail, and meanwhile ask the store to log off; return its status before, and its answer."""

    async def follow() -> None:
        async for status in server.watch():
            progress(status)

    async def settled() -> None:
        async for status in server.watch():
            if not status["flags"]:
                return

    async with asyncio.TaskGroup() as group:
        group.create_task(follow())
        clients = [
            group.create_task(Client(server.addresses[port], sent).send(fresh(EACH, large_every=size, size=2_000_000)))
            for port, sent, count, size in (
                ("submission", submitted, SUBMITTERS, 7),
                ("inbound", received, CORRESPONDENTS, 5),
            )
            for _ in range(count)
        ]
        await submitted.until(SUBMITTERS * 3)
        await received.until(CORRESPONDENTS * 2)
        before = await server.ask(do="status")
        request = {"do": "release"} if stop.asks == "release" else {"do": "logoff", "flag": stop.asks}
        answer = await server.ask(**request)
        if stop.again:
            await asyncio.gather(*clients)
            await settled()
            await server.ask(**request)
    return before, answer


def _trace(journal: Path) -> tuple[list[str], dict[str, int]]:
    """Return the events of a journal's first session, and the maximum of each count."""
    events: list[str] = []
    most: Counter[str] = Counter()
    name = None
    with journal.open("rb") as lines:
        for one in replayed(LOGOFF, lines):
            if not one.record.event:
                continue
            name = name or one.record.session
            if one.record.session == name and one.entry["accepted"]:
                now = StoreSession.unchecked(one.configuration)
                messages = now.outbound + now.ready + now.deferred
                events.append(one.record.event)
                for count, number in ("inbound", now.inbound), ("peers", now.peers), ("messages", messages):
                    most[count] = max(most[count], number)
    return events, dict(most)
