"""transitions' own core tests (0.9.3, from its source distribution) pass with our Machine in its place."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

VERSION = "0.9.3"
FILES = ["test_core.py", "test_enum.py", "test_add_remove.py", "test_states.py", "test_experimental.py"]
PASSING = 343
"""All of them; the README says so."""

TIMED = "tests/test_states.py::TestTransitions::test_timeout"
"""It sleeps 0.4 s and expects that a timer of 0.3 s has been served by then."""

HERE = Path(__file__).parent
KEPT = Path(sys.prefix, "conformance")


@pytest.fixture(scope="module")
def theirs() -> Path:
    """The unpacked source distribution, fetched once from the package index and kept in the environment."""
    folder = KEPT / f"transitions-{VERSION}"
    if not folder.exists():
        fetch = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary=:all:", f"transitions=={VERSION}"]
        subprocess.run([*fetch, "--dest", str(KEPT)], check=True)
        with tarfile.open(KEPT / f"transitions-{VERSION}.tar.gz") as archive:
            archive.extractall(KEPT, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))  # since 3.11.4
    return folder


def run(folder: Path, *tests: str) -> str:
    words = [sys.executable, "-m", "pytest", "-o", "addopts=", "-q", "-p", "no:cacheprovider", "-p", "no:asyncio", "-p", "our_machine"]
    done = subprocess.run(
        [*words, *tests], cwd=folder, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(HERE / "conformance")},
    )  # fmt: skip
    return done.stdout


def test_their_tests_pass_on_our_machine(theirs: Path) -> None:
    output = run(theirs, *(f"tests/{name}" for name in FILES))
    failed = re.findall(r"^FAILED (\S+)", output, re.MULTILINE)
    assert re.search(rf"^({len(failed)} failed, )?{PASSING - len(failed)} passed in ", output, re.MULTILINE), output[-3000:]
    for test in failed:  # a busy machine can fail this one alone: it sleeps beside a timer
        assert test == TIMED, output[-3000:]
        assert any(" 1 passed in " in f" {run(theirs, test)}".replace("\n", " ") for _ in range(20)), output[-3000:]
    made = re.search(r"^machines of ours: (\d+)$", output, re.MULTILINE)
    assert made is not None
    assert int(made[1]) > 300, "the exchange did not happen"
