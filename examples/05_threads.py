"""A program with worker threads closes its store: nothing is cut, and it knows when it may exit.

The machine decides at once and never waits; waiting is the program's, here on an Event set by a listener.
In the explorer: #submit,submit,logoff_no_wait,outbound_begin,outbound_begin,outbound_sent,outbound_sent
"""

import queue
import threading

from fsm import Refused, Step
from fsm.logoff import GuardedStoreSession, Logoff

session = GuardedStoreSession()  # any number of threads may trigger it
outbox: queue.Queue[int] = queue.Queue()
sent: list[int] = []


class Released:
    """Listens to the session, and tells whoever waits."""

    def __init__(self) -> None:
        self.event = threading.Event()

    def on_enter_released(self, step: Step) -> None:
        self.event.set()


def worker() -> None:
    while (message := outbox.get()) >= 0:
        session.outbound_begin()
        sent.append(message)  # here a real program talks to its transport
        session.outbound_sent()


released = session.listen(Released())
for message in range(20):
    session.submit()
    outbox.put(message)
session.logoff(Logoff.NO_WAIT)  # send what is ready, take in nothing more
try:
    session.submit()
except Refused as refusal:
    print("while closing:", refusal.verdict.reason)

workers = [threading.Thread(target=worker) for _ in range(4)]
for thread in workers:
    thread.start()
released.event.wait()
for _ in workers:
    outbox.put(-1)
for thread in workers:
    thread.join()
print(f"{len(sent)} of 20 sent; {session}")
