"""Two servers, two processes, on one folder: one is killed in traffic, and the other takes over what it had."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

import pytest

from tests.crash.clients import Stage, post
from tests.crash.rounds import Trigger
from tests.crash.scene import Scene, play
from tests.mail.sink import HANG_KEPT


@pytest.mark.parametrize("seed", range(3))
def test_one_of_two_is_killed_in_traffic(tmp_path: Path, seed: int) -> None:
    """Its clients go to the other one.  Three times: the one that is killed starts again, and then the other is killed."""

    async def act(scene: Scene) -> None:
        rng, trigger, stages = Random(seed), Trigger(), (Stage(), Stage())
        ways = ("submission", "submission", "inbound")
        work = [post(scene.log, stages[n % 2], way, Random(n), trigger.happened) for n, way in enumerate(ways * 2)]  # type: ignore[arg-type]
        clients = [asyncio.create_task(one) for one in work]
        servers = [await scene.serve("--connections", "2") for _ in stages]
        for stage, served in zip(stages, servers, strict=True):
            stage.set(served)
        for turn in range(3):
            dies, lives = turn % 2, 1 - turn % 2
            await trigger.after(rng.randint(50, 200), servers[dies])
            servers[dies].kill()
            stages[dies].set(servers[lives])
            assert await servers[dies].ended() == -9
            await trigger.after(rng.randint(1, 60), servers[lives])
            if turn < 2:
                servers[dies] = await scene.serve("--connections", "2")
                stages[dies].set(servers[dies])
        for stage in stages:
            stage.over = True
        await asyncio.gather(*clients)
        await scene.finish(servers[lives])
        account = scene.account()
        assert account.counts["accepted"] > 10, str(account)
        assert not account.counts["ready"], f"the other did not take over: {account}"

    play(tmp_path, act)


def test_the_other_sends_what_a_killed_one_had_at_once(tmp_path: Path) -> None:
    """Nobody submits anything to it, and nobody asks it to look: it hears of the death."""

    async def act(scene: Scene) -> None:
        sink = scene.sink
        sink.script["dot"] = HANG_KEPT
        async with await scene.serve("--connections", "1") as first:
            attempts = [await scene.accepted(first, "submission") for _ in range(10)]
            await sink.arrived(attempts[0])
            del sink.script["dot"]
            async with await scene.serve("--connections", "1") as second:
                first.kill()
                await first.ended()
                await sink.arrived(*attempts)
                await sink.arrived(attempts[0], times=2)
                await scene.finish(second)
        account = scene.account()
        assert [scene.copies(one) for one in attempts] == [2] + [1] * 9
        assert account.counts["twice"] == 1 <= account.counts["uncertain"], str(account)

    play(tmp_path, act)


def test_one_of_two_closes_and_leaves_the_rest_to_the_other(tmp_path: Path) -> None:
    """What was deferred, too, when it is due."""

    async def act(scene: Scene) -> None:
        sink = scene.sink
        sink.script["mail"] = lambda exchange: None if exchange.connection > 1 else "451 4.3.0 not here"
        async with await scene.serve("--connections", "1", retry=("2", "1", "2")) as first:
            attempts = [await scene.accepted(first, "submission") for _ in range(5)]
            await sink.until_at("rset")
            async with await scene.serve("--connections", "1") as second:
                assert "other processes" in await scene.finish(first)
                await sink.arrived(*attempts)
                await scene.finish(second)
        assert scene.account().counts["delivered"] == 5

    play(tmp_path, act)
