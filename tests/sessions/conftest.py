"""Durable sessions in a SQLite file and on a private PostgreSQL server, for threads and for asyncio."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fsm.store import Database
from tests.sessions.faces import FACES
from tests.sessions.shop import MIGRATIONS, Order
from tests.store.conftest import (
    Place,
    database as database,
    place_of,
    server as server,
)


class Clock:
    """A clock that a test sets forward."""

    def __init__(self) -> None:
        self.time = 1e9

    def __call__(self) -> float:
        return self.time


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def where(request: pytest.FixtureRequest) -> Iterator[str]:
    """A database for the cases of a file; each has keys of its own.  A file is in memory, if the system has such."""
    with tempfile.TemporaryDirectory(prefix="fsm-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        yield place_of(request.param, request, Path(folder)).where


@pytest.fixture(scope="module", params=FACES)
def face(request: pytest.FixtureRequest) -> Any:
    return FACES[request.param]


@pytest.fixture(scope="module")
def shop(face: Any, where: str) -> Iterator[Any]:
    """The orders there."""
    with face(Database(where), Order, migrations=MIGRATIONS) as orders:
        yield orders


@pytest.fixture
def key(request: pytest.FixtureRequest) -> str:
    """A key that no other case has."""
    return f"key of {request.node.nodeid}"


@pytest.fixture
def open_shop(face: Any) -> Iterator[Callable[..., Any]]:
    """Opens orders elsewhere; they are closed at the end."""
    opened: list[Any] = []

    def make(where: str, cls: Any = Order, **options: Any) -> Any:
        opened.append(face(Database(where), cls, **options))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


__all__ = ["Clock", "Place"]
