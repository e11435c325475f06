"""A spooler wherever one store is taken: closed by signals, measured, and shown, all its stores together."""

from __future__ import annotations

import asyncio
import io

import pytest
from prometheus_client import CollectorRegistry
from rich.console import Console

from fsm.logoff import LogoffStatus
from fsm.store import AsyncSpooler, Spooler, Store, on_signals
from fsm.store.metrics import StoreCollector
from fsm.store.progress import Display
from tests.store.test_signals import TERM, Said, send

PLAN = "NO_WAIT 60m -> ORDERLY 60m -> cancel 60m"


def test_a_signal_closes_all_stores_and_each_further_one_takes_the_next_step_in_all() -> None:
    said, spooler = Said(), Spooler()
    stores = spooler.open_many("abc")
    for store in stores[:2]:
        store.submit(b"x")
    with on_signals(spooler, PLAN, say=said, together=0.0) as ladder:
        said.skip(5)
        with stores[2].inbound(peer="them"):
            send(TERM)
            assert said.next().startswith("memory: SIGTERM: NO_WAIT 3600s: ")
            assert [store.state for store in stores] == ["draining"] * 3
            assert (spooler.progress_now().state, spooler.in_service) == ("draining", False)
            send(TERM)
            assert said.next().startswith("memory: SIGTERM: ORDERLY 3600s: ")
            assert [store.state for store in stores] == ["released", "released", "draining"]
        outcome = ladder.outcome()
    assert outcome
    assert {name: one.queued for name, one in outcome.stores.items()} == {"a": 1, "b": 1, "c": 0}
    assert said.next() == f"memory: {outcome}"
    spooler.let_go()


def test_a_signal_closes_all_stores_of_a_loop() -> None:
    async def case() -> None:
        said = Said()
        async with AsyncSpooler() as spooler:
            stores = await spooler.open_many("ab")
            with on_signals(spooler, "NO_WAIT 60s", say=said) as ladder:
                send(TERM)
                outcome = await asyncio.wait_for(ladder.outcome(), 60)
            assert (bool(outcome), [store.state for store in stores]) == (True, ["released"] * 2)
        assert said.lines[-1] == f"memory: {outcome}"

    asyncio.run(case())


def test_a_spooler_counts_what_all_stores_count() -> None:
    with Spooler() as spooler:
        assert (spooler.progress_now().state, spooler.progress_now().blockers) == ("open", ())
        one, two = spooler.open_many(["one", "two"])
        for store in (one, two, two):
            store.submit(b"x")
        changes: list[int] = []
        unsubscribe = spooler.subscribe(lambda: changes.append(1))
        three = spooler.open("three")
        for item in two.outgoing(provider="mx"):
            with item, three.inbound(peer="them"):
                now = spooler.progress_now()
                assert (now.state, now.inbound, now.outbound, now.ready, now.in_service) == ("open", 1, 1, 2, True)
                assert [blocker.id for blocker in now.blockers] == [f"two/{item.id}", "three/in-1"]
                assert LogoffStatus.INBOUND in now.status
            break
        assert spooler.progress_now().counters["submitted"] == 3
        assert {name: now.counters["sent"] for name, now in spooler.progress_of_stores().items()} == {"one": 0, "two": 1, "three": 0}
        unsubscribe()
        before = len(changes)
        assert before > 0
        three.submit(b"x")
        assert len(changes) == before
        assert spooler.close("ORDERLY 60s")
        assert spooler.progress_now().state == "released"


def test_a_collector_tells_of_the_stores_that_a_spooler_has_open_now() -> None:
    registry = CollectorRegistry()
    with Spooler() as spooler, Store(name="one") as other:
        registry.register(StoreCollector(other, spooler))
        spooler.open("one").submit(b"x")
        spooler.open("two")

        def value(name: str, store: str, **labels: str) -> float | None:
            return registry.get_sample_value(f"fsm_store_{name}", {"store": store, **labels})

        assert value("queued", "one", state="ready") == 0
        assert value("queued", "one in memory", state="ready") == 1
        assert value("in_service", "two") == 1
        assert value("storage_failing_seconds", "two") == 0
        assert value("in_service", "three") is None
        spooler.close("ORDERLY 0s")


@pytest.mark.parametrize("terminal", [False, True])
def test_a_display_shows_all_stores_as_one(terminal: bool) -> None:
    written = io.StringIO()
    with Spooler() as spooler:
        store, _ = spooler.open_many("ab")
        with Display(spooler, Console(file=written, force_terminal=terminal, width=80)), store.inbound(peer="them"):
            closing = spooler.begin_closing("ORDERLY 60s")
            assert spooler.progress_now().step is not None
        assert closing.result(60)
    assert "memory" in written.getvalue()
    assert "released" in written.getvalue()
