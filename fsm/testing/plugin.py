"""The plugin of pytest, which knows it wherever this package is installed.

    def test_mine(loses_nothing):                   loses_nothing(program)          # closed at each of its steps
    async def test_mine(loses_nothing):             await loses_nothing.in_loop(program)
    def test_retry(store, simulated_clock):         ...; simulated_clock.advance(60)
    def test_late(timers, simulated_clock):         timers.attach(session); simulated_clock.advance(30)

    pytest --fsm-rows shop:ORDER --fsm-rows-picture rows.svg       # which rows the tests have taken, and which not

Nothing of a store is imported before a test asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from fsm.runtime.timers import Timers
    from fsm.store.sync import Store
    from fsm.testing.clock import SimulatedClock
    from fsm.testing.rows import TakenRows

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


# --------------------------------------------------------------------------------------------------- --fsm-rows


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --fsm-rows and --fsm-rows-picture."""
    group = parser.getgroup("fsm", "finite-state machines")
    group.addoption("--fsm-rows", metavar="MODULE:CHART", help="say which rows of this chart the tests have taken")
    group.addoption("--fsm-rows-picture", metavar="FILE", help="write the picture of these rows, as SVG")


def pytest_configure(config: pytest.Config) -> None:
    """Begin to count."""
    if (name := config.getoption("--fsm-rows")) is not None:
        from fsm.testing.rows import TakenRows, chart_named

        try:
            config.pluginmanager.register(_Rows(TakenRows(chart_named(name)), config), "fsm-rows")
        except ValueError as error:
            raise pytest.UsageError(str(error)) from None
    elif config.getoption("--fsm-rows-picture") is not None:
        raise pytest.UsageError("--fsm-rows-picture needs --fsm-rows MODULE:CHART, which says whose rows")


class _Rows:
    """One run of the tests."""

    def __init__(self, rows: TakenRows, config: pytest.Config) -> None:
        self.rows, self.config = rows, config
        self.counting = rows.counting()
        self.counting.__enter__()

    def pytest_sessionfinish(self) -> None:
        """Let the process that started this one know."""
        if (output := getattr(self.config, "workeroutput", None)) is not None:  # of pytest-xdist
            output["fsm_rows"] = dict(self.rows.taken)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: object) -> None:
        """Add what a process of pytest-xdist has counted."""
        self.rows.add(getattr(node, "workeroutput", {}).get("fsm_rows", {}))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say it, and write the picture."""
        terminalreporter.section("rows")
        terminalreporter.write_line(str(self.rows))
        if (file := self.config.getoption("--fsm-rows-picture")) is not None:
            Path(file).write_text(self.rows.svg())
            terminalreporter.write_line(f"picture: {file}")

    def pytest_unconfigure(self) -> None:
        """Stop counting."""
        self.counting.__exit__(None, None, None)
