"""A store driven by hand, and what must be so in it whatever happened."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any

from fsm.store import Retry
from fsm.store.sql.parts import COUNT
from fsm.store.step import PendingStep
from fsm.store.sync import InFlight, Store

LONG = Retry(first=3600, longest=3600)
MOST = 30.0
"""Real seconds after which something is taken to hang."""
IMPATIENT = 1.0
"""Seconds for which a store waits that is to find its database locked; its own threads wait for each other for less."""


@contextmanager
def one_batch(store: Store) -> Iterator[None]:
    """What is asked of the desk in this block is decided in one batch, after it."""
    began, go = Event(), Event()
    scheduled(store, lambda _: (began.set(), go.wait(MOST)))
    assert began.wait(MOST)
    try:
        yield
    finally:
        go.set()


def scheduled(store: Store, decide: Callable[[PendingStep], Any] = lambda _: None) -> Future[Any]:
    """Have this decided, in the store's turn."""
    return store._core.commit.schedule(store._state, decide)


def counted(step: PendingStep) -> tuple[int, int]:
    """The ready and the deferred messages in the store's parts of a database, and those that others have just taken."""
    tx: Any = step.tx
    tx.messages.flush()
    ours = [*step.handle.parts]
    rows = tx._driver.fetch(COUNT, ours, ours, ours)
    return sum(row[2] for row in rows), sum(row[3] for row in rows)


def agree(store: Store) -> None:
    """The session and the storage count the same; nothing is claimed that is not in flight."""
    store._core.peers.noted()
    scheduled(store).result(MOST)
    states = [message.state for message in store.messages()]
    assert (store.session.ready, store.session.deferred) == (states.count("ready"), states.count("deferred"))
    claimed = {message.id for message in store.messages("claimed")}
    assert claimed == {id for id, item in store._state.items.items() if item.message is not None}
    assert store.session.outbound == len(claimed)


def next_item(store: Store, provider: str = "mx") -> Future[Any]:
    """Stand in line for a message to send."""

    def new() -> InFlight:
        return store._new_item("outbound", provider=provider)

    return store._core.next_item(new)


def in_thread(call: Callable[[], Any]) -> Callable[[], Any]:
    """Start this in a thread; the answer waits for its result, at most so long."""
    found: list[Any] = []
    thread = Thread(target=lambda: found.append(call()), daemon=True)
    thread.start()

    def result() -> Any:
        thread.join(MOST)
        assert found, "it hangs, or it failed"
        return found[0]

    return result


def awaited(case: Any) -> Any:
    return asyncio.run(asyncio.wait_for(case, MOST))
