"""Where a command's chart comes from: `module:NAME`, a Python file, or a file in JSON or SCXML.

A module or a Python file is given with the chart's name (`file.py:NAME`), or without when it has a single chart.  A
file is run once, with its folder on the path, as `python file.py` would.  What it prints goes to standard error, for
standard output is the command's own.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Final

from fsm.chart import Chart
from fsm.commands import DEFAULT_CHART, CommandError
from fsm.errors import DefinitionError

__all__ = ["CHART", "find_chart", "find_object", "importing", "module_of", "output_to_stderr", "place_of"]

CHART: Final = "module:NAME, or a .py, .json or .scxml FILE (default %(default)s)"
"""How the option is explained."""
LOADED: Final[dict[Path, ModuleType]] = {}
"""The Python files that were run."""


def find_chart(where: str) -> Chart:
    """Return the chart at `where`.  CommandError when there is none, or it is wrong."""
    if Path(where).suffix.lower() in (".json", ".scxml"):
        return _read(where)
    if not _split(where)[1] and (module := module_of(where)) is not None:
        return _charts(module, where)[0][1]
    found = find_object(where, "a chart", "as a .py, .json or .scxml file")
    if not isinstance(found, Chart):
        raise CommandError(f"{where} is {type(found).__name__}, not a Chart")
    return found


def place_of(where: str) -> str:
    """Return the chart's place as a program in the same folder imports it: `module:NAME`."""
    module, name = _split(where)
    if not name and (found := module_of(where)) is not None:
        name = _charts(found, where)[0][0]
    return f"{Path(module).stem if module.lower().endswith('.py') else module}:{name}" if name else where


def find_object(where: str, what: str, otherwise: str = "as file.py:NAME") -> object:
    """Return `what` stands at `module:NAME` or `file.py:NAME`.  CommandError when there is nothing."""
    module = module_of(where)
    name = _split(where)[1]
    if module is None or not name:
        raise CommandError(f"{what} is given as module:NAME, such as {DEFAULT_CHART}, or {otherwise}, not {where!r}")
    with importing(module.__name__, ""):
        found = getattr(module, name, None)
    if found is None:
        where = f"module {module.__name__!r}" if ".py:" not in where else where.rpartition(":")[0]
        charts = ", ".join(name for name, value in vars(module).items() if isinstance(value, Chart))
        raise CommandError(f"{where} has no {name!r}{f'; its charts are {charts}' if charts else ''}")
    return found


def module_of(where: str) -> ModuleType | None:
    """Return the module in which a chart stands, run the first time; None for a chart in another kind of file."""
    module, name = _split(where)
    if module.lower().endswith(".py"):
        return _run(module)
    data = Path(module).suffix.lower() in (".json", ".scxml")
    if not module or (not name and (data or not all(map(str.isidentifier, module.split("."))))):
        return None
    with importing(module, ""):
        try:
            return import_module(module)
        except ModuleNotFoundError as error:
            if name or error.name is None or not f"{module}.".startswith(f"{error.name}."):
                raise
            return None  # a single word that is no module


def _split(where: str) -> tuple[str, str]:
    if where.lower().endswith(".py"):
        return where, ""
    module, _, name = where.rpartition(":") if ".py:" in where else where.partition(":")
    return module, name


def _run(file: str) -> ModuleType:
    path = Path(file).resolve()
    if path in LOADED:
        return LOADED[path]
    if not path.is_file():
        raise CommandError(
            f"there is no file {file}; a chart is given as module:NAME, file.py:NAME, or a .json or .scxml file"
        )
    name = f"chart_file_{path.stem}"
    spec = spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = module_from_spec(spec)  # as import does, before it is run
    with importing(file, str(path.parent)):
        spec.loader.exec_module(module)
    LOADED[path] = module
    return module


@contextmanager
def importing(where: str, folder: str = "") -> Iterator[None]:
    """Import with a folder on the path ("" is the present one); what goes wrong is a CommandError."""
    sys.path.insert(0, folder)
    try:
        with output_to_stderr():
            yield
    except DefinitionError as error:
        raise CommandError(f"{where} is wrong: {error}") from error
    except (Exception, SystemExit) as error:
        raise CommandError(f"cannot import {where!r}: {type(error).__name__}: {error}") from error
    finally:
        if folder in sys.path:
            sys.path.remove(folder)


@contextmanager
def output_to_stderr() -> Iterator[None]:
    """Send to standard error what is printed meanwhile, also by a program that is started or a library in C."""
    kept = -1
    with suppress(OSError, ValueError, AttributeError):  # a stream is closed, or is no file
        sys.stdout.flush()
        if sys.stdout.fileno() == 1:
            kept = os.dup(1)
            os.dup2(sys.stderr.fileno(), 1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        if kept >= 0:
            os.dup2(kept, 1)
            os.close(kept)


def _charts(module: ModuleType, where: str) -> list[tuple[str, Chart]]:
    """Return the names of the module's single chart.  CommandError when it has none, or several."""
    charts = {name: value for name, value in vars(module).items() if isinstance(value, Chart)}
    if len({id(chart) for chart in charts.values()}) != 1:
        some = f"several charts; say which: {', '.join(f'{where}:{name}' for name in charts)}" if charts else "no chart"
        raise CommandError(f"{where} has {some}")
    return list(charts.items())


def _read(file: str) -> Chart:
    from fsm.export.errors import ReadError
    from fsm.export.reading import read_file

    try:
        return read_file(Path(file)).chart
    except OSError as error:
        raise CommandError(f"cannot read {file}: {error.strerror}") from None
    except ReadError as error:
        raise CommandError(f"{file}: {error}") from None
