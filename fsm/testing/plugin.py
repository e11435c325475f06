"""Fixtures for pytest: `pytest_plugins = ["fsm.testing.plugin"]` in a conftest.py makes them known.

    def test_mine(loses_nothing):   loses_nothing(program)          # closed at each of its steps
    def test_retry(store, simulated_clock):   ...; simulated_clock.advance(60)

"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fsm.store.sync import Store
from fsm.testing.clock import SimulatedClock
from fsm.testing.closing import loses_nothing as _loses_nothing

__all__ = ["loses_nothing", "simulated_clock", "store"]


@pytest.fixture
def simulated_clock() -> SimulatedClock:
    """A clock that jumps to the next call; the `store` of the same test uses it."""
    return SimulatedClock()


@pytest.fixture
def store(simulated_clock: SimulatedClock) -> Iterator[Store]:
    """A store for threads, in memory and in simulated time.  It is closed by the default plan after the test."""
    with Store(clock=simulated_clock) as store:
        yield store


@pytest.fixture(name="loses_nothing")
def loses_nothing() -> object:
    """`fsm.testing.closing.loses_nothing`."""
    return _loses_nothing
