"""Disasters that befall the database of programs under load, each for as long as a block lasts.

    python -m tests.crash.disasters [SECONDS]      all of them, as a table

A disaster is a function of the scene that returns a context manager; the scene has the server, the programs, and the URL.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from fsm.store import Database
from tests.crash.books import Books, Program, empty
from tests.store.conftest import Server, binaries
from tests.store.silence import of_server

SHORT = "NO_WAIT 0.4s -> ORDERLY 0.3s -> cancel 0.3s"
BUDGET = 1.0
"""The seconds of that plan."""


@dataclass
class Scene:
    """What a disaster befalls.  `where` is the URL or the path, `seconds` how long a disaster lasts."""

    where: str
    seconds: float
    server: Server | None = None
    books: Books = field(default_factory=Books)
    programs: list[Program] = field(default_factory=list)
    cable: Cable | None = None
    standby: Server | None = None

    def start(self, count: int = 1) -> None:
        self.programs += [Program(self.where, self.books) for _ in range(count)]

    def wait(self) -> None:
        """The disaster goes on for its time."""
        time.sleep(self.seconds)

    @property
    def the_server(self) -> Server:
        assert self.server is not None
        return self.server

    @property
    def database(self) -> str:
        return self.where.partition("@")[2].partition("/")[2].partition("?")[0]

    @contextmanager
    def again_and_again(self, act: Callable[[], object], every: float) -> Iterator[None]:
        """Do this now, and again and again while the block runs."""
        over = threading.Event()

        def run() -> None:
            while True:
                act()
                if over.wait(every):
                    return

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


# ------------------------------------------------------------------------------------------------------- of PostgreSQL


@contextmanager
def restarted(scene: Scene) -> Iterator[None]:
    scene.the_server.stop("immediate")
    try:
        yield
    finally:
        scene.the_server.start()


@contextmanager
def connections_killed(scene: Scene) -> Iterator[None]:
    kill = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{scene.database}'"
    with scene.again_and_again(lambda: scene.the_server.execute(kill), 0.1):
        yield


@contextmanager
def connections_run_out(scene: Scene) -> Iterator[None]:
    """All of them are taken, also those of the programs, which are killed until somebody else has each."""
    server, taken = scene.the_server, list[psycopg.Connection]()

    def take_all() -> None:
        with suppress(psycopg.OperationalError):
            while True:
                taken.append(psycopg.connect(host=str(server.folder), user="store", dbname="postgres", autocommit=True))

    take_all()
    kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
    while taken[0].execute(kill, (scene.database,)).fetchall():
        take_all()
    try:
        yield
    finally:
        for one in taken:
            one.close()


@contextmanager
def transaction_held(scene: Scene) -> Iterator[None]:
    """Somebody has read everything, and does not end the transaction: no dead row can be removed meanwhile.

    It lasts six times as long as the others.
    """
    scene.seconds *= 6
    with psycopg.connect(host=str(scene.the_server.folder), user="store", dbname=scene.database) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.execute("SELECT count(*) FROM fsm_messages")
        yield


@contextmanager
def stopped(scene: Scene) -> Iterator[None]:
    with of_server("stopped", scene.the_server) as silence:
        silence.begin()
        yield


@contextmanager
def standby_promoted(scene: Scene) -> Iterator[None]:
    """The primary is killed; its synchronous standby, which has every commit, takes its place."""
    assert scene.standby is not None
    scene.the_server.stop("immediate")
    try:
        yield
    finally:
        scene.standby.run("pg_ctl", "promote", "-w", "-D", "data")
        scene.standby.execute("ALTER SYSTEM RESET synchronous_standby_names")
        scene.standby.run("pg_ctl", "reload", "-D", "data")


@contextmanager
def network_cut(scene: Scene) -> Iterator[None]:
    assert scene.cable is not None
    scene.cable.whole.clear()
    try:
        yield
    finally:
        scene.cable.whole.set()


class Cable:
    """The network between a program and the server: a proxy on loopback.  While it is not `whole` nothing arrives."""

    def __init__(self, server: Server) -> None:
        self._socket = str(server.folder / ".s.PGSQL.5432")
        self.whole = threading.Event()
        self.whole.set()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        with self._listening, suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                self._threads.append(threading.Thread(target=self._connect, args=(client,)))
                self._threads[-1].start()

    def _connect(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server, suppress(OSError):
            self.whole.wait()
            server.connect(self._socket)
            back = threading.Thread(target=self._pump, args=(server, client))
            back.start()
            self._pump(client, server)
            back.join()

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                self.whole.wait()
                target.sendall(data)
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Call it when nobody is connected any more."""
        self.whole.set()
        self._listening.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()


# -------------------------------------------------------------------------------------------------- of either database


@contextmanager
def one_of_three_killed(scene: Scene) -> Iterator[None]:
    """Each time the oldest, and another begins."""

    def kill() -> None:
        scene.programs[0].kill()
        del scene.programs[0]
        scene.start()

    with scene.again_and_again(kill, min(1.0, scene.seconds / 3)):
        yield


@contextmanager
def locked(scene: Scene) -> Iterator[None]:
    """Another program is in the middle of a transaction that writes the file."""
    other = sqlite3.connect(scene.where, isolation_level=None, timeout=60)
    other.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        other.close()


Disaster = Callable[[Scene], AbstractContextManager[None]]
OF_SERVER: dict[str, Disaster] = {
    "the server is restarted": restarted,
    "its connections are killed": connections_killed,
    "its connections run out": connections_run_out,
    "a transaction is held open": transaction_held,
    "the server is stopped": stopped,
    "its standby is promoted": standby_promoted,
    "the network is cut": network_cut,
    "one of three processes is killed": one_of_three_killed,
}
OF_FILE: dict[str, Disaster] = {"the file is locked": locked, "one of three processes is killed": one_of_three_killed}


# ------------------------------------------------------------------------------------------------------------- scenes


@contextmanager
def scene_of(name: str, kind: str, server: Callable[[], Server], seconds: float) -> Iterator[Scene]:
    """The scene of a disaster: programs under load on a database of their own.  They end with the block."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fsm-")))
        if kind == "sqlite":
            scene = Scene(str(folder / "store.db"), seconds)
        elif name == "its standby is promoted":
            scene = stack.enter_context(replicated(seconds))
        else:
            one = server()
            scene = Scene(one.new(), seconds, one)
            if name == "the network is cut":
                scene.cable = Cable(one)
                stack.callback(scene.cable.close)
                scene.where = f"postgresql+psycopg://store@127.0.0.1:{scene.cable.port}/{scene.database}"
        try:
            scene.start(3 if "three" in name else 1)
            scene.books.go_on()
            yield scene
        finally:
            for program in scene.programs:
                program.kill()


@contextmanager
def replicated(seconds: float) -> Iterator[Scene]:
    """A server with a synchronous standby, which follows it by streaming."""
    programs = binaries()
    assert programs is not None
    primary, standby = Server(programs), Server.__new__(Server)
    try:
        standby.programs, standby.user = programs, primary.user
        standby.folder = Path(tempfile.mkdtemp(prefix="fsm-pg-"))
        if standby.user:
            shutil.chown(standby.folder, standby.user["user"], standby.user["group"])
        primary.execute("ALTER SYSTEM SET wal_level = replica")
        primary.execute("ALTER SYSTEM SET max_wal_senders = 4")
        primary.stop()
        primary.start()
        name = primary.new()
        source = f"host={primary.folder} user=store application_name=standby"
        primary.run("pg_basebackup", "-D", str(standby.folder / "data"), "-R", "-c", "fast", "-d", source)
        standby.start()
        primary.execute("ALTER SYSTEM SET synchronous_standby_names = 'standby'")
        primary.run("pg_ctl", "reload", "-D", "data")
        database = name.partition("@/")[2].partition("?")[0]
        hosts = f"host={primary.folder}:5432&host={standby.folder}:5432&target_session_attrs=read-write"
        yield Scene(f"postgresql+psycopg://store@/{database}?{hosts}", seconds, primary, standby=standby)
    finally:
        primary.remove()
        standby.remove()


@dataclass
class Result:
    """What came of a disaster, twice: the programs go on, and they are told to close in the middle."""

    books: Books
    recovered: float = 0.0
    """Seconds from the end of the disaster until messages went through again."""
    closed: float = 0.0
    """Seconds until closing had returned in all programs; after it they have ended, too."""


def survive(scene: Scene, disaster: Disaster, *, closes: bool) -> Result:
    """Let it happen; with `closes` tell the programs to close in the middle.  AssertionError with the problems."""
    result = Result(scene.books)
    with disaster(scene):
        scene.wait()
        if closes:
            programs = [*scene.programs]
            for program in programs:
                program.ask_to_close(SHORT)
            for program in programs:
                outcome = program.ended()
                assert outcome or program.process.returncode == -9, "it has ended without an outcome"
                result.closed = max(result.closed, float(outcome.partition(" ")[0] or 0.0))
    began = time.perf_counter()
    if not closes:
        scene.books.go_on()
        result.recovered = time.perf_counter() - began
    for program in scene.programs:
        if program.process.poll() is None:
            program.ask_to_close("NO_WAIT 60s -> cancel 5s")
    for program in scene.programs:
        program.ended()
    empty(scene.where, scene.books)
    if problems := scene.books.problems():
        there = [f"{one.id} is {one.state}, {one.attempts} attempts" for one in Database(scene.where).messages()]
        raise AssertionError("\n".join([*problems[:20], *there[:20]]))
    return result


def table(seconds: float) -> str:
    """Let each disaster happen, and return what came of it."""
    programs, made = binaries(), list[Server]()

    def server() -> Server:
        if not made:
            assert programs is not None
            made.append(Server(programs))
        return made[0]

    rows = [
        "| disaster | accepted | lost | twice, all of them uncertain | going again after | told to close in the middle: closed after |",
        "|---|---|---|---|---|---|",
    ]
    try:
        for kind, disasters in (("postgresql", OF_SERVER), ("sqlite", OF_FILE)):
            for name, disaster in disasters.items() if kind == "sqlite" or programs is not None else ():
                with scene_of(name, kind, server, seconds) as scene:
                    on = survive(scene, disaster, closes=False)
                with scene_of(name, kind, server, seconds) as scene:
                    off = survive(scene, disaster, closes=True)
                accepted, twice = (sum(count) for count in zip(*((len(one.books.accepted), one.books.twice) for one in (on, off)), strict=True))
                place = {"postgresql": "PostgreSQL", "sqlite": "SQLite"}[kind]
                rows.append(f"| {place}: {name} | {accepted:,} | 0 | {twice} | {on.recovered:.1f} s | {off.closed:.1f} s |")
                print(rows[-1], file=sys.stderr, flush=True)
    finally:
        for one in made:
            one.remove()
    return "\n".join(rows)


def main() -> None:
    seconds = float(sys.argv[1]) if sys.argv[1:] else 10.0
    os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.gettempdir())
    signal.signal(signal.SIGINT, signal.default_int_handler)
    text = table(seconds)
    print(text)
    place = Path(__file__).parents[2] / "bench" / "disasters.md"
    place.write_text(
        "# Disasters\n\nBy `make soak`: programs under load (four threads that submit, four that send) keep books of what was\n"
        f"accepted and what was sent, while this happens to their database for {seconds:g} seconds (a transaction is held for\n"
        f"{6 * seconds:g}). Each disaster happens twice: the programs go on, and they are told in its middle to close by\n"
        f"`{SHORT}`. A message that was accepted and did not arrive is lost; one that arrives\n"
        "twice must have been counted as uncertain before, or the run fails. Again: `python -m tests.crash.disasters SECONDS`.\n\n"
        f"{text}\n"
    )


if __name__ == "__main__":
    main()
