"""The speed of a store: beside procrastinate on the same server, beside programs by hand, and of several processes.

    python -m bench.store [ROUNDS]

The racers take turns in one run, each on a database of its own, with 100 submitters and 16 workers.  Submitting is
measured without workers, working without submitters; a worker does nothing with a message.
"""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from statistics import median

from bench.byhand import ByHand, Postgresql, Sqlite
from bench.result import Result
from fsm.store import AsyncStore, Database, Store
from tests.store.conftest import Server, binaries

SUBMITTERS, WORKERS = 100, 16
JOBS = 5000
"""Messages of a race; procrastinate has a tenth of them."""
ROUNDS = 3
PAUSE, HANDS = 0.02, 8
"""Seconds that a message takes its worker, and workers, in each of several processes."""
CONTENT = b"x" * 500
Rates = tuple[float, float]
"""Jobs a second: submitted, and worked."""
Racer = Callable[[str], Awaitable[Rates]]
PROCRASTINATE = "a job with procrastinate 3.10"


async def rates(submit: Callable[[], Awaitable[object]], work: Callable[[], Awaitable[None]], jobs: int) -> Rates:
    """Measure so many submissions, and then the work: `work` ends when all jobs are done."""

    async def submitter() -> None:
        for _ in range(jobs // SUBMITTERS):
            await submit()

    start = time.perf_counter()
    await asyncio.gather(*(submitter() for _ in range(SUBMITTERS)))
    between = time.perf_counter()
    await work()
    end = time.perf_counter()
    return jobs / (between - start), jobs / (end - between)


async def ours(where: str) -> Rates:
    store = AsyncStore(Database(where))
    left = JOBS

    async def worker(done: asyncio.Event) -> None:
        nonlocal left
        async for item in store.outgoing():
            async with item:
                pass
            left -= 1
            if left == 0:
                done.set()

    async def work() -> None:
        done = asyncio.Event()
        tasks = [asyncio.create_task(worker(done)) for _ in range(WORKERS)]
        await done.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    try:
        return await rates(lambda: store.submit(CONTENT), work, JOBS)
    finally:
        await store.close("ORDERLY 10s")
        store.let_go()


async def by_hand(where: str) -> Rates:
    queue = ByHand(Postgresql(where) if "://" in where else Sqlite(where))
    left = JOBS

    async def worker(done: asyncio.Event) -> None:
        nonlocal left
        sent = None
        while True:
            sent, _ = await queue.take(sent)
            left -= 1
            if left == 0:
                done.set()

    async def work() -> None:
        done = asyncio.Event()
        tasks = [asyncio.create_task(worker(done)) for _ in range(WORKERS)]
        await done.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    try:
        return await rates(lambda: queue.submit(CONTENT), work, JOBS)
    finally:
        queue.close()


async def theirs(where: str) -> Rates:
    import procrastinate

    logging.getLogger("procrastinate").setLevel(logging.ERROR)
    app = procrastinate.App(
        connector=procrastinate.PsycopgConnector(conninfo=where.replace("+psycopg", ""), min_size=4, max_size=20)
    )
    jobs, left = JOBS // 10, JOBS // 10
    done = asyncio.Event()

    @app.task
    async def nothing(content: str) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            done.set()

    text = CONTENT.decode()

    async def work() -> None:
        worker = asyncio.create_task(
            app.run_worker_async(concurrency=WORKERS, install_signal_handlers=False, delete_jobs="always")
        )
        await done.wait()
        worker.cancel()
        with suppress(asyncio.CancelledError):
            await worker

    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        return await rates(lambda: nothing.defer_async(content=text), work, jobs)


def race(places: Callable[[], str], rounds: int, *racers: Racer) -> list[Rates]:
    """Return the medians of each racer; they take turns."""
    results: list[list[Rates]] = [[] for _ in racers]
    for _ in range(rounds):
        for racer, found in zip(racers, results, strict=True):
            found.append(asyncio.run(asyncio.wait_for(racer(places()), 300)))
    return [(median(one[0] for one in found), median(one[1] for one in found)) for found in results]


# ---------------------------------------------------------------------------------------------------- several processes


def work_here(where: str) -> None:
    """Work in this process: a dot for each message; from a line on standard input until it is killed."""
    store = Store(Database(where))

    def work() -> None:
        for item in store.outgoing():
            with item:
                time.sleep(PAUSE)
            print(".", end="", flush=True)

    print("r", end="", flush=True)
    sys.stdin.readline()
    threads = [threading.Thread(target=work) for _ in range(HANDS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def together(where: str, processes: int, jobs: int) -> float:
    """Return the messages a second that so many processes work on one store."""
    with Store(Database(where)) as store:
        ready = threading.Barrier(10)

        def submit() -> None:
            ready.wait()
            for _ in range(jobs // 10):
                store.submit(CONTENT)

        threads = [threading.Thread(target=submit) for _ in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        store.close("ORDERLY 10s")
    pipe = subprocess.PIPE
    words = [sys.executable, "-m", "bench.store", "work", where]
    children = [subprocess.Popen(words, stdin=pipe, stdout=pipe) for _ in range(processes)]
    done, readers = threading.Semaphore(0), list[threading.Thread]()

    def read(child: subprocess.Popen[bytes]) -> None:
        assert child.stdout is not None
        while child.stdout.read(1):
            done.release()

    try:
        for child in children:
            assert child.stdout is not None
            assert child.stdout.read(1) == b"r"
            readers.append(threading.Thread(target=read, args=(child,)))
            readers[-1].start()
        start = time.perf_counter()
        for child in children:
            assert child.stdin is not None
            child.stdin.write(b"go\n")
            child.stdin.flush()
        for _ in range(jobs // 10 * 10):
            done.acquire()
        return jobs // 10 * 10 / (time.perf_counter() - start)
    finally:
        for child in children:
            child.kill()
            child.wait()
        for reader in readers:
            reader.join()
        for child in children:
            for file in (child.stdin, child.stdout):
                assert file is not None
                file.close()


# --------------------------------------------------------------------------------------------------------- the results


def beside(what: str, mine: float, other: float, name: str, least: float) -> Result:
    return Result(what, f"{mine:,.0f} a second", f"{name} {other:,.0f}: {mine / other:.2f} times that",
                  f">= {least:g} times", mine / other >= least)  # fmt: skip


def of_database(kind: str, places: Callable[[], str], rounds: int) -> list[Result]:
    racers: list[Racer] = [ours, by_hand, theirs] if kind == "PostgreSQL" else [ours, by_hand]
    mine, hand, *other = race(places, rounds, *racers)
    lines = []
    for number, verb in enumerate(("submitted", "worked")):
        what = f"messages {verb}, {kind}, 100 submitters, 16 workers"
        limit = "the same rows in the same batches by hand"
        lines.append(beside(what, mine[number], hand[number], limit, 0.5))
        for rates in other:
            lines.append(beside(what, mine[number], rates[number], PROCRASTINATE, (8, 15)[number]))
    figures = []
    for processes in (1, 2, 4):
        figures.append(median(together(places(), processes, 1200 * processes) for _ in range(rounds)))
    one = figures[0]
    for processes, figure, least in ((2, figures[1], 1.7), (4, figures[2], 3.3)):
        lines.append(Result(f"{processes} processes on one store, {kind}, 8 workers each, 20 ms a message", f"{figure:,.0f} a second",
                            f"one process {one:,.0f}: {figure / one:.2f} times that", f">= {least} times", figure / one >= least))  # fmt: skip
    return lines


def store(rounds: int = ROUNDS) -> list[Result]:
    """Return the results about the store; those on PostgreSQL only where that is installed."""
    with tempfile.TemporaryDirectory() as folder:
        names = iter(range(1_000_000))
        lines = of_database("SQLite", lambda: str(Path(folder, f"{next(names)}.db")), rounds)
    if (programs := binaries()) is not None:
        server = Server(programs)
        try:
            lines += of_database("PostgreSQL", server.new, rounds)
        finally:
            server.remove()
    return lines


if __name__ == "__main__":
    if sys.argv[1:2] == ["work"]:
        work_here(sys.argv[2])
    else:
        for result in store(int(sys.argv[1]) if sys.argv[1:] else ROUNDS):
            print(*result, sep=" | ", flush=True)
