"""The same in asyncio.  Triggers are ordinary calls: they are instant, so nothing is awaited while the machine decides.

In the explorer: #submit,submit,logoff_no_wait,outbound_begin,outbound_begin,outbound_sent,outbound_deferred
"""

import asyncio

from fsm import Step
from fsm.logoff import Logoff, StoreSession


class Released:
    """Listens to the session, and tells whoever waits."""

    def __init__(self) -> None:
        self.event = asyncio.Event()

    def on_enter_released(self, step: Step) -> None:
        self.event.set()


async def deliver(session: StoreSession, number: int) -> None:
    session.outbound_begin()
    await asyncio.sleep(0)  # here a real program talks to its transport
    if number % 5:
        session.outbound_sent()
    else:
        session.outbound_deferred()  # the receiver is busy: the message goes back to the queue


async def main() -> None:
    session = StoreSession()
    released = session.listen(Released())
    for _ in range(10):
        session.submit()
    async with asyncio.TaskGroup() as tasks:
        for number in range(10):
            tasks.create_task(deliver(session, number))
        print(repr(session.logoff(Logoff.NO_WAIT)))
        await released.event.wait()
    print(session, repr(session.status))


asyncio.run(main())
