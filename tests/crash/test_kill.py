"""kill -9 at random moments: nothing accepted is lost, and only what is marked uncertain arrives twice.

Four rounds; FSM_SOAK=200 makes it 200 of them with other seeds each time, FSM_SEED=7 repeats a seed (or begins there).
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from random import Random

import pytest

from tests.crash.rounds import OPENING, first, run_round
from tests.crash.scene import Scene, play
from tests.crash.served import Served
from tests.crash.windows import seen, unlike

SOAK, SEED = os.environ.get("FSM_SOAK", ""), os.environ.get("FSM_SEED", "")
RUN = os.environ.get("PYTEST_XDIST_TESTRUNUID")  # the same in all processes of a run
FIRST = int(SEED) if SEED else Random(RUN).randrange(10**6) if SOAK else 0
ROUNDS = int(SOAK) if SOAK else 1 if SEED else 4
STRIDE = 1 if SOAK else 12


@pytest.mark.parametrize("seed", range(FIRST, FIRST + ROUNDS))
def test_a_round(tmp_path: Path, seed: int) -> None:
    account = run_round(tmp_path, seed)
    assert account.counts["accepted"] > 0, "nothing was examined"
    print(f"seed {seed}: {account}")


def test_at_the_operations_of_one_message_each_way(tmp_path: Path) -> None:
    """The same from run to run: a message each way and the logoff, and killed at each (12th) operation of that, in turn.

    Before it is killed, all that the server would answer is answered: a 250 that comes too early is seen.  The last server goes
    on to its end, and has taken the steps that the page of the crash windows has.
    """
    told = tmp_path / "operations"

    async def act(scene: Scene) -> None:
        point, status = OPENING, -9
        async with await scene.serve(sends=False, plan="ORDERLY 0s -> cancel 30s") as served:
            await scene.finish(served)  # the database is made
        while status == -9:
            async with await Served.started(scene.folder, scene.sink.address, point=point, env={"FSM_OPERATIONS": str(told)}) as served:
                if await served.ready():
                    work = asyncio.create_task(there_and_back(scene, served))
                    await served.stopped()
                    if served.halted:
                        await served.gone_round()
                    served.kill()
                    await work
                served.kill()
                status = await served.ended()
            point += STRIDE
            async with await scene.serve() as served:
                await scene.finish(served)  # nothing is left for the next one, so that its operations are the same
        assert status == 0
        assert unlike(seen(told)) == set(), "the steps in docs/explanation/crashes.md are not those of a server"
        assert point > OPENING + 40, f"only up to operation {point}"
        account = scene.account()
        assert account.counts["accepted"] >= 40 // STRIDE, str(account)

    play(tmp_path, act)


RECORD = "DELETE FROM fsm_messages"
"""The statement that writes down that a message was delivered; its journal entry and the commit follow."""


@pytest.mark.parametrize("point", [RECORD, f"{RECORD},fsm_journal", f"{RECORD},COMMIT", f"{RECORD},COMMIT,committed"])
def test_delivered_and_killed_while_that_is_written_down(tmp_path: Path, point: str) -> None:
    """It arrives again, and is marked uncertain; not when the record was made."""

    async def act(scene: Scene) -> None:
        async with await scene.serve(point=point) as served:
            attempt = await scene.accepted(served, "submission")
            await served.stopped()
            assert served.halted
            assert scene.copies(attempt) == 1
        async with await scene.serve() as served:
            await scene.finish(served)
        copies = 1 if point.endswith("committed") else 2
        assert scene.copies(attempt) == copies
        account = scene.account()
        assert (account.counts["twice"], account.counts["uncertain"]) == (copies - 1, copies - 1), str(account)

    play(tmp_path, act)


async def there_and_back(scene: Scene, served: Served) -> None:
    """A submission until it is delivered, an inbound message, and the logoff."""
    submission = await scene.send(served, "submission")
    if submission.came_to == "accepted":
        await first(scene.sink.arrived(submission), served.stopped())
    inbound = await scene.send(served, "inbound") if submission.came_to == "accepted" else submission
    if inbound.came_to == "accepted":
        served.ask_to_close()
