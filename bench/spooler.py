"""Many stores in one process, long queues, long lives, several processes, the outbox: figures beside the aims.

    python -m bench.spooler [PART] [sqlite | postgresql]     # all parts: stores, rates, queue, life, processes, outbox

Each part has a table in `spooler.md` for each database, which is written anew when it is run.  Each measurement has a
process of its own, so that memory and descriptors are its own; what is compared takes turns in one process.
"""

from __future__ import annotations

import asyncio
import gc
import os
import re
import signal
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import median, quantiles
from typing import ParamSpec, TypeVar

import psycopg

from bench.result import Result
from bench.store import together
from fsm.store import AsyncSpooler, AsyncStore, Database, Spooler, Store
from fsm.store.sql import Keep
from tests.store.conftest import Server, binaries

PAGE = Path(__file__).with_suffix(".md")
STORES, ONE_BY_ONE, SPREAD = 10_000, 500, 1_000
SHORT, LONG, BUSY = 1_000, 1_000_000, 100_000
TURNS, FEW = 100, 15
MESSAGES = 1_000_000
KEPT = 2e6
"""Messages of a long life, and the bytes of its journal that are kept, so few that their limit is reached in its middle."""
CONTENT = b"x" * 500
KINDS = ["SQLite", "PostgreSQL"]
P = ParamSpec("P")
T = TypeVar("T")
Figures = dict[str, float]


def alone(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return what this returns in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work, *args, **kwargs).result()


def spent(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def in_words(seconds: float, cpu: float) -> str:
    return f"{seconds:.1f} s" + (f", {cpu:.1f} s of CPU time" if cpu else "")


def resident() -> float:
    """Return the resident memory of this process, in KB."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 1024


def descriptors() -> int:
    return len([*Path("/proc/self/fd").iterdir()])


def connections(where: str) -> int:
    """Return how many connections to the database there are, of this process in a file and of all in a server."""
    if "://" in where:
        with psycopg.connect(where.replace("+psycopg", ""), autocommit=True) as connection:
            query = "SELECT count(*) - 1 FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'"
            return int(connection.execute(query).fetchall()[0][0])
    links = [str(one.readlink()) for one in Path("/proc/self/fd").iterdir() if one.is_symlink()]
    return links.count(str(Path(where).resolve()))


# -------------------------------------------------------------------------------------------------------- many stores


def opened_together(where: str) -> Figures:
    spooler = Spooler(Database(where))
    spooler.open("first").submit(CONTENT)
    before, names = resident(), [f"s{number}" for number in range(STORES)]
    start, cpu = time.perf_counter(), time.process_time()
    stores = spooler.open_many(names)
    opening, cpu_time = time.perf_counter() - start, time.process_time() - cpu
    for store in stores[:: STORES // 100]:
        store.submit(CONTENT)
    found = {
        "opening": opening, "opening, CPU": cpu_time, "KB": (resident() - before) / STORES, "threads": threading.active_count(),
        "descriptors": descriptors(), "connections": connections(where),
    }  # fmt: skip
    for store in stores[:: STORES // 100]:
        for item in store.outgoing():
            with item:
                break
    cpu = time.process_time()
    found["closing"] = spent(lambda: spooler.close("ORDERLY 60s"))
    found["closing, CPU"] = time.process_time() - cpu
    found["letting go"] = spent(spooler.let_go)
    return found


def opened_one_by_one(where: str) -> tuple[float, float]:
    """Return the seconds that opening a store takes while others are open, and the CPU time of it."""
    with Spooler(Database(where)) as spooler:
        spooler.open("first")
        cpu = time.process_time()
        took = spent(lambda: [spooler.open(f"s{number}") for number in range(ONE_BY_ONE)])
        return took / ONE_BY_ONE, (time.process_time() - cpu) / ONE_BY_ONE


def stores(kind: str, new: Callable[[], str]) -> Iterator[Result]:
    found = alone(opened_together, new())
    what = f"{STORES:,} stores in one process, {kind}"

    def line(name: str, measured: str, figure: float, most: float, unit: str) -> Result:
        return Result(f"{what}: {name}", measured, "", f"<= {most:g} {unit}", figure <= most)

    for name, most in (("threads", 10), ("descriptors", 50), ("connections", 5)):
        yield line(name, f"{found[name]:.0f}", found[name], most, "")
    yield line("memory", f"{found['KB']:.1f} KB a store", found["KB"], 12, "KB")
    yield line("opened together", in_words(found["opening"], found["opening, CPU"]), found["opening"], 3, "s")
    each, cpu = alone(opened_one_by_one, new())
    measured = f"{each * 1e3:.1f} ms each, {cpu * 1e3:.1f} ms of CPU time"
    yield line(f"opened one after another ({ONE_BY_ONE:,} of them)", measured, each * 1e3, 2, "ms")
    yield line("closed idle", in_words(found["closing"], found["closing, CPU"]), found["closing"], 3, "s")
    yield Result(f"{what}: let go after that", f"{found['letting go']:.1f} s", "", "", None)


# -------------------------------------------------------------------------------------------------------------- rates


async def submitted(stores: list[AsyncStore], jobs: int = 10_000) -> tuple[float, float]:
    """Return the submissions a second of 100 submitters, who go from store to store, and the CPU time of each."""

    async def submitter(number: int) -> None:
        for turn in range(jobs // 100):
            await stores[(turn * 100 + number) % len(stores)].submit(CONTENT)

    start, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*map(submitter, range(100)))
    return jobs / (time.perf_counter() - start), (time.process_time() - cpu) / jobs


async def spread(where: str) -> list[tuple[float, float]]:
    """Return the rates of submissions into one store, and spread over many, and their CPU times; they take turns."""
    async with AsyncSpooler(Database(where)) as spooler:
        many = await spooler.open_many(f"s{number}" for number in range(SPREAD))
        one = await spooler.open("one")
        await submitted([one], 2000)
        rates = [(await submitted([one], 5000), await submitted(many, 5000)) for _ in range(7)]
        await spooler.close("ABORT 1s -> cancel 1s")
        return [(median(turn[n][0] for turn in rates), median(turn[n][1] for turn in rates)) for n in (0, 1)]


async def neighbour(where: str) -> Figures:
    """Return the median seconds that a submission takes, one after another, beside what the other store does."""
    async with AsyncSpooler(Database(where)) as spooler:
        busy, other = await spooler.open("busy"), await spooler.open("other")

        async def submission() -> float:
            took = []
            for _ in range(400):
                start = time.perf_counter()
                await other.submit(CONTENT)
                took.append(time.perf_counter() - start)
            return median(took)

        async def worker(pause: float) -> None:
            async for item in busy.outgoing():
                async with item:
                    await asyncio.sleep(pause)

        async def beside(workers: int, pause: float) -> float:
            tasks = [asyncio.create_task(worker(pause)) for _ in range(workers)]
            await asyncio.sleep(0.2)
            found = await submission()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            return found

        found = {"idle": await submission()}
        await submitted([busy], BUSY)
        rounds = [(await submission(), await beside(8, 0.02), await beside(16, 0.0)) for _ in range(5)]
        found |= {name: median(one[n] for one in rounds) for n, name in enumerate(("queued", "worked", "at full speed"))}
        await spooler.close("ABORT 1s -> cancel 1s")
        return found


def of_spread(where: str) -> list[tuple[float, float]]:
    return asyncio.run(spread(where))


def of_neighbour(where: str) -> Figures:
    return asyncio.run(neighbour(where))


def rates(kind: str, new: Callable[[], str]) -> Iterator[Result]:
    (one, cpu), (many, other) = alone(of_spread, new())
    yield Result(f"submissions spread over {SPREAD:,} stores, {kind}", f"{many:,.0f} a second, {other * 1e6:.0f} us of CPU time",
                 f"through one store {one:,.0f}, {cpu * 1e6:.0f} us: {many / one:.2f} of that", ">= 0.75", many / one >= 0.75)  # fmt: skip
    found = alone(of_neighbour, new())
    idle = found["idle"]
    for name, doing in (
        ("queued", f"has {BUSY:,} queued"), ("worked", "sends them, 8 workers, 20 ms a message"),
        ("at full speed", "sends them, 16 workers, without a pause"),
    ):  # fmt: skip
        yield Result(f"one submission after another, {kind}, while another store {doing}", f"{found[name] * 1e3:.2f} ms",
                     f"that store idle {idle * 1e3:.2f} ms: {found[name] / idle:.2f} times", "<= 1.5 times", found[name] / idle <= 1.5)  # fmt: skip


# -------------------------------------------------------------------------------------------------------- long queues


def fill(where: str, count: int, name: str = "default") -> None:
    """Put so many messages into a store that nobody has open, by statements of SQL; it must have been open before."""
    row = "{id}, p.store, p.number, 'ready', 0, 0, 0, '\"\"', '[]'"
    names = "id, store, part, state, attempts, uncertain, submitted, sender, recipients"
    part = f"(SELECT number, store FROM fsm_parts WHERE store = (SELECT number FROM fsm_stores WHERE store = '{name}')) p"
    hold = f"UPDATE fsm_parts SET ready = {count}, clean = 1 WHERE number = (SELECT number FROM {part})"
    if "://" in where:
        numbers = f"generate_series(1, {count}) n (i)"
        message = f"INSERT INTO fsm_messages ({names}) SELECT {row.format(id=SERVER_ID)} FROM {numbers}, {part}"
        content = f"INSERT INTO fsm_contents SELECT {SERVER_ID}, '{'x' * 100}'::bytea FROM {numbers}"
        with psycopg.connect(where.replace("+psycopg", ""), autocommit=True) as connection:
            for statement in (message, content, hold, "VACUUM ANALYZE"):
                connection.execute(statement.encode())
        return
    numbers = f"WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})"
    file = sqlite3.connect(where)
    file.execute(f"INSERT INTO fsm_messages ({names}) {numbers} SELECT {row.format(id=FILE_ID)} FROM n, {part}")
    file.execute(f"INSERT INTO fsm_contents {numbers} SELECT {FILE_ID}, CAST('{'x' * 100}' AS blob) FROM n")
    file.execute(hold)
    file.commit()
    file.close()


SERVER_ID, FILE_ID = "lpad(to_hex(i), 14, '0') || '000000'", "printf('%014x000000', i)"


def id_of(number: int) -> str:
    return f"{number:014x}000000"


def prepared(new: Callable[[], str], count: int) -> str:
    """Return a database whose default store has so many messages in its queue."""
    where = new()
    with Store(Database(where)) as store:
        store.close("ORDERLY 60s")
    fill(where, count)
    return where


def length(places: dict[int, str]) -> dict[str, dict[int, float]]:
    """Return the median seconds that each thing takes with each length of the queue; the lengths take turns."""
    spoolers = {count: Spooler(Database(where)) for count, where in places.items()}
    took: dict[str, dict[int, list[float]]] = {}
    for spooler in spoolers.values():
        spooler.open("another")
    stores = {count: spooler.open("default") for count, spooler in spoolers.items()}

    def measure(what: str, count: int, work: Callable[[], object]) -> None:
        if "-v" in sys.argv:
            print(what, count, time.strftime("%X"), file=sys.stderr, flush=True)
        took.setdefault(what, {}).setdefault(count, []).append(spent(work))

    def next_one(store: Store) -> None:
        for item in store.outgoing():
            with item:
                return

    def known(_: object, store: Store, peers: int) -> None:
        end = time.monotonic() + 60
        while store.session.peers != peers:
            time.sleep(0.0005)
            assert time.monotonic() < end, store

    def messages(count: int, store: Store, turn: int) -> None:
        measure("withdraw", count, lambda: store.withdraw(id_of(count - turn)))
        measure("the next message, and sent", count, lambda: next_one(store))

    def peers(count: int, store: Store) -> None:
        with Spooler(Database(places[count])) as others:
            others.open("another one")
            measure("a peer comes", count, lambda: known(others.open("default"), store, 1))
            measure("a peer goes", count, lambda: known(others.close("ORDERLY 60s"), store, 0))

    def opening(count: int, spooler: Spooler) -> None:
        queued = stores[count].session.ready
        measure("close", count, lambda: stores[count].close("ORDERLY 60s"))
        measure("let_go", count, lambda: stores[count].let_go())
        measure("open", count, lambda: stores.update({count: spooler.open("default")}))
        measure("let_go without a logoff", count, lambda: stores[count].let_go())
        stores[count] = spooler.open("default")
        assert stores[count].session.ready == queued > 0, "the queue is as long as it was"

    for turn in range(TURNS):
        for count, store in stores.items():
            messages(count, store, turn)
    for _ in range(FEW):
        for count, store in stores.items():
            peers(count, store)
    for _ in range(FEW):
        for count, spooler in spoolers.items():
            opening(count, spooler)
    for spooler in spoolers.values():
        spooler.close("ORDERLY 60s")
        spooler.let_go()
    return {what: {count: median(times) for count, times in found.items()} for what, found in took.items()}


def grown(where: str) -> float:
    """Return the MB by which the process has grown since before it opened the store."""
    with Spooler(Database(where)) as spooler:
        spooler.open("another").submit(b"")
        before, store = resident(), spooler.open("default")
        for item in store.outgoing():
            with item:
                if store.counters["sent"] == 200:
                    break
        outcome = store.close("ORDERLY 60s")
        assert outcome.left, "the queue is not empty"
        return (resident() - before) / 1024


def die(where: str) -> None:
    Store(Database(where)).submit(b"")
    os.kill(os.getpid(), signal.SIGKILL)


def reopened(where: str) -> tuple[float, float]:
    """Return the seconds that opening the store takes, as the first thing that this process does, and its CPU time."""
    start, cpu = time.perf_counter(), time.process_time()
    store = Store(Database(where))
    took, cpu_time = time.perf_counter() - start, time.process_time() - cpu
    assert store.session.ready > SHORT, store
    store.close("ORDERLY 60s")
    store.let_go()
    return took, cpu_time


def queue(kind: str, new: Callable[[], str]) -> Iterator[Result]:
    places = {count: prepared(new, count) for count in (SHORT, LONG)}
    mb = {count: alone(grown, where) for count, where in places.items()}
    found = alone(length, places)
    for what, times in found.items():
        most, ratio = 2.0 if (what, kind) == ("withdraw", "PostgreSQL") else 1.5, times[LONG] / times[SHORT]
        yield Result(f"{LONG:,} queued, {kind}: {what}", f"{times[LONG] * 1e3:.2f} ms",
                     f"with {SHORT:,} {times[SHORT] * 1e3:.2f} ms: {ratio:.2f} times", f"<= {most:g} times", ratio <= most)  # fmt: skip
    first = alone(reopened, places[LONG])
    yield Result(f"{LONG:,} queued, {kind}: opening, the first thing a process does", in_words(*first), "", "<= 1 s", first[0] <= 1)
    child = get_context("spawn").Process(target=die, args=(places[LONG],))
    child.start()
    child.join()
    after = alone(reopened, places[LONG])
    yield Result(f"{LONG:,} queued, {kind}: opening after a crash", in_words(*after), "", "<= 1 s", after[0] <= 1)
    yield Result(f"{LONG:,} queued, {kind}: the process grows by", f"{mb[LONG]:.0f} MB", f"with {SHORT:,} by {mb[SHORT]:.0f} MB",
                 "< 50 MB", mb[LONG] < 50)  # fmt: skip


# ---------------------------------------------------------------------------------------------------------- long lives


def size(where: str) -> float:
    """Return the size of the database, in MB."""
    if "://" in where:
        with psycopg.connect(where.replace("+psycopg", ""), autocommit=True) as connection:
            return float(connection.execute("SELECT pg_database_size(current_database())").fetchall()[0][0]) / 1e6
    return sum(one.stat().st_size for one in Path(where).parent.glob(Path(where).name + "*")) / 1e6


async def life_of(where: str) -> list[tuple[float, float, float, int]]:
    """Return messages a second, MB of the database, MB of the process and descriptors, in each tenth of a long life."""
    store = AsyncStore(Database(where, journal=Keep(bytes=KEPT)))
    found: list[tuple[float, float, float, int]] = []
    sent, start, end = 0, time.perf_counter(), asyncio.Event()

    async def submitter() -> None:
        while not end.is_set():
            await store.submit(CONTENT)
            while store.session.ready > 500:
                await asyncio.sleep(0.005)

    async def worker() -> None:
        nonlocal sent, start
        async for item in store.outgoing():
            async with item:
                pass
            sent += 1
            if sent % (MESSAGES // 10) == 0:
                took = time.perf_counter() - start
                found.append((MESSAGES / 10 / took, size(where), resident() / 1024, descriptors()))
                start = time.perf_counter()
                if sent == MESSAGES:
                    end.set()

    async with store:
        submitters = [asyncio.create_task(submitter()) for _ in range(50)]
        workers = [asyncio.create_task(worker()) for _ in range(16)]
        await end.wait()
        await asyncio.gather(*submitters)
        await store.close("NO_WAIT 20s -> ORDERLY 5s")
        await asyncio.gather(*workers)
    return found


def live(where: str) -> list[tuple[float, float, float, int]]:
    return asyncio.run(life_of(where))


def life(kind: str, new: Callable[[], str]) -> Iterator[Result]:
    found = alone(live, new())
    what = f"{MESSAGES:,} messages through one process, {kind}, {KEPT / 1e6:g} MB of journal kept"
    for place, name, unit, most in ((1, "the database", "MB", 1.2), (2, "memory", "MB", 1.1), (3, "descriptors", "", 1.0)):
        (early, late), peak = (found[4][place], found[9][place]), max(one[place] for one in found)
        yield Result(f"{what}: {name} at the end", f"{late:.0f} {unit}", f"in the middle {early:.0f}, at most {peak:.0f} {unit}",
                     f"level: <= {most:g} times the middle", late <= most * early)  # fmt: skip
    early, late = median(one[0] for one in found[:3]), median(one[0] for one in found[-3:])
    yield Result(f"{what}: messages a second in the last three tenths", f"{late:,.0f}", f"in the first three {early:,.0f}: {late / early:.2f} of that",
                 "no slower (>= 0.95)", late / early >= 0.95)  # fmt: skip


# ---------------------------------------------------------------------------------------------------------- processes


def processes(kind: str, new: Callable[[], str]) -> Iterator[Result]:
    figures: dict[int, list[float]] = {1: [], 2: [], 4: []}
    for _ in range(3):
        for count, found in figures.items():
            found.append(together(new(), count, 1200 * count))
    one = median(figures[1])
    yield Result(f"one process on one store, {kind}, 8 workers, 20 ms a message", f"{one:,.0f} a second", "waiting alone would allow 400", "", None)
    for count, least in ((2, 1.7), (4, 3.3)):
        figure = median(figures[count])
        yield Result(f"{count} processes on one store, {kind}, 8 workers each, 20 ms a message", f"{figure:,.0f} a second",
                     f"one process {one:,.0f}: {figure / one:.2f} times that", f">= {least} times", figure / one >= least)  # fmt: skip


# ------------------------------------------------------------------------------------------------------------- outbox


def claimed_after(where: str) -> list[float]:
    """Return the seconds from the commit of somebody's transaction to the worker that has its message."""
    took, came = list[float](), threading.Semaphore(0)
    when = 0.0
    with Store(Database(where)) as store:

        def work() -> None:
            nonlocal when
            for item in store.outgoing():
                when = time.perf_counter()
                with item:
                    came.release()

        worker = threading.Thread(target=work)
        worker.start()
        connection = psycopg.connect(where.replace("+psycopg", "")) if "://" in where else sqlite3.connect(where, timeout=60)
        connection.execute("CREATE TABLE orders (number int)")
        connection.commit()
        for number in range(300):
            connection.execute(f"INSERT INTO orders VALUES ({number})")
            store.submit(CONTENT, connection=connection)
            connection.commit()
            start = time.perf_counter()
            came.acquire()
            took.append(max(0.0, when - start))
        connection.close()
        store.close("ORDERLY 10s")
        worker.join()
    return took


def outbox(kind: str, new: Callable[[], str]) -> Iterator[Result]:
    took = alone(claimed_after, new())
    tail = quantiles(took, n=100)[98]
    yield Result(f"from somebody's commit to the worker that has the message, {kind}", f"median {median(took) * 1e3:.1f} ms",
                 f"99 of 100 within {tail * 1e3:.1f} ms, all within {max(took) * 1e3:.1f} ms", "<= 50 ms", tail <= 0.05)  # fmt: skip


# ---------------------------------------------------------------------------------------------------------- the tables

PARTS = {one.__name__: one for one in (stores, rates, queue, life, processes, outbox)}
TITLES = {
    "stores": "Many stores", "rates": "Stores beside each other", "queue": "The length of a queue", "life": "A long life",
    "processes": "Several processes", "outbox": "A transactional outbox",
}  # fmt: skip


def run(part: str, kind: str) -> list[Result]:
    """Measure a part on this database; nothing where it is not installed."""
    if kind == "SQLite":
        with tempfile.TemporaryDirectory() as folder:
            files = (str(Path(folder, f"{number}.db")) for number in range(1000))
            return shown(PARTS[part](kind, lambda: next(files)))
    if (programs := binaries()) is None:
        return []
    server = Server(programs)
    try:
        return shown(PARTS[part](kind, server.new))
    finally:
        server.remove()


def shown(results: Iterator[Result]) -> list[Result]:
    found = []
    for result in results:
        print(*result, sep=" | ", flush=True)
        found.append(result)
    return found


def write(title: str, results: list[Result], load: float) -> None:
    """Write a table into `spooler.md`, in the place of the one before."""
    from bench.run import machine, table  # which imports what all other benchmarks need

    text = PAGE.read_text() if PAGE.exists() else ""
    sections = dict(re.findall(r"^## ([^\n]*)\n\n(.*?)\n*(?=^## |\Z)", text, re.DOTALL | re.MULTILINE))
    sections[title] = f"The load of the machine was {load:.0f}, on {os.cpu_count()} cores.\n\n{table(results)}"
    top = (
        "# The spooler, measured\n\nBy `python -m bench.spooler`. Ratios are of times that took turns; seconds on a loaded machine"
        " are upper bounds, which is why the CPU time\nis given beside them.\n\n"
    )
    titles = [f"{title}, {kind}" for title in TITLES.values() for kind in KINDS]
    body = "\n\n".join(f"## {title}\n\n{sections[title]}" for title in titles if title in sections)
    PAGE.write_text(f"{top}Machine: {machine()}.\n\n{body}\n")


def main(words: list[str]) -> int:
    kinds = [kind for kind in KINDS if kind.lower() in words] or KINDS
    for part in [word for word in words if word in PARTS] or PARTS:
        for kind in kinds:
            if results := run(part, kind):
                write(f"{TITLES[part]}, {kind}", results, os.getloadavg()[1])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
