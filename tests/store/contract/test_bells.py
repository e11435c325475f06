"""The contract of a storage: how one hears of who comes and goes."""

from __future__ import annotations

import logging
import os
import stat
import threading
from pathlib import Path

import pytest

from fsm.store import StorageError
from fsm.store.message import Message, new_id
from tests.store.contract.child import PATIENCE
from tests.store.contract.conftest import Place
from tests.store.contract.heard import NEVER, Heard, peers, until_alone, watching
from tests.store.contract.test_storage import do, submitted

pytestmark = pytest.mark.usefixtures("bells")


@pytest.mark.parametrize("what", ["open", "close", "leave"])
def test_coming_and_going_is_heard(database: Place, what: str) -> None:
    storage, heard = watching(database)
    child = database.child(lease=NEVER)
    child.ask("open")
    heard.next()
    assert len(peers(storage)) == 1
    if what != "open":
        heard.event.clear()
        child.ask(what)
        heard.next()
        until_alone(storage, heard)


def test_a_ring_is_heard_by_the_others(database: Place) -> None:
    (a, heard_a), (b, heard_b), (c, heard_c) = (watching(database) for _ in range(3))
    for heard in (heard_a, heard_b, heard_c):
        while heard.event.wait(0):  # their opening
            heard.event.clear()
    for storage, others in ((a, (heard_b, heard_c)), (b, (heard_a, heard_c)), (c, (heard_a, heard_b))):
        for heard in others:
            heard.event.clear()
        storage.notify_peers()
        for heard in others:
            heard.next()


def test_an_error_of_who_is_told_does_not_end_the_watch(database: Place, caplog: pytest.LogCaptureFixture) -> None:
    storage, other = database.new(lease=NEVER), database.new(lease=NEVER)
    storage.open()
    other.open()
    calls: list[int] = []
    heard = Heard()

    def changed() -> None:
        calls.append(1)
        heard()
        if len(calls) == 1:
            raise KeyError("mine")

    with caplog.at_level(logging.ERROR, "fsm.store"):
        storage.watch(changed)
        heard.next()
        other.notify_peers()
        heard.next()
    assert "the callback that watches the peers" in caplog.text


def test_closing_stops_the_thread_and_leaves_nothing_open(database: Place) -> None:
    before = len([*Path("/proc/self/fd").iterdir()])
    for _ in range(3):
        storage, _ = watching(database)
        assert any(thread.name.startswith("fsm-watch-") for thread in threading.enumerate())
        submitted(storage)
        storage.messages()
        storage.close()
    assert not any(thread.name.startswith("fsm-watch-") for thread in threading.enumerate())
    assert len([*Path("/proc/self/fd").iterdir()]) <= before


def test_a_watcher_may_close_the_storage(database: Place) -> None:
    storage, closed = database.new(lease=NEVER), threading.Event()

    def changed() -> None:
        storage.close()
        closed.set()

    storage.open()
    storage.watch(changed)
    assert closed.wait(PATIENCE)
    with pytest.raises(StorageError, match="not open"):
        storage.messages()


def test_bells_are_in_a_folder_of_this_user_alone_and_are_tidied_up(file: Place, bells: Path) -> None:
    child = file.child()
    child.ask("open")
    assert stat.S_IMODE(bells.stat().st_mode) == 0o700
    (left,) = bells.iterdir()
    child.kill()
    assert left.exists()
    storage = file.new()
    opening = storage.open()
    assert [path.name for path in bells.iterdir()] == [opening.holder]
    storage.close()
    assert [*bells.iterdir()] == []


@pytest.fixture(params=["a link", "writable by others", "another user's"])
def strange_folder(request: pytest.FixtureRequest, bells: Path, tmp_path: Path) -> Path:
    if request.param == "a link":
        (tmp_path / "elsewhere").mkdir()
        bells.symlink_to(tmp_path / "elsewhere")
    else:
        bells.mkdir()
        bells.chmod(0o777 if request.param == "writable by others" else 0o700)
        if request.param == "another user's" and os.getuid() == 0:
            os.chown(bells, 12345, 12345)
        elif request.param == "another user's":
            bells.rmdir()
            bells.symlink_to("/root")
    return bells


def test_a_folder_that_is_not_ours_alone_has_no_bell(file: Place, strange_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "fsm.store"):
        storage = file.new()
        storage.open()
    assert "is not a folder of this user's alone" in caplog.text
    assert strange_folder.is_symlink() or [*strange_folder.iterdir()] == []
    do(storage, "submit", Message(new_id(), b""))
    storage.notify_peers()
