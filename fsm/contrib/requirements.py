"""What an integration needs installed, and the sentence that says so."""

from __future__ import annotations

import importlib.metadata
import re

__all__ = ["check_version", "without"]


def without(extra: str, library: str, error: ModuleNotFoundError) -> ModuleNotFoundError:
    """Return the error of an integration whose library, which this extra brings, is not installed."""
    return ModuleNotFoundError(f"fsm.contrib.{extra} needs {library}: {_install(extra)}", name=error.name)


def check_version(extra: str, library: str, *least: int) -> None:
    """Raise ImportError if the installed version of a library is older than this one."""
    found = importlib.metadata.version(library)
    if tuple(map(int, re.findall(r"\d+", found)[: len(least)])) < least:
        needed = ".".join(map(str, least))
        raise ImportError(f"fsm.contrib.{extra} needs {library} {needed} or later, not {found}: {_install(extra)}")


def _install(extra: str) -> str:
    return f"pip install 'fsm-logoff[{extra}]', or in a checkout '.[{extra}]'"
