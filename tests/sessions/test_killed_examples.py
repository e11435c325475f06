"""The examples with durable sessions, killed in the middle and run again, print what they print when nothing happens."""

from __future__ import annotations

import signal
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from fsm.commands.chart_files import find_object
from fsm.sessions import Sessions
from fsm.store import Database

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("example", "cls", "steps"), [("19_order_shop", "Order", 120), ("20_device_fleet", "Device", 70)])
def test_it_is_killed_and_run_again(example: str, cls: str, steps: int, tmp_path: Path) -> None:
    file, where = ROOT / "examples" / f"{example}.py", str(tmp_path / "example.db")
    kept = (ROOT / "examples" / "output" / f"{example}.txt").read_text()
    session: Any = find_object(f"{file}:{cls}", "a class")
    with Sessions(Database(where), session) as watching:
        told = watching.follow("0-0-0")
        with subprocess.Popen([sys.executable, file, where], cwd=ROOT, stdout=subprocess.PIPE) as process:
            assert len(list(islice(told, steps))) == steps
            process.kill()
        assert process.returncode == -signal.SIGKILL
    done = subprocess.run([sys.executable, file, where], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, kept, "")
