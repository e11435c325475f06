"""The Prometheus metrics, by a real scrape over loopback."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from urllib.request import urlopen

import pytest
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.openmetrics.exposition import generate_latest as open_text
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_families
from prometheus_client.parser import text_string_to_metric_families

from fsm.store import Store, aio
from fsm.store.metrics import StoreCollector
from fsm.store.state import COUNTERS
from fsm.testing.clock import SimulatedClock

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scraped(port: int) -> tuple[Samples, dict[str, str]]:
    with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        families = [*text_string_to_metric_families(answer.read().decode())]
    samples = {(one.name, frozenset(one.labels.items())): one.value for family in families for one in family.samples}
    return samples, {family.name: family.type for family in families}


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock()


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry(auto_describe=True)


@pytest.fixture
def port(registry: CollectorRegistry) -> Iterator[int]:
    server, thread = start_http_server(0, addr="127.0.0.1", registry=registry)
    yield server.server_port
    server.shutdown()
    server.server_close()
    thread.join()


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, frozenset({"store": "relay", **labels}.items())]


def test_a_scrape_tells_how_a_store_stands(registry: CollectorRegistry, port: int, clock: SimulatedClock) -> None:
    store = Store(name="relay", clock=clock)
    registry.register(StoreCollector(store))
    held = store.inbound(peer="10.0.0.7")
    held.__enter__()
    clock.advance(5)
    for content in (b"a", b"b", b"c"):
        store.submit(content)
    outgoing = store.outgoing(provider="mx1")
    with next(outgoing):
        pass
    with next(outgoing) as item:
        item.defer("451 later")
    clock.advance(2.5)

    samples, types = scraped(port)
    assert types["fsm_store_messages"] == "counter"
    assert {kind for name, kind in types.items() if name != "fsm_store_messages"} == {"gauge"}
    told = {event: value(samples, "fsm_store_messages_total", event=event) for event in COUNTERS}
    assert {event: number for event, number in told.items() if number} == {"submitted": 3, "sent": 1, "deferred": 1}
    assert value(samples, "fsm_store_in_flight", direction="inbound") == 1
    assert value(samples, "fsm_store_in_flight", direction="outbound") == 0
    assert value(samples, "fsm_store_oldest_in_flight_seconds", direction="inbound") == 7.5
    assert value(samples, "fsm_store_silent_in_flight_seconds", direction="inbound") == 7.5
    assert value(samples, "fsm_store_oldest_in_flight_seconds", direction="outbound") == 0
    queued = {state: value(samples, "fsm_store_queued", state=state) for state in ("ready", "deferred", "held")}
    assert queued == {"ready": 1, "deferred": 1, "held": 0}
    assert value(samples, "fsm_store_peers") == 0
    assert value(samples, "fsm_store_in_service") == 1
    assert states(samples) == ["open"]
    assert ("fsm_store_step_left_seconds", frozenset({("store", "relay")})) not in samples

    held.progress("DATA")
    clock.advance(1)
    closing = store.begin_closing("ORDERLY 10s -> cancel 1s")
    clock.advance(4)
    samples, _ = scraped(port)
    assert value(samples, "fsm_store_silent_in_flight_seconds", direction="inbound") == 5
    assert value(samples, "fsm_store_in_service") == 0
    assert value(samples, "fsm_store_step_left_seconds") == 6
    assert states(samples) == ["draining"]

    held.__exit__(None, None, None)
    assert closing.result()
    samples, _ = scraped(port)
    assert states(samples) == ["released"]
    assert value(samples, "fsm_store_messages_total", event="received") == 1
    store.let_go()


def states(samples: Samples) -> list[str]:
    labels = [dict(told) for (name, told), number in samples.items() if name == "fsm_store_state" and number]
    return [one["fsm_store_state"] for one in labels if one["store"] == "relay"]


def test_several_stores_of_both_faces_share_a_collector(registry: CollectorRegistry, port: int) -> None:
    async def program() -> None:
        relay, other = Store(name="relay"), aio.AsyncStore(name="other")
        collector = StoreCollector(relay)
        registry.register(collector)
        collector.add(other)
        collector.add(other)
        await other.submit(b"x")
        samples, _ = await asyncio.to_thread(scraped, port)
        assert {dict(labels)["store"] for _, labels in samples if ("store" in dict(labels))} == {"relay", "other"}
        with pytest.raises(ValueError, match="two stores are named 'relay'"):
            collector.add(aio.AsyncStore(name="relay"))
        collector.remove(relay)
        collector.remove(relay)
        samples, _ = await asyncio.to_thread(scraped, port)
        assert {dict(labels)["store"] for _, labels in samples if ("store" in dict(labels))} == {"other"}
        other.let_go()
        relay.let_go()

    asyncio.run(program())


def test_hostile_names_are_escaped_and_openmetrics_takes_the_names(registry: CollectorRegistry, port: int) -> None:
    name = 're"lay\\\n{x="1"} 5'
    store = Store(name=name)
    registry.register(StoreCollector(store))
    samples, _ = scraped(port)
    assert {dict(labels).get("store", name) for _, labels in samples} == {name}
    families = {family.name: family.type for family in open_families(open_text(registry).decode())}
    assert families["fsm_store_messages"] == "counter"
    assert families["fsm_store_state"] == "stateset"
    store.let_go()
