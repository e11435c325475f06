"""Databases that are locked, damaged, newer, full, read-only or missing: one sentence each."""

from __future__ import annotations

import os
import pwd
import shutil
import sqlite3
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Event
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from fsm.store import StorageError, Store
from fsm.store.message import Message, new_id
from fsm.store.sql import Database, read_journal
from fsm.store.sql.schema import ABOUT, VERSION
from fsm.store.step import PendingStep
from tests.store.conftest import Place, Server
from tests.store.contract.child import Child
from tests.store.contract.driven import scheduled
from tests.store.contract.one import One


def refused(where: str | Path, **options: Any) -> StorageError:
    storage = One(Database(where, patience=0.1, **options))
    with pytest.raises(StorageError) as caught:
        storage.open()
    storage.close()  # does nothing, without an error
    assert "\n" not in str(caught.value)
    return caught.value


def test_the_file_is_this_users_alone_and_durable(file: Place) -> None:
    before = os.umask(0)
    try:
        storage = One(file.new())
        storage.open()
        storage.submit()
    finally:
        os.umask(before)
    for path in Path(file.where).parent.glob("store.db*"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    with storage._opened.engine.connect() as connection:
        found = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")]
    assert found == ["wal", 2]


def test_a_message_is_written_to_the_log_once(file: Place) -> None:
    one = One(file.new())
    one.open()
    with one.transaction() as tx:
        tx.submit(Message("id", bytes(2_000_000), "", (), 0.0))
    for id in one.claim():
        one.do("sent", id)
    assert one.messages() == []
    assert 2e6 < Path(f"{file.where}-wal").stat().st_size < 2.3e6, "what was deleted was written again"


def test_commits_are_on_the_disk_also_where_the_server_would_not_wait(server: Server, remote: Place) -> None:
    database = remote.where.partition("@/")[2].partition("?")[0]
    server.execute(f"ALTER DATABASE {database} SET synchronous_commit = off")
    storage = One(remote.new())
    storage.open()
    with storage._opened.engine.connect() as connection:
        assert connection.exec_driver_sql("show synchronous_commit").scalar() == "on"


def test_a_folder(tmp_path: Path) -> None:
    assert str(refused(tmp_path)) == f"{tmp_path} is a folder, not a database; name a file in it"


def test_no_folder(tmp_path: Path) -> None:
    assert "cannot be created: No such file or directory" in str(refused(tmp_path / "none" / "store.db"))


@pytest.mark.parametrize(
    ("content", "means"),
    [(b"From: someone\n" * 100, "is not a SQLite database"), (b"SQLite format 3\0" + b"\xa5" * 5000, "is ")],
)
def test_a_file_that_is_no_database(tmp_path: Path, content: bytes, means: str) -> None:
    path = tmp_path / "store.db"
    path.write_bytes(content)
    assert means in str(refused(path))
    assert path.read_bytes() == content


def test_a_database_of_another_program(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "store.db")) as connection:
        connection.execute("create table songs (name)")
    assert "is a database of another program (it has a table 'songs')" in str(refused(tmp_path / "store.db"))


def test_an_empty_file_becomes_a_database(tmp_path: Path) -> None:
    (tmp_path / "store.db").touch()
    storage = One(Database(tmp_path / "store.db"))
    storage.open()
    storage.close()


def test_a_newer_database(database: Place) -> None:
    storage = One(database.new())
    storage.open()
    with storage._opened.engine.begin() as connection:
        connection.execute(sa.update(ABOUT).values(version=7))
    error = refused(database.where)
    assert str(error) == f"{storage} has version 7, and this program supports version {VERSION}; use a newer release"
    assert not error.busy
    with pytest.raises(StorageError, match=f"version 7, and this program supports version {VERSION}"):
        list(read_journal(database.where))


def test_a_damaged_database(file: Place) -> None:
    storage = One(file.new())
    storage.open()
    storage.submit(500)
    storage.close()
    whole = Path(file.where).read_bytes()
    Path(file.where).write_bytes(whole[:8192] + os.urandom(len(whole) - 8192))
    error = refused(file.where)
    assert "is damaged" in str(error)
    assert not error.busy


def test_a_locked_database_is_busy_and_can_be_used_later(file: Place) -> None:
    storage = One(file.new(patience=0.1))
    storage.open()
    ids = storage.submit()
    with closing(sqlite3.connect(file.where, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        error = refused(file.where)
        assert error.busy
        assert "is locked by another program" in str(error)
        with pytest.raises(StorageError) as caught:
            storage.claim()
        assert caught.value.busy
        other.execute("ROLLBACK")
    assert storage.claim() == ids


@pytest.mark.parametrize("moment", ["begin", "commit", "rollback"])
def test_whatever_fails_in_the_middle_the_next_transaction_begins_anew(database: Place, moment: str) -> None:
    storage, left = One(database.new()), [1]
    storage.open()
    (id,) = storage.submit()

    def fails(*_: object) -> None:
        if left and left.pop():
            raise OSError("no memory")

    connect = type(storage._opened).connect

    def connected(opened: Any, patience: float) -> Any:
        driver = connect(opened, patience)
        plain = getattr(driver, moment)
        setattr(driver, moment, lambda *args: (fails(), plain(*args))[1])
        return driver

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(storage._opened), "connect", connected)
        with pytest.raises((StorageError, OSError)), storage.transaction() as tx:  # noqa: PT012 - any of it
            assert tx.claim()
            if moment == "rollback":
                raise StorageError("so that it rolls back")
    assert [(message.id, message.attempts) for message in storage.do("claim")] == [(id, 1)]
    assert not left


def test_a_locked_row_is_busy_and_can_be_used_later(remote: Place) -> None:
    storage, other = One(remote.new(patience=0.2)), One(remote.new())
    storage.open()
    other.open()
    with other.transaction() as tx:
        tx.look()
        with pytest.raises(StorageError) as caught:
            storage.look()
        assert caught.value.busy
        assert "is locked" in str(caught.value)
        storage.submit()  # but mail goes on
    assert storage.look().peers == 1


def test_a_row_that_another_transaction_has_locked_is_skipped(remote: Place) -> None:
    storage, other = One(remote.new()), One(remote.new())
    storage.open()
    other.open()
    a, b = storage.submit(2)
    with storage.transaction() as tx:
        tx.withdraw(a)
        assert [message.id for message in other.do("take", 5)] == [b]
    assert [message.id for message in storage.messages()] == [b]


LOCKED = "SELECT 1 FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'"


def test_a_message_of_no_part_that_a_peer_is_withdrawing_is_not_counted(server: Server, remote: Place) -> None:
    first, second, gone = One(remote.new()), One(remote.new()), One(remote.new())
    for one in (first, second, gone):
        one.open()
    (id,) = gone.submit(1)
    assert gone.claim() == [id]
    with gone.transaction() as tx:
        tx.leave(0, 0)
        tx.ended(id, "defer", "later", due=1e12, wait=1.0)
    with ThreadPoolExecutor(1) as pool:
        with second.transaction() as tx, psycopg.connect(host=str(server.folder), user="store", dbname="postgres", autocommit=True) as watching:
            assert tx.withdraw(id) == ("deferred", False)
            looking = pool.submit(first.look, peers=True, adopt=True)
            while not watching.execute(LOCKED, [first.storage.url.database]).fetchone():
                assert not looking.done()
        looking.result(60)
    assert (first.ready, first.deferred, first.messages()) == (0, 0, [])


LOCK = "SELECT 1 FROM fsm_messages WHERE id = %s FOR UPDATE"
WAITS = "SELECT 1 FROM pg_stat_activity WHERE pid = %s AND wait_event_type = 'Lock'"


def test_a_deadlock_in_the_middle_of_a_batch_rolls_all_of_it_back(server: Server, remote: Place) -> None:
    """PostgreSQL confirms the commit of a transaction after an error, and has rolled it back."""
    storage = remote.new()
    server.execute(f"ALTER DATABASE {storage.url.database} SET deadlock_timeout = '10ms'")
    store = Store(storage)
    failed = store.submit(b"nobody wants it")
    queue = store.outgoing()
    with next(queue) as item:
        item.fail("550 no")
    ready = store.submit(b"ready")
    together, locking = Event(), list[Future[Any]]()

    def wait_for_each_other(step: PendingStep) -> None:
        if not locking:  # when it is tried again alone, nothing is locked
            locking.append(pool.submit(other.execute, LOCK, [failed]))
            with psycopg.connect(host=str(server.folder), user="store", dbname="postgres", autocommit=True) as third:
                while not third.execute(WAITS, [other.info.backend_pid]).fetchone():
                    assert not locking[0].done()

    with ThreadPoolExecutor(1) as pool, psycopg.connect(host=str(server.folder), user="store", dbname=storage.url.database) as other:
        other.execute("SET deadlock_timeout = '60s'")  # it is not this one that fails
        other.execute(LOCK, [ready])
        core = store._core
        scheduled(store, lambda _: together.wait(60))  # what is scheduled before it ends is one batch
        first = core.outbox.withdraw(failed)  # no step of the machine, so nothing of it is in the journal
        scheduled(store, wait_for_each_other)
        second = core.outbox.withdraw(ready)
        together.set()
        while not locking:
            assert not second.done()
        locking[0].result(60)
        other.rollback()
        first.result(60)
        assert failed not in [message.id for message in store.messages()]
        second.result(60)
    assert store.messages() == []
    assert store.session.ready == 0
    store.let_go()


# ------------------------------------------------------------------------------------------------------- a full disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB, where this user may make one."""
    folder = tmp_path / "small"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], capture_output=True)
    if done.returncode:
        pytest.skip("a small file system can be mounted by root only; the limit of a process's files is tested instead")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_disk_that_is_full(small_disk: Path, tmp_path: Path) -> None:
    storage = One(Database(small_disk / "store.db"))
    storage.open()
    kept = [new_id()]
    storage.do("submit", Message(kept[0], b"x" * 1000))
    with pytest.raises(StorageError) as caught:  # noqa: PT012 - one of them
        for _ in range(100):
            one = Message(new_id(), os.urandom(100_000))
            storage.do("submit", one)
            kept.append(one.id)
    assert "the disk is full" in str(caught.value)
    assert not caught.value.busy
    assert [one.id for one in storage.messages()] == kept, "what was answered is there, and nothing else"
    storage.close()
    larger = shutil.copytree(small_disk, tmp_path / "larger")
    again = One(Database(larger / "store.db"))
    assert again.open().ready == len(kept)
    assert [message.id for message in again.messages()] == kept
    again.close()


def test_a_file_that_may_not_grow(tmp_path: Path) -> None:
    child = Child(str(tmp_path / "store.db"), limit=600_000)
    try:
        assert "ready" in child.ask("open")
        kept: list[str] = []
        while isinstance(answer := child.ask("submit", count=1, size=50_000), list):
            kept += answer
        assert "cannot be read or written" in answer["error"]
        assert answer["busy"] is False
    finally:
        child.kill()
    storage = One(Database(tmp_path / "store.db"))
    assert storage.open().ready == len(kept)
    assert [message.id for message in storage.messages()] == kept
    storage.close()


# -------------------------------------------------------------------------------------------------------- read-only


@pytest.fixture
def as_nobody() -> Iterator[Callable[..., Child]]:
    """Another process, to which file permissions apply; they do not apply to root."""
    children: list[Child] = []

    def start(where: Path) -> Child:
        children.append(Child(str(where), user=pwd.getpwnam("nobody").pw_uid if os.getuid() == 0 else None, patience=0.2))
        return children[-1]

    yield start
    for child in children:
        child.kill()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="fsm-"))
    yield folder
    folder.chmod(0o700)
    shutil.rmtree(folder)


def test_a_folder_that_may_not_be_written_to(open_folder: Path, as_nobody: Callable[..., Child]) -> None:
    open_folder.chmod(0o555)
    answer = as_nobody(open_folder / "store.db").ask("open")
    assert answer["error"] == f"{open_folder}/store.db cannot be created: Permission denied"


@pytest.mark.parametrize(("folder", "file"), [(0o555, 0o444), (0o755, 0o444), (0o755, 0o000)])
def test_a_file_that_may_not_be_written_to(open_folder: Path, as_nobody: Callable[..., Child], folder: int, file: int) -> None:
    storage = One(Database(open_folder / "store.db"))
    storage.open()
    storage.submit()
    storage.close()
    (open_folder / "store.db").chmod(file)
    open_folder.chmod(folder)
    answer = as_nobody(open_folder / "store.db").ask("open")
    assert "is read-only" in answer["error"] or "cannot be opened" in answer["error"]
    assert answer["busy"] is False


# ------------------------------------------------------------------------------------------------------- PostgreSQL


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    error = refused(f"postgresql+psycopg://me:secret@/store?host={tmp_path}")
    assert error.busy
    assert "cannot be reached" in str(error)
    assert "secret" not in str(error)


def test_a_database_that_is_not_there(server: Server) -> None:
    error = refused(server.url("nowhere"))
    assert 'database "nowhere" does not exist' in str(error)


def test_a_user_without_permission(server: Server, remote: Place) -> None:
    One(remote.new()).open()
    server.execute("DROP ROLE IF EXISTS guest")
    server.execute("CREATE ROLE guest LOGIN")
    error = refused(remote.where.replace("//store@", "//guest@"))
    assert "permission denied" in str(error)
    assert not error.busy


def test_a_server_with_no_free_connection(server: Server, remote: Place) -> None:
    storage = One(remote.new())
    storage.open()
    taken = []
    try:
        with pytest.raises(psycopg.OperationalError):  # noqa: PT012 - one of them
            while True:
                taken.append(psycopg.connect(host=str(server.folder), user="store", dbname="postgres"))
        assert refused(remote.where).busy
        storage.submit()  # an open connection remains usable
    finally:
        for connection in taken:
            connection.close()


@pytest.mark.parametrize(
    ("where", "means"),
    [
        ("mysql://me@host/name", "a store cannot be kept in mysql"), ("://", "not the URL of a database"),
        ("", "is not the path of a file"), ("a\0b", "is not the path of a file"), ("sqlite://", "a store cannot be kept in sqlite"),
    ],
)  # fmt: skip
def test_a_place_that_is_not_one(where: str, means: str) -> None:
    with pytest.raises(StorageError, match=means):
        Database(where)


def test_a_url_may_name_a_file_and_a_driver_may_be_left_out(tmp_path: Path) -> None:
    assert str(Database(f"sqlite:///{tmp_path}/store.db")) == f"{tmp_path}/store.db"
    assert str(Database("postgresql://me:secret@host/name")) == "postgresql+psycopg://me:***@host/name"


@pytest.mark.parametrize("replaced", [False, True], ids=["removed", "replaced"])
def test_a_file_that_is_removed_while_it_is_open(file: Place, replaced: bool) -> None:
    """Nobody could ever read what is written there, so a transaction fails."""
    storage = One(file.new())
    storage.open()
    storage.submit()
    for path in Path(file.where).parent.glob("store.db*"):
        path.unlink()
    if replaced:
        Path(file.where).touch()
    with pytest.raises(StorageError, match="was removed or replaced while it was open"):
        storage.submit()
    storage.close()
    with closing(sqlite3.connect(file.where)) as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,), "nothing was written to the other"


def test_a_folder_that_is_moved_away_and_back(tmp_path: Path) -> None:
    """A submission that was refused meanwhile is not there afterwards."""
    (tmp_path / "here").mkdir()
    store = Store(Database(tmp_path / "here" / "store.db"))
    first = store.submit(b"first")
    (tmp_path / "here").rename(tmp_path / "there")
    with pytest.raises(StorageError, match="was removed or replaced") as caught:
        store.submit(b"second")
    assert caught.value.certain
    (tmp_path / "there").rename(tmp_path / "here")
    third = store.submit(b"third")
    assert [message.id for message in store.messages()] == [first, third]
    assert store.session.ready == 2
    store.let_go()
