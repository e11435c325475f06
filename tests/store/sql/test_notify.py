"""How processes ring for each other, and are called when one comes or goes."""

from __future__ import annotations

import logging
import os
import stat
import threading
from pathlib import Path

import pytest

from fsm.store.storage import News
from tests.store.conftest import Place
from tests.store.contract.one import One
from tests.store.sql.callback import NEVER, Callback, until_alone, watching

pytestmark = pytest.mark.usefixtures("sockets")


@pytest.mark.parametrize("what", ["open", "close"])
def test_a_process_that_comes_or_goes_is_noticed(database: Place, what: str) -> None:
    one, callback = watching(database)
    child = database.child(lease=NEVER)
    child.ask("open")
    child.ask("watch")
    one.storage.ring(News("work", frozenset((1,))))  # whoever rings looks who is there
    if what == "open":
        while not one.look().peers:
            callback.event.wait(0.01)
        return
    callback.event.clear()
    child.ask("close")
    until_alone(one, callback)


@pytest.mark.parametrize("news", [News("work", frozenset((7, 9))), News("taken", frozenset(range(2000))), News("peers")], ids=["work", "taken", "peers"])
def test_the_others_are_rung_for_and_not_oneself(database: Place, news: News) -> None:
    three = [watching(database) for _ in range(3)]
    for n, (one, callback) in enumerate(three):
        one.storage.ring(News("peers", frozenset((1000 + n,))))  # so that all know of each other
        for other, heard in three:
            if other is not one:
                while not any(1000 + n in (got.stores or ()) for got in heard.news):
                    heard.wait()
        assert not any(1000 + n in (got.stores or ()) for got in callback.news)
    one, callback = three[0]
    one.storage.ring(news)
    for _, heard in three[1:]:
        found: set[int] = set()
        while not (news.stores is None and news in heard.news) and not (news.stores and found >= news.stores):
            heard.wait()
            found = {store for got in heard.news if got.kind == news.kind for store in got.stores or ()}
    assert not [got for got in callback.news if got.kind == "taken"]


def test_a_callback_that_raises_is_called_again(database: Place, caplog: pytest.LogCaptureFixture) -> None:
    one, other = One(database.new(lease=NEVER)), One(database.new(lease=NEVER))
    one.open()
    other.open()
    calls: list[int] = []
    callback = Callback()

    def changed(news: News) -> None:
        calls.append(1)
        callback(news)
        if len(calls) == 1:
            raise KeyError("mine")

    with caplog.at_level(logging.ERROR, "fsm.store"):
        one.storage.watch(changed)
        callback.wait()
        other.storage.ring(News("peers"))
        callback.wait()
    assert "cannot tell the stores what other processes did" in caplog.text


def test_closing_stops_the_thread_and_leaves_nothing_open(database: Place) -> None:
    before = len([*Path("/proc/self/fd").iterdir()])
    for _ in range(3):
        one, _ = watching(database)
        assert any(thread.name == "fsm watch" for thread in threading.enumerate())
        one.submit()
        one.messages()
        one.close()
    assert not any(thread.name == "fsm watch" for thread in threading.enumerate())
    assert len([*Path("/proc/self/fd").iterdir()]) <= before


def test_sockets_are_in_a_folder_of_this_user_alone_and_those_of_the_dead_are_removed(file: Place, sockets: Path) -> None:
    child = file.child()
    child.ask("open")
    assert stat.S_IMODE(sockets.stat().st_mode) == 0o700
    (left,) = sockets.iterdir()
    child.kill()
    assert left.exists()
    one = One(file.new())
    one.open()
    assert [str(path) for path in sockets.iterdir()] == [one.storage._opened.bell.address]
    one.close()
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
        one = One(file.new())
        one.open()
    assert "is not a private folder of this user" in caplog.text
    assert strange_folder.is_symlink() or [*strange_folder.iterdir()] == []
    one.submit()
    one.storage.ring(News("work", frozenset((1,))))


def test_who_goes_right_after_a_ring_is_noticed(database: Place) -> None:
    (one, heard), (other, _) = watching(database), watching(database)
    other.storage.ring(News("peers", frozenset((1000,))))
    while not any(1000 in (got.stores or ()) for got in heard.news):
        heard.wait()
    heard.event.clear()
    other.close()
    heard.wait()
    until_alone(one, heard)
