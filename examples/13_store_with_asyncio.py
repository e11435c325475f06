"""The same store for asyncio; what is in the way is named, and stopped only by the plan's own step for that.

In the explorer: #submit,outbound_begin,logoff_no_wait,logoff_orderly,outbound_deferred
"""

import asyncio
import tempfile
from pathlib import Path

from fsm.logoff import Logoff
from fsm.store import AsyncStore, Database, Stopped


async def deliver(store: AsyncStore, started: asyncio.Event) -> None:
    async for item in store.outgoing(provider="smtp:mx1.example.net"):
        try:
            async with item:
                item.progress("waiting for the answer to MAIL")
                started.set()
                await asyncio.Event().wait()  # a server that never answers
        except Stopped as stopped:
            print("stopped:", stopped.reason)


async def follow(store: AsyncStore, states: list[str]) -> None:
    async for progress in store.progress():  # after every change; ends when the store is released
        if progress.state not in states:
            states.append(progress.state)


async def main() -> None:
    store = AsyncStore(Database(Path(tempfile.mkdtemp()) / "store.db"))
    started = asyncio.Event()
    states: list[str] = []
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(deliver(store, started))
        await store.submit(b"Hello", "me@example.org", ("you@example.net",))
        await started.wait()
        asked = await store.logoff(Logoff.QUIET)  # never waits for messages
        print(asked.state, asked.status.name, "-", asked.blockers[0].provider, asked.blockers[0].note)
        tasks.create_task(follow(store, states))
        outcome = await store.close("NO_WAIT 0.1s -> cancel 5s")
    print(*states, sep=" > ")
    print(outcome.released, outcome.status.name, "-", outcome.left[0].reason)
    store.let_go()


asyncio.run(main())
