"""What holds for all tests.

An example of Hypothesis may take as long as a busy machine makes it take.  An interrupt interrupts, also when the tests run
in the background and a shell ignores interrupts: the programs that the tests start would inherit that.

With `--quick` (`make quick`) a test is skipped as soon as it would start a process or listen on a port, and the tests of
the browser and of crashes are left out; so everything runs that starts no process, server, browser or second Python.
"""

from __future__ import annotations

import gc
import signal
import sys
from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.support import cases

settings.register_profile("unhurried", max_examples=cases(160), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("quick", settings.get_profile("unhurried"), max_examples=10)
settings.load_profile("unhurried")
signal.signal(signal.SIGINT, signal.default_int_handler)

STARTS = {"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.exec"}
"""Audit events of Python that mean another process."""
running: list[str] = []
"""The test under way, in a quick run."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quick", action="store_true", help="leave out tests that start a process, a server or a browser")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--quick"):
        settings.load_profile("quick")
        config.addinivalue_line("filterwarnings", "ignore::ResourceWarning")  # a socket whose binding was stopped
        config.pluginmanager.register(Quick())


def pytest_collection_finish() -> None:
    gc.freeze()  # thousands of tests that stay to the end need not be searched for garbage again and again


class Quick:
    def __init__(self) -> None:
        sys.addaudithook(self.audit)

    def audit(self, event: str, args: tuple[Any, ...]) -> None:
        if running and (event in STARTS or (event == "socket.bind" and isinstance(args[1], tuple))):
            pytest.skip("it starts a process or a server: make test runs it")

    def pytest_collection_modifyitems(self, items: list[pytest.Item], config: pytest.Config) -> None:
        """A browser that was stopped at its start would leave its event loop behind."""
        left_out = [item for item in items if {"browser", "crash"} & {*item.path.parts} or "chromium" in item.fixturenames]  # type: ignore[attr-defined]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in {*left_out}]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        running.append(item.nodeid)
        try:
            return (yield)
        finally:
            running.clear()
