"""A pool of threads.  Each line of standard input is a message; `ok` says that it will be passed on."""

import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Thread

from remote import send

from fsm.store import Database, Retry, Store, StoreClosing, on_signals


def deliver() -> None:
    for item in store.outgoing():
        with suppress(OSError), item:  # an error defers the message
            send(item.message.content, item.on_cancel)


def take() -> None:
    for line in sys.stdin:
        try:
            store.submit(line.strip().encode())
        except StoreClosing as closing:
            print(closing, flush=True)
        else:
            print("ok", flush=True)


store = Store(Database("mail.db"), retry=Retry(first=1))
with on_signals(store, "ORDERLY 1s -> cancel 5s") as ladder, ThreadPoolExecutor(2) as pool:
    for _ in range(2):
        pool.submit(deliver)
    Thread(target=take, daemon=True).start()
    outcome = ladder.outcome()
store.let_go()
sys.exit(0 if outcome else str(outcome))
