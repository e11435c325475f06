"""Stores as Prometheus sees them: a collector over what stores count and how they stand, read when it is scraped.

    from prometheus_client import REGISTRY, start_http_server
    REGISTRY.register(StoreCollector(store))
    start_http_server(9100, addr="127.0.0.1")

Theory.
1. Nothing is counted twice: a scrape reads the store's own counters under its lock, all of one store at one moment.
2. What is in flight is what this process still moves, also after the release to a peer, when the session counts none.
3. A name is `fsm_store_…`, a total ends in `_total`, a time in `_seconds`; every sample says its store.

This file does not know who scrapes.  It needs the extra `metrics`.
"""

from __future__ import annotations

from collections.abc import Iterator

try:
    from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric, StateSetMetricFamily
    from prometheus_client.registry import Collector
except ModuleNotFoundError as missing:
    told = "a store's metrics need prometheus-client: pip install 'fsm-logoff[metrics]'"
    raise ModuleNotFoundError(told, name=missing.name) from None

from fsm.logoff.chart import LOGOFF
from fsm.store.base import BaseStore
from fsm.store.in_flight import Direction

__all__ = ["StoreCollector"]


class StoreCollector(Collector):
    """The metrics of these stores, of either face; one collector for all stores of a registry.

    Their names (`name=`) tell them apart: ValueError when two have the same.
    """

    def __init__(self, *stores: BaseStore) -> None:
        self._stores: dict[str, BaseStore] = {}
        for store in stores:
            self.add(store)

    def add(self, store: BaseStore) -> None:
        """Speak of this store, too."""
        name = store._core.name
        if self._stores.setdefault(name, store) is not store:
            raise ValueError(f"two stores are named {name!r}; give each its own with Store(name=...)")

    def remove(self, store: BaseStore) -> None:
        """No longer speak of it.  Nothing happens when it was not spoken of."""
        if self._stores.get(store._core.name) is store:
            del self._stores[store._core.name]

    def collect(self) -> Iterator[Metric]:
        """The metrics as they are now."""
        messages = CounterMetricFamily(
            "fsm_store_messages", "What became of messages since the store was opened", labels=("store", "event")
        )
        flight = _gauge("in_flight", "Messages that this process is moving right now", "direction")
        oldest = _gauge("oldest_in_flight_seconds", "Age of the message that is in flight the longest", "direction")
        silent = _gauge("silent_in_flight_seconds", "Longest time in flight without any progress", "direction")
        queue = _gauge("queued", "Messages in the outbound queue, by what they wait for", "state")
        peers = _gauge("peers", "Other processes that have the store open")
        service = _gauge("in_service", "Whether the store is open for new work and means to stay so")
        left = _gauge("step_left_seconds", "Time that is left of the closing plan's present step")
        state = StateSetMetricFamily("fsm_store_state", "Where the store's session stands", labels=("store",))
        for name, store in tuple(self._stores.items()):
            with store._core.lock:
                now, serves = store._closer.progress(), store.in_service
            for event, number in now.counters.items():
                messages.add_metric((name, event), number)
            ways: tuple[Direction, ...] = ("inbound", "outbound")
            for way in ways:
                found = [blocker for blocker in now.blockers if blocker.direction == way]
                flight.add_metric((name, way), len(found))
                oldest.add_metric((name, way), max((one.age for one in found), default=0.0))
                silent.add_metric((name, way), max((one.silent for one in found), default=0.0))
            for place, number in (("ready", now.ready), ("deferred", now.deferred), ("held", now.held)):
                queue.add_metric((name, place), number)
            peers.add_metric((name,), now.peers)
            service.add_metric((name,), serves)
            if now.time_left is not None:
                left.add_metric((name,), now.time_left)
            state.add_metric((name,), {one.name: one == now.state for one in LOGOFF.states})
        yield from (messages, flight, oldest, silent, queue, peers, service, left, state)


def _gauge(name: str, says: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"fsm_store_{name}", says, labels=("store", *labels))
