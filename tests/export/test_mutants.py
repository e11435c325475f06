"""The cells at 2,2,2, with which every export is compared, see each small fault of the table that makes a difference."""

from __future__ import annotations

import re

import pytest

from tests.export.mutants import main


def test_every_mutant_is_killed_or_equivalent(capsys: pytest.CaptureFixture[str]) -> None:
    assert main() == 0
    counts = re.search(r"(\d+) mutants, (\d+) killed .*, (\d+) equivalent, 0 survive", capsys.readouterr().out)
    assert counts is not None
    assert int(counts[1]) > 3_000
    assert int(counts[2]) > 2_500
