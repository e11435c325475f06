"""README.md, all examples and `fsm.contrib`, as the type checkers of their users see them: mypy strict, and pyright.

`python -m tests.typed_examples` (a part of `make types`) checks it.  The blocks of README.md are one program, as they are when
they run.  Each program of `examples/embedding` has a folder of its own, and all are called `program`; copies of other names
stand in one folder, beside the modules they import.  Strict is more than basic, so pyright's one run tells both; `fsm.contrib`
stands between its frameworks and passes basic.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
FOLDER = Path(sys.prefix) / "typed"
IMPORTED = {"mail": "flask-gunicorn/mail.py", "program": "django/program.py", "remote": "remote.py"}
"""What the programs of examples/embedding import from their own folder or from the one above."""
UNTYPED = ("09_drawing", "celery", "django", "program")
"""Whose library ships no types (graphviz, Celery, Django; `program` is Django's again): strict would speak of the library's
names only, so these pass pyright's basic mode, in which such names are of unknown type, not guessed from their source."""


def written() -> list[Path]:
    """Write README.md's program and the copies anew; return them with all other examples."""
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.glob("*.py"):
        old.unlink()
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    (FOLDER / "readme.py").write_text("\n".join(blocks))
    embedding = EXAMPLES / "embedding"
    for path in sorted(embedding.rglob("*.py")):
        name = "_".join(path.relative_to(embedding).with_suffix("").parts)
        (FOLDER / f"{re.sub(r'[^a-z]', '_', name)}.py").write_text(path.read_text())
    for name, original in IMPORTED.items():
        (FOLDER / f"{name}.py").write_text((embedding / original).read_text())
    return sorted([*FOLDER.glob("*.py"), *EXAMPLES.glob("*.py"), *EXAMPLES.glob("charts/*.py")])


def main() -> int:
    """Run both over all files, and return the worse of their exit statuses."""
    files = written()
    config = FOLDER / "pyrightconfig.json"
    names = {os.path.relpath(path, FOLDER): path for path in files}
    config.write_text(json.dumps({
        "include": [*names, os.path.relpath(ROOT / "fsm" / "contrib", FOLDER)], "exclude": [],
        "extraPaths": [os.path.relpath(ROOT, FOLDER)], "pythonVersion": "3.11",
        "typeCheckingMode": "basic", "useLibraryCodeForTypes": False,
        "strict": [name for name, path in names.items() if not path.stem.startswith(UNTYPED)],
    }))  # fmt: skip
    mypy = [sys.executable, "-m", "mypy", "--explicit-package-bases", *map(str, files)]
    pyright = [sys.executable, "-m", "pyright", "--project", str(config), "--pythonpath", sys.executable]
    environment = {**os.environ, "MYPYPATH": os.pathsep.join(map(str, (FOLDER, ROOT)))}
    return max(subprocess.run(command, cwd=ROOT, env=environment).returncode for command in (mypy, pyright))


if __name__ == "__main__":
    sys.exit(main())
