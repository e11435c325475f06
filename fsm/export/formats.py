"""The formats a chart can be written in, and the function that writes it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import PurePath
from typing import Final, NamedTuple

from fsm.analysis.bounds import bounds_of
from fsm.analysis.properties import Property
from fsm.chart import Chart
from fsm.condition import Condition

__all__ = ["FORMATS", "export", "files"]

FORMATS: Final = ("c", "python", "javascript", "scxml", "xstate", "promela", "smtlib", "json")


class Wanted(NamedTuple):
    """What an export is made of besides the table."""

    bounds: tuple[Condition, ...] = ()
    properties: tuple[Property, ...] = ()
    addition: str = ""


def export(
    chart: Chart,
    format: str,
    *,
    bounds: Iterable[str | Condition] = (),
    properties: Iterable[Property] = (),
    addition: str = "",
) -> str:
    """Return a chart in another language; the text is the same every time.

    `format` is one of FORMATS.  Promela is written within `bounds`, Promela and SMT-LIB with `properties`; `addition`
    is source to put at the end of a C header or a Promela model.
    ValueError for another format; ExportError, a ValueError, that names what the language cannot say.
    """
    found = files(chart, format, "", bounds=bounds, properties=properties, addition=addition)
    return next(iter(found.values()))


def files(
    chart: Chart,
    format: str,
    name: str,
    *,
    bounds: Iterable[str | Condition] = (),
    properties: Iterable[Property] = (),
    addition: str = "",
) -> dict[str, str]:
    """Return the files that make up an export: their names, of which the first is `name`, and their texts.

    A JavaScript module has its types beside it.  An XState machine is JSON, with its host, where the name says `.json`.
    """
    if format not in FORMATS:
        raise ValueError(f"there is no format {format!r}; choose one of {', '.join(FORMATS)}")
    return WRITERS[format](chart, name, Wanted(bounds_of(chart, bounds), tuple(properties), addition))


def _c(chart: Chart, name: str, wanted: Wanted) -> dict[str, str]:
    from fsm.export.c import header

    return {name: header(chart, wanted.addition)}


def _python(chart: Chart, name: str, wanted: Wanted) -> dict[str, str]:
    from fsm.export.python import module

    return {name: module(chart)}


def _javascript(chart: Chart, name: str, wanted: Wanted) -> dict[str, str]:
    from fsm.export.javascript import module
    from fsm.export.typescript import types

    return {name: module(chart), _beside(name, {".js": ".d.ts", ".cjs": ".d.cts"}, ".d.mts"): types(chart)}


def _scxml(chart: Chart, name: str, wanted: Wanted) -> dict[str, str]:
    from fsm.export.scxml import document

    return {name: document(chart)}


def _xstate(chart: Chart, name: str, wanted: Wanted) -> dict[str, str]:
    from fsm.export.xstate import module
    from fsm.export.xstate_json import host, machine

    if PurePath(name).suffix == ".json":
        return {name: machine(chart), _beside(name, {}, ".host.mjs"): host()}
    return {name: module(chart)}


def _promela(chart: Chart, name: str, wanted: Wanted) -> dict[str, str]:
    from fsm.export.promela import model

    return {name: model(chart, wanted.bounds, wanted.properties, wanted.addition)}


def _smtlib(chart: Chart, name: str, wanted: Wanted) -> dict[str, str]:
    from fsm.export.smtlib import script

    return {name: script(chart, wanted.properties)}


def _json(chart: Chart, name: str, wanted: Wanted) -> dict[str, str]:
    from fsm.export.neutral import written

    return {name: written(chart)}


WRITERS: Final[dict[str, Callable[[Chart, str, Wanted], dict[str, str]]]] = {
    "c": _c,
    "python": _python,
    "javascript": _javascript,
    "scxml": _scxml,
    "xstate": _xstate,
    "promela": _promela,
    "smtlib": _smtlib,
    "json": _json,
}


def _beside(name: str, endings: dict[str, str], usual: str) -> str:
    """The name of a file that belongs to the one of this name."""
    path = PurePath(name or "chart")
    return str(path.with_suffix(endings.get(path.suffix, usual)))
