"""Who is told of a store's work: an observer, in the context of whoever does it; and what listeners see of that context."""

from __future__ import annotations

import asyncio
import logging
import threading
from contextvars import ContextVar
from typing import Any

import pytest

from fsm.store import AsyncStore, Store, StoreClosing
from fsm.store.observer import Observer
from tests.store.conftest import Place

WHO: ContextVar[str] = ContextVar("who", default="nobody")


class Trace(Observer):
    """What is told, with the context variable of whoever does it."""

    def __init__(self) -> None:
        self.told: list[tuple[str, ...]] = []

    def submitting(self, store: str, headers: dict[str, str]) -> Any:
        headers["who"] = WHO.get()
        return lambda came: self.told.append(("submitted", store, type(came).__name__))

    def sending(self, store: str, item: Any) -> Any:
        WHO.set(item.message.headers["who"])
        return lambda ending: self.told.append((ending.kind, store, WHO.get()))

    def closing(self, store: str, plan: Any) -> Any:
        return lambda outcome: self.told.append((str(plan), store, outcome.state))


class Listener:
    def __init__(self) -> None:
        self.seen: dict[str, str] = {}

    def on_transition(self, step: Any) -> None:
        self.seen[step.event] = WHO.get()
        WHO.set("a listener")


STEPS = {"submit": "submitter", "outbound_sent": "submitter", "inbound_begin": "receiver", "inbound_received": "receiver", "logoff_orderly": "closer"}
TOLD = [("submitted", "store", "str"), ("sent", "store", "submitter"), ("submitted", "store", "StoreClosing"), ("ORDERLY 60s", "store", "released")]


def test_observers_and_listeners_see_the_context_of_whoever_does_it_in_threads(place: Place) -> None:
    listener, trace = Listener(), Trace()

    def work() -> None:
        for item in store.outgoing():
            with item:
                assert WHO.get() == "submitter", "what an observer sets is there in the block"
            return

    with Store(place.new()) as store:
        store.session.listen(listener)
        store.observe(trace)
        WHO.set("submitter")
        store.submit(b"x")
        worker = threading.Thread(target=work)
        worker.start()
        worker.join(60)
        WHO.set("receiver")
        with store.inbound():
            pass
        WHO.set("closer")
        with store.inbound():
            closing = store.begin_closing("ORDERLY 60s")
            with pytest.raises(StoreClosing):
                store.submit(b"x")
        assert closing.result(60)
        assert WHO.get() == "closer", "what a listener sets is its own"
        WHO.set("nobody")
    assert {event: listener.seen[event] for event in STEPS} == {**STEPS, "inbound_begin": "closer", "inbound_received": "closer"}
    assert sorted(trace.told) == sorted(TOLD)


def test_observers_and_listeners_see_the_context_of_whoever_does_it_in_tasks(place: Place) -> None:
    listener, trace = Listener(), Trace()

    async def submit(store: AsyncStore) -> None:
        WHO.set("submitter")
        await store.submit(b"x")

    async def work(store: AsyncStore) -> None:
        async for item in store.outgoing():
            async with item:
                assert WHO.get() == "submitter"
            return

    async def receive(store: AsyncStore) -> None:
        WHO.set("receiver")
        async with store.inbound():
            pass

    async def close(store: AsyncStore) -> None:
        WHO.set("closer")
        assert await store.close("ORDERLY 60s")
        with pytest.raises(StoreClosing):
            await store.submit(b"x")

    async def case() -> None:
        store = AsyncStore(place.new())
        store.observe(trace)  # before it is open
        async with store:
            store.session.listen(listener)
            await asyncio.gather(submit(store), work(store), receive(store))
            await asyncio.create_task(close(store))

    asyncio.run(asyncio.wait_for(case(), 60))
    assert {event: listener.seen[event] for event in STEPS} == STEPS
    assert sorted(trace.told) == sorted(TOLD)


class Broken(Observer):
    def submitting(self, store: str, headers: dict[str, str]) -> Any:
        headers["a"] = "b"
        raise ValueError("submitting")

    def sending(self, store: str, item: Any) -> Any:
        return lambda ending: 1 / 0

    def closing(self, store: str, plan: Any) -> Any:
        raise ValueError("closing")


def test_what_an_observer_raises_is_logged_and_the_work_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    with Store() as store:
        store.observe(Broken())
        store.submit(b"x")
        for item in store.outgoing():
            with item:
                pass
            break
        assert (store.counters["sent"], store.messages()) == (1, [])
        assert store.close("ORDERLY 60s")
    said = [str(record.exc_info[1]) for record in caplog.records if record.exc_info and record.levelno == logging.ERROR]
    assert said == ["submitting", "division by zero", "closing"]
