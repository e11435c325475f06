"""A smarthost that fails at every stage, in every way; and one that says nothing after the final dot while the plan ends."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from fsm.mail.demo.sink import Exchange, Reaction
from tests.crash.scene import Scene, play
from tests.mail.sink import CLOSE, CLOSE_KEPT, HANG_KEPT, RESET, RESET_KEPT, STALL

STAGES = ("connect", "ehlo", "mail", "rcpt", "data", "dot")
FAULTS: dict[str, Reaction | str] = {
    "stalls": STALL, "closes": CLOSE, "resets": RESET, "421": "421 4.3.2 not now", "451": "451 4.3.0 later", "554": "554 5.1.1 never",
}  # fmt: skip
KEPT = {"hangs": HANG_KEPT, "closes": CLOSE_KEPT, "resets": RESET_KEPT}
CASES = [(stage, name) for stage in STAGES for name in FAULTS] + [("dot", f"takes it and {name}") for name in KEPT]
SHORT = "NO_WAIT 0.2s -> cancel 30s"
UNSURE = "1 message may have arrived"


def test_every_fault_at_every_stage(tmp_path: Path) -> None:
    """One server with one connection.  Each fault happens once, to one message, which is then delivered or reported."""

    async def act(scene: Scene) -> None:
        sink, hits = scene.sink, []

        def once(exchange: Exchange) -> Reaction | str | None:
            hits.append((exchange.stage, name))
            del sink.script[exchange.stage]
            return fault

        async with await scene.serve("--connections", "1", "--smarthost-timeout", "0.2") as served:
            for stage, name in CASES:
                fault = KEPT[name.split()[-1]] if name not in FAULTS else FAULTS[name]
                sink.hang_up()  # so that what comes next connects, too
                sink.script[stage] = once
                attempt = await scene.accepted(served, "submission")
                after = await scene.accepted(served, "submission")
                never = name == "554" and stage not in ("connect", "ehlo")  # those are not about the message
                await sink.arrived(after, *([] if never else [attempt]))
                await sink.arrived(*([attempt] if name not in FAULTS else []), times=2)
                assert not (never and scene.copies(attempt)), (stage, name)
            await scene.finish(served)
        account = scene.account()
        assert hits == CASES
        assert account.counts["reported"] == 4, str(account)
        assert account.counts["uncertain"] >= 6, f"three who say nothing after the dot, three who took it: {account}"
        assert account.counts["twice"] >= 3, str(account)

    play(tmp_path, act)


@pytest.mark.parametrize("policy", ["resend", "hold"])
def test_it_hangs_after_the_final_dot_and_the_plan_ends(tmp_path: Path, policy: str) -> None:
    async def act(scene: Scene) -> None:
        sink, more = scene.sink, ("--uncertain", policy)
        sink.script["dot"] = HANG_KEPT
        async with await scene.serve(*more, plan=SHORT) as served:
            attempt = await scene.accepted(served, "submission")
            await sink.arrived(attempt)
            assert UNSURE in await scene.finish(served)
        first = scene.account()
        assert (first.counts["uncertain"], first.counts["deferred"], first.counts["held"]) == ((1, 1, 0) if policy == "resend" else (1, 0, 1))
        del sink.script["dot"]
        async with await scene.serve(*more) as served:
            await sink.arrived(await scene.accepted(served, "submission"))
            if policy == "resend":
                await sink.until(3)
            await scene.finish(served)
        assert scene.copies(attempt) == (2 if policy == "resend" else 1)
        account = scene.account()
        assert (account.counts["twice"], account.counts["held"]) == ((1, 0) if policy == "resend" else (0, 1))

    play(tmp_path, act)


def test_it_hangs_at_every_connection_and_the_server_is_killed(tmp_path: Path) -> None:
    """All four connections past the final dot: the four arrive twice, and are uncertain like what was claimed besides."""

    async def act(scene: Scene) -> None:
        sink = scene.sink
        sink.script["dot"] = HANG_KEPT
        async with await scene.serve() as served:
            attempts = [await scene.accepted(served, "submission") for _ in range(16)]
            await sink.until(4)
            served.kill()
            assert await served.ended() == -9
        async with await scene.serve(sends=False, plan=SHORT) as served:
            await scene.finish(served)
        assert scene.account().counts["uncertain"] >= 4, "also as the messages themselves count it"
        del sink.script["dot"]
        async with await scene.serve() as served:
            await asyncio.gather(*(sink.arrived(one) for one in attempts))
            await sink.until(20)
            await scene.finish(served)
        account = scene.account()
        assert account.counts["twice"] == 4 <= account.counts["uncertain"] <= 12, str(account)
        assert [scene.copies(one) for one in attempts] == [2] * 4 + [1] * 12

    play(tmp_path, act)
