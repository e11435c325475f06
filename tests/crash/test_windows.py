"""docs/explanation/crashes.md names each test that kills; its steps of a server are compared with a server in `test_kill.py`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.crash.windows import NAMED
from tests.readme import ROOT

KILLERS = ("kill", "run_round", "survive")
"""What kills a process: a method of it, a fixture that lets it die at a point, and the rounds and disasters of this folder."""


def killing_tests() -> Iterator[tuple[str, str]]:
    """Each test that kills a process, or lets it halt at a point where it is killed; not to clean up (`finally`)."""
    for file in sorted((ROOT / "tests").rglob("test_*.py")):
        text = file.read_text(encoding="utf-8")
        if re.search(r"kill|survive|run_round|point=", text):
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test_") and kills(node):
                    yield str(file.relative_to(ROOT)), node.name


def kills(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        called = ast.unparse(node.func)
        if "SIGKILL" in map(ast.unparse, node.args) or "signal.SIGKILL" in map(ast.unparse, node.args):
            return True
        if called.rpartition(".")[2] in KILLERS and called != "os.kill":
            return True
        if any(word.arg == "point" for word in node.keywords):
            return True
    clean_up = node.finalbody if isinstance(node, ast.Try) else []
    return any(kills(child) for child in ast.iter_child_nodes(node) if child not in clean_up)


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_a_test_that_the_page_names_is_there(file: str, name: str) -> None:
    assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8")


def test_the_page_names_every_test_that_kills() -> None:
    found = list(killing_tests())
    assert len(found) > 20
    assert [f"{file}::{name}" for file, name in found if (file, name) not in NAMED] == []
