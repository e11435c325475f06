"""Somebody who has never seen the checkout can install it: what `make dist` builds is tried in an empty environment."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import fsm
from tests.dist import build, try_it
from tests.readme import ROOT


def test_the_wheel_installed_in_an_empty_environment_does_what_the_readme_shows(tmp_path: Path) -> None:
    (tmp_path / "dist").mkdir()
    try_it(build(tmp_path / "dist"), sys.executable, tmp_path)


def test_the_version_is_the_same_everywhere() -> None:
    cited = re.search(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    assert cited is not None
    assert cited[1] == fsm.__version__
    assert f"## {fsm.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_the_workflow_runs_the_one_command() -> None:
    assert "make test" in (ROOT / ".github/workflows/test.yml").read_text()
