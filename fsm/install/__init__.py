"""The words with which an extra is installed and `fsm` is run, for hints.

The name of the distribution alone would be looked up in an index.  A checkout, a folder or a wheel that it was
installed from is named instead, as `direct_url.json` has it (https://packaging.python.org/specifications/direct-url/).
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from shlex import quote
from shutil import which
from typing import Final
from urllib.parse import unquote, urlsplit

__all__ = ["NAME", "install_command", "own_command"]

NAME: Final = "fsm-logoff"


def install_command(extra: str) -> str:
    """Return the command that installs an extra: `pip install '.[svg]'` in the folder that pip installed from."""
    pip = which("pip")
    ours = pip is not None and Path(pip).parent == Path(sys.executable).parent  # that of another Python would not do
    return f"{'pip' if ours else f'{quote(sys.executable)} -m pip'} install {quote(f'{_source()}[{extra}]')}"


def own_command() -> str:
    """Return how to run `fsm`: by its name, or as it was run when it is not on the path (`.venv/bin/fsm`)."""
    return "fsm" if which("fsm") or Path(sys.argv[0]).name != "fsm" else quote(sys.argv[0])


def _source() -> str:
    """Return what pip is given: a folder or wheel, "." for the present one; else the name of the distribution."""
    root = Path(__file__).resolve().parents[2]
    try:
        direct = json.loads(distribution(NAME).read_text("direct_url.json") or "{}")
        url = urlsplit(str(direct.get("url", "")))
    except PackageNotFoundError:  # the folder is only on the path
        url = urlsplit(root.as_uri() if (root / "setup.cfg").is_file() else "")
    except (ValueError, OSError, AttributeError):
        url = urlsplit("")
    place = Path(unquote(url.path))
    if url.scheme != "file" or not place.exists():
        return NAME
    return "." if place == Path.cwd() else str(place)
