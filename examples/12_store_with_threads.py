"""A program with threads and messages in flight closes its store by a plan: nothing is lost, and it says what is left.

In the explorer: #submit,submit,submit,outbound_begin,inbound_begin,inbound_received,outbound_sent,logoff_no_wait
"""

import tempfile
import threading
from pathlib import Path

from fsm.store import Database, Store, StoreClosing

folder = Path(tempfile.mkdtemp())
store = Store(Database(folder / "store.db"))


def deliver() -> None:
    for item in store.outgoing(provider="smtp:mx1.example.net"):  # waits for the next; ends when the store is released
        with item:  # left normally: sent; left by an exception: deferred, with its reason
            item.progress("DATA")
            item.past_no_return()  # from here on an exception would mean: nobody can tell whether it arrived
            if b"busy" in item.message.content:
                item.defer("450 the mailbox is busy", after=3600)  # an answer is certain


with store.inbound(peer="10.0.0.7:51712", what="MAIL FROM <a@example.org>") as item:
    print(store.blockers()[0].direction, "from", store.blockers()[0].peer)
    (folder / "inbox").write_bytes(b"Hello")  # keep it safe, then leave the block: received

for text in (b"one", b"two, but the other side is busy", b"three"):
    store.submit(text, "me@example.org", ("you@example.net",))  # durable when it returns

workers = [threading.Thread(target=deliver) for _ in range(2)]
for worker in workers:
    worker.start()

outcome = store.close("NO_WAIT 20s -> ORDERLY 5s -> cancel 3s")  # one budget; returns as soon as nothing is in flight
for worker in workers:
    worker.join()
print(outcome.released, outcome.status.name)
for message in outcome.left:
    print("in the queue for the next time:", message.recipients[0], "-", message.reason)
try:
    store.submit(b"too late")
except StoreClosing as closing:
    print("SMTP:", closing.smtp)
    print("HTTP:", closing.http)
store.let_go()
