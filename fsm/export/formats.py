"""The formats a chart can be written in, and the function that writes it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePath
from typing import Final

from fsm.chart import Chart

__all__ = ["FORMATS", "export", "files"]

FORMATS: Final = ("c", "python", "javascript", "json")
ENDINGS: Final = {"c": ".h", "python": ".py", "javascript": ".mjs", "json": ".json"}


def export(chart: Chart, format: str, *, addition: str = "") -> str:
    """Return a chart in another language.

    `format` is one of FORMATS; `addition` is source in that language to put at the end of a C header.  The text is the
    same every time.  ValueError for another format; ExportError, a ValueError, that names what the language cannot say.
    """
    return next(iter(files(chart, format, "", addition=addition).values()))


def files(chart: Chart, format: str, name: str, *, addition: str = "") -> dict[str, str]:
    """Return the files that make up an export: their names, of which the first is `name`, and their texts.

    A JavaScript module has its types beside it.
    """
    if format not in FORMATS:
        raise ValueError(f"there is no format {format!r}; choose one of {', '.join(FORMATS)}")
    return WRITERS[format](chart, name, addition)


def _c(chart: Chart, name: str, addition: str) -> dict[str, str]:
    from fsm.export.c import header

    return {name: header(chart, addition)}


def _python(chart: Chart, name: str, addition: str) -> dict[str, str]:
    from fsm.export.python import module

    return {name: module(chart)}


def _javascript(chart: Chart, name: str, addition: str) -> dict[str, str]:
    from fsm.export.javascript import module
    from fsm.export.typescript import types

    return {name: module(chart), _beside(name, {".js": ".d.ts", ".cjs": ".d.cts"}, ".d.mts"): types(chart)}


def _json(chart: Chart, name: str, addition: str) -> dict[str, str]:
    from fsm.export.neutral import written

    return {name: written(chart)}


WRITERS: Final[dict[str, Callable[[Chart, str, str], dict[str, str]]]] = {
    "c": _c,
    "python": _python,
    "javascript": _javascript,
    "json": _json,
}


def _beside(name: str, endings: dict[str, str], usual: str) -> str:
    """The name of a file that belongs to the one of this name."""
    path = PurePath(name or "chart")
    return str(path.with_suffix(endings.get(path.suffix, usual)))
