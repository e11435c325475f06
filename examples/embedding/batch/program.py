"""A batch job: each line of a file is a message.  Ctrl-C ends it, and the next run goes on: python program.py FILE"""

import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from remote import send

from fsm.store import Database, Retry, Store, on_signals

PLAN = "ORDERLY 1s -> cancel 5s"


def deliver() -> None:
    for item in store.outgoing():
        with suppress(OSError), item:  # an error defers the message
            send(item.message.content, item.on_cancel)


store = Store(Database("mail.db"), retry=Retry(first=1))
with on_signals(store, PLAN), ThreadPoolExecutor(2) as pool:
    file = Path(sys.argv[1])
    if file.exists():
        for line in file.read_text().splitlines():
            store.submit(line.encode())
        file.rename(f"{file}.taken")
    for _ in range(2):
        pool.submit(deliver)
    for now in store.progress():
        if not now.ready + now.outbound + now.deferred:
            break
    outcome = store.close(PLAN)
store.let_go()
print(outcome)
sys.exit(0 if not outcome.left else 130)
