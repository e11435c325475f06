"""What README.md and the pages of `docs/` show is made by running it: `make readme` writes it anew, tests compare.

All ```python blocks of a page are run one after the other, in one namespace, as a reader would type them; what one prints
is the ```text block after it.  `<!-- file: turnstile.py -->` before a block also saves it under that name, for the commands
that follow.  In a ```console block each line that begins with `$ ` is run.  Between the marks `<!-- bench -->` stand some
lines of bench/results.md, between `<!-- tour -->` a part of what the tour printed when `python -m tests.readme tour` was run
last (it is never the same twice, so it is kept).
"""

from __future__ import annotations

import io
import linecache
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from types import ModuleType

from fsm.cli import main

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
DOCS = ROOT / "docs"
TOUR = ROOT / "examples" / "output" / "tour.txt"
MEASURED = (
    "a step, against stock transitions", "a step, against a hand-written class", "memory of a session",
    "mail through `fsm serve`, 16 clients", "from logoff to released, 1,000 messages ready",
)  # fmt: skip
"""The lines of the benchmark that README.md shows."""


def pages() -> list[Path]:
    """Every page whose blocks are run."""
    return [README, *sorted(p for p in DOCS.rglob("*.md") if "_build" not in p.parts)]


def output(command: list[str], given: str = "", folder: Path = ROOT) -> str:
    """What a command prints; it must succeed."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "COLUMNS": "80", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, input=given, capture_output=True, text=True, cwd=folder, env=environment)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout.rstrip() + "\n"


class Runner:
    """One page: its blocks run in a folder of their own, where `examples` and the saved files are."""

    def __init__(self, page: Path) -> None:
        self.page = page
        self.module = ModuleType(f"page_{page.stem}".replace("-", "_"))
        self.folder = Path()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Be in the folder, with the page as a module, as long as it lasts."""
        before, path = Path.cwd(), sys.path.copy()
        sys.modules[self.module.__name__] = self.module
        with tempfile.TemporaryDirectory() as folder:
            self.folder = Path(folder)
            (self.folder / "examples").symlink_to(ROOT / "examples")
            os.chdir(folder)
            sys.path[:0] = [folder, str(ROOT)]
            known = set(sys.modules)
            try:
                yield
            finally:
                os.chdir(before)
                sys.path[:] = path
                for name in {*sys.modules} - known:
                    if str(getattr(sys.modules[name], "__file__", None) or "").startswith(folder):
                        del sys.modules[name]
                del sys.modules[self.module.__name__]

    def python(self, body: str, file: str | None, line: int) -> str:
        """Run a block, and return what it prints."""
        if file is not None:
            (self.folder / file).write_text(body)
        name = f"{self.page}, line {line}"
        linecache.cache[name] = (len(body), None, body.splitlines(keepends=True), name)
        with redirect_stdout(io.StringIO()) as printed:
            exec(compile(body, name, "exec"), vars(self.module))
        return printed.getvalue()

    def console(self, body: str) -> str:
        """Run the commands of a block, and return the block."""
        found = []
        for command in re.findall(r"^\$ (.*(?:\n> .*)*)", body, re.MULTILINE):
            found.append(f"$ {command}\n{self.command(command.replace(chr(10) + '> ', chr(10)))}")
        return "".join(found)

    def command(self, command: str) -> str:
        """What a command prints: in this process, where it is a single `fsm`."""
        words = shlex.split(command)
        if words[0] != "fsm" or {"|", "<", ">", ";", "&&", "||", "&"} & {*words} or "serve" in words or "=" in words[0]:
            return output(["bash", "-c", command], folder=self.folder)
        printed = io.TextIOWrapper(io.BytesIO(), write_through=True)
        columns = os.environ.get("COLUMNS")
        os.environ["COLUMNS"] = "80"
        try:
            with redirect_stdout(printed), redirect_stderr(printed):
                main(words[1:])
        finally:
            os.environ.pop("COLUMNS") if columns is None else os.environ.update(COLUMNS=columns)
        return printed.buffer.getvalue().decode().rstrip() + "\n"  # type: ignore[attr-defined]


BLOCK = re.compile(
    r"(?:<!-- file: (?P<file>\S+) -->\n)?^```(?P<kind>python|console)\n(?P<body>.*?)^```$(?P<text>\n\n```text\n.*?^```$)?",
    re.MULTILINE | re.DOTALL,
)


def run(page: Path, text: str) -> str:
    """The page with everything that is printed made anew."""
    runner = Runner(page)

    def anew(block: re.Match[str]) -> str:
        kind, body = block["kind"], block["body"]
        head = f"<!-- file: {block['file']} -->\n" if block["file"] else ""
        if kind == "console":
            return f"```console\n{runner.console(body)}```{block['text'] or ''}"
        printed = runner.python(body, block["file"], text[: block.start("body")].count("\n") + 1)
        shown = f"\n\n```text\n{printed.rstrip()}\n```" if printed.strip() else ""
        return f"{head}```python\n{body}```{shown}"

    with runner.running():
        return BLOCK.sub(anew, text)


def table(block: re.Match[str]) -> str:
    """A few lines of the benchmark's table."""
    lines = (ROOT / "bench" / "results.md").read_text().splitlines()
    chosen = [line for start in MEASURED for line in lines if line.startswith(f"| {start}")]
    shown = [" | ".join(line.split(" | ")[:3]).rstrip(" |") + " |" for line in chosen]
    return "\n".join(["<!-- bench -->", "| what | measured | against |", "|---|---|---|", *shown, "<!-- /bench -->"])


def excerpt(block: re.Match[str]) -> str:
    """One stop of the tour, and its last line."""
    told = TOUR.read_text()
    stop = told[told.index("NO_WAIT:") :].partition("\n\n")[0]
    return f"<!-- tour -->\n```text\n{stop}\n\n{told.strip().splitlines()[-1]}\n```\n<!-- /tour -->"


def tour() -> None:
    """Run the tour, and keep what it printed but for where its files were."""
    told = output([sys.executable, "-m", "fsm.cli", "tour"])
    TOUR.write_text("\n\n".join(told.partition("\nNext:")[0].split("\n\n")[1:]) + "\n")


def render(page: Path) -> str:
    """A page with everything that is generated made anew."""
    text = run(page, page.read_text())
    text = re.sub(r"<!-- tour -->.*?<!-- /tour -->", excerpt, text, flags=re.DOTALL)
    return re.sub(r"<!-- bench -->.*?<!-- /bench -->", table, text, flags=re.DOTALL)


if __name__ == "__main__":
    import tests.conftest  # noqa: F401 - examples of Hypothesis may take as long as they do
    if "tour" in sys.argv[1:]:
        tour()
    wanted = [Path(word).resolve() for word in sys.argv[1:] if word.endswith(".md")]
    for one in wanted or pages():
        one.write_text(render(one))
