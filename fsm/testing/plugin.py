"""The plugin of pytest, which knows it wherever this package is installed.

    def test_mine(loses_nothing):                   loses_nothing(program)          # closed at each of its steps
    async def test_mine(loses_nothing):             await loses_nothing.in_loop(program)
    def test_retry(store, simulated_clock):         ...; simulated_clock.advance(60)
    def test_late(timers, simulated_clock):         timers.attach(session); simulated_clock.advance(30)

Nothing of a store is imported before a test asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from fsm.runtime.timers import Timers
    from fsm.store.sync import Store
    from fsm.testing.clock import SimulatedClock

__all__ = ["loses_nothing", "simulated_clock", "store", "timers"]


@pytest.fixture
def simulated_clock() -> SimulatedClock:
    """A clock that jumps to the next call; the `store` and the `timers` of the same test use it."""
    from fsm.testing.clock import SimulatedClock

    return SimulatedClock()


@pytest.fixture
def store(simulated_clock: SimulatedClock) -> Iterator[Store]:
    """A store for threads, in memory and in simulated time.  It is closed by the default plan after the test."""
    from fsm.store.sync import Store

    with Store(clock=simulated_clock) as store:
        yield store


@pytest.fixture
def timers(simulated_clock: SimulatedClock) -> Iterator[Timers]:
    """Timers by the simulated clock, which raises what listeners raise.  They are closed after the test."""
    from fsm.runtime.timers import Timers

    with Timers(simulated_clock) as timers:
        yield timers


@pytest.fixture
def loses_nothing() -> object:
    """`fsm.testing.closing.loses_nothing`."""
    from fsm.testing.closing import loses_nothing

    return loses_nothing
