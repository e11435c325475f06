"""kill -9 in every window that `fsm/sessions/crashes.md` lists: events applied, lost, twice; messages out; all counted."""

from __future__ import annotations

import json
import re
import select
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import fsm.sessions
from fsm.sessions import Sessions
from fsm.store import Database
from tests.sessions.conftest import Clock
from tests.sessions.shop import HOUR
from tests.sessions.victim import Witness
from tests.store.test_transactional import by_sqlalchemy

PAGE = Path(fsm.sessions.__file__).parent / "crashes.md"
MOST = 120
SECTIONS = {"fire": "`orders.fire(key", "block": "`with orders", "own": "`orders.fire(…, connection", "due": "An event that falls"}


def windows(scenario: str, kind: str) -> dict[str, bool]:
    """The windows of the page on this database, and whether the event is applied then."""
    section = next(one for one in PAGE.read_text().split("\n## ") if one.startswith(SECTIONS[scenario]))
    rows = re.findall(r"^\| ([^|]+) \| (yes|) ?\| (yes|) ?\| (yes|no) \|", section, re.MULTILINE)
    return {name: applied == "yes" for name, sqlite, postgresql, applied in rows if (postgresql if kind == "postgresql" else sqlite)}


@pytest.fixture(scope="module")
def kill() -> Iterator[Callable[..., str]]:
    """Run a scenario in a process that dies after its n-th instruction; returns which one that was, empty if there is none."""
    words = [sys.executable, "-m", "tests.sessions.victim"]
    with subprocess.Popen(words, cwd=Path(__file__).parents[2], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def run(*what: object) -> str:
            process.stdin.write(json.dumps(what) + "\n")  # type: ignore[union-attr]
            process.stdin.flush()  # type: ignore[union-attr]
            assert select.select([process.stdout], [], [], MOST)[0], "the victim does not end"
            died, killed = json.loads(process.stdout.readline())  # type: ignore[union-attr]
            assert killed or not died, died
            return str(died)

        yield run
        process.stdin.close()


class Peer:
    """Another process that stays alive: it follows, and delivers again what was not answered."""

    def __init__(self, where: str) -> None:
        self.where, self.clock = where, Clock()
        self.orders = Sessions(Database(where), Witness, clock=self.clock)
        self.told: list[Any] = []
        self.heard = threading.Condition()
        steps = self.orders.follow("0-0-0")
        self.reader = threading.Thread(target=lambda: [self.tell(one) for one in steps])
        self.reader.start()

    def tell(self, one: Any) -> None:
        with self.heard:
            self.told.append(one)
            self.heard.notify()

    def wait_for(self, condition: Callable[[], bool]) -> None:
        with self.heard:
            assert self.heard.wait_for(condition, MOST)

    def messages(self) -> Counter[bytes]:
        database = Database(self.where)
        return Counter(database.message("default", one.id).content for one in database.messages())  # type: ignore[union-attr]

    def close(self) -> None:
        self.orders.close()
        self.reader.join(MOST)


@pytest.fixture
def peer(where: str) -> Iterator[Peer]:
    peer = Peer(where)
    yield peer
    peer.close()


@pytest.fixture
def kind(where: str) -> str:
    return "postgresql" if "://" in where else "sqlite"


@pytest.mark.parametrize("scenario", ["fire", "block", "own"])
def test_an_event_is_applied_once_wherever_its_process_is_killed(scenario: str, kind: str, where: str, peer: Peer, kill: Callable[..., str]) -> None:
    if scenario == "own":
        with by_sqlalchemy(where) as there:
            there.execute("CREATE TABLE payments (id text)")
            there.end("commit")
    found: dict[str, bool] = {}
    ids: list[str] = []
    applied: list[str] = []
    key = f"key of {scenario}"
    peer.orders.fire(key, "pay", amount=1, by="first", event_id="first")
    while True:
        ids.append(f"{scenario} {len(ids)}")
        died = kill(scenario, where, key, ids[-1], len(ids))
        answer = peer.orders.fire(key, "pay", amount=1, by=ids[-1], event_id=ids[-1])
        assert answer
        applied += [ids[-1]] if answer.repeated else []
        if not died:
            assert answer.repeated
            break
        assert found.setdefault(died, answer.repeated) == answer.repeated, died
    assert found == windows(scenario, kind)
    assert len(ids) > len(found)
    peer.wait_for(lambda: any(one.event_id == ids[-1] for one in peer.told))
    history = [one for one in peer.orders.history(key) if one.accepted]
    assert [one.event_id for one in history] == ["first", *ids], "none is lost, none is applied twice"
    assert [one.seq for one in history] == [*range(1, len(ids) + 2)]
    assert peer.orders.get(key).configuration == ("paid", len(ids) + 1, 0)  # type: ignore[union-attr]
    assert {name: count for name, count in peer.messages().items() if name.decode() in ids} == {one.encode(): 1 for one in ids}
    assert [one.event_id for one in peer.told if one.key == key] == ["first", *ids], "followers are told once"
    if scenario == "own":
        with by_sqlalchemy(where) as there:
            rows = [row[0] for row in there.execute("SELECT id FROM payments ORDER BY id")]
        assert rows == sorted(applied), "the caller's row shares the fate of the event"


def test_what_falls_due_is_fired_once_wherever_its_process_is_killed(kind: str, where: str, peer: Peer, kill: Callable[..., str]) -> None:
    found: dict[str, bool] = {}
    keys: list[str] = []
    while True:
        keys.append(f"due {len(keys)}")
        peer.clock.time = 1e9
        peer.orders.fire(keys[-1], "pay", amount=1, by="express")
        died = kill("due", where, keys[-1], "", len(keys))
        applied = any(one.event == "remind" for one in peer.orders.history(keys[-1]))
        if not died:
            assert applied
            break
        assert found.setdefault(died, applied) == applied, died
        peer.clock.time = 1e9 + HOUR
        peer.wait_for(lambda: any((one.key, one.event) == (keys[-1], "remind") for one in peer.told))
    assert found == windows("due", kind)
    for key in keys:
        assert [one.event for one in peer.orders.history(key)] == ["pay", "ship", "remind"]
        assert [one.event for one in peer.told if one.key == key] == ["pay", "ship", "remind"]
