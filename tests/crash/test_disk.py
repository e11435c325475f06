"""The disk is full, the database locked or damaged: what is answered 250 stays, the rest is refused, and service goes on."""

from __future__ import annotations

import asyncio
import os
import resource
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from fsm.mail.demo.samples import large
from tests.crash.clients import Attempt, Way
from tests.crash.scene import Scene, play
from tests.crash.served import Served
from tests.mail.sink import HANG_KEPT

SOME, MUCH = 1_500_000, 64_000_000
QUICK = "ORDERLY 0s -> cancel 30s"
Full = Callable[[Served], Callable[[], object]]
"""Makes a disk full for this server; answers with what makes room again."""


@pytest.fixture(params=["a small disk", "a limit of files"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Path, Full]]:
    """A folder, and how it gets room: a file system that fills up, or no file may grow beyond a size."""
    if request.param == "a limit of files":

        def limit(served: Served) -> Callable[[], object]:
            pid, none = served.process.pid, resource.RLIM_INFINITY
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (SOME, none))
            return lambda: resource.prlimit(pid, resource.RLIMIT_FSIZE, (none, none)) if served.alive else None

        yield tmp_path, limit
        return
    folder = tmp_path / "small"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SOME}", "tmpfs", str(folder)], capture_output=True).returncode:
        pytest.skip("a small file system can be mounted by root only; the limit of a process's files is tested instead")

    def more() -> None:
        subprocess.run(["mount", "-o", f"remount,size={MUCH}", str(folder)], check=True)

    try:
        yield folder, lambda served: more
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


async def until_refused(scene: Scene, served: Served, way: Way, size: int) -> Attempt:
    """Send until one is refused."""
    while True:
        attempt = await scene.send(served, way, large(size, 1))
        if attempt.came_to != "accepted":
            return attempt


@pytest.mark.parametrize("killed", [False, True])
def test_the_disk_is_full(place: tuple[Path, Full], killed: bool) -> None:
    folder, full = place

    async def act(scene: Scene) -> None:
        async with await scene.serve(sends=False, plan=QUICK) as served:
            make_room = full(served)
            for way, size in (("submission", 600_000), ("submission", 30_000), ("inbound", 2_000_000)):
                refused = await until_refused(scene, served, way, size)
                assert refused.came_to == "refused", f"{refused.came_to}: {refused.reply}"
                assert refused.reply[:3] in ("451", "452"), refused.reply
            if killed:
                served.kill()
                assert await served.ended() == -9
                make_room()
            else:
                make_room()
                for way in ("submission", "inbound"):
                    await scene.accepted(served, way)  # it goes on, and needs nobody to start it again
                await scene.finish(served)
        async with await scene.serve() as served:
            await scene.finish(served)
        account = scene.account()
        assert account.counts["delivered"] == account.counts["accepted"] > 0, str(account)

    play(folder, act)


def test_the_disk_is_full_while_messages_are_sent(place: tuple[Path, Full]) -> None:
    """What came of them cannot be recorded; when there is room it is, and none of them is sent again for that."""
    folder, full = place

    async def act(scene: Scene) -> None:
        scene.sink.script["dot"] = HANG_KEPT
        async with await scene.serve() as served:
            sending = [await scene.accepted(served, "submission") for _ in range(4)]
            await scene.sink.arrived(*sending)
            make_room = full(served)
            for size in (300_000, 20_000):
                await until_refused(scene, served, "submission", size)
            del scene.sink.script["dot"]
            scene.sink.answer_all("dot")
            await until_refused(scene, served, "submission", 20_000)
            make_room()
            await scene.accepted(served, "submission")
            await scene.finish(served)
        account = scene.account()
        assert [scene.copies(one) for one in sending] == [1] * 4
        assert account.counts["twice"] == account.counts["uncertain"] == 0, str(account)

    play(folder, act)


# ------------------------------------------------------------------------------------------------------------ locked


def test_the_database_is_locked_for_a_moment_and_for_long(tmp_path: Path) -> None:
    """For a moment, and the answer comes a moment later; for longer, and it is 451 with nothing lost or begun."""

    async def act(scene: Scene) -> None:
        async with await scene.serve() as served:
            await scene.accepted(served, "submission")
            with closing(sqlite3.connect(scene.folder / "outbox.db", isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                early = asyncio.create_task(scene.send(served, "submission"))
                late = await scene.send(served, "submission")
                assert late.came_to == "refused", late.reply
                assert late.reply.startswith("451"), late.reply
                other.execute("ROLLBACK")
            await early
            for way in ("submission", "inbound"):
                await scene.accepted(served, way)
            await scene.finish(served)
        account = scene.account()
        assert account.counts["delivered"] == account.counts["accepted"] >= 2, str(account)

    play(tmp_path, act)


def test_the_database_is_locked_while_it_would_open(tmp_path: Path) -> None:
    async def act(scene: Scene) -> None:
        async with await scene.serve(sends=False) as served:
            await scene.accepted(served, "submission")
            served.kill()
            await served.ended()
        with closing(sqlite3.connect(scene.folder / "outbox.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            text = await refused_to_open(scene)
            assert "is locked by another program" in text
            other.execute("ROLLBACK")
        async with await scene.serve() as served:
            await scene.finish(served)
        assert scene.account().counts["delivered"] == 1

    play(tmp_path, act)


# ----------------------------------------------------------------------------------------------------------- damaged


async def refused_to_open(scene: Scene) -> str:
    """The one sentence with which the server ends."""
    log = scene.folder.parent / "log"
    before = log.stat().st_size if log.exists() else 0
    served = await Served.started(scene.folder, scene.sink.address)
    assert not await served.ready()
    status = await served.ended()
    text = log.read_text()[before:]
    assert status == 1, f"{status}: {text}"
    assert text.startswith("fsm serve: "), text
    assert text.count("\n") == 1, f"more than a sentence: {text}"
    assert served.output == b""
    return text


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "no database": lambda whole: b"From: someone\n" + whole[14:],
    "its pages are overwritten": lambda whole: whole[:4096] + b"\xa5" * (len(whole) - 4096),
    "noise from the third page on": lambda whole: whole[:8192] + os.urandom(len(whole) - 8192),
    "its schema is overwritten": lambda whole: whole[:100] + b"\xff" * 3996 + whole[4096:],
    "cut in the middle": lambda whole: whole[: len(whole) // 8192 * 4096],
    "cut in the header": lambda whole: whole[:60],
}


def test_the_database_is_damaged(tmp_path: Path) -> None:
    """Refused with a sentence, and the file is left as it is: with what it was before, the store goes on."""

    async def act(scene: Scene) -> None:
        file = scene.folder / "outbox.db"
        async with await scene.serve(sends=False, plan=QUICK) as served:
            for _ in range(10):
                await scene.accepted(served, "submission")
            await scene.finish(served)
        whole = file.read_bytes()
        for name, damage in DAMAGE.items():
            file.write_bytes(damaged := damage(whole))
            text = await refused_to_open(scene)
            assert str(file) in text, f"{name}: {text}"
            assert file.read_bytes() == damaged, f"{name}: it was changed"
            for beside in scene.folder.glob("outbox.db-*"):
                beside.unlink()
        file.write_bytes(whole)
        async with await scene.serve() as served:
            await scene.finish(served)
        assert scene.account().counts["delivered"] == 10

    play(tmp_path, act)
