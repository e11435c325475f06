"""Clients that hang up, and a thousand of them while the server closes."""

from __future__ import annotations

import asyncio
import resource
from itertools import product
from pathlib import Path

import pytest

from fsm.mail.content import dot_stuffed
from fsm.mail.demo.samples import SAMPLES, large
from tests.crash.clients import Attempt, Way, send
from tests.crash.scene import Scene, play
from tests.crash.served import NEVER, Served
from tests.mail.support import Client

WAYS: tuple[Way, ...] = ("submission", "inbound")
PLAIN = next(sample for sample in SAMPLES if sample.name == "plain")
LARGE = large(700_000, 1)


async def up_to_the_message(client: Client, attempt: Attempt) -> None:
    sample = attempt.sample
    await client.begin(sample.sender, *sample.recipients)


@pytest.mark.parametrize("way", WAYS)
def test_hanging_up_right_after_the_final_dot(tmp_path: Path, way: Way) -> None:
    """The message is there all the same: it had come whole, in one piece or with its dot by itself."""

    async def act(scene: Scene) -> None:
        async with await scene.serve() as served:
            for cut, sample in product((1, 3), (PLAIN, LARGE) * 5):
                attempt = scene.new(way, (sample,))
                client = await Client.at(getattr(served, way))
                await up_to_the_message(client, attempt)
                content = dot_stuffed(attempt.sample.content)
                await client.write(content[:-cut])
                await client.write(content[-cut:])
                client.hang_up()
                attempt.came_to, attempt.reply = "unsure", ""
            await scene.accepted(served, way)  # whose connection came later, so that the others have been read
            await scene.finish(served)
        account = scene.account()
        assert account.counts["delivered" if way == "submission" else "received"] == 21, str(account)

    play(tmp_path, act)


@pytest.mark.parametrize("way", WAYS)
def test_hanging_up_before_the_end(tmp_path: Path, way: Way) -> None:
    """Nothing is stored, be it only the last LF that is missing: the client keeps the message."""

    async def act(scene: Scene) -> None:
        async with await scene.serve() as served:
            for rudely, short in product((False, True), (1, 2, 3, 100)):
                attempt = scene.new(way, (PLAIN,))
                client = await Client.at(getattr(served, way))
                await up_to_the_message(client, attempt)
                await client.write(dot_stuffed(attempt.sample.content)[:-short])
                client.hang_up(rudely=rudely)
                attempt.came_to = "unsent"
            await scene.accepted(served, way)
            await scene.finish(served)
        account = scene.account()
        assert account.counts["delivered" if way == "submission" else "received"] == 1, str(account)

    play(tmp_path, act)


def test_a_thousand_connections_and_the_server_closes(tmp_path: Path) -> None:
    """Half of them do nothing, half of them send; each gets 250 or 421, and none is just cut."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 4096 <= hard or hard == resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4096), hard))

    async def act(scene: Scene) -> None:
        async with await scene.serve(retry=NEVER) as served:
            clients = await asyncio.gather(*(connected(served, WAYS[n % 2], n) for n in range(1000)))
            idle, busy = clients[:500], clients[500:]
            attempts = [scene.new(WAYS[n % 2]) for n in range(500)]
            answers = asyncio.Event()
            count = 0

            def happened(what: str) -> None:
                nonlocal count
                count += what == "answer"
                if count == 100:
                    answers.set()

            async def busily(client: Client, attempt: Attempt) -> None:
                while await send(client, attempt, happened) and attempt.came_to == "accepted":
                    attempt = scene.new(attempt.way)  # until the server closes
                assert attempt.came_to == "refused", f"a bare disconnect: {attempt.came_to}"
                assert attempt.reply.startswith("421"), attempt.reply

            async def idly(client: Client) -> None:
                rest = await client.rest()
                assert rest.startswith("421"), f"a bare disconnect, after {rest!r}"

            work = [asyncio.create_task(busily(*one)) for one in zip(busy, attempts, strict=True)]
            work += [asyncio.create_task(idly(one)) for one in idle]
            await answers.wait()
            served.ask_to_close()
            results = await asyncio.gather(*work, return_exceptions=True)
            wrong = [str(one) for one in results if one is not None]
            assert not wrong, f"{len(wrong)} of 1000: {sorted({*wrong})}"
            assert await served.ended() == 0  # and not a second SIGTERM: it may be past listening to any
        account = scene.account()
        assert account.counts["unsure"] == 0
        assert account.counts["accepted"] + account.counts["received"] >= 100, str(account)

    play(tmp_path, act)


async def connected(served: Served, way: Way, number: int) -> Client:
    """A connection; some of those that will do nothing are in the middle of something."""
    client = await Client.at(getattr(served, way))
    if number < 500 and number % 3:
        await client.say("MAIL FROM:<idle@example.org>")
        if number % 3 == 2:
            await client.say("RCPT TO:<bob@example.net>")
    return client
