"""The walls of the house: who may import whom, what is loaded when, and what the public doors show."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import fsm
import fsm.journal
import fsm.logoff
import fsm.migration
import fsm.runtime
import fsm.stepper
import fsm.store

ROOT = Path(fsm.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))

# Which rooms a room may import from, at the top of a file or anywhere in it.  "fsm" is the engine: the files directly in `fsm/`.
MAY_IMPORT = {
    # a session in a notebook is drawn when it is shown; one streams its steps; fsm.export is found when it is asked for
    "fsm": {"fsm.draw", "fsm.export", "fsm.runtime", "fsm.solver"},
    "fsm.runtime": {"fsm"},
    "fsm.solver": {"fsm"},
    "fsm.install": set(),
    "fsm.analysis": {"fsm", "fsm.install", "fsm.solver"},
    "fsm.migration": {"fsm", "fsm.analysis", "fsm.solver"},
    "fsm.journal": {"fsm"},
    "fsm.stepper": {"fsm", "fsm.analysis", "fsm.journal"},
    "fsm.draw": {"fsm", "fsm.analysis", "fsm.install", "fsm.solver"},
    "fsm.export": {"fsm", "fsm.analysis", "fsm.solver"},
    "fsm.logoff": {"fsm", "fsm.analysis", "fsm.draw"},
    "fsm.store": {"fsm", "fsm.analysis", "fsm.install", "fsm.journal", "fsm.logoff", "fsm.runtime", "fsm.stepper", "fsm.store.sql"},
    "fsm.store.sql": {"fsm.install", "fsm.store"},
    "fsm.sessions": {"fsm", "fsm.journal", "fsm.sessions.sql", "fsm.store", "fsm.store.sql"},
    "fsm.sessions.sql": {"fsm", "fsm.sessions", "fsm.store", "fsm.store.sql"},
    "fsm.contrib": {"fsm", "fsm.draw", "fsm.install", "fsm.store"},
    # the status page shows the picture of the machine
    "fsm.mail": {"fsm", "fsm.draw", "fsm.logoff", "fsm.mail.smtp", "fsm.store", "fsm.store.sql"},
    "fsm.mail.smtp": {"fsm", "fsm.analysis", "fsm.mail"},
    "fsm.mail.demo": {"fsm.journal", "fsm.logoff", "fsm.mail", "fsm.store", "fsm.store.sql"},
    "fsm.testing": {
        "fsm", "fsm.analysis", "fsm.draw", "fsm.install", "fsm.logoff", "fsm.runtime", "fsm.solver", "fsm.store",
    },
    "fsm.commands": {
        "fsm", "fsm.analysis", "fsm.draw", "fsm.export", "fsm.install", "fsm.journal", "fsm.logoff", "fsm.mail", "fsm.mail.demo",
        "fsm.migration", "fsm.sessions", "fsm.sessions.sql", "fsm.stepper", "fsm.store", "fsm.store.sql",
    },
    "fsm.sphinx": {"fsm", "fsm.analysis", "fsm.commands", "fsm.draw", "fsm.install"},
}  # fmt: skip

# Files that import each other in a circle, each with its reason.
CIRCLES: dict[frozenset[str], str] = {
    frozenset({"fsm.chart", "fsm.verdict"}): "a chart takes a pure step by asking for a verdict, which speaks of a chart",
}


def name_of(file: Path) -> str:
    parts = ("fsm", *file.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {name_of(file): file for file in FILES}


def room_of(name: str) -> str:
    file = NAMES[name]
    return ".".join(("fsm", *file.parent.relative_to(ROOT).parts))


@cache
def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text())


@cache
def imports(file: Path, *, loading: bool = False, typing: bool = True) -> frozenset[str]:
    """The modules a file imports: while it is loaded, or anywhere; with or without those for type checkers alone."""
    found: set[str] = set()
    todo: list[ast.AST] = [tree(file)]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING" and not typing:
            todo += node.orelse
            continue
        if loading and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names} & set(NAMES)
            found |= inner or {node.module}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        todo += ast.iter_child_nodes(node)
    return frozenset(found)


@pytest.mark.parametrize("name", NAMES)
def test_a_room_imports_only_from_the_rooms_it_may(name: str) -> None:
    if name == "fsm.cli":  # it finds the commands
        return
    room = room_of(name)
    assert {room_of(one) for one in imports(NAMES[name]) & set(NAMES)} - {room} <= MAY_IMPORT[room]


def circles() -> set[frozenset[str]]:
    """The files that import each other, directly or by others; a package's door that defines nothing is no file of its own."""
    doors = {name for name, file in NAMES.items() if file.name == "__init__.py" and not defined(file) - {"__all__", "__getattr__"}}
    onward = {name: imports(file) & set(NAMES) - doors - {name} for name, file in NAMES.items() if name not in doors}
    reach: dict[str, set[str]] = {}
    for start in onward:
        seen, todo = set[str](), [start]
        while todo:
            new = onward[todo.pop()] - seen
            seen |= new
            todo += new
        reach[start] = seen
    return {frozenset(b for b in reach[a] if a in reach[b]) for a in reach if a in reach[a]}


def test_no_files_import_each_other_but_those_named_here() -> None:
    assert circles() == set(CIRCLES)


def test_the_engine_is_entered_at_a_glance() -> None:
    assert len([file for file in FILES if file.parent == ROOT]) <= 19


PRIVATE_OF_LIBRARIES: set[str] = set()
"""The files that use private names of other libraries; each says why, and a test names each of them."""
DOCUMENTED = {"_asdict", "_replace", "_base_manager", "_meta", "_state"}
"""Names with an underscore that are documented: those of named tuples, and of Django's models."""


@cache
def defined(file: Path) -> frozenset[str]:
    """The names that a file defines: functions, classes, variables, attributes and slots."""
    found: set[str] = set()
    for node in ast.walk(tree(file)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            found.add(node.attr)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.Assign) and any(isinstance(to, ast.Name) and to.id == "__slots__" for to in node.targets):
            found |= {one.value for one in ast.walk(node.value) if isinstance(one, ast.Constant) and isinstance(one.value, str)}
    return frozenset(found)


def private_uses(file: Path) -> set[str]:
    """The names with an underscore that a file uses of something other than itself."""
    found: set[str] = set()
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.ImportFrom):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.Attribute) and not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")):
            found.add(node.attr)
    return {name for name in found if name.startswith("_") and not name.startswith("__")} - DOCUMENTED - defined(file)


@cache
def defined_in(room: str) -> frozenset[str]:
    return frozenset().union(*(defined(file) for name, file in NAMES.items() if room_of(name) == room))


@pytest.mark.parametrize("name", sorted(set(NAMES) - PRIVATE_OF_LIBRARIES))
def test_a_room_uses_no_private_name_of_another_room_or_library(name: str) -> None:
    assert private_uses(NAMES[name]) - defined_in(room_of(name)) == set()


TESTS = ROOT.parent / "tests"


@pytest.mark.parametrize("file", sorted(TESTS.rglob("*.py")), ids=lambda file: str(file.relative_to(TESTS)))
def test_the_tests_of_a_room_use_private_names_of_that_room_alone(file: Path) -> None:
    parts = file.relative_to(TESTS).parts[:-1]
    own = {room for room in MAY_IMPORT if parts and room.startswith(f"fsm.{parts[0]}")} if parts else {"fsm"}
    elsewhere = frozenset().union(*(defined_in(room) for room in MAY_IMPORT if room not in own))
    assert private_uses(file) & elsewhere - frozenset().union(*(defined_in(room) for room in own)) == set()


HEAVY = {
    "textual": {"fsm.stepper.terminal"}, "wasmtime": {"fsm.draw._wasi_graphviz"}, "graphviz": {"fsm.draw.dot"},
    "networkx": {"fsm.analysis.coverage"}, "rich": {"fsm.store.progress"}, "prometheus_client": {"fsm.mail.http", "fsm.store.metrics"},
    "sqlalchemy": {name for name in NAMES if room_of(name) == "fsm.store.sql"} - {f"fsm.store.sql.{one}" for one in ("messages", "parts", "processes", "transaction")} | {"fsm.contrib.sqlalchemy", "fsm.sessions.sql.reading", "fsm.sessions.sql.schema"},
    "z3": {"fsm.solver.by_z3"},
    "sphinx": {name for name in NAMES if room_of(name) == "fsm.sphinx"} - {"fsm.sphinx.asked", "fsm.sphinx.nodes"},
    "litestar": {"fsm.contrib.asgi"}, "celery": {"fsm.contrib.celery"}, "dramatiq": {"fsm.contrib.dramatiq"},
    "opentelemetry": {"fsm.contrib.opentelemetry"},
    "django": {"fsm.contrib.django", "fsm.contrib.django_admin"},
    "hypothesis": {"fsm.testing.strategies"}, "pytest": {"fsm.testing.plugin"},
    "transitions": {"fsm.machine", "fsm.verdict"},
}  # fmt: skip


@pytest.mark.parametrize("library", HEAVY)
def test_a_heavy_library_has_its_rooms(library: str) -> None:
    users = {name for name, file in NAMES.items() if library in {n.partition(".")[0] for n in imports(file, typing=False)}}
    assert users == HEAVY[library]


@pytest.mark.parametrize("name", [name for name in NAMES if room_of(name) == "fsm" and name != "fsm.cli"])
def test_the_engine_has_no_clock_thread_file_or_socket(name: str) -> None:
    busy = {"time", "datetime", "threading", "asyncio", "socket", "logging", "os", "pathlib", "random", "io"}
    used = {one.partition(".")[0] for one in imports(NAMES[name], typing=False)} & busy
    locks = {"fsm.session", "fsm.engine"}  # of guarded sessions, and of what is made once for all threads
    assert used <= ({"threading"} if name in locks else set())


@pytest.mark.parametrize("name", NAMES)
def test_a_file_says_what_it_is_about(name: str) -> None:
    assert ast.get_docstring(tree(NAMES[name])) or name == "fsm._version"


@pytest.mark.parametrize("name", NAMES)
def test_nobody_compares_states_outside_the_table(name: str) -> None:
    """`state ==` belongs to the compiled code; elsewhere a chart is asked."""
    named = {str(state) for state in fsm.logoff.LOGOFF.states}
    for node in ast.walk(tree(NAMES[name])):
        if isinstance(node, ast.Compare) and name != "fsm.logoff.chart":
            constants = {c.value for c in ast.walk(node) if isinstance(c, ast.Constant) and isinstance(c.value, str)}
            assert not constants & named, f"{name}:{node.lineno}"


def test_loading_the_machine_loads_little() -> None:
    script = "import sys, fsm.logoff; print(*sorted(m for m in sys.modules if '.' not in m))"
    loaded = set(subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout.split())
    assert not loaded & {"graphviz", "sqlalchemy", "asyncio", "json", "textual", "argparse", "aiosmtpd"}
    assert "transitions" in loaded


@pytest.mark.parametrize("module", [fsm, fsm.journal, fsm.logoff, fsm.migration, fsm.runtime, fsm.stepper, fsm.store], ids=lambda m: m.__name__)
def test_a_door_opens_on_what_it_promises(module: object) -> None:
    for name in getattr(module, "__all__", ()):
        assert getattr(module, name) is not None
    with pytest.raises(AttributeError, match=f"module '{module.__name__}' has no attribute 'Nope'"):  # type: ignore[attr-defined]
        _ = module.Nope  # type: ignore[attr-defined]


SHOWN = [line for file in FILES for line in (ast.get_docstring(tree(file)) or "").splitlines() if line.startswith(("    from fsm", "    import fsm"))]


@pytest.mark.parametrize("line", SHOWN)
def test_the_imports_that_a_docstring_shows_work(line: str) -> None:
    exec(line.strip(), {})


def test_the_package_is_typed() -> None:
    assert (ROOT / "py.typed").exists()
