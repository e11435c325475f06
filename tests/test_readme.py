"""The README runs: its commands and blocks print what it shows, its links lead somewhere."""

from __future__ import annotations

import re

import pytest

from tests.readme import README, ROOT, render

TEXT = README.read_text()
PAGES = [page for page in (README, ROOT / "CHANGELOG.md", ROOT / "examples/README.md") if page.exists()]


def test_what_it_shows_is_what_is_printed() -> None:
    assert render(TEXT) == TEXT, "README.md is stale: make readme"


def test_it_shows_something() -> None:
    assert TEXT.count("```console") >= 3
    assert TEXT.count("```text") >= 2
    assert "COMPLETE" in TEXT
    assert "| what | measured |" in TEXT


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page: object) -> None:
    for link in re.findall(r"(?:\]\(|src=\"|href=\")([^)\"#]+)[#)\"]", page.read_text()):  # type: ignore[attr-defined]
        if not link.startswith("http"):
            assert (page.parent / link).exists(), link  # type: ignore[attr-defined]


def test_the_commands_it_names_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"`make (\w+)`", TEXT):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
