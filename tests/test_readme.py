"""The README runs: its commands and blocks print what it shows, its links lead somewhere; it is short."""

from __future__ import annotations

import re

import pytest

from tests.readme import README, ROOT, render

TEXT = README.read_text()
PAGES = [README, *(ROOT / name for name in ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "examples/README.md"))]


def test_what_it_shows_is_what_is_printed() -> None:
    assert render(README) == TEXT, "README.md is stale: make readme"


def test_it_shows_something() -> None:
    assert TEXT.count("```console") >= 1
    assert TEXT.count("```text") >= 2
    assert "COMPLETE" in TEXT
    assert "| what | measured |" in TEXT


def test_it_is_read_in_a_few_minutes() -> None:
    assert len(TEXT.split()) <= 1_200


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page: object) -> None:
    for link in re.findall(r"(?:\]\(|src=\"|href=\")([^)\"#]+)[#)\"]", page.read_text()):  # type: ignore[attr-defined]
        if not link.startswith("http"):
            assert (page.parent / link).exists(), link  # type: ignore[attr-defined]


def test_the_commands_it_names_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"`make (\w+)`|^make (\w+)", TEXT, re.MULTILINE):
        assert re.search(rf"^{''.join(target)}:", makefile, re.MULTILINE), target
