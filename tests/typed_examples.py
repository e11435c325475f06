"""README.md, all examples and `fsm.contrib`, as the type checkers of their users see them: mypy and pyright, both strict.

`python -m tests.typed_examples` (a part of `make types`) checks it.  The blocks of README.md are one program, as they are when
they run.  Each program of `examples/embedding` has a folder of its own, and all are called `program`; copies of other names
stand in one folder, beside the modules they import.  Strict is more than basic, so pyright's one run tells both.

Where a library ships no types, pyright's strict mode also reports each use of its names.  Those reports, and no others, are
off for the files of `fsm.contrib` that say so at their beginning, and for the examples in `UNTYPED`.
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
"""Whose library ships no types: graphviz, Celery, Django; `program` is Django's again."""
OF_UNTYPED_LIBRARIES = [f"report{what}" for what in (
    "MissingTypeStubs", "UnknownArgumentType", "UnknownMemberType", "UnknownParameterType", "UnknownVariableType",
    "UntypedFunctionDecorator",
)]  # fmt: skip
"""What pyright reports of such a library's names."""


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
    plain = {path.stem: path for path in [*EXAMPLES.glob("*.py"), *EXAMPLES.glob("charts/*.py")]}
    for name in [name for name in plain if name.startswith(UNTYPED)]:
        (FOLDER / f"{name}.py").write_text(plain.pop(name).read_text())
    for copy in [one for one in FOLDER.glob("*.py") if one.stem.startswith(UNTYPED)]:
        off = ", ".join(f"{one}=false" for one in OF_UNTYPED_LIBRARIES)
        copy.write_text(f"{copy.read_text()}\n# pyright: {off}\n")
    return sorted([*FOLDER.glob("*.py"), *plain.values()])


def main() -> int:
    """Run both over all files, and return the worse of their exit statuses."""
    files = written()
    config = FOLDER / "pyrightconfig.json"
    names = [os.path.relpath(path, FOLDER) for path in [*files, ROOT / "fsm" / "contrib"]]
    config.write_text(json.dumps({
        "include": names, "exclude": [], "extraPaths": [os.path.relpath(ROOT, FOLDER)], "pythonVersion": "3.11",
        "typeCheckingMode": "strict", "useLibraryCodeForTypes": False,
    }))  # fmt: skip
    mypy = [sys.executable, "-m", "mypy", "--explicit-package-bases", *map(str, files)]
    pyright = [sys.executable, "-m", "pyright", "--project", str(config), "--pythonpath", sys.executable]
    environment = {**os.environ, "MYPYPATH": os.pathsep.join(map(str, (FOLDER, ROOT)))}
    return max(subprocess.run(command, cwd=ROOT, env=environment).returncode for command in (mypy, pyright))


if __name__ == "__main__":
    sys.exit(main())
