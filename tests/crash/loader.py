"""A program under load that keeps books, in a process of its own: `python -m tests.crash.loader WHERE`.

Four threads submit messages, each with a tag of its own, and four send what is ready.  The books go to standard output,
a line for each fact, written at once, so that they are whole when the process is killed:

    try TAG, accepted TAG, refused TAG, unsure TAG       a submission, and what its caller knows
    sent TAG N                                           a delivery; the message was uncertain N times before
    outcome SECONDS TEXT                                 closed, as a line on standard input asked with a plan

It is over when the store is released or its plan is over.
"""

from __future__ import annotations

import itertools
import os
import sys
import threading
import time

from fsm.store import Database, Retry, StorageError, Store, StoreClosing

PAUSE = 0.01
"""Seconds before a thread tries again."""


def note(*words: object) -> None:
    os.write(1, " ".join(map(str, words)).encode() + b"\n")


def submit(store: Store, number: int) -> None:
    for count in itertools.count():
        tag = f"{os.getpid()}.{number}.{count}"
        note("try", tag)
        try:
            store.submit(tag.encode())
            note("accepted", tag)
        except StoreClosing:
            note("refused", tag)
            return
        except StorageError as error:
            note("refused" if error.certain else "unsure", tag)
            if store.closed:
                return
        time.sleep(PAUSE)


def send(store: Store) -> None:
    while not store.closed and store.state != "released":
        try:
            for item in store.outgoing():
                with item:
                    item.past_no_return()
                    assert item.message is not None
                    note("sent", item.message.content.decode(), item.message.uncertain)
        except StorageError:
            time.sleep(PAUSE)


def main() -> None:
    store = Store(Database(sys.argv[1], patience=2.0), retry=Retry(first=0.05, longest=0.05))
    work = [threading.Thread(target=submit, args=(store, number), daemon=True) for number in range(4)]
    work += [threading.Thread(target=send, args=(store,), daemon=True) for _ in range(4)]
    for thread in work:
        thread.start()
    if plan := sys.stdin.readline().strip():
        began = time.perf_counter()
        outcome = store.close(plan)
        took = time.perf_counter() - began
        store.let_go()
        note("outcome", f"{took:.1f}", outcome)


if __name__ == "__main__":
    main()
