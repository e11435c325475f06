"""The fixtures, used as users do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

USED = '''
from contextlib import suppress
import pytest
from fsm import Chart, Session, State, row
from fsm.store import StoreClosing

@pytest.fixture
def anyio_backend():
    return "asyncio"

def test_time(store, simulated_clock):
    store.submit(b"x")
    for item in store.outgoing():
        with item:
            item.defer("451 later", after=60)
        break
    simulated_clock.advance(59)
    assert store.session.ready == 0
    simulated_clock.advance(1)
    assert store.session.ready == 1

def test_times(timers, simulated_clock):
    on = State("on", after={120: "timeout"})
    rows = [row("light", "off", "press", target="on"), row("dark", "on", "timeout", target="off")]
    lamp = timers.attach(Session.of(Chart("lamp", states=["off", on], events=["press", "timeout"], rows=rows))())
    lamp.fire("press")
    simulated_clock.advance(119)
    assert lamp.state == "on"
    simulated_clock.advance(1)
    assert lamp.state == "off"

def right(store):
    with store.inbound():
        store.submit(b"x")

def wrong(store):
    with suppress(StoreClosing), store.inbound():
        with suppress(StoreClosing):
            store.submit(b"x")

@pytest.mark.asyncio
async def test_right_in_asyncio(loses_nothing):
    await loses_nothing.in_loop(right, "ORDERLY 5s")

@pytest.mark.anyio
async def test_right_in_anyio(loses_nothing):
    await loses_nothing.in_loop(right, "ORDERLY 5s")

def test_right(loses_nothing):
    loses_nothing(right, "ORDERLY 5s")

def test_wrong(loses_nothing):
    loses_nothing(wrong, "ORDERLY 5s")
'''


@pytest.mark.parametrize("named", [False, True])
def test_the_fixtures_of_the_plugin(tmp_path: Path, named: bool) -> None:
    if named:  # as it had to be before pytest knew the plugin by itself
        (tmp_path / "conftest.py").write_text('pytest_plugins = ["fsm.testing.plugin"]\n')
    (tmp_path / "test_used.py").write_text(USED)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert "1 failed, 5 passed" in ran.stdout, ran.stdout
    assert "LostMail: closed by ORDERLY 5s after step 1 (inbound_begin), the program loses mail" in ran.stdout
    assert "trace: inbound_begin,logoff_orderly,inbound_received" in ran.stdout
