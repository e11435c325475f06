"""What holds for all tests.

An example of Hypothesis may take as long as a busy machine makes it take.  An interrupt interrupts, also when the tests run
in the background and a shell ignores interrupts: the programs that the tests start would inherit that.  What is drawn on
a terminal does not depend on the one that `make test` was started from, which may be none.

With workers (`--numprocesses`) each begins with one of the rooms that take longest, so that the end is short tests, and even.

With `--quick` (`make quick`) a test is skipped as soon as it would start a process or listen on a port, and the tests of
the browser and of crashes are left out; so everything runs that starts no process, server, browser or second Python.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections import defaultdict
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.support import cases

settings.register_profile("unhurried", max_examples=cases(160), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("quick", settings.get_profile("unhurried"), max_examples=10)
settings.load_profile("unhurried")
signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ["TERM"] = "xterm-256color"

FIRST = (
    "crash",    # waits more than it computes
    "docs",     # the site
    "store",
    "browser",
)
"""The rooms to begin with, one for each of the four workers of `make test`."""
HERE = Path(__file__).parent

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


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item], config: pytest.Config) -> None:
    """`--dist worksteal` gives each worker an equal part of the list; one that is done takes over the end of another's part."""
    workers: int = getattr(config, "workerinput", {}).get("workercount", 1)
    if workers == 1:
        return
    rooms: dict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        rooms[item.path.relative_to(HERE).parts[0]].append(item)
    begins: list[list[pytest.Item]] = [[] for _ in range(workers)]
    for place, room in enumerate(FIRST):
        begins[place % workers] += rooms.pop(room, [])
    others = [item for room in rooms.values() for item in room]
    total = len(items)
    items.clear()
    for place, begin in enumerate(begins):
        equal = (total - len(items)) // (workers - place)
        goes_on = max(0, equal - len(begin))
        items += begin + others[:goes_on]
        del others[:goes_on]


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
