"""Reacting in asyncio: the steps of a session as a stream, each once and in order, with bounded memory.

In the explorer: #submit,submit,outbound_begin,logoff_orderly,outbound_sent
"""

import asyncio

from fsm import TooSlow
from fsm.logoff import StoreSession


async def report(session: StoreSession) -> None:
    async for step in session.steps():  # ends with the step into the final state
        await asyncio.sleep(0)  # here a real program writes to a socket or a database, and no step waits for it
        print(f"{step.event}: {step.source} -> {step.target}")


async def main() -> None:
    session = StoreSession()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(report(session))
        await asyncio.sleep(0)
        session.submit()
        session.submit()
        session.outbound_begin()
        await asyncio.sleep(0)
        session.logoff_orderly()
        session.outbound_sent()

    busy = StoreSession()
    steps = busy.steps(most=2)
    for _ in range(5):
        busy.submit()
    try:
        async for step in steps:
            print("ready", step.session.chart.values(step.after)["ready"])
    except TooSlow as error:
        print(error)
    print("it stands at", busy)


asyncio.run(main())
