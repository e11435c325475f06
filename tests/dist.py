"""`make dist`: wheel and sdist are built and examined; the wheel is installed in an empty environment and tried there.

    python -m tests.dist [PYTHON ...]        # dist/; each of these Pythons gets an empty environment, by default this one

In the empty environment, far from the checkout and without any extra, the blocks of README.md print what they show.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.readme import BLOCK, README, ROOT


def build(folder: Path) -> Path:
    """Build both, examine them, and return the wheel."""
    run([sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)], folder)
    (wheel,), (source,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    run([sys.executable, "-m", "twine", "check", "--strict", str(wheel), str(source)], folder)
    run([str(Path(sys.executable).parent / "check-wheel-contents"), str(wheel)], folder)
    return wheel


def try_it(wheel: Path, python: str, folder: Path) -> None:
    """Install the wheel in an empty environment in this folder, and run what README.md shows."""
    run([python, "-m", "venv", "--without-pip", "empty"], folder)
    there = folder / "empty" / "bin"
    pip = [sys.executable, "-m", "pip", "--python", str(there / "python"), "--quiet", "--disable-pip-version-check"]
    run([*pip, "install", "--constraint", str(ROOT / "constraints.txt"), str(wheel)], folder)
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
    for one in sys.argv[1:] or [sys.executable]:
        with tempfile.TemporaryDirectory() as name:
            try_it(made, one, Path(name))
    print(*(file.name for file in sorted(out.iterdir())))
