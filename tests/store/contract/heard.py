"""Watching a storage: what is heard of who comes and goes."""

from __future__ import annotations

import threading
from typing import Any

from tests.store.contract.child import PATIENCE
from tests.store.contract.conftest import Place
from tests.store.contract.test_storage import do

NEVER = 3600.0
"""A lease so long that only a bell or a death can be what was heard of."""


class Heard:
    """What `watch` calls; `next()` waits until it was called since the last time."""

    def __init__(self) -> None:
        self.event = threading.Event()

    def __call__(self) -> None:
        self.event.set()

    def next(self) -> None:
        assert self.event.wait(PATIENCE), "nothing was heard"
        self.event.clear()


def peers(storage: Any) -> list[str]:
    return [peer.id for peer in do(storage, "peers")]


def watching(place: Place, **options: Any) -> tuple[Any, Heard]:
    """A storage that has told its watcher what it tells at the beginning."""
    storage, heard = place.new(lease=NEVER, **options), Heard()
    storage.open()
    storage.watch(heard)
    heard.next()
    return storage, heard


def until_alone(storage: Any, heard: Heard) -> None:
    while peers(storage):
        heard.next()
