"""A callback for `Storage.watch`, and what the tests of processes, bells and watchers do with it."""

from __future__ import annotations

import threading

from fsm.store.storage import News
from tests.store.conftest import Place
from tests.store.contract.child import PATIENCE
from tests.store.contract.one import One

NEVER = 3600.0
"""A lease so long that only a ring or a death can be the reason of a call, in seconds."""


class Callback:
    """`wait()` waits until it has been called since the last `wait()`; `news` is what it was called with."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self.news: list[News] = []

    def __call__(self, news: News) -> None:
        self.news.append(news)
        self.event.set()

    def wait(self) -> None:
        assert self.event.wait(PATIENCE), "the callback was not called"
        self.event.clear()

    def until(self, news: News) -> None:
        while news not in self.news:
            self.wait()


def watching(place: Place, **options: object) -> tuple[One, Callback]:
    """An open store and its callback, which has been called for the first time."""
    one, callback = One(place.new(**{"lease": NEVER, **options})), Callback()
    one.open()
    one.storage.watch(callback)
    callback.wait()
    return one, callback


def until_alone(one: One, callback: Callback) -> None:
    while one.look().peers:
        callback.wait()
