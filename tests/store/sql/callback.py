"""A callback for `Storage.watch`, and what the tests of holders, notifications and watchers do with it."""

from __future__ import annotations

import threading
from typing import Any

from tests.store.conftest import Place
from tests.store.contract.child import PATIENCE
from tests.store.contract.test_storage import do

NEVER = 3600.0
"""A lease so long that only a notification or a death can be the reason of a call, in seconds."""


class Callback:
    """`wait()` waits until it has been called since the last `wait()`."""

    def __init__(self) -> None:
        self.event = threading.Event()

    def __call__(self) -> None:
        self.event.set()

    def wait(self) -> None:
        assert self.event.wait(PATIENCE), "the callback was not called"
        self.event.clear()


def peers(storage: Any) -> list[str]:
    return [peer.id for peer in do(storage, "peers")]


def watching(place: Place, **options: Any) -> tuple[Any, Callback]:
    """An open storage and its callback, which has been called for the first time."""
    storage, callback = place.new(lease=NEVER, **options), Callback()
    storage.open()
    storage.watch(callback)
    callback.wait()
    return storage, callback


def until_alone(storage: Any, callback: Callback) -> None:
    while peers(storage):
        callback.wait()
