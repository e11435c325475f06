"""The clock jumps, forward and back, while the server runs and between its runs: order is kept, and nothing is stuck.

The server is the real one, under libfaketime (Debian's package faketime): what it takes for the time is in a file.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.crash.scene import Scene, play
from tests.mail.sink import HANG_KEPT

DAY = 86400
JUMPS = (1, -30, 400)


@dataclass
class Faked:
    """The clock of the servers of a test; `env` is their environment."""

    file: Path
    library: Path

    @property
    def env(self) -> dict[str, str]:
        return {
            "LD_PRELOAD": str(self.library), "FAKETIME_TIMESTAMP_FILE": str(self.file), "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1",
        }  # fmt: skip

    def jump(self, days: float) -> None:
        """It is so many days from now on from the real time."""
        (made := self.file.with_suffix(".new")).write_text(f"{round(days * DAY):+d}s\n")
        made.rename(self.file)


@pytest.fixture
def clock(tmp_path: Path) -> Faked:
    found = [*Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")]
    if not found:
        pytest.skip("the clock of a process can be set with libfaketime only (apt-get install faketime)")
    faked = Faked(tmp_path / "time", found[0])
    faked.jump(0)
    return faked


def test_jumps_while_messages_wait(tmp_path: Path, clock: Faked) -> None:
    """Messages are submitted before, between and after the jumps, and go out in that order; so do those of the next run."""

    async def act(scene: Scene) -> None:
        sink, more = scene.sink, ("--connections", "1")
        sink.script["dot"] = HANG_KEPT
        attempts = []
        async with await scene.serve(*more, env=clock.env) as served:
            for days in (0, *JUMPS):
                clock.jump(days)
                attempts += [await scene.accepted(served, "submission") for _ in range(2)]
                await scene.accepted(served, "inbound")
            await sink.arrived(attempts[0])
            served.kill()
            await served.ended()
        clock.jump(-JUMPS[0])
        async with await scene.serve(*more, env=clock.env) as served:
            attempts += [await scene.accepted(served, "submission") for _ in range(2)]
            await sink.until_at("dot")
            served.kill()
            await served.ended()
        del sink.script["dot"]
        before = len(sink.delivered)
        async with await scene.serve(*more, env=clock.env) as served:
            await sink.arrived(*attempts)
            await sink.until(before + len(attempts))
            await scene.finish(served)
        assert [one.sender for one in sink.delivered[before:]] == [one.sender for one in attempts]
        scene.account(whole=False)  # a journal is kept for a day, by the clock

    play(tmp_path, act)


def test_jumps_while_messages_are_deferred(tmp_path: Path, clock: Faked) -> None:
    """They are tried again within the longest wait there is, whatever the clock says."""

    async def act(scene: Scene) -> None:
        sink = scene.sink
        how = {"env": clock.env, "retry": ("0.3", "1", "0.3")}
        first, second, third = JUMPS
        sink.script["mail"] = "451 4.3.0 later"
        async with await scene.serve("--give-up", "100000", "--delay-warning", "0", **how) as served:
            attempts = [await scene.accepted(served, "submission") for _ in range(3)]
            await sink.until_at("mail")
            clock.jump(first)
            attempts += [await scene.accepted(served, "submission") for _ in range(3)]
            del sink.script["mail"]
            await sink.arrived(*attempts)
            sink.script["mail"] = "451 4.3.0 later"
            attempts += [await scene.accepted(served, "submission") for _ in range(3)]
            await scene.finish(served)  # leaves them deferred
        clock.jump(second)
        del sink.script["mail"]
        async with await scene.serve("--give-up", "100000", "--delay-warning", "0", **how) as served:
            await sink.arrived(*attempts)
            clock.jump(third)
            attempts.append(await scene.accepted(served, "submission"))
            await sink.arrived(*attempts)
            await scene.finish(served)
        account = scene.account(whole=False)
        assert account.counts["delivered"] == len(attempts), str(account)

    play(tmp_path, act)
