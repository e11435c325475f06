"""The walls of the house: who may import whom, what is loaded when, and what the public door shows."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import pytest

import fsm
import fsm.logoff

ROOT = Path(fsm.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
STANDARD = set(sys.stdlib_module_names)

# The rooms, lowest first.  A room imports only from rooms before it (at the top of the file, that is: when it is loaded).
ORDER = [
    "fsm._version", "fsm.record", "fsm.condition", "fsm.variable", "fsm.fingerprint", "fsm.solver", "fsm.proof",
    "fsm.chart", "fsm.verdict", "fsm.compiler", "fsm.snapshot", "fsm.step", "fsm.definition", "fsm.session", "fsm.engine",
    # what is known of a chart
    "fsm.property", "fsm.bounds", "fsm.flow", "fsm.proof_of_cover", "fsm.growth", "fsm.feasible", "fsm.prove", "fsm.path",
    "fsm.explore", "fsm.counts", "fsm.cover", "fsm.paths", "fsm.raw", "fsm.check",
    # walking through it
    "fsm.journal", "fsm.scribe", "fsm.recorder", "fsm.tell", "fsm.way", "fsm.stepper", "fsm.sketch", "fsm.tui",
    # drawing it
    "fsm.draw.rendering", "fsm.draw.style", "fsm.draw.words", "fsm.draw.picture", "fsm.draw.dot", "fsm.draw.look",
    "fsm.draw.markdown", "fsm.draw.vector", "fsm.draw", "fsm.draw.album", "fsm.draw.gallery", "fsm.draw.page_data",
    "fsm.draw.page",
]  # fmt: skip


def name_of(file: Path) -> str:
    parts = ("fsm", *file.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@lru_cache(None)
def imports(file: Path, *, loading: bool) -> frozenset[str]:
    """The modules a file imports: while it is loaded, or anywhere (but for type checkers alone)."""
    found: set[str] = set()
    todo: list[ast.AST] = [ast.parse(file.read_text())]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            todo += node.orelse
            continue
        if loading and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names if node.module == "fsm"}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        todo += ast.iter_child_nodes(node)
    return frozenset(found)


def test_every_room_of_the_engine_has_its_place_and_imports_downwards_only() -> None:
    rooms = {name_of(file): file for file in FILES if file.parent in (ROOT, ROOT / "draw")}
    assert set(rooms) - {"fsm", "fsm.cli"} == set(ORDER)
    for place, room in enumerate(ORDER):
        used = imports(rooms[room], loading=True) & set(rooms)
        assert used - {"fsm"} <= set(ORDER[:place]), f"{room} imports upwards"


@pytest.mark.parametrize("file", [f for f in FILES if f.parent in (ROOT, ROOT / "draw")], ids=name_of)
def test_the_engine_knows_nothing_of_mail(file: Path) -> None:
    above = ("fsm.logoff", "fsm.mail")
    assert [name for name in imports(file, loading=False) if name.startswith(above)] == []
    if name_of(file) not in ("fsm.cli",):
        assert [name for name in imports(file, loading=False) if name.startswith("fsm.commands")] == []


HEAVY = {
    "textual": {"fsm.tui"}, "wasmtime": {"fsm.draw.rendering"}, "graphviz": {"fsm.draw.dot"},
    "rich": {"fsm.logoff.display"}, "prometheus_client": {"fsm.logoff.metrics"},
    "sqlalchemy": {f"fsm.logoff.{room}" for room in ("connect", "registry", "tables", "outbox", "ledger", "bell", "watch", "database", "direct")},
    "aiosmtpd": {"fsm.mail.smtp", "fsm.mail.hooks", "fsm.mail.quick"}, "aiosmtplib": {"fsm.mail.smarthost", "fsm.mail.wire"},
    "hypothesis": {"fsm.testing.charts"}, "pytest": {"fsm.testing.plugin"},
}  # fmt: skip


@pytest.mark.parametrize("library", HEAVY)
def test_a_heavy_library_has_its_rooms(library: str) -> None:
    users = {name_of(f) for f in FILES if library in {n.partition(".")[0] for n in imports(f, loading=False)}}
    assert users == HEAVY[library]


OUTSIDE = {
    "fsm.engine": {"transitions"}, "fsm.verdict": {"transitions"},
}  # fmt: skip


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_only_the_engine_and_verdicts_import_transitions(file: Path) -> None:
    used = {name.partition(".")[0] for name in imports(file, loading=False)}
    assert ("transitions" in used) is ("transitions" in OUTSIDE.get(name_of(file), set()))


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_the_core_has_no_clock_thread_file_or_socket(file: Path) -> None:
    if name_of(file) in ORDER[: ORDER.index("fsm.engine") + 1]:
        busy = {"time", "datetime", "threading", "asyncio", "socket", "logging", "os", "pathlib", "random", "io"}
        used = {name.partition(".")[0] for name in imports(file, loading=False)} & busy
        assert used <= ({"threading"} if name_of(file) == "fsm.definition" else set()), "the lock of guarded sessions apart"


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_a_file_says_what_it_is_about(file: Path) -> None:
    text = file.read_text()
    if text.strip() and name_of(file) != "fsm._version":
        assert ast.get_docstring(ast.parse(text))


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_nobody_compares_states_outside_the_table(file: Path) -> None:
    """`state ==` belongs to the compiled code; elsewhere a chart is asked."""
    named = {str(state) for state in fsm.logoff.LOGOFF.states}
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Compare) and name_of(file) != "fsm.logoff.chart":
            constants = {c.value for c in ast.walk(node) if isinstance(c, ast.Constant) and isinstance(c.value, str)}
            assert not constants & named, f"{file}:{node.lineno}"


def test_loading_the_machine_loads_little() -> None:
    script = "import sys, fsm.logoff; print(*sorted(m for m in sys.modules if '.' not in m))"
    loaded = set(subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout.split())
    heavy = {"graphviz", "sqlalchemy", "asyncio", "json", "hashlib", "threading", "dataclasses", "textual", "argparse", "aiosmtpd"}
    assert not loaded & heavy - {"threading"}
    assert "transitions" in loaded


def test_the_public_names_are_there_and_no_others_are_promised() -> None:
    for module in (fsm, fsm.logoff):
        for name in module.__all__:
            assert getattr(module, name) is not None
    assert set(fsm.__all__) <= set(dir(fsm))
    with pytest.raises(AttributeError, match="module 'fsm' has no attribute 'Nope'"):
        _ = fsm.Nope
    assert (ROOT / "py.typed").exists()
