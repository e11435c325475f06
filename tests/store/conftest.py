"""The storages of the tests: memory, a SQLite file, and a private PostgreSQL server."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn
from uuid import uuid4

import psycopg
import pytest

from fsm.store import Database, Store, process
from fsm.store.errors import StorageError
from fsm.store.memory import MemoryStorage
from fsm.store.storage import Storage
from tests.store.contract.child import Child
from tests.store.contract.faces import FACES, LONG, Make

MOST = 30.0
"""Seconds that a store which was let go has to end."""
SETTINGS = "-c listen_addresses='' -c shared_buffers=16MB -c max_connections=60 -c log_min_messages=fatal"


def binaries() -> Path | None:
    """The newest PostgreSQL of this machine."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: -int(folder.parent.name))
    found = shutil.which("initdb")
    return next((one for one in [*folders, *([Path(found).resolve().parent] if found else [])] if (one / "initdb").exists()), None)


class Server:
    """A private server: its own folder and unprivileged user, and a socket in that folder.

    By default it is durable.  One for hundreds of databases need not be (`fsync`): it would take minutes to stop, and what is
    killed loses nothing either way; only a power failure would.
    """

    fsync = True

    def __init__(self, programs: Path, *, fsync: bool = True) -> None:
        self.programs, self.fsync = programs, fsync
        self.folder = Path(tempfile.mkdtemp(prefix="fsm-pg-"))
        self.user: dict[str, Any] = {}
        if os.getuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(self.folder, nobody.pw_uid, nobody.pw_gid)
            self.user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        self.run("initdb", "-D", "data", "-A", "trust", "-U", "store", "-E", "UTF8", "--locale=C", "--no-sync")
        self.start()

    def run(self, program: str, *words: str) -> None:
        done = subprocess.run([self.programs / program, *words], cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **self.user)  # fmt: skip
        if done.returncode:
            raise OSError(f"{program}: {done.stdout.decode(errors='replace')[-500:]}")

    def start(self) -> None:
        # the log goes to a file, or the server would keep the pipe of pg_ctl
        self.run("pg_ctl", "start", "-w", "-t", "120", "-D", "data", "-l", "log", "-o", f"{SETTINGS} -c fsync={self.fsync} -c unix_socket_directories={self.folder}")

    def stop(self, mode: str = "fast") -> None:
        self.run("pg_ctl", "stop", "-w", "-D", "data", "-m", mode)

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://store@/{database}?host={self.folder}"

    def new(self) -> str:
        name = f"t{uuid4().hex}"
        self.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def execute(self, statement: str, database: str = "postgres") -> None:
        with psycopg.connect(host=str(self.folder), user="store", dbname=database, autocommit=True) as connection:
            connection.execute(statement.encode())

    def remove(self) -> None:
        with suppress(OSError):
            self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)


def without(reason: str) -> NoReturn:
    """Skip, and say why; in CI that is a failure."""
    if "CI" in os.environ:
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    programs = binaries()
    if programs is None:
        without("PostgreSQL is not installed (apt-get install postgresql); its part of the contract was not run")
    try:
        server = Server(programs, fsync=False)
    except (OSError, subprocess.SubprocessError, KeyError) as error:
        without(f"no private PostgreSQL server could be started; its part of the contract was not run: {error}")
    try:
        yield server
    finally:
        server.remove()


@dataclass
class Place:
    """Where a test keeps its stores.  `new()` makes a storage there, `child()` another process; all end with the test."""

    kind: str
    where: str
    options: dict[str, Any] = field(default_factory=dict)
    made: list[Storage] = field(default_factory=list)
    children: list[Child] = field(default_factory=list)

    def new(self, **options: Any) -> Any:
        storage: Storage
        if self.kind == "memory":
            storage = MemoryStorage(**{k: v for k, v in options.items() if k == "store"})
        else:
            storage = Database(self.where, **self.options | options)
        self.made.append(storage)
        return storage

    def child(self, **options: Any) -> Child:
        child = Child(self.where, **options)
        self.children.append(child)
        return child

    def end(self) -> None:
        for child in self.children:
            child.kill()
        process._exiting()  # stores that the test left open
        for thread in threading.enumerate():  # of stores that were let go without waiting, too
            if thread.name == "fsm store":
                thread.join(MOST)
        for storage in self.made:
            with suppress(StorageError):
                storage.close()


def place_of(kind: str, request: pytest.FixtureRequest, folder: Path) -> Place:
    if kind == "postgresql":
        return Place(kind, request.getfixturevalue("server").new())
    return Place(kind, str(folder / "store.db"))


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    place = place_of(request.param, request, tmp_path)
    yield place
    place.end()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    place = place_of(request.param, request, tmp_path)
    yield place
    place.end()


@pytest.fixture
def sockets(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The runtime folder, for this test alone, with a path short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="fsm-") as folder:
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        yield Path(folder, "fsm")


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Place]:
    place = Place("sqlite", str(tmp_path / "store.db"))
    yield place
    place.end()


@pytest.fixture
def remote(server: Server) -> Iterator[Place]:
    place = Place("postgresql", server.new())
    yield place
    place.end()


@pytest.fixture(params=FACES)
def face(request: pytest.FixtureRequest) -> Any:
    return FACES[request.param]


@pytest.fixture(params=["memory", "sqlite"])
def make(request: pytest.FixtureRequest, face: Any, tmp_path: Path) -> Make:
    def made(**options: Any) -> Any:
        storage = MemoryStorage() if request.param == "memory" else Database(tmp_path / "store.db")
        return face(storage, **{"retry": LONG, **options})

    return made


@pytest.fixture
def shared(database: Place) -> Iterator[Callable[..., Store]]:
    made: list[Store] = []

    def make(**options: Any) -> Store:
        made.append(Store(database.new(), retry=LONG, **options))
        return made[-1]

    yield make
    for store in made:
        store.let_go()
