"""Metrics: a Prometheus collector that reads what stores count, and how they stand, when it is scraped.

    from prometheus_client import REGISTRY, start_http_server
    REGISTRY.register(StoreCollector(store))
    start_http_server(9100, addr="127.0.0.1")

Theory.
1. Nothing is counted twice: a scrape reads the store's own counters, all of one store at one moment.
2. What is in flight is what this process still moves, also after the release to a peer, when the session counts none.
3. A name is `fsm_store_…`, a total ends in `_total`, a time in `_seconds`; every sample names its store.

It needs the extra `metrics`.
"""

from __future__ import annotations

from collections.abc import Iterator

try:
    from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric, StateSetMetricFamily
    from prometheus_client.registry import Collector
except ModuleNotFoundError as missing:
    from fsm.install import install_command

    problem = f"a store's metrics need prometheus-client: {install_command('metrics')}"
    raise ModuleNotFoundError(problem, name=missing.name) from None

from fsm.logoff.chart import LOGOFF
from fsm.store.base import BaseSpooler, BaseStore
from fsm.store.outcome import Progress

__all__ = ["StoreCollector"]


class StoreCollector(Collector):
    """The metrics of these stores, for threads or asyncio; one collector for all stores of a registry.

    A spooler stands for the stores that it has open at the moment of the scrape.  Raise ValueError if two have the same
    name; a store of a spooler that has the name of another is told by both names, as in `alice in mail.db`.
    """

    def __init__(self, *stores: BaseStore | BaseSpooler) -> None:
        self._stores: dict[str, BaseStore | BaseSpooler] = {}
        for store in stores:
            self.add(store)

    def add(self, store: BaseStore | BaseSpooler) -> None:
        """Add a store, or a spooler.  Raise ValueError if another one has its name."""
        name = store.name
        if self._stores.setdefault(name, store) is not store:
            raise ValueError(f"two stores are named {name!r}; give each its own with Store(name=...)")

    def remove(self, store: BaseStore | BaseSpooler) -> None:
        """Remove a store, or a spooler.  Nothing happens if it was not added."""
        if self._stores.get(store.name) is store:
            del self._stores[store.name]

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics as they are now."""
        messages = CounterMetricFamily(
            "fsm_store_messages", "What became of messages since the store was opened", labels=("store", "event")
        )
        flight = _gauge("in_flight", "Messages that this process is moving right now", "direction")
        oldest = _gauge("oldest_in_flight_seconds", "Age of the message that is in flight the longest", "direction")
        silent = _gauge("silent_in_flight_seconds", "Longest time in flight without any progress", "direction")
        queue = _gauge("queued", "Messages in the outbound queue, by what they wait for", "state")
        storage = _gauge("storage_failing_seconds", "Time since the storage does not answer, or fails")
        peers = _gauge("peers", "Other processes that have the store open")
        service = _gauge("in_service", "Whether the store is open for new work and means to stay so")
        left = _gauge("step_left_seconds", "Time that is left of the closing plan's present step")
        state = StateSetMetricFamily("fsm_store_state", "Where the store's session stands", labels=("store",))
        for name, now in self._all().items():
            for event, number in now.counters.items():
                messages.add_metric((name, event), number)
            for direction in ("inbound", "outbound"):
                found = [blocker for blocker in now.blockers if blocker.direction == direction]
                flight.add_metric((name, direction), len(found))
                oldest.add_metric((name, direction), max((one.age for one in found), default=0.0))
                silent.add_metric((name, direction), max((one.silent for one in found), default=0.0))
            for waiting, number in (("ready", now.ready), ("deferred", now.deferred), ("held", now.held)):
                queue.add_metric((name, waiting), number)
            broken = max((one.age for one in now.blockers if one.direction == "storage"), default=0.0)
            storage.add_metric((name,), broken)
            peers.add_metric((name,), now.peers)
            service.add_metric((name,), now.in_service)
            if now.time_left is not None:
                left.add_metric((name,), now.time_left)
            state.add_metric((name,), {one.name: one == now.state for one in LOGOFF.states})
        yield from (messages, flight, oldest, silent, queue, storage, peers, service, left, state)

    def _all(self) -> dict[str, Progress]:
        """How each store stands, by the name under which it is told."""
        found: dict[str, Progress] = {}
        for source, one in tuple(self._stores.items()):
            if isinstance(one, BaseStore):
                found[source] = one.progress_now()
        for source, one in tuple(self._stores.items()):
            if isinstance(one, BaseSpooler):
                for name, now in one.progress_of_stores().items():
                    found[f"{name} in {source}" if name in found else name] = now
        return found


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"fsm_store_{name}", text, labels=("store", *labels))
