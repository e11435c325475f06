"""What an integration needs installed, and the sentence that says so."""

from __future__ import annotations

import importlib.metadata
import re
import sys

from fsm.install import install_command

__all__ = ["check_loaded", "check_version", "without"]


def without(extra: str, library: str, error: ModuleNotFoundError) -> ModuleNotFoundError:
    """Return the error of an integration whose library, which this extra brings, is not installed."""
    return ModuleNotFoundError(f"fsm.contrib.{extra} needs {library}: {install_command(extra)}", name=error.name)


def check_version(extra: str, library: str, *least: int) -> None:
    """Raise ImportError if the installed version of a library, which this extra brings, is older than this one."""
    if (problem := _too_old(extra, library, least)) is not None:
        raise ImportError(f"{problem}: {install_command(extra)}")


def check_loaded(part: str, library: str, *least: int) -> None:
    """Raise ImportError if a library that no extra brings is loaded, and older than this version."""
    if library in sys.modules and (problem := _too_old(part, library, least)) is not None:
        raise ImportError(f"{problem}: pip install '{library}>={'.'.join(map(str, least))}'")


def _too_old(part: str, library: str, least: tuple[int, ...]) -> str | None:
    found = importlib.metadata.version(library)
    if tuple(map(int, re.findall(r"\d+", found)[: len(least)])) >= least:
        return None
    return f"fsm.contrib.{part} needs {library} {'.'.join(map(str, least))} or later, not {found}"
