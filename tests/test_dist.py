"""Somebody who has never seen the checkout can install it: what `make dist` builds is tried in an empty environment."""

from __future__ import annotations

import configparser
import re
import sys
from importlib.metadata import distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

import fsm
from tests.dist import build, try_it
from tests.readme import ROOT


def test_the_wheel_installed_in_an_empty_environment_does_what_the_readme_shows(tmp_path: Path) -> None:
    (tmp_path / "dist").mkdir()
    try_it(build(tmp_path / "dist"), sys.executable, tmp_path)


def test_each_pinned_version_admits_the_lowest_python() -> None:
    """`make lock` pins for it; a pin made by what happens to be installed would keep out those who have just that Python."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    lowest = setup["options"]["python_requires"].removeprefix(">=") + ".0"
    environment = {"python_version": lowest.removesuffix(".0"), "python_full_version": lowest}
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    pins = {canonicalize_name(pin.name): pin for pin in map(Requirement, lines) if not pin.marker or pin.marker.evaluate(environment)}
    installed = [one for one in distributions() if (pin := pins.get(canonicalize_name(one.name))) and one.version in pin.specifier]
    assert len(installed) > len(pins) // 2
    refusing = {one.name: needs for one in installed if (needs := one.metadata["Requires-Python"]) and lowest not in SpecifierSet(needs)}
    assert refusing == {}


def test_the_version_is_the_same_everywhere() -> None:
    cited = re.search(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    assert cited is not None
    assert cited[1] == fsm.__version__
    assert f"## {fsm.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_the_workflow_runs_the_one_command() -> None:
    assert "make test" in (ROOT / ".github/workflows/test.yml").read_text()
