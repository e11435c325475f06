"""How holders notify each other, and are called when one comes or goes."""

from __future__ import annotations

import logging
import os
import stat
import threading
from pathlib import Path

import pytest

from fsm.store import StorageError
from fsm.store.message import Message, new_id
from tests.store.conftest import Place
from tests.store.contract.child import PATIENCE
from tests.store.contract.test_storage import do, submitted
from tests.store.sql.callback import NEVER, Callback, peers, until_alone, watching

pytestmark = pytest.mark.usefixtures("sockets")


@pytest.mark.parametrize("what", ["open", "close", "leave"])
def test_a_peer_that_comes_or_goes_is_noticed(database: Place, what: str) -> None:
    storage, callback = watching(database)
    child = database.child(lease=NEVER)
    child.ask("open")
    callback.wait()
    assert len(peers(storage)) == 1
    if what != "open":
        callback.event.clear()
        child.ask(what)
        callback.wait()
        until_alone(storage, callback)


def test_the_others_are_notified_and_not_oneself(database: Place) -> None:
    (a, callback_a), (b, callback_b), (c, callback_c) = (watching(database) for _ in range(3))
    for callback in (callback_a, callback_b, callback_c):
        while callback.event.wait(0):  # their opening
            callback.event.clear()
    for storage, others in ((a, (callback_b, callback_c)), (b, (callback_a, callback_c)), (c, (callback_a, callback_b))):
        for callback in others:
            callback.event.clear()
        storage.notify_peers()
        for callback in others:
            callback.wait()


def test_a_callback_that_raises_is_called_again(database: Place, caplog: pytest.LogCaptureFixture) -> None:
    storage, other = database.new(lease=NEVER), database.new(lease=NEVER)
    storage.open()
    other.open()
    calls: list[int] = []
    callback = Callback()

    def changed() -> None:
        calls.append(1)
        callback()
        if len(calls) == 1:
            raise KeyError("mine")

    with caplog.at_level(logging.ERROR, "fsm.store"):
        storage.watch(changed)
        callback.wait()
        other.notify_peers()
        callback.wait()
    assert "the callback for changes of the peers" in caplog.text


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


def test_a_callback_may_close_the_storage(database: Place) -> None:
    storage, closed = database.new(lease=NEVER), threading.Event()

    def changed() -> None:
        storage.close()
        closed.set()

    storage.open()
    storage.watch(changed)
    assert closed.wait(PATIENCE)
    with pytest.raises(StorageError, match="not open"):
        storage.messages()


def test_sockets_are_in_a_folder_of_this_user_alone_and_those_of_the_dead_are_removed(file: Place, sockets: Path) -> None:
    child = file.child()
    child.ask("open")
    assert stat.S_IMODE(sockets.stat().st_mode) == 0o700
    (left,) = sockets.iterdir()
    child.kill()
    assert left.exists()
    storage = file.new()
    opening = storage.open()
    assert [path.name for path in sockets.iterdir()] == [opening.holder]
    storage.close()
    assert [*sockets.iterdir()] == []


@pytest.fixture(params=["a link", "writable by others", "another user's"])
def strange_folder(request: pytest.FixtureRequest, sockets: Path, tmp_path: Path) -> Path:
    if request.param == "a link":
        (tmp_path / "elsewhere").mkdir()
        sockets.symlink_to(tmp_path / "elsewhere")
    else:
        sockets.mkdir()
        sockets.chmod(0o777 if request.param == "writable by others" else 0o700)
        if request.param == "another user's" and os.getuid() == 0:
            os.chown(sockets, 12345, 12345)
        elif request.param == "another user's":
            sockets.rmdir()
            sockets.symlink_to("/root")
    return sockets


def test_in_a_folder_that_is_not_ours_alone_there_is_no_socket(file: Place, strange_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "fsm.store"):
        storage = file.new()
        storage.open()
    assert "is not a private folder of this user" in caplog.text
    assert strange_folder.is_symlink() or [*strange_folder.iterdir()] == []
    do(storage, "submit", Message(new_id(), b""))
    storage.notify_peers()
