"""`make dist`: wheel and sdist are built and examined; the wheel is installed in an empty environment and tried there.

    python -m tests.dist [PYTHON ...]        # dist/; tried with each of these Pythons, by default all of this machine

In an empty environment, far from the checkout and without any extra, the blocks of README.md print what they show; with
each extra no module asks for that extra any more.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path

from tests.readme import BLOCK, README, ROOT

OURS = {"test", "lint", "bench", "docs", "release"}
"""Extras for those who work on it."""
IMPORT_ALL = """
import importlib, pkgutil, fsm
for found in pkgutil.walk_packages(fsm.__path__, "fsm.", onerror=lambda name: None):
    try:
        importlib.import_module(found.name)
    except Exception as error:
        print(f"{found.name}: {error}")
"""


def build(folder: Path) -> Path:
    """Build both, examine them, and return the wheel."""
    run([sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)], folder)
    (wheel,), (source,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    run([sys.executable, "-m", "twine", "check", "--strict", str(wheel), str(source)], folder)
    run([str(Path(sys.executable).parent / "check-wheel-contents"), str(wheel)], folder)
    return wheel


def installed(wheel: Path, python: str, folder: Path, extra: str = "") -> Path:
    """Install the wheel in an empty environment in this folder, and return where its programs are."""
    run([python, "-m", "venv", "--without-pip", "empty"], folder)
    there = folder / "empty" / "bin"
    pip = [sys.executable, "-m", "pip", "--python", str(there / "python"), "--quiet", "--disable-pip-version-check"]
    run([*pip, "install", "--constraint", str(ROOT / "constraints.txt"), f"{wheel}{extra}"], folder)
    return there


def try_it(wheel: Path, python: str, folder: Path) -> None:
    """Install the wheel in an empty environment in this folder, and run what README.md shows."""
    there = installed(wheel, python, folder)
    script, expected = "", ""
    for block in BLOCK.finditer(README.read_text()):
        if block["kind"] == "python":
            script += block["body"]
            expected += re.sub(r"^```(?:text)?\n?", "", (block["text"] or "").strip(), flags=re.MULTILINE)
            if block["file"]:
                (folder / block["file"]).write_text(block["body"])
    printed = run([str(there / "python"), "-c", script], folder)
    assert printed == expected, f"{printed!r} is not {expected!r}"
    for command in re.findall(r"^\$ (.*)", README.read_text(), re.MULTILINE):
        assert run(["bash", "-c", command], folder, there), command
    assert wheel.name.split("-")[1] in run([str(there / "fsm"), "--version"], folder)


def extras() -> list[str]:
    """The extras for users."""
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    return sorted({*setup["options.extras_require"]} - OURS)


def try_extra(wheel: Path, python: str, folder: Path, extra: str) -> None:
    """Install the wheel with an extra, and import all its modules: none may ask for that extra."""
    there = installed(wheel, python, folder, f"[{extra}]")
    complaints = run([str(there / "python"), "-c", IMPORT_ALL], folder)
    assert f"[{extra}]" not in complaints, complaints


def pythons() -> Iterator[str]:
    """This Python, and the newer ones of this machine."""
    yield sys.executable
    for minor in range(sys.version_info.minor + 1, 16):
        there = map(str, sorted((Path.home() / ".pyenv" / "versions").glob(f"3.{minor}.*/bin/python")))
        found = next(there, None) or shutil.which(f"python3.{minor}")
        if found is not None and not subprocess.run([found, "-c", "import venv"], capture_output=True).returncode:
            yield found


def run(command: list[str], folder: Path, first: Path | None = None) -> str:
    """Run a command in a folder, without the checkout on its path; it must succeed."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    if first is not None:
        environment["PATH"] = f"{first}{os.pathsep}{environment['PATH']}"
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
    return done.stdout


if __name__ == "__main__":
    out = ROOT / "dist"
    out.mkdir(exist_ok=True)
    for old in (*out.glob("*.whl"), *out.glob("*.tar.gz")):
        old.unlink()
    made = build(out)
    for one in sys.argv[1:] or pythons():
        with tempfile.TemporaryDirectory() as name:
            try_it(made, one, Path(name))
        print(f"README.md holds with {one}", flush=True)
    for extra in extras():
        with tempfile.TemporaryDirectory() as name:
            try_extra(made, sys.executable, Path(name), extra)
        print(f"[{extra}] brings what it is for", flush=True)
    print(*(file.name for file in sorted(out.iterdir())))
