"""Every block of the documentation runs and prints what it shows; every command and target that it names is there."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from fsm.cli import COMMANDS, main
from fsm.commands.serve_options import (
    MAILBOX,
    OPTIONS as SERVE_OPTIONS,
)
from tests.docs import notebooks
from tests.docs.pictures import FOLDER, pictures
from tests.readme import BLOCK, DOCS, README, ROOT, pages, render

LANGUAGES = {"python", "console", "text", "sh", "c", "toml"}


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", [page for page in pages() if page != README and BLOCK.search(page.read_text())], ids=name)
def test_what_a_page_shows_is_what_is_printed(page: Path) -> None:
    assert render(page) == page.read_text(), f"{name(page)} is stale: make readme, and look at the difference"


@pytest.mark.parametrize("page", pages(), ids=name)
def test_a_block_is_of_a_kind_that_is_looked_at(page: Path) -> None:
    text = page.read_text()
    assert set(re.findall(r"^```(\w+)$", text, re.MULTILINE)) <= LANGUAGES
    for block in re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        subprocess.run(["bash", "-n"], input=block, text=True, check=True)
        known_commands(block)
    for block in re.findall(r"^```toml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        found = tomllib.loads(block)
        assert {key for box in found.pop("mailboxes", {}).values() for key in box} <= {option.name for option in MAILBOX}
        assert set(found) <= set(SERVE_OPTIONS)


def known_commands(block: str) -> None:
    """The commands of a shell exist, with these options: an installation or a server is not run here."""
    makefile = (ROOT / "Makefile").read_text()
    extras = set(re.findall(r"^(\w+) =$", (ROOT / "setup.cfg").read_text().partition("[options.extras_require]")[2], re.MULTILINE))
    for line in block.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if "make" in words:
            assert re.search(rf"^{words[words.index('make') + 1]}:", makefile, re.MULTILINE), line
        if "fsm" in words[:1]:
            assert words[1] in COMMANDS, line
            module = (ROOT / "fsm" / "commands" / f"{words[1]}.py").read_text()
            for option in (word.partition("=")[0] for word in words if word.startswith("--")):
                if words[1] == "serve" and option.removeprefix("--") in SERVE_OPTIONS:
                    continue
                assert f'"{option}"' in module + (ROOT / "fsm/commands/chart_options.py").read_text(), f"{option} in {line}"
        for given in re.findall(r"\.\[([\w,]+)\]", line):
            assert set(given.split(",")) <= extras, line


def test_the_code_in_c_is_c(tmp_path: Path) -> None:
    assert main(["export", "--format", "c", "-o", str(tmp_path / "store_logoff.h")]) == 0
    found = re.findall(r"^```c\n(.*?)^```$", "".join(page.read_text() for page in pages()), re.MULTILINE | re.DOTALL)
    assert found
    for block in found:
        program = f'#include "store_logoff.h"\nint main(void)\n{{\n{block}return (int)flags;\n}}\n'
        subprocess.run(["gcc", "-std=c99", "-fsyntax-only", "-I", str(tmp_path), "-xc", "-"], input=program, text=True, check=True)


def test_the_pictures_are_those_of_today() -> None:
    for file, text in pictures().items():
        assert (FOLDER / file).read_text(encoding="utf-8") == text, f"{file} is stale: make readme"


@pytest.mark.parametrize("page", notebooks.PAGES, ids=name)
def test_the_notebooks_are_those_of_today(page: Path) -> None:
    assert page.with_suffix(".ipynb").read_text(encoding="utf-8") == notebooks.notebook(page), "a notebook is stale: make readme"


def test_the_notebooks_run_and_show_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")  # then Hypothesis lets an example take as long as a busy machine makes it take
    import nbformat
    from nbclient import NotebookClient

    shown = 0
    for page in notebooks.PAGES:
        book = nbformat.reads(notebooks.notebook(page), as_version=4)
        NotebookClient(book, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
        shown += sum("image/svg+xml" in one.get("data", {}) for cell in book.cells for one in cell.get("outputs", ()))
    assert shown >= 1


def test_the_words_are_spelt_as_in_the_dictionary() -> None:
    files = [*DOCS.rglob("*.md"), *DOCS.rglob("*.rst"), *ROOT.glob("*.md"), *(ROOT / "examples").glob("*.md")]
    given = [str(file) for file in files if "_build" not in file.parts]
    done = subprocess.run([sys.executable, "-m", "codespell_lib", "--ignore-words-list", "ist,te", *given], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
