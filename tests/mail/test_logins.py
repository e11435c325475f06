"""Checking logins: a short queue, and slower for who guesses."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from fsm.mail import logins
from fsm.mail.auth import Users, new_entry
from fsm.mail.logins import FREE, QUEUE, QUEUE_OF_ONE, Logins
from tests.mail.support import run


class Slow(Users):
    """Users whose check waits until it may go on."""

    def __init__(self, file: Path) -> None:
        super().__init__(file)
        self.may = threading.Event()

    def accepts(self, name: bytes, password: bytes) -> bool:
        self.may.wait(120)
        return password == b"secret"


@pytest.fixture
def users(tmp_path: Path) -> Slow:
    (tmp_path / "users").write_text(new_entry("joe", "secret") + "\n")
    return Slow(tmp_path / "users")


def test_who_comes_when_the_queue_is_full_is_told_so_at_once(users: Slow) -> None:
    async def work() -> None:
        checks = Logins(lambda: 0.0)
        peers = [f"peer {number % 3}" for number in range(150)]
        asked = [asyncio.create_task(checks.check(users, peer, b"joe", b"secret")) for peer in peers]
        done, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        while len(done) < len(asked) - QUEUE:
            done, _ = await asyncio.wait(asked, timeout=0.01)
        assert {task.result() for task in done} == {(False, "454 4.7.0 too many logins at the moment, try again later")}
        users.may.set()
        assert sum(right for right, _ in await asyncio.gather(*asked)) == QUEUE
        assert QUEUE_OF_ONE < QUEUE
        checks.close()

    run(work())


def test_who_guesses_waits_longer_each_time_and_has_one_in_the_queue(users: Slow, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        waited, real = list[float](), asyncio.sleep

        async def sleep(seconds: float) -> None:
            waited.append(seconds)
            await real(0)

        monkeypatch.setattr(logins.asyncio, "sleep", sleep)
        now = [0.0]
        checks = Logins(lambda: now[0])
        users.may.set()
        for _ in range(FREE + 4):
            assert await checks.check(users, "guesser", b"joe", b"wrong") == (False, "535 5.7.8 wrong name or password")
        assert waited == [1.0, 2.0, 4.0, 8.0]
        answers = await asyncio.gather(*(checks.check(users, "guesser", b"joe", b"secret") for _ in range(3)))
        assert sorted(right for right, _ in answers) == [False, False, True]
        assert (await checks.check(users, "somebody else", b"joe", b"secret"))[0]
        now[0] += 61
        await checks.check(users, "guesser", b"joe", b"wrong")
        assert waited == [1.0, 2.0, 4.0, 8.0]
        checks.close()

    run(work())
