"""Other people's programs, which run what was exported."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

MODULES: Final = Path(sys.prefix) / "interpreters" / "node_modules"
"""npm's packages, which `make test` installs from `package-lock.json`."""


def need(what: str, there: bool) -> None:
    """Skip the test that needs what is not there; where CI is set it fails, and `make test` reports it."""
    if there:
        return
    reason = f"the tests of exported charts that need {what} (make test installs it where it can)"
    with (Path(sys.prefix) / "skipped").open("a") as skipped:
        skipped.write(reason + "\n")
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def done(*command: str | Path, folder: Path | None = None, status: int | None = 0, both: bool = False) -> str:
    """Run a program, expect its exit status unless it is None, and return what it printed, with its errors if `both`."""
    need(str(command[0]), shutil.which(command[0]) is not None)
    environment = {**os.environ, "NODE_PATH": str(MODULES)}
    run = subprocess.run([*map(str, command)], cwd=folder, capture_output=True, text=True, timeout=120, env=environment)
    assert status is None or run.returncode == status, (run.stdout + run.stderr)[-4000:]
    return run.stdout + run.stderr if both else run.stdout


def node(script: Path, *arguments: str | Path, package: str = "") -> str:
    """Run a script in node; it may need one of npm's packages."""
    need(f"npm's {package}" if package else "npm's packages", (MODULES / package).is_dir())
    return done("node", script, *arguments)


def typescript(folder: Path, *names: str) -> None:
    """Check files with the TypeScript compiler, strictly."""
    need("npm's typescript", (MODULES / "typescript").is_dir())
    options = ("--strict", "--noEmit", "--target", "es2022", "--module", "nodenext", "--lib", "es2022")
    done("node", MODULES / "typescript" / "bin" / "tsc", *options, *names, folder=folder)


def debian_python(module: str, script: Path, *arguments: str | Path) -> str:
    """Run a script in the Python of the system, with a module that only Debian packages."""
    python = Path("/usr/bin/python3")
    there = python.exists() and subprocess.run([python, "-c", f"import {module}"], capture_output=True).returncode == 0
    need(f"{module} for {python}", there)
    return done(python, script, *arguments)
