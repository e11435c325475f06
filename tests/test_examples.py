"""The examples run and print what is kept beside them; each has a trace that opens in the explorer."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from fsm import Session
from fsm.commands.chart_files import find_chart
from fsm.logoff import LOGOFF
from tests.readme import ROOT, output

EXAMPLES = sorted((ROOT / "examples").glob("[0-9]*.py"))


def kept(example: Path) -> Path:
    return ROOT / "examples" / "output" / f"{example.stem}.txt"


def run(example: Path) -> str:
    return output([sys.executable, str(example)])


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: e.stem)
def test_it_prints_what_is_kept(example: Path) -> None:
    assert run(example) == kept(example).read_text(), "the output changed: make examples, and look at the difference"


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: e.stem)
def test_its_trace_opens_in_the_explorer(example: Path) -> None:
    link = re.search(r"^In the explorer: (?:.* )?#([\w,]+)$", example.read_text(), re.MULTILINE)
    assert link is not None
    own = re.search(r"fsm explore --chart (\S+), then #", example.read_text())
    session = Session.of(find_chart(own[1]) if own is not None else LOGOFF)()
    for event in link[1].split(","):
        session.fire(event)


def test_the_list_names_every_example_and_its_trace() -> None:
    listed = (ROOT / "examples" / "README.md").read_text()
    for example in EXAMPLES:
        assert f"]({example.name})" in listed
    assert len(EXAMPLES) >= 11


if __name__ == "__main__":
    for one in EXAMPLES:
        kept(one).parent.mkdir(exist_ok=True)
        kept(one).write_text(run(one))
