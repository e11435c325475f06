"""Disasters of the database: nothing accepted is lost, only the uncertain arrives twice, and closing in the middle ends.

`make soak` lets each of them last longer, and prints what came of it as a table (`disasters.py`).
"""

from __future__ import annotations

import os
import tempfile

import pytest

from tests.crash.disasters import OF_FILE, OF_SERVER, scene_of, survive

SECONDS = 2.0 if os.environ.get("FSM_SOAK") else 0.7


@pytest.fixture(autouse=True)
def sockets(monkeypatch: pytest.MonkeyPatch) -> object:
    with tempfile.TemporaryDirectory(prefix="fsm-") as folder:
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        yield


@pytest.mark.parametrize("closes", [False, True], ids=["and it goes on", "and closes in the middle"])
@pytest.mark.parametrize(("kind", "name"), [*(("postgresql", name) for name in OF_SERVER), *(("sqlite", name) for name in OF_FILE)])
def test_a_disaster(kind: str, name: str, closes: bool, request: pytest.FixtureRequest) -> None:
    disaster = (OF_FILE if kind == "sqlite" else OF_SERVER)[name]
    with scene_of(name, kind, lambda: request.getfixturevalue("server"), SECONDS) as scene:
        result = survive(scene, disaster, closes=closes)
        assert len(result.books.accepted) >= 20
