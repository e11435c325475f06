"""The signal ladder of another process, with both faces: what it says, and how it ends."""

from __future__ import annotations

import signal
import sys

import pytest

from tests.store.test_signals import INT, LADDER, PLAN, TERM
from tests.support import program

QUIET = "import logging; logging.getLogger('fsm.store').addHandler(logging.NullHandler())"
CHILD = """
{quiet}
import sys
from fsm.store import Store
from fsm.store import on_signals

store = Store(name="relay")
item = store.inbound(peer="10.0.0.7")
item.__enter__()
with on_signals(store, "{plan}", together=0) as ladder:
    print("ready", flush=True)
    outcome = ladder.outcome()
    print(outcome, flush=True)
    sys.exit(0 if outcome else 75)
"""

ASYNC_CHILD = """
{quiet}
import asyncio, sys
from fsm.store import AsyncStore
from fsm.store import on_signals

async def hold(store):
    async with store.inbound(peer="10.0.0.7") as item:
        await asyncio.Event().wait()

async def main():
    store = AsyncStore(name="relay")
    task = asyncio.create_task(hold(store))
    await asyncio.sleep(0)
    with on_signals(store, "{plan}", together=0) as ladder:
        print("ready", flush=True)
        outcome = await ladder.outcome()
        print(outcome, flush=True)
        sys.exit(0 if outcome else 75)

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("child", "signals", "code"),
    [
        (CHILD, (TERM, INT, INT, TERM), 75),
        (ASYNC_CHILD, (INT, TERM, INT), 0),
        (ASYNC_CHILD.replace("asyncio.run", "import uvloop; uvloop.run"), (INT, TERM, INT), 0),
    ],
    ids=["threads", "asyncio", "uvloop"],
)
def test_a_process_is_closed_by_signals(child: str, signals: tuple[signal.Signals, ...], code: int) -> None:
    """In threads nobody takes the item out of its block, so that the plan ends without; in asyncio it is stopped."""
    with program(sys.executable, "-c", child.format(plan=PLAN, quiet=QUIET)) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "ready\n"
        assert [process.stderr.readline().rstrip() for _ in LADDER] == LADDER
        for number in signals:
            process.send_signal(number)
            assert process.stderr.readline().startswith(f"relay: {number.name}: ")
        assert process.wait() == code
        assert "released" in process.stdout.read()
