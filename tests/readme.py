"""What README.md shows is made by running it: `make readme` writes it anew, a test compares.

In a ```console block each line that begins with `$ ` is run in bash; a ```text block after a ```python block is what the
block prints; between the marks `<!-- bench -->` stands the table of bench/results.md, between `<!-- tour -->` a part of
what the tour printed when `python -m tests.readme tour` was run last (it is never the same twice, so it is kept).
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
TOUR = ROOT / "examples" / "output" / "tour.txt"


def output(command: list[str], given: str = "") -> str:
    """What a command prints; it must succeed."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "COLUMNS": "80", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, input=given, capture_output=True, text=True, cwd=ROOT, env=environment)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout.rstrip() + "\n"


def shown(block: re.Match[str]) -> str:
    """A console block, with what its commands print today."""
    commands = [line for line in block[1].splitlines() if line.startswith("$ ")]
    return "```console\n" + "".join(f"{c}\n{output(['bash', '-c', c[2:]])}" for c in commands) + "```"


def printed(block: re.Match[str]) -> str:
    """A python block and the text block after it, with what it prints today."""
    return f"```python\n{block[1]}```\n\n```text\n{output([sys.executable, '-'], block[1])}```"


def table(block: re.Match[str]) -> str:
    """The benchmark's table."""
    results = (ROOT / "bench" / "results.md").read_text()
    return f"<!-- bench -->\n{results[results.index('| what') :].strip()}\n<!-- /bench -->"


def excerpt(block: re.Match[str]) -> str:
    """One stop of the tour, and its last line."""
    told = TOUR.read_text()
    stop = told[told.index("NO_WAIT:") :].partition("\n\n")[0]
    return f"<!-- tour -->\n```text\n{stop}\n\n{told.strip().splitlines()[-1]}\n```\n<!-- /tour -->"


def tour() -> None:
    """Run the tour, and keep what it printed but for where its files were."""
    told = output([sys.executable, "-m", "fsm.cli", "tour"])
    TOUR.write_text("\n\n".join(told.partition("\nNext:")[0].split("\n\n")[1:]) + "\n")


def render(text: str) -> str:
    """The README with everything that is generated made anew."""
    text = re.sub(r"```console\n(.*?)```", shown, text, flags=re.DOTALL)
    text = re.sub(r"```python\n([^`]*)```\n\n```text\n[^`]*```", printed, text)
    text = re.sub(r"<!-- tour -->.*?<!-- /tour -->", excerpt, text, flags=re.DOTALL)
    return re.sub(r"<!-- bench -->.*?<!-- /bench -->", table, text, flags=re.DOTALL)


if __name__ == "__main__":
    if "tour" in sys.argv[1:]:
        tour()
    README.write_text(render(README.read_text()))
