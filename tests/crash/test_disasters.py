"""Disasters of the database: nothing accepted is lost, only the uncertain arrives twice, and closing in the middle ends.

In `make test` every other one is closed in the middle.  `make soak` does both with all, lets each of them last longer, and
prints what came of it as a table (`disasters.py`).
"""

from __future__ import annotations

import os
import tempfile

import pytest

from tests.crash.disasters import OF_FILE, OF_SERVER, scene_of, survive

SOAK = bool(os.environ.get("FSM_SOAK"))
SECONDS = 2.0 if SOAK else 0.7
EACH = [*(("sqlite", name) for name in OF_FILE), *(("postgresql", name) for name in OF_SERVER)]
CLOSES = {False: "and it goes on", True: "and closes in the middle"}
CASES = [
    pytest.param(*each, closes, id=f"{'-'.join(each)}-{words}")
    for place, each in enumerate(EACH) for closes, words in CLOSES.items() if SOAK or closes is (place % 2 == 1)
]  # fmt: skip


@pytest.fixture(autouse=True)
def sockets(monkeypatch: pytest.MonkeyPatch) -> object:
    with tempfile.TemporaryDirectory(prefix="fsm-") as folder:
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        yield


@pytest.mark.parametrize(("kind", "name", "closes"), CASES)
def test_a_disaster(kind: str, name: str, closes: bool, request: pytest.FixtureRequest) -> None:
    disaster = (OF_FILE if kind == "sqlite" else OF_SERVER)[name]
    with scene_of(name, kind, lambda: request.getfixturevalue("server"), SECONDS) as scene:
        result = survive(scene, disaster, closes=closes)
        assert len(result.books.accepted) >= 20
